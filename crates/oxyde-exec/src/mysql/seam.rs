//! The session as links know it.

use crate::engine::{CursorId, TxStatus};
use crate::error::ExecError;
use crate::mysql::session::Session;
use crate::query::{Encoded, Formats, Statement};
use crate::wire::events::{Event, Fatal, Request};
use crate::wire::session::{self as wire, Cancel, Line, Password, Shape};

impl wire::Session for Session {
    fn tls_request(&self, greeting: &[u8]) -> Result<Option<Vec<u8>>, ExecError> {
        self.tls_request(greeting)
    }

    fn start(
        &mut self,
        password: Option<Password>,
        line: Line,
        greeting: &[u8],
    ) -> Result<(), ExecError> {
        self.start(password, line, greeting)
    }

    fn output(&mut self) -> &mut Vec<u8> {
        self.output()
    }

    fn next<'a>(&mut self, data: &mut &'a [u8]) -> Result<Option<Event<'a>>, Fatal> {
        self.next(data)
    }

    fn end_of_file(&self) -> Fatal {
        self.end_of_file()
    }

    fn terminate(&mut self) {
        self.terminate();
    }

    fn transaction(&self) -> TxStatus {
        self.transaction()
    }

    fn process(&self) -> Option<i64> {
        self.thread_id().map(i64::from)
    }

    fn parameter(&self, name: &str) -> Option<&str> {
        self.parameter(name)
    }

    fn cancel(&self) -> Option<Cancel> {
        self.cancel_sql().map(Cancel::Statement)
    }

    fn query(&mut self, statement: &Statement, params: &Encoded) -> Result<Request, ExecError> {
        self.query(statement, params)
    }

    /// Rows of a prepared statement have only one format.
    fn query_as(
        &mut self,
        statement: &Statement,
        params: &Encoded,
        _results: &Formats,
    ) -> Result<Request, ExecError> {
        self.query(statement, params)
    }

    fn describe(&mut self, statement: &Statement) -> Result<Request, ExecError> {
        self.describe(statement)
    }

    fn execute_described(
        &mut self,
        params: &Encoded,
        _results: &Formats,
        cursor: Option<(CursorId, u32)>,
    ) -> Result<(), ExecError> {
        self.execute_described(params, cursor.map(|(cursor, _)| cursor))
    }

    fn end_described(&mut self) {
        self.end_described();
    }

    fn is_prepared(&self, statement: &Statement) -> Option<Shape> {
        self.is_prepared(statement)
    }

    fn can_follow(&self, statement: &Statement) -> bool {
        self.can_follow(statement)
    }

    fn forget(&mut self, statement: &Statement) {
        self.forget(statement);
    }

    fn set_unnamed(&mut self) {
        self.set_unnamed();
    }

    fn set_max_packet(&mut self, bytes: usize) {
        self.set_max_packet(bytes);
    }

    fn open_cursor(
        &mut self,
        cursor: CursorId,
        statement: &Statement,
        params: &Encoded,
        _rows: u32,
    ) -> Result<Request, ExecError> {
        self.open_cursor(cursor, statement, params)
    }

    fn fetch(&mut self, cursor: CursorId, rows: u32) -> Result<Request, ExecError> {
        self.fetch(cursor, rows)
    }

    fn close_cursor(&mut self, cursor: CursorId) -> Result<Request, ExecError> {
        self.close_cursor(cursor)
    }

    fn simple(&mut self, sql: &str) -> Result<Request, ExecError> {
        self.simple(sql)
    }

    fn sync(&mut self) -> Result<Request, ExecError> {
        self.sync()
    }

    fn reset(&mut self) -> Result<Request, ExecError> {
        self.reset()
    }
}
