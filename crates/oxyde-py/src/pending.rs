//! What a call answers when its result is not there at once.

use std::sync::{Arc, Mutex};

use oxyde_exec::{CancelFlag, Database};
use pyo3::exceptions::{PyRuntimeError, PyStopIteration};
use pyo3::ffi;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;

use crate::completion::lock;
use crate::hubs;
use crate::lifecycle;

enum State {
    /// A future that the loop's hub completes.
    Future(Py<PyAny>),
    /// A result or an exception that is known, but goes through the loop once so that others get their turn.
    Yield(Option<Known>),
}

enum Known {
    Result(Py<PyAny>),
    Raised(Py<PyAny>),
}

impl Known {
    fn object(&self) -> &Py<PyAny> {
        match self {
            Self::Result(value) | Self::Raised(value) => value,
        }
    }
}

/// How to stop an operation.
#[derive(Clone)]
pub struct Stop {
    pub database: Arc<Database>,
    pub flag: Arc<CancelFlag>,
}

impl Stop {
    /// May start the next waiter's work: call it without the GIL.
    pub fn now(&self) {
        self.database.cancel(&self.flag);
    }
}

/// Awaitable once. Dropping it stops nothing: the engine owns the work.
#[pyclass(frozen, module = "oxyde_core._core")]
pub struct Pending {
    state: Mutex<State>,
    stop: Option<Stop>,
}

impl Pending {
    /// The end of a transaction cannot be stopped.
    pub fn future(future: Py<PyAny>, stop: Option<Stop>) -> Self {
        Self {
            state: Mutex::new(State::Future(future)),
            stop,
        }
    }

    pub fn yielding(py: Python<'_>, answer: PyResult<Py<PyAny>>) -> Self {
        let known = match answer {
            Ok(value) => Known::Result(value),
            Err(error) => Known::Raised(error.into_value(py).into_any()),
        };
        Self {
            state: Mutex::new(State::Yield(Some(known))),
            stop: None,
        }
    }

    /// Nobody will await it: an error is none that was overlooked.
    pub fn forget(&self, py: Python<'_>) {
        let future = match &*lock(&self.state) {
            State::Future(future) => Some(future.clone_ref(py)),
            State::Yield(_) => None,
        };
        if let Some(future) = future
            && let Err(error) = future.call_method0(py, intern!(py, "cancel"))
            // A loop that is closed takes no callbacks; whoever waited for this went with it.
            && !error.is_instance_of::<PyRuntimeError>(py)
        {
            error.write_unraisable(py, None);
        }
    }
}

#[pymethods]
impl Pending {
    fn __await__(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        match &mut *lock(&self.state) {
            State::Future(future) => {
                // SAFETY: a live object; a new reference or NULL with an exception set comes back.
                let iterator = unsafe {
                    Bound::from_owned_ptr_or_err(py, ffi::PyObject_GetIter(future.as_ptr()))?
                };
                Ok(iterator.unbind())
            }
            State::Yield(value) => Ok(Py::new(
                py,
                Turn {
                    value: Mutex::new((true, value.take())),
                },
            )?
            .into_any()),
        }
    }

    /// Asks the engine to stop. The work still ends by itself, on the engine, and frees its connection.
    fn cancel(&self, py: Python<'_>) {
        if let Some(stop) = &self.stop {
            let _stay = lifecycle::stay(py);
            hubs::call(py, || py.detach(|| stop.now()));
        }
    }

    /// Calls `callback(result, error)` when the work has ended, from the loop; at once where the result is there.
    /// The wait that was cancelled comes as its `CancelledError`. One of the two is None.
    fn watch(&self, py: Python<'_>, callback: Bound<'_, PyAny>) -> PyResult<()> {
        let future = match &*lock(&self.state) {
            State::Future(future) => future.clone_ref(py),
            State::Yield(Some(Known::Result(value))) => {
                let value = value.clone_ref(py);
                return callback.call1((value, py.None())).map(drop);
            }
            State::Yield(Some(Known::Raised(error))) => {
                let error = error.clone_ref(py);
                return callback.call1((py.None(), error)).map(drop);
            }
            State::Yield(None) => return Ok(()),
        };
        let watcher = Watcher {
            callback: callback.unbind(),
        };
        future
            .call_method1(py, "add_done_callback", (watcher,))
            .map(drop)
    }

    /// Seconds that the operation has waited for its connection, as far as it has one.
    #[getter]
    fn waited(&self) -> Option<f64> {
        let stop = self.stop.as_ref()?;
        Some(stop.flag.waited().as_secs_f64())
    }

    /// A task that awaits us is reached through our future, and we from its frame: where the loop is closed first,
    /// only the garbage collector can end that.
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        // Locked means that we are being used, on this thread even: then nothing here is garbage.
        let Ok(state) = self.state.try_lock() else {
            return Ok(());
        };
        match &*state {
            State::Future(future) => visit.call(future),
            State::Yield(known) => visit.call(known.as_ref().map(Known::object)),
        }
    }

    fn __clear__(&self) {
        if let Ok(mut state) = self.state.try_lock() {
            let last = std::mem::replace(&mut *state, State::Yield(None));
            drop(state);
            drop(last);
        }
    }
}

/// What a future is given to call: tells what came of it in two words.
#[pyclass(frozen, module = "oxyde_core._core")]
struct Watcher {
    callback: Py<PyAny>,
}

#[pymethods]
impl Watcher {
    fn __call__(&self, py: Python<'_>, future: &Bound<'_, PyAny>) -> PyResult<()> {
        let told = match future.call_method0("exception") {
            Ok(error) if error.is_none() => (future.call_method0("result")?, error),
            Ok(error) => (py.None().into_bound(py), error),
            Err(cancelled) => {
                let cancelled = cancelled.into_value(py).into_bound(py).into_any();
                (py.None().into_bound(py), cancelled)
            }
        };
        self.callback.call1(py, told).map(drop)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.callback)
    }
}

/// Yields to the loop once, then gives the value or raises.
#[pyclass(frozen, module = "oxyde_core._core")]
struct Turn {
    value: Mutex<(bool, Option<Known>)>,
}

#[pymethods]
impl Turn {
    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let mut value = lock(&self.value);
        if value.0 {
            value.0 = false;
            return Ok(py.None());
        }
        crate::fairness::made_a_trip();
        Err(match value.1.take() {
            Some(Known::Raised(error)) => PyErr::from_value(error.into_bound(py)),
            Some(Known::Result(result)) => PyStopIteration::new_err((result,)),
            None => PyStopIteration::new_err(()),
        })
    }
}
