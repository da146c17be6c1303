//! The sending half of a connection, and how it ends.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};

use oxyde_exec::LoopId;
use oxyde_exec::wire::driver::Channel;
use oxyde_exec::wire::link::Link;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::completion::lock;
use crate::scope;
#[cfg(unix)]
use crate::transport::direct;
use crate::transport::driver::AsyncioDriver;

/// All open streams of this process. Only locked with the GIL held: no forked child finds it locked.
static OPEN: Mutex<Vec<Arc<Stream>>> = Mutex::new(Vec::new());

pub struct Stream {
    pub loop_id: LoopId,
    pub driver: Weak<AsyncioDriver>,
    /// How the cancel request gets to the same server.
    pub place: Py<PyAny>,
    /// What tells the server that it need not log a connection that broke.
    goodbye: &'static [u8],
    link: Mutex<Option<Arc<Link>>>,
    python: Mutex<Option<Parts>>,
    #[cfg(unix)]
    direct: Mutex<Option<direct::Socket>>,
    #[cfg(unix)]
    inherited: Option<direct::Identity>,
    /// The transport holds bytes that the peer did not take at once: later ones must go behind them.
    queued: AtomicBool,
    /// It holds as many as it wants to.
    full: AtomicBool,
}

/// What Python knows of the stream; gone once it is closed.
struct Parts {
    write: Py<PyAny>,
    size: Py<PyAny>,
    close: Py<PyAny>,
    abort: Py<PyAny>,
    transport: Py<PyAny>,
    socket: Py<PyAny>,
}

impl Stream {
    /// `secure`: bytes go through TLS, which is the transport's.
    pub fn new(
        driver: Weak<AsyncioDriver>,
        link: Arc<Link>,
        transport: &Bound<'_, PyAny>,
        socket: &Bound<'_, PyAny>,
        place: &Bound<'_, PyAny>,
        encrypted: bool,
    ) -> PyResult<Arc<Self>> {
        let py = transport.py();
        let method = |name| transport.getattr(name).map(Bound::unbind);
        let loop_id = link.loop_id;
        #[cfg(not(unix))]
        let _ = encrypted;
        #[cfg(unix)]
        let descriptor: i32 = socket.call_method0(intern!(py, "fileno"))?.extract()?;
        let stream = Arc::new(Self {
            loop_id,
            driver,
            place: place.clone().unbind(),
            goodbye: link.goodbye(),
            link: Mutex::new(Some(link)),
            python: Mutex::new(Some(Parts {
                write: method(intern!(py, "write"))?,
                size: method(intern!(py, "get_write_buffer_size"))?,
                close: method(intern!(py, "close"))?,
                abort: method(intern!(py, "abort"))?,
                transport: transport.clone().unbind(),
                socket: socket.clone().unbind(),
            })),
            #[cfg(unix)]
            direct: Mutex::new(direct::Socket::new(descriptor, encrypted)),
            #[cfg(unix)]
            inherited: direct::Identity::of(descriptor),
            queued: AtomicBool::new(false),
            full: AtomicBool::new(false),
        });
        lock(&OPEN).push(Arc::clone(&stream));
        Ok(stream)
    }

    pub fn link(&self) -> Option<Arc<Link>> {
        lock(&self.link).clone()
    }

    /// What arrives from now on concerns nobody.
    pub fn detach(&self) -> Option<Arc<Link>> {
        lock(&self.link).take()
    }

    /// What asyncio's transport says of its buffer.
    pub fn set_full(&self, full: bool) {
        self.full.store(full, Ordering::Relaxed);
    }

    /// Nothing more will come.
    pub fn lost(&self, why: Option<String>) {
        if let Some(link) = self.detach() {
            link.lost(why);
        }
    }

    /// The transport is closed, or is about to be closed by the loop.
    pub fn ended(&self, why: Option<String>) {
        self.release();
        self.lost(why);
    }

    /// Lets go of the transport; needs the GIL.
    fn release(&self) -> Option<Parts> {
        #[cfg(unix)]
        lock(&self.direct).take();
        lock(&OPEN).retain(|other| !std::ptr::eq(Arc::as_ptr(other), self));
        lock(&self.python).take()
    }

    /// Ends the connection for the peer, and leaves the socket to the transport.
    pub fn shut_down(&self) {
        drop(self.detach());
        #[cfg(unix)]
        if let Some(socket) = &*lock(&self.direct) {
            socket.shut_down();
        }
    }

    /// Says goodbye and closes, on the thread of the loop; `lost` does not follow.
    fn leave(&self) {
        drop(self.detach());
        self.write(self.goodbye);
        self.close();
    }

    /// As much as can be sent without the transport, which is a Python call and 0.5 to 0.8 µs of a round trip's 12 to 15.
    #[cfg(unix)]
    fn send<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        match &*lock(&self.direct) {
            // An error is left to the transport to find: it closes itself then.
            Some(socket) => match socket.send(bytes) {
                Ok(sent) => bytes.get(sent..).unwrap_or_default(),
                Err(_) => bytes,
            },
            None => bytes,
        }
    }

    #[cfg(not(unix))]
    fn send<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        bytes
    }

    fn call(&self, method: impl FnOnce(&Parts) -> &Py<PyAny>) {
        // After the interpreter has begun to end there is nobody left to ask.
        let _ = Python::try_attach(|py| {
            let method = lock(&self.python)
                .as_ref()
                .map(|python| method(python).clone_ref(py));
            if let Some(method) = method {
                // A transport that is closing refuses: its end is reported anyway.
                let _ = method.call0(py);
            }
        });
    }

    fn call_transport(&self, method: &str) {
        let _ = Python::try_attach(|py| {
            let transport = lock(&self.python)
                .as_ref()
                .map(|python| python.transport.clone_ref(py));
            if let Some(transport) = transport {
                // A transport that is closing refuses.
                let _ = transport.call_method0(py, method);
            }
        });
    }

    fn write_through_transport(&self, py: Python<'_>, bytes: &[u8]) {
        let write = lock(&self.python)
            .as_ref()
            .map(|python| python.write.clone_ref(py));
        if let Some(write) = write {
            let _ = write.call1(py, (PyBytes::new(py, bytes),));
            self.queued.store(true, Ordering::Relaxed);
        }
    }

    /// Whether the transport still holds bytes.
    fn is_queued(&self) -> bool {
        self.queued.load(Ordering::Relaxed) && {
            let left = Python::try_attach(|py| {
                let size = lock(&self.python)
                    .as_ref()
                    .map(|python| python.size.clone_ref(py))?;
                size.call0(py).ok()?.extract::<usize>(py).ok()
            });
            let queued = left.flatten().is_none_or(|left| left > 0);
            self.queued.store(queued, Ordering::Relaxed);
            queued
        }
    }
}

impl Channel for Stream {
    #[cfg(unix)]
    fn is_dead(&self) -> bool {
        lock(&self.direct)
            .as_ref()
            .is_some_and(direct::Socket::is_dead)
    }

    fn pause(&self) {
        self.call_transport("pause_reading");
    }

    fn go_on(&self) {
        self.call_transport("resume_reading");
    }

    fn write(&self, bytes: &[u8]) {
        let rest = if self.is_queued() {
            bytes
        } else {
            self.send(bytes)
        };
        if !rest.is_empty() {
            let _ = Python::try_attach(|py| self.write_through_transport(py, rest));
        }
    }

    fn is_full(&self) -> bool {
        self.full.load(Ordering::Relaxed)
    }

    fn close(&self) {
        self.call(|python| &python.close);
    }

    fn abort(&self) {
        self.call(|python| &python.abort);
    }

    fn kill(&self) {
        if scope::is_callback(self.loop_id) {
            // The loop still runs, for the last time perhaps.
            return self.leave();
        }
        let _ = Python::try_attach(|py| {
            drop(self.detach());
            if !self.queued.load(Ordering::Relaxed) {
                self.send(self.goodbye);
            }
            if let Some(python) = self.release() {
                let _ = py
                    .import("oxyde_core._connect")
                    .and_then(|sockets| sockets.call_method1("discard", (&python.transport,)));
                let _ = python.socket.call_method0(py, intern!(py, "close"));
            }
        });
    }
}

/// Closes the streams of a loop that no longer runs them: with a goodbye if this is a callback of the loop.
pub fn leave_loop(py: Python<'_>, loop_id: LoopId) {
    leave(py, |stream| stream.loop_id == loop_id);
}

/// The same for one driver's; on any thread.
pub fn leave_driver(driver: *const AsyncioDriver, loop_id: LoopId) {
    let _ = Python::try_attach(|py| {
        leave(py, |stream| {
            stream.loop_id == loop_id && stream.driver.as_ptr() == driver
        });
    });
}

fn leave(_attached: Python<'_>, wanted: impl Fn(&Stream) -> bool) {
    let streams: Vec<Arc<Stream>> = lock(&OPEN)
        .iter()
        .filter(|stream| lock(&stream.link).is_some() && wanted(stream))
        .cloned()
        .collect();
    for stream in streams {
        stream.kill();
    }
}

/// Closes what a goodbye has not closed.
pub fn abort_loop(loop_id: LoopId) {
    let streams: Vec<Arc<Stream>> = lock(&OPEN)
        .iter()
        .filter(|stream| stream.loop_id == loop_id)
        .cloned()
        .collect();
    for stream in streams {
        stream.abort();
    }
}

/// The stream of a link that is connected.
pub fn of(link: &Arc<Link>) -> Option<Arc<Stream>> {
    lock(&OPEN)
        .iter()
        .find(|stream| {
            lock(&stream.link)
                .as_ref()
                .is_some_and(|other| Arc::ptr_eq(other, link))
        })
        .cloned()
}

/// How many streams of a loop are not closed yet.
pub fn count(loop_id: LoopId) -> usize {
    lock(&OPEN)
        .iter()
        .filter(|stream| stream.loop_id == loop_id)
        .count()
}

/// In a forked child: the parent's sockets are not ours to write to or to shut down, nor may a loop that was running
/// at the fork read from them.
pub fn forget_all() {
    let streams = std::mem::take(&mut *lock(&OPEN));
    #[cfg(unix)]
    direct::cover(
        streams
            .iter()
            .filter_map(|stream| stream.inherited.as_ref()),
    );
    std::mem::forget(streams);
}

pub fn why(error: &Bound<'_, PyAny>) -> Option<String> {
    if error.is_none() {
        return None;
    }
    let words = error
        .getattr(intern!(error.py(), "strerror"))
        .ok()
        .filter(|words| !words.is_none())
        .unwrap_or_else(|| error.clone());
    let words = words.str().ok()?.to_string();
    Some(if words.is_empty() {
        error.get_type().name().ok()?.to_string()
    } else {
        words
    })
}
