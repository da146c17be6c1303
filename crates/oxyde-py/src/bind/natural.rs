//! Parameters of raw SQL: no column says what they are, so the Python type decides.

use oxyde_exec::cells::Cells;
use oxyde_sql::Transform;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyFloat, PyInt, PyString};

use super::{
    Target, boolean, bytes, date, decimal, duration, float, integer, text, time, timestamp, uuid,
};
use crate::layout;

pub fn sqlite(value: &Bound<'_, PyAny>, target: Target<'_>, out: &mut Cells) -> PyResult<()> {
    let py = value.py();
    if value.is_none() {
        out.push_null();
        Ok(())
    } else if value.is_instance_of::<PyBool>() {
        boolean::sqlite(value, target, out)
    } else if value.is_instance_of::<PyInt>() {
        integer::sqlite(value, i64::MIN, i64::MAX, target, out)
    } else if value.is_instance_of::<PyFloat>() {
        float::sqlite(value, target, out)
    } else if value.is_instance_of::<PyString>() {
        text::sqlite(value, Transform::None, target, out)
    } else if value.is_instance_of::<PyBytes>() {
        bytes::sqlite(value, target, out)
    } else if layout::is_datetime(value) {
        timestamp::sqlite(value, false, target, out)
    } else if layout::is_date(value) {
        date::sqlite(value, target, out)
    } else if layout::is_time(value) {
        time::sqlite(value, target, out)
    } else if layout::is_timedelta(value) {
        duration::sqlite(value, target, out)
    } else if value.is_instance(layout::decimal_type(py)?)? {
        decimal::sqlite(value, None, None, target, out)
    } else if value.is_instance(layout::uuid_type(py)?)? {
        uuid::sqlite(value, target, out)
    } else {
        Err(target.wrong_type(
            value,
            "None, bool, int, float, str, bytes, Decimal, UUID, datetime, date, time or timedelta",
        ))
    }
}
