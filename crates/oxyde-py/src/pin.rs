//! `_core.Pin`: a connection that a program keeps, and what the server says to it unasked.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use oxyde_exec::{CancelFlag, ErrorKind, ExecError, Listener, Origin, Outcome, Sink, TxStatus};
use pyo3::prelude::*;
use pyo3::types::PyList;

use crate::completion::lock;
use crate::config;
use crate::database::Database;
use crate::deadlines::Limit;
use crate::finish::Finish;
use crate::hubs;
use crate::lease::{self, Lease};
use crate::lifecycle;

#[pyclass(frozen, module = "oxyde_core._core")]
pub struct Pin {
    pub(crate) inner: Arc<oxyde_exec::Pin>,
    heard: Arc<Heard>,
    database: Py<Database>,
}

/// How many notifications wait for a program that does not take them, at most.
const KEPT: usize = 65_536;

/// What a connection was told, until it is taken.
#[derive(Default)]
struct Heard(Mutex<Hearing>);

#[derive(Default)]
struct Hearing {
    notifications: VecDeque<(String, String, i32)>,
    /// Nothing more will come.
    end: Option<ExecError>,
    waiting: Option<Sink>,
}

impl Heard {
    fn wake(&self, result: Result<(), ExecError>) {
        let waiting = lock(&self.0).waiting.take();
        if let Some(sink) = waiting {
            sink(result.map(|()| Outcome::default()), TxStatus::Idle);
        }
    }

    fn wait(&self, sink: Sink) {
        let (now, before) = {
            let mut hearing = lock(&self.0);
            if !hearing.notifications.is_empty() {
                (Some((sink, Ok(Outcome::default()))), None)
            } else if let Some(error) = &hearing.end {
                (Some((sink, Err(error.clone()))), None)
            } else {
                (None, hearing.waiting.replace(sink))
            }
        };
        if let Some((sink, result)) = now {
            sink(result, TxStatus::Idle);
        }
        // Whoever waited before was cancelled: one task waits at a time.
        if let Some(sink) = before {
            sink(Ok(Outcome::default()), TxStatus::Idle);
        }
    }

    fn end(&self, error: &ExecError) {
        lock(&self.0).end.get_or_insert_with(|| error.clone());
        self.wake(Err(error.clone()));
    }
}

impl Listener for Heard {
    fn notified(&self, pid: i32, channel: String, payload: String) {
        {
            let mut hearing = lock(&self.0);
            if hearing.end.is_some() {
                return;
            }
            if hearing.notifications.len() >= KEPT {
                hearing.end = Some(
                    ExecError::new(
                        ErrorKind::Operational,
                        format!("{KEPT} notifications wait already, and later ones were lost"),
                    )
                    .with_hint(
                        "take notifications faster, for example by one task that only takes them",
                    ),
                );
                return;
            }
            hearing.notifications.push_back((channel, payload, pid));
        }
        self.wake(Ok(()));
    }

    fn lost(&self, error: &ExecError) {
        let mut error = error.clone();
        error.kind = ErrorKind::ConnectionLost;
        self.end(&error);
    }
}

impl Pin {
    pub fn new(database: &Bound<'_, Database>, origin: Option<Origin>) -> Self {
        let heard = Arc::new(Heard::default());
        let listener = Arc::clone(&heard) as Arc<dyn Listener>;
        Self {
            inner: database.get().engine.pin(listener, origin),
            heard,
            database: database.clone().unbind(),
        }
    }
}

#[pymethods]
impl Pin {
    /// Waits for a connection; at most `timeout` seconds.
    #[pyo3(signature = (timeout=None))]
    fn open(&self, py: Python<'_>, timeout: Option<&Bound<'_, PyAny>>) -> PyResult<Py<PyAny>> {
        let timeout = timeout.map(config::seconds).transpose()?;
        let deadline = timeout.map(|wait| Instant::now() + wait);
        let database = self.database.get();
        hubs::hub(py)?.get().adopt_pin(&self.inner);
        let flag = Arc::new(CancelFlag::new());
        let acquire = [database.acquire_deadline(), deadline]
            .into_iter()
            .flatten()
            .min();
        let stop = Some(Arc::clone(&flag));
        let limit = deadline.map(|deadline| Limit {
            deadline,
            harmless: true,
        });
        database.submit(py, Finish::Nothing, stop, limit, |loop_id, sink| {
            self.inner.open(loop_id, flag, acquire, sink);
        })
    }

    /// Gives the connection back, put back to the settings of the database; what runs on it is stopped.
    fn close(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.heard.end(&ExecError::new(
            ErrorKind::Closed,
            "the connection was given back",
        ));
        self.database
            .get()
            .submit(py, Finish::Nothing, None, None, |_, sink| {
                self.inner.close(sink);
            })
    }

    /// The same without waiting for it.
    fn abandon(&self, py: Python<'_>) {
        let _stay = lifecycle::stay(py);
        hubs::call(py, || py.detach(|| self.inner.abandon()));
    }

    /// Whether statements are taken.
    #[getter]
    fn is_open(&self) -> bool {
        self.inner.is_open()
    }

    /// Whether statements have left a transaction open: BEGIN in raw SQL.
    #[getter]
    fn in_transaction(&self) -> bool {
        self.inner.in_transaction()
    }

    /// Whether a pooler may give each transaction another session of the server.
    #[getter]
    fn pooled(&self) -> bool {
        self.inner.is_pooled()
    }

    /// A transaction on this connection that has not begun yet, with what `Database.lease` takes.
    #[pyo3(signature = (mode, isolation=None, deferrable=false))]
    fn lease(
        &self,
        py: Python<'_>,
        mode: &str,
        isolation: Option<&str>,
        deferrable: bool,
    ) -> PyResult<Lease> {
        Ok(Lease {
            inner: self.inner.lease(lease::begin(mode, isolation, deferrable)?),
            database: self.database.clone_ref(py),
        })
    }

    /// Waits until there are notifications, or none will come: that is the error.
    fn wait_notified(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.database
            .get()
            .submit(py, Finish::Nothing, None, None, |_, sink| {
                self.heard.wait(sink);
            })
    }

    /// Whoever waits for notifications looks again.
    fn wake(&self, py: Python<'_>) {
        let _stay = lifecycle::stay(py);
        hubs::call(py, || self.heard.wake(Ok(())));
    }

    /// Takes them: channel, payload, process of the sender.
    fn notifications<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let taken = std::mem::take(&mut lock(&self.heard.0).notifications);
        PyList::new(py, taken)
    }
}
