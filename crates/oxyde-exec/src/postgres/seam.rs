//! The session as links know it.

use crate::engine::{CursorId, TxStatus};
use crate::error::ExecError;
use crate::postgres::session::Session;
use crate::query::{Encoded, Formats, Statement};
use crate::wire::events::{Event, Fatal, Request};
use crate::wire::session::{self as wire, Cancel, Line, Password, Shape};

impl wire::Session for Session {
    /// A PostgreSQL server says nothing before it is spoken to.
    fn start(
        &mut self,
        password: Option<Password>,
        line: Line,
        _greeting: &[u8],
    ) -> Result<(), ExecError> {
        self.start(password, line.is_secure())
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
        self.backend_pid().map(i64::from)
    }

    fn parameter(&self, name: &str) -> Option<&str> {
        self.parameter(name)
    }

    fn cancel(&self) -> Option<Cancel> {
        self.cancel_packet().map(Cancel::Packet)
    }

    fn query(&mut self, statement: &Statement, params: &Encoded) -> Result<Request, ExecError> {
        self.query(statement, params)
    }

    fn query_as(
        &mut self,
        statement: &Statement,
        params: &Encoded,
        results: &Formats,
    ) -> Result<Request, ExecError> {
        self.query_as(statement, params, results)
    }

    fn describe(&mut self, statement: &Statement) -> Result<Request, ExecError> {
        self.describe(statement)
    }

    fn execute_described(
        &mut self,
        params: &Encoded,
        results: &Formats,
        cursor: Option<(CursorId, u32)>,
    ) -> Result<(), ExecError> {
        let portal = cursor.map(|(cursor, rows)| (portal_of(cursor), rows));
        let portal = portal.as_ref().map(|(name, rows)| (name.as_str(), *rows));
        self.execute_described(params, results, portal)
    }

    fn end_described(&mut self) {
        self.end_described();
    }

    fn is_prepared(&self, statement: &Statement) -> Option<Shape> {
        self.is_prepared(statement)
    }

    fn forget(&mut self, statement: &Statement) {
        self.forget(statement);
    }

    fn set_unnamed(&mut self) {
        self.set_unnamed();
    }

    /// As a portal.
    fn open_cursor(
        &mut self,
        cursor: CursorId,
        statement: &Statement,
        params: &Encoded,
        rows: u32,
    ) -> Result<Request, ExecError> {
        self.portal(statement, params, &portal_of(cursor), rows)
    }

    fn fetch(&mut self, cursor: CursorId, rows: u32) -> Result<Request, ExecError> {
        self.fetch(&portal_of(cursor), rows)
    }

    fn close_cursor(&mut self, cursor: CursorId) -> Result<Request, ExecError> {
        self.close_portal(&portal_of(cursor))
    }

    fn simple(&mut self, sql: &str) -> Result<Request, ExecError> {
        self.simple(sql)
    }

    fn sync(&mut self) -> Result<Request, ExecError> {
        self.sync()
    }

    fn copy_in(&mut self, sql: &str) -> Result<Request, ExecError> {
        self.copy_in(sql)
    }

    fn copy_out(&mut self, sql: &str) -> Result<Request, ExecError> {
        self.copy_out(sql)
    }

    fn copy_data(&mut self, data: &[u8]) -> bool {
        self.copy_data(data)
    }

    fn copy_done(&mut self) {
        self.copy_done();
    }

    fn copy_fail(&mut self, why: &str) {
        self.copy_fail(why);
    }
}

/// No name that a user's DECLARE would take.
fn portal_of(cursor: CursorId) -> String {
    format!("oxyde_cursor_{}", cursor.0)
}
