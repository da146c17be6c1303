//! Results that are read in pieces: the server keeps the rows of a statement and sends as many as it is asked for.
//!
//! A cursor belongs to a prepared statement of its own, which is closed with it: in front of the next command after its
//! last row, [`Session::close_cursor`] or the end of the transaction.

use std::sync::Arc;

use crate::engine::{CursorId, TxStatus};
use crate::error::{ErrorKind, ExecError};
use crate::mysql::backend::StatementId;
use crate::mysql::flight::{InFlight, Step};
use crate::mysql::frontend;
use crate::mysql::session::Session;
use crate::mysql::words::Verb;
use crate::query::{Column, Encoded, Statement};
use crate::wire::events::Request;

#[derive(Debug)]
pub(super) struct Cursor {
    id: CursorId,
    statement: StatementId,
    /// Of the rows, once the server has told them.
    pub(super) columns: Option<Arc<[Column]>>,
}

impl Session {
    /// Runs a statement whose rows stay with the server: none come before the first [`Session::fetch`].
    pub fn open_cursor(
        &mut self,
        cursor: CursorId,
        statement: &Statement,
        params: &Encoded,
    ) -> Result<Request, ExecError> {
        self.admit()?;
        frontend::params_fit(params, self.longest)?;
        let request = self.prepare_and_run(statement, params, frontend::READ_ONLY_CURSOR)?;
        if let Some(flight) = self.requests.back_mut() {
            flight.cursor = Some(cursor);
        }
        Ok(request)
    }

    /// The server has prepared the statement of a cursor.
    pub(super) fn cursor_prepared(&mut self, id: CursorId, statement: StatementId) {
        self.cursors.push(Cursor {
            id,
            statement,
            columns: None,
        });
    }

    pub(super) fn cursor(&mut self, id: CursorId) -> Option<&mut Cursor> {
        self.cursors.iter_mut().find(|cursor| cursor.id == id)
    }

    /// The next rows of a cursor.
    pub fn fetch(&mut self, id: CursorId, rows: u32) -> Result<Request, ExecError> {
        self.admit()?;
        let Some(cursor) = self.cursor(id).filter(|cursor| cursor.columns.is_some()) else {
            return Err(ExecError::new(
                ErrorKind::Transaction,
                "the result is no longer open: its transaction has ended",
            ));
        };
        let (statement, columns) = (cursor.statement, cursor.columns.clone());
        self.close_forgotten();
        let number = frontend::fetch(&mut self.out, statement, rows);
        let mut flight = InFlight::new(Step::Rows, number);
        flight.binary = true;
        flight.answered = true;
        flight.verb = Verb::Rows;
        flight.columns = columns;
        flight.cursor = Some(id);
        Ok(self.submit(flight))
    }

    /// Drops what is left of a cursor; one that is not open is no error.
    pub fn close_cursor(&mut self, id: CursorId) -> Result<Request, ExecError> {
        self.admit()?;
        self.drop_cursor(id);
        // Nothing is answered to what closes a statement.
        self.sync()
    }

    /// Its statement is closed in front of the next command.
    pub(super) fn drop_cursor(&mut self, id: CursorId) {
        if let Some(at) = self.cursors.iter().position(|cursor| cursor.id == id) {
            let cursor = self.cursors.swap_remove(at);
            self.statements.drop_id(cursor.statement);
        }
    }

    /// With a transaction its cursors end.
    pub(super) fn end_cursors(&mut self, tx: TxStatus) {
        if tx == TxStatus::Idle {
            for cursor in self.cursors.drain(..) {
                self.statements.drop_id(cursor.statement);
            }
        }
    }
}
