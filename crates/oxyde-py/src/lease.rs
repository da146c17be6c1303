//! `_core.Lease`: a transaction on a connection of its own.
//!
//! Whatever happens to the Python side — an exception, a cancelled task, a dropped object — the engine ends the
//! transaction and frees the connection: dropping the last reference rolls back.

use std::sync::Arc;
use std::time::{Duration, Instant};

use oxyde_exec::{Begin, BeginMode, CancelFlag, Isolation, LeaseStatus, LoopId, Sink};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::completion::Hub;
use crate::config;
use crate::database::Database;
use crate::deadlines::Limit;
use crate::finish::Finish;
use crate::hubs;
use crate::lifecycle;

/// How long a statement may still run in a transaction that `end` ends.
const PATIENCE: Duration = Duration::from_millis(20);

#[pyclass(frozen, module = "oxyde_core._core")]
pub struct Lease {
    pub(crate) inner: Arc<oxyde_exec::Lease>,
    pub(crate) database: Py<Database>,
}

impl Lease {
    fn submit(&self, py: Python<'_>, start: impl FnOnce(Sink)) -> PyResult<Py<PyAny>> {
        let start = |_: LoopId, sink| start(sink);
        self.database
            .get()
            .submit(py, Finish::Status, None, None, start)
    }

    /// The caller has the deadline of any other statement. The engine has none: a savepoint that is stopped half-way
    /// would break a transaction that can go on without it.
    fn limited(&self, py: Python<'_>, start: impl FnOnce(Sink)) -> PyResult<Py<PyAny>> {
        let database = self.database.get();
        let limit = database.statement_deadline(None).map(|deadline| Limit {
            deadline,
            harmless: true,
        });
        let start = |_: LoopId, sink| start(sink);
        database.submit(py, Finish::Status, None, limit, start)
    }
}

#[pymethods]
impl Lease {
    /// Waits for a connection and for the lock, then begins; at most `timeout` seconds.
    #[pyo3(signature = (timeout=None))]
    fn begin(&self, py: Python<'_>, timeout: Option<&Bound<'_, PyAny>>) -> PyResult<Py<PyAny>> {
        let deadline = timeout
            .map(config::seconds)
            .transpose()?
            .map(|wait| Instant::now() + wait);
        let database = self.database.get();
        // BEGIN is a statement like others, too; the wait for a connection comes before its time.
        let acquired = database.acquire_deadline();
        let statement = acquired
            .zip(database.statement_limit())
            .map(|(at, limit)| at + limit);
        let deadline = deadline.into_iter().chain(statement).min();
        hubs::hub(py)?.get().adopt(&self.inner);
        let flag = Arc::new(CancelFlag::new());
        let acquire = [acquired, deadline].into_iter().flatten().min();
        let stop = Some(Arc::clone(&flag));
        let limit = deadline.map(|deadline| Limit {
            deadline,
            harmless: true,
        });
        database.submit(py, Finish::Status, stop, limit, |loop_id, sink| {
            self.inner.begin_on(loop_id, flag, acquire, deadline, sink);
        })
    }

    fn commit(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.submit(py, |sink| self.inner.commit(sink))
    }

    fn rollback(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.submit(py, |sink| self.inner.rollback(sink))
    }

    fn savepoint(&self, py: Python<'_>, name: &str) -> PyResult<Py<PyAny>> {
        self.limited(py, |sink| self.inner.savepoint(name, sink))
    }

    fn release(&self, py: Python<'_>, name: &str) -> PyResult<Py<PyAny>> {
        self.limited(py, |sink| self.inner.release(name, sink))
    }

    fn rollback_to(&self, py: Python<'_>, name: &str) -> PyResult<Py<PyAny>> {
        self.limited(py, |sink| self.inner.rollback_to(name, sink))
    }

    /// "idle", "open", "failed", "closed" or "unknown".
    #[getter]
    fn status(&self) -> &'static str {
        self.inner.status().as_str()
    }

    /// At this many seconds from now the transaction is rolled back, whatever the program does.
    fn set_deadline(&self, seconds: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        let deadline = seconds
            .map(config::seconds)
            .transpose()?
            .map(|wait| Instant::now() + wait);
        self.inner.set_deadline(deadline);
        Ok(())
    }

    /// Rolls back as soon as running work has ended, which it does by itself or is stopped soon. Nobody waits for it.
    ///
    /// A statement that is about to end is quicker awaited than stopped, which takes a connection of its own.
    fn end(&self, py: Python<'_>) -> PyResult<()> {
        let open = matches!(self.inner.status(), LeaseStatus::Open | LeaseStatus::Failed);
        let Some(hub) = hubs::current(py).filter(|_| open) else {
            self.abandon(py);
            return Ok(());
        };
        let _stay = lifecycle::stay(py);
        let soon = Instant::now() + PATIENCE;
        self.inner.set_deadline(Some(soon));
        let lease = Arc::clone(&self.inner);
        // The last one to have it would end it at once.
        let kept = Arc::clone(&self.inner);
        hubs::call(py, || {
            py.detach(|| lease.rollback(Box::new(move |_, _| drop(kept))));
        });
        Hub::arm(&hub, soon)
    }

    /// Runs a statement when the transaction has ended, in whatever way: on a connection that is kept, before anything
    /// else.
    fn afterwards(&self, sql: String) {
        self.inner.afterwards(sql);
    }

    /// Rolls back and frees the connection, now or as soon as running work has ended.
    fn abandon(&self, py: Python<'_>) {
        let _stay = lifecycle::stay(py);
        hubs::call(py, || py.detach(|| self.inner.abandon()));
    }
}

/// How a transaction starts; `mode` is "write" or "read", `isolation` one of the four levels.
pub fn begin(mode: &str, isolation: Option<&str>, deferrable: bool) -> PyResult<Begin> {
    let mode = match mode {
        "write" => BeginMode::Write,
        "read" => BeginMode::Read,
        other => {
            return Err(PyValueError::new_err(format!(
                "a transaction is \"write\" or \"read\", not {other:?}"
            )));
        }
    };
    Ok(Begin {
        mode,
        isolation: isolation.map(isolation_level).transpose()?,
        deferrable,
    })
}

fn isolation_level(name: &str) -> PyResult<Isolation> {
    Ok(match name {
        "read_uncommitted" => Isolation::ReadUncommitted,
        "read_committed" => Isolation::ReadCommitted,
        "repeatable_read" => Isolation::RepeatableRead,
        "serializable" => Isolation::Serializable,
        other => {
            return Err(PyValueError::new_err(format!(
                "unknown isolation level {other:?}"
            )));
        }
    })
}
