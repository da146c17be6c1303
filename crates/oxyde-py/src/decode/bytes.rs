//! BLOB, bytea → `bytes`.

use oxyde_exec::cells::CellRef;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::postgres::Value;
use super::{Decoded, unreadable};

pub fn sqlite<'py>(py: Python<'py>, cell: CellRef<'_>) -> Decoded<'py> {
    match cell {
        CellRef::Blob(bytes) => Ok(PyBytes::new(py, bytes).into_any()),
        other => Err(unreadable(other, "a blob")),
    }
}

pub fn postgres<'py>(py: Python<'py>, value: &Value<'_>) -> Decoded<'py> {
    match value {
        Value::Blob(bytes) => Ok(PyBytes::new(py, bytes).into_any()),
        other => Err(other.instead_of("a bytea")),
    }
}
