//! BIGINT microseconds → `timedelta`.

use oxyde_exec::cells::CellRef;
use pyo3::prelude::*;

use super::{Decoded, unreadable};
use crate::layout;

pub fn sqlite<'py>(py: Python<'py>, cell: CellRef<'_>) -> Decoded<'py> {
    match cell {
        CellRef::Int(micros) => Ok(layout::new_timedelta(py, micros)?),
        other => Err(unreadable(other, "a whole number of microseconds")),
    }
}
