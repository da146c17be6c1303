//! Results of raw SQL: the storage class of each cell decides.

use oxyde_exec::cells::CellRef;
use pyo3::prelude::*;

use super::{Decoded, bytes, float, integer, text};

pub fn sqlite<'py>(py: Python<'py>, cell: CellRef<'_>) -> Decoded<'py> {
    match cell {
        CellRef::Null => Ok(py.None().into_bound(py)),
        CellRef::Int(_) => integer::sqlite(py, cell),
        CellRef::Real(_) => float::sqlite(py, cell),
        CellRef::Text(_) => text::sqlite(py, cell),
        CellRef::Blob(_) => bytes::sqlite(py, cell),
    }
}
