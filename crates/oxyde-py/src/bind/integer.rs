//! `int` → INTEGER. SQLite keeps up to 64 bits, so the range of the declared type is checked here.

use oxyde_exec::cells::Cells;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyInt;

use super::Target;

pub fn sqlite(
    value: &Bound<'_, PyAny>,
    min: i64,
    max: i64,
    target: Target<'_>,
    out: &mut Cells,
) -> PyResult<()> {
    if !value.is_instance_of::<PyInt>() {
        return Err(target.wrong_type(value, "int"));
    }
    let mut overflow = 0;
    // SAFETY: `value` is an int, as checked above, so no exception can be set.
    let number = unsafe { ffi::PyLong_AsLongLongAndOverflow(value.as_ptr(), &raw mut overflow) };
    if overflow != 0 || number < min || number > max {
        return Err(target.refuse(
            value.py(),
            &format!("the integer is outside of the column's range {min} … {max}"),
        ));
    }
    out.push_int(number);
    Ok(())
}
