//! TEXT in any of ISO 8601's usual forms → `datetime`: naive in UTC, or aware with `timezone.utc`.
//!
//! Written by us it is `YYYY-MM-DD HH:MM:SS.ffffff`; others write `T`, fewer or no digits of a second, `Z` or
//! an offset, or only a date (SQLite's own functions read all of these as well). PostgreSQL's columns without a zone
//! hold UTC, too; a date is its midnight.

use oxyde_exec::cells::CellRef;
use pyo3::intern;
use pyo3::prelude::*;

use super::mysql;
use super::postgres::Value;
use super::{Decoded, unreadable};
use crate::calendar::{self, DAY};
use crate::layout::{self, Stamp};

pub fn sqlite<'py>(py: Python<'py>, cell: CellRef<'_>, aware: bool) -> Decoded<'py> {
    let parsed = match cell {
        CellRef::Text(bytes) => parse(bytes),
        _ => None,
    };
    let Some((stamp, offset)) = parsed else {
        return Err(unreadable(cell, "a timestamp (YYYY-MM-DD HH:MM:SS)"));
    };
    if offset == 0 {
        return layout::new_datetime(py, &stamp, aware).map_err(|e| out_of_range(py, e, cell));
    }
    // Rare: a foreign text with an offset. Python does the arithmetic over day and year borders.
    let moved = layout::new_datetime(py, &stamp, aware)
        .and_then(|local| {
            let shift = layout::new_timedelta(py, i64::from(offset) * 60_000_000)?;
            local.call_method1(intern!(py, "__sub__"), (shift,))
        })
        .map_err(|e| out_of_range(py, e, cell))?;
    Ok(moved)
}

/// Numbers that look right but name no day, such as 30 February.
pub fn out_of_range(py: Python<'_>, error: PyErr, cell: CellRef<'_>) -> super::Unreadable {
    if error.is_instance_of::<pyo3::exceptions::PyValueError>(py)
        || error.is_instance_of::<pyo3::exceptions::PyOverflowError>(py)
    {
        return unreadable(cell, "a date and time of the years 1 to 9999");
    }
    error.into()
}

/// The numbers and the offset from UTC in minutes.
pub fn parse(bytes: &[u8]) -> Option<(Stamp, i32)> {
    let (date, rest) = take_date(bytes)?;
    match rest {
        [] => Some((date, 0)),
        [b' ' | b'T' | b't', rest @ ..] => {
            let (clock, rest) = take_time(rest)?;
            let stamp = Stamp {
                year: date.year,
                month: date.month,
                day: date.day,
                ..clock
            };
            Some((stamp, take_offset(rest)?))
        }
        _ => None,
    }
}

fn digit(byte: u8) -> Option<u8> {
    byte.is_ascii_digit().then(|| byte - b'0')
}

fn pair(a: u8, b: u8) -> Option<u8> {
    Some(digit(a)? * 10 + digit(b)?)
}

/// `YYYY-MM-DD` at the start.
pub fn take_date(bytes: &[u8]) -> Option<(Stamp, &[u8])> {
    let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2, rest @ ..] = bytes else {
        return None;
    };
    let year = u16::from(pair(*y1, *y2)?) * 100 + u16::from(pair(*y3, *y4)?);
    Some((
        Stamp {
            year,
            month: pair(*m1, *m2)?,
            day: pair(*d1, *d2)?,
            ..Stamp::default()
        },
        rest,
    ))
}

/// `HH:MM[:SS[.f…]]` at the start; digits beyond microseconds must be zeros (nothing is cut off).
pub fn take_time(bytes: &[u8]) -> Option<(Stamp, &[u8])> {
    let [h1, h2, b':', m1, m2, rest @ ..] = bytes else {
        return None;
    };
    let mut stamp = Stamp {
        hour: pair(*h1, *h2)?,
        minute: pair(*m1, *m2)?,
        ..Stamp::default()
    };
    let [b':', s1, s2, rest @ ..] = rest else {
        return Some((stamp, rest));
    };
    stamp.second = pair(*s1, *s2)?;
    let Some(mut rest) = rest.strip_prefix(b".") else {
        return Some((stamp, rest));
    };
    let mut scale = 100_000u32;
    let mut any = false;
    while let [byte, tail @ ..] = rest {
        let Some(value) = digit(*byte) else { break };
        if scale == 0 && value != 0 {
            return None;
        }
        stamp.micros += u32::from(value) * scale;
        scale /= 10;
        any = true;
        rest = tail;
    }
    any.then_some((stamp, rest))
}

/// Nothing, `Z`, `+HH`, `+HH:MM` or the same with `-`, in minutes.
pub fn take_offset(bytes: &[u8]) -> Option<i32> {
    match bytes {
        [] | [b'Z' | b'z'] => Some(0),
        [sign @ (b'+' | b'-'), h1, h2] => {
            let minutes = i32::from(pair(*h1, *h2)?) * 60;
            Some(if *sign == b'-' { -minutes } else { minutes })
        }
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
            let minutes = i32::from(pair(*h1, *h2)?) * 60 + i32::from(pair(*m1, *m2)?);
            Some(if *sign == b'-' { -minutes } else { minutes })
        }
        _ => None,
    }
}

pub fn postgres<'py>(py: Python<'py>, value: &Value<'_>, aware: bool) -> Decoded<'py> {
    let micros = match value {
        Value::Stamp(micros, _) => Some(*micros),
        Value::Date(days) => i64::from(*days).checked_mul(DAY),
        _ => None,
    };
    match micros.and_then(calendar::stamp) {
        Some(stamp) => Ok(layout::new_datetime(py, &stamp, aware)?),
        None => Err(value.instead_of("a timestamp of the years 1 to 9999")),
    }
}

/// Expressions of MySQL may give a text for a time.
pub fn mysql<'py>(
    py: Python<'py>,
    value: &mysql::Value<'_>,
    aware: bool,
    decoder: &mysql::Decoder,
) -> Decoded<'py> {
    let stamp = match value {
        mysql::Value::Stamp(stamp) | mysql::Value::Date(stamp) => Some(*stamp),
        mysql::Value::Text(bytes) => mysql::stamp(bytes),
        _ => None,
    };
    match stamp.filter(calendar::exists) {
        Some(stamp) => Ok(layout::new_datetime(py, &stamp, aware)?),
        None => Err(decoder.refuse(value, "a date and time of the years 1 to 9999")),
    }
}

#[cfg(test)]
mod tests {
    use super::{Stamp, parse};

    #[test]
    fn the_iso_variants() {
        let full = Stamp {
            year: 2024,
            month: 2,
            day: 29,
            hour: 1,
            minute: 2,
            second: 3,
            micros: 400_000,
        };
        let whole = Stamp { micros: 0, ..full };
        assert_eq!(parse(b"2024-02-29 01:02:03.400000"), Some((full, 0)));
        assert_eq!(parse(b"2024-02-29T01:02:03.4Z"), Some((full, 0)));
        assert_eq!(
            parse(b"2024-02-29T01:02:03.400000000+05:30"),
            Some((full, 330))
        );
        assert_eq!(parse(b"2024-02-29 01:02:03"), Some((whole, 0)));
        assert_eq!(
            parse(b"2024-02-29 01:02-00:30"),
            Some((Stamp { second: 0, ..whole }, -30))
        );
        assert_eq!(
            parse(b"2024-02-29"),
            Some((
                Stamp {
                    year: 2024,
                    month: 2,
                    day: 29,
                    ..Stamp::default()
                },
                0
            ))
        );
    }

    #[test]
    fn nothing_is_guessed_or_cut_off() {
        for text in [
            "",
            "2024",
            "2024-2-29",
            "2024-02-29x",
            "2024-02-29 01",
            "2024-02-29 01:02:03.",
            "2024-02-29 01:02:03.0000001",
            "2024-02-29 01:02:03 UTC",
        ] {
            assert_eq!(parse(text.as_bytes()), None, "{text}");
        }
    }
}
