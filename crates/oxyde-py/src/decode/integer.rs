//! INTEGER, int2, int4, int8, TINYINT to BIGINT, signed or not, BIT, YEAR → `int`. Whole numbers in a REAL or NUMERIC column of an older table are read too.

use oxyde_exec::cells::CellRef;
use pyo3::exceptions::PyValueError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyInt;

use super::mysql;
use super::postgres::{Value, numeric};
use super::{Decoded, Unreadable, unreadable};

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

/// A numeric may have more digits than Python turns into an integer.
fn from_digits<'py>(
    py: Python<'py>,
    digits: &str,
    refuse: impl FnOnce(&str) -> Unreadable,
) -> Decoded<'py> {
    py.get_type::<PyInt>().call1((digits,)).map_err(|error| {
        if error.is_instance_of::<PyValueError>(py) {
            return refuse("an integer of up to sys.get_int_max_str_digits() digits");
        }
        error.into()
    })
}

pub fn postgres<'py>(py: Python<'py>, value: &Value<'_>) -> Decoded<'py> {
    match value {
        Value::Int(number) => new(py, *number),
        Value::Bool(flag) => new(py, i64::from(*flag)),
        Value::Real(real) if is_whole(*real) => from_whole(py, *real),
        Value::Single(real) if is_whole(f64::from(*real)) => from_whole(py, f64::from(*real)),
        Value::Numeric(text) => match numeric::trimmed(text) {
            Some(digits) if !digits.contains('.') => {
                from_digits(py, digits, |expected| value.instead_of(expected))
            }
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
            Some(digits) if !digits.contains('.') => {
                from_digits(py, digits, |expected| decoder.refuse(value, expected))
            }
            _ => Err(decoder.refuse(value, expected)),
        },
        other => Err(decoder.refuse(other, expected)),
    }
}
