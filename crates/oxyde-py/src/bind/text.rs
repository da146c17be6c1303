//! `str` → TEXT. Lone surrogates have no UTF-8 form and NUL ends a text for many programs: both are refused.

use oxyde_exec::cells::Cells;
use oxyde_sql::Transform;
use pyo3::prelude::*;
use pyo3::types::PyString;

use super::Target;

pub fn sqlite(
    value: &Bound<'_, PyAny>,
    transform: Transform,
    target: Target<'_>,
    out: &mut Cells,
) -> PyResult<()> {
    let Ok(text) = value.cast::<PyString>() else {
        return Err(target.wrong_type(value, "str"));
    };
    let text = checked(text, target)?;
    out.push_text(&transform.apply(text));
    Ok(())
}

/// The UTF-8 of a str that every database can hold.
pub fn checked<'a>(text: &'a Bound<'_, PyString>, target: Target<'_>) -> PyResult<&'a str> {
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
