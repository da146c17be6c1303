//! `_core.Lease`: a transaction on a connection of its own.
//!
//! Whatever happens to the Python side — an exception, a cancelled task, a dropped object — the engine ends the
//! transaction and frees the connection: dropping the last reference rolls back.

use std::sync::Arc;
use std::time::Instant;

use oxyde_exec::{CancelFlag, LoopId, Sink};
use pyo3::prelude::*;

use crate::config;
use crate::database::Database;
use crate::deadlines::Limit;
use crate::finish::Finish;
use crate::hubs;
use crate::lifecycle;

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

    /// Rolls back and frees the connection, now or as soon as running work has ended.
    fn abandon(&self, py: Python<'_>) {
        let _stay = lifecycle::stay(py);
        hubs::call(py, || py.detach(|| self.inner.abandon()));
    }
}
