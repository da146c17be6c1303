//! `timedelta` → BIGINT microseconds; in raw SQL for an interval, days and microseconds.

use oxyde_exec::cells::Cells;
use pyo3::prelude::*;

use super::Target;
use super::parameters::Parameters;
use crate::layout;

pub fn sqlite(value: &Bound<'_, PyAny>, target: Target<'_>, out: &mut Cells) -> PyResult<()> {
    out.push_int(micros(value, target)?);
    Ok(())
}

pub fn postgres(value: &Bound<'_, PyAny>, target: Target<'_>, out: &mut Vec<u8>) -> PyResult<()> {
    out.extend_from_slice(&micros(value, target)?.to_be_bytes());
    Ok(())
}

pub fn mysql(value: &Bound<'_, PyAny>, target: Target<'_>, out: &mut Parameters) -> PyResult<()> {
    out.int(micros(value, target)?);
    Ok(())
}

/// `interval` in binary: microseconds, days and months. Days stay days, as Python has them.
pub fn interval(value: &Bound<'_, PyAny>, target: Target<'_>, out: &mut Vec<u8>) -> PyResult<()> {
    let (days, micros) = parts(value, target)?;
    out.extend_from_slice(&micros.to_be_bytes());
    out.extend_from_slice(&days.to_be_bytes());
    out.extend_from_slice(&0i32.to_be_bytes());
    Ok(())
}

/// `interval` as text: `-1 days +23:59:59.999999`.
pub fn text(value: &Bound<'_, PyAny>, target: Target<'_>) -> PyResult<String> {
    let (days, micros) = parts(value, target)?;
    let (seconds, micros) = (micros / 1_000_000, micros % 1_000_000);
    let (minutes, hours) = (seconds / 60 % 60, seconds / 3_600);
    let seconds = seconds % 60;
    Ok(format!(
        "{days} days +{hours:02}:{minutes:02}:{seconds:02}.{micros:06}"
    ))
}

/// Days and, from 0 up to a day, microseconds.
fn parts(value: &Bound<'_, PyAny>, target: Target<'_>) -> PyResult<(i32, i64)> {
    const DAY: i128 = crate::calendar::DAY as i128;
    if !layout::is_timedelta(value) {
        return Err(target.wrong_type(value, "timedelta"));
    }
    let micros = layout::read_timedelta(value)?;
    // Python's longest has 999,999,999 days.
    Ok((
        i32::try_from(micros.div_euclid(DAY)).unwrap_or(i32::MAX),
        i64::try_from(micros.rem_euclid(DAY)).unwrap_or(i64::MAX),
    ))
}

pub fn micros(value: &Bound<'_, PyAny>, target: Target<'_>) -> PyResult<i64> {
    if !layout::is_timedelta(value) {
        return Err(target.wrong_type(value, "timedelta"));
    }
    i64::try_from(layout::read_timedelta(value)?).map_err(|_| {
        target.refuse(
            value.py(),
            "the timedelta is longer than 64 bits of microseconds (292,471 years)",
        )
    })
}
