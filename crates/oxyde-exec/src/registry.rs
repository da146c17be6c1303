//! What concerns the process and not one database: forks and the exit.
//!
//! Every database is registered here, weakly. A fork copies the forking thread only: in the child, any lock may be
//! held for ever by a thread that does not exist there. Therefore
//!
//! * `fork_prepare` holds the engines' threads at a job boundary (10 ms at most), has them close what must not be
//!   inherited, and makes each database's *successor*: an unused core for the child, so that the child allocates and
//!   locks nothing of the parent's;
//! * `fork_child` only advances the generation number. Whatever was made in an older generation is foreign: it is
//!   leaked, never locked, used or closed; databases go on with their successors.

use std::cell::RefCell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use crate::dispatch::Database;
use crate::engine::Paused;

const FORK_PATIENCE: Duration = Duration::from_millis(10);

static GENERATION: AtomicU64 = AtomicU64::new(0);
static DATABASES: Mutex<Vec<Weak<Database>>> = Mutex::new(Vec::new());

type Held = MutexGuard<'static, Vec<Weak<Database>>>;

thread_local! {
    /// Held from `fork_prepare` to its counterpart, so that the child does not inherit it locked by another thread.
    static HELD: RefCell<Option<Held>> = const { RefCell::new(None) };
}

pub(crate) fn generation() -> u64 {
    GENERATION.load(Ordering::Acquire)
}

/// Made before a fork that this process is the child of.
pub(crate) fn is_foreign(generation: u64) -> bool {
    generation != GENERATION.load(Ordering::Acquire)
}

pub(crate) fn register(database: &Arc<Database>) {
    let mut databases = lock();
    databases.retain(|database| database.strong_count() > 0);
    databases.push(Arc::downgrade(database));
}

fn lock() -> Held {
    DATABASES.lock().unwrap_or_else(PoisonError::into_inner)
}

fn living(databases: &[Weak<Database>]) -> Vec<Arc<Database>> {
    databases.iter().filter_map(Weak::upgrade).collect()
}

/// `os.register_at_fork(before=…)`.
pub fn fork_prepare() {
    if HELD.with(|held| held.borrow().is_some()) {
        return;
    }
    let held = lock();
    let databases = living(&held);
    HELD.with(|slot| *slot.borrow_mut() = Some(held));
    let deadline = Instant::now() + FORK_PATIENCE;
    let states: Vec<Paused> = databases
        .iter()
        .map(|database| database.pause(deadline))
        .collect();
    let unstoppable = states.contains(&Paused::Running);
    for (database, state) in databases.iter().zip(&states) {
        // Several databases may be the same file.
        let shared = databases.iter().zip(&states).find(|(other, state)| {
            **state == Paused::InTransaction
                && database.path().is_some()
                && other.path() == database.path()
        });
        database.prepare_successor(match (unstoppable, shared) {
            (true, _) => Paused::Running,
            (false, Some((_, state))) => *state,
            (false, None) => *state,
        });
    }
}

/// `os.register_at_fork(after_in_parent=…)`.
pub fn fork_parent() {
    if let Some(held) = HELD.with(|slot| slot.borrow_mut().take()) {
        let databases = living(&held);
        for database in &databases {
            database.resume();
        }
        // The guard goes before the databases: dropping the last reference to one may take its time.
        drop(held);
    }
}

/// `os.register_at_fork(after_in_child=…)`.
pub fn fork_child() {
    GENERATION.fetch_add(1, Ordering::AcqRel);
    drop(HELD.with(|slot| slot.borrow_mut().take()));
}

/// Process exit: interrupts what runs, rolls back what is open and ends all threads. True if all have ended in time.
pub fn shutdown_all(timeout: Duration) -> bool {
    let deadline = Instant::now().checked_add(timeout);
    let databases = living(&lock());
    for database in &databases {
        database.stop();
    }
    let mut all = true;
    for database in &databases {
        all &= database.finish(deadline.unwrap_or_else(Instant::now));
    }
    all
}
