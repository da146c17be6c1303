//! One compiled statement: on the calling thread, by the engine's threads, or on a server.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use oxyde_exec::query::{Encoded, Params, Query};
use oxyde_exec::{CancelFlag, Cells, Inline, Outcome, Work};
use oxyde_sql::StatementKind;
use pyo3::IntoPyObjectExt;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use super::{Call, Database};
use crate::cache::{Statement, Wire};
use crate::errors;
use crate::fairness;
use crate::finish::Finish;
use crate::hubs;
use crate::hydrate;
use crate::lifecycle;
use crate::loader::Loader;
use crate::pending::Pending;
use crate::place::Place;
use crate::reader::{self, RowsInto};

thread_local! {
    /// Buffers of the inline path, kept between calls so that a look-up allocates nothing but its result.
    static SCRATCH: RefCell<Option<(Cells, Outcome)>> = const { RefCell::new(None) };
}

impl Database {
    /// The answer is the result itself, or a `Pending` to await.
    pub(super) fn run_statement(
        &self,
        shape: &Bound<'_, PyTuple>,
        params: &Bound<'_, PyTuple>,
        call: Call<'_, '_>,
    ) -> PyResult<Py<PyAny>> {
        let py = call.py;
        let _stay = lifecycle::stay(py);
        let statement = self.plans.get(shape, self.server_or_oldest())?;
        let statement = statement.get();
        if let Some(wire) = &statement.wire {
            let params = statement.encode_wire(wire, params)?;
            return self.run_wire(statement, wire, params, call);
        }
        let read_only = statement.plan.kind == StatementKind::Select;
        let inline = self.inline
            && matches!(call.place, Place::Pool)
            && (call.loader.is_some() || !read_only)
            && statement.inline.load(Ordering::Relaxed);
        let cells = if inline {
            let (mut cells, mut out) = SCRATCH.take().unwrap_or_default();
            cells.clear();
            let answer = statement.encode(params, &mut cells).and_then(|()| {
                let loader = call.loader.map(|loader| loader.get());
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
        let finish = match call.loader {
            Some(loader) if statement.plan.returns_rows => {
                Finish::Rows(loader.clone().unbind(), Arc::clone(&statement.sql))
            }
            _ => Finish::Affected(Arc::clone(&statement.sql)),
        };
        self.start(py, work, finish, call.place, call.timeout)
    }

    /// Runs a compiled statement on a server: with rows, if there is a loader for them.
    pub(super) fn run_wire(
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
