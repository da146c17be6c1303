//! Which event loop has which hub.

use std::collections::HashMap;
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use oxyde_exec::LoopId;
use pyo3::exceptions::PyRuntimeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

use crate::completion::{Hub, lock};
use crate::queue::{Item, Queue};
use crate::scope::{self, Kind};

/// One hub per running loop; a closed loop's hub goes when somebody looks. Only locked with the GIL held, as a forking
/// thread holds it: no child finds it locked.
static HUBS: Mutex<Vec<Py<Hub>>> = Mutex::new(Vec::new());

/// Hubs of closed loops whose work is being stopped, by one thread each.
static LEAVING: Mutex<Vec<Py<Hub>>> = Mutex::new(Vec::new());

type Loops = Mutex<HashMap<LoopId, Arc<Queue>>>;

/// The queues of all loops, for threads that have no GIL. A forked child gets a new one: another thread may have held
/// the old one's lock.
static LOOPS: AtomicPtr<Loops> = AtomicPtr::new(std::ptr::null_mut());

static NEXT: AtomicU64 = AtomicU64::new(1);

fn loops() -> &'static Loops {
    let mut loops = LOOPS.load(Ordering::Acquire);
    if loops.is_null() {
        let fresh = Box::into_raw(Box::<Loops>::default());
        loops = match LOOPS.compare_exchange(
            std::ptr::null_mut(),
            fresh,
            Ordering::AcqRel,
            Ordering::Acquire,
        ) {
            Ok(_) => fresh,
            Err(others) => {
                // SAFETY: made above and shown to nobody.
                drop(unsafe { Box::from_raw(fresh) });
                others
            }
        };
    }
    // SAFETY: never freed once it is stored.
    unsafe { &*loops }
}

/// A name for a loop; never used before, and not by a parent process either.
pub fn register(queue: &Arc<Queue>) -> LoopId {
    let loop_id = LoopId(NEXT.fetch_add(1, Ordering::Relaxed));
    lock(loops()).insert(loop_id, Arc::clone(queue));
    loop_id
}

pub fn unregister(loop_id: LoopId) {
    lock(loops()).remove(&loop_id);
}

/// Has something done on the thread of a loop, from any thread; nothing happens if the loop is gone.
pub fn post(loop_id: LoopId, item: Item) {
    let queue = lock(loops()).get(&loop_id).cloned();
    if let Some(queue) = queue {
        queue.push(item);
    }
}

/// The running loop of this thread.
pub fn running_loop(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    static GET: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let get = GET.get_or_try_init(py, || {
        py.import("asyncio")?
            .getattr("_get_running_loop")
            .map(Bound::unbind)
    })?;
    let event_loop = get.bind(py).call0()?;
    if event_loop.is_none() {
        return Err(PyRuntimeError::new_err(
            "no running event loop: database calls are awaited inside asyncio",
        ));
    }
    Ok(event_loop)
}

/// The hub of the running loop, made on first use.
pub fn hub(py: Python<'_>) -> PyResult<Bound<'_, Hub>> {
    let event_loop = running_loop(py)?;
    if let Some(hub) = find(py, |hub| hub.event_loop.is(&event_loop)) {
        return Ok(hub);
    }
    let hub = Hub::attach(&event_loop)?;
    lock(&HUBS).push(hub.clone().unbind());
    leave_closed_loops(py);
    Ok(hub)
}

/// The hub of the running loop, if it has one.
pub fn current(py: Python<'_>) -> Option<Bound<'_, Hub>> {
    let event_loop = running_loop(py).ok()?;
    find(py, |hub| hub.event_loop.is(&event_loop))
}

/// Does something inside a call of a program on the running loop, if there is one.
pub fn call<T>(py: Python<'_>, work: impl FnOnce() -> T) -> T {
    let _scope = current(py).map(|hub| scope::enter(hub.get().loop_id(), Kind::Call));
    work()
}

pub fn by_id(py: Python<'_>, loop_id: LoopId) -> Option<Bound<'_, Hub>> {
    find(py, |hub| hub.loop_id() == loop_id)
}

fn find<'py>(py: Python<'py>, wanted: impl Fn(&Hub) -> bool) -> Option<Bound<'py, Hub>> {
    lock(&HUBS)
        .iter()
        .find(|hub| wanted(hub.get()))
        .map(|hub| hub.bind(py).clone())
}

/// Stops the work of loops that were closed without ending it, and frees their connections.
pub fn leave_closed_loops(py: Python<'_>) {
    // Asking a loop runs Python code, and so other threads: not with the lock held.
    let hubs: Vec<Py<Hub>> = {
        let hubs = lock(&HUBS);
        if hubs.len() < 2 {
            return;
        }
        hubs.iter().map(|hub| hub.clone_ref(py)).collect()
    };
    for hub in hubs {
        let closed = hub
            .get()
            .event_loop
            .bind(py)
            .call_method0(intern!(py, "is_closed"));
        if closed
            .and_then(|closed| closed.is_truthy())
            .unwrap_or(false)
        {
            let first = {
                let mut leaving = lock(&LEAVING);
                let first = !leaving.iter().any(|other| other.is(&hub));
                if first {
                    leaving.push(hub.clone_ref(py));
                }
                first
            };
            if first {
                hub.get().give_up(py);
                lock(&HUBS).retain(|other| !other.is(&hub));
                lock(&LEAVING).retain(|other| !other.is(&hub));
            }
        }
    }
}

/// In a forked child: the parent's loops, futures and descriptors are not ours to touch.
pub fn forget_all() {
    LOOPS.store(std::ptr::null_mut(), Ordering::Release);
    for hubs in [&HUBS, &LEAVING] {
        std::mem::forget(std::mem::take(&mut *lock(hubs)));
    }
}

/// At exit, before the engines stop: connections that wait for a loop which will not run again are closed without it.
pub fn leave_all(py: Python<'_>) {
    let hubs: Vec<Py<Hub>> = lock(&HUBS).iter().map(|hub| hub.clone_ref(py)).collect();
    for hub in hubs {
        hub.get().leave_connections(py);
    }
}

/// At exit: hubs hold Python objects and must go before the interpreter does.
pub fn drop_all() {
    drop(std::mem::take(&mut *lock(&HUBS)));
}
