//! The protocol of one connection, without I/O: requests and the server's bytes in, events and bytes to send out.
//!
//! Requests are answered in order and each ends with exactly one [`Event::Done`], also one that fails. Submitting a
//! request before the last one is done pipelines it: each has a Sync of its own, so that one's error does not touch
//! the next. Bytes to send collect in [`Session::output`]; both submitting and [`Session::next`] may add to it.
//!
//! ```text
//! query, known statement   [Close…] Bind Execute Sync
//! query, new statement     [Close…] Parse Describe Bind Execute Sync      (one flight)
//! describe                 [Close…] Parse Describe Flush → Described → Bind Execute Sync, or only Sync
//! simple, copy_in, …       Query
//! ```
//! A [`Fatal`] ends the session: the server's bytes make no sense, or it said goodbye. Whatever bytes come, nothing
//! here panics, waits or takes more memory than what the server really sent.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;

use crate::engine::TxStatus;
use crate::error::{Effect, ErrorKind, ExecError};
use crate::postgres::auth::Login;
use crate::postgres::flight::InFlight;
use crate::postgres::frontend;
use crate::postgres::portals::Portal;
use crate::postgres::statements::Statements;
use crate::query::Statement;

pub use crate::wire::events::{
    Chunk, CopyFormat, Event, Fatal, Notice, Request, RowChunk, Summary,
};
pub use crate::wire::session::{Password, Shape};

#[derive(Clone, Debug)]
pub struct SessionConfig {
    pub user: String,
    pub database: String,
    pub application_name: Option<String>,
    /// How many statements stay prepared; 0: each is parsed anew.
    pub statement_cache: usize,
    /// Each query is one flight without a name, for poolers that change the server process between transactions.
    pub unnamed: bool,
    pub limits: Limits,
}

/// What a server may make us hold.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Length of a message that carries data: a row may hold 1 GiB.
    pub max_message: usize,
    /// Length of an error or a notice, whose texts applications write.
    pub max_report: usize,
    /// Length of every other message.
    pub max_backend_small: usize,
    /// Rounds of hashing that a SCRAM login may cost; more than 100,000 are never done.
    pub scram_iterations: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_message: (1 << 30) + (1 << 16),
            max_report: 1 << 24,
            max_backend_small: 1 << 20,
            scram_iterations: 100_000,
        }
    }
}

pub(super) enum Phase {
    /// Nothing has been sent.
    Created,
    Login(Login),
    /// The server knows who we are and tells about itself.
    Greeting,
    Open,
    /// We have said goodbye.
    Terminated,
}

pub struct Session {
    pub(super) config: SessionConfig,
    pub(super) out: Vec<u8>,
    /// The front of a message whose rest has not come.
    pub(super) partial: Vec<u8>,
    pub(super) phase: Phase,
    /// Why the session has ended.
    pub(super) dead: Option<ExecError>,
    pub(super) requests: VecDeque<InFlight>,
    pub(super) statements: Statements,
    pub(super) portals: Vec<Portal>,
    pub(super) parameters: BTreeMap<String, String>,
    pub(super) backend: Option<(i32, Box<[u8]>)>,
    pub(super) transaction: TxStatus,
    pub(super) next: u64,
}

impl Session {
    pub fn new(config: SessionConfig) -> Self {
        Self {
            out: Vec::new(),
            partial: Vec::new(),
            phase: Phase::Created,
            dead: None,
            requests: VecDeque::new(),
            statements: Statements::new(if config.unnamed {
                0
            } else {
                config.statement_cache
            }),
            portals: Vec::new(),
            parameters: BTreeMap::new(),
            backend: None,
            transaction: TxStatus::Unknown,
            next: 1,
            config,
        }
    }

    /// Queues the StartupMessage. `secure`: a password may be sent in clear (TLS, socket file).
    pub fn start(&mut self, password: Option<Password>, secure: bool) -> Result<(), ExecError> {
        if !matches!(self.phase, Phase::Created) {
            return Err(ExecError::new(ErrorKind::Internal, "started twice"));
        }
        let config = &self.config;
        let mut parameters = vec![
            ("user", config.user.as_str()),
            ("database", config.database.as_str()),
            ("client_encoding", "UTF8"),
            ("DateStyle", "ISO"),
            ("TimeZone", "UTC"),
        ];
        if let Some(name) = &config.application_name {
            parameters.push(("application_name", name));
        }
        for (name, value) in &parameters {
            frontend::text(value, name)?;
        }
        frontend::startup(&mut self.out, &parameters);
        self.phase = Phase::Login(Login::new(config.user.clone(), password, secure));
        Ok(())
    }

    /// From now on each query is one flight without a name: the server turned out to be behind a pooler.
    pub fn set_unnamed(&mut self) {
        self.config.unnamed = true;
        self.statements = Statements::new(0);
    }

    /// Bytes to send. The caller empties it, best by `clear` after sending: its memory serves again.
    pub fn output(&mut self) -> &mut Vec<u8> {
        &mut self.out
    }

    /// The statement is closed with the next flight and prepared anew when it is used again.
    pub fn forget(&mut self, statement: &Statement) {
        self.statements.forget(statement.id);
    }

    /// Says goodbye; nothing can be submitted any more.
    pub fn terminate(&mut self) {
        if !matches!(self.phase, Phase::Created | Phase::Terminated) {
            frontend::terminate(&mut self.out);
        }
        self.phase = Phase::Terminated;
    }

    /// The message that, on a connection of its own, stops what runs here.
    pub fn cancel_packet(&self) -> Option<Vec<u8>> {
        let (pid, key) = self.backend.as_ref()?;
        Some(frontend::cancel(*pid, key))
    }

    pub fn backend_pid(&self) -> Option<i32> {
        self.backend.as_ref().map(|(pid, _)| *pid)
    }

    /// A setting that the server reports (server_version, TimeZone, …).
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.get(name).map(String::as_str)
    }

    /// As of the last `Done`.
    pub fn transaction(&self) -> TxStatus {
        self.transaction
    }

    /// Requests that are not done.
    pub fn in_flight(&self) -> usize {
        self.requests.len()
    }

    /// The request that the server works on.
    pub fn head(&self) -> Option<Request> {
        self.requests.front().map(|flight| flight.request)
    }

    /// How many statements are prepared or being prepared.
    pub fn prepared(&self) -> usize {
        self.statements.len()
    }

    /// What the end of the server's bytes means now.
    pub fn end_of_file(&self) -> Fatal {
        if let Some(error) = &self.dead {
            return Fatal(error.clone());
        }
        let (kind, message) = match self.phase {
            Phase::Created | Phase::Login(_) | Phase::Greeting => (
                ErrorKind::Connect,
                "the server closed the connection during the login",
            ),
            Phase::Terminated => (ErrorKind::ConnectionLost, "the connection was closed"),
            Phase::Open if !self.partial.is_empty() => (
                ErrorKind::ConnectionLost,
                "the server closed the connection in the middle of a message",
            ),
            Phase::Open if self.requests.is_empty() => (
                ErrorKind::ConnectionLost,
                "the server closed the idle connection",
            ),
            Phase::Open => (
                ErrorKind::ConnectionLost,
                "the server closed the connection before it answered",
            ),
        };
        let mut error = ExecError::new(kind, message);
        if !self.requests.is_empty() {
            error.outcome = Effect::Unknown;
        }
        Fatal(error)
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("backend", &self.backend_pid())
            .field("in_flight", &self.requests.len())
            .field("transaction", &self.transaction)
            .finish_non_exhaustive()
    }
}
