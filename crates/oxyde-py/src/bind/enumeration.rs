//! `Enum` of str → its value as text (the column's `to_db` has taken `.value`).
//!
//! PostgreSQL gets it as text too, under OID 0: the server knows which enum it is.

use oxyde_exec::cells::Cells;
use oxyde_sql::Transform;
use pyo3::prelude::*;

use super::parameters::Parameters;
use super::{Target, text};

pub fn sqlite(value: &Bound<'_, PyAny>, target: Target<'_>, out: &mut Cells) -> PyResult<()> {
    text::sqlite(value, Transform::None, target, out)
}

pub fn postgres(value: &Bound<'_, PyAny>, target: Target<'_>, out: &mut Vec<u8>) -> PyResult<()> {
    text::postgres(value, Transform::None, None, target, out)
}

pub fn mysql(value: &Bound<'_, PyAny>, target: Target<'_>, out: &mut Parameters) -> PyResult<()> {
    text::mysql(value, Transform::None, None, target, out)
}
