//! What each message of the server means for the request it answers.

use std::sync::Arc;

use crate::engine::TxStatus;
use crate::error::{Effect, ErrorKind, ExecError};
use crate::postgres::backend::{self, Report};
use crate::postgres::copy::CopyUse;
use crate::postgres::flight::{InFlight, Step};
use crate::postgres::session::{Phase, Session};
use crate::postgres::statements::Known;
use crate::postgres::{frontend, told};
use crate::query::Malformed;
use crate::wire::events::{Event, Fatal};

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

pub(super) const OUT_OF_PLACE: Malformed = Malformed("a message that has no place here");

pub(super) type Reply = Result<Option<Event<'static>>, Trouble>;

impl Session {
    /// One whole message; rows and the data of a COPY go elsewhere.
    pub(super) fn message(
        &mut self,
        kind: u8,
        body: &[u8],
    ) -> Result<Option<Event<'static>>, Fatal> {
        let reply = match kind {
            b'Z' => self.ready(body),
            b'R' => self.login(body),
            b'S' => self.parameter_status(body),
            b'K' => self.backend_key(body),
            b'E' => self.error(body),
            b'N' => told::notice(body),
            b'A' => told::notification(body),
            // The server speaks 3.0, which is what we speak.
            b'v' => Ok(None),
            _ => self.reply(kind, body),
        };
        reply.map_err(|trouble| match trouble {
            Trouble::Malformed(malformed) => self.violation(malformed, kind),
            Trouble::Fatal(fatal) => fatal,
        })
    }

    fn reply(&mut self, kind: u8, body: &[u8]) -> Reply {
        let alone = self.requests.len() == 1;
        let Some(flight) = self.requests.front_mut() else {
            return Err(OUT_OF_PLACE.into());
        };
        let request = flight.request;
        if flight.closes > 0 {
            if kind != b'3' {
                return Err(OUT_OF_PLACE.into());
            }
            backend::nothing(body)?;
            flight.closes = flight.closes.saturating_sub(1);
            return Ok(None);
        }
        match (flight.step, kind) {
            (Step::Bind, b'2') => {
                backend::nothing(body)?;
                flight.step = Step::Execute;
                if let Some(name) = flight.portal.take() {
                    let columns = flight.columns.clone();
                    let mut portals = self.portals.iter_mut();
                    if let Some(portal) = portals.find(|portal| portal.name == name) {
                        portal.bound = true;
                        portal.columns = columns;
                    }
                }
                let columns = flight.columns.clone();
                Ok(columns.map(|columns| Event::Columns(request, columns)))
            }
            (Step::Execute | Step::Simple, b'C') => {
                let command = backend::command(body)?;
                if command.forgets {
                    self.statements.lost_all();
                }
                if let Some(name) = flight.reads.take()
                    && let Some(portal) = self.portals.iter_mut().find(|portal| portal.name == name)
                {
                    portal.over = true;
                }
                end_statement(flight);
                Ok(Some(Event::Completed(request, command.summary)))
            }
            (Step::Execute | Step::Simple, b'I') => {
                backend::nothing(body)?;
                end_statement(flight);
                Ok(Some(Event::Completed(request, Default::default())))
            }
            (Step::Execute, b's') if flight.limited => {
                backend::nothing(body)?;
                flight.step = Step::Ready;
                Ok(Some(Event::Suspended(request)))
            }
            (Step::Parse, b'1') => {
                backend::nothing(body)?;
                flight.step = Step::Parameters;
                if let Some(preparing) = &mut flight.preparing {
                    preparing.parsed = true;
                }
                Ok(None)
            }
            (Step::Parameters, b't') => {
                let parameters = backend::parameters(body)?;
                flight.step = Step::Columns;
                if let Some(preparing) = &mut flight.preparing {
                    preparing.parameters = Some(parameters);
                }
                Ok(None)
            }
            (Step::Columns, b'T' | b'n') => self.described(kind, body),
            (Step::Simple, b'T') if flight.columns.is_none() => {
                let columns = backend::columns(body, None)?;
                flight.columns = Some(Arc::clone(&columns));
                Ok(Some(Event::Columns(request, columns)))
            }
            (Step::Execute | Step::Simple, b'G' | b'H') => {
                let format = backend::copy_format(body)?;
                let input = kind == b'G';
                match flight.copy {
                    CopyUse::In if input => {
                        flight.step = Step::CopyIn;
                        Ok(Some(Event::CopyIn(request, format)))
                    }
                    CopyUse::Out if !input => {
                        flight.step = Step::CopyOut;
                        Ok(Some(Event::CopyOut(request, format)))
                    }
                    _ => {
                        flight.step = Step::Refused;
                        flight.failed = true;
                        flight.copy = CopyUse::None;
                        if input {
                            self.refuse_copy_in(alone)?;
                        }
                        Ok(Some(Event::Failed(request, unasked_copy(input))))
                    }
                }
            }
            (Step::CopyOut, b'c') => {
                backend::nothing(body)?;
                flight.step = flight.after_copy();
                Ok(None)
            }
            (Step::Refused, b'G') => {
                self.refuse_copy_in(alone)?;
                Ok(None)
            }
            (Step::Refused, b'T' | b'C' | b'I' | b'H' | b'c') => Ok(None),
            _ => Err(OUT_OF_PLACE.into()),
        }
    }

    fn described(&mut self, kind: u8, body: &[u8]) -> Reply {
        let Some(flight) = self.requests.front_mut() else {
            return Err(OUT_OF_PLACE.into());
        };
        let Some(mut preparing) = flight.preparing.take() else {
            return Err(OUT_OF_PLACE.into());
        };
        let columns = if kind == b'n' {
            backend::nothing(body)?;
            None
        } else {
            Some(backend::columns(body, Some(&preparing.formats))?)
        };
        let parameters = preparing.parameters.take().unwrap_or_default();
        if let Some(prepared) = &preparing.prepared {
            let known = Known {
                parameters: Arc::clone(&parameters),
                columns: columns.clone(),
                formats: preparing.formats.clone(),
            };
            self.statements.described(prepared, known);
        }
        flight.columns = columns;
        if flight.synced {
            flight.step = Step::Bind;
            return Ok(None);
        }
        flight.step = Step::Paused;
        flight.preparing = Some(preparing);
        let columns = flight.columns.clone().unwrap_or_default();
        Ok(Some(Event::Described(flight.request, parameters, columns)))
    }

    /// The server waits for data that nobody has.
    fn refuse_copy_in(&mut self, alone: bool) -> Result<(), Trouble> {
        if !alone {
            // What was sent behind it, the server has taken for the data.
            return Err(Malformed("COPY FROM STDIN in front of other requests").into());
        }
        frontend::copy_fail(&mut self.out, "no data were given");
        if self.requests.front().is_some_and(|flight| !flight.simple) {
            // The Sync of the flight went the way of the data.
            frontend::sync(&mut self.out);
        }
        Ok(())
    }

    fn ready(&mut self, body: &[u8]) -> Reply {
        let transaction = backend::transaction(body)?;
        if matches!(self.phase, Phase::Greeting) {
            self.check_greeting()?;
            self.transaction = transaction;
            self.phase = Phase::Open;
            return Ok(Some(Event::Started));
        }
        let Some(done) = self.requests.front().filter(|flight| flight.is_over()) else {
            return Err(OUT_OF_PLACE.into());
        };
        let request = done.request;
        self.requests.pop_front();
        self.transaction = transaction;
        if transaction == TxStatus::Idle && !self.portals.is_empty() {
            self.portals.retain(|portal| !portal.bound);
        }
        if self.requests.is_empty() && self.out.is_empty() && self.out.capacity() > KEPT {
            self.out = Vec::new();
        }
        Ok(Some(Event::Done(request, transaction)))
    }

    fn error(&mut self, body: &[u8]) -> Reply {
        let report = Report::read(body)?;
        if matches!(self.phase, Phase::Login(_) | Phase::Greeting) {
            let mut error = report.error();
            error.kind = ErrorKind::Connect;
            error.outcome = Effect::NotApplied;
            return Err(Fatal(error).into());
        }
        let fatal = report.is_fatal();
        let error = report.error();
        let flight = self.requests.front_mut().filter(|_| !fatal);
        let Some(flight) = flight else {
            return Err(Fatal(error).into());
        };
        let refused = flight.step == Step::Refused;
        let described = flight.step == Step::Paused;
        if flight.failed && !refused {
            return Err(OUT_OF_PLACE.into());
        }
        flight.failed = true;
        flight.step = Step::Ready;
        flight.closes = 0;
        flight.columns = None;
        flight.copy = CopyUse::None;
        if let Some(preparing) = flight.preparing.take()
            && let Some(prepared) = &preparing.prepared
            && !described
        {
            self.statements.failed(prepared, preparing.parsed);
        }
        if let Some(name) = flight.portal.take() {
            self.portals.retain(|portal| portal.name != name);
        }
        if !flight.synced {
            flight.synced = true;
            frontend::sync(&mut self.out);
        }
        let request = flight.request;
        Ok((!refused).then_some(Event::Failed(request, error)))
    }

    /// The server's bytes are not the protocol.
    pub(super) fn violation(&self, what: Malformed, kind: u8) -> Fatal {
        let kind = [kind];
        let (kind, what) = (kind.escape_ascii(), what.0);
        let error = match self.phase {
            Phase::Created | Phase::Login(_) | Phase::Greeting => ExecError::new(
                ErrorKind::Connect,
                format!("the server does not speak PostgreSQL's protocol: {what} (type `{kind}`)"),
            )
            .with_hint("is there a PostgreSQL server at this address and port?"),
            Phase::Open | Phase::Terminated => {
                let mut error = ExecError::new(
                    ErrorKind::ConnectionLost,
                    format!("the server broke the protocol: {what} (type `{kind}`)"),
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

/// One statement has ended; a text may hold more.
fn end_statement(flight: &mut InFlight) {
    if flight.simple {
        flight.answered = true;
        flight.columns = None;
    } else {
        flight.step = Step::Ready;
    }
}

fn unasked_copy(input: bool) -> ExecError {
    let (what, instead) = if input {
        ("COPY … FROM STDIN", "copy_in() of a kept connection")
    } else {
        ("COPY … TO STDOUT", "copy_out() of a kept connection")
    };
    ExecError::new(
        ErrorKind::NotSupported,
        format!("{what} cannot be run as a statement"),
    )
    .with_hint(format!("use {instead}, or COPY with a file of the server"))
}
