//! `_core.Database`: one call from Python per operation.
//!
//! A call looks its shape up, encodes the parameters, and either answers on the spot (single rows on SQLite) or
//! hands a job to the engine and answers a [`Pending`]. Nothing here waits.

use std::cell::RefCell;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use oxyde_exec::{BeginMode, CancelFlag, Cells, Inline, Job, Outcome, Returning, Sink, Work};
use oxyde_sql::{BulkForm, Dialect, StatementKind, Version};
use pyo3::IntoPyObjectExt;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PySequence, PyString, PyTuple, PyType};

use crate::bind::{self, Target};
use crate::bulk::{self, Fill, Uniform};
use crate::cache::{PlanCache, Statement};
use crate::completion::{self, Hub, lock};
use crate::config::{self, Waits};
use crate::errors;
use crate::fairness;
use crate::finish::Finish;
use crate::hydrate;
use crate::lease::Lease;
use crate::lifecycle;
use crate::loader::Loader;
use crate::pending::{Pending, Stop};

#[pyclass(frozen, module = "oxyde_core._core")]
pub struct Database {
    pub(crate) engine: Arc<oxyde_exec::Database>,
    plans: PlanCache,
    dialect: Dialect,
    version: Mutex<Option<Version>>,
    waits: Waits,
    inline: bool,
}

/// Class, automatic key, load state, slot of the load state.
type FillArguments<'py> = (
    Bound<'py, PyType>,
    Option<Bound<'py, PyString>>,
    Bound<'py, PyAny>,
    Bound<'py, PyAny>,
);

thread_local! {
    /// Buffers of the inline path, kept between calls so that a look-up allocates nothing but its result.
    static SCRATCH: RefCell<Option<(Cells, Outcome)>> = const { RefCell::new(None) };
}

impl Database {
    fn version_or_oldest(&self) -> Version {
        lock(&self.version).unwrap_or_else(|| self.dialect.oldest())
    }

    /// After the first connection: the server says what it is.
    pub fn connected(&self, outcome: &Outcome) {
        if let Some(oxyde_exec::CellRef::Text(bytes)) = outcome.rows.get(0, 0) {
            *lock(&self.version) = parse_version(&String::from_utf8_lossy(bytes));
        }
    }

    pub fn acquire_deadline(&self) -> Option<Instant> {
        self.waits.acquire.map(|wait| Instant::now() + wait)
    }

    fn statement_deadline(&self, timeout: Option<Duration>) -> Option<Instant> {
        timeout
            .or(self.waits.statement)
            .map(|wait| Instant::now() + wait)
    }

    /// Hands a job over and answers what to await.
    pub fn start(
        &self,
        py: Python<'_>,
        work: Work,
        finish: Finish,
        lease: Option<&Bound<'_, Lease>>,
        timeout: Option<Duration>,
    ) -> PyResult<Py<PyAny>> {
        let flag = Arc::new(CancelFlag::new());
        let job = Job::with_cancel(work, Arc::clone(&flag), self.statement_deadline(timeout));
        self.submit(py, finish, Some(flag), |sink| match lease {
            Some(lease) => lease.get().inner.run(job, sink),
            None => self.engine.run(job, self.acquire_deadline(), sink),
        })
    }

    /// Makes the future of an operation and starts it.
    pub fn submit(
        &self,
        py: Python<'_>,
        finish: Finish,
        flag: Option<Arc<CancelFlag>>,
        start: impl FnOnce(Sink),
    ) -> PyResult<Py<PyAny>> {
        let hub = completion::hub(py)?;
        let stop = flag.map(|flag| Stop {
            database: Arc::clone(&self.engine),
            flag,
        });
        let (future, sink) = Hub::operation(&hub, finish, stop.clone())?;
        if lifecycle::is_left_behind() {
            return Ok(Py::new(py, Pending::future(future, None))?.into_any());
        }
        start(sink);
        if let Some(deadline) = self.engine.next_deadline() {
            Hub::arm(&hub, deadline)?;
        }
        Ok(Py::new(py, Pending::future(future, stop))?.into_any())
    }

    /// A point look-up or a write of a single row on this thread; `None` when it has to go to the engine's.
    fn try_inline(
        &self,
        py: Python<'_>,
        statement: &Statement,
        loader: Option<&Loader>,
        params: &Cells,
        out: &mut Outcome,
    ) -> PyResult<Option<Py<PyAny>>> {
        let sql = &statement.sql;
        // Locks are only tried: waiting for one with the GIL held could wait for a thread that wants the GIL. They are
        // given back without it, too (by the end of the closures): that may start the work of somebody who waits.
        let inline = if statement.plan.kind == StatementKind::Select {
            let rows = &mut out.rows;
            self.engine
                .inline_lock()
                .map(|mut guard| py.detach(move || guard.run(sql, params, rows)))
        } else {
            // A look-up without a loop does no harm, a write would have happened.
            completion::running_loop(py)?;
            let out = &mut *out;
            self.engine
                .inline_write_lock()
                .map(|mut guard| py.detach(move || guard.run(sql, params, out)))
        };
        let answer = match inline {
            Some(Inline::Done) => match loader {
                Some(loader) if statement.plan.returns_rows => {
                    hydrate::rows(py, loader, &out.rows).map(Bound::unbind)
                }
                _ => out.affected.into_py_any(py),
            },
            Some(Inline::Failed(error)) => Err(errors::from_exec(py, &error, Some(sql))),
            Some(Inline::NotEligible) => {
                statement.inline.store(false, Ordering::Relaxed);
                return Ok(None);
            }
            None | Some(Inline::Busy | Inline::OverBudget) => return Ok(None),
        };
        if fairness::trip_is_due() {
            let pending = Pending::yielding(py, answer);
            return Ok(Some(Py::new(py, pending)?.into_any()));
        }
        answer.map(Some)
    }
}

#[pymethods]
impl Database {
    #[new]
    fn new(config: &Bound<'_, PyDict>) -> PyResult<Self> {
        let py = config.py();
        let item = |name: &str| {
            config
                .get_item(name)?
                .ok_or_else(|| PyValueError::new_err(format!("no {name}")))
        };
        let backend: String = item("backend")?.extract()?;
        let name: String = item("name")?.extract()?;
        let settings = item("settings")?;
        let settings = settings.cast::<PyDict>()?;
        if backend != "sqlite" {
            return Err(PyValueError::new_err(format!(
                "this build has no engine for {backend}"
            )));
        }
        let path: Option<PathBuf> = item("path")?.extract()?;
        let engine_config = config::sqlite(name, path, settings)?;
        let inline = engine_config.inline && engine_config.path.is_some();
        let engine = oxyde_exec::Database::sqlite(engine_config)
            .map_err(|error| errors::from_exec(py, &error, None))?;
        lifecycle::remember(&engine);
        Ok(Self {
            engine,
            plans: PlanCache::new(py),
            dialect: Dialect::Sqlite,
            version: Mutex::new(None),
            waits: config::waits(settings)?,
            inline,
        })
    }

    #[getter]
    fn backend(&self) -> &'static str {
        self.dialect.id()
    }

    #[getter]
    fn version(&self) -> Option<(u32, u32, u32)> {
        lock(&self.version).map(|Version(major, minor, patch)| (major, minor, patch))
    }

    /// Opens the first connection.
    fn connect(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        let this = slf.get();
        this.plans.clear(slf.py());
        this.submit(
            slf.py(),
            Finish::Connected(slf.clone().unbind()),
            None,
            |sink| this.engine.connect(sink),
        )
    }

    /// Ends running work within `timeout` seconds, then stops it; all connections are closed.
    #[pyo3(signature = (timeout=None))]
    fn close(&self, py: Python<'_>, timeout: Option<&Bound<'_, PyAny>>) -> PyResult<Py<PyAny>> {
        let wait = timeout.map(config::seconds).transpose()?;
        let deadline = wait.map(|wait| Instant::now() + wait);
        self.submit(py, Finish::Nothing, None, |sink| {
            self.engine.close(deadline, sink)
        })
    }

    /// Runs one statement. The answer is the result itself, or a `Pending` to await.
    #[pyo3(signature = (shape, params, loader=None, lease=None, timeout=None))]
    fn run(
        &self,
        py: Python<'_>,
        shape: &Bound<'_, PyTuple>,
        params: &Bound<'_, PyTuple>,
        loader: Option<&Bound<'_, Loader>>,
        lease: Option<&Bound<'_, Lease>>,
        timeout: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        let statement = self
            .plans
            .get(shape, self.dialect, self.version_or_oldest())?;
        let statement = statement.get();
        let timeout = timeout.map(config::seconds).transpose()?;
        let read_only = statement.plan.kind == StatementKind::Select;
        let inline = self.inline
            && lease.is_none()
            && (loader.is_some() || !read_only)
            && statement.inline.load(Ordering::Relaxed);
        let cells = if inline {
            let (mut cells, mut out) = SCRATCH.take().unwrap_or_default();
            cells.clear();
            let answer = statement.encode(params, &mut cells).and_then(|()| {
                let loader = loader.map(|loader| loader.get());
                self.try_inline(py, statement, loader, &cells, &mut out)
            });
            if let Some(answer) = answer.transpose() {
                SCRATCH.replace(Some((cells, out)));
                return answer;
            }
            SCRATCH.replace(Some((Cells::new(), out)));
            cells
        } else {
            let mut cells = Cells::with_capacity(statement.plan.binds.len(), 0);
            statement.encode(params, &mut cells)?;
            cells
        };
        let work = Work::Statement {
            sql: Arc::clone(&statement.sql),
            params: cells,
            read_only,
            names: false,
        };
        let finish = match loader {
            Some(loader) if statement.plan.returns_rows => {
                Finish::Rows(loader.clone().unbind(), Arc::clone(&statement.sql))
            }
            _ => Finish::Affected(Arc::clone(&statement.sql)),
        };
        self.start(py, work, finish, lease, timeout)
    }

    /// Inserts many rows, all or none. Values are read from tuples, dicts or instances by field name.
    ///
    /// With `fill` — (class, automatic key or None, load state, its slot) — the rows are new instances of one class
    /// that get what the database filled in; the answer is None if they do not all have the same fields.
    #[pyo3(signature = (shape, rows, fields, converters, loader=None, lease=None, timeout=None, params=None, fill=None))]
    #[expect(
        clippy::too_many_arguments,
        reason = "the Python signature of the contract"
    )]
    fn run_bulk(
        &self,
        py: Python<'_>,
        shape: &Bound<'_, PyTuple>,
        rows: &Bound<'_, PyList>,
        fields: &Bound<'_, PyTuple>,
        converters: &Bound<'_, PyTuple>,
        loader: Option<&Bound<'_, Loader>>,
        lease: Option<&Bound<'_, Lease>>,
        timeout: Option<&Bound<'_, PyAny>>,
        params: Option<&Bound<'_, PyTuple>>,
        fill: Option<FillArguments<'_>>,
    ) -> PyResult<Py<PyAny>> {
        let statement = self
            .plans
            .get(shape, self.dialect, self.version_or_oldest())?;
        let statement = statement.get();
        let Some(BulkForm::PerRow { key_check }) = &statement.plan.bulk else {
            return Err(errors::internal(
                py,
                "a bulk insert was compiled in a form that this engine does not run",
            ));
        };
        let (uniform, mark) = match fill {
            Some((cls, automatic, state, slot)) => (
                Some(Uniform::new(cls, automatic, rows, fields)?),
                Some((state.unbind(), slot.unbind())),
            ),
            None => (None, None),
        };
        let Some(cells) = bulk::encode(
            statement,
            rows,
            fields,
            converters,
            params,
            uniform.as_ref(),
        )?
        else {
            return Ok(py.None());
        };
        let sql = Arc::clone(&statement.sql);
        let loader = loader
            .filter(|_| statement.plan.returns_rows)
            .map(|loader| loader.clone().unbind());
        let work = Work::Bulk {
            sql: Arc::clone(&sql),
            params: cells,
            width: statement.plan.binds.len(),
            returning: match (&loader, key_check) {
                (None, _) => Returning::Nothing,
                (Some(_), None) => Returning::Rows,
                (Some(_), Some(check)) => Returning::RowNumbers {
                    check: Arc::from(check.as_str()),
                },
            },
        };
        let finish = match (mark, loader) {
            (Some((state, state_slot)), loader) => Finish::Filled(
                Fill {
                    instances: rows.clone().unbind(),
                    loader,
                    state,
                    state_slot,
                },
                sql,
            ),
            (None, Some(loader)) => Finish::Rows(loader, sql),
            (None, None) => Finish::Affected(sql),
        };
        self.start(
            py,
            work,
            finish,
            lease,
            timeout.map(config::seconds).transpose()?,
        )
    }

    /// Runs the user's own SQL; the result is a list of dicts.
    #[pyo3(signature = (sql, params, lease=None, timeout=None))]
    fn raw(
        &self,
        py: Python<'_>,
        sql: &str,
        params: &Bound<'_, PyAny>,
        lease: Option<&Bound<'_, Lease>>,
        timeout: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        let Ok(params) = params.cast::<PySequence>() else {
            return Err(PyTypeError::new_err(
                "parameters of raw SQL are a list or a tuple",
            ));
        };
        let mut cells = Cells::new();
        for (index, value) in params.try_iter()?.enumerate() {
            let label = format!("parameter {}", index + 1);
            bind::natural::sqlite(
                &value?,
                Target {
                    label: &label,
                    stored: false,
                },
                &mut cells,
            )?;
        }
        let sql: Arc<str> = Arc::from(sql);
        let work = Work::Statement {
            sql: Arc::clone(&sql),
            params: cells,
            read_only: reads_only(&sql),
            names: true,
        };
        self.start(
            py,
            work,
            Finish::Dicts(sql),
            lease,
            timeout.map(config::seconds).transpose()?,
        )
    }

    /// Runs several statements, all or none.
    #[pyo3(signature = (statements, lease=None))]
    fn script(
        &self,
        py: Python<'_>,
        statements: Vec<String>,
        lease: Option<&Bound<'_, Lease>>,
    ) -> PyResult<Py<PyAny>> {
        self.start(py, Work::Script(statements), Finish::Nothing, lease, None)
    }

    /// A transaction that has not begun yet; `mode` is "write" or "read".
    fn lease(slf: &Bound<'_, Self>, mode: &str) -> PyResult<Lease> {
        let mode = match mode {
            "write" => BeginMode::Write,
            "read" => BeginMode::Read,
            other => {
                return Err(PyValueError::new_err(format!(
                    "a transaction is \"write\" or \"read\", not {other:?}"
                )));
            }
        };
        Ok(Lease {
            inner: slf.get().engine.lease(mode),
            database: slf.clone().unbind(),
        })
    }

    /// Numbers of the pool, and how many shapes were compiled.
    fn stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let stats = self.engine.stats();
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
        dict.set_item("compiled", self.plans.compiled())?;
        Ok(dict)
    }

    /// Asks the server for a sign of life.
    fn ping(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.start(py, Work::Ping, Finish::Nothing, None, None)
    }
}

/// `3.54.0`, `16.2 (Debian …)`, `10.11.19-MariaDB`: the numbers at the start.
fn parse_version(text: &str) -> Option<Version> {
    let numbers: String = text
        .chars()
        .take_while(|c| c.is_ascii_digit() || *c == '.')
        .collect();
    let mut parts = numbers.split('.').map(|part| part.parse().ok());
    let major = parts.next()??;
    let mut next = || parts.next().flatten().unwrap_or(0);
    Some(Version(major, next(), next()))
}

/// Whether raw SQL can run on a read-only connection: it begins with SELECT, VALUES or EXPLAIN. A wrong guess
/// is an error of the database ("attempt to write a readonly database"), never a lost write.
fn reads_only(sql: &str) -> bool {
    let word: String = sql
        .trim_start()
        .chars()
        .take_while(char::is_ascii_alphabetic)
        .collect();
    ["SELECT", "VALUES", "EXPLAIN"]
        .iter()
        .any(|read| word.eq_ignore_ascii_case(read))
}
