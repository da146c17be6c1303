//! Interpreter exit and fork.
//!
//! At exit the engines' threads are stopped and joined before the interpreter is taken apart. Around a fork they
//! stand still at a job boundary; the child forgets what it inherited and never closes it.
//!
//! A daemon thread may still run an event loop at exit. Its tasks are about to vanish in the middle of whatever they
//! do, so from then on they get no answers: an error would only be one more thing on stderr that nobody asked for.

use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

use oxyde_exec::{Database, LoopId};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyModule};

use crate::completion::lock;
use crate::hubs;
use crate::transport;

static DATABASES: Mutex<Vec<Weak<Database>>> = Mutex::new(Vec::new());

/// How long running work may take to end when the interpreter exits.
const AT_EXIT: Duration = Duration::from_secs(2);

/// The thread in which the interpreter exits, once it does.
static EXITING: OnceLock<ThreadId> = OnceLock::new();

/// Whether the caller is a daemon thread of an interpreter that exits. (Exit handlers may still use a database.)
pub fn is_left_behind() -> bool {
    EXITING
        .get()
        .is_some_and(|exiting| *exiting != thread::current().id())
}

pub fn remember(database: &Arc<Database>) {
    let mut databases = lock(&DATABASES);
    databases.retain(|other| other.strong_count() > 0);
    databases.push(Arc::downgrade(database));
}

fn all() -> Vec<Arc<Database>> {
    lock(&DATABASES).iter().filter_map(Weak::upgrade).collect()
}

/// Lets waits end whose deadline has passed; answers when to look again.
pub fn expire(py: Python<'_>, now: Instant) -> Option<Instant> {
    // The list is only ever locked with the GIL held, as a forking thread holds it: so no child finds it locked.
    let databases = all();
    py.detach(move || {
        databases
            .iter()
            .filter_map(|database| {
                database.expire(now);
                database.next_deadline()
            })
            .min()
    })
}

/// An event loop no longer runs its connections.
pub fn loop_closed(py: Python<'_>, loop_id: LoopId) {
    let databases = all();
    py.detach(move || {
        for database in databases {
            database.loop_closed(loop_id);
        }
    });
    transport::leave_loop(py, loop_id);
}

/// How many threads are inside our code.
static INSIDE: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static DEPTH: Cell<usize> = const { Cell::new(0) };
}

/// A thread's stay in our code.
///
/// A daemon thread that waits for Python's lock while the interpreter is taken apart is ended by unwinding its stack,
/// and a stack with Rust on it cannot be unwound by anybody else: the process would abort. So the exit waits until all
/// have left, and whoever comes later stands still until the process is gone.
pub struct Stay(());

pub fn stay(py: Python<'_>) -> Stay {
    let depth = DEPTH.get();
    if depth == 0 {
        if is_left_behind() {
            py.detach(|| {
                loop {
                    thread::park();
                }
            });
        }
        INSIDE.fetch_add(1, Ordering::SeqCst);
    }
    DEPTH.set(depth + 1);
    Stay(())
}

impl Drop for Stay {
    fn drop(&mut self) {
        let depth = DEPTH.get().saturating_sub(1);
        DEPTH.set(depth);
        if depth == 0 {
            INSIDE.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

/// Waits until no other thread is inside our code; without the GIL, which they need to leave.
fn wait_for_others() {
    let mine = usize::from(DEPTH.get() > 0);
    let end = Instant::now() + AT_EXIT;
    while INSIDE.load(Ordering::SeqCst) > mine && Instant::now() < end {
        thread::sleep(Duration::from_micros(100));
    }
}

#[pyfunction]
fn _at_exit(py: Python<'_>) {
    let _ = EXITING.set(thread::current().id());
    py.detach(wait_for_others);
    // Engines would wait for connections whose loops have stopped.
    hubs::leave_all(py);
    py.detach(|| oxyde_exec::shutdown_all(AT_EXIT));
    hubs::drop_all();
}

#[pyfunction]
fn _before_fork(py: Python<'_>) {
    py.detach(oxyde_exec::fork_prepare);
}

#[pyfunction]
fn _after_fork_in_parent(py: Python<'_>) {
    py.detach(oxyde_exec::fork_parent);
}

#[pyfunction]
fn _after_fork_in_child() {
    oxyde_exec::fork_child();
    transport::forget_all();
    hubs::forget_all();
}

/// Registers the hooks with the interpreter.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    py.import("atexit")?
        .call_method1("register", (wrap_pyfunction!(_at_exit, module)?,))?;
    let os = py.import("os")?;
    if os.hasattr("register_at_fork")? {
        let hooks = PyDict::new(py);
        hooks.set_item("before", wrap_pyfunction!(_before_fork, module)?)?;
        hooks.set_item(
            "after_in_parent",
            wrap_pyfunction!(_after_fork_in_parent, module)?,
        )?;
        hooks.set_item(
            "after_in_child",
            wrap_pyfunction!(_after_fork_in_child, module)?,
        )?;
        os.call_method("register_at_fork", (), Some(&hooks))?;
    }
    Ok(())
}
