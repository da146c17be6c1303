//! Results of raw SQL: SQLite's storage class of each cell decides, or the server's type of each column.

use oxyde_exec::cells::CellRef;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::mysql;
use super::postgres::Value;
use super::{
    Decoded, boolean, bytes, date, decimal, duration, float, integer, json, text, time, timestamp,
    uuid,
};
use crate::layout;

/// In seconds.
const DAY: u32 = 86_400;

pub fn sqlite<'py>(py: Python<'py>, cell: CellRef<'_>) -> Decoded<'py> {
    match cell {
        CellRef::Null => Ok(py.None().into_bound(py)),
        CellRef::Int(_) => integer::sqlite(py, cell),
        CellRef::Real(_) => float::sqlite(py, cell),
        CellRef::Text(_) => text::sqlite(py, cell),
        CellRef::Blob(_) => bytes::sqlite(py, cell),
    }
}

/// What has no Python type of its own is the text that the server writes.
pub fn postgres<'py>(py: Python<'py>, value: &Value<'_>) -> Decoded<'py> {
    match value {
        Value::Bool(_) => boolean::postgres(py, value),
        Value::Int(_) => integer::postgres(py, value),
        Value::Real(_) | Value::Single(_) => float::postgres(py, value),
        Value::Numeric(text) => decimal::from_text(py, text),
        Value::Text(..) => text::postgres(py, value),
        Value::Json(document) => json::loads(py, document),
        Value::Blob(_) => bytes::postgres(py, value),
        Value::Uuid(_) => uuid::postgres(py, value),
        Value::Date(_) => date::postgres(py, value),
        Value::Stamp(_, aware) => timestamp::postgres(py, value, *aware),
        Value::Time(micros, Some(west)) => match crate::calendar::time(*micros) {
            Some(stamp) if west.unsigned_abs() < DAY => {
                Ok(layout::new_time_at(py, &stamp, -i64::from(*west))?)
            }
            _ => Err(value.instead_of("a time before 24:00:00")),
        },
        Value::Time(_, None) => time::postgres(py, value),
        Value::Interval(_) => duration::postgres(py, value),
        Value::Other(..) => Err(value.instead_of("a type that is known; cast it to text")),
    }
}

/// A SET is the text that the server writes, what is no time of day a `timedelta`, and what Python has nothing for
/// (GEOMETRY, VECTOR) the server's own bytes.
pub fn mysql<'py>(
    py: Python<'py>,
    value: &mysql::Value<'_>,
    decoder: &mysql::Decoder,
) -> Decoded<'py> {
    match value {
        mysql::Value::Int(_) | mysql::Value::Big(_) => integer::mysql(py, value, decoder),
        mysql::Value::Real(_) | mysql::Value::Single(_) => float::mysql(py, value, decoder),
        mysql::Value::Decimal(_) => decimal::mysql(py, value, decoder),
        mysql::Value::Text(_) => text::mysql(py, value, decoder),
        mysql::Value::Set(members) => text::mysql(py, &mysql::Value::Text(members), decoder),
        mysql::Value::Json(document) => json::loads(py, document),
        mysql::Value::Blob(bytes) | mysql::Value::Other(bytes) => {
            Ok(PyBytes::new(py, bytes).into_any())
        }
        mysql::Value::Date(_) => date::mysql(py, value, decoder),
        mysql::Value::Stamp(_) => timestamp::mysql(py, value, false, decoder),
        mysql::Value::Time(clock) => match crate::calendar::time(clock.micros()) {
            Some(stamp) => Ok(layout::new_time(py, &stamp)?),
            None => duration::mysql(py, value, decoder),
        },
    }
}
