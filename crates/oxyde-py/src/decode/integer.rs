//! INTEGER, int2, int4, int8, TINYINT to BIGINT, signed or not, BIT, YEAR → `int`. Whole numbers in a REAL or NUMERIC column of an older table are read too.

use oxyde_exec::cells::CellRef;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyInt;

use super::mysql;
use super::postgres::{Value, numeric};
use super::{Decoded, unreadable};

/// Above this, neighbouring integers share one float.
const EXACT: f64 = 9_007_199_254_740_992.0;

pub fn sqlite<'py>(py: Python<'py>, cell: CellRef<'_>) -> Decoded<'py> {
    match cell {
        CellRef::Int(number) => new(py, number),
        CellRef::Real(real) if is_whole(real) => from_whole(py, real),
        other => Err(unreadable(other, "an integer")),
    }
}

fn is_whole(real: f64) -> bool {
    real.fract() == 0.0 && real.abs() <= EXACT
}

pub fn new(py: Python<'_>, number: i64) -> Decoded<'_> {
    // SAFETY: a new reference, or NULL with an exception set, comes back.
    Ok(unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyLong_FromLongLong(number)) }?)
}

fn from_whole(py: Python<'_>, real: f64) -> Decoded<'_> {
    // SAFETY: a new reference, or NULL with an exception set, comes back.
    Ok(unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyLong_FromDouble(real)) }?)
}

pub fn postgres<'py>(py: Python<'py>, value: &Value<'_>) -> Decoded<'py> {
    match value {
        Value::Int(number) => new(py, *number),
        Value::Bool(flag) => new(py, i64::from(*flag)),
        Value::Real(real) if is_whole(*real) => from_whole(py, *real),
        Value::Single(real) if is_whole(f64::from(*real)) => from_whole(py, f64::from(*real)),
        Value::Numeric(text) => match numeric::trimmed(text) {
            Some(digits) if !digits.contains('.') => Ok(py.get_type::<PyInt>().call1((digits,))?),
            _ => Err(value.instead_of("an integer")),
        },
        other => Err(other.instead_of("an integer")),
    }
}

pub fn mysql<'py>(
    py: Python<'py>,
    value: &mysql::Value<'_>,
    decoder: &mysql::Decoder,
) -> Decoded<'py> {
    let expected = "an integer";
    match value {
        mysql::Value::Int(number) => new(py, *number),
        mysql::Value::Big(number) => Ok(number.into_pyobject(py).map_err(PyErr::from)?.into_any()),
        mysql::Value::Real(real) if is_whole(*real) => from_whole(py, *real),
        mysql::Value::Single(real) if is_whole(f64::from(*real)) => {
            from_whole(py, f64::from(*real))
        }
        mysql::Value::Decimal(text) => match numeric::trimmed(text) {
            Some(digits) if !digits.contains('.') => Ok(py.get_type::<PyInt>().call1((digits,))?),
            _ => Err(decoder.refuse(value, expected)),
        },
        other => Err(decoder.refuse(other, expected)),
    }
}
