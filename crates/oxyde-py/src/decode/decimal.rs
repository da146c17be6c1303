//! TEXT (or a number of an older NUMERIC column), numeric → `Decimal`.

use oxyde_exec::cells::CellRef;
use pyo3::prelude::*;

use super::mysql;
use super::postgres::Value;
use super::{Decoded, unreadable};
use crate::layout;

pub fn sqlite<'py>(py: Python<'py>, cell: CellRef<'_>) -> Decoded<'py> {
    let class = layout::decimal_type(py)?;
    match cell {
        CellRef::Text(bytes) if is_decimal(bytes) => {
            let text = super::text::sqlite(py, cell)?;
            Ok(class.call1((text,))?)
        }
        CellRef::Int(number) => Ok(class.call1((number,))?),
        // The shortest decimal text of the float is what the user once wrote.
        CellRef::Real(number) if number.is_finite() => Ok(class.call1((number.to_string(),))?),
        other => Err(unreadable(other, "a decimal number")),
    }
}

/// Python's constructor would also take NaN, infinity, underscores and blanks.
fn is_decimal(bytes: &[u8]) -> bool {
    let mut digits = 0usize;
    let mut points = 0usize;
    let rest = match bytes {
        [b'-' | b'+', rest @ ..] => rest,
        all => all,
    };
    let mantissa = rest.iter().position(|b| matches!(b, b'e' | b'E'));
    let (number, exponent) = rest.split_at(mantissa.unwrap_or(rest.len()));
    for byte in number {
        match byte {
            b'0'..=b'9' => digits += 1,
            b'.' => points += 1,
            _ => return false,
        }
    }
    let exponent_is_fine = match exponent {
        [] => true,
        [_, b'-' | b'+', rest @ ..] | [_, rest @ ..] => {
            !rest.is_empty() && rest.len() <= 5 && rest.iter().all(u8::is_ascii_digit)
        }
    };
    digits > 0 && points <= 1 && exponent_is_fine
}

pub fn postgres<'py>(py: Python<'py>, value: &Value<'_>) -> Decoded<'py> {
    let text = match value {
        Value::Numeric(text) if text.ends_with(|c: char| c.is_ascii_digit()) => text.to_string(),
        Value::Int(number) => number.to_string(),
        // The shortest decimal text of the float is what the user once wrote.
        Value::Real(number) if number.is_finite() => number.to_string(),
        Value::Single(number) if number.is_finite() => number.to_string(),
        other => return Err(other.instead_of("a decimal number")),
    };
    Ok(layout::decimal_type(py)?.call1((text,))?)
}

/// A numeric as it is: also NaN and infinity, which raw SQL may give.
pub fn from_text<'py>(py: Python<'py>, text: &str) -> Decoded<'py> {
    Ok(layout::decimal_type(py)?.call1((text,))?)
}

pub fn mysql<'py>(
    py: Python<'py>,
    value: &mysql::Value<'_>,
    decoder: &mysql::Decoder,
) -> Decoded<'py> {
    let text = match value {
        mysql::Value::Decimal(text) => decoder.digits(text).to_owned(),
        mysql::Value::Int(number) => number.to_string(),
        mysql::Value::Big(number) => number.to_string(),
        // The shortest decimal text of the float is what the user once wrote.
        mysql::Value::Real(number) if number.is_finite() => number.to_string(),
        mysql::Value::Single(number) if number.is_finite() => number.to_string(),
        other => return Err(decoder.refuse(other, "a decimal number")),
    };
    from_text(py, &text)
}
