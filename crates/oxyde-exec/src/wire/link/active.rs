//! A job that was sent and what has come back for it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use crate::copy::CopySource;
use crate::engine::{
    Begin, CancelFlag, Completion, CopyReader, CursorId, Done, Job, Outcome, TxStatus, Work,
};
use crate::error::{Effect, ErrorKind, ExecError};
use crate::query::{Query, RowReader};
use crate::waiter::cancelled;
use crate::wire::server::{Plain, Plan};
use crate::wire::session::{Session, Shape};

/// What a job's deadline does to its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Urgency {
    /// The statement is cancelled.
    None,
    /// Must not be disturbed: without an answer in time its outcome is unknown.
    Commit,
    /// Tidies up: without an answer in time the connection is given up.
    Tidy,
}

/// What was sent, as far as it has to be known later.
pub(super) enum Sent {
    Query {
        query: Box<Query>,
        /// What the server expects and gives, as far as it had said so before.
        described: Option<Shape>,
        /// Its rows come in pieces of so many.
        cursor: Option<(CursorId, u32)>,
    },
    Copy {
        from: Arc<dyn CopySource>,
        /// The server takes data.
        open: bool,
    },
    /// Takes the next rows of a cursor.
    Fetch(Option<Box<dyn RowReader>>),
    CopyOut(Arc<dyn CopyReader>),
    Begin(Begin, Rest),
    Plain(Rest),
    /// The round trip that ends a cancelling.
    Settle,
    /// The sign of life before a statement.
    Probe,
}

/// How far a statement is that has a savepoint around it.
pub(super) enum Guard {
    /// The savepoint is being set.
    Before,
    /// The statement runs.
    Inside,
    /// The savepoint is being released; what the server said of the statement.
    After {
        error: Option<ExecError>,
        stopped: bool,
        tries: u8,
    },
}

/// What is left of a job of several requests.
#[derive(Default)]
pub(super) struct Rest {
    /// Still to be sent.
    pub requests: VecDeque<Plain>,
    /// Sent behind the one that the server works on.
    pub in_flight: usize,
}

impl Rest {
    /// Sends the first of a plan's requests, or all of them. An error means that nothing was sent.
    pub(super) fn start(&mut self, session: &mut dyn Session, plan: Plan) -> Result<(), ExecError> {
        self.requests = plan.requests;
        match self.requests.pop_front() {
            Some(first) => first.submit(session)?,
            None => session.sync().map(drop)?,
        }
        while plan.at_once
            && let Some(next) = self.requests.front()
            && next.submit(session).is_ok()
        {
            self.requests.pop_front();
            self.in_flight += 1;
        }
        Ok(())
    }
}

pub(super) struct Active {
    pub sent: Sent,
    pub cancel: Arc<CancelFlag>,
    pub deadline: Option<Instant>,
    pub urgency: Urgency,
    pub done: Option<Done>,
    pub error: Option<ExecError>,
    /// The error says that the statement was stopped by a request to cancel.
    pub stopped: bool,
    /// The error may come from a statement that was prepared before something changed.
    pub outdated: bool,
    pub outcome: Outcome,
    pub guard: Option<Guard>,
    pub taints: bool,
    /// Rows were shown to the reader: it cannot be run again unnoticed.
    pub rows_seen: bool,
    /// The statement was prepared before: its plan may be stale.
    pub was_prepared: bool,
    pub sent_at: Instant,
    pub tries: u8,
    pub tx_before: TxStatus,
}

impl Active {
    /// A round trip of our own (`Settle`, `Probe`).
    pub(super) fn round_trip(sent: Sent, deadline: Option<Instant>) -> Self {
        Self {
            sent,
            cancel: Arc::new(CancelFlag::new()),
            deadline,
            urgency: Urgency::Tidy,
            done: None,
            error: None,
            stopped: false,
            outdated: false,
            outcome: Outcome::default(),
            guard: None,
            taints: false,
            rows_seen: false,
            was_prepared: false,
            sent_at: Instant::now(),
            tries: 0,
            tx_before: TxStatus::Idle,
        }
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Raw SQL that may end a transaction and open the next one at once.
    pub(super) fn chains(&self) -> bool {
        match &self.sent {
            Sent::Query { query, .. } if !query.pure_read => {
                query.statement.sql.to_ascii_lowercase().contains("chain")
            }
            _ => false,
        }
    }

    /// Whether what the server says now is about the statement, not about the savepoint around it.
    pub(super) fn is_at_work(&self) -> bool {
        matches!(self.guard, None | Some(Guard::Inside))
    }

    pub(super) fn sql(&self) -> Option<&str> {
        match &self.sent {
            Sent::Query { query, .. } => Some(&query.statement.sql),
            _ => None,
        }
    }

    pub(super) fn is_pure_read(&self) -> bool {
        matches!(&self.sent, Sent::Query { query, .. } if query.pure_read)
    }

    /// A read that nobody who is put behind it has to wait for.
    pub(super) fn is_short_read(&self) -> bool {
        matches!(&self.sent, Sent::Query { query, .. } if query.pure_read && !query.statement.is_long())
    }

    /// Whether to prepare the statement again and run it once more: it failed as a whole, outside of a transaction.
    pub(super) fn is_stale(&self, error: &ExecError) -> bool {
        let Sent::Query { .. } = &self.sent else {
            return false;
        };
        if self.tries > 0
            || self.rows_seen
            || self.tx_before != TxStatus::Idle
            || self.cancel.is_set()
        {
            return false;
        }
        error.is_stale_plan() || (self.was_prepared && self.outdated)
    }

    /// What is left of this job, if it has several requests.
    pub(super) fn rest(&mut self) -> Option<&mut Rest> {
        match &mut self.sent {
            Sent::Begin(_, rest) | Sent::Plain(rest) => Some(rest),
            _ => None,
        }
    }

    /// The completion after the server's last word.
    pub(super) fn finish(mut self, tx: TxStatus, alive: bool) {
        self.cancel.unwatch();
        // What was meant for this transaction may wait for the next one.
        let half_begun = self.error.is_some()
            && matches!(&self.sent, Sent::Begin(begin, _) if begin.isolation.is_some());
        let result = match self.error.take() {
            None => Ok(std::mem::take(&mut self.outcome)),
            Some(error) => Err(self.doubt(self.explain(error), tx)),
        };
        if let Some(done) = self.done.take() {
            done(Completion {
                result,
                tx: if alive { tx } else { TxStatus::Unknown },
                alive,
                tainted: self.taints || half_begun,
                unsent: None,
            });
        }
    }

    /// A statement of MySQL that commits by itself does so before it fails; what is rolled back has other errors.
    fn doubt(&self, mut error: ExecError, tx: TxStatus) -> ExecError {
        let ended = self.tx_before == TxStatus::InTransaction
            && tx == TxStatus::Idle
            && matches!(self.sent, Sent::Query { .. });
        let rolled_back = matches!(
            error.kind,
            ErrorKind::Deadlock | ErrorKind::LockTimeout | ErrorKind::Serialization
        );
        if ended && !rolled_back {
            error.outcome = Effect::Unknown;
            error.retryable = false;
        }
        error
    }

    fn explain(&self, mut error: ExecError) -> ExecError {
        match self.cancel.reason() {
            Some(reason) if self.stopped => cancelled(reason),
            _ => {
                // By somebody else: the caller is still there.
                if self.stopped && error.kind == ErrorKind::Cancelled {
                    error.kind = ErrorKind::Operational;
                }
                if error.is_stale_plan() {
                    error.retryable = true;
                }
                error
            }
        }
    }

    /// The connection was lost before the server's last word.
    pub(super) fn finish_lost(mut self, error: &ExecError) {
        self.cancel.unwatch();
        let Some(done) = self.done.take() else { return };
        let mut completion = Completion::lost(error.clone());
        let is_bug = error.kind == ErrorKind::Internal;
        let may_be_applied = self.tx_before == TxStatus::Idle
            && !self.is_pure_read()
            && self.urgency == Urgency::None;
        if let Some(reason) = self.cancel.reason()
            && self.urgency == Urgency::None
        {
            let mut error = cancelled(reason);
            if may_be_applied {
                error.outcome = Effect::Unknown;
            }
            completion.result = Err(error);
        } else if !is_bug && self.may_run_elsewhere() {
            completion.unsent = self.into_job().map(Box::new);
        } else if let Err(error) = &mut completion.result
            && may_be_applied
        {
            if !is_bug {
                error.kind = ErrorKind::ConnectionLost;
            }
            error.outcome = Effect::Unknown;
            error.retryable = false;
        }
        done(completion);
    }

    /// Nothing came of it, through no fault of its own and of the connection's.
    pub(super) fn finish_elsewhere(mut self) {
        self.cancel.unwatch();
        let Some(done) = self.done.take() else { return };
        let mut completion = Completion::ok(Outcome::default(), TxStatus::Idle);
        completion.unsent = self.into_job().map(Box::new);
        done(completion);
    }

    fn may_run_elsewhere(&self) -> bool {
        self.tries == 0
            && !self.rows_seen
            && self.tx_before == TxStatus::Idle
            && self.error.is_none()
            && (self.is_pure_read() || matches!(self.sent, Sent::Begin(..)))
    }

    fn into_job(self) -> Option<Job> {
        let work = match self.sent {
            Sent::Query { query, .. } => Work::Query(query),
            Sent::Begin(begin, _) => Work::Begin(begin),
            Sent::Copy { .. }
            | Sent::CopyOut(_)
            | Sent::Fetch(_)
            | Sent::Plain(_)
            | Sent::Settle
            | Sent::Probe => {
                return None;
            }
        };
        let mut job = Job::with_cancel(work, self.cancel, self.deadline);
        job.tries = self.tries.saturating_add(1);
        Some(job)
    }
}
