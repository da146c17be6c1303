//! What can be asked of a server, and the commands that ask it.

use std::sync::Arc;

use crate::engine::{CursorId, TxStatus};
use crate::error::{Effect, ErrorKind, ExecError};
use crate::mysql::flight::{InFlight, Preparing, Step, Then};
use crate::mysql::frontend;
use crate::mysql::session::{Phase, Session};
use crate::mysql::words::Verb;
use crate::query::{Encoded, Statement};
use crate::wire::events::Request;
use crate::wire::session::Shape;

impl Session {
    /// Runs a statement. An error means that nothing was sent.
    pub fn query(&mut self, statement: &Statement, params: &Encoded) -> Result<Request, ExecError> {
        self.admit()?;
        frontend::params_fit(params, self.longest)?;
        let Some(known) = self.statements.known(statement.id) else {
            return self.prepare_and_run(statement, params, frontend::NO_CURSOR);
        };
        check_count(known.parameters.len(), params)?;
        let verb = known.verb;
        let Some(id) = known.id else {
            return self.text(&statement.sql, verb);
        };
        let columns = (!known.columns.is_empty()).then(|| Arc::clone(&known.columns));
        self.close_forgotten();
        let number = frontend::execute(&mut self.out, id, frontend::NO_CURSOR, params);
        let mut flight = InFlight::new(Step::Result, number);
        flight.binary = true;
        flight.verb = verb;
        flight.statement = Some((statement.id, id));
        flight.columns = columns;
        Ok(self.submit(flight))
    }

    /// The parameters wait here until the server has prepared the statement.
    pub(super) fn prepare_and_run(
        &mut self,
        statement: &Statement,
        params: &Encoded,
        cursor: u8,
    ) -> Result<Request, ExecError> {
        let mut command = Vec::with_capacity(params.values.len().saturating_add(64));
        let packets = frontend::execute(&mut command, 0, cursor, params);
        let then = Then::Execute {
            parameters: params.count,
            command,
            packets,
        };
        self.prepare(statement, then)
    }

    /// Asks what a statement takes and returns; [`Event::Described`] answers (or `Failed`), with a type of 0 for each
    /// parameter: servers do not tell them. Nothing else can be submitted before `execute_described` or
    /// `end_described`.
    ///
    /// [`Event::Described`]: crate::wire::events::Event::Described
    pub fn describe(&mut self, statement: &Statement) -> Result<Request, ExecError> {
        self.admit()?;
        self.prepare(statement, Then::Describe)
    }

    fn prepare(&mut self, statement: &Statement, then: Then) -> Result<Request, ExecError> {
        self.check_text(&statement.sql)?;
        let kept = self.statements.prepare(statement);
        self.close_forgotten();
        let number = frontend::command(
            &mut self.out,
            &[frontend::PREPARE],
            statement.sql.as_bytes(),
        );
        let mut flight = InFlight::new(Step::Prepare, number);
        flight.verb = Verb::of(&statement.sql);
        flight.preparing = Some(Box::new(Preparing {
            statement: statement.id,
            sql: Arc::clone(&statement.sql),
            kept,
            id: None,
            parameters: 0,
            columns: 0,
            then,
            refused: None,
        }));
        Ok(self.submit(flight))
    }

    /// Runs what was described; `cursor`: its rows stay with the server, see [`Session::open_cursor`]. After an error
    /// `end_described` is still to be called.
    pub fn execute_described(
        &mut self,
        params: &Encoded,
        cursor: Option<CursorId>,
    ) -> Result<(), ExecError> {
        frontend::params_fit(params, self.longest)?;
        let open = matches!(self.phase, Phase::Open);
        let flight = self.requests.back_mut().filter(|_| open);
        let Some(flight) = flight.filter(|flight| flight.step == Step::Paused) else {
            return Err(ExecError::new(ErrorKind::Internal, "nothing was described"));
        };
        let Some(preparing) = &flight.preparing else {
            return Err(ExecError::new(ErrorKind::Internal, "nothing was described"));
        };
        match (preparing.id, &preparing.refused) {
            (Some(id), _) => {
                check_count(usize::from(preparing.parameters), params)?;
                let kind = match cursor {
                    Some(_) => frontend::READ_ONLY_CURSOR,
                    None => frontend::NO_CURSOR,
                };
                flight.number = frontend::execute(&mut self.out, id, kind, params);
                flight.binary = true;
                flight.cursor = cursor;
                let kept = preparing.kept.then_some(preparing.statement);
                flight.step = Step::Result;
                flight.preparing = None;
                match (kept, cursor) {
                    (Some(statement), _) => flight.statement = Some((statement, id)),
                    (None, Some(cursor)) => self.cursor_prepared(cursor, id),
                    (None, None) => frontend::close(&mut self.out, id),
                }
                return Ok(());
            }
            (None, Some(refused)) if params.count > 0 => return Err(refused.clone()),
            (None, _) => {
                let sql = preparing.sql.as_bytes();
                flight.number = frontend::command(&mut self.out, &[frontend::QUERY], sql);
            }
        }
        flight.step = Step::Result;
        flight.preparing = None;
        Ok(())
    }

    /// Ends a described request without running it; `Done` follows. Without a described request nothing happens.
    pub fn end_described(&mut self) {
        let open = matches!(self.phase, Phase::Open);
        let flight = self.requests.back_mut().filter(|_| open);
        if let Some(flight) = flight.filter(|flight| flight.step == Step::Paused) {
            if let Some(preparing) = flight.preparing.take()
                && let (Some(id), false) = (preparing.id, preparing.kept)
            {
                frontend::close(&mut self.out, id);
            }
            flight.step = Step::Plain;
            flight.number = frontend::command(&mut self.out, &[frontend::PING], &[]);
        }
    }

    /// What a statement takes (a zero for each parameter) and returns, if it is prepared.
    pub fn is_prepared(&self, statement: &Statement) -> Option<Shape> {
        let known = self.statements.peek(statement.id)?;
        Some((Arc::clone(&known.parameters), Arc::clone(&known.columns)))
    }

    /// Whether a statement can be submitted behind what is under way: not one that has to be prepared first.
    pub fn can_follow(&self, statement: &Statement) -> bool {
        match self.requests.back() {
            None => true,
            Some(last) => !last.is_exclusive() && self.statements.peek(statement.id).is_some(),
        }
    }

    /// One statement as a text; nothing is prepared, and its rows are texts.
    pub fn simple(&mut self, sql: &str) -> Result<Request, ExecError> {
        self.admit()?;
        self.text(sql, Verb::of(sql))
    }

    fn text(&mut self, sql: &str, verb: Verb) -> Result<Request, ExecError> {
        self.check_text(sql)?;
        self.close_forgotten();
        let number = frontend::command(&mut self.out, &[frontend::QUERY], sql.as_bytes());
        let mut flight = InFlight::new(Step::Result, number);
        flight.verb = verb;
        Ok(self.submit(flight))
    }

    /// One round trip that does nothing.
    pub fn sync(&mut self) -> Result<Request, ExecError> {
        self.plain(frontend::PING)
    }

    /// Everything of this session that is not of its login goes: transaction, settings, temporary tables, locks and
    /// prepared statements.
    pub fn reset(&mut self) -> Result<Request, ExecError> {
        self.admit()?;
        self.statements.lost_all();
        self.cursors.clear();
        self.plain(frontend::RESET)
    }

    fn plain(&mut self, command: u8) -> Result<Request, ExecError> {
        self.admit()?;
        self.close_forgotten();
        let number = frontend::command(&mut self.out, &[command], &[]);
        Ok(self.submit(InFlight::new(Step::Plain, number)))
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
                Some(last) if last.is_exclusive() => "the last request is still being prepared",
                _ => return Ok(()),
            },
            Phase::Terminated => "the connection was closed",
            Phase::Created | Phase::Login(_) => "the login has not ended",
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

    /// Puts CLOSE in front of a command.
    #[inline]
    pub(super) fn close_forgotten(&mut self) {
        let out = &mut self.out;
        self.statements.close(|id| frontend::close(out, id));
    }

    fn check_text(&self, sql: &str) -> Result<(), ExecError> {
        frontend::fits(sql.len().saturating_add(1), self.longest, "the statement")
    }

    /// Whether an error may have begun or ended a transaction, so that the server has to be asked.
    pub(super) fn may_have_changed(&self, verb: Verb) -> bool {
        self.transaction != TxStatus::Idle || !self.autocommit || verb != Verb::Rows
    }
}

/// With another number than its own the server would take values for something else.
pub(super) fn check_count(wanted: usize, params: &Encoded) -> Result<(), ExecError> {
    let given = usize::from(params.count);
    if given == wanted {
        return Ok(());
    }
    Err(wrong_count(wanted, given))
}

pub(super) fn wrong_count(wanted: usize, given: usize) -> ExecError {
    ExecError::new(
        ErrorKind::Programming,
        format!("the statement has {wanted} parameters, but {given} values were given"),
    )
}
