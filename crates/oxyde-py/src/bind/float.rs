//! `float` → SQLite: REAL; PostgreSQL: float4 or float8; MySQL: FLOAT or DOUBLE.
//!
//! SQLite turns NaN into NULL and has no use for infinities, and MySQL has neither: both are refused there. PostgreSQL
//! stores them.

use oxyde_exec::cells::Cells;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyFloat, PyInt};

use super::Target;
use super::parameters::Parameters;
use crate::contract::Declared;

pub fn sqlite(value: &Bound<'_, PyAny>, target: Target<'_>, out: &mut Cells) -> PyResult<()> {
    out.push_real(finite(value, target)?);
    Ok(())
}

pub fn finite(value: &Bound<'_, PyAny>, target: Target<'_>) -> PyResult<f64> {
    let number = checked(value, target)?;
    if !number.is_finite() {
        return Err(target.refuse(
            value.py(),
            "NaN and infinity cannot be stored on this database",
        ));
    }
    Ok(number)
}

/// In a column that is a FLOAT by its `db_type` a number is looked up as the FLOAT that it was stored as.
pub fn mysql(value: &Bound<'_, PyAny>, target: Target<'_>, out: &mut Parameters) -> PyResult<()> {
    let short = |length: Option<u32>| length.is_none_or(|length| length <= 24);
    let float = |declared: &Declared| declared.name == "float" && short(declared.length);
    if target.declared.is_some_and(float) {
        return mysql_single(value, target, out);
    }
    out.double(finite(value, target)?);
    Ok(())
}

pub fn mysql_single(
    value: &Bound<'_, PyAny>,
    target: Target<'_>,
    out: &mut Parameters,
) -> PyResult<()> {
    let number = finite(value, target)?;
    out.single(rounded(value, number, target)?);
    Ok(())
}

pub fn postgres(value: &Bound<'_, PyAny>, target: Target<'_>, out: &mut Vec<u8>) -> PyResult<()> {
    out.extend_from_slice(&checked(value, target)?.to_be_bytes());
    Ok(())
}

pub fn single(value: &Bound<'_, PyAny>, target: Target<'_>, out: &mut Vec<u8>) -> PyResult<()> {
    let number = checked(value, target)?;
    out.extend_from_slice(&rounded(value, number, target)?.to_be_bytes());
    Ok(())
}

/// float4, which keeps 6 or 7 digits of the number: that is what its column is for.
pub fn rounded(value: &Bound<'_, PyAny>, number: f64, target: Target<'_>) -> PyResult<f32> {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "rounded to the nearest; what becomes infinite is refused"
    )]
    let single = number as f32;
    if single.is_infinite() && number.is_finite() {
        return Err(target.refuse(value.py(), "the number is outside of the column's range"));
    }
    Ok(single)
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
