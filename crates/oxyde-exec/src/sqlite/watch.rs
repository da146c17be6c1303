//! How running SQL is stopped: flags tested by SQLite's own callbacks on the thread that runs it.
//!
//! `sqlite3_interrupt` stops whatever a connection happens to be running, which may already be the next borrower's
//! statement. A flag that belongs to one request, tested in the progress handler (every 1000 opcodes) and between
//! two attempts to get a lock, can only ever stop that request.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::engine::{CancelFlag, CancelReason};
use crate::error::ExecError;
use crate::waiter::cancelled;

/// Opcodes between two tests: some 20 to 50 µs of work.
pub(crate) const PROGRESS_STEP: i32 = 1000;

const FIRST_NAP: Duration = Duration::from_micros(200);
const LONGEST_NAP: Duration = Duration::from_millis(10);

/// One per connection.
pub(crate) struct Watch {
    current: Mutex<Current>,
    /// Why the running request was stopped, if it was.
    fired: AtomicU8,
    /// The engine's: everything is to stop.
    abort: Arc<AtomicBool>,
    busy_timeout: Duration,
}

#[derive(Default)]
struct Current {
    cancel: Option<Arc<CancelFlag>>,
    deadline: Option<Instant>,
    /// COMMIT and ROLLBACK are never stopped.
    shielded: bool,
    busy_since: Option<Instant>,
    /// Work on a caller's thread: so many more calls of the progress handler, and no waiting for locks.
    budget: Option<u32>,
}

impl Watch {
    pub(crate) fn new(abort: Arc<AtomicBool>, busy_timeout: Duration) -> Self {
        Self {
            current: Mutex::new(Current::default()),
            fired: AtomicU8::new(0),
            abort,
            busy_timeout,
        }
    }

    pub(crate) fn arm(&self, cancel: Arc<CancelFlag>, deadline: Option<Instant>, shielded: bool) {
        self.fired.store(0, Ordering::Relaxed);
        *self.lock() = Current {
            cancel: Some(cancel),
            deadline,
            shielded,
            busy_since: None,
            budget: None,
        };
    }

    /// For work that must be short: it is interrupted after `budget` calls of the progress handler and takes no for an
    /// answer where others wait for a lock. `Some(0)` allows up to one step of opcodes.
    pub(crate) fn arm_briefly(&self, budget: u32) {
        self.fired.store(0, Ordering::Relaxed);
        *self.lock() = Current {
            budget: Some(budget),
            ..Current::default()
        };
    }

    /// The progress handler: whether to interrupt.
    pub(crate) fn interrupts(&self) -> bool {
        if let Some(left) = &mut self.lock().budget {
            return match left.checked_sub(1) {
                Some(fewer) => {
                    *left = fewer;
                    false
                }
                None => true,
            };
        }
        self.stop().is_some()
    }

    pub(crate) fn disarm(&self) {
        *self.lock() = Current::default();
    }

    /// Whether the running request is to stop.
    pub(crate) fn stop(&self) -> Option<CancelReason> {
        let reason = {
            let current = self.lock();
            if current.shielded {
                return None;
            }
            let asked = current.cancel.as_ref().and_then(|cancel| cancel.reason());
            asked
                .or_else(|| {
                    current
                        .deadline
                        .filter(|at| *at <= Instant::now())
                        .map(|_| CancelReason::Timeout)
                })
                .or_else(|| {
                    self.abort
                        .load(Ordering::Relaxed)
                        .then_some(CancelReason::Closing)
                })
        };
        if let Some(reason) = reason {
            let code = match reason {
                CancelReason::Cancelled => 1,
                CancelReason::Timeout => 2,
                CancelReason::Closing => 3,
            };
            self.fired.store(code, Ordering::Relaxed);
        }
        reason
    }

    /// The busy handler: sleeps a little and says whether to try again.
    pub(crate) fn wait_for_lock(&self, attempt: i32) -> bool {
        if self.lock().budget.is_some() || self.stop().is_some() {
            return false;
        }
        let now = Instant::now();
        let since = {
            let mut current = self.lock();
            if attempt <= 0 {
                current.busy_since = Some(now);
            }
            *current.busy_since.get_or_insert(now)
        };
        let left = self
            .busy_timeout
            .saturating_sub(now.saturating_duration_since(since));
        if left.is_zero() {
            return false;
        }
        let doublings = u32::try_from(attempt).unwrap_or_default().min(6);
        thread::sleep(
            FIRST_NAP
                .saturating_mul(1 << doublings)
                .min(LONGEST_NAP)
                .min(left),
        );
        true
    }

    /// The error of a request that was stopped by us.
    pub(crate) fn verdict(&self) -> Option<ExecError> {
        match self.fired.load(Ordering::Relaxed) {
            0 => None,
            1 => Some(cancelled(CancelReason::Cancelled)),
            2 => Some(cancelled(CancelReason::Timeout)),
            _ => Some(cancelled(CancelReason::Closing)),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch")
            .field("fired", &self.fired)
            .finish_non_exhaustive()
    }
}
