//! `Enum` of str → its value as TEXT (the column's `to_db` has taken `.value`).

use oxyde_exec::cells::Cells;
use oxyde_sql::Transform;
use pyo3::prelude::*;

use super::{Target, text};

pub fn sqlite(value: &Bound<'_, PyAny>, target: Target<'_>, out: &mut Cells) -> PyResult<()> {
    text::sqlite(value, Transform::None, target, out)
}
