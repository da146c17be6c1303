//! `float` → SQLite: REAL; PostgreSQL: float4 or float8.
//!
//! SQLite turns NaN into NULL and has no use for infinities, so both are refused there; PostgreSQL stores them.

use oxyde_exec::cells::Cells;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyFloat, PyInt};

use super::Target;

pub fn sqlite(value: &Bound<'_, PyAny>, target: Target<'_>, out: &mut Cells) -> PyResult<()> {
    let number = checked(value, target)?;
    if !number.is_finite() {
        return Err(target.refuse(
            value.py(),
            "NaN and infinity cannot be stored on this database",
        ));
    }
    out.push_real(number);
    Ok(())
}

pub fn postgres(value: &Bound<'_, PyAny>, target: Target<'_>, out: &mut Vec<u8>) -> PyResult<()> {
    out.extend_from_slice(&checked(value, target)?.to_be_bytes());
    Ok(())
}

/// float4, which keeps 6 or 7 digits of the number: that is what its column is for.
pub fn single(value: &Bound<'_, PyAny>, target: Target<'_>, out: &mut Vec<u8>) -> PyResult<()> {
    let number = checked(value, target)?;
    #[expect(
        clippy::cast_possible_truncation,
        reason = "rounded to the nearest; what becomes infinite is refused"
    )]
    let single = number as f32;
    if single.is_infinite() && number.is_finite() {
        return Err(target.refuse(value.py(), "the number is outside of the column's range"));
    }
    out.extend_from_slice(&single.to_be_bytes());
    Ok(())
}

pub fn checked(value: &Bound<'_, PyAny>, target: Target<'_>) -> PyResult<f64> {
    if let Ok(float) = value.cast::<PyFloat>() {
        Ok(float.value())
    } else if value.is_instance_of::<PyInt>() && !value.is_instance_of::<PyBool>() {
        value
            .extract::<f64>()
            .map_err(|_| target.refuse(value.py(), "the integer is too large for a float column"))
    } else {
        Err(target.wrong_type(value, "float"))
    }
}
