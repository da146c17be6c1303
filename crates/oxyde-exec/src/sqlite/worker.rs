//! The engine's threads: one for the writer, up to two for the readers.
//!
//! A thread takes a command, borrows the command's connection from the shared table, works, puts it back and calls
//! `done`. So a connection belongs to no thread: readers' connections outnumber their threads, and before a fork
//! the table can be emptied by the forking thread. The [`Gate`] marks job boundaries: a closed gate means that no
//! command is between its start and the return of its `done`.

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
}

pub(crate) enum Slot {
    Open(Box<Conn>),
    /// Closed before a fork; the next job opens it again.
    Parked,
    /// A thread has it.
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
        drop(conns);
        if let Some(inline) = &self.inline {
            inline.close();
        }
    }

    fn obey(&self, command: Command, reader: bool) {
        let (done, completion) = match command {
            Command::Open(id, done) => (done, guarded(|| self.open(id))),
            Command::Start(id, job, done) => (done, guarded(|| self.start(id, job))),
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

    fn start(&self, id: ConnId, job: Job) -> Completion {
        let slot = lock(&self.conns)
            .get_mut(&id)
            .map(|slot| std::mem::replace(slot, Slot::Out));
        let mut conn = match slot {
            Some(Slot::Open(conn)) => conn,
            Some(Slot::Parked) => match self.source.open(id.lane) {
                Ok(conn) => Box::new(conn),
                Err(error) => {
                    lock(&self.conns).remove(&id);
                    return Completion::lost(error);
                }
            },
            Some(Slot::Out) => {
                return Completion::lost(ExecError::new(
                    ErrorKind::Internal,
                    format!("{id:?} runs a job already"),
                ));
            }
            None => {
                return Completion::lost(ExecError::new(
                    ErrorKind::Internal,
                    format!("{id:?} is not open"),
                ));
            }
        };
        let completion = catch_unwind(AssertUnwindSafe(|| {
            jobs::perform(&self.source, &mut conn, job)
        }));
        match completion {
            Ok(completion) => {
                lock(&self.conns).insert(id, Slot::Open(conn));
                completion
            }
            // The data of a memory database live in the connection: losing them would be worse than the bug.
            Err(_) if self.source.is_memory() => {
                let rollback = Job::new(Work::Rollback);
                let tidied = guarded(|| jobs::perform(&self.source, &mut conn, rollback));
                lock(&self.conns).insert(id, Slot::Open(conn));
                Completion {
                    result: jobs::panicked().result,
                    alive: true,
                    ..tidied
                }
            }
            Err(_) => {
                lock(&self.conns).remove(&id);
                let _ = catch_unwind(AssertUnwindSafe(move || drop(conn)));
                jobs::panicked()
            }
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
