//! `_core.Database`: one call from Python per operation.
//!
//! A call looks its shape up, encodes the parameters, and either answers on the spot (single rows on SQLite) or
//! hands a job to the engine and answers a [`Pending`]. Nothing here waits.

use std::cell::RefCell;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use oxyde_exec::query::{Encoded, Params, Query};
use oxyde_exec::{
    Begin, BeginMode, CancelFlag, Cells, CopyReader, Inline, Isolation, Job, LoopId, Origin,
    Outcome, Returning, Sink, Waits, Work,
};
use oxyde_exec::{mysql, postgres};
use oxyde_sql::{BulkForm, Dialect, StatementKind};
use pyo3::IntoPyObjectExt;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::{PyDict, PyList, PySequence, PyString, PyTuple, PyType};

use crate::bind::{self, Target};
use crate::bulk::{self, Fill, Uniform};
use crate::cache::{PlanCache, Statement, Texts, Wire};
use crate::completion::{Hub, lock};
use crate::config;
use crate::contract;
use crate::copying::Copy;
use crate::cursor::{Cursor, Reading, Source};
use crate::deadlines::Limit;
use crate::errors;
use crate::fairness;
use crate::finish::Finish;
use crate::hubs;
use crate::hydrate;
use crate::lease::Lease;
use crate::lifecycle;
use crate::loader::Loader;
use crate::outflow::{self, Outflow};
use crate::parts::Parts;
use crate::pending::{Pending, Stop};
use crate::pin::Pin;
use crate::place::Place;
use crate::reader::{self, RowsInto, Shared};
use crate::scope::{self, Kind};
use crate::server;
use crate::show;
use crate::tables;

#[pyclass(frozen, module = "oxyde_core._core")]
pub struct Database {
    pub(crate) engine: Arc<oxyde_exec::Database>,
    plans: PlanCache,
    /// Raw SQL on a server.
    texts: Texts,
    /// What the URL names.
    asked: Dialect,
    /// What the server has said of itself.
    server: Mutex<Option<oxyde_sql::Target>>,
    waits: config::Waits,
    inline: bool,
    /// Connections belong to the loop that opened them.
    loop_bound: bool,
}

/// Class, automatic key, load state, slot of the load state.
type FillArguments<'py> = (
    Bound<'py, PyType>,
    Option<Bound<'py, PyString>>,
    Bound<'py, PyAny>,
    Bound<'py, PyAny>,
);

/// What a call says beside its statement and parameters.
struct Call<'a, 'py> {
    py: Python<'py>,
    loader: Option<&'a Bound<'py, Loader>>,
    fill: Option<Fill>,
    place: Place<'a, 'py>,
    timeout: Option<Duration>,
}

thread_local! {
    /// Buffers of the inline path, kept between calls so that a look-up allocates nothing but its result.
    static SCRATCH: RefCell<Option<(Cells, Outcome)>> = const { RefCell::new(None) };
}

impl Database {
    fn server_or_oldest(&self) -> oxyde_sql::Target {
        lock(&self.server).unwrap_or_else(|| (self.asked, self.asked.oldest()).into())
    }

    /// After the first connection: the server says what it is.
    pub fn connected(&self, outcome: &Outcome) {
        if let Some(oxyde_exec::CellRef::Text(bytes)) = outcome.rows.get(0, 0) {
            let version = String::from_utf8_lossy(bytes);
            *lock(&self.server) = server::described(self.asked, &version, &outcome.names);
        }
    }

    pub fn acquire_deadline(&self) -> Option<Instant> {
        self.waits.acquire.map(|wait| Instant::now() + wait)
    }

    pub fn statement_limit(&self) -> Option<Duration> {
        self.waits.statement
    }

    pub fn statement_deadline(&self, timeout: Option<Duration>) -> Option<Instant> {
        timeout
            .or(self.waits.statement)
            .map(|wait| Instant::now() + wait)
    }

    /// Hands a job over and answers what to await.
    pub fn start<'a, 'py: 'a>(
        &self,
        py: Python<'py>,
        work: Work,
        finish: Finish,
        place: impl Into<Place<'a, 'py>>,
        timeout: Option<Duration>,
    ) -> PyResult<Py<PyAny>> {
        let flag = Arc::new(CancelFlag::new());
        self.start_with(py, flag, work, finish, place, timeout)
    }

    /// The same for work that looks at its flag itself.
    pub fn start_with<'a, 'py: 'a>(
        &self,
        py: Python<'py>,
        flag: Arc<CancelFlag>,
        work: Work,
        finish: Finish,
        place: impl Into<Place<'a, 'py>>,
        timeout: Option<Duration>,
    ) -> PyResult<Py<PyAny>> {
        let place = place.into();
        let deadline = self.statement_deadline(timeout);
        let reads = matches!(&work, Work::Query(query) if query.pure_read);
        let limit = deadline.map(|deadline| Limit {
            deadline,
            harmless: reads || place.is_transaction(),
        });
        let job = Job::with_cancel(work, Arc::clone(&flag), deadline);
        let acquire = self.acquire_deadline();
        self.submit(py, finish, Some(flag), limit, |loop_id, sink| match place {
            Place::Lease(lease) => lease.get().inner.run(job, sink),
            Place::Pin(pin) => pin.get().inner.run(job, acquire, sink),
            Place::Pool => self.engine.run_on(loop_id, job, acquire, sink),
        })
    }

    /// Makes the future of an operation and starts it. `limit` is for engines that a network can cut off.
    pub fn submit(
        &self,
        py: Python<'_>,
        finish: Finish,
        flag: Option<Arc<CancelFlag>>,
        limit: Option<Limit>,
        start: impl FnOnce(LoopId, Sink),
    ) -> PyResult<Py<PyAny>> {
        let _stay = lifecycle::stay(py);
        let hub = hubs::hub(py)?;
        let stop = flag.map(|flag| Stop {
            database: Arc::clone(&self.engine),
            flag,
        });
        let limit = limit.filter(|_| self.loop_bound);
        let (future, sink) = Hub::operation(&hub, finish, stop.clone(), limit)?;
        if lifecycle::is_left_behind() {
            return Ok(Py::new(py, Pending::future(future, None))?.into_any());
        }
        if self.loop_bound {
            // Their connections count until somebody notices.
            hubs::leave_closed_loops(py);
            let loop_id = hub.get().loop_id();
            let _scope = scope::enter(loop_id, Kind::Call);
            start(loop_id, sink);
        } else {
            start(LoopId::ANY, sink);
        }
        let deadline = limit.map(|limit| limit.deadline);
        if let Some(deadline) = self
            .engine
            .next_deadline()
            .into_iter()
            .chain(deadline)
            .min()
        {
            Hub::arm(&hub, deadline)?;
        }
        Ok(Py::new(py, Pending::future(future, stop))?.into_any())
    }

    /// Runs a compiled statement on a server: with rows, if there is a loader for them.
    fn run_wire(
        &self,
        statement: &Statement,
        wire: &Wire,
        params: Encoded,
        call: Call<'_, '_>,
    ) -> PyResult<Py<PyAny>> {
        let py = call.py;
        let sql = Arc::clone(&statement.sql);
        let flag = Arc::new(CancelFlag::new());
        let loader = call.loader.filter(|_| statement.plan.returns_rows);
        let told = call.loader.filter(|_| statement.plan.told_key);
        let (rows, finish) = match (call.fill, loader) {
            (None, None) => match told {
                Some(loader) => (None, Finish::Told(loader.clone().unbind(), sql)),
                None => (None, Finish::Affected(sql)),
            },
            (None, Some(loader)) => {
                let into = RowsInto::Loader(loader.clone().unbind());
                let (reader, collected) =
                    reader::reader(py, self.server_or_oldest().dialect, into, &flag);
                (Some(reader), Finish::Collected(collected, sql))
            }
            (Some(fill), None) => (None, Finish::Filled(fill, sql)),
            (Some(fill), Some(loader)) => {
                let into = RowsInto::Values(loader.clone().unbind());
                let (reader, collected) =
                    reader::reader(py, self.server_or_oldest().dialect, into, &flag);
                let finish = Finish::FilledFrom(fill, collected, sql);
                (Some(reader), finish)
            }
        };
        let work = Work::Query(Box::new(Query {
            statement: Arc::clone(&wire.statement),
            params: Params::Ready(params),
            rows,
            pure_read: wire.pure_read,
            taints: false,
        }));
        self.start_with(py, flag, work, finish, call.place, call.timeout)
    }

    /// Runs the user's own SQL on a server.
    fn raw_wire(
        &self,
        sql: &str,
        params: &Bound<'_, PySequence>,
        counted: bool,
        call: Call<'_, '_>,
    ) -> PyResult<Py<PyAny>> {
        let py = call.py;
        let postgres = self.asked == Dialect::Postgres;
        let is_empty = if postgres {
            postgres::taint::is_empty
        } else {
            mysql::taint::is_empty
        };
        let taints = if postgres {
            postgres::taint::taints
        } else {
            mysql::taint::taints
        };
        if is_empty(sql) {
            return Err(errors::programming(py, "the text contains no statement"));
        }
        let flag = Arc::new(CancelFlag::new());
        let into = RowsInto::Dicts(Vec::new());
        let dialect = self.server_or_oldest().dialect;
        let (reader, collected) = reader::reader(py, dialect, into, &flag);
        let params = params.to_tuple()?;
        let (statement, encoder) = if postgres {
            (self.texts.get(sql, &[]), collected.encoder(params.unbind()))
        } else {
            let params = bind::natural::mysql(&params, dialect)?;
            let types = bind::parameters::types(&params);
            (self.texts.get(sql, types), collected.encoded(params))
        };
        let sql = Arc::clone(&statement.sql);
        let work = Work::Query(Box::new(Query {
            taints: taints(&sql),
            statement,
            params: Params::AfterDescribe(encoder),
            rows: Some(reader),
            pure_read: false,
        }));
        let finish = if counted {
            Finish::Counted(collected, sql)
        } else {
            Finish::Collected(collected, sql)
        };
        self.start_with(py, flag, work, finish, call.place, call.timeout)
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
            hubs::running_loop(py)?;
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
        let waits = config::waits(settings)?;
        let (engine, asked, inline) = match backend.as_str() {
            "sqlite" => {
                let path: Option<PathBuf> = item("path")?.extract()?;
                let engine_config = config::sqlite(name, path, settings)?;
                let inline = engine_config.inline && engine_config.path.is_some();
                let engine = oxyde_exec::Database::sqlite(engine_config)
                    .map_err(|error| errors::from_exec(py, &error, None))?;
                (engine, Dialect::Sqlite, inline)
            }
            "postgres" => (
                config::postgres(name, config, settings)?,
                Dialect::Postgres,
                false,
            ),
            "mysql" | "mariadb" => {
                let asked = Dialect::parse(&backend).unwrap_or(Dialect::Mysql);
                (config::mysql(name, config, settings)?, asked, false)
            }
            other => {
                return Err(PyValueError::new_err(format!(
                    "this build has no engine for {other}"
                )));
            }
        };
        lifecycle::remember(&engine);
        let loop_bound = engine.caps().loop_bound;
        Ok(Self {
            engine,
            plans: PlanCache::new(py),
            texts: Texts::default(),
            asked,
            server: Mutex::new(None),
            waits,
            inline,
            loop_bound,
        })
    }

    #[getter]
    fn backend(&self) -> &'static str {
        self.server_or_oldest().dialect.id()
    }

    #[getter]
    fn version(&self) -> Option<(u32, u32, u32)> {
        let server = *lock(&self.server);
        server.map(|oxyde_sql::Target { version, .. }| (version.0, version.1, version.2))
    }

    /// Whether all work shares one connection, so that nothing else could run beside a lease.
    #[getter]
    fn single_connection(&self) -> bool {
        self.engine.caps().single_connection
    }

    /// Whether INSERT and UPDATE can give back rows here.
    #[getter]
    fn returning(&self) -> (bool, bool) {
        let features = oxyde_sql::Features::of(self.server_or_oldest());
        (features.insert_returning, features.update_returning)
    }

    /// The statements that create, on this very server, what a schema document (JSON) describes.
    fn create_ddl(&self, py: Python<'_>, document: &str) -> PyResult<Vec<String>> {
        oxyde_sql::create_statements(&show::parse(document)?, self.server_or_oldest())
            .map_err(|error| errors::from_compile(py, &error))
    }

    /// The statements that drop it.
    fn drop_ddl(&self, py: Python<'_>, document: &str) -> PyResult<Vec<String>> {
        oxyde_sql::drop_statements(&show::parse(document)?, self.server_or_oldest())
            .map_err(|error| errors::from_compile(py, &error))
    }

    /// Opens the first connection.
    fn connect(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        let this = slf.get();
        this.plans.clear(slf.py());
        this.submit(
            slf.py(),
            Finish::Connected(slf.clone().unbind()),
            None,
            None,
            |loop_id, sink| this.engine.connect(loop_id, sink),
        )
    }

    /// Ends running work within `timeout` seconds, then stops it; all connections are closed.
    #[pyo3(signature = (timeout=None))]
    fn close(&self, py: Python<'_>, timeout: Option<&Bound<'_, PyAny>>) -> PyResult<Py<PyAny>> {
        let wait = timeout.map(config::seconds).transpose()?;
        let deadline = wait.map(|wait| Instant::now() + wait);
        self.submit(py, Finish::Nothing, None, None, |_, sink| {
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
        let _stay = lifecycle::stay(py);
        let statement = self.plans.get(shape, self.server_or_oldest())?;
        let statement = statement.get();
        let timeout = timeout.map(config::seconds).transpose()?;
        if let Some(wire) = &statement.wire {
            let params = statement.encode_wire(wire, params)?;
            let call = Call {
                py,
                loader,
                fill: None,
                place: lease.into(),
                timeout,
            };
            return self.run_wire(statement, wire, params, call);
        }
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

    /// A result to be read in pieces of `rows`. It needs a lease, except where `single_connection`.
    #[pyo3(signature = (shape, params, loader, rows, lease=None, timeout=None))]
    fn cursor(
        slf: &Bound<'_, Self>,
        shape: &Bound<'_, PyTuple>,
        params: &Bound<'_, PyTuple>,
        loader: &Bound<'_, Loader>,
        rows: u32,
        lease: Option<&Bound<'_, Lease>>,
        timeout: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Cursor> {
        let py = slf.py();
        let this = slf.get();
        let server = this.server_or_oldest();
        let statement = this.plans.get(shape, server)?;
        let statement = statement.get();
        let flag = Arc::new(CancelFlag::new());
        let loader = loader.clone().unbind();
        let (work, source) = match &statement.wire {
            Some(wire) => {
                let params = statement.encode_wire(wire, params)?;
                let into = RowsInto::Loader(loader);
                let (reader, collected) = reader::reader(py, server.dialect, into, &flag);
                let work = Work::Query(Box::new(Query {
                    statement: Arc::clone(&wire.statement),
                    params: Params::Ready(params),
                    rows: None,
                    pure_read: wire.pure_read,
                    taints: false,
                }));
                (work, Source::Wire(Shared::new(reader), Arc::new(collected)))
            }
            None => {
                let mut cells = Cells::with_capacity(statement.plan.binds.len(), 0);
                statement.encode(params, &mut cells)?;
                let work = Work::Statement {
                    sql: Arc::clone(&statement.sql),
                    params: cells,
                    read_only: true,
                    names: false,
                };
                (work, Source::Cells(loader))
            }
        };
        let reading = Reading {
            statement: work,
            sql: Arc::clone(&statement.sql),
            source,
            flag,
            rows,
            timeout: timeout.map(config::seconds).transpose()?,
        };
        let lease = lease.map(|lease| lease.clone().unbind());
        Ok(Cursor::new(slf.clone().unbind(), lease, reading))
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
        let _stay = lifecycle::stay(py);
        let statement = self.plans.get(shape, self.server_or_oldest())?;
        let statement = statement.get();
        let (uniform, fill) = filling(statement, rows, fields, loader, fill)?;
        let given = bulk::Rows {
            statement,
            rows,
            fields,
            converters,
            params,
            uniform: uniform.as_ref(),
        };
        let timeout = timeout.map(config::seconds).transpose()?;
        if statement.many.is_some() {
            // They were offered to `prepare_parts` before.
            return Ok(py.None());
        }
        if let Some(wire) = &statement.wire {
            let Some(params) = given.encode_arrays(wire)? else {
                return Ok(py.None());
            };
            let call = Call {
                py,
                loader,
                fill,
                place: lease.into(),
                timeout,
            };
            return self.run_wire(statement, wire, params, call);
        }
        let Some(BulkForm::PerRow { key_check }) = &statement.plan.bulk else {
            return Err(errors::internal(
                py,
                "a bulk insert was compiled in a form that this engine does not run",
            ));
        };
        let Some(cells) = given.encode()? else {
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
        let finish = match (fill, loader) {
            (Some(fill), _) => Finish::Filled(fill, sql),
            (None, Some(loader)) => Finish::Rows(loader, sql),
            (None, None) => Finish::Affected(sql),
        };
        self.start(py, work, finish, lease, timeout)
    }

    /// Makes rows ready for INSERTs of many rows each, with what `run_bulk` takes; None if the rows do not all have the
    /// same fields and should, or where `run_bulk` does it.
    ///
    /// `run_part` runs one; all are to be one transaction. Then `Parts.result()` answers what `run_bulk` does.
    #[pyo3(signature = (shape, rows, fields, converters, loader=None, params=None, fill=None))]
    #[expect(
        clippy::too_many_arguments,
        reason = "the Python signature of the contract"
    )]
    fn prepare_parts(
        &self,
        py: Python<'_>,
        shape: &Bound<'_, PyTuple>,
        rows: &Bound<'_, PyList>,
        fields: &Bound<'_, PyTuple>,
        converters: &Bound<'_, PyTuple>,
        loader: Option<&Bound<'_, Loader>>,
        params: Option<&Bound<'_, PyTuple>>,
        fill: Option<FillArguments<'_>>,
    ) -> PyResult<Option<Parts>> {
        let _stay = lifecycle::stay(py);
        let server = self.server_or_oldest();
        let statement = self.plans.get(shape, server)?;
        let statement = statement.get();
        let Some(many) = &statement.many else {
            return Ok(None);
        };
        let wanted = statement.plan.returns_rows || statement.plan.told_key;
        let loader = loader.filter(|_| wanted);
        let (uniform, fill) = filling(statement, rows, fields, loader, fill)?;
        let given = bulk::Rows {
            statement,
            rows,
            fields,
            converters,
            params,
            uniform: uniform.as_ref(),
        };
        let step = i64::try_from(server.mysql.key_step).unwrap_or(1);
        let told = statement.plan.told_key.then_some(step);
        let loader = loader.map(|loader| loader.clone().unbind());
        let encoded = given.encode_parts(&server)?;
        let table = table_of(shape)?;
        Ok(encoded.map(|encoded| Parts::new(many, table, encoded, told, loader, fill)))
    }

    /// Runs one part of a bulk insert.
    #[pyo3(signature = (parts, index, lease=None, timeout=None))]
    fn run_part(
        &self,
        parts: &Bound<'_, Parts>,
        index: usize,
        lease: Option<&Bound<'_, Lease>>,
        timeout: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        let py = parts.py();
        let _stay = lifecycle::stay(py);
        let timeout = timeout.map(config::seconds).transpose()?;
        let this = parts.get();
        let flag = Arc::new(CancelFlag::new());
        let mut query = this.query(py, index)?;
        if let Some(loader) = this.loader.as_ref().filter(|_| this.returns_rows()) {
            let loader = loader.clone_ref(py);
            let into = if this.fills() {
                RowsInto::Values(loader)
            } else {
                RowsInto::Loader(loader)
            };
            let dialect = self.server_or_oldest().dialect;
            let (reader, collected) = reader::reader(py, dialect, into, &flag);
            query.rows = Some(reader);
            this.read(index, collected);
        }
        let sql = Arc::clone(&query.statement.sql);
        let finish = Finish::Part(parts.clone().unbind(), index, sql);
        let work = Work::Query(Box::new(query));
        self.start_with(py, flag, work, finish, lease, timeout)
    }

    /// Makes rows ready for COPY, with what `run_bulk` takes; None where that is not the faster way.
    ///
    /// Then `fetch_keys` tells whether the table is for COPY, and `copy` stores the rows.
    #[pyo3(signature = (shape, rows, fields, converters, loader=None, fill=None))]
    #[expect(
        clippy::too_many_arguments,
        reason = "the Python signature of the contract"
    )]
    fn prepare_copy(
        &self,
        py: Python<'_>,
        shape: &Bound<'_, PyTuple>,
        rows: &Bound<'_, PyList>,
        fields: &Bound<'_, PyTuple>,
        converters: &Bound<'_, PyTuple>,
        loader: Option<&Bound<'_, Loader>>,
        fill: Option<FillArguments<'_>>,
    ) -> PyResult<Option<Copy>> {
        let _stay = lifecycle::stay(py);
        let statement = self.plans.get(shape, self.server_or_oldest())?;
        let statement = statement.get();
        let Some(copy) = statement
            .copy
            .as_ref()
            .filter(|copy| copy.is_for(rows.len()))
        else {
            return Ok(None);
        };
        let (uniform, fill) = filling(statement, rows, fields, loader, fill)?;
        let given = bulk::Rows {
            statement,
            rows,
            fields,
            converters,
            params: None,
            uniform: uniform.as_ref(),
        };
        let lines = given.encode_lines(copy)?;
        let table = table_of(shape)?;
        Ok(lines.map(|lines| Copy::new(copy, table, lines, fill)))
    }

    /// Whether the rows can be copied; their keys are fetched then.
    #[pyo3(signature = (copy, lease=None, timeout=None))]
    fn fetch_keys(
        &self,
        copy: &Bound<'_, Copy>,
        lease: Option<&Bound<'_, Lease>>,
        timeout: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        let py = copy.py();
        let _stay = lifecycle::stay(py);
        let timeout = timeout.map(config::seconds).transpose()?;
        let finish = Finish::MayCopy(copy.clone().unbind());
        self.start(py, copy.get().fetch(), finish, lease, timeout)
    }

    /// Stores the rows; the answer is that of `run_bulk`.
    #[pyo3(signature = (copy, loader=None, lease=None, timeout=None))]
    fn copy(
        &self,
        copy: &Bound<'_, Copy>,
        loader: Option<&Bound<'_, Loader>>,
        lease: Option<&Bound<'_, Lease>>,
        timeout: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        let py = copy.py();
        let _stay = lifecycle::stay(py);
        let timeout = timeout.map(config::seconds).transpose()?;
        let loader = loader.map(|loader| loader.clone().unbind());
        let finish = Finish::Copied(copy.clone().unbind(), loader);
        self.start(py, copy.get().run(), finish, lease, timeout)
    }

    /// Runs the user's own SQL; the result is a list of dicts, or with `counted` the number of rows it changed.
    #[pyo3(signature = (sql, params, lease=None, timeout=None, counted=false))]
    fn raw(
        &self,
        py: Python<'_>,
        sql: &str,
        params: &Bound<'_, PyAny>,
        lease: Option<&Bound<'_, PyAny>>,
        timeout: Option<&Bound<'_, PyAny>>,
        counted: bool,
    ) -> PyResult<Py<PyAny>> {
        let _stay = lifecycle::stay(py);
        let place = Place::of(lease)?;
        let Ok(params) = params.cast::<PySequence>() else {
            return Err(PyTypeError::new_err(
                "parameters of raw SQL are a list or a tuple",
            ));
        };
        let timeout = timeout.map(config::seconds).transpose()?;
        if self.loop_bound {
            let call = Call {
                py,
                loader: None,
                fill: None,
                place,
                timeout,
            };
            return self.raw_wire(sql, params, counted, call);
        }
        let mut cells = Cells::new();
        for (index, value) in params.try_iter()?.enumerate() {
            let label = format!("parameter {}", index + 1);
            bind::natural::sqlite(
                &value?,
                Target {
                    label: &label,
                    stored: false,
                    declared: None,
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
        let finish = if counted {
            Finish::Affected(sql)
        } else {
            Finish::Dicts(sql)
        };
        self.start(py, work, finish, place, timeout)
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

    /// What a shape becomes here, for those who watch: its text, what it does ("SELECT", …), and to which table.
    fn describe(&self, shape: &Bound<'_, PyTuple>) -> PyResult<(String, &'static str, String)> {
        let statement = self.plans.get(shape, self.server_or_oldest())?;
        let plan = &statement.get().plan;
        let operation = match plan.kind {
            StatementKind::Select => "SELECT",
            StatementKind::Insert => "INSERT",
            StatementKind::Update => "UPDATE",
            StatementKind::Delete => "DELETE",
        };
        Ok((plan.sql.clone(), operation, table_of(shape)?))
    }

    /// A transaction that has not begun yet; `mode` is "write" or "read", `isolation` one of the four levels, `origin`
    /// the file and the line that begin it.
    #[pyo3(signature = (mode, isolation=None, deferrable=false, origin=None))]
    fn lease(
        slf: &Bound<'_, Self>,
        mode: &str,
        isolation: Option<&str>,
        deferrable: bool,
        origin: Option<(&str, u32)>,
    ) -> PyResult<Lease> {
        let begin = begin(mode, isolation, deferrable)?;
        let origin = origin.map(|(file, line)| Origin {
            file: Arc::from(file),
            line,
        });
        Ok(Lease {
            inner: slf.get().engine.lease_from(begin, origin),
            database: slf.clone().unbind(),
        })
    }

    /// A connection to keep that is not open yet.
    fn pin(slf: &Bound<'_, Self>) -> Pin {
        Pin::new(slf)
    }

    /// Data for the server by `COPY … FROM STDIN`; the answer is the number of rows.
    #[pyo3(signature = (sql, chunks, lease=None, timeout=None))]
    fn copy_in(
        &self,
        py: Python<'_>,
        sql: &str,
        chunks: Vec<PyBackedBytes>,
        lease: Option<&Bound<'_, PyAny>>,
        timeout: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        let _stay = lifecycle::stay(py);
        let timeout = timeout.map(config::seconds).transpose()?;
        let sql: Arc<str> = Arc::from(sql);
        let work = Work::CopyIn {
            sql: Arc::clone(&sql),
            chunks: chunks.iter().map(|chunk| chunk.to_vec()).collect(),
        };
        self.start(py, work, Finish::Affected(sql), Place::of(lease)?, timeout)
    }

    /// Data of the server by `COPY … TO STDOUT`.
    #[pyo3(signature = (sql, lease=None, timeout=None))]
    fn copy_out(
        slf: &Bound<'_, Self>,
        sql: &str,
        lease: Option<&Bound<'_, PyAny>>,
        timeout: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Outflow> {
        let py = slf.py();
        let _stay = lifecycle::stay(py);
        let this = slf.get();
        let timeout = timeout.map(config::seconds).transpose()?;
        let flag = Arc::new(CancelFlag::new());
        let sql: Arc<str> = Arc::from(sql);
        let data = Arc::<outflow::Data>::default();
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
        Ok(Outflow {
            data,
            stop: Stop {
                database: Arc::clone(&this.engine),
                flag,
            },
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
        dict.set_item(
            "longest_holder",
            stats.longest_holder.map(|origin| origin.to_string()),
        )?;
        dict.set_item("waits", waits(py, &stats.waits)?)?;
        dict.set_item("waited", stats.waits.total.as_secs_f64())?;
        dict.set_item("compiled", self.plans.compiled())?;
        Ok(dict)
    }

    /// Asks the server for a sign of life.
    fn ping(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.start(py, Work::Ping, Finish::Nothing, None, None)
    }
}

/// The table that a statement is about.
fn table_of(shape: &Bound<'_, PyTuple>) -> PyResult<String> {
    let (_, bare) = contract::commented(shape)?;
    let table = tables::get(bare.get_item(1)?.extract()?);
    Ok(table.map_or_else(String::new, |table| table.name.clone()))
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

/// What rows have to have in common, and what they take over, if they are new instances of one model.
fn filling<'py>(
    statement: &Statement,
    rows: &Bound<'py, PyList>,
    fields: &Bound<'py, PyTuple>,
    loader: Option<&Bound<'py, Loader>>,
    fill: Option<FillArguments<'py>>,
) -> PyResult<(Option<Uniform<'py>>, Option<Fill>)> {
    let Some((cls, automatic, state, state_slot)) = fill else {
        return Ok((None, None));
    };
    let fill = Fill {
        instances: rows.clone().unbind(),
        loader: loader
            .filter(|_| statement.plan.returns_rows || statement.plan.told_key)
            .map(|loader| loader.clone().unbind()),
        state: state.unbind(),
        state_slot: state_slot.unbind(),
        numbered: statement.plan.numbered,
    };
    Ok((
        Some(Uniform::new(cls, automatic, rows, fields)?),
        Some(fill),
    ))
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
