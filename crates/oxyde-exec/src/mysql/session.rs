//! The protocol of one connection, without I/O: requests and the server's bytes in, events and bytes to send out.
//!
//! Requests are answered in order and each ends with exactly one [`Event::Done`], also one that fails. Submitting a
//! request before the last one is done pipelines it, except behind one that is still being prepared
//! ([`Session::can_follow`]): the server's number of a statement is needed to run it. Bytes to send collect in
//! [`Session::output`]; both submitting and [`Session::next`] may add to it.
//!
//! ```text
//! query, known statement   [CLOSE…] EXECUTE
//! query, new statement     [CLOSE…] PREPARE → EXECUTE [CLOSE]      (one that is not kept is closed at once)
//!   that is no such        [CLOSE…] PREPARE → error 1295 → QUERY   (its rows are texts)
//! describe                 [CLOSE…] PREPARE → Described → EXECUTE, or only PING
//! cursor                   [CLOSE…] PREPARE → EXECUTE, then FETCH as often as wanted
//! simple                   [CLOSE…] QUERY
//! after an error           PING, if the error may have changed the transaction: only OK tells its state
//! ```
//! A [`Fatal`] ends the session: the server's bytes make no sense, or it said goodbye. Whatever bytes come, nothing
//! here panics, waits or takes more memory than what the server really sent.

use std::collections::VecDeque;
use std::fmt;

use crate::engine::TxStatus;
use crate::error::{Effect, ErrorKind, ExecError};
use crate::mysql::auth::Login;
use crate::mysql::backend::Status;
use crate::mysql::cursors::Cursor;
use crate::mysql::flight::InFlight;
use crate::mysql::framing::Partial;
use crate::mysql::frontend;
use crate::mysql::greeting::{Capabilities, Greeting, Introduction};
use crate::mysql::statements::Statements;
use crate::query::Statement;

pub use crate::wire::events::{Chunk, Event, Fatal, Request, RowChunk, Summary};
pub use crate::wire::session::{Line, Password};

#[derive(Clone, Debug)]
pub struct SessionConfig {
    pub user: String,
    /// `None`: no database is current.
    pub database: Option<String>,
    /// Shown in performance_schema as `program_name`.
    pub application_name: Option<String>,
    /// How many statements stay prepared; 0: each is closed once it has run.
    pub statement_cache: usize,
    pub limits: Limits,
}

/// What a server may make us hold.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Length of a row: max_allowed_packet is 1 GiB at the most.
    pub max_row: usize,
    /// Length of every other packet.
    pub max_packet: usize,
    /// Length of all definitions of one result's columns.
    pub max_definitions: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_row: (1 << 30) + (1 << 16),
            max_packet: 1 << 20,
            max_definitions: 1 << 24,
        }
    }
}

pub(super) enum Phase {
    /// Nothing has been sent.
    Created,
    Login(Login),
    Open,
    /// We have said goodbye.
    Terminated,
}

/// What the server said of itself.
#[derive(Debug)]
struct Server {
    version: String,
    thread: u32,
    is_mariadb: bool,
}

pub struct Session {
    pub(super) config: SessionConfig,
    pub(super) out: Vec<u8>,
    /// The front of a packet or a row whose rest has not come.
    pub(super) partial: Partial,
    pub(super) phase: Phase,
    /// Why the session has ended.
    pub(super) dead: Option<ExecError>,
    pub(super) requests: VecDeque<InFlight>,
    pub(super) statements: Statements,
    pub(super) cursors: Vec<Cursor>,
    server: Option<Server>,
    pub(super) capabilities: Capabilities,
    /// The longest command that the server takes.
    pub(super) longest: usize,
    pub(super) transaction: TxStatus,
    pub(super) autocommit: bool,
    /// The head is over and left this behind: its `Done` comes next.
    pub(super) finished: Option<TxStatus>,
    pub(super) warnings: u16,
    pub(super) next: u64,
}

impl Session {
    pub fn new(config: SessionConfig) -> Self {
        Self {
            out: Vec::new(),
            partial: Partial::default(),
            phase: Phase::Created,
            dead: None,
            requests: VecDeque::new(),
            statements: Statements::new(config.statement_cache),
            cursors: Vec::new(),
            server: None,
            capabilities: Capabilities(0),
            longest: frontend::LONGEST,
            transaction: TxStatus::Unknown,
            autocommit: true,
            finished: None,
            warnings: 0,
            next: 1,
            config,
        }
    }

    /// What asks a server that has said `greeting` for TLS, before the session starts; `None`: it has none.
    pub fn tls_request(&self, greeting: &[u8]) -> Result<Option<Vec<u8>>, ExecError> {
        let greeting = Greeting::read(greeting)?;
        let request = greeting.tls_request(self.config.database.is_some());
        Ok(request.map(|payload| {
            let mut out = Vec::with_capacity(64);
            frontend::packet(&mut out, 1, &payload);
            out
        }))
    }

    /// Answers `greeting`, the payload of the server's first packet. With TLS an SSLRequest has been sent in between,
    /// so that our packet has another number.
    pub fn start(
        &mut self,
        password: Option<Password>,
        line: Line,
        greeting: &[u8],
    ) -> Result<(), ExecError> {
        let encrypted = line == Line::Tls;
        if !matches!(self.phase, Phase::Created) {
            return Err(ExecError::new(ErrorKind::Internal, "started twice"));
        }
        let config = &self.config;
        let database = config.database.as_deref();
        let program = config.application_name.as_deref();
        frontend::name(&config.user, "the user's name")?;
        frontend::name(database.unwrap_or_default(), "the database's name")?;
        frontend::name(program.unwrap_or_default(), "the application's name")?;
        let greeting = Greeting::read(greeting)?;
        self.capabilities = greeting.agreed(encrypted, database.is_some());
        self.server = Some(Server {
            is_mariadb: greeting.is_mariadb(),
            version: greeting.version,
            thread: greeting.thread,
        });
        let login = Login::new(password, line, &greeting.plugin, greeting.nonce);
        let (mut login, answer) = login?;
        let introduction = Introduction {
            capabilities: self.capabilities,
            user: &config.user,
            database,
            plugin: login.plugin(),
            answer: &answer,
            program,
        };
        let number = if encrypted { 2 } else { 1 };
        login.number = number + 1;
        frontend::packet(&mut self.out, number, &introduction.payload());
        self.phase = Phase::Login(login);
        Ok(())
    }

    /// The server's max_allowed_packet: longer commands are refused before they are sent, because a server may close
    /// the connection over one.
    pub fn set_max_packet(&mut self, bytes: usize) {
        self.longest = bytes.clamp(1024, frontend::LONGEST);
    }

    /// Bytes to send. The caller empties it, best by `clear` after sending: its memory serves again.
    pub fn output(&mut self) -> &mut Vec<u8> {
        &mut self.out
    }

    /// The statement is closed with the next command and prepared anew when it is used again.
    pub fn forget(&mut self, statement: &Statement) {
        self.statements.forget(statement.id);
    }

    /// From now on nothing stays prepared: the server turned out to be behind a pooler.
    pub fn set_unnamed(&mut self) {
        self.statements.close_all();
    }

    /// Says goodbye; nothing can be submitted any more.
    pub fn terminate(&mut self) {
        if matches!(self.phase, Phase::Open) {
            self.out.extend_from_slice(frontend::GOODBYE);
        }
        self.phase = Phase::Terminated;
    }

    /// The statement that, on a connection of its own, stops what runs here.
    pub fn cancel_sql(&self) -> Option<String> {
        let thread = self.thread_id()?;
        Some(format!("KILL QUERY {thread}"))
    }

    /// The server's number of this connection.
    pub fn thread_id(&self) -> Option<u32> {
        self.server.as_ref().map(|server| server.thread)
    }

    /// What the server calls itself; something between here and there may have said it in its place.
    pub fn server_version(&self) -> Option<&str> {
        self.server.as_ref().map(|server| server.version.as_str())
    }

    /// `server_version`; there are no others.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.server_version().filter(|_| name == "server_version")
    }

    pub fn is_mariadb(&self) -> bool {
        self.server.as_ref().is_some_and(|server| server.is_mariadb)
    }

    /// As of the last `Done`.
    pub fn transaction(&self) -> TxStatus {
        self.transaction
    }

    /// How many warnings the statement of the last `Completed` left behind, for SHOW WARNINGS.
    pub fn warnings(&self) -> u16 {
        self.warnings
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

    /// What an OK says of the transaction.
    pub(super) fn learn(&mut self, status: Status) -> TxStatus {
        self.autocommit = status.autocommit();
        if status.in_transaction() {
            TxStatus::InTransaction
        } else {
            TxStatus::Idle
        }
    }

    /// What the end of the server's bytes means now.
    pub fn end_of_file(&self) -> Fatal {
        if let Some(error) = &self.dead {
            return Fatal(error.clone());
        }
        let (kind, message) = match self.phase {
            Phase::Created | Phase::Login(_) => (
                ErrorKind::Connect,
                "the server closed the connection during the login",
            ),
            Phase::Terminated => (ErrorKind::ConnectionLost, "the connection was closed"),
            Phase::Open if !self.partial.is_empty() => (
                ErrorKind::ConnectionLost,
                "the server closed the connection in the middle of a packet",
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
            .field("thread", &self.thread_id())
            .field("in_flight", &self.requests.len())
            .field("transaction", &self.transaction)
            .finish_non_exhaustive()
    }
}
