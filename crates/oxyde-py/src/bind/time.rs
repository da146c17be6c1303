//! `time` → TEXT `HH:MM:SS.ffffff`. A zone without a date has no meaning in SQL: refused.

use oxyde_exec::cells::Cells;
use pyo3::prelude::*;

use super::{Target, timestamp};
use crate::layout;

pub fn sqlite(value: &Bound<'_, PyAny>, target: Target<'_>, out: &mut Cells) -> PyResult<()> {
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
    let mut text = String::with_capacity(15);
    timestamp::write_time(&mut text, &stamp);
    out.push_text(&text);
    Ok(())
}
