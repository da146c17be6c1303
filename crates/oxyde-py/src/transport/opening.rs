//! What the connect procedures in Python are asked for: one link that is to be connected, one request to cancel.

use std::sync::{Arc, Mutex};

use oxyde_exec::error::{ErrorKind, ExecError};
use oxyde_exec::wire::link::Link;
use oxyde_exec::wire::session::Cancel;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::completion::{Hub, lock};
use crate::transport::attempt::Attempt;
use crate::transport::driver::AsyncioDriver;

/// A connection for the pool: any number of attempts, then one end.
#[pyclass(frozen, extends = Attempt, module = "oxyde_core._core")]
pub struct Opening {
    ended: Mutex<bool>,
}

impl Opening {
    pub fn new<'py>(
        hub: &Bound<'py, Hub>,
        driver: &Arc<AsyncioDriver>,
        link: &Arc<Link>,
    ) -> PyResult<Bound<'py, Self>> {
        let attempt = Attempt::new(hub, driver, Arc::clone(link));
        let opening = Self {
            ended: Mutex::new(false),
        };
        Bound::new(
            hub.py(),
            PyClassInitializer::from(attempt).add_subclass(opening),
        )
    }

    /// Tells the link how it ended; only the first end counts.
    fn end(slf: &Bound<'_, Self>, how: impl FnOnce(&Arc<Link>)) {
        if !std::mem::replace(&mut *lock(&slf.get().ended), true) {
            let attempt = slf.as_super().get();
            attempt.callback(slf.py(), || how(&attempt.link));
        }
    }
}

#[pymethods]
impl Opening {
    /// Of the server that has let us in: whether it refuses to write, whether it is a standby.
    fn attributes(slf: &Bound<'_, Self>) -> (bool, bool) {
        let attributes = slf.as_super().get().link.attributes();
        (attributes.read_only, attributes.standby)
    }

    /// The last attempt is the connection.
    fn ready(slf: &Bound<'_, Self>) {
        Self::end(slf, Link::ready);
    }

    /// The event loop ends, and the attempt with it.
    fn abandoned(slf: &Bound<'_, Self>) {
        let error = ExecError::new(
            ErrorKind::Closed,
            "connecting was given up because the event loop ends",
        );
        Self::end(slf, |link| link.failed(error));
    }

    /// No attempt came to anything; `refused`: the last refusal of a server tells more than the message.
    #[pyo3(signature = (message, hint=None, refused=false))]
    fn failed(slf: &Bound<'_, Self>, message: String, hint: Option<String>, refused: bool) {
        let refusal = if refused {
            slf.as_super().get().take_refusal()
        } else {
            None
        };
        let mut error = match refusal {
            Some(mut error) => {
                error.message = message;
                // Also of a connection that was lost in the middle of the login.
                error.kind = ErrorKind::Connect;
                error
            }
            None => ExecError::new(ErrorKind::Connect, message),
        };
        if hint.is_some() {
            error.hint = hint;
        }
        Self::end(slf, |link| link.failed(error));
    }
}

/// A request to cancel what a server runs for a link. Where a login is needed for that, an attempt of it does all:
/// when it is let in, the server has taken note.
#[pyclass(frozen, extends = Attempt, module = "oxyde_core._core")]
pub struct Cancelling {
    link: Arc<Link>,
    packet: Option<Py<PyBytes>>,
}

impl Cancelling {
    pub fn new<'py>(
        hub: &Bound<'py, Hub>,
        driver: &Arc<AsyncioDriver>,
        link: &Arc<Link>,
        request: Cancel,
    ) -> PyResult<Bound<'py, Self>> {
        let py = hub.py();
        let (helper, packet) = match request {
            // The link is connected: it would refuse an attempt.
            Cancel::Packet(bytes) => (Arc::clone(link), Some(PyBytes::new(py, &bytes).unbind())),
            // Of another loop than the link's, if that one is closed.
            Cancel::Statement(sql) => (link.helper(hub.get().loop_id(), sql), None),
        };
        let cancelling = Self {
            link: Arc::clone(link),
            packet,
        };
        let attempt = Attempt::new(hub, driver, helper);
        Bound::new(
            py,
            PyClassInitializer::from(attempt).add_subclass(cancelling),
        )
    }
}

#[pymethods]
impl Cancelling {
    /// What is sent instead of a login; None: a login is needed.
    #[getter]
    fn packet(&self, py: Python<'_>) -> Option<Py<PyBytes>> {
        self.packet.as_ref().map(|packet| packet.clone_ref(py))
    }

    /// True: the server has taken note of it.
    fn sent(slf: &Bound<'_, Self>, ok: bool) {
        let attempt = slf.as_super().get();
        attempt.callback(slf.py(), || slf.get().link.cancel_sent(ok));
    }
}
