//! A transaction's life between its caller, the pool and the engine.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::core::Core;
use crate::engine::{
    Begin, BeginMode, CancelFlag, CancelReason, Completion, ConnId, Job, Lane, LoopId, Origin,
    Outcome, Sink, TxStatus, Work,
};
use crate::error::{ErrorKind, ExecError};
use crate::pin::PinCore;
use crate::transaction::{Phase, Transaction, Verb, commit_verdict};
use crate::waiter::{Holder, Left, Waiter, answer, cancelled};

pub(crate) struct LeaseCore {
    pub(super) core: Arc<Core>,
    /// Where the connection comes from, if not from the pool.
    pub(super) pin: Option<Arc<PinCore>>,
    pub(super) begin: Begin,
    pub(super) origin: Option<Origin>,
    pub(super) state: Mutex<State>,
}

pub(super) struct State {
    pub(super) tx: Transaction,
    pub(super) stage: Stage,
    pub(super) queue: VecDeque<Item>,
    /// Set once the transaction is being ended from outside; later calls answer with it.
    pub(super) killed: Option<ExecError>,
    pub(super) deadline: Option<Instant>,
    pub(super) tainted: bool,
    /// Who waits for the running job.
    pub(super) asking: Option<Sink>,
    /// The connection that was granted; numbers are not used again, so it may be one that was given back.
    pub(super) held: Option<ConnId>,
    /// The event loop that it was begun in.
    pub(super) loop_id: LoopId,
    /// What runs on a kept connection when the transaction has ended in whatever way.
    pub(super) afterwards: Vec<String>,
}

pub(super) enum Stage {
    New,
    /// Queued for a connection, or the connection runs BEGIN.
    Beginning(Arc<CancelFlag>),
    Idle(ConnId, u64),
    /// The flag of the running job; `None` when it must not be disturbed (COMMIT, ROLLBACK).
    Running(Option<Arc<CancelFlag>>),
    Over,
}

pub(super) enum Item {
    Run(Job, Sink),
    Commit(Sink),
    Rollback(Sink),
}

/// What `step` decided under the lock, to be done without it.
enum Next {
    Nothing,
    Start(ConnId, u64, Job, Verb, Sink),
    Answer(Sink, Result<Outcome, ExecError>),
    /// The connection goes back, whatever transaction is left in it is rolled back; then the sink, if any.
    End(
        ConnId,
        u64,
        Left,
        Option<(Sink, Result<Outcome, ExecError>)>,
    ),
}

impl LeaseCore {
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues for the connection.
    pub(super) fn wait(&self, loop_id: LoopId, deadline: Option<Instant>, waiter: Waiter) {
        let lane = match self.begin.mode {
            BeginMode::Write => Lane::Write,
            BeginMode::Read => Lane::Read,
        };
        match &self.pin {
            Some(pin) => pin.submit(deadline, waiter),
            None => self.core.submit(lane, loop_id, deadline, waiter),
        }
    }

    fn give_back(&self, conn: ConnId, left: Left, then: Box<dyn FnOnce() + Send>) {
        match &self.pin {
            Some(pin) => {
                let afterwards = std::mem::take(&mut self.lock().afterwards);
                pin.give_back(conn, left, afterwards, then);
            }
            None => self.core.give_back(conn, left, then),
        }
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        let state = self.lock();
        state.deadline.filter(|_| state.killed.is_none())
    }

    /// Who began the transaction, if this is its connection, and not one that somebody keeps.
    pub(crate) fn holder_of(&self, conn: ConnId) -> Option<Holder> {
        let held = self.lock().held;
        (held == Some(conn) && self.pin.is_none()).then(|| Holder {
            what: "transaction begun",
            origin: self.origin.clone(),
        })
    }

    pub(crate) fn expire(self: &Arc<Self>, now: Instant) {
        if self.deadline().is_some_and(|deadline| deadline <= now) {
            self.kill(ExecError::new(
                ErrorKind::TransactionTimeout,
                "the transaction ran into its deadline and was rolled back",
            ));
        }
    }

    pub(super) fn push(self: &Arc<Self>, item: Item) {
        let over = {
            let mut state = self.lock();
            if state.killed.is_some() {
                // It ends by itself; nobody has to wait until a stopped statement has let go of the connection.
                Some(state.answer_item(item))
            } else {
                state.queue.push_back(item);
                None
            }
        };
        match over {
            Some(Next::Answer(sink, result)) => answer(sink, result, TxStatus::Idle),
            Some(_) => {}
            None => self.step(),
        }
    }

    /// The pool granted a connection.
    pub(crate) fn granted(
        self: &Arc<Self>,
        conn: ConnId,
        cancel: Arc<CancelFlag>,
        deadline: Option<Instant>,
        sink: Sink,
    ) {
        let number = self.core.enlist(self);
        let killed = {
            let mut state = self.lock();
            state.held = Some(conn);
            if state.killed.is_none() {
                state.stage = Stage::Running(Some(Arc::clone(&cancel)));
            } else {
                state.stage = Stage::Over;
            }
            state.killed.clone()
        };
        match killed {
            Some(error) => {
                self.core.delist(number);
                let answer_now = Box::new(move || answer(sink, Err(error), TxStatus::Idle));
                self.give_back(conn, Left::clean(), answer_now);
            }
            None => {
                let job = Job::with_cancel(Work::Begin(self.begin), cancel, deadline);
                self.start(conn, number, job, Verb::Begin, sink);
            }
        }
    }

    /// The pool will not grant one.
    pub(crate) fn refused(&self, error: ExecError, sink: Sink) {
        let queue = {
            let mut state = self.lock();
            state.stage = Stage::Over;
            state.tx.close();
            std::mem::take(&mut state.queue)
        };
        for item in queue {
            item.answer(Err(error.clone()));
        }
        answer(sink, Err(error), TxStatus::Idle);
    }

    /// Ends the transaction from outside.
    pub(crate) fn kill(self: &Arc<Self>, cause: ExecError) {
        let (queue, flag, asking) = {
            let mut state = self.lock();
            if state.killed.is_some() || matches!(state.stage, Stage::Over) {
                return;
            }
            let flag = match &state.stage {
                Stage::Beginning(flag) => Some(Arc::clone(flag)),
                Stage::Running(flag) => flag.clone(),
                Stage::New => {
                    state.stage = Stage::Over;
                    None
                }
                Stage::Idle(..) | Stage::Over => None,
            };
            state.killed = Some(cause.clone());
            // A statement that has to be stopped first may take its time: its caller need not.
            let asking = match flag {
                Some(_) => state.asking.take(),
                None => None,
            };
            (std::mem::take(&mut state.queue), flag, asking)
        };
        if let Some(sink) = asking {
            answer(sink, Err(cause.clone()), TxStatus::Unknown);
        }
        for item in queue {
            item.answer(Err(cause.clone()));
        }
        if let Some(flag) = flag {
            flag.set(CancelReason::Cancelled);
            self.core.cancel_waiting(&flag);
        }
        self.step();
    }

    /// Does what can be done next, until a job runs or nothing is left.
    fn step(self: &Arc<Self>) {
        loop {
            let next = self.lock().next();
            match next {
                Next::Nothing => return,
                Next::Answer(sink, result) => answer(sink, result, self.tx_status()),
                Next::Start(conn, number, job, verb, sink) => {
                    return self.start(conn, number, job, verb, sink);
                }
                Next::End(conn, number, left, last) => {
                    self.core.delist(number);
                    let then: Box<dyn FnOnce() + Send> = match last {
                        Some((sink, result)) => {
                            Box::new(move || answer(sink, result, TxStatus::Idle))
                        }
                        None => Box::new(|| ()),
                    };
                    self.give_back(conn, left, then);
                }
            }
        }
    }

    fn start(self: &Arc<Self>, conn: ConnId, number: u64, job: Job, verb: Verb, sink: Sink) {
        self.lock().asking = Some(sink);
        let this = Arc::clone(self);
        let done = Box::new(move |completion| {
            // Gone if the transaction was ended from outside meanwhile: its caller has been told.
            let sink = this.lock().asking.take();
            let sink = sink.unwrap_or_else(|| Box::new(|_, _| ()));
            this.completed(conn, number, completion, &verb, sink);
        });
        self.core.engine.start(conn, job, done);
    }

    fn completed(
        self: &Arc<Self>,
        conn: ConnId,
        number: u64,
        completion: Completion,
        verb: &Verb,
        sink: Sink,
    ) {
        let mut left = Left::of(&completion);
        let Completion {
            mut result,
            tx,
            alive,
            tainted,
            unsent,
        } = completion;
        if let (Verb::Begin, Some(job), None) = (verb, unsent, &self.pin) {
            return self.begin_again(conn, number, left, *job, sink);
        }
        let over = {
            let mut state = self.lock();
            state.tainted |= tainted;
            left.tainted = state.tainted;
            left.half_begun = *verb == Verb::Begin && tainted && result.is_err();
            state.tx.observe(verb, result.as_ref(), tx, alive);
            if *verb == Verb::Commit {
                result = commit_verdict(result, alive);
            }
            if result.is_ok()
                && let Some(error) = state.tx.ended_unasked(verb)
            {
                result = Err(error);
            }
            if let (Err(error), Some(killed)) = (&result, &state.killed)
                && error.kind == ErrorKind::Cancelled
                && killed.kind == ErrorKind::TransactionTimeout
            {
                result = Err(killed.clone());
            }
            let over = match verb {
                // A failed COMMIT leaves nothing to go on with; `give_back` rolls back what it left open.
                Verb::Commit | Verb::Rollback => true,
                Verb::Begin => result.is_err() || *state.tx.phase() != Phase::Open,
                _ => state.killed.is_some() || !alive,
            };
            if over {
                // A lost connection leaves the reason behind for `commit` and for later statements.
                if *state.tx.phase() != Phase::Lost {
                    state.tx.close();
                }
                state.stage = Stage::Over;
            } else {
                state.stage = Stage::Idle(conn, number);
            }
            over
        };
        if over {
            self.core.delist(number);
            self.give_back(
                conn,
                left,
                Box::new(move || answer(sink, result, TxStatus::Idle)),
            );
            self.step();
        } else {
            // The next job first: the database should not wait for the caller's thread.
            self.step();
            answer(sink, result, tx);
        }
    }

    /// The connection was dead already: the transaction begins on another one.
    fn begin_again(self: &Arc<Self>, conn: ConnId, number: u64, left: Left, job: Job, sink: Sink) {
        self.core.delist(number);
        let Job {
            cancel, deadline, ..
        } = job;
        let killed = {
            let mut state = self.lock();
            state.stage = match &state.killed {
                Some(_) => Stage::Over,
                None => Stage::Beginning(Arc::clone(&cancel)),
            };
            state.killed.clone()
        };
        let this = Arc::clone(self);
        let again = move || match killed {
            Some(error) => answer(sink, Err(error), TxStatus::Idle),
            None => {
                let core = Arc::clone(&this.core);
                let loop_id = this.loop_id();
                let waiter = Waiter::Lease {
                    lease: this,
                    cancel,
                    deadline,
                    sink,
                };
                core.submit(conn.lane, loop_id, deadline, waiter);
                core.look_again(loop_id);
            }
        };
        self.give_back(conn, left, Box::new(again));
    }

    fn loop_id(&self) -> LoopId {
        self.lock().loop_id
    }

    fn tx_status(&self) -> TxStatus {
        match self.lock().tx.phase() {
            Phase::Idle | Phase::Closed | Phase::Broken { .. } => TxStatus::Idle,
            Phase::Open => TxStatus::InTransaction,
            Phase::Failed => TxStatus::Failed,
            Phase::Lost => TxStatus::Unknown,
        }
    }
}

impl State {
    fn next(&mut self) -> Next {
        match self.stage {
            Stage::Idle(conn, number) => {
                if self.killed.is_some() {
                    return self.end(conn, number, None);
                }
                match self.queue.pop_front() {
                    Some(item) => self.begin_item(conn, number, item),
                    None => Next::Nothing,
                }
            }
            Stage::Running(..) | Stage::Beginning(_) => Next::Nothing,
            Stage::New | Stage::Over => match self.queue.pop_front() {
                Some(item) => self.answer_item(item),
                None => Next::Nothing,
            },
        }
    }

    fn begin_item(&mut self, conn: ConnId, number: u64, item: Item) -> Next {
        match item {
            Item::Run(job, sink) => {
                let verb = Verb::of(&job.work);
                if let Some(reason) = job.cancel.reason() {
                    return Next::Answer(sink, Err(cancelled(reason)));
                }
                if let Err(error) = self.tx.admit(&verb) {
                    return Next::Answer(sink, Err(error));
                }
                self.stage = Stage::Running(Some(Arc::clone(&job.cancel)));
                Next::Start(conn, number, job, verb, sink)
            }
            Item::Commit(sink) => match self.tx.admit(&Verb::Commit) {
                Ok(()) => self.final_job(conn, number, Work::Commit, sink),
                Err(error) => self.end(conn, number, Some((sink, Err(error)))),
            },
            Item::Rollback(sink) => match self.tx.phase() {
                _ if self.tx.is_open() => self.final_job(conn, number, Work::Rollback, sink),
                _ => self.end(conn, number, Some((sink, Ok(Outcome::default())))),
            },
        }
    }

    fn final_job(&mut self, conn: ConnId, number: u64, work: Work, sink: Sink) -> Next {
        let verb = Verb::of(&work);
        self.stage = Stage::Running(None);
        Next::Start(conn, number, Job::new(work), verb, sink)
    }

    fn end(
        &mut self,
        conn: ConnId,
        number: u64,
        last: Option<(Sink, Result<Outcome, ExecError>)>,
    ) -> Next {
        let tx = if self.tx.is_open() {
            TxStatus::InTransaction
        } else {
            TxStatus::Idle
        };
        self.tx.close();
        self.stage = Stage::Over;
        Next::End(
            conn,
            number,
            Left {
                half_begun: false,
                tx,
                alive: true,
                tainted: self.tainted,
                tidied: false,
            },
            last,
        )
    }

    /// Without a connection: before `begin`, or when everything is over.
    fn answer_item(&mut self, item: Item) -> Next {
        let error = |state: &Self, verb: &Verb| match &state.killed {
            Some(killed) => killed.clone(),
            None => match state.tx.admit(verb) {
                Err(error) => error,
                Ok(()) => ExecError::new(ErrorKind::TransactionClosed, "the transaction is over"),
            },
        };
        match item {
            Item::Run(job, sink) => Next::Answer(sink, Err(error(self, &Verb::of(&job.work)))),
            Item::Commit(sink) => Next::Answer(sink, Err(error(self, &Verb::Commit))),
            // Rolling back what is rolled back already is what was wanted.
            Item::Rollback(sink) => {
                let result = match &self.killed {
                    Some(killed) if killed.kind == ErrorKind::TransactionTimeout => {
                        Err(killed.clone())
                    }
                    _ => Ok(Outcome::default()),
                };
                Next::Answer(sink, result)
            }
        }
    }
}

impl Item {
    fn answer(self, result: Result<Outcome, ExecError>) {
        match self {
            Self::Run(_, sink) | Self::Commit(sink) | Self::Rollback(sink) => {
                answer(sink, result, TxStatus::Idle)
            }
        }
    }
}
