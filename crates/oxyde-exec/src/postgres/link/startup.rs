//! From a fresh byte stream to a connection that can be used.

use std::sync::Arc;
use std::time::Instant;

use crate::engine::{Completion, Outcome, TxStatus};
use crate::error::{ErrorKind, ExecError};
use crate::postgres::config::Pooler;
use crate::postgres::driver::Channel;
use crate::postgres::engine::Facts;
use crate::postgres::link::{Inner, Link, Stage};
use crate::postgres::session::{Event, Password, Session};

/// Whether the server let us in, for the driver's attempt at one host.
pub type Started = Box<dyn FnOnce(Result<(), ExecError>) + Send>;

/// What `target_session_attrs` asks about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Attributes {
    /// Transactions are read-only unless they say otherwise (or cannot).
    pub read_only: bool,
    pub standby: bool,
}

/// Who serves us. What the server can do is asked in the same flight, by the compiler's own query.
const QUESTIONS: &str = "SELECT pg_catalog.pg_backend_pid(), \
     pg_catalog.current_setting('transaction_read_only') = 'on', pg_catalog.pg_is_in_recovery()";

/// The texts of all rows, one behind the other.
#[derive(Default)]
pub(super) struct Capture {
    values: Vec<Option<String>>,
    error: Option<ExecError>,
}

/// What the start needs done without the lock.
pub(super) enum Next {
    /// Something was queued to be sent.
    Flush,
    Failed(ExecError),
    Started(Started),
}

impl Link {
    /// A byte stream to one host is there (`secure`: TLS, or a socket file): logs in. `started` is called once.
    pub fn start(
        self: &Arc<Self>,
        channel: Arc<dyn Channel>,
        secure: bool,
        password: Option<Password>,
        started: Started,
    ) {
        let mut session = Session::new(self.shared.config.session());
        if let Err(error) = session.start(password, secure) {
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
            Next::Started(started) => started(Ok(())),
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
                self.stage = Stage::Asking(started, Capture::default());
                let questions = format!("{QUESTIONS};\n{}", self.config.facts);
                Some(self.ask(&questions))
            }
            Event::Rows(_, chunk) => {
                if let Stage::Asking(_, capture) = &mut self.stage {
                    capture.take(chunk.raw());
                }
                None
            }
            Event::Failed(_, error) => {
                match &mut self.stage {
                    Stage::Asking(_, capture) => capture.error = Some(error),
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
            Stage::Asking(started, capture) => {
                if let Some(error) = capture.error {
                    self.stage = Stage::LoggingIn(started);
                    return Some(Next::Failed(refused(error)));
                }
                let answers = Answers::of(&capture.values);
                self.attributes = answers.attributes;
                let session = self.session.as_mut()?;
                self.pooled = match self.config.pooler {
                    Pooler::Yes => true,
                    Pooler::No => false,
                    Pooler::Auto => answers.pid.is_some() && answers.pid != session.backend_pid(),
                };
                if self.pooled {
                    session.set_unnamed();
                }
                self.facts = Some(Facts::new(
                    session.parameter("server_version").unwrap_or_default(),
                    answers.names,
                ));
                self.stage = Stage::Setting(started, self.config.settings(self.pooled));
                self.next_setting()
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

    fn ask(&mut self, sql: &str) -> Next {
        match self.session.as_mut().map(|session| session.simple(sql)) {
            Some(Ok(_)) => Next::Flush,
            Some(Err(error)) => Next::Failed(refused(error)),
            None => Next::Failed(out_of_order()),
        }
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

struct Answers {
    pid: Option<i32>,
    attributes: Attributes,
    names: Vec<String>,
}

impl Answers {
    fn of(values: &[Option<String>]) -> Self {
        let text = |index: usize| values.get(index).and_then(Option::as_deref);
        let yes = |index: usize| text(index) == Some("t");
        Self {
            pid: text(0).and_then(|pid| pid.parse().ok()),
            attributes: Attributes {
                read_only: yes(1),
                standby: yes(2),
            },
            names: text(4)
                .unwrap_or_default()
                .split_whitespace()
                .map(str::to_owned)
                .collect(),
        }
    }
}

impl Capture {
    fn take(&mut self, rows: crate::query::RawRows<'_>) {
        for row in rows.iter().flatten() {
            let texts = row
                .fields()
                .flatten()
                .map(|field| field.map(|bytes| String::from_utf8_lossy(bytes).into_owned()));
            self.values.extend(texts);
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
