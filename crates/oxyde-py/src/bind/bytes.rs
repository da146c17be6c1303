//! `bytes` (also bytearray and memoryview) → SQLite: BLOB; PostgreSQL: bytea; MySQL: BLOB, as they are.

use oxyde_exec::cells::Cells;
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyMemoryView};

use super::Target;
use super::parameters::Parameters;

pub fn sqlite(value: &Bound<'_, PyAny>, target: Target<'_>, out: &mut Cells) -> PyResult<()> {
    out.push_blob(checked(value, target)?.as_bytes());
    Ok(())
}

pub fn postgres(value: &Bound<'_, PyAny>, target: Target<'_>, out: &mut Vec<u8>) -> PyResult<()> {
    out.extend_from_slice(checked(value, target)?.as_bytes());
    Ok(())
}

pub fn mysql(value: &Bound<'_, PyAny>, target: Target<'_>, out: &mut Parameters) -> PyResult<()> {
    out.blob(checked(value, target)?.as_bytes());
    Ok(())
}

pub fn checked<'py>(
    value: &Bound<'py, PyAny>,
    target: Target<'_>,
) -> PyResult<Bound<'py, PyBytes>> {
    if let Ok(bytes) = value.cast::<PyBytes>() {
        Ok(bytes.clone())
    } else if value.is_instance_of::<PyByteArray>() || value.is_instance_of::<PyMemoryView>() {
        let copy = value.py().get_type::<PyBytes>().call1((value,))?;
        Ok(copy.cast_into::<PyBytes>()?)
    } else {
        Err(target.wrong_type(value, "bytes"))
    }
}
