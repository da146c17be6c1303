//! `bytes` (also bytearray and memoryview) → BLOB.

use oxyde_exec::cells::Cells;
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyMemoryView};

use super::Target;

pub fn sqlite(value: &Bound<'_, PyAny>, target: Target<'_>, out: &mut Cells) -> PyResult<()> {
    if let Ok(bytes) = value.cast::<PyBytes>() {
        out.push_blob(bytes.as_bytes());
    } else if value.is_instance_of::<PyByteArray>() || value.is_instance_of::<PyMemoryView>() {
        let copy = value.py().get_type::<PyBytes>().call1((value,))?;
        out.push_blob(copy.cast::<PyBytes>()?.as_bytes());
    } else {
        return Err(target.wrong_type(value, "bytes"));
    }
    Ok(())
}
