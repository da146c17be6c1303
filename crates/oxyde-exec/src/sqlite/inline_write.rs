//! Single autocommit writes on the calling thread.
//!
//! An INSERT of one row, or an UPDATE or DELETE of rows found by a key, takes a few microseconds where the commit syncs
//! nothing; handing it to the writer thread and back takes twenty. So the caller borrows the writer's connection:
//! the pool counts it as in use for as long as that takes, exactly as if the writer thread had it. It is had at
//! once or not at all — nobody waits for it, nobody who waits is passed by — and whatever does not fit goes to the
//! writer thread by `Database::run`:
//!
//! * statements that do not qualify by their plan, run over their budget of opcodes (SQLite rolls them back) or carry
//!   large values; those that are slow several times in a row, for a while;
//! * a file that another process has locked: the writer thread waits for it;
//! * a commit that would sync (`synchronous` FULL, a rollback journal), and what concerns the write-ahead log's
//!   end and beginning, see `log`.

use std::collections::HashMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rusqlite::{Connection, StatementStatus};

use crate::cells::Cells;
use crate::core::Core;
use crate::engine::{ConnId, Outcome, TxStatus};
use crate::error::{ErrorKind, ExecError};
use crate::sqlite::engine::SqliteEngine;
use crate::sqlite::inline::Inline;
use crate::sqlite::jobs::affected_since;
use crate::sqlite::open::Conn;
use crate::sqlite::plan;
use crate::sqlite::rows::{self, driver_error};
use crate::sqlite::worker::Pass;
use crate::waiter::Left;

/// Calls of the progress handler (every 1000 opcodes) before a write has to go elsewhere: 0.1 ms or so.
const BUDGET: u32 = 2;
/// While a plan is being looked at.
const PLANNING_BUDGET: u32 = 2_000;
/// More bytes than this are written by the writer thread.
const WIDEST: usize = 64 * 1024;
/// What opcodes do not tell: values that fill many pages, a disk that cannot follow.
const SLOW: Duration = Duration::from_millis(1);
/// So many slow ones in a row and the text is left to the writer thread for the next `REST` times.
const SLOW_RUNS: u8 = 3;
const REST: u32 = 1_000;
/// A text that was stopped this often is not short.
const STRIKES: u8 = 3;
/// A text whose plan changes this often is not worth looking at again.
const LOOKS: u8 = 16;
/// Verdicts kept; all are dropped when there are more.
const VERDICTS: usize = 4096;

/// What a connection has found out about the texts of writes.
#[derive(Debug, Default)]
pub(crate) struct Verdicts(HashMap<Arc<str>, Verdict>);

#[derive(Clone, Debug, Default)]
struct Verdict {
    eligible: bool,
    /// A shorter text, after which the number of the row is what the whole one would return.
    numbering: Option<Arc<str>>,
    /// The schema changed: decide again.
    stale: bool,
    looks: u8,
    strikes: u8,
    slow: u8,
    rest: u32,
}

/// The right to run writes on the calling thread, on the writer's connection. Give it up without Python's lock:
/// whoever waits is served by then.
pub struct InlineWriteGuard<'a> {
    core: &'a Arc<Core>,
    engine: &'a SqliteEngine,
    id: ConnId,
    conn: Option<Box<Conn>>,
    _pass: Pass<'a>,
}

impl<'a> InlineWriteGuard<'a> {
    pub(crate) fn new(
        core: &'a Arc<Core>,
        engine: &'a SqliteEngine,
        id: ConnId,
        conn: Box<Conn>,
        pass: Pass<'a>,
    ) -> Self {
        Self {
            core,
            engine,
            id,
            conn: Some(conn),
            _pass: pass,
        }
    }

    /// Call it without Python's lock. `out` is cleared first; after `Inline::Done` it holds what the statement did,
    /// after anything else the statement has done nothing.
    pub fn run(&mut self, sql: &Arc<str>, params: &Cells, out: &mut Outcome) -> Inline {
        clear(out);
        let Some(conn) = &mut self.conn else {
            return Inline::Busy;
        };
        let result = catch_unwind(AssertUnwindSafe(|| {
            if self.engine.has_moved(&mut conn.place) {
                // The writer thread finds the same.
                return Inline::Busy;
            }
            let inline = conn.write(sql, params, out);
            conn.watch.disarm();
            conn.log.look();
            inline
        }));
        let inline = result.unwrap_or_else(|_| {
            let broken = self.conn.take();
            let _ = catch_unwind(AssertUnwindSafe(move || drop(broken)));
            Inline::Failed(ExecError::new(
                ErrorKind::Internal,
                "a bug in Oxyde or its driver: a write panicked, its connection was discarded",
            ))
        });
        if !matches!(inline, Inline::Done) {
            clear(out);
        }
        inline
    }
}

fn clear(out: &mut Outcome) {
    out.rows.clear();
    out.affected = 0;
    out.last_insert_id = 0;
}

impl Drop for InlineWriteGuard<'_> {
    fn drop(&mut self) {
        let conn = self.conn.take();
        let mut left = Left::clean();
        match &conn {
            Some(conn) if conn.db.is_autocommit() => left.tainted = conn.tainted,
            Some(_) => left.tx = TxStatus::InTransaction,
            None => left.alive = false,
        }
        self.engine.take_back(self.id, conn);
        self.core.give_back(self.id, left, Box::new(|| ()));
    }
}

enum Failure {
    Ours(ExecError),
    Driver(rusqlite::Error),
}

impl Conn {
    /// Whether callers' threads may write on it now.
    pub(crate) fn is_lendable(&self) -> bool {
        self.verdicts.is_some() && !self.tainted && self.log.is_calm()
    }

    fn write(&mut self, sql: &Arc<str>, params: &Cells, out: &mut Outcome) -> Inline {
        let Some(Verdicts(verdicts)) = &mut self.verdicts else {
            return Inline::NotEligible;
        };
        if params.heap_len() > WIDEST {
            return Inline::OverBudget;
        }
        let verdict = match verdicts.get_mut(sql) {
            Some(verdict) if !verdict.stale => verdict,
            known => {
                let looks = known.map_or(0, |verdict| verdict.looks);
                self.watch.arm_briefly(PLANNING_BUDGET);
                let (eligible, numbering) = match decide(&self.db, sql) {
                    Ok((eligible, numbering)) => (eligible && looks < LOOKS, numbering),
                    Err(error) if rows::is_code(&error, rows::LOCKED) => return Inline::Busy,
                    // The writer thread says what is wrong with it.
                    Err(_) => return Inline::NotEligible,
                };
                if verdicts.len() >= VERDICTS {
                    verdicts.clear();
                }
                let verdict = verdicts.entry(Arc::clone(sql)).or_default();
                *verdict = Verdict {
                    eligible,
                    numbering,
                    looks: looks.saturating_add(1),
                    ..Verdict::default()
                };
                verdict
            }
        };
        if !verdict.eligible {
            return Inline::NotEligible;
        }
        if verdict.rest > 0 {
            verdict.rest -= 1;
            return Inline::OverBudget;
        }
        self.watch.arm_briefly(BUDGET);
        let start = Instant::now();
        let result = match &verdict.numbering {
            None => write(&self.db, sql, params, out),
            Some(shorter) => write(&self.db, shorter, params, out).inspect(|_| number(out)),
        };
        verdict.took(start.elapsed());
        match result {
            Ok(reprepared) => {
                verdict.stale = reprepared;
                Inline::Done
            }
            Err(Failure::Ours(error)) => Inline::Failed(error),
            Err(Failure::Driver(error)) if rows::is_code(&error, rows::INTERRUPTED) => {
                verdict.strikes = verdict.strikes.saturating_add(1);
                verdict.eligible = verdict.strikes < STRIKES;
                Inline::OverBudget
            }
            Err(Failure::Driver(error)) if rows::is_code(&error, rows::LOCKED) => Inline::Busy,
            Err(Failure::Driver(error)) => Inline::Failed(driver_error(&error)),
        }
    }
}

impl Verdict {
    fn took(&mut self, time: Duration) {
        if time < SLOW {
            self.slow = 0;
        } else if self.slow.saturating_add(1) < SLOW_RUNS {
            self.slow += 1;
        } else {
            self.slow = 0;
            self.rest = REST;
        }
    }
}

fn decide(db: &Connection, sql: &str) -> rusqlite::Result<(bool, Option<Arc<str>>)> {
    if !plan::is_point_write(db, sql)? {
        return Ok((false, None));
    }
    let shorter = plan::returning_row_number(db, sql)?;
    Ok((true, shorter.map(Arc::from)))
}

/// What RETURNING would have answered: nothing for a row that a trigger ignored.
fn number(out: &mut Outcome) {
    out.rows.width = 1;
    if out.affected > 0 {
        out.rows.cells.push_int(out.last_insert_id);
    }
}

/// True if the statement had to be prepared again.
fn write(db: &Connection, sql: &str, params: &Cells, out: &mut Outcome) -> Result<bool, Failure> {
    rows::check(params).map_err(Failure::Ours)?;
    let mut statement = db.prepare_cached(sql).map_err(Failure::Driver)?;
    rows::bind(&mut statement, params.iter()).map_err(Failure::Ours)?;
    let before = db.total_changes();
    out.rows.width =
        rows::step(&mut statement, Some(&mut out.rows.cells)).map_err(Failure::Driver)?;
    out.affected = affected_since(db, before);
    out.last_insert_id = db.last_insert_rowid();
    Ok(statement.reset_status(StatementStatus::RePrepare) > 0)
}

impl fmt::Debug for InlineWriteGuard<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InlineWriteGuard")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}
