//! `UUID` → SQLite: TEXT, lower case with hyphens; PostgreSQL: its 16 bytes; MySQL: text.

use oxyde_exec::cells::Cells;
use pyo3::intern;
use pyo3::prelude::*;

use super::Target;
use super::parameters::Parameters;
use crate::layout;

pub fn sqlite(value: &Bound<'_, PyAny>, target: Target<'_>, out: &mut Cells) -> PyResult<()> {
    out.push_text(&hyphenated(checked(value, target)?));
    Ok(())
}

pub fn postgres(value: &Bound<'_, PyAny>, target: Target<'_>, out: &mut Vec<u8>) -> PyResult<()> {
    out.extend_from_slice(&checked(value, target)?.to_be_bytes());
    Ok(())
}

pub fn mysql(value: &Bound<'_, PyAny>, target: Target<'_>, out: &mut Parameters) -> PyResult<()> {
    out.text(&hyphenated(checked(value, target)?));
    Ok(())
}

pub fn checked(value: &Bound<'_, PyAny>, target: Target<'_>) -> PyResult<u128> {
    let py = value.py();
    if !value.is_instance(layout::uuid_type(py)?)? {
        return Err(target.wrong_type(value, "UUID"));
    }
    value.getattr(intern!(py, "int"))?.extract()
}

pub fn hyphenated(number: u128) -> String {
    let mut text = String::with_capacity(36);
    for nibble in (0..32u32).rev() {
        let digit = u32::try_from(number >> (nibble * 4) & 0xf).unwrap_or(0);
        text.push(char::from_digit(digit, 16).unwrap_or('0'));
        if matches!(nibble, 24 | 20 | 16 | 12) {
            text.push('-');
        }
    }
    text
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_usual_form() {
        assert_eq!(
            super::hyphenated(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef),
            "01234567-89ab-cdef-0123-456789abcdef"
        );
    }
}
