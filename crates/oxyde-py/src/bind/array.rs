//! `list` of scalars → SQLite: a JSON array as TEXT, its items in the form their own column would have (bytes as
//! hexadecimal digits); PostgreSQL: an array;
//! MySQL: a JSON array, its items in the form that JSON_TABLE reads as their own type. Also the form of every `in` list.
//!
//! Lists of lists are arrays of more dimensions there, which have the same number of items everywhere.

use std::fmt::{Display, Write};

use oxyde_exec::cells::{CellRef, Cells};
use oxyde_sql::{SqlType, Transform};
use pyo3::prelude::*;
use pyo3::types::{PyFrozenSet, PyList, PySet, PyTuple};
use serde_json::Value;

use super::parameters::Parameters;
use super::{
    Target, boolean, bytes, date, decimal, duration, float, integer, json, text, time, timestamp,
    uuid, wire,
};

/// OID of text.
pub const TEXT: u32 = 25;

pub fn sqlite(
    value: &Bound<'_, PyAny>,
    item: &SqlType,
    target: Target<'_>,
    out: &mut Cells,
) -> PyResult<()> {
    check(value, target)?;
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

fn check(value: &Bound<'_, PyAny>, target: Target<'_>) -> PyResult<()> {
    if is_list(value) {
        return Ok(());
    }
    Err(target.wrong_type(value, "list"))
}

pub fn is_list(value: &Bound<'_, PyAny>) -> bool {
    value.is_instance_of::<PyList>()
        || value.is_instance_of::<PyTuple>()
        || value.is_instance_of::<PySet>()
        || value.is_instance_of::<PyFrozenSet>()
}

/// The array's own type decides between binary and text: of an enum's array only the server knows the OID.
pub fn postgres(
    value: &Bound<'_, PyAny>,
    item: &SqlType,
    target: Target<'_>,
    out: &mut Vec<u8>,
) -> PyResult<()> {
    let (leaf, depth) = leaf(item);
    match leaf.pg_oid() {
        None => text(value, item, target, out),
        Some(oid) => binary(value, oid, depth, target, out, &mut |element, out| {
            super::value_of(element, leaf, Transform::None, false, target, out)
        }),
    }
}

/// What the innermost items are, and in how many lists.
fn leaf(item: &SqlType) -> (&SqlType, usize) {
    let mut depth = 1;
    let mut leaf = item;
    while let SqlType::Array(inner) = leaf {
        leaf = inner;
        depth += 1;
    }
    (leaf, depth)
}

/// Appends an item with its length, or NULL.
type Element<'a> = dyn FnMut(&Bound<'_, PyAny>, &mut Vec<u8>) -> PyResult<()> + 'a;

/// Number of dimensions, whether there are NULLs, OID of the items; for each dimension length and first index; items.
pub fn binary(
    value: &Bound<'_, PyAny>,
    oid: u32,
    depth: usize,
    target: Target<'_>,
    out: &mut Vec<u8>,
    element: &mut Element<'_>,
) -> PyResult<()> {
    check(value, target)?;
    let mut shape = Shape {
        lengths: vec![None; depth],
        nulls: false,
    };
    if depth == 1 {
        // Nearly all arrays: the header is known at once, and the items follow it.
        let length = length(value, target)?;
        header(out, oid, &[length]);
        let flags = out.len() - if length == 0 { 8 } else { 16 };
        let mut seen = 0;
        for item in value.try_iter()? {
            let item = item?;
            shape.nulls |= item.is_none();
            element(&item, out)?;
            seen += 1;
        }
        if seen != length {
            return Err(target.refuse(value.py(), "the list changed while it was read"));
        }
        wire::patch(out, flags, i32::from(shape.nulls));
        return Ok(());
    }
    let mut items = Vec::new();
    shape.walk(value, 0, target, &mut items, element)?;
    let lengths: Vec<i32> = shape
        .lengths
        .iter()
        .map(|length| length.unwrap_or(0))
        .collect();
    if lengths.first() == Some(&0) {
        header(out, oid, &[0]);
        return Ok(());
    }
    if lengths.contains(&0) {
        return Err(target.refuse(
            value.py(),
            "PostgreSQL has no array of empty lists: it would become an empty list",
        ));
    }
    let at = out.len();
    header(out, oid, &lengths);
    wire::patch(out, at + 4, i32::from(shape.nulls));
    out.extend_from_slice(&items);
    Ok(())
}

fn length(value: &Bound<'_, PyAny>, target: Target<'_>) -> PyResult<i32> {
    i32::try_from(value.len()?).map_err(|_| target.refuse(value.py(), "the list is too long"))
}

/// One dimension of length 0 is an array without dimensions.
pub fn header(out: &mut Vec<u8>, oid: u32, lengths: &[i32]) {
    let lengths = if lengths == [0] { &[] } else { lengths };
    let dimensions = i32::try_from(lengths.len()).unwrap_or(i32::MAX);
    out.extend_from_slice(&dimensions.to_be_bytes());
    out.extend_from_slice(&0i32.to_be_bytes());
    out.extend_from_slice(&oid.to_be_bytes());
    for length in lengths {
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(&1i32.to_be_bytes());
    }
}

/// What is known about an array of more dimensions while its items are read.
struct Shape {
    lengths: Vec<Option<i32>>,
    nulls: bool,
}

impl Shape {
    fn walk(
        &mut self,
        value: &Bound<'_, PyAny>,
        level: usize,
        target: Target<'_>,
        out: &mut Vec<u8>,
        element: &mut Element<'_>,
    ) -> PyResult<()> {
        if value.is_none() {
            return Err(target.refuse(
                value.py(),
                "PostgreSQL has no array in which None stands for a list",
            ));
        }
        check(value, target)?;
        let length = length(value, target)?;
        let innermost = level + 1 >= self.lengths.len();
        match self.lengths.get_mut(level) {
            Some(Some(before)) if *before != length => {
                return Err(target.refuse(
                    value.py(),
                    "PostgreSQL has no array whose lists are of different lengths",
                ));
            }
            Some(known) => *known = Some(length),
            None => {}
        }
        let mut seen = 0;
        for item in value.try_iter()? {
            let item = item?;
            if innermost {
                self.nulls |= item.is_none();
                element(&item, out)?;
            } else {
                self.walk(&item, level + 1, target, out, element)?;
            }
            seen += 1;
        }
        if seen != length {
            return Err(target.refuse(value.py(), "the list changed while it was read"));
        }
        Ok(())
    }
}

/// An array of texts, each the text of an item, which the statement casts to what it is.
pub fn texts(
    value: &Bound<'_, PyAny>,
    list: &SqlType,
    target: Target<'_>,
    out: &mut Vec<u8>,
) -> PyResult<()> {
    let SqlType::Array(item) = list else {
        return Err(target.wrong_type(value, list.kind()));
    };
    binary(value, TEXT, 1, target, out, &mut |element, out| {
        text_item(element, item, target, out)
    })
}

/// One item of an array of texts.
pub fn text_item(
    element: &Bound<'_, PyAny>,
    item: &SqlType,
    target: Target<'_>,
    out: &mut Vec<u8>,
) -> PyResult<()> {
    if element.is_none() {
        wire::null(out);
        return Ok(());
    }
    wire::framed(element.py(), target, out, |out| {
        super::plain::postgres(element, item, Transform::None, target, out)
    })
}

/// `{"a","b",NULL}`: for items of which only the server knows what they are.
pub fn text(
    value: &Bound<'_, PyAny>,
    item: &SqlType,
    target: Target<'_>,
    out: &mut Vec<u8>,
) -> PyResult<()> {
    braces(value, target, out, &mut |element, out| match item {
        SqlType::Array(inner) => text(element, inner, target, out),
        _ => {
            let mut plain = Vec::new();
            super::plain::postgres(element, item, Transform::None, target, &mut plain)?;
            quote(&plain, out);
            Ok(())
        }
    })
}

/// The server finds ragged lists by itself, and the order of its complaints is as good as ours.
pub fn braces(
    value: &Bound<'_, PyAny>,
    target: Target<'_>,
    out: &mut Vec<u8>,
    element: &mut Element<'_>,
) -> PyResult<()> {
    check(value, target)?;
    out.push(b'{');
    for (index, item) in value.try_iter()?.enumerate() {
        if index > 0 {
            out.push(b',');
        }
        let item = item?;
        if item.is_none() {
            out.extend_from_slice(b"NULL");
        } else {
            element(&item, out)?;
        }
    }
    out.push(b'}');
    Ok(())
}

pub fn quote(plain: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    for byte in plain {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(*byte);
    }
    out.push(b'"');
}

pub fn mysql(
    value: &Bound<'_, PyAny>,
    item: &SqlType,
    target: Target<'_>,
    out: &mut Parameters,
) -> PyResult<()> {
    let mut text = String::new();
    mysql_list(value, item, target, &mut text)?;
    out.text(&text);
    Ok(())
}

fn mysql_list(
    value: &Bound<'_, PyAny>,
    item: &SqlType,
    target: Target<'_>,
    out: &mut String,
) -> PyResult<()> {
    check(value, target)?;
    out.push('[');
    for (index, element) in value.try_iter()?.enumerate() {
        if index > 0 {
            out.push(',');
        }
        mysql_item(&element?, item, target, out)?;
    }
    out.push(']');
    Ok(())
}

fn mysql_item(
    value: &Bound<'_, PyAny>,
    item: &SqlType,
    target: Target<'_>,
    out: &mut String,
) -> PyResult<()> {
    if value.is_none() {
        out.push_str("null");
        return Ok(());
    }
    let whole = |min, max| integer::checked(value, min, max, target);
    match item {
        SqlType::SmallInt => bare(out, whole(i16::MIN.into(), i16::MAX.into())?),
        SqlType::Int => bare(out, whole(i32::MIN.into(), i32::MAX.into())?),
        SqlType::BigInt => bare(out, whole(i64::MIN, i64::MAX)?),
        SqlType::Duration => bare(out, duration::micros(value, target)?),
        SqlType::Bool => bare(out, boolean::checked(value, target)?),
        SqlType::Real => {
            let number = float::rounded(value, float::finite(value, target)?, target)?;
            bare(out, Value::from(f64::from(number)));
        }
        SqlType::Double => bare(out, Value::from(float::finite(value, target)?)),
        SqlType::Json => bare(out, json::mysql_checked(value, target)?),
        SqlType::Array(inner) => mysql_list(value, inner, target, out)?,
        SqlType::Text | SqlType::String(_) | SqlType::Enum(_) => {
            bare(out, Value::from(text::checked(value, target)?));
        }
        SqlType::Decimal { .. } => quoted(out, &decimal::mysql_item(value, target)?),
        SqlType::Timestamp => {
            quoted(
                out,
                &timestamp::text(&timestamp::utc(value, false, target)?),
            );
        }
        SqlType::TimestampTz => {
            quoted(out, &timestamp::text(&timestamp::utc(value, true, target)?));
        }
        SqlType::Date => {
            let mut text = String::new();
            timestamp::write_date(&mut text, &date::checked(value, target)?);
            quoted(out, &text);
        }
        SqlType::Time => {
            let mut text = String::new();
            timestamp::write_time(&mut text, &time::checked(value, target)?);
            quoted(out, &text);
        }
        SqlType::Uuid => quoted(out, &uuid::hyphenated(uuid::checked(value, target)?)),
        SqlType::Bytes => {
            let bytes = bytes::checked(value, target)?;
            let digits = bytes.as_bytes().iter();
            let digits = digits.flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]);
            quoted(out, &digits.collect::<String>());
        }
    }
    Ok(())
}

/// What is JSON as it is.
fn bare(out: &mut String, value: impl Display) {
    // Writing to a String does not fail.
    let _ = write!(out, "{value}");
}

/// A text without anything that JSON escapes.
fn quoted(out: &mut String, text: &str) {
    out.push('"');
    out.push_str(text);
    out.push('"');
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

pub fn digit(nibble: u8) -> char {
    char::from_digit(nibble.into(), 16).unwrap_or('0')
}
