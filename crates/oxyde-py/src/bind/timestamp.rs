//! `datetime` in UTC → SQLite: TEXT `YYYY-MM-DD HH:MM:SS.ffffff`; PostgreSQL: microseconds since
//! 2000-01-01; MySQL: DATETIME.
//!
//! A naive column stores UTC: an aware value is converted, a naive one is taken as it is. An aware column
//! refuses naive values, whose instant nobody knows.

use oxyde_exec::cells::Cells;
use pyo3::prelude::*;

use super::Target;
use super::parameters::Parameters;
use crate::calendar;
use crate::layout::{self, Stamp};

pub fn sqlite(
    value: &Bound<'_, PyAny>,
    aware: bool,
    target: Target<'_>,
    out: &mut Cells,
) -> PyResult<()> {
    out.push_text(&text(&utc(value, aware, target)?));
    Ok(())
}

pub fn text(stamp: &Stamp) -> String {
    let mut text = String::with_capacity(26);
    write_date(&mut text, stamp);
    text.push(' ');
    write_time(&mut text, stamp);
    text
}

pub fn postgres(
    value: &Bound<'_, PyAny>,
    aware: bool,
    target: Target<'_>,
    out: &mut Vec<u8>,
) -> PyResult<()> {
    let micros = calendar::micros(&utc(value, aware, target)?);
    out.extend_from_slice(&micros.to_be_bytes());
    Ok(())
}

pub fn mysql(
    value: &Bound<'_, PyAny>,
    aware: bool,
    target: Target<'_>,
    out: &mut Parameters,
) -> PyResult<()> {
    out.datetime(&utc(value, aware, target)?);
    Ok(())
}

/// The instant in UTC (naive values as they are).
pub fn utc(value: &Bound<'_, PyAny>, aware: bool, target: Target<'_>) -> PyResult<Stamp> {
    if !layout::is_datetime(value) {
        return Err(target.wrong_type(value, "datetime"));
    }
    match layout::read_datetime(value)? {
        (stamp, Some(zone)) => layout::to_utc(value, stamp, &zone).map_err(|_| {
            target.refuse(
                value.py(),
                "the datetime is outside of year 1 to 9999 in UTC",
            )
        }),
        (_, None) if aware => Err(target.refuse(
            value.py(),
            "a naive datetime for a column that stores aware ones; give it a tzinfo",
        )),
        (stamp, None) => Ok(stamp),
    }
}

pub fn write_date(out: &mut String, s: &Stamp) {
    two(out, u32::from(s.year) / 100);
    two(out, u32::from(s.year) % 100);
    out.push('-');
    two(out, s.month.into());
    out.push('-');
    two(out, s.day.into());
}

pub fn write_time(out: &mut String, s: &Stamp) {
    two(out, s.hour.into());
    out.push(':');
    two(out, s.minute.into());
    out.push(':');
    two(out, s.second.into());
    out.push('.');
    two(out, s.micros / 10_000);
    two(out, s.micros / 100 % 100);
    two(out, s.micros % 100);
}

fn two(out: &mut String, number: u32) {
    for digit in [number / 10 % 10, number % 10] {
        out.push(char::from_digit(digit, 10).unwrap_or('0'));
    }
}
