//! Numbers of the pool as Python reads them.

use std::time::Duration;

use oxyde_exec::{Stats, Waits};
use pyo3::prelude::*;
use pyo3::types::PyDict;

/// `compiled` is how many shapes were.
pub fn dict<'py>(py: Python<'py>, stats: &Stats, compiled: u64) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("size", stats.size)?;
    dict.set_item("idle", stats.idle)?;
    dict.set_item("in_use", stats.in_use)?;
    dict.set_item("waiting", stats.waiting)?;
    dict.set_item("acquired", stats.acquired)?;
    dict.set_item("timeouts", stats.timeouts)?;
    dict.set_item("lost", stats.lost)?;
    dict.set_item("max_connections", stats.max_connections)?;
    dict.set_item(
        "longest_hold",
        stats.longest_hold.map(|hold| hold.as_secs_f64()),
    )?;
    dict.set_item(
        "longest_holder",
        stats
            .longest_holder
            .as_ref()
            .map(|origin| origin.to_string()),
    )?;
    dict.set_item("waits", waits(py, &stats.waits)?)?;
    dict.set_item("waited", stats.waits.total.as_secs_f64())?;
    dict.set_item("compiled", compiled)?;
    Ok(dict)
}

/// The upper bounds of the waits in seconds, the last of them infinite, each with its count.
fn waits<'py>(py: Python<'py>, waits: &Waits) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    let bounds = Waits::BOUNDS
        .iter()
        .map(|bound| Duration::from_millis(*bound).as_secs_f64());
    for (bound, count) in bounds.chain([f64::INFINITY]).zip(waits.counts) {
        dict.set_item(bound, count)?;
    }
    Ok(dict)
}
