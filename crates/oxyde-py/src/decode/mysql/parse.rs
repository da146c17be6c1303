//! Values as text: the answers to what the server does not prepare.

use super::kind::Form;
use super::value::{Clock, Value, bits, whole};
use crate::decode::timestamp;
use crate::layout::Stamp;

/// `None`: it is made of nothing but its bytes, or they are not what is usual.
pub fn from_text(form: Form, bytes: &[u8]) -> Option<Value<'_>> {
    let text = || str::from_utf8(bytes).ok();
    Some(match form {
        Form::Tiny | Form::Short | Form::Long | Form::LongLong => match text()?.parse() {
            Ok(number) => Value::Int(number),
            Err(_) => whole(text()?.parse().ok()?),
        },
        Form::Single => Value::Single(text()?.parse().ok()?),
        Form::Double => Value::Real(text()?.parse().ok()?),
        Form::Decimal => Value::Decimal(decimal(bytes)?),
        Form::Bit => bits(bytes)?,
        Form::Date => match timestamp::take_date(bytes)? {
            (stamp, []) => Value::Date(stamp),
            _ => return None,
        },
        Form::Stamp => Value::Stamp(stamp(bytes)?),
        Form::Time => Value::Time(clock(bytes)?),
        Form::Text | Form::Set | Form::Json | Form::Blob | Form::Opaque | Form::Null => {
            return None;
        }
    })
}

/// A number without an exponent.
pub fn decimal(bytes: &[u8]) -> Option<&str> {
    let digits = bytes.strip_prefix(b"-").unwrap_or(bytes);
    let plain = digits
        .iter()
        .all(|byte| byte.is_ascii_digit() || *byte == b'.');
    let points = digits.iter().filter(|byte| **byte == b'.').count();
    if !plain || points > 1 || digits.len() == points {
        return None;
    }
    str::from_utf8(bytes).ok()
}

/// A date, or a date and a time, without a zone.
pub fn stamp(bytes: &[u8]) -> Option<Stamp> {
    match timestamp::parse(bytes)? {
        (stamp, 0) => Some(stamp),
        _ => None,
    }
}

/// `[-]HHH:MM:SS[.ffffff]`
pub fn clock(bytes: &[u8]) -> Option<Clock> {
    let (negative, rest) = match bytes.strip_prefix(b"-") {
        Some(rest) => (true, rest),
        None => (false, bytes),
    };
    let at = rest.iter().position(|byte| *byte == b':')?;
    let (hours, _) = rest.split_at_checked(at)?;
    // The last two digits of the hours, so that the rest is a time of day.
    let (_, time) = rest.split_at_checked(at.checked_sub(2)?)?;
    let (stamp, []) = timestamp::take_time(time)? else {
        return None;
    };
    Some(Clock {
        negative,
        hours: str::from_utf8(hours).ok()?.parse().ok()?,
        minutes: stamp.minute,
        seconds: stamp.second,
        micros: stamp.micros,
    })
}
