//! Point look-ups on the calling thread.
//!
//! A look-up by rowid or by all columns of a unique index costs less than waking another thread. One read-only
//! connection serves them, for statements whose query plan consists of nothing but such searches; whether a text
//! qualifies is decided once. The connection never waits for a lock and stops after 10 × 200 opcodes: past that,
//! the caller hands the statement to a reader thread.
//!
//! The connection is *taken out* of its home while in use instead of being locked, so that what holds it
//! ([`InlineGuard`]) is `Send` and can travel into a closure that runs without Python's lock.

use std::collections::HashMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::{Connection, StatementStatus};

use crate::cells::{Cells, Rows};
use crate::error::{ErrorKind, ExecError};
use crate::sqlite::open::Source;
use crate::sqlite::place::Place;
use crate::sqlite::plan;
use crate::sqlite::rows::{self, driver_error};
use crate::sqlite::worker::lock;

/// Calls of the progress handler (every 200 opcodes) before a look-up has to go elsewhere.
const BUDGET: u32 = 10;
/// While a plan is being looked at: a thousand times as much.
const PLANNING_BUDGET: u32 = 10_000;
/// Rows with more bytes than this are copied by a thread.
const WIDEST: usize = 256 * 1024;
/// Verdicts kept; all are dropped when there are more.
const VERDICTS: usize = 4096;
/// A look-up that was stopped this often is not one.
const STRIKES: u8 = 3;

#[derive(Debug)]
pub enum Inline {
    Done,
    /// The database is locked: use `run`.
    Busy,
    /// Longer than a point look-up may take: use `run`.
    OverBudget,
    /// Never inline: use `run`.
    NotEligible,
    Failed(ExecError),
}

/// Where the connection stays while nobody uses it.
pub(crate) struct InlineHome {
    slot: Mutex<Option<Box<InlineConn>>>,
    closed: AtomicBool,
    source: Arc<Source>,
}

struct InlineConn {
    db: Option<Connection>,
    place: Option<Place>,
    left: Arc<AtomicU32>,
    verdicts: HashMap<Arc<str>, Verdict>,
}

#[derive(Clone, Copy)]
enum Verdict {
    /// With the number of times it ran over its budget.
    Yes(u8),
    No,
}

/// The right to use the inline connection; gives it back when dropped.
pub struct InlineGuard<'a> {
    home: &'a InlineHome,
    conn: Option<Box<InlineConn>>,
}

impl InlineHome {
    pub(crate) fn new(source: Arc<Source>) -> Self {
        Self {
            slot: Mutex::new(Some(InlineConn::new())),
            closed: AtomicBool::new(false),
            source,
        }
    }

    /// Never blocks.
    pub(crate) fn try_take(&self) -> Option<InlineGuard<'_>> {
        if self.closed.load(Ordering::Acquire) || !self.source.initialised.load(Ordering::Acquire) {
            return None;
        }
        let conn = self.slot.try_lock().ok()?.take()?;
        Some(InlineGuard {
            home: self,
            conn: Some(conn),
        })
    }

    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        drop(lock(&self.slot).take());
    }

    /// Before a fork: closes the connection and keeps the home empty until `resume`.
    pub(crate) fn pause(&self, deadline: Instant) -> bool {
        loop {
            if let Some(mut conn) = lock(&self.slot).take() {
                conn.close();
                return true;
            }
            if self.closed.load(Ordering::Acquire) {
                return true;
            }
            if Instant::now() >= deadline {
                return false;
            }
            thread::sleep(Duration::from_micros(50));
        }
    }

    pub(crate) fn resume(&self) {
        lock(&self.slot).get_or_insert_with(InlineConn::new);
    }
}

impl InlineGuard<'_> {
    /// Call it without Python's lock. `out` is cleared first and holds the rows after `Inline::Done`.
    pub fn run(&mut self, sql: &Arc<str>, params: &Cells, out: &mut Rows) -> Inline {
        out.clear();
        let Some(conn) = &mut self.conn else {
            return Inline::Busy;
        };
        let source = &self.home.source;
        let result = catch_unwind(AssertUnwindSafe(|| conn.run(source, sql, params, out)));
        let inline = result.unwrap_or_else(|_| {
            let broken = conn.db.take();
            let _ = catch_unwind(AssertUnwindSafe(move || drop(broken)));
            Inline::Failed(ExecError::new(
                ErrorKind::Internal,
                "a bug in Oxyde or its driver: a look-up panicked",
            ))
        });
        if !matches!(inline, Inline::Done) {
            out.clear();
        }
        inline
    }
}

impl Drop for InlineGuard<'_> {
    fn drop(&mut self) {
        if let Some(conn) = self.conn.take()
            && !self.home.closed.load(Ordering::Acquire)
        {
            *lock(&self.home.slot) = Some(conn);
        }
    }
}

impl InlineConn {
    fn new() -> Box<Self> {
        Box::new(Self {
            db: None,
            place: None,
            left: Arc::new(AtomicU32::new(0)),
            verdicts: HashMap::new(),
        })
    }

    fn close(&mut self) {
        if let Some(db) = self.db.take() {
            let _ = db.set_db_config(
                rusqlite::config::DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE,
                true,
            );
        }
    }

    fn run(&mut self, source: &Source, sql: &Arc<str>, params: &Cells, out: &mut Rows) -> Inline {
        if source.has_moved(&mut self.place) {
            // The threads find the same; the next look-up opens what is there now.
            self.close();
            self.place = None;
            self.verdicts.clear();
            return Inline::Busy;
        }
        let strikes = match self.verdicts.get(sql) {
            Some(Verdict::Yes(strikes)) => *strikes,
            Some(Verdict::No) => return Inline::NotEligible,
            None => match self.decide(source, sql) {
                Ok(true) => 0,
                Ok(false) => return Inline::NotEligible,
                Err(inline) => return inline,
            },
        };
        let Some(db) = &self.db else {
            return Inline::Busy;
        };
        self.left.store(BUDGET, Ordering::Relaxed);
        match look_up(db, sql, params, out) {
            Ok(reprepared) => {
                if reprepared {
                    // The schema changed: the plan may be another one.
                    self.verdicts.remove(sql);
                } else if out.cells.heap_len() > WIDEST {
                    self.verdicts.insert(Arc::clone(sql), Verdict::No);
                }
                Inline::Done
            }
            Err(Failure::Ours(error)) => Inline::Failed(error),
            Err(Failure::Driver(error)) if rows::is_code(&error, rows::INTERRUPTED) => {
                let verdict = if strikes.saturating_add(1) < STRIKES {
                    Verdict::Yes(strikes.saturating_add(1))
                } else {
                    Verdict::No
                };
                self.verdicts.insert(Arc::clone(sql), verdict);
                Inline::OverBudget
            }
            Err(Failure::Driver(error)) if rows::is_code(&error, rows::LOCKED) => Inline::Busy,
            Err(Failure::Driver(error)) => Inline::Failed(driver_error(&error)),
        }
    }

    /// What cannot be looked at now is left to the threads, which report errors with all they know.
    fn decide(&mut self, source: &Source, sql: &Arc<str>) -> Result<bool, Inline> {
        if self.db.is_none() {
            let left = Arc::clone(&self.left);
            self.left.store(PLANNING_BUDGET, Ordering::Relaxed);
            let over_budget = move || {
                left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1))
                    .is_err()
            };
            self.db = Some(source.open_inline(over_budget).map_err(|_| Inline::Busy)?);
            self.place = source.place();
        }
        let Some(db) = &self.db else {
            return Err(Inline::Busy);
        };
        self.left.store(PLANNING_BUDGET, Ordering::Relaxed);
        let eligible = plan::is_point_read(db, sql).map_err(|_| Inline::NotEligible)?;
        if self.verdicts.len() >= VERDICTS {
            self.verdicts.clear();
        }
        self.verdicts.insert(
            Arc::clone(sql),
            if eligible {
                Verdict::Yes(0)
            } else {
                Verdict::No
            },
        );
        Ok(eligible)
    }
}

enum Failure {
    Ours(ExecError),
    Driver(rusqlite::Error),
}

/// True if the statement had to be prepared again.
fn look_up(db: &Connection, sql: &str, params: &Cells, out: &mut Rows) -> Result<bool, Failure> {
    rows::check(params).map_err(Failure::Ours)?;
    let mut statement = db.prepare_cached(sql).map_err(Failure::Driver)?;
    rows::bind(&mut statement, params.iter()).map_err(Failure::Ours)?;
    out.width = rows::step(&mut statement, Some(&mut out.cells)).map_err(Failure::Driver)?;
    Ok(statement.reset_status(StatementStatus::RePrepare) > 0)
}

impl fmt::Debug for InlineHome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InlineHome").finish_non_exhaustive()
    }
}

impl fmt::Debug for InlineGuard<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InlineGuard").finish_non_exhaustive()
    }
}
