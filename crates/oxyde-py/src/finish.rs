//! What an operation's outcome becomes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use oxyde_exec::engine::{Outcome, TxStatus};
use oxyde_exec::error::ExecError;
use oxyde_exec::{Cells, Rows};
use pyo3::IntoPyObjectExt;
use pyo3::prelude::*;

use crate::bulk::Fill;
use crate::copying::Copy;
use crate::database::Database;
use crate::errors;
use crate::hydrate;
use crate::loader::Loader;
use crate::outflow::Data;
use crate::parts::Parts;
use crate::reader::Collected;

pub enum Finish {
    /// Rows through a loader; `sql` for the error.
    Rows(Py<Loader>, Arc<str>),
    /// The number of affected rows.
    Affected(Arc<str>),
    /// New instances take over what their insert returned.
    Filled(Fill, Arc<str>),
    /// The key that the server told with its answer, as a row of the loader.
    Told(Py<Loader>, Arc<str>),
    /// Rows that were read while they arrived.
    Collected(Collected, Arc<str>),
    /// The next rows of a cursor, that were read while they arrived.
    Piece(Arc<Collected>, Arc<str>),
    /// Rows of a cursor, which may have more.
    Some(Box<Finish>, Arc<AtomicBool>),
    /// How many rows raw SQL has changed.
    Counted(Collected, Arc<str>),
    /// New instances take over what was read while it arrived.
    FilledFrom(Fill, Collected, Arc<str>),
    /// Whether COPY can go on, with the keys that have come.
    MayCopy(Py<Copy>),
    /// The keys of rows that were copied: for the instances, or as rows of a loader.
    Copied(Py<Copy>, Option<Py<Loader>>),
    /// One part of a bulk insert, whose result is asked for when all have ended.
    Part(Py<Parts>, usize, Arc<str>),
    /// Data of a COPY TO STDOUT.
    Data(Arc<Data>),
    /// Rows of raw SQL as dicts.
    Dicts(Arc<str>),
    /// Whether a transaction is still open, after one of its own statements.
    Status,
    /// The server's version, kept by the database.
    Connected(Py<Database>),
    Nothing,
}

impl Finish {
    fn sql(&self) -> Option<&str> {
        match self {
            Self::MayCopy(copy) => Some(copy.get().keys_sql()),
            Self::Copied(copy, _) => Some(copy.get().sql()),
            Self::Rows(_, sql)
            | Self::Told(_, sql)
            | Self::Part(_, _, sql)
            | Self::Affected(sql)
            | Self::Filled(_, sql)
            | Self::Collected(_, sql)
            | Self::Piece(_, sql)
            | Self::Counted(_, sql)
            | Self::FilledFrom(_, _, sql)
            | Self::Dicts(sql) => Some(sql),
            Self::Some(rows, _) => rows.sql(),
            Self::Data(_) | Self::Status | Self::Connected(_) | Self::Nothing => None,
        }
    }

    /// The exception that we made ourselves while the parameters were encoded says more than the engine knows.
    fn failed(&self, py: Python<'_>, error: &ExecError) -> PyErr {
        let ours = match self {
            Self::Collected(collected, _)
            | Self::Counted(collected, _)
            | Self::FilledFrom(_, collected, _) => collected.encoding_error(),
            Self::Piece(collected, _) => collected.encoding_error(),
            _ => None,
        };
        ours.unwrap_or_else(|| errors::from_exec(py, error, self.sql()))
    }

    /// The Python value of an outcome. `gone` tells that nobody waits for rows any more.
    pub fn finish(
        self,
        py: Python<'_>,
        result: Result<Outcome, ExecError>,
        status: TxStatus,
        gone: impl FnOnce() -> PyResult<bool>,
    ) -> PyResult<Py<PyAny>> {
        if let Self::Some(rows, more) = self {
            let left = result.as_ref().is_ok_and(|outcome| outcome.more);
            more.store(left, Ordering::Release);
            return rows.finish(py, result, status, gone);
        }
        let outcome = result.map_err(|error| self.failed(py, &error))?;
        match self {
            Self::Piece(collected, _) => {
                if gone()? {
                    return Ok(py.None());
                }
                collected
                    .take_piece(py)
                    .map(|list| list.into_any().unbind())
            }
            Self::Rows(loader, _) => {
                if gone()? {
                    return Ok(py.None());
                }
                let list = hydrate::rows(py, loader.get(), &outcome.rows).map(Bound::unbind);
                outcome.rows.cells.give_back();
                list
            }
            Self::Told(loader, _) => {
                let rows = told(py, [outcome.last_insert_id])?;
                hydrate::rows(py, loader.get(), &rows).map(Bound::unbind)
            }
            // Even if nobody waits any more: the rows are stored, and the instances say so.
            Self::Filled(fill, _) => fill.apply(py, &outcome.rows).map(|()| py.None()),
            Self::Collected(collected, _) => {
                if gone()? {
                    return Ok(py.None());
                }
                collected.take(py).map(|list| list.into_any().unbind())
            }
            Self::FilledFrom(fill, collected, _) => {
                let rows = collected.take(py)?;
                fill.apply_values(py, &rows).map(|()| py.None())
            }
            Self::MayCopy(copy) => copy.get().may_run().into_py_any(py),
            Self::Copied(copy, loader) => {
                let rows = copy.get().rows();
                match (copy.get().take_fill(), loader) {
                    (Some(fill), _) => fill.apply(py, &rows).map(|()| py.None()),
                    (None, Some(loader)) => {
                        hydrate::rows(py, loader.get(), &rows).map(Bound::unbind)
                    }
                    (None, None) => outcome.affected.into_py_any(py),
                }
            }
            Self::Part(parts, index, _) => {
                let parts = parts.get();
                parts.counted(index, outcome.last_insert_id, outcome.affected);
                Ok(py.None())
            }
            // What a cancelled caller did not take is there for the next.
            Self::Data(data) => match gone()? {
                true => Ok(py.None()),
                false => Ok(data.take(py).into_any().unbind()),
            },
            Self::Affected(_) | Self::Counted(..) => outcome.affected.into_py_any(py),
            Self::Dicts(_) => {
                if gone()? {
                    return Ok(py.None());
                }
                hydrate::natural(py, &outcome.names, &outcome.rows)
                    .map(|list| list.into_any().unbind())
            }
            Self::Status => status_name(status).into_py_any(py),
            Self::Connected(database) => {
                database.get().connected(&outcome);
                Ok(py.None())
            }
            Self::Nothing | Self::Some(..) => Ok(py.None()),
        }
    }
}

/// Keys that a server told instead of rows, as rows of one column.
pub fn told(py: Python<'_>, keys: impl IntoIterator<Item = i64>) -> PyResult<Rows> {
    let mut cells = Cells::new();
    for key in keys {
        if key == 0 {
            return Err(errors::internal(
                py,
                "the row was inserted, but its table makes no keys: the column is not AUTO_INCREMENT",
            ));
        }
        cells.push_int(key);
    }
    Ok(Rows { cells, width: 1 })
}

pub fn status_name(status: TxStatus) -> &'static str {
    match status {
        TxStatus::Idle => "idle",
        TxStatus::InTransaction => "open",
        TxStatus::Failed => "failed",
        TxStatus::Unknown => "unknown",
    }
}
