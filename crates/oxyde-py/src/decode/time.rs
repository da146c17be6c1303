//! TEXT `HH:MM[:SS[.ffffff]]`, time, a TIME that is one of a day → `time`. A column with a zone is read where the zone is UTC.

use oxyde_exec::cells::CellRef;
use pyo3::prelude::*;

use super::mysql;
use super::postgres::Value;
use super::{Decoded, timestamp, unreadable};
use crate::calendar;
use crate::layout;

pub fn sqlite<'py>(py: Python<'py>, cell: CellRef<'_>) -> Decoded<'py> {
    if let CellRef::Text(bytes) = cell
        && let Some((stamp, [])) = timestamp::take_time(bytes)
    {
        return layout::new_time(py, &stamp).map_err(|e| timestamp::out_of_range(py, e, cell));
    }
    Err(unreadable(cell, "a time (HH:MM:SS)"))
}

pub fn postgres<'py>(py: Python<'py>, value: &Value<'_>) -> Decoded<'py> {
    let clock = match value {
        Value::Time(micros, None | Some(0)) => calendar::time(*micros),
        _ => None,
    };
    match clock {
        Some(stamp) => Ok(layout::new_time(py, &stamp)?),
        None => Err(value.instead_of("a time without a zone, before 24:00:00")),
    }
}

pub fn mysql<'py>(
    py: Python<'py>,
    value: &mysql::Value<'_>,
    decoder: &mysql::Decoder,
) -> Decoded<'py> {
    let clock = match value {
        mysql::Value::Time(clock) => Some(clock.micros()),
        mysql::Value::Text(bytes) => match timestamp::take_time(bytes) {
            Some((stamp, [])) => Some(calendar::clock(&stamp)),
            _ => None,
        },
        _ => None,
    };
    match clock.and_then(calendar::time) {
        Some(stamp) => Ok(layout::new_time(py, &stamp)?),
        None => Err(decoder.refuse(value, "a time from 00:00:00 to before 24:00:00")),
    }
}
