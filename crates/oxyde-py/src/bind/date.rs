//! `date` → SQLite: TEXT `YYYY-MM-DD`; PostgreSQL: days since 2000-01-01 in 32 bits; MySQL:
//! DATE, which has the years 1 to 999 as well, whatever its manual promises.
//!
//! A datetime is a date to Python, but would lose its time here: refused.

use oxyde_exec::cells::Cells;
use pyo3::prelude::*;

use super::parameters::Parameters;
use super::{Target, timestamp};
use crate::calendar;
use crate::layout::{self, Stamp};

pub fn sqlite(value: &Bound<'_, PyAny>, target: Target<'_>, out: &mut Cells) -> PyResult<()> {
    let stamp = checked(value, target)?;
    let mut text = String::with_capacity(10);
    timestamp::write_date(&mut text, &stamp);
    out.push_text(&text);
    Ok(())
}

pub fn postgres(value: &Bound<'_, PyAny>, target: Target<'_>, out: &mut Vec<u8>) -> PyResult<()> {
    let days = calendar::days(&checked(value, target)?);
    // Any date of the years 1 to 9999 has a number of days that fits.
    let days = i32::try_from(days).unwrap_or(i32::MAX);
    out.extend_from_slice(&days.to_be_bytes());
    Ok(())
}

pub fn mysql(value: &Bound<'_, PyAny>, target: Target<'_>, out: &mut Parameters) -> PyResult<()> {
    out.date(&checked(value, target)?);
    Ok(())
}

pub fn checked(value: &Bound<'_, PyAny>, target: Target<'_>) -> PyResult<Stamp> {
    if !layout::is_date(value) || layout::is_datetime(value) {
        return Err(target.wrong_type(value, "date"));
    }
    layout::read_date(value)
}
