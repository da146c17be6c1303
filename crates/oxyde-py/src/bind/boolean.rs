//! `bool` → INTEGER 0 or 1.

use oxyde_exec::cells::Cells;
use pyo3::prelude::*;
use pyo3::types::PyBool;

use super::Target;

pub fn sqlite(value: &Bound<'_, PyAny>, target: Target<'_>, out: &mut Cells) -> PyResult<()> {
    let Ok(flag) = value.cast::<PyBool>() else {
        return Err(target.wrong_type(value, "bool"));
    };
    out.push_int(i64::from(flag.is_true()));
    Ok(())
}
