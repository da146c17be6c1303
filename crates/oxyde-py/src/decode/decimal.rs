//! TEXT (or a number of an older NUMERIC column) → `Decimal`.

use oxyde_exec::cells::CellRef;
use pyo3::prelude::*;

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
