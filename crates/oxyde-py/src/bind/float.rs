//! `float` → REAL. SQLite turns NaN into NULL and has no use for infinities, so both are refused.

use oxyde_exec::cells::Cells;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyFloat, PyInt};

use super::Target;

pub fn sqlite(value: &Bound<'_, PyAny>, target: Target<'_>, out: &mut Cells) -> PyResult<()> {
    let number = if let Ok(float) = value.cast::<PyFloat>() {
        float.value()
    } else if value.is_instance_of::<PyInt>() && !value.is_instance_of::<PyBool>() {
        value
            .extract::<f64>()
            .map_err(|_| target.refuse(value.py(), "the integer is too large for a float column"))?
    } else {
        return Err(target.wrong_type(value, "float"));
    };
    if !number.is_finite() {
        return Err(target.refuse(
            value.py(),
            "NaN and infinity cannot be stored on this database",
        ));
    }
    out.push_real(number);
    Ok(())
}
