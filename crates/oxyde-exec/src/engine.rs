//! The seam between what wants a database to do something and what talks to it.
//!
//! An [`Engine`] owns connections and the work on them. It is handed a [`Job`] for a connection that the pool
//! granted and answers exactly once with a [`Completion`], which carries what the *database* says about the
//! transaction and whether the connection lives. Nothing a caller can drop stops a job: cancelling sets the job's
//! [`CancelFlag`], the engine notices, and the completion still comes.

use std::fmt;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::cells::{Cells, Rows};
use crate::copy::CopySource;
use crate::error::ExecError;
use crate::query::{Query, RowReader};

/// Which kind of connection: SQLite files have one writer and many readers; everything else uses `Write` only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Lane {
    Write,
    Read,
}

/// Names a connection slot for as long as it is open. Never reused within a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnId {
    pub lane: Lane,
    pub number: u64,
}

/// An event loop; `ANY` for engines whose connections belong to no loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LoopId(pub u64);

impl LoopId {
    pub const ANY: Self = Self(0);
}

/// Work for one connection.
#[derive(Debug)]
pub struct Job {
    pub work: Work,
    pub cancel: Arc<CancelFlag>,
    /// The statement's own deadline: past it the work is stopped and answers `QueryTimeout`.
    pub deadline: Option<Instant>,
    /// How many dead connections it was given to before.
    pub tries: u8,
}

impl Job {
    pub fn new(work: Work) -> Self {
        Self {
            work,
            cancel: Arc::new(CancelFlag::new()),
            deadline: None,
            tries: 0,
        }
    }

    pub fn with_cancel(work: Work, cancel: Arc<CancelFlag>, deadline: Option<Instant>) -> Self {
        Self {
            work,
            cancel,
            deadline,
            tries: 0,
        }
    }
}

/// How a transaction starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BeginMode {
    /// Takes the write lock at once (SQLite: BEGIN IMMEDIATE on the writer).
    Write,
    /// Reads one snapshot (SQLite: a deferred BEGIN on a read-only connection).
    Read,
}

/// A transaction's characteristics; what is not given is the database's default.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Begin {
    pub mode: BeginMode,
    pub isolation: Option<Isolation>,
    pub deferrable: bool,
}

impl From<BeginMode> for Begin {
    fn from(mode: BeginMode) -> Self {
        Self {
            mode,
            isolation: None,
            deferrable: false,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Isolation {
    ReadUncommitted,
    ReadCommitted,
    RepeatableRead,
    Serializable,
}

/// Names a result that is read in pieces. Never reused in this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CursorId(pub u64);

impl CursorId {
    #[expect(clippy::new_without_default, reason = "each one is another")]
    pub fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

#[derive(Debug)]
pub enum Work {
    /// One statement. `names` asks for the column names (raw SQL); compiled statements know theirs.
    Statement {
        sql: Arc<str>,
        params: Cells,
        read_only: bool,
        names: bool,
    },
    /// One statement stepped once per row of `params` (row-major, `width` values each). Atomic by itself: its own
    /// transaction outside of one, a savepoint inside. `returning` collects the rows that the statement returns.
    Bulk {
        sql: Arc<str>,
        params: Cells,
        width: usize,
        returning: Returning,
    },
    /// Several statements, all or none.
    Script(Vec<String>),
    /// One statement in a server's own wire format.
    Query(Box<Query>),
    /// Runs a `Statement` or `Query` whose rows are read in pieces of up to `rows`; the answer is the first piece, which
    /// may be empty. The rest waits in the database until it is fetched or closed, or the transaction ends; a server
    /// keeps it in a transaction only.
    OpenCursor {
        cursor: CursorId,
        statement: Box<Work>,
        rows: u32,
    },
    /// The next piece; `reader` takes a server's rows.
    Fetch {
        cursor: CursorId,
        rows: u32,
        reader: Option<Box<dyn RowReader>>,
    },
    /// Drops what is left of a result. One that is not open is no error.
    CloseCursor(CursorId),
    /// The data of a COPY FROM STDIN; the count of rows comes back. Stopped before the end of the data, it stores nothing.
    CopyIn {
        sql: Arc<str>,
        from: Arc<dyn CopySource>,
    },
    /// The data of a COPY TO STDOUT; the count of rows comes back.
    CopyOut {
        sql: Arc<str>,
        to: Arc<dyn CopyReader>,
    },
    /// Answers with the server's version as the only value of the only row, and with what else a compiler wants to
    /// know about it as `names` ("icu": case mapping by ICU …).
    Version,
    Begin(Begin),
    Commit,
    Rollback,
    Savepoint(String),
    Release(String),
    RollbackTo(String),
    Ping,
    /// Puts a connection whose session state raw SQL may have changed back to the settings of the database.
    Reset,
}

impl Work {
    /// Work that ends or tidies a transaction: never refused or interrupted, or a transaction would stay open.
    pub fn is_final(&self) -> bool {
        matches!(self, Self::Commit | Self::Rollback | Self::Reset)
    }

    /// Work on a result that is read in pieces.
    pub fn is_for_cursor(&self) -> bool {
        matches!(
            self,
            Self::OpenCursor { .. } | Self::Fetch { .. } | Self::CloseCursor(_)
        )
    }

    /// Whether the session may be another one afterwards, as far as a server's statement says so.
    pub fn taints(&self) -> bool {
        matches!(self, Self::Query(query) if query.taints)
    }
}

/// What comes back from the rows of a [`Work::Bulk`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Returning {
    Nothing,
    /// The rows that the statement returns.
    Rows,
    /// The number of each inserted row as the only column, for a statement that returns nothing. `check` is a query
    /// that answers 1 if the row inserted last has that number as its key.
    RowNumbers {
        check: Arc<str>,
    },
}

/// What the database said about the connection's transaction after the job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TxStatus {
    Idle,
    InTransaction,
    /// In a transaction that accepts nothing but its end (PostgreSQL after an error).
    Failed,
    /// Not known: the connection is gone.
    Unknown,
}

/// The command tag, as far as anyone needs it: COMMIT of a failed PostgreSQL transaction answers ROLLBACK.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Tag {
    Commit,
    Rollback,
    #[default]
    Other,
}

#[derive(Clone, Debug, Default)]
pub struct Outcome {
    pub rows: Rows,
    pub affected: u64,
    pub last_insert_id: i64,
    pub tag: Tag,
    /// Column names, only when the statement asked for them.
    pub names: Vec<String>,
    /// The cursor has more rows, or may have.
    pub more: bool,
}

#[derive(Debug)]
pub struct Completion {
    pub result: Result<Outcome, ExecError>,
    pub tx: TxStatus,
    /// False: the connection is gone and its slot must be given back.
    pub alive: bool,
    /// Raw SQL may have changed session state: `Work::Reset` before the next borrower.
    pub tainted: bool,
    /// The connection was dead before the job had any effect: the job can be given to another one.
    pub unsent: Option<Box<Job>>,
}

impl Completion {
    pub fn ok(outcome: Outcome, tx: TxStatus) -> Self {
        Self {
            result: Ok(outcome),
            tx,
            alive: true,
            tainted: false,
            unsent: None,
        }
    }

    pub fn lost(error: ExecError) -> Self {
        Self {
            result: Err(error),
            tx: TxStatus::Unknown,
            alive: false,
            tainted: false,
            unsent: None,
        }
    }
}

/// Called exactly once, on whichever thread finished; must be quick and must not block.
pub type Done = Box<dyn FnOnce(Completion) + Send>;

/// The answer to a caller of `Database` or `Lease`; called exactly once, possibly on an engine's thread.
pub type Sink = Box<dyn FnOnce(Result<Outcome, ExecError>, TxStatus) + Send>;

#[derive(Clone, Debug)]
pub struct Caps {
    /// Connections belong to the event loop that opened them.
    pub loop_bound: bool,
    /// Exactly one connection holds all data (SQLite memory databases): never reaped, never replaced.
    pub single_connection: bool,
    /// Reads have connections of their own.
    pub read_lane: bool,
    /// Point look-ups and writes of single rows may run on the calling thread.
    pub inline: bool,
}

pub trait Engine: Send + Sync {
    fn caps(&self) -> &Caps;
    /// Opens a connection in `slot`; the completion's result is empty on success.
    fn open(&self, slot: ConnId, loop_id: LoopId, done: Done);
    /// Starts `job` on an open connection that runs nothing else.
    fn start(&self, conn: ConnId, job: Job, done: Done);
    /// Closes a connection that runs nothing; `done` when its resources are free.
    fn close(&self, conn: ConnId, loop_id: LoopId, done: Done);
    /// Interrupts everything that runs (except work that ends transactions), because the database closes.
    fn abort(&self);
    /// Stops the engine's threads at the next job boundary; returns at once. `done` after the last has let go.
    fn shutdown(&self, done: Box<dyn FnOnce() + Send>);
    /// Waits until all threads have ended, up to `deadline`; true if they have. Never call it on an engine thread.
    fn join(&self, deadline: Instant) -> bool;
    /// Before `fork`: hold all threads at a job boundary and let go of what a child must not inherit.
    fn pause(&self, deadline: Instant) -> Paused;
    /// After `fork`, in the parent: go on.
    fn resume(&self);
    /// Gives a read that may share a connection to one that is busy with such reads, of this loop; answers the job
    /// if there is none.
    fn append(&self, _loop_id: LoopId, job: Job, done: Done) -> Option<(Job, Done)> {
        Some((job, done))
    }
    /// Somebody keeps this connection and wants to hear what the server says unasked; `None`: nobody does any more.
    fn listen(&self, _conn: ConnId, _listener: Option<Arc<dyn Listener>>) {}
    /// Whether a pooler may give each transaction on this connection another session of the server.
    fn is_pooled(&self, _conn: ConnId) -> bool {
        false
    }
    /// `told` wants to hear of connections that died while nobody used them.
    fn watch_losses(&self, _told: Box<dyn Fn(ConnId) + Send + Sync>) {}
    /// When `expire` has something to do.
    fn next_deadline(&self) -> Option<Instant> {
        None
    }
    /// The pool has something to do at `at`, for the sake of this loop, and nobody is about to look.
    fn alarm(&self, _loop_id: LoopId, _at: Instant) {}
    /// Acts on what has run into its deadline, for engines that are driven by an event loop.
    fn expire(&self, _now: Instant) {}
    /// An event loop is gone: whatever belonged to it is closed without it.
    fn loop_closed(&self, _loop_id: LoopId) {}
}

/// Takes the data of a COPY TO STDOUT, on the thread of the connection's loop.
pub trait CopyReader: fmt::Debug + Send + Sync {
    /// The data begin. Nothing more is read after a `data` that answered false, until `go_on` is called on that thread.
    fn begin(&self, go_on: Box<dyn Fn() + Send + Sync>);
    /// Whether more can come at once.
    fn data(&self, bytes: &[u8]) -> bool;
}

/// Hears, on the thread of the connection's loop, what a server says unasked to a connection that somebody keeps.
pub trait Listener: Send + Sync {
    fn notified(&self, pid: i32, channel: String, payload: String);
    /// The connection was lost: nothing more will come.
    fn lost(&self, error: &ExecError);
}

/// What a child process may expect after a `fork`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paused {
    /// Nothing is inherited: the child can open the same database afresh.
    Fresh,
    /// A transaction is open, so its connection could not be closed: the child must not touch the database.
    InTransaction,
    /// The data are in the parent's memory.
    Memory,
    /// A thread did not stop in time: the child may have inherited any lock.
    Running,
}

/// Asks for a job to be stopped. Shared by the caller and the engine; a set flag is never cleared.
pub struct CancelFlag {
    reason: AtomicU8,
    /// Who wants to be told at once: an engine that does not look at the flag by itself.
    watcher: Mutex<Option<Arc<dyn Watcher>>>,
    /// The pool ticket the job waits on (0: none), so that a cancelled waiter leaves the queue at once.
    ticket: AtomicU64,
    /// How long the job has waited for its connection, in microseconds.
    waited: AtomicU64,
}

/// Is told, on any thread, that a flag was set.
pub trait Watcher: Send + Sync {
    fn flag_set(&self);
}

/// Why a job was asked to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CancelReason {
    Cancelled,
    Timeout,
    Closing,
}

impl CancelFlag {
    pub const fn new() -> Self {
        Self {
            reason: AtomicU8::new(0),
            watcher: Mutex::new(None),
            ticket: AtomicU64::new(0),
            waited: AtomicU64::new(0),
        }
    }

    /// Sets the flag; the first reason stays.
    pub fn set(&self, reason: CancelReason) {
        let code = match reason {
            CancelReason::Cancelled => 1,
            CancelReason::Timeout => 2,
            CancelReason::Closing => 3,
        };
        let first = self
            .reason
            .compare_exchange(0, code, Ordering::AcqRel, Ordering::Acquire)
            .is_ok();
        if first {
            let watcher = self.watched_by().take();
            if let Some(watcher) = watcher {
                watcher.flag_set();
            }
        }
    }

    /// `watcher` is told when the flag is set; the caller looks at the flag afterwards, it may have been set before.
    pub fn watch(&self, watcher: Arc<dyn Watcher>) {
        *self.watched_by() = Some(watcher);
    }

    /// The job has ended: nobody needs to be told.
    pub fn unwatch(&self) {
        *self.watched_by() = None;
    }

    fn watched_by(&self) -> MutexGuard<'_, Option<Arc<dyn Watcher>>> {
        self.watcher.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn cancel(&self) {
        self.set(CancelReason::Cancelled);
    }

    pub fn reason(&self) -> Option<CancelReason> {
        match self.reason.load(Ordering::Acquire) {
            0 => None,
            1 => Some(CancelReason::Cancelled),
            2 => Some(CancelReason::Timeout),
            _ => Some(CancelReason::Closing),
        }
    }

    pub fn is_set(&self) -> bool {
        self.reason.load(Ordering::Acquire) != 0
    }

    pub(crate) fn wait_on(&self, ticket: u64) {
        self.ticket.store(ticket, Ordering::Release);
    }

    pub(crate) fn ticket(&self) -> u64 {
        self.ticket.load(Ordering::Acquire)
    }

    pub(crate) fn has_waited(&self, wait: Duration) {
        let micros = u64::try_from(wait.as_micros()).unwrap_or(u64::MAX);
        self.waited.store(micros, Ordering::Release);
    }

    /// How long the job has waited for its connection, once it has one.
    pub fn waited(&self) -> Duration {
        Duration::from_micros(self.waited.load(Ordering::Acquire))
    }
}

impl Default for CancelFlag {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for CancelFlag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("CancelFlag").field(&self.reason()).finish()
    }
}

/// How many acquires waited how long: counters with fixed bounds, so that counting one is an addition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waits {
    /// Those that waited no longer than the bound of the same place, and longer than the one before it; the last
    /// counter is for those beyond all bounds.
    pub counts: [u64; Self::BOUNDS.len() + 1],
    pub total: Duration,
}

impl Waits {
    /// In milliseconds.
    pub const BOUNDS: [u64; 10] = [1, 5, 10, 50, 100, 500, 1_000, 5_000, 10_000, 30_000];

    pub fn add(&mut self, wait: Duration) {
        let place = Self::BOUNDS
            .iter()
            .position(|bound| wait <= Duration::from_millis(*bound))
            .unwrap_or(Self::BOUNDS.len());
        if let Some(count) = self.counts.get_mut(place) {
            *count += 1;
        }
        self.total = self.total.saturating_add(wait);
    }

    pub fn merge(&mut self, other: &Self) {
        for (count, more) in self.counts.iter_mut().zip(other.counts) {
            *count += more;
        }
        self.total = self.total.saturating_add(other.total);
    }
}

/// Where in the program a connection was taken: the user's file and line, for messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    pub file: Arc<str>,
    pub line: u32,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// Numbers for `AsyncDatabase.stats()`, summed over the lanes of a database.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Open connections and those being opened or closed.
    pub size: usize,
    pub idle: usize,
    pub in_use: usize,
    pub waiting: usize,
    /// Connections granted since the start.
    pub acquired: u64,
    /// Acquires that ran into their deadline.
    pub timeouts: u64,
    /// Connections that died in use or could not be opened.
    pub lost: u64,
    /// How long the connection that has been held longest is in use.
    pub longest_hold: Option<Duration>,
    /// Where the transaction that holds it was begun, or asked for as a connection to keep, if it is one of these.
    pub longest_holder: Option<Origin>,
    pub max_connections: usize,
    /// How long those had to wait that were granted a connection.
    pub waits: Waits,
}
