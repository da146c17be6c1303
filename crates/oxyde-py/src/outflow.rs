//! `_core.Outflow`: the data of a COPY TO STDOUT while they come.
//!
//! The connection is not read while a program has more to take than `FULL`: a slow program slows down the server.

use std::sync::{Arc, Mutex};

use oxyde_exec::{CopyReader, ExecError, Outcome, Sink, TxStatus};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::completion::lock;
use crate::database::Database;
use crate::finish::Finish;
use crate::lifecycle;
use crate::pending::Stop;

const FULL: usize = 1 << 20;

#[pyclass(frozen, module = "oxyde_core._core")]
pub struct Outflow {
    pub(crate) data: Arc<Data>,
    pub(crate) stop: Stop,
    pub(crate) database: Py<Database>,
}

/// What has come and was not taken yet.
#[derive(Default)]
pub struct Data(Mutex<State>);

#[derive(Default)]
struct State {
    bytes: Vec<u8>,
    go_on: Option<Box<dyn Fn() + Send + Sync>>,
    /// The server's last word.
    end: Option<Result<(), ExecError>>,
    waiting: Option<Sink>,
    /// Nobody wants the data any more.
    dropped: bool,
}

impl std::fmt::Debug for Data {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Data").finish_non_exhaustive()
    }
}

impl CopyReader for Data {
    fn begin(&self, go_on: Box<dyn Fn() + Send + Sync>) {
        lock(&self.0).go_on = Some(go_on);
    }

    fn data(&self, bytes: &[u8]) -> bool {
        let (waiting, more) = {
            let mut state = lock(&self.0);
            if state.dropped {
                return true;
            }
            state.bytes.extend_from_slice(bytes);
            (state.waiting.take(), state.bytes.len() < FULL)
        };
        if let Some(sink) = waiting {
            sink(Ok(Outcome::default()), TxStatus::Idle);
        }
        more
    }
}

impl Data {
    pub fn ended(&self, result: Result<(), ExecError>) {
        let waiting = {
            let mut state = lock(&self.0);
            state.end = Some(result);
            state.waiting.take()
        };
        if let Some(sink) = waiting {
            self.wait(sink);
        }
    }

    fn wait(&self, sink: Sink) {
        let now = {
            let mut state = lock(&self.0);
            match &state.end {
                _ if !state.bytes.is_empty() => Ok(Outcome::default()),
                Some(end) => end.clone().map(|()| Outcome::default()),
                None => {
                    state.waiting = Some(sink);
                    return;
                }
            }
        };
        sink(now, TxStatus::Idle);
    }

    /// Takes what has come; nothing at the end.
    pub fn take<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        let mut state = lock(&self.0);
        let bytes = PyBytes::new(py, &state.bytes);
        state.bytes.clear();
        let go_on = state.go_on.take();
        drop(state);
        if let Some(go_on) = go_on {
            go_on();
            lock(&self.0).go_on = Some(go_on);
        }
        bytes
    }
}

#[pymethods]
impl Outflow {
    /// The next bytes, or none at the end; one call at a time.
    fn read(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let data = Arc::clone(&self.data);
        self.database.get().submit(
            py,
            Finish::Data(Arc::clone(&self.data)),
            None,
            None,
            |_, sink| data.wait(sink),
        )
    }

    /// Ends it before its end; nothing happens after that.
    fn stop(&self, py: Python<'_>) {
        let _stay = lifecycle::stay(py);
        {
            let mut state = lock(&self.data.0);
            state.dropped = true;
            state.bytes = Vec::new();
            if state.end.is_some() {
                return;
            }
        }
        crate::hubs::call(py, || py.detach(|| self.stop.now()));
    }
}
