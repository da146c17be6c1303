//! `date` → TEXT `YYYY-MM-DD`. A datetime is a date to Python, but would lose its time here: refused.

use oxyde_exec::cells::Cells;
use pyo3::prelude::*;

use super::{Target, timestamp};
use crate::layout;

pub fn sqlite(value: &Bound<'_, PyAny>, target: Target<'_>, out: &mut Cells) -> PyResult<()> {
    if !layout::is_date(value) || layout::is_datetime(value) {
        return Err(target.wrong_type(value, "date"));
    }
    let mut text = String::with_capacity(10);
    timestamp::write_date(&mut text, &layout::read_date(value)?);
    out.push_text(&text);
    Ok(())
}
