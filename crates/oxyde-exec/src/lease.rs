//! A transaction on a connection of its own.
//!
//! [`Lease`] is the caller's handle; [`LeaseCore`] is what the engine's completions hold. Jobs queue in the lease and
//! run one at a time. Whatever happens to the handle, the core sees the transaction to its end: dropping the handle,
//! cancelling `begin`, or running past the transaction's deadline all end in [`LeaseCore::kill`], which stops the
//! running statement, answers what is queued, rolls back and gives the connection back.

mod life;

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use crate::core::Core;
use crate::engine::{Begin, CancelFlag, Job, LoopId, Origin, Sink, TxStatus, Work};
use crate::error::{ErrorKind, ExecError};
pub(crate) use crate::lease::life::LeaseCore;
use crate::lease::life::{Item, Stage, State};
use crate::pin::PinCore;
use crate::registry;
use crate::transaction::{Phase, Transaction, Verb};
use crate::waiter::{Waiter, answer};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaseStatus {
    /// Not begun.
    Idle,
    Open,
    /// Only a rollback (or a rollback to a savepoint) is possible.
    Failed,
    Closed,
    /// The connection was lost.
    Unknown,
}

impl LeaseStatus {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Open => "open",
            Self::Failed => "failed",
            Self::Closed => "closed",
            Self::Unknown => "unknown",
        }
    }
}

/// A transaction. Dropping the last `Arc` rolls it back.
pub struct Lease {
    core: Arc<LeaseCore>,
}

impl Lease {
    pub(crate) fn new(core: Arc<Core>, begin: Begin, origin: Option<Origin>) -> Arc<Self> {
        Self::make(core, None, begin, origin)
    }

    /// A transaction on a connection that is kept; it goes back there.
    pub(crate) fn on_pin(core: Arc<Core>, pin: &Arc<PinCore>, begin: Begin) -> Arc<Self> {
        Self::make(core, Some(Arc::clone(pin)), begin, None)
    }

    fn make(
        core: Arc<Core>,
        pin: Option<Arc<PinCore>>,
        begin: Begin,
        origin: Option<Origin>,
    ) -> Arc<Self> {
        let state = State {
            tx: Transaction::default(),
            stage: Stage::New,
            queue: VecDeque::new(),
            killed: None,
            deadline: None,
            tainted: false,
            asking: None,
            held: None,
            loop_id: LoopId::ANY,
            afterwards: Vec::new(),
        };
        Arc::new(Self {
            core: Arc::new(LeaseCore {
                core,
                pin,
                begin,
                origin,
                state: Mutex::new(state),
            }),
        })
    }

    /// Waits for a connection and begins. `cancel` and `deadline` cover both this wait and the wait for the
    /// database's write lock.
    pub fn begin(
        &self,
        cancel: Arc<CancelFlag>,
        acquire_deadline: Option<Instant>,
        deadline: Option<Instant>,
        sink: Sink,
    ) {
        self.begin_on(LoopId::ANY, cancel, acquire_deadline, deadline, sink);
    }

    pub fn begin_on(
        &self,
        loop_id: LoopId,
        cancel: Arc<CancelFlag>,
        acquire_deadline: Option<Instant>,
        deadline: Option<Instant>,
        sink: Sink,
    ) {
        let Some(sink) = self.ours(sink) else { return };
        let refusal = {
            let mut state = self.core.lock();
            state.loop_id = loop_id;
            match (&state.killed, &state.stage) {
                (Some(error), _) => Some(error.clone()),
                (None, Stage::New) => {
                    state.stage = Stage::Beginning(Arc::clone(&cancel));
                    None
                }
                (None, _) => match state.tx.admit(&Verb::Begin) {
                    Ok(()) => Some(ExecError::new(
                        ErrorKind::Transaction,
                        "the transaction is beginning already",
                    )),
                    Err(error) => Some(error),
                },
            }
        };
        if let Some(error) = refusal {
            return answer(sink, Err(error), TxStatus::Idle);
        }
        let waiter = Waiter::Lease {
            lease: Arc::clone(&self.core),
            cancel,
            deadline,
            sink,
        };
        self.core.wait(loop_id, acquire_deadline, waiter);
    }

    /// Runs what is no transaction control after all that was handed in before.
    pub fn run(&self, job: Job, sink: Sink) {
        let Some(sink) = self.ours(sink) else { return };
        match job.work {
            Work::Statement { .. }
            | Work::Bulk { .. }
            | Work::Script(_)
            | Work::Query(_)
            | Work::CopyIn { .. }
            | Work::OpenCursor { .. }
            | Work::Fetch { .. }
            | Work::CloseCursor(_)
            | Work::CopyOut { .. }
            | Work::Version
            | Work::Ping => self.core.push(Item::Run(job, sink)),
            _ => answer(
                sink,
                Err(ExecError::new(
                    ErrorKind::Internal,
                    "transaction control must use the lease's own methods",
                )),
                TxStatus::Unknown,
            ),
        }
    }

    /// Never cancelled once it is handed to the engine. An error means that nothing was committed, except
    /// `CommitUnknown`; the transaction is over in any case.
    pub fn commit(&self, sink: Sink) {
        if let Some(sink) = self.ours(sink) {
            self.core.push(Item::Commit(sink));
        }
    }

    pub fn rollback(&self, sink: Sink) {
        if let Some(sink) = self.ours(sink) {
            self.core.push(Item::Rollback(sink));
        }
    }

    pub fn savepoint(&self, name: &str, sink: Sink) {
        self.control(Work::Savepoint(name.to_owned()), sink);
    }

    pub fn release(&self, name: &str, sink: Sink) {
        self.control(Work::Release(name.to_owned()), sink);
    }

    pub fn rollback_to(&self, name: &str, sink: Sink) {
        self.control(Work::RollbackTo(name.to_owned()), sink);
    }

    pub fn status(&self) -> LeaseStatus {
        if self.foreign() {
            return LeaseStatus::Closed;
        }
        let state = self.core.lock();
        match (&state.stage, state.tx.phase()) {
            _ if state.killed.is_some() => LeaseStatus::Closed,
            (Stage::New | Stage::Beginning(_), _) => LeaseStatus::Idle,
            (Stage::Over, _) => LeaseStatus::Closed,
            (_, Phase::Idle) => LeaseStatus::Idle,
            (_, Phase::Open) => LeaseStatus::Open,
            (_, Phase::Failed | Phase::Broken { .. }) => LeaseStatus::Failed,
            (_, Phase::Closed) => LeaseStatus::Closed,
            (_, Phase::Lost) => LeaseStatus::Unknown,
        }
    }

    /// The transaction's own deadline, watched by `Database::expire`: past it the transaction is rolled back, a
    /// running statement is stopped, and later calls answer `TransactionTimeout`.
    pub fn set_deadline(&self, deadline: Option<Instant>) {
        if !self.foreign() {
            self.core.lock().deadline = deadline;
        }
    }

    /// Runs `sql` when the transaction has ended, in whatever way, and before anything else runs on its connection: one
    /// that is kept. (Any other is reset after a statement that leaves something in its session.)
    pub fn afterwards(&self, sql: String) {
        if !self.foreign() {
            self.core.lock().afterwards.push(sql);
        }
    }

    /// Rolls back and frees the connection whatever is going on; what is queued answers `TransactionClosed`.
    pub fn abandon(&self) {
        if !self.foreign() {
            self.core.kill(ExecError::new(
                ErrorKind::TransactionClosed,
                "the transaction is over: it was rolled back because its block was left",
            ));
        }
    }

    fn control(&self, work: Work, sink: Sink) {
        if let Some(sink) = self.ours(sink) {
            self.core.push(Item::Run(Job::new(work), sink));
        }
    }

    /// True in a forked child: the transaction belongs to the parent, its locks may be held by threads that do not
    /// exist here.
    fn foreign(&self) -> bool {
        registry::is_foreign(self.core.core.generation)
    }

    fn ours(&self, sink: Sink) -> Option<Sink> {
        if self.foreign() {
            answer(
                sink,
                Err(ExecError::new(
                    ErrorKind::TransactionClosed,
                    "this transaction belongs to the parent process of a fork: begin a new one",
                )),
                TxStatus::Unknown,
            );
            return None;
        }
        Some(sink)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if self.foreign() {
            std::mem::forget(Arc::clone(&self.core));
        } else {
            self.abandon();
        }
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease")
            .field("begin", &self.core.begin)
            .field("status", &self.status())
            .finish_non_exhaustive()
    }
}
