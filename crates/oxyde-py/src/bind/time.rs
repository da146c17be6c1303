//! `time` → SQLite: TEXT `HH:MM:SS.ffffff`; PostgreSQL: microseconds since midnight; MySQL: TIME. A zone without a date has no meaning in SQL: refused.

use oxyde_exec::cells::Cells;
use pyo3::prelude::*;

use super::parameters::Parameters;
use super::{Target, timestamp};
use crate::calendar;
use crate::layout::{self, Stamp};

pub fn sqlite(value: &Bound<'_, PyAny>, target: Target<'_>, out: &mut Cells) -> PyResult<()> {
    let stamp = checked(value, target)?;
    let mut text = String::with_capacity(15);
    timestamp::write_time(&mut text, &stamp);
    out.push_text(&text);
    Ok(())
}

pub fn postgres(value: &Bound<'_, PyAny>, target: Target<'_>, out: &mut Vec<u8>) -> PyResult<()> {
    let micros = calendar::clock(&checked(value, target)?);
    out.extend_from_slice(&micros.to_be_bytes());
    Ok(())
}

pub fn mysql(value: &Bound<'_, PyAny>, target: Target<'_>, out: &mut Parameters) -> PyResult<()> {
    out.time(&checked(value, target)?);
    Ok(())
}

pub fn checked(value: &Bound<'_, PyAny>, target: Target<'_>) -> PyResult<Stamp> {
    if !layout::is_time(value) {
        return Err(target.wrong_type(value, "time"));
    }
    let (stamp, aware) = layout::read_time(value)?;
    if aware {
        return Err(target.refuse(
            value.py(),
            "a time with a tzinfo cannot be stored; use a naive time",
        ));
    }
    Ok(stamp)
}
