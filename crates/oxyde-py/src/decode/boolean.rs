//! INTEGER 0 and 1 → `bool`; any other number is not a truth value.

use oxyde_exec::cells::CellRef;
use pyo3::prelude::*;
use pyo3::types::PyBool;

use super::{Decoded, unreadable};

pub fn sqlite<'py>(py: Python<'py>, cell: CellRef<'_>) -> Decoded<'py> {
    match cell {
        CellRef::Int(flag @ (0 | 1)) => Ok(PyBool::new(py, flag == 1).to_owned().into_any()),
        other => Err(unreadable(other, "0 or 1")),
    }
}
