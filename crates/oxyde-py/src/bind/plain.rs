//! Values as PostgreSQL writes them in text, for columns whose type only the server knows: enums, domains and whatever
//! `db_type` says.

use std::io::Write;

use oxyde_sql::{SqlType, Transform};
use pyo3::prelude::*;

use super::{
    Target, array, boolean, bytes, date, decimal, duration, float, integer, json, text, time,
    timestamp, uuid,
};

pub fn postgres(
    value: &Bound<'_, PyAny>,
    ty: &SqlType,
    transform: Transform,
    target: Target<'_>,
    out: &mut Vec<u8>,
) -> PyResult<()> {
    let text = match ty {
        SqlType::SmallInt | SqlType::Int | SqlType::BigInt => {
            let (least, most) = match ty {
                SqlType::SmallInt => (i16::MIN.into(), i16::MAX.into()),
                SqlType::Int => (i32::MIN.into(), i32::MAX.into()),
                _ => (i64::MIN, i64::MAX),
            };
            self::integer(integer::checked(value, least, most, target)?, out);
            return Ok(());
        }
        SqlType::Real | SqlType::Double => number(float::checked(value, target)?),
        SqlType::Bool => if boolean::checked(value, target)? {
            "t"
        } else {
            "f"
        }
        .to_owned(),
        SqlType::Text | SqlType::String(_) | SqlType::Enum(_) => {
            return text::postgres(value, transform, None, target, out);
        }
        SqlType::Decimal { precision, scale } => {
            decimal::checked(value, *precision, *scale, target)?
        }
        SqlType::Timestamp => timestamp::text(&timestamp::utc(value, false, target)?),
        // The zone is written: the server reads a timestamptz without one in the session's zone.
        SqlType::TimestampTz => timestamp::text(&timestamp::utc(value, true, target)?) + "+00",
        SqlType::Date => {
            let mut text = String::new();
            timestamp::write_date(&mut text, &date::checked(value, target)?);
            text
        }
        SqlType::Time => {
            let mut text = String::new();
            timestamp::write_time(&mut text, &time::checked(value, target)?);
            text
        }
        SqlType::Duration => duration::micros(value, target)?.to_string(),
        SqlType::Uuid => uuid::hyphenated(uuid::checked(value, target)?),
        SqlType::Bytes => {
            let bytes = bytes::checked(value, target)?;
            out.extend_from_slice(b"\\x");
            for byte in bytes.as_bytes() {
                out.extend([array::digit(byte >> 4), array::digit(byte & 15)].map(ascii));
            }
            return Ok(());
        }
        SqlType::Json if target.declared.is_some_and(|ty| !ty.holds_documents()) => {
            json::bare(json::checked(value, target)?).into_owned()
        }
        SqlType::Json => {
            out.extend_from_slice(json::floats(json::checked(value, target)?).as_bytes());
            return Ok(());
        }
        SqlType::Array(item) => return array::text(value, item, target, out),
    };
    out.extend_from_slice(text.as_bytes());
    Ok(())
}

fn ascii(digit: char) -> u8 {
    u8::try_from(digit).unwrap_or(b'0')
}

/// A whole number in digits.
pub fn integer(number: i64, out: &mut Vec<u8>) {
    // Writing to a vector does not fail.
    let _ = write!(out, "{number}");
}

/// The shortest text that reads back as the same number.
pub fn number(number: f64) -> String {
    if number.is_nan() {
        "NaN".to_owned()
    } else if number.is_infinite() {
        if number > 0.0 {
            "Infinity"
        } else {
            "-Infinity"
        }
        .to_owned()
    } else {
        format!("{number:?}")
    }
}
