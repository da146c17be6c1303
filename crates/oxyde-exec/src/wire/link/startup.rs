//! From a fresh byte stream to a connection that can be used.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use crate::engine::{Completion, Outcome, TxStatus};
use crate::error::{ErrorKind, ExecError};
use crate::wire::driver::Channel;
use crate::wire::events::Event;
use crate::wire::link::{Inner, Link, Stage};
use crate::wire::session::{Line, Password};

/// Whether the server let us in, for the driver's attempt at one host.
pub type Started = Box<dyn FnOnce(Result<(), ExecError>) + Send>;

/// What `target_session_attrs` asks about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Attributes {
    /// Transactions are read-only unless they say otherwise (or cannot).
    pub read_only: bool,
    pub standby: bool,
}

/// What the answers to questions amount to.
#[derive(Default)]
pub(super) struct Capture {
    /// Questions that are not answered yet.
    open: usize,
    /// The texts of all rows, one behind the other.
    values: Vec<Option<String>>,
    error: Option<ExecError>,
}

/// What a link that is no connection of the pool is for.
#[derive(Clone)]
pub(super) struct Errand {
    pub sql: String,
    /// The server that it is for, if there may be others at the same address.
    pub place: Option<String>,
    /// It is on its way to the server.
    pub sent: Arc<AtomicBool>,
}

/// What the start needs done without the lock.
pub(super) enum Next {
    /// Something was queued to be sent.
    Flush,
    Failed(ExecError),
    Started(Started),
}

impl Link {
    /// What asks the server for TLS, if it is one that greets and has TLS.
    pub fn tls_request(&self, greeting: &[u8]) -> Result<Option<Vec<u8>>, ExecError> {
        self.shared.server.session().tls_request(greeting)
    }

    /// A byte stream to one host is there: logs in. `greeting`: what the server has said already. `started` is called
    /// once.
    pub fn start(
        self: &Arc<Self>,
        channel: Arc<dyn Channel>,
        line: Line,
        password: Option<Password>,
        greeting: &[u8],
        started: Started,
    ) {
        let mut session = self.shared.server.session();
        if let Err(error) = session.start(password, line, greeting) {
            channel.abort();
            return started(Err(error));
        }
        let ours = {
            let mut inner = self.lock();
            let ours = matches!(inner.stage, Stage::Opening) && inner.opened.is_some();
            if ours {
                inner.stage = Stage::LoggingIn(started);
                inner.session = Some(session);
                inner.channel = Some(Arc::clone(&channel));
                None
            } else {
                Some(started)
            }
        };
        match ours {
            None => self.flush(),
            Some(started) => {
                channel.abort();
                started(Err(ExecError::new(
                    ErrorKind::Closed,
                    "the connection is not wanted any more",
                )));
            }
        }
    }

    /// After `started` said yes.
    pub fn attributes(&self) -> Attributes {
        self.lock().attributes
    }

    /// Gives up the attempt that was started, before another host is tried. Its channel is aborted; `lost` from it is
    /// ignored.
    pub fn give_up_attempt(&self) {
        let (stage, channel) = {
            let mut inner = self.lock();
            if matches!(inner.stage, Stage::Ready | Stage::Closing | Stage::Dead) {
                return;
            }
            inner.session = None;
            (
                std::mem::replace(&mut inner.stage, Stage::Opening),
                inner.channel.take(),
            )
        };
        drop(stage);
        if let Some(channel) = channel {
            channel.abort();
        }
    }

    /// The database is being closed by force: whoever makes the connection is told so, and may find out later.
    pub(super) fn give_up(self: &Arc<Self>) {
        let (stage, channel, opened) = {
            let mut inner = self.lock();
            if inner.opened.is_none() {
                return;
            }
            inner.session = None;
            (
                std::mem::replace(&mut inner.stage, Stage::Dead),
                inner.channel.take(),
                inner.opened.take(),
            )
        };
        let closed = || {
            ExecError::new(
                ErrorKind::Closed,
                "connecting was given up because the database is being closed",
            )
        };
        if let Some(channel) = channel {
            channel.abort();
        }
        self.shared.forget(self.id);
        if let Some(opened) = opened {
            opened(Completion::lost(closed()));
        }
        if let Stage::LoggingIn(started) | Stage::Asking(started, ..) | Stage::Setting(started, _) =
            stage
        {
            started(Err(closed()));
        }
    }

    /// The attempt that was started is the connection.
    pub fn ready(self: &Arc<Self>) {
        let opened = {
            let mut inner = self.lock();
            if matches!(inner.stage, Stage::Judged) {
                inner.stage = Stage::Ready;
                inner.idle_since = Some(Instant::now());
                if let Some(facts) = inner.facts.take() {
                    self.shared.learn(facts);
                }
                inner.opened.take()
            } else {
                None
            }
        };
        match opened {
            Some(opened) => opened(Completion::ok(Outcome::default(), TxStatus::Idle)),
            None => self.failed(ExecError::new(
                ErrorKind::ConnectionLost,
                "the server closed the connection right after the login",
            )),
        }
    }

    /// No host worked.
    pub fn failed(self: &Arc<Self>, error: ExecError) {
        let opened = {
            let mut inner = self.lock();
            if matches!(inner.stage, Stage::Ready | Stage::Closing) {
                return;
            }
            inner.stage = Stage::Dead;
            inner.opened.take()
        };
        self.shared.forget(self.id);
        if let Some(opened) = opened {
            opened(Completion::lost(error));
        }
    }

    pub(super) fn go_on(self: &Arc<Self>, next: Next) {
        match next {
            Next::Flush => {}
            Next::Failed(error) => self.die(error),
            Next::Started(started) => {
                let is_done = {
                    let mut inner = self.lock();
                    // The goodbye has to be written before the channel is closed.
                    inner.receiving &= inner.errand.is_none();
                    inner.errand.is_some()
                };
                if is_done {
                    self.say_goodbye(Box::new(drop));
                }
                started(Ok(()));
            }
        }
    }
}

impl Inner {
    /// The next step of the start; the answers of the server come in as events.
    pub(super) fn starting(&mut self, event: Event<'_>) -> Option<Next> {
        match event {
            Event::Started => {
                let Stage::LoggingIn(started) = std::mem::replace(&mut self.stage, Stage::Dead)
                else {
                    return Some(Next::Failed(out_of_order()));
                };
                let questions = match &self.errand {
                    None => self.server.questions(),
                    Some(errand) if errand.place.is_some() => {
                        self.server.place().into_iter().collect()
                    }
                    Some(_) => Vec::new(),
                };
                self.stage = Stage::Asking(started, Capture::default());
                self.ask_all(&questions)
            }
            Event::Rows(_, chunk) => {
                if let Stage::Asking(_, capture) = &mut self.stage {
                    capture.values.extend(self.server.texts(chunk.raw()));
                }
                None
            }
            Event::Failed(_, error) => {
                match &mut self.stage {
                    Stage::Asking(_, capture) => {
                        capture.error.get_or_insert(error);
                    }
                    Stage::Setting(_, statements) => {
                        statements.clear();
                        return Some(Next::Failed(refused(error)));
                    }
                    _ => {}
                }
                None
            }
            Event::Done(..) => self.answered(),
            _ => None,
        }
    }

    fn answered(&mut self) -> Option<Next> {
        match std::mem::replace(&mut self.stage, Stage::Dead) {
            Stage::Asking(started, mut capture) => {
                capture.open = capture.open.saturating_sub(1);
                if capture.open > 0 {
                    self.stage = Stage::Asking(started, capture);
                    return None;
                }
                let statements = match capture.error.take() {
                    Some(error) => Err(error),
                    None => self.judge(&capture.values),
                };
                match statements {
                    Ok(statements) => {
                        self.stage = Stage::Setting(started, statements);
                        self.next_setting()
                    }
                    Err(error) => {
                        self.stage = Stage::LoggingIn(started);
                        Some(Next::Failed(refused(error)))
                    }
                }
            }
            Stage::Setting(started, statements) => {
                self.stage = Stage::Setting(started, statements);
                self.next_setting()
            }
            other => {
                self.stage = other;
                None
            }
        }
    }

    /// What to run on a server that has answered so.
    fn judge(&mut self, answers: &[Option<String>]) -> Result<VecDeque<String>, ExecError> {
        if let Some(errand) = &self.errand {
            let told = answers.first().and_then(Option::as_ref);
            if errand.place.is_some() && errand.place.as_ref() != told {
                return Err(ExecError::new(
                    ErrorKind::Connect,
                    "another server answers at this address now",
                ));
            }
            errand.sent.store(true, Ordering::Release);
            return Ok(VecDeque::from([errand.sql.clone()]));
        }
        let Some(session) = &mut self.session else {
            return Err(out_of_order());
        };
        let verdict = self.server.judge(&mut **session, answers)?;
        let settings = self.server.settings(&verdict.peer);
        self.attributes = verdict.attributes;
        self.peer = verdict.peer;
        self.facts = Some(verdict.facts);
        Ok(settings)
    }

    fn ask(&mut self, sql: &str) -> Next {
        match self.session.as_mut().map(|session| session.simple(sql)) {
            Some(Ok(_)) => Next::Flush,
            Some(Err(error)) => Next::Failed(refused(error)),
            None => Next::Failed(out_of_order()),
        }
    }

    fn ask_all(&mut self, questions: &[String]) -> Option<Next> {
        for sql in questions {
            if let failed @ Next::Failed(_) = self.ask(sql) {
                return Some(failed);
            }
        }
        if let Stage::Asking(_, capture) = &mut self.stage {
            capture.open = questions.len();
        }
        if questions.is_empty() {
            return self.answered();
        }
        Some(Next::Flush)
    }

    fn next_setting(&mut self) -> Option<Next> {
        let Stage::Setting(_, statements) = &mut self.stage else {
            return None;
        };
        match statements.pop_front() {
            Some(sql) => Some(self.ask(&sql)),
            None => match std::mem::replace(&mut self.stage, Stage::Judged) {
                Stage::Setting(started, _) => Some(Next::Started(started)),
                _ => None,
            },
        }
    }
}

/// An error of the server before the connection is usable.
fn refused(mut error: ExecError) -> ExecError {
    error.kind = ErrorKind::Connect;
    error
}

fn out_of_order() -> ExecError {
    ExecError::new(
        ErrorKind::Connect,
        "the server answered out of order while logging in",
    )
}
