//! `Database`: what callers hold.
//!
//! A thin handle over [`Core`] (pools and engine). After a fork the handle goes on with a successor of the core, see
//! `registry`; everything else happens in `core` and `lease`.

use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use crate::core::Core;
use crate::engine::{
    Begin, CancelFlag, CancelReason, Caps, Engine, Job, Lane, Listener, LoopId, Origin, Outcome,
    Paused, Sink, Stats, TxStatus, Work,
};
use crate::error::{ErrorKind, ExecError};
use crate::lease::Lease;
use crate::pin::Pin;
use crate::pool::PoolConfig;
use crate::registry;
use crate::sqlite::config::{Checked, SqliteConfig};
use crate::sqlite::engine::SqliteEngine;
use crate::sqlite::inline::InlineGuard;
use crate::sqlite::inline_write::InlineWriteGuard;
use crate::waiter::{Waiter, answer};

pub struct Database {
    name: String,
    path: Option<PathBuf>,
    make: Factory,
    link: Link,
}

/// Makes an engine with its pools' settings: for the start and once per fork.
type Factory = Box<dyn Fn() -> Parts + Send + Sync>;

/// An engine and how its connections are pooled.
pub struct Parts {
    pub engine: Arc<dyn Engine>,
    pub write: PoolConfig,
    /// `None`: reads share the connections of the writes.
    pub read: Option<PoolConfig>,
    sqlite: Option<Arc<SqliteEngine>>,
}

impl Parts {
    pub fn new(engine: Arc<dyn Engine>, write: PoolConfig, read: Option<PoolConfig>) -> Self {
        Self {
            engine,
            write,
            read,
            sqlite: None,
        }
    }
}

/// One process's part of a database; the next one is for the child of a fork.
struct Link {
    core: Arc<Core>,
    sqlite: Option<Arc<SqliteEngine>>,
    /// Why a child must not use it; a [`Paused`] as a number.
    state: AtomicU8,
    next: OnceLock<Box<Link>>,
}

impl Link {
    fn new(generation: u64, name: &str, parts: Parts) -> Self {
        let Parts {
            engine,
            write,
            read,
            sqlite,
        } = parts;
        let core = Core::new(generation, name.to_owned(), engine, write, read);
        Self {
            core,
            sqlite,
            state: AtomicU8::new(0),
            next: OnceLock::new(),
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        if registry::is_foreign(self.core.generation) {
            // Not ours to close, nor to look into.
            std::mem::forget(Arc::clone(&self.core));
            std::mem::forget(self.sqlite.clone());
        }
    }
}

impl Database {
    /// Nothing is opened before the first use.
    pub fn sqlite(config: SqliteConfig) -> Result<Arc<Self>, ExecError> {
        let mut checked = config.check()?;
        if let Some(path) = &mut checked.config.path {
            // A relative path means the directory of now, not of the moment of the first use.
            *path = std::path::absolute(&*path).map_err(|error| {
                ExecError::new(
                    ErrorKind::Connect,
                    format!("the path {} cannot be used: {error}", path.display()),
                )
            })?;
        }
        let name = checked.config.name.clone();
        let path = checked.config.path.clone();
        Ok(Self::with_path(
            name,
            path,
            Box::new(move || sqlite_parts(&checked)),
        ))
    }

    /// A database behind any engine; `make` is called now and once per fork.
    pub fn with_engine(
        name: impl Into<String>,
        make: impl Fn() -> Parts + Send + Sync + 'static,
    ) -> Arc<Self> {
        Self::with_path(name.into(), None, Box::new(make))
    }

    fn with_path(name: String, path: Option<PathBuf>, make: Factory) -> Arc<Self> {
        let link = Link::new(registry::generation(), &name, make());
        let database = Arc::new(Self {
            name,
            path,
            make,
            link,
        });
        registry::register(&database);
        database
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn caps(&self) -> &Caps {
        self.link().core.engine.caps()
    }

    /// Opens the first connection; the outcome's only value is the server's version as text.
    pub fn connect(self: &Arc<Self>, loop_id: LoopId, sink: Sink) {
        self.run_on(loop_id, Job::new(Work::Version), None, sink);
    }

    /// Autocommit: waits for a connection, runs, gives it back. A read-only statement goes to a reader.
    pub fn run(self: &Arc<Self>, job: Job, acquire_deadline: Option<Instant>, sink: Sink) {
        self.run_on(LoopId::ANY, job, acquire_deadline, sink);
    }

    /// `run` for engines whose connections belong to event loops.
    pub fn run_on(
        self: &Arc<Self>,
        loop_id: LoopId,
        job: Job,
        acquire_deadline: Option<Instant>,
        sink: Sink,
    ) {
        let link = match self.usable() {
            Ok(link) => link,
            Err(error) => return answer(sink, Err(error), TxStatus::Unknown),
        };
        let (job, sink) = match &job.work {
            Work::Query(query) if query.pure_read => match link.core.share(loop_id, job, sink) {
                Some(back) => back,
                None => return,
            },
            _ => (job, sink),
        };
        let lane = match &job.work {
            Work::Statement {
                read_only: true, ..
            } => Lane::Read,
            Work::Statement { .. }
            | Work::Bulk { .. }
            | Work::Script(_)
            | Work::Query(_)
            | Work::CopyIn { .. }
            | Work::CopyOut { .. }
            | Work::Version
            | Work::Ping => Lane::Write,
            // It is always the same connection.
            work if work.is_for_cursor() && self.caps().single_connection => Lane::Write,
            _ => {
                let error =
                    ExecError::new(ErrorKind::Internal, "transaction control needs a lease");
                return answer(sink, Err(error), TxStatus::Unknown);
            }
        };
        link.core.submit(
            lane,
            loop_id,
            acquire_deadline,
            Waiter::Run { job, loop_id, sink },
        );
    }

    /// Asks for a job to be stopped. If it waits for a connection it answers at once, else the engine stops it and
    /// answers; in a lease's queue it answers when its turn comes.
    pub fn cancel(&self, flag: &CancelFlag) {
        flag.set(CancelReason::Cancelled);
        self.link().core.cancel_waiting(flag);
    }

    /// The right to run point look-ups on the calling thread. Never blocks, so it may be asked for with Python's
    /// lock held; `None`: use `run`.
    pub fn inline_lock(&self) -> Option<InlineGuard<'_>> {
        self.link().sqlite.as_deref()?.inline()?.try_take()
    }

    /// The right to run one single-row write on the calling thread, outside of any transaction. Never blocks, like
    /// `inline_lock`. `None`: use `run`.
    pub fn inline_write_lock(&self) -> Option<InlineWriteGuard<'_>> {
        let link = self.link();
        let engine = link.sqlite.as_deref()?;
        let core = &link.core;
        core.try_lend(Lane::Write, |id| {
            let (conn, pass) = engine.try_lend(id)?;
            Some(InlineWriteGuard::new(core, engine, id, conn, pass))
        })
    }

    /// A transaction; nothing happens before its `begin`.
    pub fn lease(self: &Arc<Self>, begin: impl Into<Begin>) -> Arc<Lease> {
        self.lease_from(begin, None)
    }

    /// The same; `origin` is where in the program it is begun.
    pub fn lease_from(
        self: &Arc<Self>,
        begin: impl Into<Begin>,
        origin: Option<Origin>,
    ) -> Arc<Lease> {
        Lease::new(Arc::clone(&self.link().core), begin.into(), origin)
    }

    /// A connection to keep; nothing happens before its `open`. `origin` is where in the program it is asked for.
    pub fn pin(self: &Arc<Self>, listener: Arc<dyn Listener>, origin: Option<Origin>) -> Arc<Pin> {
        Pin::new(Arc::clone(&self.link().core), listener, origin)
    }

    /// When `expire` has something to do; may come earlier or later after any call.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.link().core.next_deadline()
    }

    /// Deadlines of waiting callers and of transactions, idle connections, back-off, the end of `close`'s patience.
    pub fn expire(&self, now: Instant) {
        self.link().core.expire(now);
    }

    pub fn stats(&self) -> Stats {
        self.link().core.stats()
    }

    /// Refuses those who wait, lets running work and open transactions end until `deadline` (`None`: as long as they
    /// take), then stops them and rolls back, closes all connections and ends the threads.
    pub fn close(self: &Arc<Self>, deadline: Option<Instant>, sink: Sink) {
        self.link().core.close(deadline, Some(self.kept(sink)));
    }

    /// Nobody can ask for anything any more: what runs ends, then all connections are closed. Nothing happens if it is
    /// closed already.
    pub fn forsake(self: &Arc<Self>) {
        let mut link = &self.link;
        while link.core.generation < registry::generation() {
            let Some(next) = link.next.get() else { return };
            link = next;
        }
        if !link.core.is_closing() {
            link.core.close(None, Some(self.kept(Box::new(|_, _| ()))));
        }
    }

    /// Deadlines are looked at for as long as somebody knows the database: until all is closed, that is `sink`.
    fn kept(self: &Arc<Self>, sink: Sink) -> Sink {
        let database = Arc::clone(self);
        Box::new(move |result, status| {
            drop(database);
            sink(result, status);
        })
    }

    pub fn is_closed(&self) -> bool {
        self.link().core.is_closing()
    }

    /// After `close`: waits for the threads to end; true if they have by `deadline`.
    pub fn join(&self, deadline: Instant) -> bool {
        self.link().core.engine.join(deadline)
    }

    /// An event loop is gone: its connections' permits are free at once.
    pub fn loop_closed(&self, loop_id: LoopId) {
        self.link().core.loop_closed(loop_id);
    }

    pub(crate) fn path(&self) -> Option<&PathBuf> {
        self.path.as_ref()
    }

    pub(crate) fn pause(&self, deadline: Instant) -> Paused {
        self.link().core.engine.pause(deadline)
    }

    pub(crate) fn resume(&self) {
        self.link().core.engine.resume();
    }

    pub(crate) fn prepare_successor(&self, state: Paused) {
        let code = match state {
            Paused::Fresh => 0,
            Paused::InTransaction => 1,
            Paused::Memory => 2,
            Paused::Running => 3,
        };
        self.successor(self.link())
            .state
            .store(code, Ordering::Release);
    }

    /// At process exit: like `close` without any patience.
    pub(crate) fn stop(&self) {
        self.link().core.close(Some(Instant::now()), None);
    }

    pub(crate) fn finish(&self, deadline: Instant) -> bool {
        let core = &self.link().core;
        while !core.is_stopping() && Instant::now() < deadline {
            thread::sleep(Duration::from_micros(500));
        }
        // Whatever could not be drained is left behind.
        core.engine.shutdown(Box::new(|| ()));
        core.engine.join(deadline)
    }

    fn link(&self) -> &Link {
        let mut link = &self.link;
        while link.core.generation < registry::generation() {
            link = self.successor(link);
        }
        link
    }

    fn successor<'a>(&self, link: &'a Link) -> &'a Link {
        link.next.get_or_init(|| {
            Box::new(Link::new(
                link.core.generation.saturating_add(1),
                &self.name,
                (self.make)(),
            ))
        })
    }

    fn usable(&self) -> Result<&Link, ExecError> {
        let link = self.link();
        let why = match link.state.load(Ordering::Acquire) {
            0 => return Ok(link),
            1 => "a transaction was open in the parent process at the fork",
            2 => "its data are in the memory of the parent process",
            _ => "the parent process was forked while a statement was running",
        };
        Err(ExecError::new(
            ErrorKind::Closed,
            format!(
                "database {:?} cannot be used in this child process: {why}",
                self.name
            ),
        )
        .with_hint("connect in the child, or use the start method \"spawn\" or \"forkserver\""))
    }
}

fn sqlite_parts(checked: &Checked) -> Parts {
    let config = &checked.config;
    let engine = Arc::new(SqliteEngine::new(checked.clone()));
    // One writer, kept for good: SQLite allows no second one, and a memory database lives in it.
    let write = PoolConfig {
        max_connections: 1,
        min_connections: usize::from(config.path.is_some()),
        max_waiting: config.max_waiting,
        idle_timeout: None,
        max_lifetime: None,
    };
    let read = config.path.is_some().then(|| PoolConfig {
        max_connections: config.max_connections,
        min_connections: config
            .min_connections
            .min(config.max_connections)
            .saturating_sub(1),
        max_waiting: config.max_waiting,
        idle_timeout: config.idle_timeout,
        max_lifetime: config.max_lifetime,
    });
    Parts {
        engine: Arc::clone(&engine) as Arc<dyn Engine>,
        write,
        read,
        sqlite: Some(engine),
    }
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Database")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parts")
            .field("write", &self.write)
            .field("read", &self.read)
            .finish_non_exhaustive()
    }
}

/// Runs `call` with a sink and waits for its answer: for tests and tools without an event loop.
pub fn wait(call: impl FnOnce(Sink)) -> (Result<Outcome, ExecError>, TxStatus) {
    let (sender, receiver) = crossbeam_channel::bounded(1);
    call(Box::new(move |result, tx| {
        let _ = sender.send((result, tx));
    }));
    receiver.recv().unwrap_or_else(|_| {
        (
            Err(ExecError::new(
                ErrorKind::Internal,
                "the call was dropped without an answer",
            )),
            TxStatus::Unknown,
        )
    })
}
