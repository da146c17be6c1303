//! What one kind of server wants of its links.

use std::collections::VecDeque;
use std::time::Duration;

use crate::engine::Begin;
use crate::error::ExecError;
use crate::query::RawRows;
use crate::wire::link::Attributes;
use crate::wire::session::Session;

/// What differs between the servers beside their protocols, and what a database object was told about its server.
pub trait Server: Send + Sync {
    /// For messages.
    fn name(&self) -> &'static str;

    fn rules(&self) -> Rules;

    /// The protocol of a new connection.
    fn session(&self) -> Box<dyn Session>;

    /// What a new connection is asked after the login, all at once.
    fn questions(&self) -> Vec<String>;

    /// The values of rows that answer a text.
    fn texts(&self, rows: RawRows<'_>) -> Vec<Option<String>>;

    /// What to make of the answers: the values of all rows, one behind the other.
    fn judge(
        &self,
        session: &mut dyn Session,
        answers: &[Option<String>],
    ) -> Result<Verdict, ExecError>;

    /// What tells, as the only value, which of several servers at one address has answered; `None`: that does not
    /// matter.
    fn place(&self) -> Option<String> {
        None
    }

    /// What every new connection runs, in this order.
    fn settings(&self, peer: &Peer) -> VecDeque<String>;

    /// Why a server like this one cannot be worked with.
    fn refusal(&self, facts: &Facts) -> Option<ExecError>;

    fn begin(&self, begin: Begin, peer: &Peer) -> Result<Plan, ExecError>;

    fn script(&self, statements: Vec<String>) -> Plan;

    /// Puts a connection whose state raw SQL may have changed back to the settings of the database. An error: that
    /// cannot be done.
    fn reset(&self, peer: &Peer) -> Result<Plan, ExecError>;

    /// What ends the cancelling of a statement: nothing that was to stop it can hit anything behind this.
    fn settling(&self) -> Plain {
        Plain::Sync
    }

    /// Whether `sql`, in a transaction, might end that and begin another one without anybody noticing, so that a
    /// savepoint is put around it.
    fn guards(&self, _sql: &str) -> bool {
        false
    }

    /// Whether `sql` may look as if it had succeeded when it was stopped.
    fn may_end_early(&self, _sql: &str) -> bool {
        false
    }

    /// Whether a session may be another one after `sql`.
    fn taints(&self, sql: &str) -> bool;

    /// Whether a statement ended in this way because it was to be stopped.
    fn is_cancelled(&self, error: &ExecError) -> bool;

    /// Whether a statement that was kept prepared may have failed because what it was parsed against has changed.
    fn is_outdated(&self, error: &ExecError) -> bool;

    /// The bytes that say goodbye at any time.
    fn goodbye(&self) -> &'static [u8];
}

/// What holds for all connections of a database object.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    pub commit_timeout: Option<Duration>,
    /// How long a cancelled or closing connection may take to become usable or to say goodbye.
    pub drain_budget: Duration,
    /// A connection that was idle answers once before it gets a statement.
    pub test_before_acquire: bool,
    /// Reads may be put behind others on a busy connection.
    pub pipelining: bool,
}

/// What a server is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    pub version: String,
    /// What else a compiler wants to know.
    pub names: Vec<String>,
}

/// What came of the questions.
#[derive(Clone, Debug)]
pub struct Verdict {
    pub attributes: Attributes,
    pub facts: Facts,
    pub peer: Peer,
}

/// Who is at the other end of a connection.
#[derive(Clone, Debug, Default)]
pub struct Peer {
    /// Another party decides which of the server's sessions serves us.
    pub pooled: bool,
    pub is_mariadb: bool,
    /// See [`Server::place`].
    pub place: Option<String>,
    /// The roles of a new session, as the server names them.
    pub roles: Option<String>,
}

/// One request without parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Plain {
    Text(String),
    /// [`Session::sync`].
    Sync,
    /// [`Session::reset`].
    Reset,
}

impl Plain {
    pub(super) fn submit(&self, session: &mut dyn Session) -> Result<(), ExecError> {
        match self {
            Self::Text(sql) => session.simple(sql),
            Self::Sync => session.sync(),
            Self::Reset => session.reset(),
        }
        .map(drop)
    }
}

/// The requests that make up one job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    pub requests: VecDeque<Plain>,
    /// All are sent at once; else each waits for the one before it, and an error ends them.
    pub at_once: bool,
}

impl Plan {
    pub fn one(sql: impl Into<String>) -> Self {
        Self {
            requests: VecDeque::from([Plain::Text(sql.into())]),
            at_once: false,
        }
    }
}
