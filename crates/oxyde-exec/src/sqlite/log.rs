//! The write-ahead log's length, and when it is written back into the database file.
//!
//! SQLite would do that inside the commit that makes the log 1000 pages long, on whichever thread commits: with two
//! calls of `fsync` and some megabytes to write, that must not be a caller's. So its hook only counts here. Once the log
//! is due, callers' threads write no more until the writer thread has done it: it can neither be starved nor
//! outrun. The next write begins the log anew, which syncs its header, and is the writer thread's as well.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use rusqlite::Connection;
use rusqlite::wal::CheckpointMode;

/// A log that could not be emptied (somebody reads an old state) is tried again when it has grown by this part of
/// the threshold.
const PATIENCE: u32 = 4;

/// One writer's view of its log; all zero where there is none.
#[derive(Debug, Default)]
pub(crate) struct Log {
    /// Pages after the last commit, as the hook saw it; 0 once it was taken note of.
    seen: Arc<AtomicU32>,
    pages: u32,
    /// 0: never.
    threshold: u32,
    due_at: u32,
    begins_anew: bool,
}

impl Log {
    /// Takes the place of SQLite's own checkpoints at the threshold that `PRAGMA wal_autocheckpoint` shows.
    pub(crate) fn watch(db: &mut Connection) -> rusqlite::Result<Self> {
        let threshold: u32 = db.query_row("PRAGMA wal_autocheckpoint", [], |row| row.get(0))?;
        let seen = Arc::new(AtomicU32::new(0));
        let note = Arc::clone(&seen);
        db.wal_hook(Some(move |_: &mut rusqlite::hooks::Wal, pages| {
            note.fetch_max(u32::try_from(pages).unwrap_or_default(), Ordering::Relaxed);
            Ok(())
        }))?;
        Ok(Self {
            seen,
            pages: 0,
            threshold,
            due_at: threshold,
            begins_anew: true,
        })
    }

    /// After work that may have committed.
    pub(crate) fn look(&mut self) {
        let pages = self.seen.swap(0, Ordering::Relaxed);
        if pages > 0 {
            if pages < self.pages {
                self.due_at = self.threshold;
            }
            self.pages = pages;
            self.begins_anew = false;
        }
    }

    pub(crate) fn is_due(&self) -> bool {
        self.threshold > 0 && self.pages >= self.due_at
    }

    /// A write would cost about what its pages cost: nothing has to be synced first, no checkpoint is due.
    pub(crate) fn is_calm(&self) -> bool {
        !self.begins_anew && !self.is_due()
    }

    /// Writes back what no reader needs any more; waits for nobody. Outside of transactions only.
    pub(crate) fn checkpoint(&mut self, db: &Connection) {
        // Whatever kept it from being done will be there or gone at the next attempt.
        let all = db
            .wal_checkpoint_v2(None::<&str>, CheckpointMode::PASSIVE)
            .is_ok_and(|(pages, written)| pages == written);
        self.begins_anew = all;
        self.due_at = self
            .pages
            .saturating_add((self.threshold / PATIENCE).max(1));
    }
}
