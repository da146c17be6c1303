//! Callers: who waits for a connection, how they are answered, and in what state they leave one.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use crate::engine::{
    CancelFlag, CancelReason, Completion, Job, LoopId, Origin, Outcome, Sink, TxStatus,
};
use crate::error::{ErrorKind, ExecError};
use crate::lease::LeaseCore;
use crate::pin::PinCore;
use crate::pool::{Load, Refusal};

/// Who waits for a connection.
pub(crate) enum Waiter {
    Run {
        job: Job,
        loop_id: LoopId,
        sink: Sink,
    },
    Lease {
        lease: Arc<LeaseCore>,
        cancel: Arc<CancelFlag>,
        deadline: Option<Instant>,
        sink: Sink,
    },
    /// Somebody who keeps it.
    Pin {
        pin: Arc<PinCore>,
        cancel: Arc<CancelFlag>,
        sink: Sink,
    },
}

impl Waiter {
    pub(crate) fn cancel(&self) -> &Arc<CancelFlag> {
        match self {
            Self::Run { job, .. } => &job.cancel,
            Self::Lease { cancel, .. } | Self::Pin { cancel, .. } => cancel,
        }
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        match self {
            Self::Run { job, .. } => job.deadline,
            Self::Lease { deadline, .. } => *deadline,
            Self::Pin { .. } => None,
        }
    }

    /// Tells the caller that there is no connection for it. `holder`: who has held a connection for the longest time, if
    /// that is more than a statement.
    pub(crate) fn refuse(self, database: &str, why: Refusal, holder: Option<&Holder>) {
        let error = match why {
            Refusal::Timeout(_)
                if self
                    .deadline()
                    .is_some_and(|deadline| deadline <= Instant::now()) =>
            {
                cancelled(CancelReason::Timeout)
                    .with_detail("it was still waiting for a connection")
            }
            Refusal::Timeout(load) => busy(
                database,
                "no connection became free before the acquire deadline",
                &load,
                holder,
            ),
            Refusal::Full(load) => busy(
                database,
                "too many callers wait for a connection already",
                &load,
                holder,
            ),
            Refusal::OpenFailed(cause) => cause,
            Refusal::Cancelled => {
                cancelled(self.cancel().reason().unwrap_or(CancelReason::Cancelled))
            }
            Refusal::LoopClosed => {
                ExecError::new(ErrorKind::Closed, "the event loop of this call was closed")
            }
            Refusal::Closed => ExecError::new(
                ErrorKind::Closed,
                format!("database {:?} is closed", database),
            ),
        };
        self.fail(error);
    }

    /// Tells the caller why it gets none.
    pub(crate) fn fail(self, error: ExecError) {
        match self {
            Self::Run { sink, .. } => answer(sink, Err(error), TxStatus::Idle),
            Self::Lease { lease, sink, .. } => lease.refused(error, sink),
            Self::Pin { pin, sink, .. } => pin.refused(error, sink),
        }
    }
}

fn busy(database: &str, what: &str, load: &Load, holder: Option<&Holder>) -> ExecError {
    let who = match holder {
        Some(Holder {
            what,
            origin: Some(origin),
        }) => format!("the {what} at {origin}"),
        Some(Holder { what, origin: None }) => format!("a {what} at a place that is not known"),
        None => "a statement outside of a transaction".to_owned(),
    };
    let held = match load.longest_hold {
        Some((held, _)) => format!(
            ", the longest holder for {:.1} s is {who}",
            held.as_secs_f64()
        ),
        None => String::new(),
    };
    ExecError::new(
        ErrorKind::PoolTimeout,
        format!(
            "database {:?}: {what}: in_use {} of {}, waiting {}{held}",
            database, load.in_use, load.max_connections, load.waiting
        ),
    )
    .with_hint("shorten transactions, or raise max_connections or acquire_timeout")
}

/// Answers a caller. A sink that panics must not take the thread that completes everybody's work with it.
pub(crate) fn answer(sink: Sink, result: Result<Outcome, ExecError>, tx: TxStatus) {
    let _ = catch_unwind(AssertUnwindSafe(move || sink(result, tx)));
}

pub(crate) fn cancelled(reason: CancelReason) -> ExecError {
    match reason {
        CancelReason::Cancelled => ExecError::new(ErrorKind::Cancelled, "the call was cancelled"),
        CancelReason::Timeout => ExecError::new(
            ErrorKind::QueryTimeout,
            "the statement ran into its deadline",
        ),
        CancelReason::Closing => ExecError::new(ErrorKind::Closed, "the database is being closed"),
    }
}

/// Who holds a connection for longer than a statement.
pub(crate) struct Holder {
    /// "transaction begun", "kept connection asked for": what the place follows.
    pub what: &'static str,
    pub origin: Option<Origin>,
}

/// The state a job left its connection in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Left {
    pub tx: TxStatus,
    pub alive: bool,
    pub tainted: bool,
    /// Tidying up was tried already.
    pub tidied: bool,
    /// A transaction was not begun, but what was to hold for it may wait for the next one.
    pub half_begun: bool,
}

impl Left {
    pub(crate) fn clean() -> Self {
        Self {
            tx: TxStatus::Idle,
            alive: true,
            tainted: false,
            tidied: false,
            half_begun: false,
        }
    }

    pub(crate) fn of(completion: &Completion) -> Self {
        Self {
            tx: completion.tx,
            alive: completion.alive,
            tainted: completion.tainted,
            tidied: false,
            half_begun: false,
        }
    }
}
