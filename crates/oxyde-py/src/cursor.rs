//! `_core.Cursor`: a result that is read in pieces.
//!
//! Each piece is a job like any other, so deadlines, cancellation and what a failure means are those of statements. All
//! pieces share one cancel flag: once it is set, nothing more comes.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use oxyde_exec::query::{Params, Query, RowReader};
use oxyde_exec::{CancelFlag, Cells, CursorId, Job, LoopId, Work};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::completion::lock;
use crate::config;
use crate::database::Database;
use crate::finish::Finish;
use crate::hubs;
use crate::lease::Lease;
use crate::lifecycle;
use crate::loader::Loader;
use crate::pending::Pending;
use crate::place::{Kept, Place};
use crate::reader::{self, Collected, RowsInto, Shared};

#[pyclass(frozen, module = "oxyde_core._core")]
pub struct Cursor {
    database: Py<Database>,
    place: Kept,
    id: CursorId,
    rows: u32,
    sql: Arc<str>,
    timeout: Option<Duration>,
    flag: Arc<CancelFlag>,
    source: Source,
    /// Whether there is, or may be, more to fetch.
    more: Arc<AtomicBool>,
    state: Mutex<State>,
}

/// How rows become objects.
enum Source {
    Cells(Py<Loader>),
    /// Raw SQL.
    Dicts,
    /// While they arrive.
    Wire(Shared, Arc<Collected>),
}

struct State {
    /// Until it is sent.
    statement: Option<Work>,
    last: Option<Py<Pending>>,
    closed: bool,
}

/// What a cursor is for.
struct Reading {
    statement: Work,
    sql: Arc<str>,
    source: Source,
    flag: Arc<CancelFlag>,
}

impl Cursor {
    /// A result to be read in pieces of `rows`.
    pub fn open(
        database: &Bound<'_, Database>,
        shape: &Bound<'_, PyTuple>,
        params: &Bound<'_, PyTuple>,
        loader: &Bound<'_, Loader>,
        rows: u32,
        lease: Option<&Bound<'_, Lease>>,
        timeout: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        let timeout = timeout.map(config::seconds).transpose()?;
        let py = database.py();
        let this = database.get();
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
        };
        Ok(Self::new(database, lease.into(), rows, timeout, reading))
    }

    /// The same for raw SQL, whose rows become dicts.
    pub fn raw(
        database: &Bound<'_, Database>,
        sql: &str,
        params: &Bound<'_, PyAny>,
        rows: u32,
        place: Place<'_, '_>,
        timeout: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        let timeout = timeout.map(config::seconds).transpose()?;
        let raw = database.get().raw_work(database.py(), sql, params)?;
        let (source, work) = match raw.collected {
            None => (Source::Dicts, raw.work),
            Some((reader, collected)) => {
                let source = Source::Wire(Shared::new(reader), Arc::new(collected));
                (source, raw.work)
            }
        };
        let reading = Reading {
            statement: work,
            sql: raw.sql,
            source,
            flag: raw.flag,
        };
        Ok(Self::new(database, place, rows, timeout, reading))
    }

    fn new(
        database: &Bound<'_, Database>,
        place: Place<'_, '_>,
        rows: u32,
        timeout: Option<Duration>,
        reading: Reading,
    ) -> Self {
        Self {
            database: database.clone().unbind(),
            place: Kept::of(place),
            id: CursorId::new(),
            rows,
            sql: reading.sql,
            timeout,
            flag: reading.flag,
            source: reading.source,
            more: Arc::new(AtomicBool::new(true)),
            state: Mutex::new(State {
                statement: Some(reading.statement),
                last: None,
                closed: false,
            }),
        }
    }

    fn reader(&self) -> Option<Box<dyn RowReader>> {
        match &self.source {
            Source::Cells(_) | Source::Dicts => None,
            Source::Wire(reader, _) => Some(Box::new(reader.clone())),
        }
    }

    fn work(&self) -> Work {
        let (cursor, rows) = (self.id, self.rows);
        let Some(mut statement) = lock(&self.state).statement.take() else {
            return Work::Fetch {
                cursor,
                rows,
                reader: self.reader(),
            };
        };
        if let Work::Query(query) = &mut statement {
            query.rows = self.reader();
        }
        Work::OpenCursor {
            cursor,
            statement: Box::new(statement),
            rows,
        }
    }

    /// Drops what is left of the result, after all that was handed in before. Nobody waits for it.
    fn drop_rest(&self, py: Python<'_>) {
        let job = Job::new(Work::CloseCursor(self.id));
        let sink = Box::new(|_, _| ());
        hubs::call(py, || match &self.place {
            Kept::Lease(lease) => {
                let lease = &lease.get().inner;
                py.detach(|| lease.run(job, sink));
            }
            Kept::Pin(pin) => {
                let pin = &pin.get().inner;
                py.detach(|| pin.run(job, None, sink));
            }
            Kept::Pool => {
                let engine = &self.database.get().engine;
                py.detach(|| engine.run_on(LoopId::ANY, job, None, sink));
            }
        });
    }
}

#[pymethods]
impl Cursor {
    /// The next rows as a list, which may be empty while there are `more`.
    fn fetch(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let _stay = lifecycle::stay(py);
        let sql = Arc::clone(&self.sql);
        let rows = match &self.source {
            Source::Cells(loader) => Finish::Rows(loader.clone_ref(py), sql),
            Source::Dicts => Finish::Dicts(sql),
            Source::Wire(_, collected) => Finish::Piece(Arc::clone(collected), sql),
        };
        let finish = Finish::Some(Box::new(rows), Arc::clone(&self.more));
        let place = match &self.place {
            Kept::Pool => Place::Pool,
            Kept::Lease(lease) => Place::Lease(lease.bind(py)),
            Kept::Pin(pin) => Place::Pin(pin.bind(py)),
        };
        let flag = Arc::clone(&self.flag);
        let database = self.database.get();
        let pending = database.start_with(py, flag, self.work(), finish, place, self.timeout)?;
        lock(&self.state).last = pending
            .bind(py)
            .cast::<Pending>()
            .ok()
            .map(|last| last.clone().unbind());
        Ok(pending)
    }

    /// Whether rows may be left behind those that were fetched.
    #[getter]
    fn more(&self) -> bool {
        self.more.load(Ordering::Acquire)
    }

    /// Ends it: the answer to a fetch under way is of no interest. With `drop_rest` the database drops what is left;
    /// without it the end of the transaction is about to do so.
    #[pyo3(signature = (drop_rest=true))]
    fn close(&self, py: Python<'_>, drop_rest: bool) {
        let (sent, last) = {
            let mut state = lock(&self.state);
            if std::mem::replace(&mut state.closed, true) {
                return;
            }
            (state.statement.take().is_none(), state.last.take())
        };
        let _stay = lifecycle::stay(py);
        if let Some(last) = last {
            last.get().forget(py);
        }
        if drop_rest && sent && self.more() {
            self.drop_rest(py);
        }
    }

    /// A task that waits for a fetch is reached through its future, and we from its frame.
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        // Locked means that we are being used: then nothing here is garbage.
        let Ok(state) = self.state.try_lock() else {
            return Ok(());
        };
        visit.call(state.last.as_ref())
    }

    fn __clear__(&self) {
        if let Ok(mut state) = self.state.try_lock() {
            let last = state.last.take();
            drop(state);
            drop(last);
        }
    }
}

impl Drop for Cursor {
    fn drop(&mut self) {
        Python::attach(|py| {
            // An exception may be on its way through the frame that had us.
            let passing = PyErr::take(py);
            self.close(py, true);
            if let Some(passing) = passing {
                passing.restore(py);
            }
        });
    }
}
