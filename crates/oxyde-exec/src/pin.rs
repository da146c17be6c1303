//! A connection that one caller keeps, with or without a transaction on it.
//!
//! A [`Pin`] is a pool of one: single statements and whole transactions ([`Pin::lease`]) queue for its connection and
//! get it one after the other. Nothing is tidied up between them, so what a statement sets is there for the next; when
//! the pin ends — closed, dropped, or with its event loop — what runs is stopped, an open transaction is rolled back,
//! and the connection goes back to the pool by way of `Work::Reset`. A pin whose connection was lost stays without one:
//! whoever relied on the state of the session has to be told.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use crate::core::Core;
use crate::engine::{
    Begin, CancelFlag, CancelReason, Completion, ConnId, Job, Lane, Listener, LoopId, Origin,
    Outcome, Sink, TxStatus, Work,
};
use crate::error::{ErrorKind, ExecError};
use crate::lease::{Lease, LeaseCore};
use crate::registry;
use crate::transaction::Verb;
use crate::waiter::{Holder, Left, Waiter, answer, cancelled};

/// A connection of one's own. Dropping it gives the connection back.
pub struct Pin {
    core: Arc<PinCore>,
}

pub(crate) struct PinCore {
    core: Arc<Core>,
    listener: Arc<dyn Listener>,
    origin: Option<Origin>,
    state: Mutex<State>,
}

struct State {
    stage: Stage,
    queue: VecDeque<Waiting>,
    /// Why nothing is taken any more.
    over: Option<ExecError>,
    /// What statements have left open: BEGIN in raw SQL.
    tx: TxStatus,
    /// Under which number the core knows it.
    number: u64,
    /// The connection that was granted; numbers are not used again, so it may be one that was given back.
    held: Option<ConnId>,
    loop_id: LoopId,
    pooled: bool,
    /// Who waits for the running statement.
    asking: Option<Sink>,
    /// Who waits for the end.
    ending: Vec<Sink>,
}

/// How long what follows a transaction may take.
const AFTERWARDS: Duration = Duration::from_secs(2);

struct Waiting {
    waiter: Waiter,
    deadline: Option<Instant>,
}

enum Stage {
    New,
    Opening(Arc<CancelFlag>),
    Idle(ConnId),
    /// A statement runs.
    Running(Arc<CancelFlag>),
    /// A transaction has the connection.
    Lent(Weak<LeaseCore>),
    /// The rest of a transaction is rolled back.
    Tidying,
    /// The connection is on its way back.
    Leaving,
    Over,
}

/// What is to be done without the lock.
enum Next {
    Nothing,
    Refuse(Waiting, ExecError),
    Run(ConnId, Job, Sink),
    Lend(ConnId, Waiter),
    Leave(ConnId, TxStatus),
}

impl Pin {
    /// `listener` hears what the server says unasked, and that the connection was lost; `origin` is where in the
    /// program it was asked for.
    pub(crate) fn new(
        core: Arc<Core>,
        listener: Arc<dyn Listener>,
        origin: Option<Origin>,
    ) -> Arc<Self> {
        Arc::new(Self {
            core: Arc::new(PinCore {
                core,
                listener,
                origin,
                state: Mutex::new(State {
                    stage: Stage::New,
                    queue: VecDeque::new(),
                    over: None,
                    tx: TxStatus::Idle,
                    number: 0,
                    held: None,
                    loop_id: LoopId::ANY,
                    pooled: false,
                    asking: None,
                    ending: Vec::new(),
                }),
            }),
        })
    }

    /// Waits for a connection.
    pub fn open(
        &self,
        loop_id: LoopId,
        cancel: Arc<CancelFlag>,
        deadline: Option<Instant>,
        sink: Sink,
    ) {
        let Some(sink) = self.ours(sink) else { return };
        let core = &self.core;
        let refusal = {
            let mut state = core.lock();
            match (&state.over, &state.stage) {
                (Some(error), _) => Some(error.clone()),
                (None, Stage::New) => {
                    state.stage = Stage::Opening(Arc::clone(&cancel));
                    state.loop_id = loop_id;
                    None
                }
                (None, _) => Some(ExecError::new(
                    ErrorKind::Operational,
                    "the connection is open already",
                )),
            }
        };
        if let Some(error) = refusal {
            return answer(sink, Err(error), TxStatus::Idle);
        }
        let waiter = Waiter::Pin {
            pin: Arc::clone(core),
            cancel,
            sink,
        };
        core.core.submit(Lane::Write, loop_id, deadline, waiter);
    }

    /// Runs a statement after all that was handed in before; `deadline` ends the wait for its turn.
    pub fn run(&self, job: Job, deadline: Option<Instant>, sink: Sink) {
        let Some(sink) = self.ours(sink) else { return };
        if Verb::of(&job.work) != Verb::Statement || job.work.is_final() {
            let error = ExecError::new(ErrorKind::Internal, "transaction control needs a lease");
            return answer(sink, Err(error), TxStatus::Unknown);
        }
        let loop_id = self.core.lock().loop_id;
        self.core
            .submit(deadline, Waiter::Run { job, loop_id, sink });
    }

    /// A transaction on this connection; nothing happens before its `begin`.
    pub fn lease(&self, begin: impl Into<Begin>) -> Arc<Lease> {
        Lease::on_pin(Arc::clone(&self.core.core), &self.core, begin.into())
    }

    /// Gives the connection back: `sink` is answered when the next borrower can have it.
    pub fn close(&self, sink: Sink) {
        if let Some(sink) = self.ours(sink) {
            self.core.end(left_error(), Some(sink));
        }
    }

    /// Gives the connection back whatever is going on.
    pub fn abandon(&self) {
        if !registry::is_foreign(self.core.core.generation) {
            self.core.end(left_error(), None);
        }
    }

    /// Whether statements are taken.
    pub fn is_open(&self) -> bool {
        if registry::is_foreign(self.core.core.generation) {
            return false;
        }
        let state = self.core.lock();
        state.over.is_none() && !matches!(state.stage, Stage::New | Stage::Opening(_))
    }

    /// Whether statements have left a transaction open: BEGIN in raw SQL.
    pub fn in_transaction(&self) -> bool {
        !registry::is_foreign(self.core.core.generation)
            && self.core.lock().tx == TxStatus::InTransaction
    }

    /// Whether a pooler may give each transaction another session of the server.
    pub fn is_pooled(&self) -> bool {
        self.core.lock().pooled
    }

    fn ours(&self, sink: Sink) -> Option<Sink> {
        if registry::is_foreign(self.core.core.generation) {
            let error = ExecError::new(
                ErrorKind::Closed,
                "this connection belongs to the parent process of a fork: open one here",
            );
            answer(sink, Err(error), TxStatus::Unknown);
            return None;
        }
        Some(sink)
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        if registry::is_foreign(self.core.core.generation) {
            std::mem::forget(Arc::clone(&self.core));
        } else {
            self.abandon();
        }
    }
}

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pin").finish_non_exhaustive()
    }
}

impl PinCore {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The pool granted a connection.
    pub(crate) fn granted(self: &Arc<Self>, conn: ConnId, sink: Sink) {
        let number = self.core.enlist_pin(self);
        let pooled = self.core.engine.is_pooled(conn);
        let over = {
            let mut state = self.lock();
            state.number = number;
            state.held = Some(conn);
            state.pooled = pooled;
            state.stage = Stage::Idle(conn);
            state.over.clone()
        };
        let result = match over {
            Some(error) => Err(error),
            None => {
                let listener = Some(Arc::clone(&self.listener));
                self.core.engine.listen(conn, listener);
                Ok(Outcome::default())
            }
        };
        answer(sink, result, TxStatus::Idle);
        self.step();
    }

    /// The pool will not grant one.
    pub(crate) fn refused(&self, error: ExecError, sink: Sink) {
        let ending = {
            let mut state = self.lock();
            state.stage = Stage::Over;
            state.over.get_or_insert_with(|| error.clone());
            std::mem::take(&mut state.ending)
        };
        answer(sink, Err(error), TxStatus::Idle);
        for sink in ending {
            answer(sink, Ok(Outcome::default()), TxStatus::Idle);
        }
    }

    /// Who keeps it, if this is its connection.
    pub(crate) fn holder_of(&self, conn: ConnId) -> Option<Holder> {
        let held = self.lock().held;
        (held == Some(conn)).then(|| Holder {
            what: "kept connection asked for",
            origin: self.origin.clone(),
        })
    }

    /// Queues for the connection.
    pub(crate) fn submit(self: &Arc<Self>, deadline: Option<Instant>, waiter: Waiter) {
        let deadline = [deadline, waiter.deadline()].into_iter().flatten().min();
        self.lock().queue.push_back(Waiting { waiter, deadline });
        self.step();
    }

    /// A waiter whose flag is set leaves the queue; does nothing for what runs.
    pub(crate) fn cancel(&self, flag: &CancelFlag) {
        self.take_waiting(
            |waiting| std::ptr::eq(Arc::as_ptr(waiting.waiter.cancel()), flag),
            &cancelled(flag.reason().unwrap_or(CancelReason::Cancelled)),
        );
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        let state = self.lock();
        state
            .queue
            .iter()
            .filter_map(|waiting| waiting.deadline)
            .min()
    }

    pub(crate) fn expire(&self, now: Instant) {
        let late = |waiting: &Waiting| waiting.deadline.is_some_and(|at| at <= now);
        let error = ExecError::new(
            ErrorKind::PoolTimeout,
            "the pinned connection did not become free before the deadline",
        );
        self.take_waiting(
            late,
            &error.with_hint("another task has a transaction or a long statement on it"),
        );
    }

    fn take_waiting(&self, wanted: impl Fn(&Waiting) -> bool, error: &ExecError) {
        let taken: Vec<Waiting> = {
            let mut state = self.lock();
            let (taken, kept) = std::mem::take(&mut state.queue)
                .into_iter()
                .partition(wanted);
            state.queue = kept;
            Vec::from_iter::<VecDeque<Waiting>>(taken)
        };
        for waiting in taken {
            waiting.refuse(error.clone());
        }
    }

    /// Nothing is taken any more; the connection goes back as soon as what runs has let go of it.
    pub(crate) fn end(self: &Arc<Self>, why: ExecError, sink: Option<Sink>) {
        let (flag, lease, asking, late) = {
            let mut state = self.lock();
            let first = state.over.is_none();
            state.over.get_or_insert(why);
            let late = match (&state.stage, sink) {
                (Stage::New | Stage::Over, sink) => {
                    state.stage = Stage::Over;
                    sink
                }
                (_, sink) => {
                    state.ending.extend(sink);
                    None
                }
            };
            match &state.stage {
                Stage::Opening(flag) => (Some(Arc::clone(flag)), None, None, late),
                Stage::Running(flag) if first => {
                    let flag = Arc::clone(flag);
                    (Some(flag), None, state.asking.take(), late)
                }
                Stage::Lent(lease) => (None, lease.upgrade(), None, late),
                _ => (None, None, None, late),
            }
        };
        if let Some(sink) = late {
            answer(sink, Ok(Outcome::default()), TxStatus::Idle);
        }
        if let Some(sink) = asking {
            answer(sink, Err(left_error()), TxStatus::Unknown);
        }
        if let Some(flag) = flag {
            flag.set(CancelReason::Cancelled);
            self.core.cancel_waiting(&flag);
        }
        if let Some(lease) = lease {
            lease.kill(left_error());
        }
        self.step();
    }

    /// A transaction has ended, and its connection comes back.
    pub(crate) fn give_back(
        self: &Arc<Self>,
        conn: ConnId,
        left: Left,
        afterwards: Vec<String>,
        then: Box<dyn FnOnce() + Send>,
    ) {
        // MySQL keeps an isolation level for the next transaction; a ROLLBACK drops it, even if there is none.
        let unfinished = left.tx != TxStatus::Idle || left.half_begun;
        if left.alive && unfinished && !left.tidied {
            self.lock().stage = Stage::Tidying;
            let this = Arc::clone(self);
            let done = Box::new(move |completion: Completion| {
                let mut left = Left::of(&completion);
                left.tidied = true;
                this.give_back(conn, left, afterwards, then);
            });
            return self.core.engine.start(conn, Job::new(Work::Rollback), done);
        }
        if left.alive && left.tx == TxStatus::Idle && !afterwards.is_empty() {
            self.lock().stage = Stage::Tidying;
            let this = Arc::clone(self);
            let done = Box::new(move |completion: Completion| {
                let mut left = Left::of(&completion);
                left.tidied = true;
                if completion.result.is_err() {
                    // Nobody knows what is left of it: the session ends.
                    left.tx = TxStatus::Unknown;
                }
                this.give_back(conn, left, Vec::new(), then);
            });
            let deadline = Some(Instant::now() + AFTERWARDS);
            let job = Job::with_cancel(
                Work::Script(afterwards),
                Arc::new(CancelFlag::new()),
                deadline,
            );
            return self.core.engine.start(conn, job, done);
        }
        if left.alive && left.tx == TxStatus::Idle {
            self.lock().stage = Stage::Idle(conn);
            // The next one first: the database should not wait for the caller's thread.
            self.step();
            then();
        } else {
            self.lost(conn, left, then);
        }
    }

    fn step(self: &Arc<Self>) {
        loop {
            let next = self.lock().next();
            match next {
                Next::Nothing => return,
                Next::Refuse(waiting, error) => waiting.refuse(error),
                Next::Run(conn, job, sink) => return self.start(conn, job, sink),
                Next::Lend(
                    conn,
                    Waiter::Lease {
                        lease,
                        cancel,
                        deadline,
                        sink,
                    },
                ) => return lease.granted(conn, cancel, deadline, sink),
                Next::Lend(..) => return,
                Next::Leave(conn, tx) => return self.leave(conn, tx),
            }
        }
    }

    fn start(self: &Arc<Self>, conn: ConnId, job: Job, sink: Sink) {
        self.lock().asking = Some(sink);
        let this = Arc::clone(self);
        let done = Box::new(move |completion: Completion| {
            let sink = this.lock().asking.take();
            this.finished(conn, completion, sink);
        });
        self.core.engine.start(conn, job, done);
    }

    fn finished(self: &Arc<Self>, conn: ConnId, completion: Completion, sink: Option<Sink>) {
        let left = Left::of(&completion);
        let Completion {
            mut result,
            tx,
            alive,
            unsent,
            ..
        } = completion;
        if unsent.is_some() || (!alive && result.is_ok()) {
            result = Err(lost_error());
        }
        let tell = move || {
            if let Some(sink) = sink {
                answer(sink, result, tx);
            }
        };
        if alive {
            {
                let mut state = self.lock();
                state.tx = tx;
                state.stage = Stage::Idle(conn);
            }
            self.step();
            tell();
        } else {
            self.lost(conn, left, Box::new(tell));
        }
    }

    /// The connection is gone, and with it what the session was.
    fn lost(self: &Arc<Self>, conn: ConnId, left: Left, then: Box<dyn FnOnce() + Send>) {
        let number = {
            let mut state = self.lock();
            state.over.get_or_insert_with(lost_error);
            state.stage = Stage::Leaving;
            state.number
        };
        self.core.delist_pin(number);
        let left = Left {
            tidied: true,
            ..left
        };
        let this = Arc::clone(self);
        let ended = move || {
            this.ended();
            then();
        };
        self.core.give_back(conn, left, Box::new(ended));
    }

    fn leave(self: &Arc<Self>, conn: ConnId, tx: TxStatus) {
        let number = self.lock().number;
        self.core.delist_pin(number);
        self.core.engine.listen(conn, None);
        let left = Left {
            tx,
            tainted: true,
            ..Left::clean()
        };
        let this = Arc::clone(self);
        self.core
            .give_back(conn, left, Box::new(move || this.ended()));
    }

    fn ended(self: &Arc<Self>) {
        let ending = {
            let mut state = self.lock();
            state.stage = Stage::Over;
            std::mem::take(&mut state.ending)
        };
        for sink in ending {
            answer(sink, Ok(Outcome::default()), TxStatus::Idle);
        }
        self.step();
    }
}

impl State {
    fn next(&mut self) -> Next {
        if let Some(error) = &self.over
            && let Some(waiting) = self.queue.pop_front()
        {
            return Next::Refuse(waiting, error.clone());
        }
        match self.stage {
            Stage::Idle(conn) if self.over.is_some() => {
                self.stage = Stage::Leaving;
                Next::Leave(conn, self.tx)
            }
            Stage::Idle(conn) => match self.queue.pop_front() {
                Some(waiting) => self.serve(conn, waiting),
                None => Next::Nothing,
            },
            Stage::New => match self.queue.pop_front() {
                Some(waiting) => Next::Refuse(
                    waiting,
                    ExecError::new(ErrorKind::Closed, "the connection is not open yet"),
                ),
                None => Next::Nothing,
            },
            Stage::Opening(_)
            | Stage::Running(_)
            | Stage::Lent(_)
            | Stage::Tidying
            | Stage::Leaving
            | Stage::Over => Next::Nothing,
        }
    }

    fn serve(&mut self, conn: ConnId, waiting: Waiting) -> Next {
        if let Some(reason) = waiting.waiter.cancel().reason() {
            return Next::Refuse(waiting, cancelled(reason));
        }
        match &waiting.waiter {
            Waiter::Run { job, .. } => {
                if self.pooled && self.tx == TxStatus::Idle && job.work.taints() {
                    return Next::Refuse(waiting, behind_pooler());
                }
                self.stage = Stage::Running(Arc::clone(&job.cancel));
            }
            Waiter::Lease { lease, .. } => {
                if self.tx != TxStatus::Idle {
                    return Next::Refuse(waiting, begun_by_hand());
                }
                self.stage = Stage::Lent(Arc::downgrade(lease));
            }
            Waiter::Pin { .. } => {}
        }
        match waiting.waiter {
            Waiter::Run { job, sink, .. } => Next::Run(conn, job, sink),
            waiter => Next::Lend(conn, waiter),
        }
    }
}

impl Waiting {
    fn refuse(self, error: ExecError) {
        let error = match error.kind {
            // Which of its deadlines has passed.
            ErrorKind::PoolTimeout
                if self
                    .waiter
                    .deadline()
                    .is_some_and(|at| at <= Instant::now()) =>
            {
                cancelled(CancelReason::Timeout).with_detail("it was still waiting for its turn")
            }
            _ => error,
        };
        self.waiter.fail(error);
    }
}

fn left_error() -> ExecError {
    ExecError::new(
        ErrorKind::Closed,
        "the pinned connection was given back: its block was left",
    )
}

fn lost_error() -> ExecError {
    ExecError::new(
        ErrorKind::ConnectionLost,
        "the pinned connection was lost, and with it what was set in its session",
    )
}

fn begun_by_hand() -> ExecError {
    ExecError::new(
        ErrorKind::Transaction,
        "a transaction begun by raw SQL is open on this connection",
    )
    .with_hint("end it first, or begin it with atomic(connection=…)")
}

fn behind_pooler() -> ExecError {
    ExecError::new(
        ErrorKind::NotSupported,
        "the connection goes through a pooler that may run the next statement in another session: what this statement \
         leaves in the session would be lost, or somebody else's",
    )
    .with_hint("run it inside atomic(connection=…), or set pgbouncer=False if the pooler keeps sessions")
}
