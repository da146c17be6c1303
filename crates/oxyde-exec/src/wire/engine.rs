//! The engine: which links there are.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::cells::{Cells, Rows};
use crate::engine::{
    Caps, Completion, ConnId, Done, Engine, Job, Listener, LoopId, Outcome, Paused,
};
use crate::error::{ErrorKind, ExecError};
use crate::wire::driver::Driver;
use crate::wire::link::Link;
use crate::wire::server::{Facts, Rules, Server};

pub struct WireEngine {
    caps: Caps,
    shared: Arc<Shared>,
}

type Told = Arc<dyn Fn(ConnId) + Send + Sync>;

/// What every link of an engine knows.
pub(super) struct Shared {
    pub(super) server: Arc<dyn Server>,
    pub(super) rules: Rules,
    pub(super) driver: Arc<dyn Driver>,
    links: Mutex<HashMap<ConnId, Arc<Link>>>,
    facts: Mutex<Option<Facts>>,
    losses: Mutex<Option<Told>>,
    /// Whether any link ever had a deadline: without one nobody needs to look.
    alarmed: AtomicBool,
}

impl Shared {
    fn links(&self) -> MutexGuard<'_, HashMap<ConnId, Arc<Link>>> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn facts(&self) -> MutexGuard<'_, Option<Facts>> {
        self.facts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn learn(&self, facts: Facts) {
        *self.facts() = Some(facts);
    }

    /// What `Work::Version` answers.
    pub(super) fn version(&self) -> Outcome {
        let facts = self.facts();
        let mut cells = Cells::new();
        match &*facts {
            Some(facts) => cells.push_text(&facts.version),
            None => cells.push_null(),
        }
        Outcome {
            rows: Rows { cells, width: 1 },
            names: facts
                .as_ref()
                .map(|facts| facts.names.clone())
                .unwrap_or_default(),
            ..Outcome::default()
        }
    }

    pub(super) fn refusal(&self) -> Option<ExecError> {
        let facts = self.facts().clone()?;
        self.server.refusal(&facts)
    }

    pub(super) fn forget(&self, id: ConnId) {
        self.links().remove(&id);
    }

    pub(super) fn tell_lost(&self, id: ConnId) {
        let told = self
            .losses
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        if let Some(told) = told {
            told(id);
        }
    }

    pub(super) fn alarm(&self, loop_id: LoopId, at: Instant) {
        self.alarmed.store(true, Ordering::Release);
        self.driver.alarm(loop_id, at);
    }

    fn all(&self) -> Vec<Arc<Link>> {
        self.links().values().cloned().collect()
    }
}

impl WireEngine {
    pub fn new(server: Arc<dyn Server>, driver: Arc<dyn Driver>) -> Arc<Self> {
        Arc::new(Self {
            caps: Caps {
                loop_bound: true,
                single_connection: false,
                read_lane: false,
                inline: false,
            },
            shared: Arc::new(Shared {
                rules: server.rules(),
                server,
                driver,
                links: Mutex::new(HashMap::new()),
                facts: Mutex::new(None),
                losses: Mutex::new(None),
                alarmed: AtomicBool::new(false),
            }),
        })
    }

    fn link(&self, conn: ConnId) -> Option<Arc<Link>> {
        self.shared.links().get(&conn).cloned()
    }
}

impl Engine for WireEngine {
    fn caps(&self) -> &Caps {
        &self.caps
    }

    fn open(&self, slot: ConnId, loop_id: LoopId, done: Done) {
        let link = Link::new(slot, loop_id, Arc::clone(&self.shared), done);
        self.shared.links().insert(slot, Arc::clone(&link));
        self.shared.driver.open(link);
    }

    fn start(&self, conn: ConnId, job: Job, done: Done) {
        match self.link(conn) {
            Some(link) => link.submit(job, done),
            None => Link::nowhere(job, done),
        }
    }

    /// The least busy of those that take it.
    fn append(&self, loop_id: LoopId, job: Job, done: Done) -> Option<(Job, Done)> {
        if !self.shared.rules.pipelining {
            return Some((job, done));
        }
        let best = {
            let links = self.shared.links();
            let rooms = links
                .values()
                .filter(|link| link.loop_id == loop_id)
                .filter_map(|link| Some((link.followers(&job)?, link)));
            rooms
                .min_by_key(|(followers, _)| *followers)
                .map(|(_, link)| Arc::clone(link))
        };
        match best {
            Some(link) => {
                link.submit(job, done);
                None
            }
            None => Some((job, done)),
        }
    }

    fn listen(&self, conn: ConnId, listener: Option<Arc<dyn Listener>>) {
        if let Some(link) = self.link(conn) {
            link.listen(listener);
        }
    }

    fn is_pooled(&self, conn: ConnId) -> bool {
        self.link(conn).is_some_and(|link| link.is_pooled())
    }

    fn close(&self, conn: ConnId, _loop_id: LoopId, done: Done) {
        match self.link(conn) {
            Some(link) => link.shut(done),
            None => done(Completion::lost(ExecError::new(
                ErrorKind::Closed,
                "the connection is closed",
            ))),
        }
    }

    fn abort(&self) {
        for link in self.shared.all() {
            link.interrupt();
        }
    }

    /// There are no threads, and all connections are closed by now.
    fn shutdown(&self, done: Box<dyn FnOnce() + Send>) {
        done();
    }

    fn join(&self, _deadline: Instant) -> bool {
        true
    }

    /// A child has sockets of its own: it never touches those that it inherited.
    fn pause(&self, _deadline: Instant) -> Paused {
        Paused::Fresh
    }

    fn resume(&self) {}

    fn watch_losses(&self, told: Box<dyn Fn(ConnId) + Send + Sync>) {
        *self
            .shared
            .losses
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some(Arc::from(told));
    }

    fn alarm(&self, loop_id: LoopId, at: Instant) {
        self.shared.driver.alarm(loop_id, at);
    }

    fn next_deadline(&self) -> Option<Instant> {
        if !self.shared.alarmed.load(Ordering::Acquire) {
            return None;
        }
        self.shared
            .all()
            .iter()
            .filter_map(|link| link.next_deadline())
            .min()
    }

    fn expire(&self, now: Instant) {
        if self.shared.alarmed.load(Ordering::Acquire) {
            for link in self.shared.all() {
                link.expire(now);
            }
        }
    }

    fn loop_closed(&self, loop_id: LoopId) {
        for link in self.shared.all() {
            if link.loop_id == loop_id {
                link.forsake();
                self.shared.forget(link.id);
            }
        }
        self.shared.driver.forget_loop(loop_id);
    }
}

impl fmt::Debug for WireEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WireEngine").finish_non_exhaustive()
    }
}
