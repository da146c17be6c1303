//! What a connection does for each kind of work, on an engine's thread.
//!
//! Every completion carries what SQLite says about the transaction (`sqlite3_get_autocommit`): an interrupted write,
//! a full disk or an I/O error roll the whole transaction back by themselves, and nothing else tells.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use rusqlite::Connection;
use rusqlite::fallible_iterator::FallibleIterator as _;

use crate::cells::Cells;
use crate::engine::{
    Begin, BeginMode, CancelReason, Completion, CursorId, Job, Lane, Outcome, Returning, Tag,
    TxStatus, Work,
};
use crate::error::{ErrorKind, ExecError};
use crate::sqlite::cursors::CursorError;
use crate::sqlite::open::{Conn, Source};
use crate::sqlite::reset;
use crate::sqlite::rows::{self, driver_error};
use crate::transaction::checked_name;
use crate::waiter::cancelled;

/// Connections that a job is given to before it fails for want of a file that stays.
const TRIES: u8 = 10;
/// Rows of a bulk between two looks at the cancel flag.
const BULK_STEP: usize = 64;

pub(crate) fn perform(source: &Source, conn: &mut Conn, job: Job) -> Completion {
    if conn.db.is_autocommit() && !job.work.is_final() && source.has_moved(&mut conn.place) {
        return elsewhere(job);
    }
    let result = match refusal(source, &job) {
        Some(error) => Err(error),
        None => {
            conn.watch
                .arm(job.cancel, job.deadline, job.work.is_final());
            let result = run(source, conn, job.work);
            conn.watch.disarm();
            result
        }
    };
    conn.log.look();
    let autocommit = conn.db.is_autocommit();
    if autocommit && conn.query_only && conn.db.execute_batch("PRAGMA query_only=OFF").is_ok() {
        conn.query_only = false;
    }
    Completion {
        result,
        tx: if autocommit {
            TxStatus::Idle
        } else {
            TxStatus::InTransaction
        },
        alive: true,
        tainted: conn.tainted,
        unsent: None,
    }
}

/// The connection's file is not the database any more: the job is for a connection to what is at the path now.
fn elsewhere(mut job: Job) -> Completion {
    let mut completion = Completion::lost(ExecError::new(
        ErrorKind::ConnectionLost,
        "the database file was deleted or replaced",
    ));
    job.tries = job.tries.saturating_add(1);
    if job.tries < TRIES {
        completion.unsent = Some(Box::new(job));
    }
    completion
}

fn refusal(source: &Source, job: &Job) -> Option<ExecError> {
    if job.work.is_final() {
        return None;
    }
    let reason = job
        .cancel
        .reason()
        .or_else(|| {
            job.deadline
                .filter(|at| *at <= Instant::now())
                .map(|_| CancelReason::Timeout)
        })
        .or_else(|| {
            source
                .abort
                .load(Ordering::Relaxed)
                .then_some(CancelReason::Closing)
        });
    reason.map(cancelled)
}

fn run(source: &Source, conn: &mut Conn, work: Work) -> Result<Outcome, ExecError> {
    #[cfg(test)]
    if let Work::Statement { sql, .. } = &work {
        assert!(&**sql != PANICS, "a bug, as a test wants one");
    }
    match work {
        Work::Statement {
            sql,
            params,
            read_only: _,
            names,
        } => {
            if names {
                conn.tainted |= taints(&sql);
            }
            statement(conn, &sql, &params, names)
        }
        Work::Bulk {
            sql,
            params,
            width,
            returning,
        } => atomically(conn, |conn| bulk(conn, &sql, &params, width, &returning)),
        Work::Script(statements) => {
            conn.tainted |= statements.iter().any(|sql| taints(sql));
            atomically(conn, |conn| script(conn, &statements))
        }
        Work::Begin(Begin {
            mode: BeginMode::Write,
            ..
        }) => control(conn, "BEGIN IMMEDIATE", Tag::Other),
        Work::Begin(Begin {
            mode: BeginMode::Read,
            ..
        }) => {
            // A memory database has no read-only connection to read from.
            if conn.lane == Lane::Write {
                control(conn, "PRAGMA query_only=ON", Tag::Other)?;
                conn.query_only = true;
            }
            control(conn, "BEGIN DEFERRED", Tag::Other)
        }
        Work::OpenCursor {
            cursor,
            statement,
            rows,
        } => open_cursor(conn, cursor, *statement, rows),
        Work::Fetch { cursor, rows, .. } => fetch(conn, rows, |conn, limit, out| {
            conn.db.fetch(cursor, limit, out)
        }),
        Work::CloseCursor(cursor) => {
            conn.db.close(cursor);
            Ok(Outcome::default())
        }
        Work::Commit => {
            conn.db.end_transaction();
            control(conn, "COMMIT", Tag::Commit)
        }
        Work::Rollback if conn.db.is_autocommit() => Ok(Outcome {
            tag: Tag::Rollback,
            ..Outcome::default()
        }),
        Work::Rollback => {
            conn.db.end_transaction();
            control(conn, "ROLLBACK", Tag::Rollback)
        }
        Work::Savepoint(name) => named(conn, "SAVEPOINT", &name),
        Work::Release(name) => named(conn, "RELEASE", &name),
        Work::RollbackTo(name) => named(conn, "ROLLBACK TO", &name),
        Work::Ping => control(conn, "SELECT 1", Tag::Other),
        Work::Version => statement(conn, "SELECT sqlite_version()", &Cells::new(), false),
        Work::Query(_) | Work::CopyIn { .. } | Work::CopyOut { .. } => Err(ExecError::new(
            ErrorKind::Internal,
            "a statement for a server was given to SQLite",
        )),
        Work::Reset => reset::reset(source, conn),
    }
}

fn statement(conn: &Conn, sql: &str, params: &Cells, names: bool) -> Result<Outcome, ExecError> {
    rows::check(params)?;
    let db = &conn.db;
    let mut prepared = db
        .prepare_cached(sql)
        .map_err(|error| stopped(conn, &error))?;
    if names {
        rows::check_raw(&prepared)?;
    }
    rows::bind(&mut prepared, params.iter())?;
    let before = db.total_changes();
    let mut outcome = Outcome::default();
    if prepared.column_count() > 0 {
        outcome.rows.cells = Cells::spare();
    }
    let width = match rows::step(&mut prepared, Some(&mut outcome.rows.cells)) {
        Ok(width) => width,
        Err(error) => return Err(stopped(conn, &error)),
    };
    outcome.rows.width = width;
    if names {
        outcome.names = prepared.column_names().map(str::to_owned).collect();
    }
    if !prepared.readonly() {
        outcome.affected = affected_since(db, before);
        outcome.last_insert_id = db.last_insert_rowid();
    }
    Ok(outcome)
}

fn open_cursor(
    conn: &mut Conn,
    cursor: CursorId,
    work: Work,
    limit: u32,
) -> Result<Outcome, ExecError> {
    let Work::Statement {
        sql, params, names, ..
    } = work
    else {
        return Err(ExecError::new(
            ErrorKind::Internal,
            "a cursor is for one statement",
        ));
    };
    if names {
        conn.tainted |= taints(&sql);
    }
    rows::check(&params)?;
    fetch(conn, limit, |conn, limit, out| {
        conn.db.open(cursor, &sql, &params, names, limit, out)
    })
}

/// The next rows of a cursor, by `step`.
fn fetch(
    conn: &mut Conn,
    limit: u32,
    step: impl FnOnce(&mut Conn, usize, &mut Outcome) -> Result<(), CursorError>,
) -> Result<Outcome, ExecError> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut outcome = Outcome::default();
    outcome.rows.cells = Cells::spare();
    match step(conn, limit, &mut outcome) {
        Ok(()) => Ok(outcome),
        Err(CursorError::Driver(error)) => Err(stopped(conn, &error)),
        Err(CursorError::Ours(error)) => Err(error),
    }
}

/// `changes()` keeps the number of the last statement that changed rows, so statements that change none (DDL) have
/// to be recognised by the total.
pub(crate) fn affected_since(db: &Connection, before: u64) -> u64 {
    if db.total_changes() == before {
        0
    } else {
        db.changes()
    }
}

fn bulk(
    conn: &Conn,
    sql: &str,
    params: &Cells,
    width: usize,
    returning: &Returning,
) -> Result<Outcome, ExecError> {
    rows::check(params)?;
    let count = params.len().checked_div(width).unwrap_or_default();
    if params.len() != count.saturating_mul(width) || (width == 0 && !params.is_empty()) {
        return Err(ExecError::new(
            ErrorKind::Internal,
            format!("{} values do not make rows of {width}", params.len()),
        ));
    }
    let db = &conn.db;
    let mut prepared = db
        .prepare_cached(sql)
        .map_err(|error| stopped(conn, &error))?;
    let mut outcome = Outcome::default();
    outcome.rows.width = match returning {
        Returning::Nothing => 0,
        Returning::Rows => prepared.column_count(),
        Returning::RowNumbers { .. } => 1,
    };
    for row in 0..count {
        if row % BULK_STEP == 0
            && let Some(reason) = conn.watch.stop()
        {
            return Err(cancelled(reason));
        }
        rows::bind(
            &mut prepared,
            params.slice(row.saturating_mul(width), width),
        )?;
        let before = db.total_changes();
        let out = match returning {
            Returning::Rows => Some(&mut outcome.rows.cells),
            Returning::Nothing | Returning::RowNumbers { .. } => None,
        };
        if let Err(error) = rows::step(&mut prepared, out) {
            return Err(stopped(conn, &error)
                .with_detail(format!("row {} of {count}", row.saturating_add(1))));
        }
        let affected = affected_since(db, before);
        outcome.affected = outcome.affected.saturating_add(affected);
        // A trigger may have ignored the row; then the number is that of an earlier one.
        if affected > 0 && matches!(returning, Returning::RowNumbers { .. }) {
            outcome.rows.cells.push_int(db.last_insert_rowid());
        }
    }
    if let Returning::RowNumbers { check } = returning
        && outcome.affected > 0
    {
        prove_key(conn, check)?;
    }
    outcome.last_insert_id = db.last_insert_rowid();
    Ok(outcome)
}

/// The key that was inserted last is the number of its row; else the column is no automatic key, whatever the model
/// says, and the rows got none.
fn prove_key(conn: &Conn, check: &str) -> Result<(), ExecError> {
    let proved = conn
        .db
        .prepare_cached(check)
        .and_then(|mut statement| statement.query_row([], |row| row.get::<_, bool>(0)))
        .map_err(|error| stopped(conn, &error))?;
    if proved {
        return Ok(());
    }
    let error = ExecError::new(
        ErrorKind::Data,
        "the rows got no key: the key column does not number them",
    );
    Err(error.with_hint("only a column declared INTEGER PRIMARY KEY numbers its rows; give the keys, or change the table"))
}

fn script(conn: &Conn, statements: &[String]) -> Result<Outcome, ExecError> {
    let db = &conn.db;
    let mut outcome = Outcome::default();
    for (index, text) in statements.iter().enumerate() {
        let place = || {
            format!(
                "statement {} of {}",
                index.saturating_add(1),
                statements.len()
            )
        };
        let mut batch = rusqlite::Batch::new(db, text);
        loop {
            if let Some(reason) = conn.watch.stop() {
                return Err(cancelled(reason));
            }
            let before = db.total_changes();
            match batch.next() {
                Ok(None) => break,
                Ok(Some(mut prepared)) => {
                    rows::step(&mut prepared, None)
                        .map_err(|error| stopped(conn, &error).with_detail(place()))?;
                    outcome.affected = outcome.affected.saturating_add(affected_since(db, before));
                }
                Err(error) => return Err(stopped(conn, &error).with_detail(place())),
            }
        }
    }
    outcome.last_insert_id = db.last_insert_rowid();
    Ok(outcome)
}

/// All or nothing: a transaction of its own, or a savepoint inside one.
fn atomically(
    conn: &Conn,
    body: impl FnOnce(&Conn) -> Result<Outcome, ExecError>,
) -> Result<Outcome, ExecError> {
    let own = conn.db.is_autocommit();
    control(
        conn,
        if own {
            "BEGIN IMMEDIATE"
        } else {
            "SAVEPOINT oxyde_work"
        },
        Tag::Other,
    )?;
    let result = body(conn);
    if conn.db.is_autocommit() {
        // The transaction ended under us: by an error of the kind that does so, or by a COMMIT in a script.
        return result.and_then(|_| {
            Err(ExecError::new(
                ErrorKind::Transaction,
                "a statement of the script ended its transaction",
            )
            .with_hint("leave BEGIN, COMMIT and ROLLBACK out of scripts"))
        });
    }
    let keep = if own { "COMMIT" } else { "RELEASE oxyde_work" };
    let result = result.and_then(|outcome| control(conn, keep, Tag::Other).map(|_| outcome));
    // A disk that is full, or fails, ends the transaction within COMMIT; then there is nothing to roll back.
    if let Err(error) = &result
        && !conn.db.is_autocommit()
    {
        let undo: &[&str] = if own {
            &["ROLLBACK"]
        } else {
            &["ROLLBACK TO oxyde_work", "RELEASE oxyde_work"]
        };
        for sql in undo {
            control(conn, sql, Tag::Other).map_err(|_| error.clone())?;
        }
    }
    result
}

fn control(conn: &Conn, sql: &str, tag: Tag) -> Result<Outcome, ExecError> {
    let mut prepared = conn
        .db
        .prepare_cached(sql)
        .map_err(|error| stopped(conn, &error))?;
    rows::step(&mut prepared, None).map_err(|error| stopped(conn, &error))?;
    Ok(Outcome {
        tag,
        ..Outcome::default()
    })
}

fn named(conn: &Conn, verb: &str, name: &str) -> Result<Outcome, ExecError> {
    checked_name(name)?;
    control(conn, &format!("{verb} \"{name}\""), Tag::Other)
}

/// An interrupt and a lock that was not waited for are ours if the flag or the deadline made them.
fn stopped(conn: &Conn, error: &rusqlite::Error) -> ExecError {
    let stoppable = rows::is_code(error, rows::INTERRUPTED) || rows::is_code(error, rows::LOCKED);
    match conn.watch.verdict() {
        Some(verdict) if stoppable => verdict,
        _ => driver_error(error),
    }
}

/// Raw SQL that changes what the next borrower of the connection would find.
fn taints(sql: &str) -> bool {
    let mut words = sql
        .split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_')
        .filter(|word| !word.is_empty())
        .take(3)
        .map(str::to_ascii_lowercase);
    match words.next().as_deref() {
        Some("pragma" | "attach" | "detach") => true,
        Some("create") => matches!(words.next().as_deref(), Some("temp" | "temporary")),
        // A comment in front hides the verb.
        _ => sql.trim_start().starts_with("--") || sql.trim_start().starts_with("/*"),
    }
}

/// For the completion of work that panicked.
pub(crate) fn panicked() -> Completion {
    Completion::lost(ExecError::new(
        ErrorKind::Internal,
        "a bug in Oxyde or its driver: the work panicked, its connection was discarded",
    ))
}

/// For work that reaches an engine whose threads have ended.
pub(crate) fn too_late(source: &Arc<Source>) -> ExecError {
    ExecError::new(
        ErrorKind::Closed,
        format!("database {:?} is closed", source.checked.config.name),
    )
}

/// The statement that panics, for tests of what becomes of that.
#[cfg(test)]
pub(crate) const PANICS: &str = "-- panic";
