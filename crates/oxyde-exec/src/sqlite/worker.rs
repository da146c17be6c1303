//! The engine's threads: one for the writer, up to two for the readers.
//!
//! A thread takes a command, borrows the command's connection from the shared table, works, puts it back and calls
//! `done`. So a connection belongs to no thread: readers' connections outnumber their threads, and before a fork
//! the table can be emptied by the forking thread, and a caller's thread can borrow the writer's for a single write. The
//! [`Gate`] marks job boundaries: a closed gate means that no command is between its start and the return of its
//! `done`, nor a caller between borrowing and giving back.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crossbeam_channel::Receiver;

use crate::engine::{Completion, ConnId, Done, Job, Outcome, TxStatus, Work};
use crate::error::{ErrorKind, ExecError};
use crate::sqlite::inline::InlineHome;
use crate::sqlite::jobs;
use crate::sqlite::open::{Conn, Source};

pub(crate) enum Command {
    Open(ConnId, Done),
    Start(ConnId, Job, Done),
    Close(ConnId, Done),
    /// Look whether the log of a connection that rests is due; nobody waits for it.
    Checkpoint(ConnId),
}

pub(crate) enum Slot {
    Open(Box<Conn>),
    /// Closed before a fork; the next job opens it again.
    Parked,
    /// A thread has it: the engine's, or a caller's.
    Out,
}

/// What the engine and its threads share.
pub(crate) struct Shared {
    pub source: Arc<Source>,
    pub conns: Mutex<HashMap<ConnId, Slot>>,
    pub gate: Gate,
    pub inline: Option<InlineHome>,
    /// Read commands that were sent and have not been answered.
    pub reads: AtomicUsize,
    pub ending: Mutex<Ending>,
}

#[derive(Default)]
pub(crate) struct Ending {
    pub threads: usize,
    /// Called by the last thread; `Some` once a shutdown was asked for.
    pub stopped: Vec<Box<dyn FnOnce() + Send>>,
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    /// A thread's life; ends when the engine has dropped its side of the queue and the queue is empty.
    pub(crate) fn work(self: &Arc<Self>, commands: &Receiver<Command>, reader: bool) {
        while let Ok(command) = commands.recv() {
            let _pass = self.gate.enter();
            self.obey(command, reader);
        }
        let stopped = {
            let mut ending = lock(&self.ending);
            ending.threads = ending.threads.saturating_sub(1);
            if ending.threads == 0 {
                std::mem::take(&mut ending.stopped)
            } else {
                Vec::new()
            }
        };
        if !stopped.is_empty() {
            self.let_go();
        }
        for stopped in stopped {
            let _ = catch_unwind(AssertUnwindSafe(stopped));
        }
    }

    /// Closes whatever is still open.
    pub(crate) fn let_go(&self) {
        let conns = std::mem::take(&mut *lock(&self.conns));
        if let Some(inline) = &self.inline {
            inline.close();
        }
        drop(conns);
        self.source.put_log_away();
    }

    fn obey(&self, command: Command, reader: bool) {
        let mut due = None;
        let (done, completion) = match command {
            Command::Open(id, done) => (done, guarded(|| self.open(id))),
            Command::Start(id, job, done) => {
                let completion = guarded(|| {
                    let (completion, is_due) = self.start(id, job);
                    due = is_due.then_some(id);
                    completion
                });
                (done, completion)
            }
            Command::Checkpoint(id) => return self.checkpoint(id),
            Command::Close(id, done) => {
                let conn = lock(&self.conns).remove(&id);
                (
                    done,
                    guarded(move || {
                        drop(conn);
                        Completion::ok(Outcome::default(), TxStatus::Unknown)
                    }),
                )
            }
        };
        if reader {
            self.reads.fetch_sub(1, Ordering::Relaxed);
        }
        let _ = catch_unwind(AssertUnwindSafe(move || done(completion)));
        if let Some(id) = due {
            self.checkpoint(id);
        }
    }

    /// On the writer thread, like all that is done with the writer but for callers' writes, and those wait until the
    /// log is no longer due. So the connection is at rest, or lent to a caller who will ask again.
    fn checkpoint(&self, id: ConnId) {
        let ready = |conn: &Conn| conn.log.is_due() && conn.db.is_autocommit();
        let Some(mut conn) = self.take_out(id, ready) else {
            return;
        };
        let slot = match catch_unwind(AssertUnwindSafe(|| conn.log.checkpoint(&conn.db))) {
            Ok(()) => Slot::Open(conn),
            Err(_) => Slot::Parked,
        };
        self.put_back(id, slot);
    }

    fn take_out(&self, id: ConnId, ready: impl FnOnce(&Conn) -> bool) -> Option<Box<Conn>> {
        take_out(&mut lock(&self.conns), id, ready)
    }

    /// Does nothing to a connection that is no longer in the table: then it is closed.
    pub(crate) fn put_back(&self, id: ConnId, slot: Slot) {
        let unwanted = match lock(&self.conns).get_mut(&id) {
            Some(place) => std::mem::replace(place, slot),
            None => slot,
        };
        drop(unwanted);
    }

    /// A connection for a caller's thread, at once or not at all. Counts as a command for the gate.
    pub(crate) fn try_lend(&self, id: ConnId) -> Option<(Box<Conn>, Pass<'_>)> {
        let mut conns = self.conns.try_lock().ok()?;
        let mut pass = None;
        let conn = take_out(&mut conns, id, |conn| {
            if conn.is_lendable() {
                pass = self.gate.try_enter();
            }
            pass.is_some()
        });
        conn.zip(pass)
    }

    fn open(&self, id: ConnId) -> Completion {
        match self.source.open(id.lane) {
            Ok(conn) => {
                lock(&self.conns).insert(id, Slot::Open(Box::new(conn)));
                Completion::ok(Outcome::default(), TxStatus::Idle)
            }
            Err(error) => Completion::lost(error),
        }
    }

    /// What became of the job, and whether the log is due.
    fn start(&self, id: ConnId, job: Job) -> (Completion, bool) {
        let slot = lock(&self.conns)
            .get_mut(&id)
            .map(|slot| std::mem::replace(slot, Slot::Out));
        let mut conn = match slot {
            Some(Slot::Open(conn)) => conn,
            Some(Slot::Parked) => match self.source.open(id.lane) {
                Ok(conn) => Box::new(conn),
                Err(error) => {
                    lock(&self.conns).remove(&id);
                    return (Completion::lost(error), false);
                }
            },
            Some(Slot::Out) => return misplaced(id, "runs a job already"),
            None => return misplaced(id, "is not open"),
        };
        let completion = catch_unwind(AssertUnwindSafe(|| {
            jobs::perform(&self.source, &mut conn, job)
        }));
        match completion {
            Ok(completion) => {
                let due = conn.log.is_due();
                lock(&self.conns).insert(id, Slot::Open(conn));
                (completion, due)
            }
            // The data of a memory database live in the connection: losing them would be worse than the bug.
            Err(_) if self.source.is_memory() => {
                let rollback = Job::new(Work::Rollback);
                let tidied = guarded(|| jobs::perform(&self.source, &mut conn, rollback));
                lock(&self.conns).insert(id, Slot::Open(conn));
                let completion = Completion {
                    result: jobs::panicked().result,
                    alive: true,
                    ..tidied
                };
                (completion, false)
            }
            Err(_) => {
                lock(&self.conns).remove(&id);
                let _ = catch_unwind(AssertUnwindSafe(move || drop(conn)));
                (jobs::panicked(), false)
            }
        }
    }
}

fn misplaced(id: ConnId, what: &str) -> (Completion, bool) {
    let error = ExecError::new(ErrorKind::Internal, format!("{id:?} {what}"));
    (Completion::lost(error), false)
}

fn take_out(
    conns: &mut HashMap<ConnId, Slot>,
    id: ConnId,
    ready: impl FnOnce(&Conn) -> bool,
) -> Option<Box<Conn>> {
    let slot = conns.get_mut(&id)?;
    match std::mem::replace(slot, Slot::Out) {
        Slot::Open(conn) if ready(&conn) => Some(conn),
        other => {
            *slot = other;
            None
        }
    }
}

fn guarded(work: impl FnOnce() -> Completion) -> Completion {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| jobs::panicked())
}

/// Lets commands through, one pass each, unless a fork is being prepared.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    state: Mutex<GateState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct GateState {
    closed: bool,
    inside: usize,
}

pub(crate) struct Pass<'a>(&'a Gate);

impl Gate {
    fn enter(&self) -> Pass<'_> {
        let mut state = lock(&self.state);
        while state.closed {
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        state.inside += 1;
        Pass(self)
    }

    /// For a caller's thread: does not wait.
    fn try_enter(&self) -> Option<Pass<'_>> {
        let mut state = self.state.try_lock().ok()?;
        if state.closed {
            return None;
        }
        state.inside += 1;
        Some(Pass(self))
    }

    /// Keeps further commands out and waits until those inside have left; false if they have not by `deadline`.
    pub(crate) fn close(&self, deadline: Instant) -> bool {
        let mut state = lock(&self.state);
        state.closed = true;
        while state.inside > 0 {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            state = match self.changed.wait_timeout(state, left) {
                Ok((state, _)) => state,
                Err(poisoned) => poisoned.into_inner().0,
            };
        }
        true
    }

    pub(crate) fn open(&self) {
        lock(&self.state).closed = false;
        self.changed.notify_all();
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        let mut state = lock(&self.0.state);
        state.inside -= 1;
        if state.closed {
            self.0.changed.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failure is a failed test")]

    use crate::cells::{CellRef, Cells};
    use crate::dispatch::{Database, wait};
    use crate::engine::{BeginMode, CancelFlag, Job, Outcome, Work};
    use crate::error::{ErrorKind, ExecError};
    use crate::sqlite::config::SqliteConfig;
    use crate::sqlite::jobs::PANICS;
    use std::sync::Arc;

    fn work(sql: &str) -> Job {
        Job::new(Work::Statement {
            sql: sql.into(),
            params: Cells::new(),
            read_only: false,
            names: false,
        })
    }

    fn run(db: &Arc<Database>, sql: &str) -> Result<Outcome, ExecError> {
        wait(|sink| db.run(work(sql), None, sink)).0
    }

    #[test]
    fn a_panic_is_an_error_of_its_own_and_undoes_its_transaction() {
        let folder = tempfile::tempdir().unwrap();
        std::panic::set_hook(Box::new(|_| ()));
        for path in [None, Some(folder.path().join("panics.db"))] {
            let config = SqliteConfig {
                path,
                ..SqliteConfig::default()
            };
            let db = Database::sqlite(config).unwrap();
            run(&db, "CREATE TABLE t (a)").unwrap();
            let refused = run(&db, PANICS).unwrap_err();
            assert_eq!(refused.kind, ErrorKind::Internal);
            let lease = db.lease(BeginMode::Write);
            let flag = Arc::new(CancelFlag::new());
            wait(|sink| lease.begin(flag, None, None, sink)).0.unwrap();
            let insert = "INSERT INTO t VALUES (1)";
            wait(|sink| lease.run(work(insert), sink)).0.unwrap();
            let refused = wait(|sink| lease.run(work(PANICS), sink)).0.unwrap_err();
            assert_eq!(refused.kind, ErrorKind::Internal);
            wait(|sink| lease.commit(sink)).0.unwrap_err();
            // The table is there still, also in memory.
            let count = run(&db, "SELECT count(*) FROM t").unwrap();
            assert!(matches!(count.rows.get(0, 0), Some(CellRef::Int(0))));
            assert_eq!(db.stats().in_use, 0);
        }
        let _ = std::panic::take_hook();
    }
}
