//! BIGINT microseconds, an interval without months, TIME → `timedelta`.

use oxyde_exec::cells::CellRef;
use pyo3::exceptions::PyOverflowError;
use pyo3::prelude::*;

use super::mysql;
use super::postgres::Value;
use super::{Decoded, unreadable};
use crate::layout;

pub fn sqlite<'py>(py: Python<'py>, cell: CellRef<'_>) -> Decoded<'py> {
    match cell {
        CellRef::Int(micros) => Ok(layout::new_timedelta(py, micros)?),
        other => Err(unreadable(other, "a whole number of microseconds")),
    }
}

pub fn postgres<'py>(py: Python<'py>, value: &Value<'_>) -> Decoded<'py> {
    let micros = match value {
        Value::Int(micros) => Some(i128::from(*micros)),
        Value::Interval(interval) => interval.exact_micros(),
        _ => None,
    };
    match micros {
        Some(micros) => match layout::new_timedelta(py, micros) {
            Ok(delta) => Ok(delta),
            Err(error) if error.is_instance_of::<PyOverflowError>(py) => {
                Err(value.instead_of("at most 999,999,999 days"))
            }
            Err(error) => Err(error.into()),
        },
        None => Err(value.instead_of("microseconds, or an interval without months")),
    }
}

pub fn mysql<'py>(
    py: Python<'py>,
    value: &mysql::Value<'_>,
    decoder: &mysql::Decoder,
) -> Decoded<'py> {
    let micros = match value {
        mysql::Value::Int(micros) => Some(*micros),
        mysql::Value::Time(clock) => Some(clock.micros()),
        // A sum of microseconds.
        mysql::Value::Decimal(text) => text.parse().ok(),
        _ => None,
    };
    match micros {
        Some(micros) => Ok(layout::new_timedelta(py, micros)?),
        None => Err(decoder.refuse(value, "microseconds in 64 bits, or a TIME")),
    }
}
