//! JSON text (written by the field's own Pydantic serializer) → SQLite: TEXT; PostgreSQL: jsonb, a version byte and
//! the text; MySQL: text.
//!
//! Pydantic may write NaN and infinity as bare words, which is not JSON, and an escaped NUL, which
//! PostgreSQL cannot store: both are refused on every database, so that data can move between them.

use std::borrow::Cow;

use oxyde_exec::cells::Cells;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};
use serde_json::Value;

use super::parameters::Parameters;
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

pub fn mysql(value: &Bound<'_, PyAny>, target: Target<'_>, out: &mut Parameters) -> PyResult<()> {
    let text = mysql_checked(value, target)?;
    if target.declared.is_some_and(|ty| !ty.holds_documents()) {
        out.text(&bare(text));
    } else {
        out.text(text);
    }
    Ok(())
}

/// MySQL keeps integers of 64 bits, with or without a sign; larger ones it would make floats of.
pub fn mysql_checked<'a>(value: &'a Bound<'_, PyAny>, target: Target<'_>) -> PyResult<&'a str> {
    let text = checked(value, target)?;
    if has_wide_integer(text) {
        return Err(target.refuse(
            value.py(),
            "the JSON holds an integer of more than 64 bits, which the database would make a float of",
        ));
    }
    Ok(text)
}

fn has_wide_integer(text: &str) -> bool {
    let mut rest = text;
    while let Some(at) = rest.find(['"', '-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9']) {
        let (_, token) = rest.split_at_checked(at).unwrap_or(("", rest));
        let length = if token.starts_with('"') {
            string_length(token)
        } else {
            number_length(token)
        };
        let (number, after) = token.split_at_checked(length).unwrap_or((token, ""));
        // 18 digits always fit.
        let wide = number.len() > 18
            && !number.starts_with('"')
            && !number.contains(['.', 'e', 'E'])
            && number.parse::<i64>().is_err()
            && number.parse::<u64>().is_err();
        if wide {
            return true;
        }
        rest = after;
    }
    false
}

/// Of the number that the text begins with.
fn number_length(text: &str) -> usize {
    text.find(|c: char| !matches!(c, '0'..='9' | '-' | '+' | '.' | 'e' | 'E'))
        .unwrap_or(text.len())
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
            '-' | '0'..='9' => number_length(rest),
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
    use super::{fault, floats, has_wide_integer};

    #[test]
    fn integers_of_more_than_64_bits_are_found() {
        for (text, wide) in [
            ("[9223372036854775807, -9223372036854775808]", false),
            ("18446744073709551615", false),
            ("18446744073709551616", true),
            (r#"{"a": [-9223372036854775809]}"#, true),
            (
                r#"["18446744073709551616", "\\", "\"18446744073709551616"]"#,
                false,
            ),
            (r#"{"18446744073709551616": 1}"#, false),
            (
                "[18446744073709551616.0, 1e300, 0.1234567890123456789]",
                false,
            ),
            ("123456789012345678901234567890", true),
        ] {
            assert_eq!(has_wide_integer(text), wide, "{text}");
        }
    }

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
