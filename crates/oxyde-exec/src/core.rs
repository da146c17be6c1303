//! Pool and engine joined: events go into the pools under a lock, the actions that come out are carried out without it.
//!
//! Whichever thread reports an event carries out the actions, one at a time and in order (`pumping`): a completion on
//! an engine's thread starts the next waiter's job right there. Callers' sinks run without any lock held.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Instant;

use crate::engine::{
    CancelFlag, Completion, ConnId, Engine, Job, Lane, LoopId, Outcome, Sink, Stats, TxStatus, Work,
};
use crate::error::{ErrorKind, ExecError};
use crate::lease::LeaseCore;
use crate::pin::PinCore;
use crate::pool::{Action, Pool, PoolConfig, Refusal, Ticket};
use crate::waiter::{Holder, Left, Waiter, answer};

pub(crate) struct Core {
    /// How many forks deep the process is in which this was made; see `registry`.
    pub(crate) generation: u64,
    pub(crate) name: String,
    pub(crate) engine: Arc<dyn Engine>,
    state: Mutex<State>,
}

struct State {
    /// The write lane's pool, then the read lane's where the engine has one.
    pools: Vec<Pool>,
    waiters: HashMap<Ticket, Waiter>,
    leases: HashMap<u64, Weak<LeaseCore>>,
    pins: HashMap<u64, Weak<PinCore>>,
    next_number: u64,
    actions: VecDeque<Action>,
    pumping: bool,
    closing: Option<Closing>,
    seed: u64,
}

struct Closing {
    deadline: Option<Instant>,
    sinks: Vec<Sink>,
    progress: Progress,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd)]
enum Progress {
    Draining,
    /// The deadline has passed: what still runs was interrupted.
    Forced,
    /// All connections are closed, the engine's threads are ending.
    Stopping,
    Stopped,
}

impl Core {
    pub(crate) fn new(
        generation: u64,
        name: String,
        engine: Arc<dyn Engine>,
        write: PoolConfig,
        read: Option<PoolConfig>,
    ) -> Arc<Self> {
        let mut pools = vec![Pool::new(Lane::Write, write)];
        pools.extend(read.map(|config| Pool::new(Lane::Read, config)));
        let core = Arc::new(Self {
            generation,
            name,
            engine,
            state: Mutex::new(State {
                pools,
                waiters: HashMap::new(),
                leases: HashMap::new(),
                pins: HashMap::new(),
                // Flags of the parent's jobs may still be set in a forked child: no ticket here is one of theirs.
                next_number: (generation << 48) | 1,
                actions: VecDeque::new(),
                pumping: false,
                closing: None,
                seed: 0x9e37_79b9_7f4a_7c15,
            }),
        });
        let weak = Arc::downgrade(&core);
        core.engine.watch_losses(Box::new(move |conn| {
            if let Some(core) = weak.upgrade() {
                core.lost(conn);
            }
        }));
        core
    }

    /// A connection died while nobody used it.
    fn lost(self: &Arc<Self>, conn: ConnId) {
        self.drive(|state, now, out| {
            if let Some(pool) = state.pool(conn.lane) {
                pool.lost_idle(now, conn, out);
            }
        });
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues for a connection of `lane`.
    pub(crate) fn submit(
        self: &Arc<Self>,
        lane: Lane,
        loop_id: LoopId,
        acquire_deadline: Option<Instant>,
        waiter: Waiter,
    ) {
        let deadline = [acquire_deadline, waiter.deadline()]
            .into_iter()
            .flatten()
            .min();
        let cancel = Arc::clone(waiter.cancel());
        self.drive(|state, now, out| {
            let ticket = Ticket(state.number());
            state.waiters.insert(ticket, waiter);
            // `cancel` sets the flag before it takes the lock: either it finds the ticket or we find the flag.
            cancel.wait_on(ticket.0);
            if cancel.is_set() {
                out.push(Action::Refuse {
                    ticket,
                    why: Refusal::Cancelled,
                });
            } else if let Some(pool) = state.pool(lane) {
                pool.acquire(now, ticket, loop_id, deadline, out);
            }
        });
    }

    /// Runs a read at once on a connection that is busy with others like it; answers what it was given if the pool
    /// has a connection for it, or could open one, or no connection is fit.
    pub(crate) fn share(
        self: &Arc<Self>,
        loop_id: LoopId,
        job: Job,
        sink: Sink,
    ) -> Option<(Job, Sink)> {
        let full = {
            let mut state = self.lock();
            let closing = state.closing.is_some();
            !closing
                && state
                    .pool(Lane::Write)
                    .is_some_and(|pool| pool.is_full(loop_id))
        };
        if !full {
            return Some((job, sink));
        }
        let core = Arc::clone(self);
        // The sink is needed again if the job comes back.
        let sink = Arc::new(Mutex::new(Some(sink)));
        let theirs = Arc::clone(&sink);
        let done = Box::new(move |completion: Completion| {
            let sink = theirs.lock().unwrap_or_else(PoisonError::into_inner).take();
            let Some(sink) = sink else { return };
            match completion.unsent {
                Some(job) => {
                    let (deadline, job) = (job.deadline, *job);
                    let waiter = Waiter::Run { job, loop_id, sink };
                    core.submit(Lane::Write, loop_id, deadline, waiter);
                    core.look_again(loop_id);
                }
                None => answer(sink, completion.result, TxStatus::Idle),
            }
        });
        let (job, _) = self.engine.append(loop_id, job, done)?;
        let sink = sink.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        Some((job, sink))
    }

    /// Lends an idle connection of `lane` now or not at all; waits for nothing, not even for the state's lock. `take`
    /// is called under that lock. Who gets the connection ends with `give_back`.
    pub(crate) fn try_lend<T>(
        &self,
        lane: Lane,
        take: impl FnOnce(ConnId) -> Option<T>,
    ) -> Option<T> {
        let mut state = self.state.try_lock().ok()?;
        state.pool(lane)?.lend(Instant::now(), LoopId::ANY, take)
    }

    /// A waiter whose flag is set leaves its queue; does nothing for a job that runs.
    pub(crate) fn cancel_waiting(self: &Arc<Self>, flag: &CancelFlag) {
        let ticket = Ticket(flag.ticket());
        if ticket.0 != 0 {
            self.drive(|state, now, out| {
                for pool in &mut state.pools {
                    pool.cancel(now, ticket, out);
                }
            });
        }
        let pins = self.lock().open_pins();
        for pin in pins {
            pin.cancel(flag);
        }
    }

    /// Gives a connection back in whatever state a job left it: no transaction, taint or dead connection gets past.
    /// `then` runs after the permit is free.
    pub(crate) fn give_back(
        self: &Arc<Self>,
        conn: ConnId,
        status: Left,
        then: Box<dyn FnOnce() + Send>,
    ) {
        let Left {
            tx,
            alive,
            tainted,
            tidied,
            half_begun: _,
        } = status;
        let tidy = match tx {
            _ if !alive => None,
            TxStatus::Idle if tainted => Some(Work::Reset),
            TxStatus::Idle => None,
            TxStatus::InTransaction | TxStatus::Failed | TxStatus::Unknown => Some(Work::Rollback),
        };
        match tidy {
            // A connection that could not be tidied once will not be tidied by trying again.
            Some(_) if tidied => {
                self.drive(|state, now, out| {
                    if let Some(pool) = state.pool(conn.lane) {
                        pool.discard(now, conn, out);
                    }
                });
                then();
            }
            Some(work) => {
                let reset = matches!(work, Work::Reset);
                let core = Arc::clone(self);
                let done = Box::new(move |completion: Completion| {
                    let left = Left {
                        tx: completion.tx,
                        half_begun: false,
                        alive: completion.alive,
                        tainted: if reset {
                            completion.result.is_err()
                        } else {
                            tainted
                        },
                        tidied: reset || completion.tx != TxStatus::Idle,
                    };
                    core.give_back(conn, left, then);
                });
                self.engine.start(conn, Job::new(work), done);
            }
            None => {
                self.drive(|state, now, out| {
                    if let Some(pool) = state.pool(conn.lane) {
                        pool.release(now, conn, alive, out);
                    }
                });
                then();
            }
        }
    }

    pub(crate) fn enlist(&self, lease: &Arc<LeaseCore>) -> u64 {
        let mut state = self.lock();
        let number = state.number();
        state.leases.insert(number, Arc::downgrade(lease));
        number
    }

    pub(crate) fn delist(&self, number: u64) {
        self.lock().leases.remove(&number);
    }

    pub(crate) fn enlist_pin(&self, pin: &Arc<PinCore>) -> u64 {
        let mut state = self.lock();
        let number = state.number();
        state.pins.insert(number, Arc::downgrade(pin));
        number
    }

    pub(crate) fn delist_pin(&self, number: u64) {
        self.lock().pins.remove(&number);
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        let (pools, leases, pins) = {
            let state = self.lock();
            let pools = state.pools.iter().filter_map(Pool::next_deadline).min();
            let closing = state
                .closing
                .as_ref()
                .filter(|closing| closing.progress == Progress::Draining)
                .and_then(|closing| closing.deadline);
            (
                pools.into_iter().chain(closing).min(),
                state.open_leases(),
                state.open_pins(),
            )
        };
        leases
            .iter()
            .filter_map(|lease| lease.deadline())
            .chain(pins.iter().filter_map(|pin| pin.next_deadline()))
            .chain(pools)
            .chain(self.engine.next_deadline())
            .min()
    }

    pub(crate) fn expire(self: &Arc<Self>, now: Instant) {
        let (leases, pins) = {
            let state = self.lock();
            (state.open_leases(), state.open_pins())
        };
        for lease in leases {
            lease.expire(now);
        }
        for pin in pins {
            pin.expire(now);
        }
        self.engine.expire(now);
        let mut force = false;
        self.drive(|state, _, out| {
            for pool in &mut state.pools {
                pool.expire(now, out);
            }
            if let Some(closing) = &mut state.closing
                && closing.progress == Progress::Draining
                && closing.deadline.is_some_and(|deadline| deadline <= now)
            {
                closing.progress = Progress::Forced;
                force = true;
            }
        });
        if force {
            self.force();
        }
    }

    pub(crate) fn stats(&self) -> Stats {
        let now = Instant::now();
        let mut stats = Stats::default();
        let longest = {
            let state = self.lock();
            let holds = state
                .pools
                .iter()
                .filter_map(|pool| pool.add_stats(now, &mut stats));
            holds.max_by_key(|(held, _)| *held)
        };
        stats.longest_hold = longest.map(|(held, _)| held);
        let holder = longest.and_then(|(_, conn)| self.holder_of(conn));
        stats.longest_holder = holder.and_then(|holder| holder.origin);
        stats
    }

    /// Who holds this connection for longer than a statement.
    fn holder_of(&self, conn: ConnId) -> Option<Holder> {
        let (leases, pins) = {
            let state = self.lock();
            (state.open_leases(), state.open_pins())
        };
        let mut holders = leases.iter().map(|lease| lease.holder_of(conn));
        let kept = || pins.iter().find_map(|pin| pin.holder_of(conn));
        holders.find_map(|holder| holder).or_else(kept)
    }

    pub(crate) fn loop_closed(self: &Arc<Self>, loop_id: LoopId) {
        // The pool first: a connection that goes with its loop is not one that was lost.
        self.drive(|state, now, out| {
            for pool in &mut state.pools {
                pool.loop_closed(now, loop_id, out);
            }
        });
        self.engine.loop_closed(loop_id);
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.lock().closing.is_some()
    }

    /// All connections are closed; the threads are ending or have ended.
    pub(crate) fn is_stopping(&self) -> bool {
        self.lock()
            .closing
            .as_ref()
            .is_some_and(|closing| closing.progress >= Progress::Stopping)
    }

    /// See `Database::close`. Closing twice waits for the same end; the earlier deadline counts.
    pub(crate) fn close(self: &Arc<Self>, deadline: Option<Instant>, sink: Option<Sink>) {
        let mut late = sink;
        self.drive(|state, _, out| {
            let first = state.closing.is_none();
            let closing = state.closing.get_or_insert_with(|| Closing {
                deadline: None,
                sinks: Vec::new(),
                progress: Progress::Draining,
            });
            closing.deadline = [closing.deadline, deadline].into_iter().flatten().min();
            if closing.progress != Progress::Stopped {
                closing.sinks.extend(late.take());
            }
            if first {
                for pool in &mut state.pools {
                    pool.close(out);
                }
            }
        });
        if let Some(sink) = late {
            answer(sink, Ok(Outcome::default()), TxStatus::Idle);
        }
        let now = Instant::now();
        if deadline.is_some_and(|deadline| deadline <= now) {
            self.expire(now);
        }
    }

    fn force(self: &Arc<Self>) {
        let (leases, pins) = {
            let state = self.lock();
            (state.open_leases(), state.open_pins())
        };
        for lease in leases {
            lease.kill(ExecError::new(
                ErrorKind::TransactionClosed,
                format!(
                    "database {:?} was closed while the transaction was open: it was rolled back",
                    self.name
                ),
            ));
        }
        for pin in pins {
            let closed = format!("database {:?} was closed", self.name);
            pin.end(ExecError::new(ErrorKind::Closed, closed), None);
        }
        self.engine.abort();
    }

    /// Feeds an event to the pools and carries out what follows.
    fn drive(self: &Arc<Self>, event: impl FnOnce(&mut State, Instant, &mut Vec<Action>)) {
        let mut out = Vec::new();
        let mut state = self.lock();
        event(&mut state, Instant::now(), &mut out);
        state.actions.extend(out);
        if state.pumping {
            return;
        }
        state.pumping = true;
        while let Some(action) = state.actions.pop_front() {
            let waiter = match &action {
                Action::Grant { ticket, .. } | Action::Refuse { ticket, .. } => {
                    state.waiters.remove(ticket)
                }
                Action::Open { .. } | Action::Close { .. } => None,
            };
            drop(state);
            let _ = catch_unwind(AssertUnwindSafe(|| self.perform(action, waiter)));
            state = self.lock();
        }
        state.pumping = false;
        let drained = state.pools.iter().all(Pool::is_drained);
        let stop = match &mut state.closing {
            Some(closing) if drained && closing.progress < Progress::Stopping => {
                closing.progress = Progress::Stopping;
                true
            }
            _ => false,
        };
        drop(state);
        if stop {
            let core = Arc::clone(self);
            self.engine.shutdown(Box::new(move || core.stopped()));
        }
    }

    fn stopped(&self) {
        let sinks = {
            let mut state = self.lock();
            match &mut state.closing {
                Some(closing) => {
                    closing.progress = Progress::Stopped;
                    std::mem::take(&mut closing.sinks)
                }
                None => Vec::new(),
            }
        };
        for sink in sinks {
            answer(sink, Ok(Outcome::default()), TxStatus::Idle);
        }
    }

    fn perform(self: &Arc<Self>, action: Action, waiter: Option<Waiter>) {
        let core = Arc::clone(self);
        match action {
            Action::Open { slot, loop_id } => {
                self.engine.open(
                    slot,
                    loop_id,
                    Box::new(move |completion| core.opened(slot, loop_id, completion)),
                );
            }
            Action::Close { conn, loop_id } => {
                let done = Box::new(move |_| {
                    core.drive(|state, now, out| {
                        if let Some(pool) = state.pool(conn.lane) {
                            pool.closed(now, conn, out);
                        }
                    });
                });
                self.engine.close(conn, loop_id, done);
            }
            Action::Grant { conn, waited, .. } => match waiter {
                Some(Waiter::Run { job, loop_id, sink }) => {
                    job.cancel.has_waited(waited);
                    self.engine.start(
                        conn,
                        job,
                        Box::new(move |completion| core.finished(conn, loop_id, completion, sink)),
                    );
                }
                Some(Waiter::Lease {
                    lease,
                    cancel,
                    deadline,
                    sink,
                }) => {
                    cancel.has_waited(waited);
                    lease.granted(conn, cancel, deadline, sink);
                }
                Some(Waiter::Pin { pin, sink, .. }) => pin.granted(conn, sink),
                None => self.give_back(conn, Left::clean(), Box::new(|| ())),
            },
            Action::Refuse { ticket: _, why } => {
                if let Some(waiter) = waiter {
                    let longest = match &why {
                        Refusal::Timeout(load) | Refusal::Full(load) => load.longest_hold,
                        _ => None,
                    };
                    let holder = longest.and_then(|(_, conn)| self.holder_of(conn));
                    waiter.refuse(&self.name, why, holder.as_ref());
                }
            }
        }
    }

    /// Whoever waits was told when to look again before this happened, if at all.
    pub(crate) fn look_again(&self, loop_id: LoopId) {
        if let Some(at) = self.next_deadline() {
            self.engine.alarm(loop_id, at);
        }
    }

    fn opened(self: &Arc<Self>, slot: ConnId, loop_id: LoopId, completion: Completion) {
        let failed = completion.result.is_err();
        self.drive(|state, now, out| {
            let jitter = state.jitter();
            let Some(pool) = state.pool(slot.lane) else {
                return;
            };
            match completion.result {
                Ok(_) => pool.opened(now, slot, jitter, out),
                // Its event loop has ended: no fault of the database's.
                Err(error) if error.kind == ErrorKind::Closed => pool.opening_ended(now, slot, out),
                Err(error) => pool.open_failed(now, slot, &error, jitter, out),
            }
        });
        if failed {
            self.look_again(loop_id);
        }
    }

    fn finished(
        self: &Arc<Self>,
        conn: ConnId,
        loop_id: LoopId,
        completion: Completion,
        sink: Sink,
    ) {
        let left = Left::of(&completion);
        let Completion {
            result, tx, unsent, ..
        } = completion;
        if let Some(job) = unsent {
            let core = Arc::clone(self);
            let again = move || {
                let deadline = job.deadline;
                let job = *job;
                core.submit(
                    conn.lane,
                    loop_id,
                    deadline,
                    Waiter::Run { job, loop_id, sink },
                );
                core.look_again(loop_id);
            };
            return self.give_back(conn, left, Box::new(again));
        }
        let result = match (result, tx) {
            (Ok(_), TxStatus::InTransaction | TxStatus::Failed) => Err(ExecError::new(
                ErrorKind::Transaction,
                "the statement opened a transaction that nothing would end: it was rolled back",
            )
            .with_hint("use atomic() instead of BEGIN or SAVEPOINT in raw SQL")),
            (result, _) => result,
        };
        self.give_back(
            conn,
            left,
            Box::new(move || answer(sink, result, TxStatus::Idle)),
        );
    }
}

impl State {
    fn pool(&mut self, lane: Lane) -> Option<&mut Pool> {
        let index = match lane {
            Lane::Read if self.pools.len() > 1 => 1,
            Lane::Read | Lane::Write => 0,
        };
        self.pools.get_mut(index)
    }

    fn number(&mut self) -> u64 {
        let number = self.next_number;
        self.next_number = number.wrapping_add(1);
        number
    }

    fn open_leases(&self) -> Vec<Arc<LeaseCore>> {
        self.leases.values().filter_map(Weak::upgrade).collect()
    }

    fn open_pins(&self) -> Vec<Arc<PinCore>> {
        self.pins.values().filter_map(Weak::upgrade).collect()
    }

    /// 0 to 999 by xorshift: spreading out is all it is for.
    fn jitter(&mut self) -> u32 {
        self.seed ^= self.seed << 13;
        self.seed ^= self.seed >> 7;
        self.seed ^= self.seed << 17;
        u32::try_from(self.seed % 1000).unwrap_or_default()
    }
}

impl fmt::Debug for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Core")
            .field("name", &self.name)
            .field("generation", &self.generation)
            .finish_non_exhaustive()
    }
}
