//! TEXT, and what servers give as text → `str`.

use oxyde_exec::cells::CellRef;
use pyo3::ffi;
use pyo3::prelude::*;

use super::mysql;
use super::postgres::Value;
use super::{Decoded, Unreadable, unreadable};

pub fn sqlite<'py>(py: Python<'py>, cell: CellRef<'_>) -> Decoded<'py> {
    let CellRef::Text(bytes) = cell else {
        return Err(unreadable(cell, "text"));
    };
    match new(py, bytes) {
        Some(text) => Ok(text),
        None => Err(unreadable(cell, "valid UTF-8 text")),
    }
}

/// `None` for bytes that are not UTF-8.
pub fn new<'py>(py: Python<'py>, bytes: &[u8]) -> Option<Bound<'py, PyAny>> {
    let length = ffi::Py_ssize_t::try_from(bytes.len()).ok()?;
    // SAFETY: pointer and length of a live slice; invalid UTF-8 answers NULL with an exception set.
    let text = unsafe {
        Bound::from_owned_ptr_or_opt(
            py,
            ffi::PyUnicode_FromStringAndSize(bytes.as_ptr().cast(), length),
        )
    };
    if text.is_none() {
        // The exception says less than we can.
        drop(PyErr::take(py));
    }
    text
}

/// Numbers, truth values and bytes are no text, though PostgreSQL would write them as one.
pub fn postgres<'py>(py: Python<'py>, value: &Value<'_>) -> Decoded<'py> {
    let text = match value {
        Value::Text(bytes, _) | Value::Json(bytes) => new(py, bytes),
        Value::Uuid(number) => new(py, crate::bind::uuid::hyphenated(*number).as_bytes()),
        other => return Err(other.instead_of("text")),
    };
    text.ok_or_else(|| Unreadable::Value("expected valid UTF-8 text".to_owned()))
}

/// A SET is more than one value, and no text though the server writes it as one.
pub fn mysql<'py>(
    py: Python<'py>,
    value: &mysql::Value<'_>,
    decoder: &mysql::Decoder,
) -> Decoded<'py> {
    match value {
        mysql::Value::Text(bytes) | mysql::Value::Json(bytes) => {
            new(py, bytes).ok_or_else(|| decoder.refuse(value, "valid UTF-8 text"))
        }
        other => Err(decoder.refuse(other, "text")),
    }
}
