//! `bool` → SQLite: INTEGER 0 or 1; PostgreSQL: one byte; MySQL: an integer.

use oxyde_exec::cells::Cells;
use pyo3::prelude::*;
use pyo3::types::PyBool;

use super::Target;
use super::parameters::Parameters;

pub fn sqlite(value: &Bound<'_, PyAny>, target: Target<'_>, out: &mut Cells) -> PyResult<()> {
    out.push_int(i64::from(checked(value, target)?));
    Ok(())
}

pub fn postgres(value: &Bound<'_, PyAny>, target: Target<'_>, out: &mut Vec<u8>) -> PyResult<()> {
    out.push(u8::from(checked(value, target)?));
    Ok(())
}

pub fn mysql(value: &Bound<'_, PyAny>, target: Target<'_>, out: &mut Parameters) -> PyResult<()> {
    out.int(i64::from(checked(value, target)?));
    Ok(())
}

pub fn checked(value: &Bound<'_, PyAny>, target: Target<'_>) -> PyResult<bool> {
    match value.cast::<PyBool>() {
        Ok(flag) => Ok(flag.is_true()),
        Err(_) => Err(target.wrong_type(value, "bool")),
    }
}
