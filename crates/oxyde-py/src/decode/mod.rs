//! Wire values → Python values, one file per type.
//!
//! [`decode`] gives a new reference, or says why the value cannot be one of the column's type: reading never
//! yields None for a value that is there, and never cuts anything off.

mod array;
mod boolean;
mod bytes;
mod date;
mod decimal;
mod duration;
#[cfg(feature = "fuzzing")]
pub mod exercise;
mod float;
mod integer;
mod json;
pub mod mysql;
pub mod natural;
pub mod postgres;
mod text;
mod time;
mod timestamp;
mod uuid;
pub mod wire;

use oxyde_exec::cells::CellRef;
use oxyde_sql::SqlType;
use pyo3::prelude::*;

/// Why a stored value cannot be read.
#[derive(Debug)]
pub enum Unreadable {
    /// The value, shortened, and what was expected in its place.
    Value(String),
    /// An exception that is not about the value (memory, an interrupt).
    Python(PyErr),
}

impl From<PyErr> for Unreadable {
    fn from(error: PyErr) -> Self {
        Self::Python(error)
    }
}

pub type Decoded<'py> = Result<Bound<'py, PyAny>, Unreadable>;

/// `expected …, found …`, with at most 80 characters of the value.
pub fn unreadable(cell: CellRef<'_>, expected: &str) -> Unreadable {
    let found = match cell {
        CellRef::Null => "NULL".to_owned(),
        CellRef::Int(number) => format!("the integer {number}"),
        CellRef::Real(number) => format!("the real {number:?}"),
        CellRef::Text(bytes) => {
            let text = String::from_utf8_lossy(bytes);
            let short: String = text.chars().take(80).collect();
            let dots = if short.len() < text.len() { "…" } else { "" };
            format!("the text {short:?}{dots}")
        }
        CellRef::Blob(bytes) => format!("a blob of {} bytes", bytes.len()),
    };
    Unreadable::Value(format!("expected {expected}, found {found}"))
}

/// Reads one SQLite cell.
pub fn decode<'py>(py: Python<'py>, cell: CellRef<'_>, ty: &SqlType) -> Decoded<'py> {
    if matches!(cell, CellRef::Null) {
        return Ok(py.None().into_bound(py));
    }
    match ty {
        SqlType::SmallInt | SqlType::Int | SqlType::BigInt => integer::sqlite(py, cell),
        SqlType::Text | SqlType::String(_) | SqlType::Enum(_) => text::sqlite(py, cell),
        SqlType::Real | SqlType::Double => float::sqlite(py, cell),
        SqlType::Bool => boolean::sqlite(py, cell),
        SqlType::Decimal { .. } => decimal::sqlite(py, cell),
        SqlType::Timestamp => timestamp::sqlite(py, cell, false),
        SqlType::TimestampTz => timestamp::sqlite(py, cell, true),
        SqlType::Date => date::sqlite(py, cell),
        SqlType::Time => time::sqlite(py, cell),
        SqlType::Duration => duration::sqlite(py, cell),
        SqlType::Uuid => uuid::sqlite(py, cell),
        SqlType::Bytes => bytes::sqlite(py, cell),
        // A document stays text here: the column's converter reads it through the field's own Pydantic type.
        SqlType::Json => text::sqlite(py, cell),
        SqlType::Array(item) => array::sqlite(py, cell, item),
    }
}
