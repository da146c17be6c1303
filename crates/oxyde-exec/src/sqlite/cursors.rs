//! A connection with the statements that are open on it: results that are read in pieces.
//!
//! SQLite runs other statements between two steps of one, so a cursor is nothing but a statement that was not stepped
//! to its end. It goes with its transaction; on a memory database it may also stand outside of one.

use std::fmt;
use std::ops::Deref;

use rusqlite::{Connection, Statement};
use self_cell::self_cell;

use crate::cells::Cells;
use crate::engine::{CursorId, Outcome};
use crate::error::{ErrorKind, ExecError};
use crate::sqlite::rows;

struct Cursor<'a> {
    id: CursorId,
    statement: Statement<'a>,
    /// It was opened in a transaction and ends with it.
    in_transaction: bool,
    /// Raw SQL: each piece comes with the names of the columns.
    names: bool,
}

impl Cursor<'_> {
    /// Up to `limit` further rows; the cursor, if there may be more.
    fn step(mut self, limit: usize, out: &mut Outcome) -> rusqlite::Result<Option<Self>> {
        out.more = rows::step_on(&mut self.statement, limit, &mut out.rows)?;
        if self.names {
            let names = self.statement.column_names();
            out.names = names.map(str::to_owned).collect();
        }
        Ok(out.more.then_some(self))
    }
}

type Open<'a> = Vec<Cursor<'a>>;

self_cell!(
    struct Inner {
        owner: Connection,
        #[not_covariant]
        dependent: Open,
    }
);

/// See the module.
pub(crate) struct Cursors(Inner);

// SAFETY: a connection may go from thread to thread (it is `Send`), together with its statements: what SQLite asks for
// (threading mode "multi-thread") is that no two threads use them at a time. They are reachable through this object
// only, which is not `Sync`. `Statement` is not `Send` for the reference to its connection that it holds, because with
// that alone it could go without it.
#[expect(unsafe_code, reason = "a connection and its statements move together")]
unsafe impl Send for Cursors {}

pub(crate) enum CursorError {
    Driver(rusqlite::Error),
    Ours(ExecError),
}

impl From<rusqlite::Error> for CursorError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Driver(error)
    }
}

impl Cursors {
    pub(crate) fn on(connection: Connection) -> Self {
        Self(Inner::new(connection, |_| Vec::new()))
    }

    /// Runs a statement up to `limit` rows; with more it stays open. `names`: it is raw SQL, whose columns are told.
    pub(crate) fn open(
        &mut self,
        id: CursorId,
        sql: &str,
        params: &Cells,
        names: bool,
        limit: usize,
        out: &mut Outcome,
    ) -> Result<(), CursorError> {
        self.0.with_dependent_mut(|db, open| {
            let mut statement = db.prepare(sql)?;
            if names {
                rows::check_raw(&statement).map_err(CursorError::Ours)?;
            }
            rows::bind(&mut statement, params.iter()).map_err(CursorError::Ours)?;
            let cursor = Cursor {
                id,
                statement,
                in_transaction: !db.is_autocommit(),
                names,
            };
            open.extend(cursor.step(limit, out)?);
            Ok(())
        })
    }

    /// The next rows. After an error it is closed.
    pub(crate) fn fetch(
        &mut self,
        id: CursorId,
        limit: usize,
        out: &mut Outcome,
    ) -> Result<(), CursorError> {
        self.0.with_dependent_mut(|_, open| {
            let Some(at) = open.iter().position(|cursor| cursor.id == id) else {
                return Err(CursorError::Ours(ExecError::new(
                    ErrorKind::Transaction,
                    "the result is no longer open: its transaction has ended",
                )));
            };
            let cursor = open.swap_remove(at);
            open.extend(cursor.step(limit, out)?);
            Ok(())
        })
    }

    pub(crate) fn close(&mut self, id: CursorId) {
        self.retain(|cursor| cursor.id != id);
    }

    /// Before COMMIT and ROLLBACK, which would leave an open statement reading.
    pub(crate) fn end_transaction(&mut self) {
        self.retain(|cursor| !cursor.in_transaction);
    }

    fn retain(&mut self, keep: impl FnMut(&Cursor<'_>) -> bool) {
        self.0.with_dependent_mut(|_, open| open.retain(keep));
    }
}

impl Deref for Cursors {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.0.borrow_owner()
    }
}

impl fmt::Debug for Cursors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cursors").finish_non_exhaustive()
    }
}
