//! JSON text (written by the field's own Pydantic serializer) → TEXT.
//!
//! Pydantic may write NaN and infinity as bare words, which is not JSON, and an escaped NUL, which
//! PostgreSQL cannot store: both are refused on every database, so that data can move between them.

use oxyde_exec::cells::Cells;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};

use super::Target;

pub fn sqlite(value: &Bound<'_, PyAny>, target: Target<'_>, out: &mut Cells) -> PyResult<()> {
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
        None => {
            out.push_text(text);
            Ok(())
        }
    }
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

#[cfg(test)]
mod tests {
    use super::fault;

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
