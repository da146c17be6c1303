//! Python values → wire values, one file per type.
//!
//! [`encode`] (SQLite), [`postgres`] and [`mysql`] are the only doors: the slot's [`SqlType`] decides, never the Python type, so that one SQL text
//! always gets one kind of value. What a column cannot hold is a `DataError` here, before anything is sent.

pub mod array;
pub mod boolean;
pub mod bytes;
pub mod date;
pub mod decimal;
pub mod duration;
mod enumeration;
pub mod float;
pub mod growing;
pub mod integer;
pub mod json;
pub mod natural;
pub mod parameters;
pub mod plain;
pub mod text;
pub mod time;
pub mod timestamp;
pub mod uuid;
pub mod wire;

use oxyde_exec::cells::Cells;
use oxyde_exec::query::{Encoded, Formats};
use oxyde_sql::{BindSlot, SqlType, Transform};
use parameters::{Kind, Parameters};
use pyo3::prelude::*;

use crate::contract::Declared;
use crate::decode::mysql::kind;
use crate::errors;

/// The length of a VARCHAR that has none of its own.
const VARCHAR: u32 = 255;

/// What is known about the place a value goes to.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    /// `table.column`, or the name of the parameter.
    pub label: &'a str,
    /// A value to be stored must fit the column's scale; one that is only compared need not.
    pub stored: bool,
    /// The column's type in the program's own words.
    pub declared: Option<&'a Declared>,
}

impl Target<'_> {
    /// A `DataError` that names the place and says why.
    pub fn refuse(&self, py: Python<'_>, why: &str) -> PyErr {
        errors::data_error(py, &format!("{}: {why}", self.label), self.label)
    }

    /// The error for a value of another Python type than the column's.
    pub fn wrong_type(&self, value: &Bound<'_, PyAny>, wanted: &str) -> PyErr {
        let got = value
            .get_type()
            .name()
            .map_or_else(|_| "?".to_owned(), |n| n.to_string());
        self.refuse(value.py(), &format!("expected {wanted}, got {got}"))
    }
}

/// Appends one value for SQLite.
pub fn encode(
    value: &Bound<'_, PyAny>,
    ty: &SqlType,
    transform: Transform,
    target: Target<'_>,
    out: &mut Cells,
) -> PyResult<()> {
    if value.is_none() {
        out.push_null();
        return Ok(());
    }
    match ty {
        SqlType::SmallInt => integer::sqlite(value, i16::MIN.into(), i16::MAX.into(), target, out),
        SqlType::Int => integer::sqlite(value, i32::MIN.into(), i32::MAX.into(), target, out),
        SqlType::BigInt => integer::sqlite(value, i64::MIN, i64::MAX, target, out),
        SqlType::Real | SqlType::Double => float::sqlite(value, target, out),
        SqlType::Bool => boolean::sqlite(value, target, out),
        SqlType::Text | SqlType::String(_) => text::sqlite(value, transform, target, out),
        SqlType::Decimal { precision, scale } => {
            decimal::sqlite(value, *precision, *scale, target, out)
        }
        SqlType::Timestamp => timestamp::sqlite(value, false, target, out),
        SqlType::TimestampTz => timestamp::sqlite(value, true, target, out),
        SqlType::Date => date::sqlite(value, target, out),
        SqlType::Time => time::sqlite(value, target, out),
        SqlType::Duration => duration::sqlite(value, target, out),
        SqlType::Uuid => uuid::sqlite(value, target, out),
        SqlType::Bytes => bytes::sqlite(value, target, out),
        SqlType::Json => json::sqlite(value, target, out),
        SqlType::Enum(_) => enumeration::sqlite(value, target, out),
        SqlType::Array(item) => array::sqlite(value, item, target, out),
    }
}

/// The parameters of one statement for the server that is called `database`.
pub fn encoded(
    py: Python<'_>,
    database: &str,
    count: usize,
    formats: Formats,
    values: Vec<u8>,
) -> PyResult<Encoded> {
    let Ok(count) = u16::try_from(count) else {
        return Err(errors::data_error(
            py,
            &format!("the statement has {count} parameters; {database} takes up to 65535"),
            "",
        ));
    };
    if values.len() > wire::MAX_MESSAGE {
        return Err(errors::data_error(
            py,
            &format!(
                "the parameters of the statement are larger than 1 GiB, which {database} refuses"
            ),
            "",
        ));
    }
    Ok(Encoded {
        count,
        formats,
        values,
    })
}

/// Appends one value for PostgreSQL: a 32-bit length and the value in the form that its slot declares.
pub fn postgres(
    value: &Bound<'_, PyAny>,
    slot: &BindSlot,
    target: Target<'_>,
    out: &mut Vec<u8>,
) -> PyResult<()> {
    if slot.texts && !value.is_none() {
        return wire::framed(value.py(), target, out, |out| {
            array::texts(value, &slot.ty, target, out)
        });
    }
    value_of(value, &slot.ty, slot.transform, slot.verbatim, target, out)
}

/// Appends one value as its type has it: in binary or, if `verbatim`, as text for the server to read as whatever the
/// column is.
pub fn value_of(
    value: &Bound<'_, PyAny>,
    ty: &SqlType,
    transform: Transform,
    verbatim: bool,
    target: Target<'_>,
    out: &mut Vec<u8>,
) -> PyResult<()> {
    if value.is_none() {
        wire::null(out);
        return Ok(());
    }
    wire::framed(value.py(), target, out, |out| match ty {
        SqlType::Text | SqlType::String(None) => {
            text::postgres(value, transform, None, target, out)
        }
        _ if verbatim => plain::postgres(value, ty, transform, target, out),
        SqlType::String(length) => text::postgres(value, transform, *length, target, out),
        SqlType::SmallInt => integer::small(value, target, out),
        SqlType::Int => integer::normal(value, target, out),
        SqlType::BigInt => integer::big(value, target, out),
        SqlType::Real => float::single(value, target, out),
        SqlType::Double => float::postgres(value, target, out),
        SqlType::Bool => boolean::postgres(value, target, out),
        SqlType::Decimal { precision, scale } => {
            decimal::postgres(value, *precision, *scale, target, out)
        }
        SqlType::Timestamp => timestamp::postgres(value, false, target, out),
        SqlType::TimestampTz => timestamp::postgres(value, true, target, out),
        SqlType::Date => date::postgres(value, target, out),
        SqlType::Time => time::postgres(value, target, out),
        SqlType::Duration => duration::postgres(value, target, out),
        SqlType::Uuid => uuid::postgres(value, target, out),
        SqlType::Bytes => bytes::postgres(value, target, out),
        SqlType::Json => json::postgres(value, target, out),
        SqlType::Enum(_) => enumeration::postgres(value, target, out),
        SqlType::Array(item) => array::postgres(value, item, target, out),
    })
}

/// Appends one value for MySQL and MariaDB. The session's character set is utf8mb4, its zone UTC.
pub fn mysql(
    value: &Bound<'_, PyAny>,
    slot: &BindSlot,
    target: Target<'_>,
    out: &mut Parameters,
) -> PyResult<()> {
    if value.is_none() {
        out.null(mysql_kind(&slot.ty));
        return Ok(());
    }
    match &slot.ty {
        SqlType::SmallInt => integer::mysql(value, i16::MIN.into(), i16::MAX.into(), target, out),
        SqlType::Int => integer::mysql(value, i32::MIN.into(), i32::MAX.into(), target, out),
        SqlType::BigInt => integer::mysql(value, i64::MIN, i64::MAX, target, out),
        SqlType::Real => float::mysql_single(value, target, out),
        SqlType::Double => float::mysql(value, target, out),
        SqlType::Bool => boolean::mysql(value, target, out),
        SqlType::Text => text::mysql(value, slot.transform, None, target, out),
        SqlType::String(length) => {
            let length = Some(length.unwrap_or(VARCHAR));
            text::mysql(value, slot.transform, length, target, out)
        }
        SqlType::Decimal { precision, scale } => {
            decimal::mysql(value, *precision, *scale, target, out)
        }
        SqlType::Timestamp => timestamp::mysql(value, false, target, out),
        SqlType::TimestampTz => timestamp::mysql(value, true, target, out),
        SqlType::Date => date::mysql(value, target, out),
        SqlType::Time => time::mysql(value, target, out),
        SqlType::Duration => duration::mysql(value, target, out),
        SqlType::Uuid => uuid::mysql(value, target, out),
        SqlType::Bytes => bytes::mysql(value, target, out),
        SqlType::Json => json::mysql(value, target, out),
        SqlType::Enum(_) => enumeration::mysql(value, target, out),
        SqlType::Array(item) => array::mysql(value, item, target, out),
    }
}

/// What a parameter of this type is declared as: what its values are declared as.
fn mysql_kind(ty: &SqlType) -> Kind {
    match ty {
        SqlType::SmallInt | SqlType::Int | SqlType::BigInt | SqlType::Bool | SqlType::Duration => {
            kind::LONGLONG
        }
        SqlType::Real => kind::FLOAT,
        SqlType::Double => kind::DOUBLE,
        SqlType::Decimal { .. } => kind::DECIMAL,
        SqlType::Timestamp | SqlType::TimestampTz => kind::DATETIME,
        SqlType::Date => kind::DATE,
        SqlType::Time => kind::TIME,
        SqlType::Bytes => kind::BLOB,
        SqlType::Text
        | SqlType::String(_)
        | SqlType::Uuid
        | SqlType::Json
        | SqlType::Enum(_)
        | SqlType::Array(_) => kind::VAR_STRING,
    }
}
