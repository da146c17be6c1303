//! `list` of scalars → a JSON array as TEXT, its items in the form their own column would have (bytes as
//! hexadecimal digits). Also the form of every `in` list.

use oxyde_exec::cells::{CellRef, Cells};
use oxyde_sql::SqlType;
use oxyde_sql::Transform;
use pyo3::prelude::*;
use pyo3::types::{PyFrozenSet, PyList, PySet, PyTuple};
use serde_json::Value;

use super::Target;

pub fn sqlite(
    value: &Bound<'_, PyAny>,
    item: &SqlType,
    target: Target<'_>,
    out: &mut Cells,
) -> PyResult<()> {
    let known = value.is_instance_of::<PyList>()
        || value.is_instance_of::<PyTuple>()
        || value.is_instance_of::<PySet>()
        || value.is_instance_of::<PyFrozenSet>();
    if !known {
        return Err(target.wrong_type(value, "list"));
    }
    let mut text = String::from("[");
    let mut cells = Cells::new();
    for element in value.try_iter()? {
        cells.clear();
        super::encode(&element?, item, Transform::None, target, &mut cells)?;
        if text.len() > 1 {
            text.push(',');
        }
        push_json(cells.get(0), item, &mut text);
    }
    text.push(']');
    out.push_text(&text);
    Ok(())
}

fn push_json(cell: Option<CellRef<'_>>, item: &SqlType, out: &mut String) {
    match cell {
        None | Some(CellRef::Null) => out.push_str("null"),
        Some(CellRef::Int(number)) => out.push_str(&number.to_string()),
        Some(CellRef::Real(number)) => out.push_str(&Value::from(number).to_string()),
        Some(CellRef::Text(bytes)) => {
            let text = String::from_utf8_lossy(bytes);
            match item {
                // An array or a document inside an array is JSON already. It goes in as it is: to read and write
                // it again would change the order of its keys and numbers that are no i64 or f64.
                SqlType::Array(_) | SqlType::Json => out.push_str(&text),
                _ => out.push_str(&Value::from(text.into_owned()).to_string()),
            }
        }
        Some(CellRef::Blob(bytes)) => {
            out.push('"');
            for byte in bytes {
                out.push(digit(byte >> 4));
                out.push(digit(byte & 15));
            }
            out.push('"');
        }
    }
}

fn digit(nibble: u8) -> char {
    char::from_digit(nibble.into(), 16).unwrap_or('0')
}
