//! TEXT `YYYY-MM-DD`, date, a timestamp at midnight → `date`. A text with a time of day is refused: it would be lost.

use oxyde_exec::cells::CellRef;
use pyo3::prelude::*;

use super::mysql;
use super::postgres::Value;
use super::{Decoded, timestamp, unreadable};
use crate::calendar::{self, DAY};
use crate::layout;

pub fn sqlite<'py>(py: Python<'py>, cell: CellRef<'_>) -> Decoded<'py> {
    if let CellRef::Text(bytes) = cell
        && let Some((stamp, [])) = timestamp::take_date(bytes)
    {
        return layout::new_date(py, &stamp).map_err(|e| timestamp::out_of_range(py, e, cell));
    }
    Err(unreadable(cell, "a date (YYYY-MM-DD)"))
}

pub fn postgres<'py>(py: Python<'py>, value: &Value<'_>) -> Decoded<'py> {
    let days = match value {
        Value::Date(days) => Some(i64::from(*days)),
        Value::Stamp(micros, _) => (micros.rem_euclid(DAY) == 0).then(|| micros.div_euclid(DAY)),
        _ => None,
    };
    match days.and_then(calendar::date) {
        Some(stamp) => Ok(layout::new_date(py, &stamp)?),
        None => Err(value.instead_of("a date of the years 1 to 9999")),
    }
}

pub fn mysql<'py>(
    py: Python<'py>,
    value: &mysql::Value<'_>,
    decoder: &mysql::Decoder,
) -> Decoded<'py> {
    let stamp = match value {
        mysql::Value::Date(stamp) => Some(*stamp),
        mysql::Value::Stamp(stamp) if calendar::clock(stamp) == 0 => Some(*stamp),
        mysql::Value::Text(bytes) => match timestamp::take_date(bytes) {
            Some((stamp, [])) => Some(stamp),
            _ => None,
        },
        _ => None,
    };
    match stamp.filter(calendar::exists) {
        Some(stamp) => Ok(layout::new_date(py, &stamp)?),
        None => Err(decoder.refuse(value, "a date of the years 1 to 9999")),
    }
}
