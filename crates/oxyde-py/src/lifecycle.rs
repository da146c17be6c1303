//! Interpreter exit and fork.
//!
//! At exit the engines' threads are stopped and joined before the interpreter is taken apart. Around a fork they
//! stand still at a job boundary; the child forgets what it inherited and never closes it.
//!
//! A daemon thread may still run an event loop at exit. Its tasks are about to vanish in the middle of whatever they
//! do, so from then on they get no answers: an error would only be one more thing on stderr that nobody asked for.

use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

use oxyde_exec::Database;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyModule};

use crate::completion::{self, lock};

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

#[pyfunction]
fn _at_exit(py: Python<'_>) {
    let _ = EXITING.set(thread::current().id());
    py.detach(|| oxyde_exec::shutdown_all(AT_EXIT));
    completion::drop_all();
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
    completion::forget_all();
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
