//! How a statement is stopped without ever hitting the next one.
//!
//! The request to cancel goes over a connection of its own and acts on whatever the server's process does when it
//! arrives. So after one was sent the statement's completion is held back until the server has closed that other
//! connection (the request has been dealt with) and has answered one Sync after it. Behind a pooler nobody can know
//! whom a late request hits: the connection is closed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::engine::{Completion, TxStatus};
use crate::error::{ErrorKind, ExecError};
use crate::wire::link::active::{Active, Sent, Urgency};
use crate::wire::link::requests::unsent;
use crate::wire::link::{GOODBYE, Inner, Link, Stage};
use crate::wire::session::Cancel;

pub(super) struct Cancelling {
    /// Past it the connection is given up.
    pub deadline: Instant,
    /// The request is sent once more if the statement still runs then: it may have reached the server before the
    /// statement did, and a pooler drops what it cannot place yet.
    pub again: Option<Instant>,
    pub progress: Progress,
    /// Whether the server was told by the login that was meant for that; without one a request is told as it is made.
    pub errand: Option<Arc<AtomicBool>>,
    /// Of some request nobody knows whether it was taken note of.
    pub doubtful: bool,
    /// The job that was cancelled, when the server is done with it.
    pub held: Option<(Active, TxStatus)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    Sent,
    /// The server has taken note, or was told nothing.
    Noted,
    /// Nobody knows whether the server will act on it.
    Doubtful,
    /// A last round trip is under way.
    Settling,
}

/// What follows when a job or its cancelling has come further.
pub(super) enum Settled {
    Waiting,
    Finish(Box<Active>, TxStatus),
    /// The connection cannot be used again.
    GiveUp(Box<Active>),
}

/// How long a statement may go on after the server has taken note of a request to cancel.
const AGAIN: Duration = Duration::from_millis(200);

impl Cancelling {
    pub(super) fn next_deadline(&self) -> Instant {
        self.again
            .map_or(self.deadline, |again| again.min(self.deadline))
    }

    pub(super) fn into_held(self) -> Option<Active> {
        self.held.map(|(active, _)| active)
    }
}

impl Link {
    /// Cancels the statement that the server works on, if that is what its caller wants.
    pub(super) fn stop_head(self: &Arc<Self>) {
        let (request, deadline) = {
            let mut inner = self.lock();
            if !matches!(inner.stage, Stage::Ready) || inner.cancelling.is_some() {
                return;
            }
            let wanted = inner.jobs.front().is_some_and(|head| {
                head.urgency == Urgency::None
                    && head.cancel.is_set()
                    && !matches!(head.sent, Sent::Settle)
            });
            if !wanted {
                return;
            }
            let budget = self.shared.rules.drain_budget;
            let budget = if inner.hurry {
                budget.min(GOODBYE)
            } else {
                budget
            };
            let deadline = Instant::now() + budget;
            if inner.stop_supply(deadline) {
                (None, inner.next_cancelling(deadline))
            } else {
                let Some(request) = inner.cancel_request() else {
                    drop(inner);
                    return self.die(ExecError::new(
                        ErrorKind::ConnectionLost,
                        "the connection was closed to stop a statement on it",
                    ));
                };
                // Whatever is still to be sent belongs to the statement that is to be stopped, or follows it.
                inner.holding = false;
                inner.cancelling = Some(Cancelling {
                    deadline,
                    again: None,
                    progress: Progress::Sent,
                    errand: None,
                    doubtful: false,
                    held: None,
                });
                (Some(request), deadline)
            }
        };
        self.shared.alarm(self.loop_id, deadline);
        self.flush();
        if let Some(request) = request {
            self.shared.driver.cancel(self, request);
        }
    }

    /// The statement still runs although the server has had time to act.
    pub(super) fn cancel_again(self: &Arc<Self>) {
        let request = {
            let mut inner = self.lock();
            if !matches!(inner.stage, Stage::Ready) {
                return;
            }
            match &mut inner.cancelling {
                Some(cancelling) if cancelling.held.is_none() => {
                    cancelling.progress = Progress::Sent;
                    cancelling.again = None;
                }
                _ => return,
            }
            inner.cancel_request()
        };
        if let Some(request) = request {
            self.shared.driver.cancel(self, request);
        }
    }

    pub(super) fn cancel_answered(self: &Arc<Self>, ok: bool) {
        let settled = {
            let mut inner = self.lock();
            let pooled = inner.peer.pooled;
            let Some(cancelling) = &mut inner.cancelling else {
                return;
            };
            if cancelling.progress == Progress::Sent {
                let told = cancelling
                    .errand
                    .take()
                    .is_none_or(|errand| errand.load(Ordering::Acquire));
                cancelling.doubtful |= pooled || (told && !ok);
                cancelling.progress = if cancelling.doubtful {
                    Progress::Doubtful
                } else {
                    Progress::Noted
                };
                if cancelling.held.is_none() {
                    cancelling.again = Some(Instant::now() + AGAIN);
                }
            }
            inner.settle()
        };
        self.shared.alarm(
            self.loop_id,
            Instant::now() + AGAIN + Duration::from_millis(1),
        );
        self.settled(settled);
    }

    pub(super) fn settled(self: &Arc<Self>, settled: Settled) {
        match settled {
            Settled::Waiting => {}
            Settled::Finish(active, tx) => {
                self.rest();
                active.finish(tx, true);
                self.stop_head();
                self.go_on_when_quiet();
            }
            Settled::GiveUp(active) => {
                // First the connection, then the word that it is gone.
                let channel = {
                    let mut inner = self.lock();
                    inner.stage = Stage::Dead;
                    inner.channel.take()
                };
                if let Some(channel) = channel {
                    channel.abort();
                }
                self.shared.forget(self.id);
                let (followers, deferred, closed) = {
                    let mut inner = self.lock();
                    (
                        std::mem::take(&mut inner.jobs),
                        std::mem::take(&mut inner.deferred),
                        inner.closed.take(),
                    )
                };
                // Others may have shared the connection while the pool takes it for idle.
                self.shared.tell_lost(self.id);
                let error = ExecError::new(
                    ErrorKind::ConnectionLost,
                    "the connection was closed after a statement on it was cancelled",
                );
                active.finish(TxStatus::Unknown, false);
                for follower in followers {
                    follower.finish_lost(&error);
                }
                for (job, done) in deferred {
                    unsent(*job, done);
                }
                if let Some(closed) = closed {
                    closed(Completion::lost(error));
                }
            }
        }
    }

    pub(super) fn rest(&self) {
        let mut inner = self.lock();
        if inner.jobs.is_empty() {
            inner.idle_since = Some(Instant::now());
        }
    }
}

impl Inner {
    /// Nothing runs here and nothing can be hit by a request to cancel.
    pub(super) fn is_quiet(&self) -> bool {
        self.jobs.is_empty() && self.cancelling.is_none()
    }

    /// `None`: there is no other way than to close the connection. What another party calls our session is nothing to
    /// kill on the server.
    fn cancel_request(&self) -> Option<Cancel> {
        let request = self.session.as_ref()?.cancel()?;
        let own = !(self.peer.pooled && matches!(request, Cancel::Statement(_)));
        own.then_some(request)
    }

    fn next_cancelling(&self, or: Instant) -> Instant {
        let next = self.cancelling.as_ref().map(Cancelling::next_deadline);
        next.unwrap_or(or)
    }

    /// Whether it is time to ask the server once more; answers that once.
    pub(super) fn cancels_again(&mut self, now: Instant) -> bool {
        match &mut self.cancelling {
            Some(cancelling) if cancelling.held.is_none() => {
                cancelling.again.take_if(|again| *again <= now).is_some()
            }
            _ => false,
        }
    }

    /// The cancelled job is over and the request has been dealt with: one more round trip; after that it is finished.
    pub(super) fn settle(&mut self) -> Settled {
        let Some(cancelling) = &mut self.cancelling else {
            return Settled::Waiting;
        };
        if cancelling.held.is_none() {
            return Settled::Waiting;
        }
        match cancelling.progress {
            Progress::Sent | Progress::Settling => Settled::Waiting,
            Progress::Doubtful => match self.cancelling.take().and_then(Cancelling::into_held) {
                Some(active) => Settled::GiveUp(Box::new(active)),
                None => Settled::Waiting,
            },
            Progress::Noted => {
                cancelling.progress = Progress::Settling;
                let settling = self.server.settling();
                match self
                    .session
                    .as_mut()
                    .map(|session| settling.submit(&mut **session))
                {
                    Some(Ok(())) => {
                        self.jobs.push_back(Active::round_trip(Sent::Settle, None));
                        Settled::Waiting
                    }
                    _ => match self.cancelling.take().and_then(Cancelling::into_held) {
                        Some(active) => Settled::GiveUp(Box::new(active)),
                        None => Settled::Waiting,
                    },
                }
            }
        }
    }

    /// The last round trip is over.
    pub(super) fn has_settled(&mut self) -> Settled {
        match self
            .cancelling
            .take()
            .and_then(|cancelling| cancelling.held)
        {
            Some((active, tx)) => Settled::Finish(Box::new(active), tx),
            None => Settled::Waiting,
        }
    }
}
