//! `int` → SQLite: INTEGER; PostgreSQL: int2, int4 or int8; MySQL: BIGINT.
//!
//! SQLite keeps up to 64 bits in any column, so the range of the declared type is checked here.

use oxyde_exec::cells::Cells;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyInt;

use super::Target;
use super::parameters::Parameters;

pub fn sqlite(
    value: &Bound<'_, PyAny>,
    min: i64,
    max: i64,
    target: Target<'_>,
    out: &mut Cells,
) -> PyResult<()> {
    out.push_int(checked(value, min, max, target)?);
    Ok(())
}

pub fn small(value: &Bound<'_, PyAny>, target: Target<'_>, out: &mut Vec<u8>) -> PyResult<()> {
    let number = checked(value, i16::MIN.into(), i16::MAX.into(), target)?;
    // The range has been checked.
    let number = i16::try_from(number).unwrap_or_default();
    out.extend_from_slice(&number.to_be_bytes());
    Ok(())
}

pub fn normal(value: &Bound<'_, PyAny>, target: Target<'_>, out: &mut Vec<u8>) -> PyResult<()> {
    let number = checked(value, i32::MIN.into(), i32::MAX.into(), target)?;
    // The range has been checked.
    let number = i32::try_from(number).unwrap_or_default();
    out.extend_from_slice(&number.to_be_bytes());
    Ok(())
}

pub fn big(value: &Bound<'_, PyAny>, target: Target<'_>, out: &mut Vec<u8>) -> PyResult<()> {
    let number = checked(value, i64::MIN, i64::MAX, target)?;
    out.extend_from_slice(&number.to_be_bytes());
    Ok(())
}

/// A column whose type the program has declared may be one of unsigned integers.
pub fn mysql(
    value: &Bound<'_, PyAny>,
    min: i64,
    max: i64,
    target: Target<'_>,
    out: &mut Parameters,
) -> PyResult<()> {
    if target.declared.is_some()
        && value.is_instance_of::<PyInt>()
        && let Ok(number) = value.extract::<u64>()
        && i64::try_from(number).is_err()
    {
        out.unsigned(number);
        return Ok(());
    }
    out.int(checked(value, min, max, target)?);
    Ok(())
}

pub fn checked(value: &Bound<'_, PyAny>, min: i64, max: i64, target: Target<'_>) -> PyResult<i64> {
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
    Ok(number)
}
