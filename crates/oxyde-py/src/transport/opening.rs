//! What the connect procedure in Python works with: one link that is to be connected, one cancel request.

use std::sync::{Arc, Mutex};

use oxyde_exec::LoopId;
use oxyde_exec::error::{ErrorKind, ExecError};
use oxyde_exec::postgres::driver::Channel;
use oxyde_exec::postgres::link::Link;
use oxyde_exec::postgres::session::Password;
use pyo3::exceptions::PyTypeError;
use pyo3::intern;
use pyo3::prelude::*;

use crate::completion::{Hub, lock};
use crate::transport::driver::AsyncioDriver;
use crate::transport::stream::Stream;
use crate::transport::wire::{self, Wire};

#[pyclass(frozen, module = "oxyde_core._core")]
pub struct Opening {
    pub hub: Py<Hub>,
    pub loop_id: LoopId,
    driver: Arc<AsyncioDriver>,
    link: Arc<Link>,
    password: Mutex<Option<Password>>,
    /// What the server said when it last refused.
    refusal: Arc<Mutex<Option<ExecError>>>,
    ended: Mutex<bool>,
}

impl Opening {
    pub fn new(hub: &Bound<'_, Hub>, driver: Arc<AsyncioDriver>, link: Arc<Link>) -> Self {
        Self {
            hub: hub.clone().unbind(),
            loop_id: link.loop_id,
            driver,
            link,
            password: Mutex::new(None),
            refusal: Arc::new(Mutex::new(None)),
            ended: Mutex::new(false),
        }
    }

    fn callback<T>(&self, py: Python<'_>, work: impl FnOnce() -> T) -> T {
        Hub::callback(self.hub.bind(py), self.loop_id, work)
    }

    /// True for the first end; the others change nothing.
    fn end(&self) -> bool {
        !std::mem::replace(&mut *lock(&self.ended), true)
    }
}

#[pymethods]
impl Opening {
    /// A protocol for `loop.create_connection`.
    fn protocol<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        wire::protocol(slf)
    }

    fn set_password(&self, password: &Bound<'_, PyAny>) -> PyResult<()> {
        let secret: Vec<u8> = if password.is_none() {
            *lock(&self.password) = None;
            return Ok(());
        } else if let Ok(text) = password.extract::<String>() {
            text.into_bytes()
        } else if let Ok(bytes) = password.extract::<Vec<u8>>() {
            bytes
        } else {
            return Err(PyTypeError::new_err(format!(
                "a password is a str, not {}",
                password.get_type().name()?
            )));
        };
        *lock(&self.password) = Some(Password::new(secret));
        Ok(())
    }

    /// Logs in over a transport. The future's result is None, or the SQLSTATE (or None) and the words of the refusal.
    fn start<'py>(
        slf: &Bound<'py, Self>,
        protocol: &Bound<'py, Wire>,
        transport: &Bound<'py, PyAny>,
        socket: &Bound<'py, PyAny>,
        place: &Bound<'py, PyAny>,
        encrypted: bool,
        secure: bool,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let this = slf.get();
        let future = this
            .hub
            .get()
            .event_loop
            .bind(py)
            .call_method0(intern!(py, "create_future"))?;
        let stream = Stream::new(
            Arc::downgrade(&this.driver),
            Arc::clone(&this.link),
            transport,
            socket,
            place,
            encrypted,
        )?;
        let refusal = Arc::clone(&this.refusal);
        let waiting = future.clone().unbind();
        let started = Box::new(move |result: Result<(), ExecError>| {
            let words = result.err().map(|error| {
                let words = (error.sqlstate.clone(), error.message.clone());
                *lock(&refusal) = Some(error);
                words
            });
            let _ = Python::try_attach(|py| -> PyResult<()> {
                let waiting = waiting.bind(py);
                if !waiting.call_method0(intern!(py, "done"))?.is_truthy()? {
                    waiting.call_method1(intern!(py, "set_result"), (words,))?;
                }
                Ok(())
            });
        });
        let password = lock(&this.password).clone();
        this.callback(py, || {
            let channel = Arc::clone(&stream) as Arc<dyn Channel>;
            this.link.start(channel, secure, password, started);
            protocol.get().attach(stream);
        });
        Ok(future)
    }

    /// Of the server that has let us in: whether it refuses to write, whether it is a standby.
    fn attributes(&self) -> (bool, bool) {
        let attributes = self.link.attributes();
        (attributes.read_only, attributes.standby)
    }

    /// The attempt with this protocol has come to nothing.
    fn give_up(&self, protocol: &Bound<'_, Wire>) {
        if let Some(stream) = protocol.get().stream() {
            self.callback(protocol.py(), || {
                // Its end must not be taken for that of the next attempt.
                if stream.detach().is_some() {
                    self.link.give_up_attempt();
                }
                stream.abort();
            });
        }
    }

    /// The last attempt is the connection.
    fn ready(&self, py: Python<'_>) {
        if self.end() {
            self.callback(py, || self.link.ready());
        }
    }

    /// The event loop ends, and the attempt with it.
    fn abandoned(&self, py: Python<'_>) {
        let error = ExecError::new(
            ErrorKind::Closed,
            "connecting was given up because the event loop ends",
        );
        if self.end() {
            self.callback(py, || self.link.failed(error));
        }
    }

    /// No attempt came to anything; `refused`: the last refusal of a server tells more than the message.
    #[pyo3(signature = (message, hint=None, refused=false))]
    fn failed(&self, py: Python<'_>, message: String, hint: Option<String>, refused: bool) {
        let refusal = if refused {
            lock(&self.refusal).take()
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
        if self.end() {
            self.callback(py, || self.link.failed(error));
        }
    }
}

/// A request to cancel what a server runs for a link.
#[pyclass(frozen, module = "oxyde_core._core")]
pub struct Cancelling {
    pub hub: Py<Hub>,
    pub link: Arc<Link>,
}

#[pymethods]
impl Cancelling {
    /// True: the server has taken note of it.
    fn sent(&self, py: Python<'_>, ok: bool) {
        // Of another loop than the link's, if that one is closed.
        let hub = self.hub.bind(py);
        Hub::callback(hub, hub.get().loop_id(), || self.link.cancel_sent(ok));
    }
}
