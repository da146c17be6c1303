//! The receiving half of a connection: an asyncio protocol.

use std::sync::{Arc, OnceLock};

use oxyde_exec::LoopId;
use oxyde_exec::wire::driver::Channel;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyByteArray, PyDict, PyMemoryView, PyTuple, PyType};
use pyo3::{PyTraverseError, PyVisit};

use crate::completion::Hub;
use crate::lifecycle;
use crate::transport::stream::{self, Stream};

/// What one callback reads at most, and so the most work that it does.
const BUFFER: usize = 256 * 1024;

/// Bytes from the loop's transport to the link. `Wire` itself is no subclass of `asyncio.BufferedProtocol`, which
/// asyncio insists on: see `protocol`.
#[pyclass(frozen, subclass, module = "oxyde_core._core")]
pub struct Wire {
    hub: Py<Hub>,
    loop_id: LoopId,
    /// Never resized: `view` forbids it.
    buffer: Py<PyByteArray>,
    view: Py<PyMemoryView>,
    stream: OnceLock<Arc<Stream>>,
    /// Why it ended before it had a stream.
    early: OnceLock<Option<String>>,
}

/// A new protocol for an attempt to connect.
pub fn protocol<'py>(hub: &Bound<'py, Hub>) -> PyResult<Bound<'py, PyAny>> {
    static CLASS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let py = hub.py();
    let class = CLASS.get_or_try_init(py, || {
        let bases = PyTuple::new(
            py,
            [
                py.get_type::<Wire>().into_any(),
                py.import("asyncio")?.getattr("BufferedProtocol")?,
            ],
        )?;
        let names = PyDict::new(py);
        names.set_item("__slots__", ())?;
        names.set_item("__module__", "oxyde_core._core")?;
        py.get_type::<PyType>()
            .call1(("Wire", bases, names))
            .map(Bound::unbind)
    })?;
    class.bind(py).call1((hub,))
}

impl Wire {
    /// From now on what arrives goes to the stream's link; false if the connection has ended already.
    pub fn attach(&self, stream: Arc<Stream>) -> bool {
        match self.early.get() {
            Some(why) => {
                stream.ended(why.clone());
                false
            }
            None => self.stream.set(stream).is_ok(),
        }
    }

    pub fn stream(&self) -> Option<&Arc<Stream>> {
        self.stream.get()
    }

    fn in_callback(slf: &Bound<'_, Self>, work: impl FnOnce()) {
        if !lifecycle::is_left_behind() {
            Hub::callback(slf.get().hub.bind(slf.py()), slf.get().loop_id, work);
        }
    }
}

#[pymethods]
impl Wire {
    #[new]
    fn new(py: Python<'_>, hub: &Bound<'_, Hub>) -> PyResult<Self> {
        let buffer = PyByteArray::new_with(py, 0, |_| Ok(()))?;
        buffer.resize(BUFFER)?;
        let view = PyMemoryView::from(&buffer)?;
        Ok(Self {
            hub: hub.clone().unbind(),
            loop_id: hub.get().loop_id(),
            buffer: buffer.unbind(),
            view: view.unbind(),
            stream: OnceLock::new(),
            early: OnceLock::new(),
        })
    }

    fn connection_made(&self, _transport: &Bound<'_, PyAny>) {}

    fn get_buffer(&self, py: Python<'_>, _sizehint: &Bound<'_, PyAny>) -> Py<PyMemoryView> {
        self.view.clone_ref(py)
    }

    fn buffer_updated(slf: &Bound<'_, Self>, count: usize) -> PyResult<()> {
        let this = slf.get();
        let Some(stream) = this.stream.get() else {
            return Ok(());
        };
        if count > BUFFER {
            return Err(PyValueError::new_err("more bytes than the buffer holds"));
        }
        let Some(link) = stream.link() else {
            return Ok(());
        };
        if lifecycle::is_left_behind() {
            return Ok(());
        }
        let py = slf.py();
        // SAFETY: `view` keeps the buffer where it is and as large as it is, and only the loop's transport writes
        // to it, on this thread and not before we return.
        let bytes =
            unsafe { std::slice::from_raw_parts(this.buffer.bind(py).data().cast_const(), count) };
        Hub::callback(this.hub.bind(py), this.loop_id, || link.receive(bytes));
        Ok(())
    }

    fn eof_received(slf: &Bound<'_, Self>) {
        match slf.get().stream.get() {
            Some(stream) => Self::in_callback(slf, || {
                // What was not sent will never be read: closing must not wait for it.
                stream.abort();
                stream.lost(None);
            }),
            None => {
                let _ = slf.get().early.set(None);
            }
        }
    }

    #[pyo3(signature = (error))]
    fn connection_lost(slf: &Bound<'_, Self>, error: &Bound<'_, PyAny>) {
        let why = stream::why(error);
        match slf.get().stream.get() {
            Some(stream) => Self::in_callback(slf, || stream.ended(why)),
            None => {
                let _ = slf.get().early.set(why);
            }
        }
    }

    fn pause_writing(&self) {
        if let Some(stream) = self.stream.get() {
            stream.set_full(true);
        }
    }

    fn resume_writing(slf: &Bound<'_, Self>) {
        let Some(stream) = slf.get().stream.get() else {
            return;
        };
        stream.set_full(false);
        if let Some(link) = stream.link() {
            Self::in_callback(slf, || link.supply());
        }
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.buffer)?;
        visit.call(&self.view)
    }
}
