//! The pairs of server type and field type that nearly all columns are: from the bytes to the object in one step.

use oxyde_sql::SqlType;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyFloat};

use super::{Decoder, Read, general, oid};
use crate::decode::{Decoded, boolean, integer, text, uuid};
use crate::{calendar, layout};

/// `None`: the general way, which also makes all errors.
pub fn pick(oid: u32, binary: bool, ty: &SqlType) -> Option<Read> {
    use SqlType as T;
    Some(match (ty, oid, binary) {
        // Text is the same in both formats.
        (T::Text | T::String(_) | T::Enum(_), _, _) if oid::is_text(oid) => string,
        (T::Text | T::String(_) | T::Enum(_), _, false) if has_text(oid) => string,
        (T::SmallInt | T::Int | T::BigInt, oid::INT8, true) => int8,
        (T::SmallInt | T::Int | T::BigInt, oid::INT4, true) => int4,
        (T::SmallInt | T::Int | T::BigInt, oid::INT2, true) => int2,
        (T::Double | T::Real, oid::FLOAT8, true) => float8,
        (T::Double | T::Real, oid::FLOAT4, true) => float4,
        (T::Bool, oid::BOOL, true) => bool,
        (T::Timestamp, oid::TIMESTAMP, true) => naive,
        (T::TimestampTz, oid::TIMESTAMPTZ, true) => aware,
        (T::Date, oid::DATE, true) => date,
        (T::Uuid, oid::UUID, true) => uuid,
        (T::Bytes, oid::BYTEA, true) => bytea,
        (T::Json, oid::JSONB, true) => jsonb,
        _ => return None,
    })
}

/// Whether a `str` field takes what the server writes for the type: not numbers, truth values, bytes and arrays, which
/// would be text by accident only.
fn has_text(oid: u32) -> bool {
    let other = matches!(
        oid,
        oid::BOOL
            | oid::BYTEA
            | oid::INT2
            | oid::INT4
            | oid::INT8
            | oid::OID
            | oid::FLOAT4
            | oid::FLOAT8
    );
    !other && oid::element(oid).is_none()
}

fn string<'py>(py: Python<'py>, bytes: &[u8], decoder: &Decoder) -> Decoded<'py> {
    text::new(py, bytes).ok_or_else(|| decoder.unreadable(bytes, "valid UTF-8 text"))
}

fn int8<'py>(py: Python<'py>, bytes: &[u8], decoder: &Decoder) -> Decoded<'py> {
    match bytes.try_into() {
        Ok(bytes) => integer::new(py, i64::from_be_bytes(bytes)),
        Err(_) => general(py, bytes, decoder),
    }
}

fn int4<'py>(py: Python<'py>, bytes: &[u8], decoder: &Decoder) -> Decoded<'py> {
    match bytes.try_into() {
        Ok(bytes) => integer::new(py, i32::from_be_bytes(bytes).into()),
        Err(_) => general(py, bytes, decoder),
    }
}

fn int2<'py>(py: Python<'py>, bytes: &[u8], decoder: &Decoder) -> Decoded<'py> {
    match bytes.try_into() {
        Ok(bytes) => integer::new(py, i16::from_be_bytes(bytes).into()),
        Err(_) => general(py, bytes, decoder),
    }
}

fn float8<'py>(py: Python<'py>, bytes: &[u8], decoder: &Decoder) -> Decoded<'py> {
    match bytes.try_into() {
        Ok(bytes) => Ok(PyFloat::new(py, f64::from_be_bytes(bytes)).into_any()),
        Err(_) => general(py, bytes, decoder),
    }
}

fn float4<'py>(py: Python<'py>, bytes: &[u8], decoder: &Decoder) -> Decoded<'py> {
    match bytes.try_into() {
        Ok(bytes) => Ok(PyFloat::new(py, f32::from_be_bytes(bytes).into()).into_any()),
        Err(_) => general(py, bytes, decoder),
    }
}

fn bool<'py>(py: Python<'py>, bytes: &[u8], decoder: &Decoder) -> Decoded<'py> {
    match bytes {
        [flag] => Ok(boolean::new(py, *flag != 0)),
        _ => general(py, bytes, decoder),
    }
}

fn naive<'py>(py: Python<'py>, bytes: &[u8], decoder: &Decoder) -> Decoded<'py> {
    match stamp(bytes) {
        Some(stamp) => Ok(layout::new_datetime(py, &stamp, false)?),
        None => general(py, bytes, decoder),
    }
}

fn aware<'py>(py: Python<'py>, bytes: &[u8], decoder: &Decoder) -> Decoded<'py> {
    match stamp(bytes) {
        Some(stamp) => Ok(layout::new_datetime(py, &stamp, true)?),
        None => general(py, bytes, decoder),
    }
}

fn stamp(bytes: &[u8]) -> Option<layout::Stamp> {
    calendar::stamp(i64::from_be_bytes(bytes.try_into().ok()?))
}

fn date<'py>(py: Python<'py>, bytes: &[u8], decoder: &Decoder) -> Decoded<'py> {
    let days = bytes.try_into().map(i32::from_be_bytes).ok();
    match days.and_then(|days| calendar::date(days.into())) {
        Some(stamp) => Ok(layout::new_date(py, &stamp)?),
        None => general(py, bytes, decoder),
    }
}

fn uuid<'py>(py: Python<'py>, bytes: &[u8], decoder: &Decoder) -> Decoded<'py> {
    match bytes.try_into() {
        Ok(bytes) => Ok(layout::new_uuid(py, uuid::hex(u128::from_be_bytes(bytes)))?),
        Err(_) => general(py, bytes, decoder),
    }
}

fn bytea<'py>(py: Python<'py>, bytes: &[u8], _: &Decoder) -> Decoded<'py> {
    Ok(PyBytes::new(py, bytes).into_any())
}

fn jsonb<'py>(py: Python<'py>, bytes: &[u8], decoder: &Decoder) -> Decoded<'py> {
    match bytes {
        [1, document @ ..] => string(py, document, decoder),
        _ => general(py, bytes, decoder),
    }
}
