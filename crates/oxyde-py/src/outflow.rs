//! `_core.Outflow`: the data of a COPY TO STDOUT while they come.
//!
//! The connection is not read while a program has more to take than `FULL`: a slow program slows down the server.

use std::sync::{Arc, Mutex};

use oxyde_exec::{CancelFlag, CopyReader, ExecError, Job, Outcome, Sink, TxStatus, Work};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::completion::lock;
use crate::config;
use crate::database::Database;
use crate::finish::Finish;
use crate::hubs;
use crate::lifecycle;
use crate::pending::Stop;
use crate::place::Place;
use crate::scope::{self, Kind};

const FULL: usize = 1 << 20;

#[pyclass(frozen, module = "oxyde_core._core")]
pub struct Outflow {
    data: Arc<Data>,
    stop: Stop,
    database: Py<Database>,
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

impl Outflow {
    /// Data of the server by `COPY … TO STDOUT`.
    pub fn start(
        database: &Bound<'_, Database>,
        sql: &str,
        lease: Option<&Bound<'_, PyAny>>,
        timeout: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        let py = database.py();
        let _stay = lifecycle::stay(py);
        let this = database.get();
        let timeout = timeout.map(config::seconds).transpose()?;
        let flag = Arc::new(CancelFlag::new());
        let sql: Arc<str> = Arc::from(sql);
        let data = Arc::<Data>::default();
        let work = Work::CopyOut {
            sql: Arc::clone(&sql),
            to: Arc::clone(&data) as Arc<dyn CopyReader>,
        };
        let job = Job::with_cancel(work, Arc::clone(&flag), this.statement_deadline(timeout));
        let acquire = this.acquire_deadline();
        let ended = Arc::clone(&data);
        let sink: Sink = Box::new(move |result, _| ended.ended(result.map(drop)));
        let loop_id = hubs::hub(py)?.get().loop_id();
        let place = Place::of(lease)?;
        {
            let _scope = scope::enter(loop_id, Kind::Call);
            match place {
                Place::Lease(lease) => lease.get().inner.run(job, sink),
                Place::Pin(pin) => pin.get().inner.run(job, acquire, sink),
                Place::Pool => this.engine.run_on(loop_id, job, acquire, sink),
            }
        }
        Ok(Self {
            data,
            stop: Stop {
                database: Arc::clone(&this.engine),
                flag,
            },
            database: database.clone().unbind(),
        })
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
