//! Values as text: the answers to what the server does not prepare.

use super::kind::Form;
use super::value::{Clock, Value, bits, whole};
use crate::decode::postgres::numeric;
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
        Form::Decimal => Value::Decimal(numeric::plain(bytes)?),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_what_looks_like_one() {
        for text in ["0", "-1.50", "1.", ".5", "99999999999999999999999999"] {
            assert_eq!(numeric::plain(text.as_bytes()), Some(text));
        }
        for text in ["", "-", ".", "-.", "1.2.3", "1e5", "+1", "NaN", "1 ", "--1"] {
            assert_eq!(numeric::plain(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn times_of_a_day_and_others() {
        let micros = |text: &str| clock(text.as_bytes()).map(|clock| clock.micros());
        for (text, expected) in [
            ("00:00:00", Some(0)),
            ("23:59:59.999999", Some(86_399_999_999)),
            ("-00:00:00.000001", Some(-1)),
            ("838:59:59", Some(3_020_399_000_000)),
            ("-100:00:00.5", Some(-360_000_500_000)),
            ("1:00:00", None),
            ("01:00:00x", None),
            ("a01:00:00", None),
            ("", None),
        ] {
            assert_eq!(micros(text), expected, "{text}");
        }
    }

    #[test]
    fn moments_have_no_zone() {
        assert!(stamp(b"2024-02-29 01:02:03.5").is_some());
        assert!(stamp(b"2024-02-29T01:02:03Z").is_some());
        assert!(stamp(b"2024-02-29").is_some());
        assert!(stamp(b"2024-02-29 01:02:03+01:00").is_none());
        assert!(stamp(b"2024-02-29 25").is_none());
    }
}
