//! INTEGER, TINYINT and BIT 0 and 1 (PostgreSQL: boolean, too) → `bool`; any other number is not a truth value.

use oxyde_exec::cells::CellRef;
use pyo3::prelude::*;
use pyo3::types::PyBool;

use super::mysql;
use super::postgres::Value;
use super::{Decoded, unreadable};

pub fn sqlite<'py>(py: Python<'py>, cell: CellRef<'_>) -> Decoded<'py> {
    match cell {
        CellRef::Int(flag @ (0 | 1)) => Ok(PyBool::new(py, flag == 1).to_owned().into_any()),
        other => Err(unreadable(other, "0 or 1")),
    }
}

pub fn postgres<'py>(py: Python<'py>, value: &Value<'_>) -> Decoded<'py> {
    match value {
        Value::Bool(flag) => Ok(new(py, *flag)),
        Value::Int(flag @ (0 | 1)) => Ok(new(py, *flag == 1)),
        other => Err(other.instead_of("a boolean")),
    }
}

pub fn mysql<'py>(
    py: Python<'py>,
    value: &mysql::Value<'_>,
    decoder: &mysql::Decoder,
) -> Decoded<'py> {
    match value {
        mysql::Value::Int(flag @ (0 | 1)) => Ok(new(py, *flag == 1)),
        other => Err(decoder.refuse(other, "0 or 1")),
    }
}

pub fn new(py: Python<'_>, flag: bool) -> Bound<'_, PyAny> {
    PyBool::new(py, flag).to_owned().into_any()
}
