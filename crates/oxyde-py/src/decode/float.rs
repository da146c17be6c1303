//! REAL, FLOAT, DOUBLE, float4, float8 → `float`. An INTEGER cell in a float column (a table made without REAL affinity) is read if exact.

use oxyde_exec::cells::CellRef;
use pyo3::prelude::*;
use pyo3::types::PyFloat;

use super::mysql;
use super::postgres::{Value, numeric};
use super::{Decoded, unreadable};

pub fn sqlite<'py>(py: Python<'py>, cell: CellRef<'_>) -> Decoded<'py> {
    let number = match cell {
        CellRef::Real(number) => number,
        CellRef::Int(number) => exact(number).ok_or_else(|| unreadable(cell, "a float"))?,
        other => return Err(unreadable(other, "a float")),
    };
    Ok(PyFloat::new(py, number).into_any())
}

pub fn postgres<'py>(py: Python<'py>, value: &Value<'_>) -> Decoded<'py> {
    let number = match value {
        Value::Real(number) => Some(*number),
        Value::Single(number) => Some(f64::from(*number)),
        Value::Int(number) => exact(*number),
        Value::Numeric(text) => shortest(text),
        _ => None,
    };
    match number {
        Some(number) => Ok(PyFloat::new(py, number).into_any()),
        None => Err(value.instead_of("a number that a float holds")),
    }
}

pub fn mysql<'py>(
    py: Python<'py>,
    value: &mysql::Value<'_>,
    decoder: &mysql::Decoder,
) -> Decoded<'py> {
    let number = match value {
        mysql::Value::Real(number) => Some(*number),
        mysql::Value::Single(number) => Some(f64::from(*number)),
        mysql::Value::Int(number) => exact(*number),
        mysql::Value::Decimal(text) => shortest(text),
        _ => None,
    };
    match number {
        Some(number) => Ok(PyFloat::new(py, number).into_any()),
        None => Err(decoder.refuse(value, "a number that a float holds")),
    }
}

/// The float that has exactly this value.
fn exact(number: i64) -> Option<f64> {
    let high = i32::try_from(number >> 32).unwrap_or(0);
    let low = u32::try_from(number & 0xffff_ffff).unwrap_or(0);
    // Two exact halves; beyond 53 bits their sum is exact only for some integers.
    let float = f64::from(high) * 4_294_967_296.0 + f64::from(low);
    (number.unsigned_abs() <= 1 << 53 || format!("{float:.0}") == number.to_string())
        .then_some(float)
}

/// The float whose own text is the numeric: from it the numeric can be had back.
fn shortest(text: &str) -> Option<f64> {
    let float: f64 = text.parse().ok()?;
    match numeric::trimmed(text) {
        Some(digits) => (float.to_string() == digits).then_some(float),
        // NaN and infinity are floats as well.
        None => Some(float),
    }
}
