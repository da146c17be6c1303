//! Waking an event loop from another thread.

use std::sync::OnceLock;

use pyo3::prelude::*;

/// What a loop is woken with.
pub enum Waker {
    #[cfg(unix)]
    Descriptor(descriptor::Pair),
    Loop(ThroughLoop),
}

impl Waker {
    /// A waker with a descriptor to watch, where the platform's loops can watch one.
    #[cfg(unix)]
    pub fn descriptor() -> std::io::Result<Option<(Self, i32)>> {
        let pair = descriptor::Pair::new()?;
        let fd = pair.watched();
        Ok(Some((Self::Descriptor(pair), fd)))
    }

    #[cfg(not(unix))]
    pub fn descriptor() -> std::io::Result<Option<(Self, i32)>> {
        Ok(None)
    }

    pub fn through(event_loop: &Bound<'_, PyAny>) -> Self {
        Self::Loop(ThroughLoop {
            event_loop: event_loop.clone().unbind(),
            callback: OnceLock::new(),
        })
    }

    pub fn wake(&self) {
        match self {
            #[cfg(unix)]
            Self::Descriptor(pair) => pair.wake(),
            Self::Loop(through) => through.wake(),
        }
    }

    /// Takes the signal back, before the queue is emptied: a later one wakes again.
    pub fn clear(&self) {
        match self {
            #[cfg(unix)]
            Self::Descriptor(pair) => pair.clear(),
            Self::Loop(_) => {}
        }
    }
}

/// The fallback for loops that cannot watch descriptors.
pub struct ThroughLoop {
    event_loop: Py<PyAny>,
    callback: OnceLock<Py<PyAny>>,
}

impl ThroughLoop {
    pub fn target(&self, callback: Py<PyAny>) {
        let _ = self.callback.set(callback);
    }

    fn wake(&self) {
        // After the interpreter has begun to end there is nobody to wake.
        let _ = Python::try_attach(|py| {
            if let Some(callback) = self.callback.get() {
                // A closed loop raises RuntimeError; its futures have nobody waiting either.
                let _ = self
                    .event_loop
                    .bind(py)
                    .call_method1("call_soon_threadsafe", (callback.bind(py),));
            }
        });
    }
}

#[cfg(unix)]
mod descriptor {
    use std::io;
    use std::os::fd::{AsRawFd, OwnedFd};

    /// An eventfd where there is one, else the two ends of a pipe.
    pub struct Pair {
        reader: OwnedFd,
        writer: Option<OwnedFd>,
    }

    impl Pair {
        #[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
        pub fn new() -> io::Result<Self> {
            use rustix::event::{EventfdFlags, eventfd};
            let reader = eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?;
            Ok(Self {
                reader,
                writer: None,
            })
        }

        #[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
        pub fn new() -> io::Result<Self> {
            let (reader, writer) = rustix::pipe::pipe()?;
            for end in [&reader, &writer] {
                rustix::io::ioctl_fionbio(end, true)?;
                rustix::io::fcntl_setfd(end, rustix::io::FdFlags::CLOEXEC)?;
            }
            Ok(Self {
                reader,
                writer: Some(writer),
            })
        }

        pub fn watched(&self) -> i32 {
            self.reader.as_raw_fd()
        }

        pub fn wake(&self) {
            // A full pipe or counter is a signal already; there is no other error for an open descriptor.
            let writer = self.writer.as_ref().unwrap_or(&self.reader);
            let _ = rustix::io::write(writer, &1u64.to_ne_bytes());
        }

        pub fn clear(&self) {
            let mut buffer = [0u8; 512];
            while rustix::io::read(&self.reader, &mut buffer[..]).is_ok_and(|n| n == buffer.len()) {
            }
        }
    }
}
