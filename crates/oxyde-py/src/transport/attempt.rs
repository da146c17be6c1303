//! An attempt to log in somewhere, as the connect procedures in Python work with it.

use std::sync::{Arc, Mutex};

use oxyde_exec::LoopId;
use oxyde_exec::error::ExecError;
use oxyde_exec::wire::driver::Channel;
use oxyde_exec::wire::link::Link;
use oxyde_exec::wire::session::{Line, Password};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::completion::{Hub, lock};
use crate::transport::driver::AsyncioDriver;
use crate::transport::stream::Stream;
use crate::transport::wire::{self, Wire};

/// One link that logs in over a transport of the loop, once or until it is let in.
#[pyclass(frozen, subclass, module = "oxyde_core._core")]
pub struct Attempt {
    hub: Py<Hub>,
    loop_id: LoopId,
    driver: Arc<AsyncioDriver>,
    pub link: Arc<Link>,
    password: Mutex<Option<Password>>,
    /// What the server said when it last refused.
    refusal: Arc<Mutex<Option<ExecError>>>,
}

impl Attempt {
    pub fn new(hub: &Bound<'_, Hub>, driver: &Arc<AsyncioDriver>, link: Arc<Link>) -> Self {
        Self {
            hub: hub.clone().unbind(),
            loop_id: hub.get().loop_id(),
            driver: Arc::clone(driver),
            link,
            password: Mutex::new(None),
            refusal: Arc::new(Mutex::new(None)),
        }
    }

    pub fn callback<T>(&self, py: Python<'_>, work: impl FnOnce() -> T) -> T {
        Hub::callback(self.hub.bind(py), self.loop_id, work)
    }

    pub fn take_refusal(&self) -> Option<ExecError> {
        lock(&self.refusal).take()
    }
}

#[pymethods]
impl Attempt {
    /// A protocol for `loop.create_connection`.
    fn protocol<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        wire::protocol(self.hub.bind(py))
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

    /// What asks a server for TLS that has said `greeting`; None: it has none. ValueError: that makes no sense.
    fn tls_request<'py>(
        &self,
        py: Python<'py>,
        greeting: &[u8],
    ) -> PyResult<Option<Bound<'py, PyBytes>>> {
        match self.link.tls_request(greeting) {
            Ok(request) => Ok(request.map(|request| PyBytes::new(py, &request))),
            Err(error) => Err(PyValueError::new_err(error.message.clone())),
        }
    }

    /// Logs in over a transport, after the server has said `greeting`; `secure`: nobody can listen. The future's result is None, or the SQLSTATE (or None) and the words of the refusal.
    #[allow(
        clippy::too_many_arguments,
        reason = "what the procedure knows, one by one"
    )]
    fn start<'py>(
        slf: &Bound<'py, Self>,
        protocol: &Bound<'py, Wire>,
        transport: &Bound<'py, PyAny>,
        socket: &Bound<'py, PyAny>,
        place: &Bound<'py, PyAny>,
        encrypted: bool,
        secure: bool,
        greeting: &[u8],
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
        let line = match (encrypted, secure) {
            (true, _) => Line::Tls,
            (false, true) => Line::File,
            (false, false) => Line::Network,
        };
        let password = lock(&this.password).clone();
        this.callback(py, || {
            let channel = Arc::clone(&stream) as Arc<dyn Channel>;
            this.link.start(channel, line, password, greeting, started);
            protocol.get().attach(stream);
        });
        Ok(future)
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
}
