//! JSON text (written by the field's own Pydantic serializer) → SQLite: TEXT; PostgreSQL: jsonb, a version byte and
//! the text.
//!
//! Pydantic may write NaN and infinity as bare words, which is not JSON, and an escaped NUL, which
//! PostgreSQL cannot store: both are refused on every database, so that data can move between them.

use std::borrow::Cow;

use oxyde_exec::cells::Cells;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};
use serde_json::Value;

use super::{Target, decimal};

pub fn sqlite(value: &Bound<'_, PyAny>, target: Target<'_>, out: &mut Cells) -> PyResult<()> {
    out.push_text(checked(value, target)?);
    Ok(())
}

pub fn postgres(value: &Bound<'_, PyAny>, target: Target<'_>, out: &mut Vec<u8>) -> PyResult<()> {
    let text = checked(value, target)?;
    out.push(1);
    out.extend_from_slice(floats(text).as_bytes());
    Ok(())
}

pub fn checked<'a>(value: &'a Bound<'_, PyAny>, target: Target<'_>) -> PyResult<&'a str> {
    let text = if let Ok(text) = value.cast::<PyString>() {
        text.to_str()
            .map_err(|_| target.refuse(value.py(), "the JSON holds a lone surrogate"))?
    } else if let Ok(bytes) = value.cast::<PyBytes>() {
        std::str::from_utf8(bytes.as_bytes())
            .map_err(|_| target.refuse(value.py(), "the JSON is not UTF-8"))?
    } else {
        return Err(target.wrong_type(value, "JSON text"));
    };
    match fault(text) {
        Some(why) => Err(target.refuse(value.py(), why)),
        None => Ok(text),
    }
}

/// `1e16` is a float to Python, but jsonb would give back an integer: as `10000000000000000.0` it stays one.
pub fn floats(text: &str) -> Cow<'_, str> {
    let exponents = text
        .as_bytes()
        .windows(2)
        .any(|pair| matches!(pair, [b'0'..=b'9', b'e' | b'E']));
    if !exponents {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 32);
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '"' => string_length(rest),
            '-' | '0'..='9' => rest
                .find(|c: char| !matches!(c, '0'..='9' | '-' | '+' | '.' | 'e' | 'E'))
                .unwrap_or(rest.len()),
            other => other.len_utf8(),
        };
        let (token, after) = rest.split_at_checked(length).unwrap_or((rest, ""));
        match plain_number(token) {
            Some(plain) => out.push_str(&plain),
            None => out.push_str(token),
        }
        rest = after;
    }
    Cow::Owned(out)
}

/// Of the string that the text begins with, its quotes included.
fn string_length(text: &str) -> usize {
    let mut escaped = true;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// A number with an exponent that would become an integer, written out with a point.
fn plain_number(token: &str) -> Option<String> {
    if !token.contains(['e', 'E']) || token.starts_with('"') {
        return None;
    }
    let plain = decimal::canonical(token, None, None, false).ok()?;
    (!plain.contains('.')).then(|| plain + ".0")
}

/// What no database would take: found by walking over the strings.
fn fault(text: &str) -> Option<&'static str> {
    const NUL: &str = "the JSON holds a NUL character, which databases cannot store";
    let mut rest = text.as_bytes();
    let mut inside = false;
    while let [byte, tail @ ..] = rest {
        rest = tail;
        match (inside, byte) {
            (_, b'"') => inside = !inside,
            (true, b'\\') if tail.starts_with(b"u0000") => return Some(NUL),
            // The escaped character is not looked at: it may be a quote or a backslash.
            (true, b'\\') => rest = tail.get(1..).unwrap_or_default(),
            (false, b'N' | b'I') => return Some("NaN and infinity have no JSON form"),
            (_, 0) => return Some(NUL),
            _ => {}
        }
    }
    None
}

/// The text that a JSON string holds; any other document as it is. A union of address types, say, is JSON to the
/// program and inet to the database.
pub fn bare(document: &str) -> Cow<'_, str> {
    match serde_json::from_str(document) {
        Ok(Value::String(text)) => Cow::Owned(text),
        _ => Cow::Borrowed(document),
    }
}

#[cfg(test)]
mod tests {
    use super::{fault, floats};

    #[test]
    fn floats_stay_floats() {
        assert_eq!(
            floats(r#"[1e3, -1.5E+2,1.25e-3,12,"1e3\"1e3",true,false]"#),
            r#"[1000.0, -150.0,1.25e-3,12,"1e3\"1e3",true,false]"#
        );
        assert_eq!(floats(r#"{"1e3ü": 0e5}"#), r#"{"1e3ü": 0.0}"#);
    }

    #[test]
    fn only_real_faults_are_found() {
        assert!(fault(r#"{"a\"NaN": ["Infinity \\", 1]}"#).is_none());
        assert!(fault(r#"["\u0000"]"#).is_some());
        assert!(fault(r#"["\\u0000"]"#).is_none());
        assert!(fault(r#"["\u0001"]"#).is_none());
        assert!(fault("[NaN]").is_some());
        assert!(fault("[-Infinity]").is_some());
        assert!(fault(r#"["NaN", null, true, 1e5]"#).is_none());
    }
}
