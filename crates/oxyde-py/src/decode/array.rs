//! A JSON array (JSON, TEXT) → `list`, its items read as their own column would read them.

use oxyde_exec::cells::CellRef;
use oxyde_sql::SqlType;
use pyo3::prelude::*;
use pyo3::types::PyList;
use serde_json::Value;

use super::mysql::{self, Value as Stored};
use super::{Decoded, Unreadable, unreadable};

pub fn sqlite<'py>(py: Python<'py>, cell: CellRef<'_>, item: &SqlType) -> Decoded<'py> {
    let CellRef::Text(bytes) = cell else {
        return Err(unreadable(cell, "a JSON array"));
    };
    match serde_json::from_slice::<Value>(bytes) {
        Ok(Value::Array(items)) => list(py, &items, item),
        _ => Err(unreadable(cell, "a JSON array")),
    }
}

pub fn mysql<'py>(
    py: Python<'py>,
    value: &Stored<'_>,
    item: &SqlType,
    decoder: &mysql::Decoder,
) -> Decoded<'py> {
    if let Stored::Json(bytes) | Stored::Text(bytes) = value
        && let Ok(Value::Array(items)) = serde_json::from_slice::<Value>(bytes)
    {
        return list(py, &items, item);
    }
    Err(decoder.refuse(value, "a JSON array"))
}

fn list<'py>(py: Python<'py>, items: &[Value], item: &SqlType) -> Decoded<'py> {
    let out = PyList::empty(py);
    for value in items {
        out.append(element(py, value, item)?)?;
    }
    Ok(out.into_any())
}

fn element<'py>(py: Python<'py>, value: &Value, item: &SqlType) -> Decoded<'py> {
    match (value, item) {
        (Value::Array(items), SqlType::Array(inner)) => list(py, items, inner),
        (document, SqlType::Json) => {
            super::decode(py, CellRef::Text(document.to_string().as_bytes()), item)
        }
        (Value::Null, _) => Ok(py.None().into_bound(py)),
        (Value::String(text), SqlType::Bytes) => {
            let bytes = unhex(text)
                .ok_or_else(|| Unreadable::Value("expected hexadecimal digits".to_owned()))?;
            super::decode(py, CellRef::Blob(&bytes), item)
        }
        (Value::String(text), _) => super::decode(py, CellRef::Text(text.as_bytes()), item),
        (Value::Bool(flag), _) => super::decode(py, CellRef::Int(i64::from(*flag)), item),
        (Value::Number(number), _) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => super::decode(py, CellRef::Int(whole), item),
            (None, Some(real)) => super::decode(py, CellRef::Real(real), item),
            _ => Err(Unreadable::Value(format!(
                "the number {number} has more than 64 bits"
            ))),
        },
        (other, _) => Err(Unreadable::Value(format!(
            "expected {}, found {other}",
            item.kind()
        ))),
    }
}

pub fn unhex(text: &str) -> Option<Vec<u8>> {
    let nibble = |b: u8| {
        char::from(b)
            .to_digit(16)
            .and_then(|d| u8::try_from(d).ok())
    };
    let pairs = text.as_bytes().chunks(2);
    pairs
        .map(|pair| match pair {
            [high, low] => Some(nibble(*high)? << 4 | nibble(*low)?),
            _ => None,
        })
        .collect()
}
