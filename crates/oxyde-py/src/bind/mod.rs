//! Python values → wire values, one file per type.
//!
//! [`encode`] is the only door: the slot's [`SqlType`] decides, never the Python type, so that one SQL text
//! always gets one kind of value. What a column cannot hold is a `DataError` here, before anything is sent.

mod array;
mod boolean;
mod bytes;
mod date;
mod decimal;
mod duration;
mod enumeration;
mod float;
mod integer;
mod json;
pub mod natural;
mod text;
mod time;
mod timestamp;
mod uuid;

use oxyde_exec::cells::Cells;
use oxyde_sql::SqlType;
use oxyde_sql::Transform;
use pyo3::prelude::*;

use crate::errors;

/// What is known about the place a value goes to.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    /// `table.column`, or the name of the parameter.
    pub label: &'a str,
    /// A value to be stored must fit the column's scale; one that is only compared need not.
    pub stored: bool,
}

impl Target<'_> {
    /// A `DataError` that names the place and says why.
    pub fn refuse(&self, py: Python<'_>, why: &str) -> PyErr {
        errors::data_error(py, &format!("{}: {why}", self.label), self.label)
    }

    /// The error for a value of another Python type than the column's.
    pub fn wrong_type(&self, value: &Bound<'_, PyAny>, wanted: &str) -> PyErr {
        let got = value
            .get_type()
            .name()
            .map_or_else(|_| "?".to_owned(), |n| n.to_string());
        self.refuse(value.py(), &format!("expected {wanted}, got {got}"))
    }
}

/// Appends one value for SQLite.
pub fn encode(
    value: &Bound<'_, PyAny>,
    ty: &SqlType,
    transform: Transform,
    target: Target<'_>,
    out: &mut Cells,
) -> PyResult<()> {
    if value.is_none() {
        out.push_null();
        return Ok(());
    }
    match ty {
        SqlType::SmallInt => integer::sqlite(value, i16::MIN.into(), i16::MAX.into(), target, out),
        SqlType::Int => integer::sqlite(value, i32::MIN.into(), i32::MAX.into(), target, out),
        SqlType::BigInt => integer::sqlite(value, i64::MIN, i64::MAX, target, out),
        SqlType::Real | SqlType::Double => float::sqlite(value, target, out),
        SqlType::Bool => boolean::sqlite(value, target, out),
        SqlType::Text | SqlType::String(_) => text::sqlite(value, transform, target, out),
        SqlType::Decimal { precision, scale } => {
            decimal::sqlite(value, *precision, *scale, target, out)
        }
        SqlType::Timestamp => timestamp::sqlite(value, false, target, out),
        SqlType::TimestampTz => timestamp::sqlite(value, true, target, out),
        SqlType::Date => date::sqlite(value, target, out),
        SqlType::Time => time::sqlite(value, target, out),
        SqlType::Duration => duration::sqlite(value, target, out),
        SqlType::Uuid => uuid::sqlite(value, target, out),
        SqlType::Bytes => bytes::sqlite(value, target, out),
        SqlType::Json => json::sqlite(value, target, out),
        SqlType::Enum(_) => enumeration::sqlite(value, target, out),
        SqlType::Array(item) => array::sqlite(value, item, target, out),
    }
}
