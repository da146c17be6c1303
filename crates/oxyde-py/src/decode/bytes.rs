//! BLOB → `bytes`.

use oxyde_exec::cells::CellRef;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::{Decoded, unreadable};

pub fn sqlite<'py>(py: Python<'py>, cell: CellRef<'_>) -> Decoded<'py> {
    match cell {
        CellRef::Blob(bytes) => Ok(PyBytes::new(py, bytes).into_any()),
        other => Err(unreadable(other, "a blob")),
    }
}
