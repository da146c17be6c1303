//! `str` → text. Lone surrogates have no UTF-8 form and NUL ends a text for many programs: both are refused.

use oxyde_exec::cells::Cells;
use oxyde_sql::Transform;
use pyo3::prelude::*;
use pyo3::types::PyString;

use super::Target;
use super::parameters::Parameters;
use crate::contract::Declared;

pub fn sqlite(
    value: &Bound<'_, PyAny>,
    transform: Transform,
    target: Target<'_>,
    out: &mut Cells,
) -> PyResult<()> {
    out.push_text(&transform.apply(checked(value, target)?));
    Ok(())
}

pub fn postgres(
    value: &Bound<'_, PyAny>,
    transform: Transform,
    length: Option<u32>,
    target: Target<'_>,
    out: &mut Vec<u8>,
) -> PyResult<()> {
    let text = checked(value, target)?;
    if let (true, Some(length)) = (target.stored, length)
        && would_be_cut(text, length)
    {
        return Err(target.refuse(
            value.py(),
            &format!("the text is longer than {length} characters, and the database would cut off the blanks at its end"),
        ));
    }
    out.extend_from_slice(transform.apply(text).as_bytes());
    Ok(())
}

/// A VARCHAR(n) refuses longer texts, except those of which only blanks would be lost.
fn would_be_cut(text: &str, length: u32) -> bool {
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    text.len() > length
        && text.ends_with(' ')
        && text.chars().count() > length
        && text.trim_end_matches(' ').chars().count() <= length
}

pub fn mysql(
    value: &Bound<'_, PyAny>,
    transform: Transform,
    length: Option<u32>,
    target: Target<'_>,
    out: &mut Parameters,
) -> PyResult<()> {
    let text = checked(value, target)?;
    if target.stored {
        fits(text, length, target.declared).map_err(|why| target.refuse(value.py(), &why))?;
    }
    out.text(&transform.apply(text));
    Ok(())
}

/// MySQL refuses longer texts as well, except those of which only blanks would be lost.
fn fits(text: &str, length: Option<u32>, declared: Option<&Declared>) -> Result<(), String> {
    let length = match declared {
        None => length,
        Some(declared) => match declared.name.as_str() {
            "char" | "character" | "nchar" if text.ends_with(' ') => {
                return Err("the text ends with a blank, which a CHAR column cuts off".to_owned());
            }
            "varchar" | "nvarchar" | "char" | "character" | "nchar" => declared.length,
            _ => None,
        },
    };
    match length.map(|length| (length, usize::try_from(length).unwrap_or(usize::MAX))) {
        Some((length, limit)) if text.len() > limit && text.chars().count() > limit => {
            Err(format!("the text is longer than {length} characters"))
        }
        _ => Ok(()),
    }
}

/// The UTF-8 of a str that every database can hold.
pub fn checked<'a>(value: &'a Bound<'_, PyAny>, target: Target<'_>) -> PyResult<&'a str> {
    let Ok(text) = value.cast::<PyString>() else {
        return Err(target.wrong_type(value, "str"));
    };
    let Ok(text_utf8) = text.to_str() else {
        return Err(target.refuse(
            text.py(),
            "the text holds a lone surrogate, which has no UTF-8 form",
        ));
    };
    if text_utf8.as_bytes().contains(&0) {
        return Err(target.refuse(
            text.py(),
            "the text holds a NUL character, which databases cannot store",
        ));
    }
    Ok(text_utf8)
}
