//! Values as text: what a column gives whose type only the server knows (`db_type`), by the type that it reports.

use std::borrow::Cow;

use super::interval::Interval;
use super::value::Value;
use super::{numeric, oid};
use crate::calendar;
use crate::decode::timestamp::{parse, take_offset, take_time};

/// `None`: the text has no other form here, or not the one that is usual.
pub fn from_text(oid: u32, bytes: &[u8]) -> Option<Value<'_>> {
    if oid::is_text(oid) {
        return None;
    }
    let text = str::from_utf8(bytes).ok()?;
    Some(match oid {
        oid::BOOL => match text {
            "t" => Value::Bool(true),
            "f" => Value::Bool(false),
            _ => return None,
        },
        oid::INT2 | oid::INT4 | oid::INT8 | oid::OID => Value::Int(text.parse().ok()?),
        oid::FLOAT4 => Value::Single(text.parse().ok()?),
        oid::FLOAT8 => Value::Real(text.parse().ok()?),
        oid::NUMERIC => match text {
            "NaN" | "Infinity" | "-Infinity" => Value::Numeric(Cow::Borrowed(text)),
            _ => Value::Numeric(Cow::Borrowed(numeric::plain(bytes)?)),
        },
        oid::JSON | oid::JSONB => Value::Json(bytes),
        oid::BYTEA => Value::Blob(Cow::Owned(super::super::array::unhex(
            text.strip_prefix("\\x")?,
        )?)),
        oid::UUID => {
            let digits = super::super::uuid::digits(bytes)?;
            Value::Uuid(u128::from_str_radix(str::from_utf8(&digits).ok()?, 16).ok()?)
        }
        oid::DATE => match text {
            "infinity" => Value::Date(i32::MAX),
            "-infinity" => Value::Date(i32::MIN),
            _ if text.len() == 10 => {
                let (stamp, _) = parse(bytes)?;
                Value::Date(i32::try_from(calendar::days(&stamp)).ok()?)
            }
            _ => return None,
        },
        oid::TIMESTAMP | oid::TIMESTAMPTZ => {
            let aware = oid == oid::TIMESTAMPTZ;
            match text {
                "infinity" => Value::Stamp(i64::MAX, aware),
                "-infinity" => Value::Stamp(i64::MIN, aware),
                _ => {
                    let (stamp, offset) = parse(bytes)?;
                    Value::Stamp(
                        calendar::micros(&stamp) - i64::from(offset) * 60_000_000,
                        aware,
                    )
                }
            }
        }
        oid::TIME | oid::TIMETZ => {
            let (stamp, rest) = take_time(bytes)?;
            let zone = match oid {
                oid::TIMETZ => Some(take_offset(rest)?.checked_mul(-60)?),
                _ if rest.is_empty() => None,
                _ => return None,
            };
            Value::Time(calendar::clock(&stamp), zone)
        }
        oid::INTERVAL => Value::Interval(Interval::from_text(text)?),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(oid: u32, text: &str) -> String {
        Value::new(oid, false, text.as_bytes()).to_string()
    }

    #[test]
    fn the_texts_of_the_server() {
        for (oid, text, expected) in [
            (oid::INT4, "-5", "the integer -5"),
            (oid::BOOL, "t", "the boolean true"),
            (oid::FLOAT8, "Infinity", "the double precision Infinity"),
            (oid::FLOAT4, "0.1", "the real 0.1"),
            (oid::NUMERIC, "1.50", "the numeric 1.50"),
            (oid::BYTEA, "\\x00ff", "a bytea of 2 bytes"),
            (oid::DATE, "2024-02-29", "the date 2024-02-29"),
            (oid::DATE, "infinity", "the date infinity"),
            (oid::DATE, "0044-03-15 BC", "the date \"0044-03-15 BC\""),
            (
                oid::TIMESTAMPTZ,
                "2024-02-29 01:02:03.5+05:30",
                "the timestamp 2024-02-28 19:32:03.500000",
            ),
            (
                oid::TIMESTAMPTZ,
                "2024-02-29 01:02:03+00",
                "the timestamp 2024-02-29 01:02:03",
            ),
            (
                oid::TIMESTAMP,
                "10000-01-01 00:00:00",
                "the timestamp \"10000-01-01 00:00:00\"",
            ),
            (oid::TIME, "24:00:00", "the time 24:00:00"),
            (oid::TIMETZ, "01:00:00+02", "the time 01:00:00 (UTC+7200 s)"),
            (oid::INTERVAL, "1 day", "the interval 0 months 1 days 0 µs"),
            (869, "10.0.0.1", "the inet \"10.0.0.1\""),
            (99_999, "glad", "the OID 99999 \"glad\""),
            (oid::TEXT, "5", "the text \"5\""),
            (
                oid::UUID,
                "01234567-89ab-cdef-0123-456789abcdef",
                "the uuid 01234567-89ab-cdef-0123-456789abcdef",
            ),
        ] {
            assert_eq!(shown(oid, text), expected);
        }
    }
}
