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
    let mut items = Vec::new();
    let mut cells = Cells::new();
    for element in value.try_iter()? {
        cells.clear();
        super::encode(&element?, item, Transform::None, target, &mut cells)?;
        items.push(json(cells.get(0), item));
    }
    out.push_text(&Value::Array(items).to_string());
    Ok(())
}

fn json(cell: Option<CellRef<'_>>, item: &SqlType) -> Value {
    match cell {
        None | Some(CellRef::Null) => Value::Null,
        Some(CellRef::Int(number)) => Value::from(number),
        Some(CellRef::Real(number)) => Value::from(number),
        Some(CellRef::Text(bytes)) => {
            let text = String::from_utf8_lossy(bytes);
            match item {
                // An array or a document inside an array is JSON already.
                SqlType::Array(_) | SqlType::Json => {
                    serde_json::from_str(&text).unwrap_or_else(|_| Value::from(text.into_owned()))
                }
                _ => Value::from(text.into_owned()),
            }
        }
        Some(CellRef::Blob(bytes)) => Value::from(hex(bytes)),
    }
}

fn hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from_digit(nibble.into(), 16).unwrap_or('0');
    bytes
        .iter()
        .flat_map(|b| [digit(b >> 4), digit(b & 15)])
        .collect()
}
