//! json, jsonb, JSON, JSON as text, values that JSON has a form for → `str`: the column's converter reads it through the
//! field's own Pydantic type.

use pyo3::exceptions::{PyRecursionError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use serde_json::Value as Json;

use super::mysql;
use super::postgres::{Value, oid};
use super::{Decoded, Unreadable, text};

pub fn postgres<'py>(py: Python<'py>, value: &Value<'_>) -> Decoded<'py> {
    let document = match value {
        Value::Json(bytes) => text::new(py, bytes),
        // The text of an address or a range is no document, but a string in one.
        Value::Text(bytes, oid) if *oid < oid::FIRST_FOREIGN && !oid::is_text(*oid) => {
            let string = Json::from(String::from_utf8_lossy(bytes)).to_string();
            text::new(py, string.as_bytes())
        }
        Value::Text(bytes, _) => text::new(py, bytes),
        Value::Uuid(number) => {
            let string = Json::from(crate::bind::uuid::hyphenated(*number)).to_string();
            text::new(py, string.as_bytes())
        }
        Value::Int(number) => text::new(py, number.to_string().as_bytes()),
        Value::Bool(flag) => text::new(py, flag.to_string().as_bytes()),
        other => return Err(other.instead_of("a JSON document")),
    };
    document.ok_or_else(|| Unreadable::Value("expected valid UTF-8 text".to_owned()))
}

/// Numbers are what an aggregate or a path of a document may be.
pub fn mysql<'py>(
    py: Python<'py>,
    value: &mysql::Value<'_>,
    decoder: &mysql::Decoder,
) -> Decoded<'py> {
    let document = match value {
        mysql::Value::Json(bytes) | mysql::Value::Text(bytes) => text::new(py, bytes),
        mysql::Value::Int(number) => text::new(py, number.to_string().as_bytes()),
        mysql::Value::Big(number) => text::new(py, number.to_string().as_bytes()),
        other => return Err(decoder.refuse(other, "a JSON document")),
    };
    document.ok_or_else(|| decoder.refuse(value, "valid UTF-8 text"))
}

/// Raw SQL: the document as Python's own objects.
pub fn loads<'py>(py: Python<'py>, bytes: &[u8]) -> Decoded<'py> {
    let document = text::new(py, bytes)
        .ok_or_else(|| Unreadable::Value("expected valid UTF-8 text".to_owned()))?;
    let module = py.import(intern!(py, "json"))?;
    module
        .call_method1(intern!(py, "loads"), (document,))
        .map_err(|error| unlike_python(py, error, bytes.len()))
}

/// Servers keep documents that Python does not read: nested thousands of levels deep, numbers of thousands of digits.
fn unlike_python(py: Python<'_>, error: PyErr, length: usize) -> Unreadable {
    if error.is_instance_of::<PyValueError>(py) || error.is_instance_of::<PyRecursionError>(py) {
        let why = error.value(py);
        return Unreadable::Value(format!(
            "expected a document that json.loads() reads, found one of {length} bytes: {why}"
        ));
    }
    error.into()
}
