//! TEXT → `str`.

use oxyde_exec::cells::CellRef;
use pyo3::ffi;
use pyo3::prelude::*;

use super::{Decoded, unreadable};

pub fn sqlite<'py>(py: Python<'py>, cell: CellRef<'_>) -> Decoded<'py> {
    let CellRef::Text(bytes) = cell else {
        return Err(unreadable(cell, "text"));
    };
    let Ok(length) = ffi::Py_ssize_t::try_from(bytes.len()) else {
        return Err(unreadable(cell, "text"));
    };
    // SAFETY: pointer and length of a live slice; invalid UTF-8 answers NULL with an exception set.
    let text = unsafe {
        Bound::from_owned_ptr_or_opt(
            py,
            ffi::PyUnicode_FromStringAndSize(bytes.as_ptr().cast(), length),
        )
    };
    text.ok_or_else(|| {
        // The exception says less than we do.
        drop(PyErr::take(py));
        unreadable(cell, "valid UTF-8 text")
    })
}
