//! The values of MySQL and MariaDB → Python, by the type that the server reports and then the field's.
//!
//! A [`Decoder`] is chosen once per result column. The usual pairs (BIGINT under an `int` field …) have a function of
//! their own that goes from the bytes to the object; all others take the value out of its wire format first (see
//! [`Value`]) and let the field's type decide what it makes of it.

#[cfg(feature = "fuzzing")]
pub mod exercise;
pub mod kind;
mod parse;
mod quick;
mod rows;
#[cfg(test)]
mod tests;
mod value;

use oxyde_exec::mysql::rows::Rows;
use oxyde_exec::query::{Column, Malformed, RawRows};
use oxyde_sql::SqlType;
use pyo3::prelude::*;

use super::postgres::numeric;
use super::wire::{Decode, Wanted};
use super::{Decoded, Unreadable};
use crate::loader::{Decoders, Loader};
use kind::{Form, Width};
pub use parse::stamp;
pub use value::Value;

/// The digits after the point of a DECIMAL that has as many as the server can have: those of a bare one of ours.
const MOST_DECIMALS: i32 = 30;

type Read = for<'py> fn(Python<'py>, &[u8], &Decoder) -> Decoded<'py>;

/// Reads the values of one result column.
#[derive(Clone, Debug)]
pub struct Decoder {
    read: Read,
    form: Form,
    width: Width,
    unsigned: bool,
    binary: bool,
    /// Zeros at the end of a decimal say nothing.
    trims: bool,
    wanted: Wanted,
    column: Column,
}

impl Decode for Decoder {
    type Row<'a> = &'a [u8];

    fn new(column: &Column, wanted: Wanted) -> Self {
        let form = Form::of(column);
        let unsigned = kind::is_unsigned(column);
        let read = match &wanted {
            Wanted::Natural => natural,
            Wanted::Field(ty) => quick::pick(form, unsigned, column.binary, ty).unwrap_or(general),
        };
        let declared = matches!(
            wanted,
            Wanted::Field(SqlType::Decimal { scale: Some(_), .. })
        );
        Self {
            read,
            form,
            width: form.width(),
            unsigned,
            binary: column.binary,
            trims: column.modifier >= MOST_DECIMALS && !declared,
            wanted,
            column: column.clone(),
        }
    }

    fn kept(loader: &Loader) -> &Decoders<Self> {
        &loader.mysql
    }

    fn is_for(&self, column: &Column) -> bool {
        let own = &self.column;
        (
            own.type_oid,
            own.modifier,
            own.binary,
            own.flags,
            own.charset,
        ) == (
            column.type_oid,
            column.modifier,
            column.binary,
            column.flags,
            column.charset,
        )
    }

    fn rows<'a>(rows: RawRows<'a>) -> impl Iterator<Item = Result<Self::Row<'a>, Malformed>> {
        Rows::of(rows)
    }

    fn split<'a>(
        row: Self::Row<'a>,
        decoders: &[Self],
        fields: &mut [Option<&'a [u8]>],
    ) -> Result<(), Malformed> {
        if decoders.first().is_none_or(|first| first.binary) {
            rows::binary(row, decoders, fields)
        } else {
            rows::text(row, fields)
        }
    }

    #[inline]
    fn decode<'py>(&self, py: Python<'py>, bytes: &[u8]) -> Decoded<'py> {
        (self.read)(py, bytes, self)
    }

    fn brief(&self, bytes: &[u8]) -> Option<String> {
        self.value(bytes).brief()
    }
}

impl Decoder {
    fn value<'a>(&self, bytes: &'a [u8]) -> Value<'a> {
        Value::new(self.form, self.unsigned, self.binary, bytes)
    }

    /// What the column's type is called.
    pub fn name(&self) -> String {
        kind::name(&self.column)
    }

    /// A decimal without what its column has added to it.
    pub fn digits<'a>(&self, text: &'a str) -> &'a str {
        let trimmed = if self.trims {
            numeric::trimmed(text)
        } else {
            None
        };
        trimmed.unwrap_or(text)
    }

    pub fn refuse(&self, value: &Value<'_>, expected: &str) -> Unreadable {
        value.instead_of(expected, &self.name())
    }
}

/// Any pair of types: the field's decides.
fn general<'py>(py: Python<'py>, bytes: &[u8], decoder: &Decoder) -> Decoded<'py> {
    let value = decoder.value(bytes);
    let Wanted::Field(ty) = &decoder.wanted else {
        return super::natural::mysql(py, &value, decoder);
    };
    match ty {
        SqlType::SmallInt | SqlType::Int | SqlType::BigInt => {
            super::integer::mysql(py, &value, decoder)
        }
        SqlType::Text | SqlType::String(_) | SqlType::Enum(_) => {
            super::text::mysql(py, &value, decoder)
        }
        SqlType::Real | SqlType::Double => super::float::mysql(py, &value, decoder),
        SqlType::Bool => super::boolean::mysql(py, &value, decoder),
        SqlType::Decimal { .. } => super::decimal::mysql(py, &value, decoder),
        SqlType::Timestamp => super::timestamp::mysql(py, &value, false, decoder),
        SqlType::TimestampTz => super::timestamp::mysql(py, &value, true, decoder),
        SqlType::Date => super::date::mysql(py, &value, decoder),
        SqlType::Time => super::time::mysql(py, &value, decoder),
        SqlType::Duration => super::duration::mysql(py, &value, decoder),
        SqlType::Uuid => super::uuid::mysql(py, &value, decoder),
        SqlType::Bytes => super::bytes::mysql(py, &value, decoder),
        SqlType::Json => super::json::mysql(py, &value, decoder),
        SqlType::Array(item) => super::array::mysql(py, &value, item, decoder),
    }
}

fn natural<'py>(py: Python<'py>, bytes: &[u8], decoder: &Decoder) -> Decoded<'py> {
    super::natural::mysql(py, &decoder.value(bytes), decoder)
}
