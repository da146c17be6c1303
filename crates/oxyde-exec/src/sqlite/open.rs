//! Opening a connection: flags, pragmas, functions, callbacks.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use crate::engine::Lane;
use crate::error::{ErrorKind, ExecError};
use crate::sqlite::config::{Checked, OpenMode};
use crate::sqlite::functions;
use crate::sqlite::inline_write::Verdicts;
use crate::sqlite::log::Log;
use crate::sqlite::place::{FileId, Place};
use crate::sqlite::rows::{self, driver_error};
use crate::sqlite::watch::{PROGRESS_STEP, Watch};

/// What all connections of one engine share.
#[derive(Debug)]
pub(crate) struct Source {
    pub checked: Checked,
    /// Everything that runs is to stop.
    pub abort: Arc<AtomicBool>,
    /// The file exists and has its journal mode: readers may open it.
    pub initialised: AtomicBool,
}

/// A connection of the writer or of the readers.
#[derive(Debug)]
pub(crate) struct Conn {
    pub db: Connection,
    pub watch: Arc<Watch>,
    pub lane: Lane,
    /// `PRAGMA query_only` holds until the end of the transaction.
    pub query_only: bool,
    pub tainted: bool,
    pub log: Log,
    /// Of writes on the callers' threads; `None` where there are none.
    pub verdicts: Option<Verdicts>,
    /// `None` in memory.
    pub place: Option<Place>,
}

impl Conn {
    /// Closes without the checkpoint that the last connection of a WAL file makes: takes microseconds.
    pub(crate) fn close_quickly(self) {
        let _ = self
            .db
            .set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
    }
}

impl Source {
    pub(crate) fn is_memory(&self) -> bool {
        self.checked.config.path.is_none()
    }

    /// For a connection that was opened just now.
    pub(crate) fn place(&self) -> Option<Place> {
        self.checked.config.path.as_deref().and_then(Place::new)
    }

    /// Whether the file of such a connection was deleted or replaced since.
    pub(crate) fn has_moved(&self, place: &mut Option<Place>) -> bool {
        match (place, &self.checked.config.path) {
            (Some(place), Some(path)) => place.has_moved(path),
            _ => false,
        }
    }

    pub(crate) fn open(&self, lane: Lane) -> Result<Conn, ExecError> {
        if lane == Lane::Read && !self.initialised.load(Ordering::Acquire) {
            // The first statement ever is a read: a writer has to make the file and set its journal mode.
            drop(self.open(Lane::Write)?);
        }
        self.not_gone()?;
        let mut db = self.connect(lane).map_err(|error| self.explain(&error))?;
        let watch = Arc::new(Watch::new(
            Arc::clone(&self.abort),
            self.checked.config.busy_timeout,
        ));
        let on_busy = Arc::clone(&watch);
        let on_progress = Arc::clone(&watch);
        db.busy_handler(Some(move |attempt| on_busy.wait_for_lock(attempt)))
            .map_err(|error| driver_error(&error))?;
        db.progress_handler(PROGRESS_STEP, Some(move || on_progress.interrupts()))
            .map_err(|error| driver_error(&error))?;
        self.prepare(&db, lane)
            .map_err(|error| self.explain(&error))?;
        let (mut log, mut verdicts) = (Log::default(), None);
        if lane == Lane::Write {
            self.initialised.store(true, Ordering::Release);
            if !self.is_memory() {
                let (logs, syncs) = commits_how(&db).map_err(|error| self.explain(&error))?;
                if logs {
                    log = Log::watch(&mut db).map_err(|error| self.explain(&error))?;
                }
                if self.checked.config.inline && !syncs {
                    // Not just while a plan is looked at: a change expires all prepared statements.
                    db.set_db_config(DbConfig::SQLITE_DBCONFIG_TRIGGER_EQP, true)
                        .map_err(|error| self.explain(&error))?;
                    verdicts = Some(Verdicts::default());
                }
            }
        }
        Ok(Conn {
            db,
            watch,
            lane,
            query_only: false,
            tainted: false,
            log,
            verdicts,
            place: self.place(),
        })
    }

    /// The last connection to a file moves what is in its log to the file and removes the log, if it may write. That
    /// may have been a reader's. Without this, who copies the file alone would miss what was written last.
    pub(crate) fn put_log_away(&self) {
        let Some(path) = &self.checked.config.path else {
            return;
        };
        let mut log = path.as_os_str().to_owned();
        log.push("-wal");
        let left_behind = fs::metadata(log).is_ok_and(|log| log.len() > 0);
        let ours = self.initialised.load(Ordering::Acquire) && FileId::at(path).is_some();
        if left_behind
            && ours
            && self.checked.mode != OpenMode::ReadOnly
            && let Ok(db) = self.connect(Lane::Write)
        {
            // SQLite looks at the log when it first reads; another program that is at work is not waited for.
            let _ = db.busy_timeout(Duration::ZERO);
            let _ = db.query_row("SELECT 1 FROM sqlite_master LIMIT 1", [], |_| Ok(()));
        }
    }

    /// The connection for look-ups on the callers' threads: never waits, stops when `over_budget` says so.
    pub(crate) fn open_inline(
        &self,
        over_budget: impl FnMut() -> bool + Send + 'static,
    ) -> rusqlite::Result<Connection> {
        let mut db = self.connect(Lane::Read)?;
        db.busy_timeout(Duration::ZERO)?;
        self.prepare(&db, Lane::Read)?;
        // A plan that was found to be a point look-up must not become another one with other values. Not for the
        // threads' connections: there, a prefix search uses its index only because the planner sees the value.
        db.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
        db.progress_handler(200, Some(over_budget))?;
        Ok(db)
    }

    /// Session settings; also brings a connection back to them.
    pub(crate) fn settings(&self, db: &Connection) -> rusqlite::Result<()> {
        let config = &self.checked.config;
        let mut sql = format!(
            "PRAGMA foreign_keys=ON; PRAGMA synchronous={};",
            config.synchronous
        );
        if let Some(size) = config.cache_size {
            let _ = write!(sql, "PRAGMA cache_size={size};");
        }
        sql.push_str("PRAGMA query_only=OFF; PRAGMA defer_foreign_keys=OFF;");
        db.execute_batch(&sql)?;
        for statement in &config.on_connect {
            db.execute_batch(statement)?;
        }
        Ok(())
    }

    fn connect(&self, lane: Lane) -> rusqlite::Result<Connection> {
        let Some(path) = &self.checked.config.path else {
            return Connection::open_in_memory_with_flags(
                OpenFlags::SQLITE_OPEN_READ_WRITE
                    | OpenFlags::SQLITE_OPEN_CREATE
                    | OpenFlags::SQLITE_OPEN_NO_MUTEX,
            );
        };
        let access = match (lane, self.checked.mode) {
            (Lane::Read, _) | (Lane::Write, OpenMode::ReadOnly) => OpenFlags::SQLITE_OPEN_READ_ONLY,
            (Lane::Write, OpenMode::ReadWrite) => OpenFlags::SQLITE_OPEN_READ_WRITE,
            (Lane::Write, OpenMode::Create) => {
                OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE
            }
        };
        let flags = access | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        if self.checked.immutable {
            Connection::open_with_flags(immutable_uri(path), flags | OpenFlags::SQLITE_OPEN_URI)
        } else {
            Connection::open_with_flags(path, flags)
        }
    }

    fn prepare(&self, db: &Connection, lane: Lane) -> rusqlite::Result<()> {
        db.set_prepared_statement_cache_capacity(self.checked.config.statement_cache);
        // "text" in double quotes is a name, always: a misspelled column must not become a string.
        db.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DML, false)?;
        db.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DDL, false)?;
        functions::register(db)?;
        if lane == Lane::Write && !self.is_memory() && !db.is_readonly("main")? {
            self.journal_mode(db)?;
        }
        self.settings(db)
    }

    /// The journal mode is a property of the file, except for DELETE's variants. Changing it needs the file for
    /// oneself and SQLite does not wait for that, so we do.
    fn journal_mode(&self, db: &Connection) -> rusqlite::Result<()> {
        let wanted = &self.checked.config.journal_mode;
        let give_up = Instant::now().checked_add(self.checked.config.busy_timeout);
        loop {
            let now: String = db.query_row("PRAGMA journal_mode", [], |row| row.get(0))?;
            if now.eq_ignore_ascii_case(wanted) {
                return Ok(());
            }
            match db.query_row(&format!("PRAGMA journal_mode={wanted}"), [], |row| {
                row.get::<_, String>(0)
            }) {
                // A file system without shared memory keeps its old mode: slower, not wrong.
                Ok(_) => return Ok(()),
                Err(error) if rows::is_code(&error, rows::LOCKED) => {
                    if self.abort.load(Ordering::Relaxed)
                        || give_up.is_none_or(|at| at <= Instant::now())
                    {
                        return Err(error);
                    }
                    thread::sleep(Duration::from_millis(5));
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// A database that was there and is gone must not become an empty one unasked.
    fn not_gone(&self) -> Result<(), ExecError> {
        match &self.checked.config.path {
            Some(path)
                if self.initialised.load(Ordering::Acquire) && FileId::at(path).is_none() =>
            {
                let error = ExecError::new(
                    ErrorKind::Connect,
                    format!("the database file is gone: {}", path.display()),
                );
                Err(error.with_hint("it was there when the database was connected; put it back, or connect anew to make an empty one"))
            }
            _ => Ok(()),
        }
    }

    fn explain(&self, error: &rusqlite::Error) -> ExecError {
        let error = driver_error(error);
        match &self.checked.config.path {
            Some(path) if error.kind == ErrorKind::Connect => match why_not(path) {
                Some(hint) => error.with_hint(hint),
                None => error,
            },
            _ => error,
        }
    }
}

/// Whether commits go to a write-ahead log, and whether they may sync a file; whatever `on_connect` made of the settings.
fn commits_how(db: &Connection) -> rusqlite::Result<(bool, bool)> {
    let (journal, synchronous, attached): (String, u32, bool) = db.query_row(
        "SELECT (SELECT journal_mode FROM pragma_journal_mode), (SELECT synchronous FROM pragma_synchronous), \
         EXISTS (SELECT 1 FROM pragma_database_list WHERE name NOT IN ('main', 'temp'))",
        [],
        |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
    )?;
    // Without a log NORMAL syncs, too. Without any journal (OFF) an interrupted statement could not be rolled back.
    let lazy = match journal.as_str() {
        "wal" => synchronous <= 1,
        "memory" => synchronous == 0,
        _ => false,
    };
    let quick = lazy && !attached && !db.is_readonly("main")?;
    Ok((journal == "wal", !quick))
}

fn why_not(path: &Path) -> Option<String> {
    let directory = path.parent()?;
    if path.is_dir() {
        Some(format!(
            "{} is a directory: name a file in it",
            path.display()
        ))
    } else if !directory.exists() {
        Some(format!(
            "the directory {} does not exist: create it first",
            directory.display()
        ))
    } else if !directory.is_dir() {
        Some(format!("{} is not a directory", directory.display()))
    } else if path.exists() {
        Some(format!(
            "{} exists but is not a SQLite database, or may not be read",
            path.display()
        ))
    } else {
        Some(format!(
            "no file can be made in {}: check its permissions, or the option mode",
            directory.display()
        ))
    }
}

fn immutable_uri(path: &Path) -> String {
    let mut uri = String::from("file:");
    for byte in path.to_string_lossy().bytes() {
        match byte {
            b'/' | b'.' | b'-' | b'_' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => {
                uri.push(char::from(byte))
            }
            _ => {
                let _ = write!(uri, "%{byte:02X}");
            }
        }
    }
    uri.push_str("?immutable=1");
    uri
}
