//! One value taken out of its wire format, before the field's type has a say.

use std::borrow::Cow;
use std::fmt;

use super::interval::Interval;
use super::{numeric, oid, parse};
use crate::bind::plain::number;
use crate::calendar::{self, DAY};
use crate::decode::Unreadable;

#[derive(Clone, Debug, PartialEq)]
pub enum Value<'a> {
    Bool(bool),
    Int(i64),
    Real(f64),
    Single(f32),
    /// As the server writes it, also `NaN` and `Infinity`.
    Numeric(Cow<'a, str>),
    /// Also everything that comes as text and is not known better. With the OID of its type.
    Text(&'a [u8], u32),
    Json(&'a [u8]),
    Blob(Cow<'a, [u8]>),
    Uuid(u128),
    /// Days since 2000-01-01; the ends of the range are infinite.
    Date(i32),
    /// Microseconds since 2000-01-01; the ends of the range are infinite. With or without a zone.
    Stamp(i64, bool),
    /// Microseconds since midnight, and seconds to add for UTC.
    Time(i64, Option<i32>),
    Interval(Interval),
    /// What has no form here, in so many bytes.
    Other(u32, usize),
}

impl<'a> Value<'a> {
    pub fn new(oid: u32, binary: bool, bytes: &'a [u8]) -> Self {
        let value = if binary {
            from_binary(oid, bytes)
        } else {
            parse::from_text(oid, bytes)
        };
        value.unwrap_or_else(|| {
            if !binary || oid::is_text(oid) {
                Self::Text(bytes, oid)
            } else {
                Self::Other(oid, bytes.len())
            }
        })
    }

    /// Says what was expected and what is there.
    pub fn instead_of(&self, expected: &str) -> Unreadable {
        Unreadable::Value(format!("expected {expected}, found {self}"))
    }

    /// The value itself if it is short.
    pub fn brief(&self) -> Option<String> {
        match self {
            Self::Int(number) => Some(number.to_string()),
            Self::Text(bytes, _) if bytes.len() <= 64 => {
                Some(format!("{:?}", String::from_utf8_lossy(bytes)))
            }
            Self::Uuid(number) => Some(crate::bind::uuid::hyphenated(*number)),
            _ => None,
        }
    }
}

fn fixed<const N: usize>(bytes: &[u8]) -> Option<[u8; N]> {
    bytes.try_into().ok()
}

/// `None` if the type or the number of bytes is not known.
fn from_binary(oid: u32, bytes: &[u8]) -> Option<Value<'_>> {
    Some(match oid {
        oid::BOOL => match bytes {
            [flag] => Value::Bool(*flag != 0),
            _ => return None,
        },
        oid::INT2 => Value::Int(i16::from_be_bytes(fixed(bytes)?).into()),
        oid::INT4 => Value::Int(i32::from_be_bytes(fixed(bytes)?).into()),
        oid::OID => Value::Int(u32::from_be_bytes(fixed(bytes)?).into()),
        oid::INT8 => Value::Int(i64::from_be_bytes(fixed(bytes)?)),
        oid::FLOAT4 => Value::Single(f32::from_be_bytes(fixed(bytes)?)),
        oid::FLOAT8 => Value::Real(f64::from_be_bytes(fixed(bytes)?)),
        oid::NUMERIC => Value::Numeric(Cow::Owned(numeric::read(bytes)?)),
        oid::BYTEA => Value::Blob(Cow::Borrowed(bytes)),
        oid::JSON => Value::Json(bytes),
        oid::JSONB => match bytes {
            [1, text @ ..] => Value::Json(text),
            _ => return None,
        },
        oid::UUID => Value::Uuid(u128::from_be_bytes(fixed(bytes)?)),
        oid::DATE => Value::Date(i32::from_be_bytes(fixed(bytes)?)),
        oid::TIMESTAMP => Value::Stamp(i64::from_be_bytes(fixed(bytes)?), false),
        oid::TIMESTAMPTZ => Value::Stamp(i64::from_be_bytes(fixed(bytes)?), true),
        oid::TIME => Value::Time(i64::from_be_bytes(fixed(bytes)?), None),
        oid::TIMETZ => {
            let (micros, zone) = bytes.split_at_checked(8)?;
            Value::Time(
                i64::from_be_bytes(fixed(micros)?),
                Some(i32::from_be_bytes(fixed(zone)?)),
            )
        }
        oid::INTERVAL => Value::Interval(Interval::from_binary(bytes)?),
        // One byte, which need not be a letter.
        oid::CHAR => Value::Text(bytes, oid),
        _ if oid::is_text(oid) => Value::Text(bytes, oid),
        _ => return None,
    })
}

/// With at most 80 characters of a long value.
impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(flag) => write!(f, "the boolean {flag}"),
            Self::Int(number) => write!(f, "the integer {number}"),
            Self::Real(real) => write!(f, "the double precision {}", number(*real)),
            Self::Single(real) => write!(f, "the real {real:?}"),
            Self::Numeric(text) => {
                let short: String = text.chars().take(80).collect();
                let dots = if short.len() < text.len() { "…" } else { "" };
                write!(f, "the numeric {short}{dots}")
            }
            Self::Text(bytes, oid) => {
                let text = String::from_utf8_lossy(bytes);
                let short: String = text.chars().take(80).collect();
                let dots = if short.len() < text.len() { "…" } else { "" };
                let what = if oid::is_text(*oid) {
                    "text".to_owned()
                } else {
                    oid::name(*oid)
                };
                write!(f, "the {what} {short:?}{dots}")
            }
            Self::Json(bytes) => write!(f, "a JSON document of {} bytes", bytes.len()),
            Self::Blob(bytes) => write!(f, "a bytea of {} bytes", bytes.len()),
            Self::Uuid(number) => write!(f, "the uuid {}", crate::bind::uuid::hyphenated(*number)),
            Self::Date(i32::MAX) => f.write_str("the date infinity"),
            Self::Date(i32::MIN) => f.write_str("the date -infinity"),
            Self::Date(days) => {
                f.write_str("the date ")?;
                date(f, i64::from(*days))?;
                f.write_str(era(i64::from(*days)))
            }
            Self::Stamp(i64::MAX, _) => f.write_str("the timestamp infinity"),
            Self::Stamp(i64::MIN, _) => f.write_str("the timestamp -infinity"),
            Self::Stamp(micros, _) => {
                let days = micros.div_euclid(DAY);
                f.write_str("the timestamp ")?;
                date(f, days)?;
                f.write_str(" ")?;
                clock(f, micros.rem_euclid(DAY))?;
                f.write_str(era(days))
            }
            Self::Time(micros, zone) => {
                f.write_str("the time ")?;
                clock(f, *micros)?;
                match zone {
                    Some(west) => write!(f, " (UTC{:+} s)", west.saturating_neg()),
                    None => Ok(()),
                }
            }
            Self::Interval(interval) => write!(f, "the interval {interval}"),
            Self::Other(oid, length) => {
                write!(f, "a value of type {} ({length} bytes)", oid::name(*oid))
            }
        }
    }
}

fn date(f: &mut fmt::Formatter<'_>, days: i64) -> fmt::Result {
    let (year, month, day) = calendar::civil(days);
    let year = if year > 0 { year } else { 1 - year };
    write!(f, "{year:04}-{month:02}-{day:02}")
}

fn era(days: i64) -> &'static str {
    if calendar::civil(days).0 > 0 {
        ""
    } else {
        " BC"
    }
}

fn clock(f: &mut fmt::Formatter<'_>, micros: i64) -> fmt::Result {
    let (seconds, micros) = (micros / 1_000_000, micros % 1_000_000);
    let (hours, minutes, seconds) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    write!(f, "{hours:02}:{minutes:02}:{seconds:02}")?;
    if micros == 0 {
        return Ok(());
    }
    write!(f, ".{micros:06}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn binary(oid: u32, hex: &str) -> String {
        let digits: Vec<u8> = hex
            .bytes()
            .filter_map(|b| char::from(b).to_digit(16))
            .filter_map(|d| u8::try_from(d).ok())
            .collect();
        let bytes: Vec<u8> = digits
            .chunks(2)
            .map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit))
            .collect();
        Value::new(oid, true, &bytes).to_string()
    }

    /// The hexadecimal digits are the server's: `SELECT encode(timestamp_send(…), 'hex')` and so on.
    #[test]
    fn what_python_has_no_object_for_is_shown_as_the_server_writes_it() {
        for (oid, hex, shown) in [
            (oid::TIMESTAMP, "7fffffffffffffff", "the timestamp infinity"),
            (
                oid::TIMESTAMP,
                "8000000000000000",
                "the timestamp -infinity",
            ),
            (
                oid::TIMESTAMPTZ,
                "7fffff5bb3b29fff",
                "the timestamp 294276-12-31 23:59:59.999999",
            ),
            (oid::DATE, "7fffffff", "the date infinity"),
            (oid::DATE, "ffda97a7", "the date 4714-11-24 BC"),
            (oid::DATE, "fff4dbf8", "the date 0001-12-31 BC"),
            (oid::TIME, "000000141dd76000", "the time 24:00:00"),
            (
                oid::TIMETZ,
                "00000000d693a400ffffe3e0",
                "the time 01:00:00 (UTC+7200 s)",
            ),
            (oid::NUMERIC, "00000000c0000000", "the numeric NaN"),
            (790, "0000000000000064", "a value of type money (8 bytes)"),
            (oid::INT4, "00", "a value of type integer (1 bytes)"),
        ] {
            assert_eq!(binary(oid, hex), shown);
        }
    }
}
