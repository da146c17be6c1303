//! `_core.Database`: one call from Python per operation.
//!
//! A call looks its shape up, encodes the parameters, and either answers on the spot (single rows on SQLite) or
//! hands a job to the engine and answers a [`Pending`]. Nothing here waits.
//!
//! Here is what Python sees and what hands jobs over; what becomes of a call is in `run` (one statement), `many` (bulk
//! inserts) and `raw` (the user's own SQL).

mod many;
mod raw;
mod run;
mod stats;

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use oxyde_exec::{CancelFlag, CopySource, Job, LoopId, Origin, Outcome, Sink, Work};
use oxyde_sql::{Dialect, StatementKind};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple};

use crate::bulk::Fill;
use crate::cache::{PlanCache, Texts};
use crate::completion::{Hub, lock};
use crate::config;
use crate::contract;
use crate::copying::Copy;
use crate::cursor::Cursor;
use crate::deadlines::Limit;
use crate::errors;
use crate::finish::Finish;
use crate::hubs;
use crate::inflow::Inflow;
use crate::lease::{self, Lease};
use crate::lifecycle;
use crate::loader::Loader;
use crate::outflow::Outflow;
use crate::parts::Parts;
use crate::pending::{Pending, Stop};
use crate::pin::Pin;
use crate::place::Place;
use crate::scope::{self, Kind};
use crate::server;
use crate::show;
use crate::tables;
use many::{FillArguments, Given};

#[pyclass(frozen, module = "oxyde_core._core")]
pub struct Database {
    pub(crate) engine: Arc<oxyde_exec::Database>,
    pub(crate) plans: PlanCache,
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

/// What a call says beside its statement and parameters.
struct Call<'a, 'py> {
    py: Python<'py>,
    loader: Option<&'a Bound<'py, Loader>>,
    fill: Option<Fill>,
    place: Place<'a, 'py>,
    timeout: Option<Duration>,
}

impl<'a, 'py> Call<'a, 'py> {
    fn new(
        py: Python<'py>,
        loader: Option<&'a Bound<'py, Loader>>,
        place: Place<'a, 'py>,
        timeout: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        Ok(Self {
            py,
            loader,
            fill: None,
            place,
            timeout: timeout.map(config::seconds).transpose()?,
        })
    }
}

impl Database {
    pub fn server_or_oldest(&self) -> oxyde_sql::Target {
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
        self.start_telling(py, flag, work, finish, place.into(), timeout, |sink| sink)
    }

    /// The same; `told` may put itself between the work's end and whoever waits for it.
    #[expect(clippy::too_many_arguments, reason = "all that a call is made of")]
    fn start_telling<'a, 'py: 'a>(
        &self,
        py: Python<'py>,
        flag: Arc<CancelFlag>,
        work: Work,
        finish: Finish,
        place: Place<'a, 'py>,
        timeout: Option<Duration>,
        told: impl FnOnce(Sink) -> Sink,
    ) -> PyResult<Py<PyAny>> {
        let deadline = self.statement_deadline(timeout);
        let reads = matches!(&work, Work::Query(query) if query.pure_read);
        let limit = deadline.map(|deadline| Limit {
            deadline,
            harmless: reads || place.is_transaction(),
        });
        let job = Job::with_cancel(work, Arc::clone(&flag), deadline);
        let acquire = self.acquire_deadline();
        self.submit(py, finish, Some(flag), limit, |loop_id, sink| {
            let sink = told(sink);
            match place {
                Place::Lease(lease) => lease.get().inner.run(job, sink),
                Place::Pin(pin) => pin.get().inner.run(job, acquire, sink),
                Place::Pool => self.engine.run_on(loop_id, job, acquire, sink),
            }
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
}

impl Drop for Database {
    fn drop(&mut self) {
        self.engine.forsake();
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
        let call = Call::new(py, loader, lease.into(), timeout)?;
        self.run_statement(shape, params, call)
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
        Cursor::open(slf, shape, params, loader, rows, lease, timeout)
    }

    /// The rows of the user's own SQL, to be read in pieces of `rows`. It needs a transaction, except where
    /// `single_connection`.
    #[pyo3(signature = (sql, params, rows, lease=None, timeout=None))]
    fn raw_cursor(
        slf: &Bound<'_, Self>,
        sql: &str,
        params: &Bound<'_, PyAny>,
        rows: u32,
        lease: Option<&Bound<'_, PyAny>>,
        timeout: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Cursor> {
        Cursor::raw(slf, sql, params, rows, Place::of(lease)?, timeout)
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
        let given = Given {
            shape,
            rows,
            fields,
            converters,
            params,
            fill,
        };
        self.insert_many(given, Call::new(py, loader, lease.into(), timeout)?)
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
        let given = Given {
            shape,
            rows,
            fields,
            converters,
            params,
            fill,
        };
        self.make_parts(py, given, loader)
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
        self.insert_part(parts, index, lease, timeout)
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
        let given = Given {
            shape,
            rows,
            fields,
            converters,
            params: None,
            fill,
        };
        self.make_copy(py, given, loader)
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
        let call = Call::new(py, None, Place::of(lease)?, timeout)?;
        self.run_raw(sql, params, counted, call)
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
        let begin = lease::begin(mode, isolation, deferrable)?;
        Ok(Lease {
            inner: slf
                .get()
                .engine
                .lease_from(begin, origin.map(place_in_program)),
            database: slf.clone().unbind(),
        })
    }

    /// A connection to keep that is not open yet; `origin` is the file and the line that ask for it.
    #[pyo3(signature = (origin=None))]
    fn pin(slf: &Bound<'_, Self>, origin: Option<(&str, u32)>) -> Pin {
        Pin::new(slf, origin.map(place_in_program))
    }

    /// What takes the data for a `copy_in`.
    fn inflow(slf: &Bound<'_, Self>) -> Inflow {
        Inflow::new(slf)
    }

    /// Data for the server by `COPY … FROM STDIN`; the answer is the number of rows.
    #[pyo3(signature = (sql, data, lease=None, timeout=None))]
    fn copy_in(
        &self,
        py: Python<'_>,
        sql: &str,
        data: &Bound<'_, Inflow>,
        lease: Option<&Bound<'_, PyAny>>,
        timeout: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        let _stay = lifecycle::stay(py);
        let timeout = timeout.map(config::seconds).transpose()?;
        let sql: Arc<str> = Arc::from(sql);
        let data = Arc::clone(&data.get().data);
        let work = Work::CopyIn {
            sql: Arc::clone(&sql),
            from: Arc::clone(&data) as Arc<dyn CopySource>,
        };
        let flag = Arc::new(CancelFlag::new());
        let finish = Finish::Affected(sql);
        let place = Place::of(lease)?;
        self.start_telling(py, flag, work, finish, place, timeout, move |sink| {
            Box::new(move |result, status| {
                data.end();
                sink(result, status);
            })
        })
    }

    /// Data of the server by `COPY … TO STDOUT`.
    #[pyo3(signature = (sql, lease=None, timeout=None))]
    fn copy_out(
        slf: &Bound<'_, Self>,
        sql: &str,
        lease: Option<&Bound<'_, PyAny>>,
        timeout: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Outflow> {
        Outflow::start(slf, sql, lease, timeout)
    }

    /// Numbers of the pool, and how many shapes were compiled.
    fn stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        stats::dict(py, &self.engine.stats(), self.plans.compiled())
    }

    /// Asks the server for a sign of life.
    fn ping(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.start(py, Work::Ping, Finish::Nothing, None, None)
    }
}

fn place_in_program((file, line): (&str, u32)) -> Origin {
    Origin {
        file: Arc::from(file),
        line,
    }
}

/// The table that a statement is about.
fn table_of(shape: &Bound<'_, PyTuple>) -> PyResult<String> {
    let (_, bare) = contract::commented(shape)?;
    let table = tables::get(bare.get_item(1)?.extract()?);
    Ok(table.map_or_else(String::new, |table| table.name.clone()))
}
