//! `timedelta` → BIGINT microseconds.

use oxyde_exec::cells::Cells;
use pyo3::prelude::*;

use super::Target;
use crate::layout;

pub fn sqlite(value: &Bound<'_, PyAny>, target: Target<'_>, out: &mut Cells) -> PyResult<()> {
    if !layout::is_timedelta(value) {
        return Err(target.wrong_type(value, "timedelta"));
    }
    let micros = i64::try_from(layout::read_timedelta(value)?).map_err(|_| {
        target.refuse(
            value.py(),
            "the timedelta is longer than 64 bits of microseconds (292,471 years)",
        )
    })?;
    out.push_int(micros);
    Ok(())
}
