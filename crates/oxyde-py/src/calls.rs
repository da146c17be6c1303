//! What a hub asks of its event loop: timers, tasks, a callback in the next turn.
//!
//! Everything of ours runs in an empty context: nothing of the first caller's leaks into what comes later.

use std::time::{Duration, Instant};

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::completion::{Hub, lock};

pub fn empty_context(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    py.import("contextvars")?.getattr("Context")?.call0()
}

/// The loop's timer that is armed.
pub struct Timer {
    at: Instant,
    handle: Py<PyAny>,
}

impl Hub {
    /// Makes sure that deadlines are looked at no later than `deadline`.
    pub fn arm(slf: &Bound<'_, Self>, deadline: Instant) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        let later = {
            let mut timer = lock(&this.timer);
            if timer.as_ref().is_some_and(|armed| armed.at <= deadline) {
                return Ok(());
            }
            timer.take()
        };
        // The loop would keep a timer that nobody needs until it fires.
        if let Some(timer) = later {
            timer.handle.call_method0(py, intern!(py, "cancel"))?;
        }
        let delay = deadline.saturating_duration_since(Instant::now()) + Duration::from_millis(1);
        let call_later = this
            .event_loop
            .bind(py)
            .getattr(intern!(py, "call_later"))?;
        let handle = empty_context(py)?.call_method1(
            intern!(py, "run"),
            (
                call_later,
                delay.as_secs_f64(),
                slf.getattr(intern!(py, "tick"))?,
            ),
        )?;
        *lock(&this.timer) = Some(Timer {
            at: deadline,
            handle: handle.unbind(),
        });
        Ok(())
    }

    /// Starts one of our own tasks, in an empty context.
    pub fn spawn(slf: &Bound<'_, Self>, coroutine: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        let kwargs = PyDict::new(py);
        kwargs.set_item("context", empty_context(py)?)?;
        let task = this.event_loop.bind(py).call_method(
            intern!(py, "create_task"),
            (coroutine,),
            Some(&kwargs),
        )?;
        let tasks = this.tasks.bind(py);
        tasks.add(&task)?;
        task.call_method1(
            intern!(py, "add_done_callback"),
            (tasks.getattr(intern!(py, "discard"))?,),
        )?;
        Ok(())
    }

    /// Calls back in the next turn of the loop, in an empty context.
    pub fn call_soon(&self, callback: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = callback.py();
        let kwargs = PyDict::new(py);
        kwargs.set_item("context", empty_context(py)?)?;
        self.event_loop.bind(py).call_method(
            intern!(py, "call_soon"),
            (callback,),
            Some(&kwargs),
        )?;
        Ok(())
    }

    /// Sees to it that the loop's end is noticed while the loop still runs.
    pub fn watch_end(
        slf: &Bound<'_, Self>,
        start: impl FnOnce() -> PyResult<Py<PyAny>>,
    ) -> PyResult<()> {
        let this = slf.get();
        if lock(&this.watch).is_none() {
            let watch = start()?;
            *lock(&this.watch) = Some(watch);
        }
        Ok(())
    }
}
