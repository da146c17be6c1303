//! One value taken out of its wire format, before the field's type has a say.

use std::fmt;

use super::kind::Form;
use super::parse;
use crate::decode::Unreadable;
use crate::decode::postgres::numeric;
use crate::layout::Stamp;

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    Int(i64),
    /// Beyond 63 bits.
    Big(u64),
    Real(f64),
    Single(f32),
    /// As the server writes it.
    Decimal(&'a str),
    /// Also everything that is not what its type says.
    Text(&'a [u8]),
    Json(&'a [u8]),
    Blob(&'a [u8]),
    Set(&'a [u8]),
    /// What the server has as one: months, days or all of it may be 0, and 31 February is possible.
    Date(Stamp),
    Stamp(Stamp),
    Time(Clock),
    /// What has no form here.
    Other(&'a [u8]),
}

/// A TIME, which is also a length of time: up to 838 hours, and negative.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clock {
    pub negative: bool,
    /// Of more hours than this no number of microseconds is made.
    pub hours: u16,
    pub minutes: u8,
    pub seconds: u8,
    pub micros: u32,
}

impl Clock {
    pub fn micros(&self) -> i64 {
        let seconds =
            (i64::from(self.hours) * 60 + i64::from(self.minutes)) * 60 + i64::from(self.seconds);
        let micros = seconds * 1_000_000 + i64::from(self.micros);
        if self.negative { -micros } else { micros }
    }
}

impl<'a> Value<'a> {
    pub fn new(form: Form, unsigned: bool, binary: bool, bytes: &'a [u8]) -> Self {
        let value = if binary {
            from_binary(form, unsigned, bytes)
        } else {
            parse::from_text(form, bytes)
        };
        value.unwrap_or(match form {
            Form::Set => Self::Set(bytes),
            Form::Json => Self::Json(bytes),
            Form::Blob => Self::Blob(bytes),
            Form::Opaque | Form::Null => Self::Other(bytes),
            Form::Text => Self::Text(bytes),
            _ if binary => Self::Other(bytes),
            _ => Self::Text(bytes),
        })
    }

    /// The value itself if it is short.
    pub fn brief(&self) -> Option<String> {
        match self {
            Self::Int(number) => Some(number.to_string()),
            Self::Big(number) => Some(number.to_string()),
            Self::Text(bytes) if bytes.len() <= 64 => {
                Some(format!("{:?}", String::from_utf8_lossy(bytes)))
            }
            _ => None,
        }
    }

    /// Says what was expected and what is there, which is of the type `name`.
    pub fn instead_of(&self, expected: &str, name: &str) -> Unreadable {
        let found = Shown { value: self, name };
        Unreadable::Value(format!("expected {expected}, found the {found}"))
    }
}

fn fixed<const N: usize>(bytes: &[u8]) -> Option<[u8; N]> {
    bytes.try_into().ok()
}

/// `None` if it is made of nothing but its bytes, or has not as many as it should.
fn from_binary(form: Form, unsigned: bool, bytes: &[u8]) -> Option<Value<'_>> {
    Some(match (form, unsigned) {
        (Form::Tiny, false) => Value::Int(i8::from_le_bytes(fixed(bytes)?).into()),
        (Form::Tiny, true) => Value::Int(u8::from_le_bytes(fixed(bytes)?).into()),
        (Form::Short, false) => Value::Int(i16::from_le_bytes(fixed(bytes)?).into()),
        (Form::Short, true) => Value::Int(u16::from_le_bytes(fixed(bytes)?).into()),
        (Form::Long, false) => Value::Int(i32::from_le_bytes(fixed(bytes)?).into()),
        (Form::Long, true) => Value::Int(u32::from_le_bytes(fixed(bytes)?).into()),
        (Form::LongLong, false) => Value::Int(i64::from_le_bytes(fixed(bytes)?)),
        (Form::LongLong, true) => whole(u64::from_le_bytes(fixed(bytes)?)),
        (Form::Single, _) => Value::Single(f32::from_le_bytes(fixed(bytes)?)),
        (Form::Double, _) => Value::Real(f64::from_le_bytes(fixed(bytes)?)),
        (Form::Decimal, _) => Value::Decimal(numeric::plain(bytes)?),
        (Form::Bit, _) => bits(bytes)?,
        (Form::Date, _) => Value::Date(stamp(bytes)?),
        (Form::Stamp, _) => Value::Stamp(stamp(bytes)?),
        (Form::Time, _) => Value::Time(clock(bytes)?),
        (Form::Text | Form::Set | Form::Json | Form::Blob | Form::Opaque | Form::Null, _) => {
            return None;
        }
    })
}

pub fn whole<'a>(number: u64) -> Value<'a> {
    match i64::try_from(number) {
        Ok(number) => Value::Int(number),
        Err(_) => Value::Big(number),
    }
}

/// The number that up to 64 bits are.
pub fn bits<'a>(bytes: &[u8]) -> Option<Value<'a>> {
    if bytes.len() > 8 {
        return None;
    }
    let number = bytes
        .iter()
        .fold(0u64, |number, byte| number << 8 | u64::from(*byte));
    Some(whole(number))
}

/// Nothing for 0000-00-00, a date, or with a time, or with microseconds.
pub fn stamp(bytes: &[u8]) -> Option<Stamp> {
    let mut stamp = Stamp::default();
    let rest = match bytes {
        [] => return Some(stamp),
        [y1, y2, month, day, rest @ ..] => {
            stamp.year = u16::from_le_bytes([*y1, *y2]);
            (stamp.month, stamp.day) = (*month, *day);
            rest
        }
        _ => return None,
    };
    let rest = match rest {
        [] => return Some(stamp),
        [hour, minute, second, rest @ ..] => {
            (stamp.hour, stamp.minute, stamp.second) = (*hour, *minute, *second);
            rest
        }
        _ => return None,
    };
    if !rest.is_empty() {
        stamp.micros = u32::from_le_bytes(fixed(rest)?);
    }
    Some(stamp)
}

/// Nothing for 00:00:00, or sign, days and time, or with microseconds.
pub fn clock(bytes: &[u8]) -> Option<Clock> {
    let (negative, days, rest) = match bytes {
        [] => (0, 0, &[0, 0, 0][..]),
        [sign, a, b, c, d, rest @ ..] => (*sign, u32::from_le_bytes([*a, *b, *c, *d]), rest),
        _ => return None,
    };
    let (hour, minutes, seconds, micros) = match rest {
        [hour, minute, second] => (*hour, *minute, *second, 0),
        [hour, minute, second, micros @ ..] => {
            (*hour, *minute, *second, u32::from_le_bytes(fixed(micros)?))
        }
        _ => return None,
    };
    Some(Clock {
        negative: negative != 0,
        hours: u16::try_from(days.checked_mul(24)?.checked_add(u32::from(hour))?).ok()?,
        minutes,
        seconds,
        micros,
    })
}

/// The value in a few words: at most 80 characters of a long one.
struct Shown<'a> {
    value: &'a Value<'a>,
    name: &'a str,
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)?;
        match self.value {
            Value::Int(number) => write!(f, " {number}"),
            Value::Big(number) => write!(f, " {number}"),
            Value::Real(number) => write!(f, " {number:?}"),
            Value::Single(number) => write!(f, " {number:?}"),
            Value::Decimal(text) => write!(f, " {text}"),
            Value::Text(bytes) | Value::Set(bytes) => {
                let text = String::from_utf8_lossy(bytes);
                let short: String = text.chars().take(80).collect();
                let dots = if short.len() < text.len() { "…" } else { "" };
                write!(f, " {short:?}{dots}")
            }
            Value::Json(bytes) | Value::Blob(bytes) | Value::Other(bytes) => {
                write!(f, " of {} bytes", bytes.len())
            }
            Value::Date(stamp) => {
                f.write_str(" ")?;
                date(f, stamp)
            }
            Value::Stamp(stamp) => {
                f.write_str(" ")?;
                date(f, stamp)?;
                write!(f, " {:02}", stamp.hour)?;
                seconds(f, stamp.minute, stamp.second, stamp.micros)
            }
            Value::Time(clock) => {
                let sign = if clock.negative { "-" } else { "" };
                write!(f, " {sign}{:02}", clock.hours)?;
                seconds(f, clock.minutes, clock.seconds, clock.micros)
            }
        }
    }
}

fn date(f: &mut fmt::Formatter<'_>, stamp: &Stamp) -> fmt::Result {
    write!(f, "{:04}-{:02}-{:02}", stamp.year, stamp.month, stamp.day)
}

fn seconds(f: &mut fmt::Formatter<'_>, minute: u8, second: u8, micros: u32) -> fmt::Result {
    write!(f, ":{minute:02}:{second:02}")?;
    if micros == 0 {
        return Ok(());
    }
    write!(f, ".{micros:06}")
}
