//! INTEGER → `int`. Whole numbers in a REAL or NUMERIC column of an older table are read too.

use oxyde_exec::cells::CellRef;
use pyo3::ffi;
use pyo3::prelude::*;

use super::{Decoded, unreadable};

/// Above this, neighbouring integers share one float.
const EXACT: f64 = 9_007_199_254_740_992.0;

pub fn sqlite<'py>(py: Python<'py>, cell: CellRef<'_>) -> Decoded<'py> {
    let pointer = match cell {
        // SAFETY: a new reference, or NULL with an exception set, comes back.
        CellRef::Int(number) => unsafe { ffi::PyLong_FromLongLong(number) },
        // SAFETY: as above.
        CellRef::Real(real) if real.fract() == 0.0 && real.abs() <= EXACT => unsafe {
            ffi::PyLong_FromDouble(real)
        },
        other => return Err(unreadable(other, "an integer")),
    };
    // SAFETY: see above.
    Ok(unsafe { Bound::from_owned_ptr_or_err(py, pointer) }?)
}
