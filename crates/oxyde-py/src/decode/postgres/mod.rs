//! PostgreSQL's values → Python, by the type that the server reports and then the field's.
//!
//! A [`Decoder`] is chosen once per result column. The usual pairs (int8 under an `int` field …) have a function of
//! their own that goes from the bytes to the object; all others take the value out of its wire format first (see
//! [`Value`]) and let the field's type decide what it makes of it.

mod array;
#[cfg(feature = "fuzzing")]
pub mod exercise;
mod interval;
pub mod numeric;
pub mod oid;
mod parse;
mod quick;
mod value;

use oxyde_exec::query::{Column, Malformed, RawRow, RawRows};
use oxyde_sql::SqlType;
use pyo3::prelude::*;

use super::wire::{Decode, Wanted};
use super::{Decoded, Unreadable};
use crate::loader::{Decoders, Loader};
pub use value::Value;

type Read = for<'py> fn(Python<'py>, &[u8], &Decoder) -> Decoded<'py>;

/// Reads the values of one result column.
#[derive(Clone, Debug)]
pub struct Decoder {
    read: Read,
    oid: u32,
    binary: bool,
    wanted: Wanted,
    /// Of an array's items.
    item: Option<Box<Decoder>>,
    /// How many lists are inside each other; `None` if the value decides.
    depth: Option<usize>,
}

impl Decode for Decoder {
    type Row<'a> = RawRow<'a>;

    fn new(column: &Column, wanted: Wanted) -> Self {
        Self::of(column.type_oid, column.binary, wanted)
    }

    fn kept(loader: &Loader) -> &Decoders<Self> {
        &loader.postgres
    }

    fn is_for(&self, column: &Column) -> bool {
        self.oid == column.type_oid && self.binary == column.binary
    }

    fn rows<'a>(rows: RawRows<'a>) -> impl Iterator<Item = Result<Self::Row<'a>, Malformed>> {
        rows.iter()
    }

    #[inline]
    fn split<'a>(
        row: Self::Row<'a>,
        _: &[Self],
        places: &mut [Option<&'a [u8]>],
    ) -> Result<(), Malformed> {
        if usize::from(row.width()) != places.len() {
            return Err(Malformed("a row of another width than its columns"));
        }
        let mut fields = row.fields();
        for place in places {
            *place = fields.field()?;
        }
        Ok(())
    }

    #[inline]
    fn decode<'py>(&self, py: Python<'py>, bytes: &[u8]) -> Decoded<'py> {
        (self.read)(py, bytes, self)
    }

    fn brief(&self, bytes: &[u8]) -> Option<String> {
        Value::new(self.oid, self.binary, bytes).brief()
    }
}

impl Decoder {
    fn of(oid: u32, binary: bool, wanted: Wanted) -> Self {
        let item = oid::element(oid).and_then(|element| {
            let wanted = match &wanted {
                Wanted::Natural => Wanted::Natural,
                Wanted::Field(SqlType::Array(item)) => Wanted::Field(array::leaf(item).clone()),
                // A list under a field that is none is refused as a whole.
                Wanted::Field(_) => return None,
            };
            Some(Box::new(Self::of(element, binary, wanted)))
        });
        let read = match &wanted {
            Wanted::Field(SqlType::Array(_)) => array::read,
            Wanted::Natural if item.is_some() => array::read,
            Wanted::Natural => natural,
            Wanted::Field(ty) => quick::pick(oid, binary, ty).unwrap_or(general),
        };
        Self {
            read,
            oid,
            binary,
            item,
            depth: array::depth(&wanted),
            wanted,
        }
    }

    /// The value in a few words, for errors.
    fn shown(&self, bytes: &[u8]) -> String {
        Value::new(self.oid, self.binary, bytes).to_string()
    }

    fn unreadable(&self, bytes: &[u8], expected: &str) -> Unreadable {
        Unreadable::Value(format!("expected {expected}, found {}", self.shown(bytes)))
    }
}

/// Any pair of types: the field's decides.
fn general<'py>(py: Python<'py>, bytes: &[u8], decoder: &Decoder) -> Decoded<'py> {
    let value = Value::new(decoder.oid, decoder.binary, bytes);
    match &decoder.wanted {
        Wanted::Field(ty) => typed(py, &value, ty),
        Wanted::Natural => natural(py, bytes, decoder),
    }
}

fn typed<'py>(py: Python<'py>, value: &Value<'_>, ty: &SqlType) -> Decoded<'py> {
    match ty {
        SqlType::SmallInt | SqlType::Int | SqlType::BigInt => super::integer::postgres(py, value),
        SqlType::Text | SqlType::String(_) | SqlType::Enum(_) => super::text::postgres(py, value),
        SqlType::Real | SqlType::Double => super::float::postgres(py, value),
        SqlType::Bool => super::boolean::postgres(py, value),
        SqlType::Decimal { .. } => super::decimal::postgres(py, value),
        SqlType::Timestamp => super::timestamp::postgres(py, value, false),
        SqlType::TimestampTz => super::timestamp::postgres(py, value, true),
        SqlType::Date => super::date::postgres(py, value),
        SqlType::Time => super::time::postgres(py, value),
        SqlType::Duration => super::duration::postgres(py, value),
        SqlType::Uuid => super::uuid::postgres(py, value),
        SqlType::Bytes => super::bytes::postgres(py, value),
        SqlType::Json => super::json::postgres(py, value),
        SqlType::Array(_) => Err(value.instead_of("a list")),
    }
}

fn natural<'py>(py: Python<'py>, bytes: &[u8], decoder: &Decoder) -> Decoded<'py> {
    let value = Value::new(decoder.oid, decoder.binary, bytes);
    super::natural::postgres(py, &value)
}
