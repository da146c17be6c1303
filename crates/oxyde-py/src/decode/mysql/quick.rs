//! The pairs of server type and field type that nearly all columns are: from the bytes to the object in one step.

use oxyde_sql::SqlType;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyFloat};

use super::kind::Form;
use super::value;
use super::{Decoder, Read, general};
use crate::calendar;
use crate::decode::postgres::numeric;
use crate::decode::{Decoded, boolean, integer, text, uuid};
use crate::layout::{self, Stamp};

/// `None`: the general way, which also makes all errors.
pub fn pick(form: Form, unsigned: bool, binary: bool, ty: &SqlType) -> Option<Read> {
    use SqlType as T;
    // These are the same in both kinds of row.
    match (ty, form) {
        (T::Text | T::String(_) | T::Enum(_) | T::Json, Form::Text) => return Some(string),
        (T::Json, Form::Json) => return Some(string),
        (T::Bytes, Form::Blob) => return Some(blob),
        (T::Decimal { .. }, Form::Decimal) => return Some(decimal),
        (T::Uuid, Form::Text) => return Some(uuid),
        _ => {}
    }
    if !binary {
        return None;
    }
    Some(match (ty, form, unsigned) {
        (T::SmallInt | T::Int | T::BigInt, Form::LongLong, false) => int8,
        (T::SmallInt | T::Int | T::BigInt, Form::Long, false) => int4,
        (T::SmallInt | T::Int | T::BigInt, Form::Short, false) => int2,
        (T::SmallInt | T::Int | T::BigInt, Form::Tiny, false) => int1,
        (T::Double | T::Real, Form::Double, _) => double,
        (T::Double | T::Real, Form::Single, _) => single,
        (T::Bool, Form::Tiny, _) => bool,
        (T::Timestamp, Form::Stamp, _) => naive,
        (T::TimestampTz, Form::Stamp, _) => aware,
        (T::Date, Form::Date, _) => date,
        (T::Time, Form::Time, _) => time,
        _ => return None,
    })
}

fn string<'py>(py: Python<'py>, bytes: &[u8], decoder: &Decoder) -> Decoded<'py> {
    text::new(py, bytes).ok_or_else(|| decoder.refuse(&decoder.value(bytes), "valid UTF-8 text"))
}

fn int8<'py>(py: Python<'py>, bytes: &[u8], decoder: &Decoder) -> Decoded<'py> {
    match bytes.try_into() {
        Ok(bytes) => integer::new(py, i64::from_le_bytes(bytes)),
        Err(_) => general(py, bytes, decoder),
    }
}

fn int4<'py>(py: Python<'py>, bytes: &[u8], decoder: &Decoder) -> Decoded<'py> {
    match bytes.try_into() {
        Ok(bytes) => integer::new(py, i32::from_le_bytes(bytes).into()),
        Err(_) => general(py, bytes, decoder),
    }
}

fn int2<'py>(py: Python<'py>, bytes: &[u8], decoder: &Decoder) -> Decoded<'py> {
    match bytes.try_into() {
        Ok(bytes) => integer::new(py, i16::from_le_bytes(bytes).into()),
        Err(_) => general(py, bytes, decoder),
    }
}

fn int1<'py>(py: Python<'py>, bytes: &[u8], decoder: &Decoder) -> Decoded<'py> {
    match bytes.try_into() {
        Ok(bytes) => integer::new(py, i8::from_le_bytes(bytes).into()),
        Err(_) => general(py, bytes, decoder),
    }
}

fn double<'py>(py: Python<'py>, bytes: &[u8], decoder: &Decoder) -> Decoded<'py> {
    match bytes.try_into() {
        Ok(bytes) => Ok(PyFloat::new(py, f64::from_le_bytes(bytes)).into_any()),
        Err(_) => general(py, bytes, decoder),
    }
}

fn single<'py>(py: Python<'py>, bytes: &[u8], decoder: &Decoder) -> Decoded<'py> {
    match bytes.try_into() {
        Ok(bytes) => Ok(PyFloat::new(py, f32::from_le_bytes(bytes).into()).into_any()),
        Err(_) => general(py, bytes, decoder),
    }
}

fn bool<'py>(py: Python<'py>, bytes: &[u8], decoder: &Decoder) -> Decoded<'py> {
    match bytes {
        [flag @ (0 | 1)] => Ok(boolean::new(py, *flag == 1)),
        _ => general(py, bytes, decoder),
    }
}

/// Digits as the server writes them, which Python reads as they are.
fn decimal<'py>(py: Python<'py>, bytes: &[u8], decoder: &Decoder) -> Decoded<'py> {
    match numeric::plain(bytes) {
        Some(text) => Ok(layout::decimal_type(py)?.call1((decoder.digits(text),))?),
        None => general(py, bytes, decoder),
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

fn stamp(bytes: &[u8]) -> Option<Stamp> {
    value::stamp(bytes).filter(calendar::exists)
}

fn date<'py>(py: Python<'py>, bytes: &[u8], decoder: &Decoder) -> Decoded<'py> {
    match bytes {
        [_, _, _, _] => match stamp(bytes) {
            Some(stamp) => Ok(layout::new_date(py, &stamp)?),
            None => general(py, bytes, decoder),
        },
        _ => general(py, bytes, decoder),
    }
}

fn time<'py>(py: Python<'py>, bytes: &[u8], decoder: &Decoder) -> Decoded<'py> {
    match value::clock(bytes).and_then(|clock| calendar::time(clock.micros())) {
        Some(stamp) => Ok(layout::new_time(py, &stamp)?),
        None => general(py, bytes, decoder),
    }
}

fn uuid<'py>(py: Python<'py>, bytes: &[u8], decoder: &Decoder) -> Decoded<'py> {
    match uuid::digits(bytes) {
        Some(hex) => Ok(layout::new_uuid(py, hex)?),
        None => general(py, bytes, decoder),
    }
}

fn blob<'py>(py: Python<'py>, bytes: &[u8], _: &Decoder) -> Decoded<'py> {
    Ok(PyBytes::new(py, bytes).into_any())
}
