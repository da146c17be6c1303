//! TEXT `HH:MM[:SS[.ffffff]]` → `time`.

use oxyde_exec::cells::CellRef;
use pyo3::prelude::*;

use super::{Decoded, timestamp, unreadable};
use crate::layout;

pub fn sqlite<'py>(py: Python<'py>, cell: CellRef<'_>) -> Decoded<'py> {
    if let CellRef::Text(bytes) = cell
        && let Some((stamp, [])) = timestamp::take_time(bytes)
    {
        return layout::new_time(py, &stamp).map_err(|e| timestamp::out_of_range(py, e, cell));
    }
    Err(unreadable(cell, "a time (HH:MM:SS)"))
}
