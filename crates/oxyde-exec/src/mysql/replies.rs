//! What each packet of the server means for the request it answers.

use std::sync::Arc;

use crate::engine::{Tag, TxStatus};
use crate::error::{Effect, ErrorKind, ExecError};
use crate::mysql::auth;
use crate::mysql::backend::{self, Ending, Prepared, Status};
use crate::mysql::errors::{self, Report};
use crate::mysql::flight::{Collected, InFlight, Preparing, Step, Then};
use crate::mysql::frontend;
use crate::mysql::requests::wrong_count;
use crate::mysql::session::{Phase, Session};
use crate::mysql::statements::{Definitions, Known};
use crate::mysql::words::Verb;
use crate::query::{Column, Malformed};
use crate::wire::events::{Event, Fatal, Summary};

/// An output buffer of more than this is given back once everything is answered.
const KEPT: usize = 256 * 1024;

pub(super) enum Trouble {
    Malformed(Malformed),
    Fatal(Fatal),
}

impl From<Malformed> for Trouble {
    fn from(malformed: Malformed) -> Self {
        Self::Malformed(malformed)
    }
}

impl From<Fatal> for Trouble {
    fn from(fatal: Fatal) -> Self {
        Self::Fatal(fatal)
    }
}

pub(super) const OUT_OF_PLACE: Malformed = Malformed("a packet that has no place here");

pub(super) type Reply = Result<Option<Event<'static>>, Trouble>;

impl Session {
    /// One whole packet; rows go elsewhere. `stray`: its number is not the one that comes next.
    pub(super) fn packet(
        &mut self,
        payload: &[u8],
        stray: bool,
    ) -> Result<Option<Event<'static>>, Fatal> {
        let reply = match (&self.phase, payload.first()) {
            (_, None) => Err(Malformed("an empty packet").into()),
            (Phase::Open | Phase::Terminated, Some(0xff)) => self.error(payload, stray),
            _ if stray => Err(Malformed("a packet out of its order").into()),
            (Phase::Login(_), _) => self.login(payload),
            _ => self.reply(payload),
        };
        self.settle(reply)
    }

    pub(super) fn settle(&self, reply: Reply) -> Result<Option<Event<'static>>, Fatal> {
        reply.map_err(|trouble| match trouble {
            Trouble::Malformed(malformed) => self.violation(malformed),
            Trouble::Fatal(fatal) => fatal,
        })
    }

    fn login(&mut self, payload: &[u8]) -> Reply {
        let Phase::Login(login) = &mut self.phase else {
            return Err(OUT_OF_PLACE.into());
        };
        match login.packet(payload).map_err(Fatal)? {
            auth::Step::Wait => Ok(None),
            auth::Step::Answer(answer) => {
                frontend::packet(&mut self.out, login.number, &answer);
                login.number = login.number.wrapping_add(1);
                Ok(None)
            }
            auth::Step::LetIn(ending) => {
                self.transaction = self.learn(ending.status);
                self.phase = Phase::Open;
                Ok(Some(Event::Started))
            }
        }
    }

    fn reply(&mut self, payload: &[u8]) -> Reply {
        let eof = !self.capabilities.deprecates_eof();
        let Some(flight) = self.requests.front_mut() else {
            return Err(OUT_OF_PLACE.into());
        };
        let zero = payload.first() == Some(&0);
        match flight.step {
            Step::Prepare => {
                let prepared = Prepared::read(payload)?;
                let Some(preparing) = &mut flight.preparing else {
                    return Err(OUT_OF_PLACE.into());
                };
                preparing.id = Some(prepared.id);
                preparing.parameters = prepared.parameters;
                preparing.columns = prepared.columns;
                flight.step = Step::Parameters(prepared.parameters);
                if prepared.parameters == 0 {
                    return self.parameters_end();
                }
                Ok(None)
            }
            Step::Parameters(left) => {
                let left = left.saturating_sub(1);
                flight.step = Step::Parameters(left);
                if left > 0 {
                    return Ok(None);
                }
                if eof {
                    flight.step = Step::ParametersEnd;
                    return Ok(None);
                }
                self.parameters_end()
            }
            Step::ParametersEnd => {
                Ending::read_eof(payload)?;
                self.parameters_end()
            }
            Step::Columns(left) => {
                self.collect(payload)?;
                self.columns_left(left.saturating_sub(1))
            }
            Step::ColumnsEnd => {
                let ending = Ending::read_eof(payload)?;
                let waits = flight.cursor.is_some()
                    && flight.preparing.is_none()
                    && ending.status.more_rows();
                let columns = self.columns_end()?;
                if waits {
                    self.suspend(ending.status);
                }
                Ok(columns)
            }
            Step::Result if zero => self.completed(Ending::read(payload)?),
            Step::Result if payload.first() == Some(&0xfb) => Err(infile().into()),
            Step::Result => {
                let cached = self.capabilities.caches_metadata();
                let (count, follow) = backend::columns(payload, cached)?;
                flight.surplus |= flight.answered;
                flight.answered = true;
                flight.rows = 0;
                if follow {
                    flight.step = Step::Columns(count);
                    return Ok(None);
                }
                let known = flight.columns.as_ref();
                if !flight.binary || known.is_none_or(|columns| columns.len() != usize::from(count))
                {
                    return Err(Malformed("a result without definitions of its columns").into());
                }
                self.columns_left(0)
            }
            Step::Rows if eof => {
                let mut ending = Ending::read_eof(payload)?;
                ending.affected = flight.rows;
                self.completed(ending)
            }
            Step::Rows if zero => Err(Malformed("a row of another format than asked for").into()),
            Step::Rows => {
                let mut ending = Ending::read(payload)?;
                ending.affected = flight.rows;
                self.completed(ending)
            }
            Step::Plain if zero => {
                let tx = self.learn(Ending::read(payload)?.status);
                Ok(self.finish(tx))
            }
            Step::Check if zero => {
                let error = flight.error.take();
                let request = flight.request;
                flight.step = Step::Over;
                let tx = self.learn(Ending::read(payload)?.status);
                self.finished = Some(tx);
                Ok(error.map(|error| Event::Failed(request, error)))
            }
            Step::Plain | Step::Check | Step::Paused | Step::Over => Err(OUT_OF_PLACE.into()),
        }
    }

    fn parameters_end(&mut self) -> Reply {
        let columns = self
            .requests
            .front()
            .and_then(|flight| flight.preparing.as_ref())
            .map_or(0, |preparing| preparing.columns);
        if columns == 0 {
            // Without columns there is no end of their list, either.
            return self.columns_end();
        }
        if let Some(flight) = self.requests.front_mut() {
            flight.step = Step::Columns(columns);
        }
        Ok(None)
    }

    fn collect(&mut self, payload: &[u8]) -> Result<(), Malformed> {
        let limit = self.config.limits.max_definitions;
        let Some(flight) = self.requests.front_mut() else {
            return Err(OUT_OF_PLACE);
        };
        let binary = flight.binary || flight.preparing.is_some();
        let collected = flight.collected.get_or_insert_default();
        if collected.definitions.len().saturating_add(payload.len()) > limit {
            return Err(Malformed("longer definitions than a result has"));
        }
        let column = backend::column(payload, binary)?;
        collected.definitions.push(payload, collected.columns.len());
        collected.columns.push(column);
        Ok(())
    }

    pub(super) fn columns_left(&mut self, left: u16) -> Reply {
        let eof = !self.capabilities.deprecates_eof();
        let Some(flight) = self.requests.front_mut() else {
            return Err(OUT_OF_PLACE.into());
        };
        if left > 0 {
            flight.step = Step::Columns(left);
            return Ok(None);
        }
        if eof {
            flight.step = Step::ColumnsEnd;
            return Ok(None);
        }
        self.columns_end()
    }

    /// All definitions have come, or are known.
    fn columns_end(&mut self) -> Reply {
        let Some(flight) = self.requests.front_mut() else {
            return Err(OUT_OF_PLACE.into());
        };
        let collected = flight.collected.take().map(|collected| *collected);
        if let Some(preparing) = flight.preparing.take() {
            return Ok(self.described(preparing, collected.unwrap_or_default()));
        }
        flight.step = Step::Rows;
        let cursor = flight.cursor;
        if let Some(collected) = collected {
            let statement = flight.statement;
            let columns = self.adopt(statement, collected);
            // The server takes it that all which are under way know of the new definitions.
            for (at, other) in self.requests.iter_mut().enumerate() {
                if at == 0 || (statement.is_some() && other.statement == statement) {
                    other.columns = Some(Arc::clone(&columns));
                }
            }
        }
        let columns = self.requests.front().and_then(|head| head.columns.clone());
        if let Some(cursor) = cursor.and_then(|cursor| self.cursor(cursor)) {
            cursor.columns = columns;
        }
        Ok(self.requests.front().and_then(show_columns))
    }

    /// The columns of a result: the same object as before if nothing has changed.
    fn adopt(&mut self, statement: Option<(u64, u32)>, collected: Collected) -> Arc<[Column]> {
        let known = statement.and_then(|(statement, id)| {
            let known = self.statements.known(statement)?;
            (known.id == Some(id)).then_some(known)
        });
        match known {
            Some(known) if known.definitions == collected.definitions => Arc::clone(&known.columns),
            Some(known) => {
                known.columns = collected.columns.into();
                known.definitions = collected.definitions;
                Arc::clone(&known.columns)
            }
            None => collected.columns.into(),
        }
    }

    /// The server has prepared a statement and described it.
    fn described(
        &mut self,
        mut preparing: Box<Preparing>,
        collected: Collected,
    ) -> Option<Event<'static>> {
        let id = preparing.id?;
        let flight = self.requests.front_mut()?;
        let columns: Arc<[Column]> = collected.columns.into();
        let parameters: Arc<[u32]> = vec![0; usize::from(preparing.parameters)].into();
        let known = Known {
            id: Some(id),
            parameters: Arc::clone(&parameters),
            verb: flight.verb,
            columns: Arc::clone(&columns),
            definitions: collected.definitions,
        };
        preparing.kept = preparing.kept
            && self
                .statements
                .described(preparing.statement, known)
                .is_ok();
        flight.columns = (!columns.is_empty()).then(|| Arc::clone(&columns));
        let Then::Execute {
            parameters: given,
            command,
            packets,
        } = &mut preparing.then
        else {
            flight.step = Step::Paused;
            flight.preparing = Some(preparing);
            return Some(Event::Described(flight.request, parameters, columns));
        };
        if *given != preparing.parameters {
            if !preparing.kept {
                self.statements.drop_id(id);
            }
            flight.step = Step::Over;
            self.finished = Some(self.transaction);
            let error = wrong_count(parameters.len(), usize::from(*given));
            return Some(Event::Failed(flight.request, error));
        }
        frontend::set_id(command, id);
        if self.out.is_empty() {
            self.out = std::mem::take(command);
        } else {
            self.out.extend_from_slice(command);
        }
        flight.number = *packets;
        flight.binary = true;
        flight.step = Step::Result;
        match flight.cursor {
            _ if preparing.kept => flight.statement = Some((preparing.statement, id)),
            Some(cursor) => self.cursor_prepared(cursor, id),
            None => frontend::close(&mut self.out, id),
        }
        None
    }

    /// A statement has ended, or one of the results of a procedure.
    fn completed(&mut self, ending: Ending) -> Reply {
        let Some(flight) = self.requests.front_mut() else {
            return Err(OUT_OF_PLACE.into());
        };
        if ending.status.more_results() {
            flight.step = Step::Result;
            return Ok(None);
        }
        if flight.cursor.is_some() && ending.status.more_rows() {
            self.suspend(ending.status);
            return Ok(self.suspended());
        }
        flight.step = Step::Over;
        let (request, verb, surplus) = (flight.request, flight.verb, flight.surplus);
        if let Some(cursor) = flight.cursor {
            self.drop_cursor(cursor);
        }
        let tx = self.learn(ending.status);
        self.finished = Some(tx);
        if surplus {
            return Ok(Some(Event::Failed(request, several_results())));
        }
        self.warnings = ending.warnings;
        let tag = match (verb, tx) {
            (Verb::Commit, TxStatus::Idle) => Tag::Commit,
            (Verb::Rollback, TxStatus::Idle) => Tag::Rollback,
            _ => Tag::Other,
        };
        let summary = Summary {
            tag,
            rows: ending.affected,
            last_insert_id: ending.last_insert_id,
        };
        Ok(Some(Event::Completed(request, summary)))
    }

    /// The head has ended with rows left for a fetch.
    fn suspend(&mut self, status: Status) {
        if let Some(flight) = self.requests.front_mut() {
            flight.step = Step::Over;
            flight.suspended = true;
        }
        self.finished = Some(self.learn(status));
    }

    /// What is to be told of that, once.
    pub(super) fn suspended(&mut self) -> Option<Event<'static>> {
        let head = self.requests.front_mut()?;
        std::mem::take(&mut head.suspended).then_some(Event::Suspended(head.request))
    }

    fn error(&mut self, payload: &[u8], stray: bool) -> Reply {
        let report = Report::read(payload)?;
        let number = report.number;
        let mut error = report.error();
        let alone = self.requests.len() == 1;
        let over = stray || error.kind == ErrorKind::ConnectionLost;
        let flight = self.requests.front_mut();
        let Some(flight) = flight.filter(|flight| !over && flight.step != Step::Over) else {
            // Said unasked, or instead of an answer: the server is about to close the connection.
            if self.requests.is_empty() {
                error.kind = ErrorKind::ConnectionLost;
                error.outcome = Effect::NotApplied;
            } else if number != errors::TOO_LONG {
                error.kind = ErrorKind::ConnectionLost;
                error.outcome = Effect::Unknown;
            }
            return Err(Fatal(error).into());
        };
        flight.collected = None;
        if flight.step == Step::Paused {
            return Err(OUT_OF_PLACE.into());
        }
        if flight.step == Step::Check {
            // A late KILL QUERY may hit the ping.
            if number != errors::INTERRUPTED || flight.pings == 0 {
                return Err(Fatal(error).into());
            }
            if alone {
                self.ping();
                return Ok(None);
            }
            // Another ping would come behind the requests of the meantime, whose answers tell as much.
            flight.step = Step::Over;
            let request = flight.request;
            let error = flight.error.take();
            self.finished = Some(TxStatus::Unknown);
            return Ok(error.map(|error| Event::Failed(request, error)));
        }
        let mut prepares = false;
        if let Some(preparing) = flight.preparing.take() {
            let unprepared = flight.step == Step::Prepare;
            prepares = true;
            let none = !matches!(
                preparing.then,
                Then::Execute {
                    parameters: 1..,
                    ..
                }
            );
            if unprepared && number == errors::UNPREPARABLE && none {
                return Ok(self.run_as_text(preparing, error));
            }
            if preparing.kept {
                self.statements.failed(preparing.statement);
            }
        }
        if let (errors::UNKNOWN_STATEMENT, Some((statement, id))) = (number, flight.statement) {
            self.statements.lost(statement, id);
        }
        let (request, verb) = (flight.request, flight.verb);
        let changed = if prepares {
            self.may_have_changed(Verb::Rows)
        } else {
            self.may_have_changed(verb)
        };
        if changed && alone {
            if let Some(flight) = self.requests.front_mut() {
                flight.step = Step::Check;
                flight.error = Some(error);
            }
            self.ping();
            return Ok(None);
        }
        if let Some(flight) = self.requests.front_mut() {
            flight.step = Step::Over;
        }
        // Others are on their way: the answer to the next one tells.
        self.finished = Some(if changed {
            TxStatus::Unknown
        } else {
            self.transaction
        });
        Ok(Some(Event::Failed(request, error)))
    }

    /// Asks for the state of the transaction.
    fn ping(&mut self) {
        let number = frontend::command(&mut self.out, &[frontend::PING], &[]);
        if let Some(flight) = self.requests.front_mut() {
            flight.number = number;
            flight.pings = flight.pings.saturating_sub(1);
        }
    }

    /// The server cannot prepare this statement; as a text it can run it.
    fn run_as_text(
        &mut self,
        mut preparing: Box<Preparing>,
        error: ExecError,
    ) -> Option<Event<'static>> {
        let flight = self.requests.front_mut()?;
        if preparing.kept {
            let known = Known {
                id: None,
                parameters: Arc::from([]),
                verb: flight.verb,
                columns: Arc::from([]),
                definitions: Definitions::default(),
            };
            preparing.kept = self
                .statements
                .described(preparing.statement, known)
                .is_ok();
        }
        if let Then::Describe = preparing.then {
            preparing.refused = Some(error);
            flight.step = Step::Paused;
            flight.preparing = Some(preparing);
            return Some(Event::Described(
                flight.request,
                Arc::from([]),
                Arc::from([]),
            ));
        }
        let sql = preparing.sql.as_bytes();
        flight.number = frontend::command(&mut self.out, &[frontend::QUERY], sql);
        flight.step = Step::Result;
        None
    }

    /// Ends the head, which has nothing to tell but that.
    fn finish(&mut self, tx: TxStatus) -> Option<Event<'static>> {
        if let Some(flight) = self.requests.front_mut() {
            flight.step = Step::Over;
        }
        self.finished = Some(tx);
        self.done()
    }

    /// `Done` of a head that is over.
    pub(super) fn done(&mut self) -> Option<Event<'static>> {
        let tx = self.finished.take()?;
        let flight = self.requests.pop_front()?;
        self.transaction = tx;
        self.end_cursors(tx);
        if self.requests.is_empty() && self.out.is_empty() && self.out.capacity() > KEPT {
            self.out = Vec::new();
        }
        Some(Event::Done(flight.request, tx))
    }

    /// The server's bytes are not the protocol.
    pub(super) fn violation(&self, what: Malformed) -> Fatal {
        let error = match self.phase {
            Phase::Created | Phase::Login(_) => ExecError::new(
                ErrorKind::Connect,
                format!("the server does not speak MySQL's protocol: {}", what.0),
            )
            .with_hint("is there a MySQL or MariaDB server at this address and port?"),
            Phase::Open | Phase::Terminated => {
                let mut error = ExecError::new(
                    ErrorKind::ConnectionLost,
                    format!("the server broke the protocol: {}", what.0),
                );
                if !self.requests.is_empty() {
                    error.outcome = Effect::Unknown;
                }
                error
            }
        };
        Fatal(error)
    }
}

pub(super) fn show_columns(flight: &InFlight) -> Option<Event<'static>> {
    let columns = flight.columns.as_ref().filter(|_| !flight.surplus)?;
    Some(Event::Columns(flight.request, Arc::clone(columns)))
}

fn several_results() -> ExecError {
    ExecError::new(
        ErrorKind::Programming,
        "the procedure returned more than one result with rows",
    )
    .with_hint("let it return one, or several as one by UNION ALL; what it changed stays changed")
}

fn infile() -> Fatal {
    let mut error = ExecError::new(
        ErrorKind::ConnectionLost,
        "the server asks for a file of this machine, which it never gets",
    );
    error.outcome = Effect::Unknown;
    Fatal(error)
}
