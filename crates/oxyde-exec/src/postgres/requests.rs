//! What can be asked of a server, and the messages that ask it.

use std::sync::Arc;

use crate::error::{Effect, ErrorKind, ExecError};
use crate::postgres::flight::{InFlight, Preparing, Step};
use crate::postgres::frontend;
use crate::postgres::portals::Portal;
use crate::postgres::session::{Phase, Session, Shape};
use crate::postgres::statements::{Name, in_formats};
use crate::query::{Encoded, Formats, Statement};
use crate::wire::events::Request;

impl Session {
    /// Runs a statement. An error means that nothing was sent.
    pub fn query(&mut self, statement: &Statement, params: &Encoded) -> Result<Request, ExecError> {
        self.run(statement, params, &statement.results, None)
    }

    /// The same with other formats than the statement's own: after [`Session::is_prepared`] said what comes.
    pub fn query_as(
        &mut self,
        statement: &Statement,
        params: &Encoded,
        results: &Formats,
    ) -> Result<Request, ExecError> {
        self.run(statement, params, results, None)
    }

    /// `portal`: its name and how many rows are wanted at first.
    pub(super) fn run(
        &mut self,
        statement: &Statement,
        params: &Encoded,
        results: &Formats,
        portal: Option<(Name, u32)>,
    ) -> Result<Request, ExecError> {
        self.admit()?;
        frontend::bind_fits(params, results)?;
        let known = self.statements.peek(statement.id).is_some();
        let new_name = if known {
            None
        } else {
            check(statement)?;
            self.prepare(statement)
        };
        let closes = self.close_forgotten();
        let mut flight = InFlight::new(Step::Bind, closes);
        let out = &mut self.out;
        let unnamed: &[u8] = frontend::UNNAMED;
        let portal_name = portal.as_ref().map_or(unnamed, |(name, _)| name);
        let name = match self.statements.known(statement.id) {
            Some((name, known)) => {
                flight.columns = known.columns_as(results);
                frontend::bind(out, portal_name, name, params, results);
                portal.as_ref().map(|_| Arc::clone(name))
            }
            None => {
                let wire = new_name.as_deref().unwrap_or(unnamed);
                frontend::parse(out, wire, &statement.sql, &statement.param_types);
                frontend::describe_statement(out, wire);
                frontend::bind(out, portal_name, wire, params, results);
                flight.step = Step::Parse;
                flight.preparing = Some(Preparing::new(statement, new_name.clone(), results));
                new_name
            }
        };
        match portal {
            None => frontend::execute_sync(out),
            Some((portal, max_rows)) => {
                frontend::execute(out, &portal, max_rows);
                frontend::sync(out);
                flight.limited = max_rows > 0;
                flight.portal = Some(Arc::clone(&portal));
                flight.reads = Some(Arc::clone(&portal));
                self.portals.push(Portal::new(portal, name));
            }
        }
        Ok(self.submit(flight))
    }

    /// Asks what a statement takes and returns; [`Event::Described`] answers (or `Failed`). Nothing else can be
    /// submitted before `execute_described` or `end_described`.
    pub fn describe(&mut self, statement: &Statement) -> Result<Request, ExecError> {
        self.admit()?;
        check(statement)?;
        // What is known is described anew, without a name: whoever asks has a reason to.
        let name = self.prepare(statement);
        let closes = self.close_forgotten();
        let wire = name.as_deref().unwrap_or(frontend::UNNAMED);
        frontend::parse(&mut self.out, wire, &statement.sql, &statement.param_types);
        frontend::describe_statement(&mut self.out, wire);
        frontend::flush(&mut self.out);
        let mut flight = InFlight::new(Step::Parse, closes);
        flight.synced = false;
        flight.preparing = Some(Preparing::new(statement, name, &Formats::Text));
        Ok(self.submit(flight))
    }

    /// Runs what was described; `portal`: as [`Session::portal`] does, by this name and with so many rows in a piece.
    /// After an error `end_described` is still to be called.
    pub fn execute_described(
        &mut self,
        params: &Encoded,
        results: &Formats,
        portal: Option<(&str, u32)>,
    ) -> Result<(), ExecError> {
        frontend::bind_fits(params, results)?;
        let portal = match portal {
            Some((name, max_rows)) => Some((self.new_portal(name)?, max_rows)),
            None => None,
        };
        let flight = self.requests.back_mut();
        let Some(flight) = flight.filter(|flight| flight.step == Step::Paused) else {
            return Err(ExecError::new(ErrorKind::Internal, "nothing was described"));
        };
        let prepared = flight
            .preparing
            .take()
            .and_then(|preparing| preparing.prepared);
        let known = prepared
            .as_ref()
            .and_then(|prepared| self.statements.known(prepared.statement))
            .map(|(_, known)| known.columns_as(results));
        flight.columns = match known {
            Some(columns) => columns,
            None => flight
                .columns
                .take()
                .map(|columns| in_formats(&columns, results)),
        };
        flight.step = Step::Bind;
        flight.synced = true;
        let name: &[u8] = prepared
            .as_ref()
            .map_or(frontend::UNNAMED, |prepared| &prepared.name);
        let Some((portal, max_rows)) = portal else {
            frontend::bind(&mut self.out, frontend::UNNAMED, name, params, results);
            frontend::execute_sync(&mut self.out);
            return Ok(());
        };
        frontend::bind(&mut self.out, &portal, name, params, results);
        frontend::execute(&mut self.out, &portal, max_rows);
        frontend::sync(&mut self.out);
        flight.limited = max_rows > 0;
        flight.portal = Some(Arc::clone(&portal));
        flight.reads = Some(Arc::clone(&portal));
        let statement = prepared.map(|prepared| prepared.name);
        self.portals.push(Portal::new(portal, statement));
        Ok(())
    }

    /// Ends a described request without running it; `Done` follows. Without a described request nothing happens.
    pub fn end_described(&mut self) {
        let flight = self.requests.back_mut();
        if let Some(flight) = flight.filter(|flight| flight.step == Step::Paused) {
            flight.step = Step::Ready;
            flight.synced = true;
            flight.preparing = None;
            frontend::sync(&mut self.out);
        }
    }

    /// What a statement takes and returns, if it is prepared.
    pub fn is_prepared(&self, statement: &Statement) -> Option<Shape> {
        let known = self.statements.peek(statement.id)?;
        let columns = known.columns.clone().unwrap_or_else(|| Arc::from([]));
        Some((Arc::clone(&known.parameters), columns))
    }

    /// Statements by the simple protocol: all texts, nothing prepared, several at once if need be.
    pub fn simple(&mut self, sql: &str) -> Result<Request, ExecError> {
        self.admit()?;
        frontend::text(sql, "the statement")?;
        frontend::query(&mut self.out, sql);
        let mut flight = InFlight::new(Step::Simple, 0);
        flight.simple = true;
        Ok(self.submit(flight))
    }

    /// One round trip that does nothing.
    pub fn sync(&mut self) -> Result<Request, ExecError> {
        self.admit()?;
        let closes = self.close_forgotten();
        frontend::sync(&mut self.out);
        Ok(self.submit(InFlight::new(Step::Ready, closes)))
    }

    /// Whether another request can be submitted now.
    pub(super) fn admit(&self) -> Result<(), ExecError> {
        if let Some(error) = &self.dead {
            let mut error = error.clone();
            error.outcome = Effect::NotApplied;
            return Err(error);
        }
        let why = match self.phase {
            Phase::Open => match self.requests.back() {
                Some(last) if last.is_exclusive() => "the last request waits for its caller",
                _ => return Ok(()),
            },
            Phase::Terminated => "the connection was closed",
            _ => "the login has not ended",
        };
        Err(ExecError::new(ErrorKind::Internal, why))
    }

    pub(super) fn submit(&mut self, mut flight: InFlight) -> Request {
        let request = Request(self.next);
        self.next = self.next.wrapping_add(1);
        flight.request = request;
        self.requests.push_back(flight);
        request
    }

    /// A name for a statement that is going to be parsed, if it is to have one. Another may have to go for it.
    fn prepare(&mut self, statement: &Statement) -> Option<Name> {
        let portals = &self.portals;
        self.statements
            .prepare(statement, |name| Portal::any_of(portals, name))
    }

    /// Puts Close messages in front of a flight; answers how many.
    #[inline]
    pub(super) fn close_forgotten(&mut self) -> u32 {
        let out = &mut self.out;
        let mut closes = 0u32;
        self.portals.retain(|portal| {
            if portal.over {
                frontend::close(out, b'P', &portal.name);
                closes = closes.saturating_add(1);
            }
            !portal.over
        });
        let portals = &self.portals;
        let statements = self.statements.close(
            |name| Portal::any_of(portals, name),
            |name| frontend::close(out, b'S', name),
        );
        closes.saturating_add(statements)
    }
}

fn check(statement: &Statement) -> Result<(), ExecError> {
    if u16::try_from(statement.param_types.len()).is_err() {
        return Err(ExecError::new(
            ErrorKind::NotSupported,
            "more than 65535 parameters in one statement",
        ));
    }
    frontend::text(&statement.sql, "the statement")
}
