//! `Driver` on asyncio.

use std::sync::{Arc, Mutex, Weak};
use std::time::Instant;

use oxyde_exec::LoopId;
use oxyde_exec::error::{ErrorKind, ExecError};
use oxyde_exec::wire::driver::Driver;
use oxyde_exec::wire::link::Link;
use oxyde_exec::wire::session::Cancel;
use pyo3::intern;
use pyo3::prelude::*;

use crate::completion::{Hub, lock};
use crate::hubs;
use crate::queue::{Call, Item};
use crate::scope::{self, Kind};
use crate::transport::opening::{Cancelling, Opening};
use crate::transport::stream::{self, Stream};

/// The connections of one database in one process.
pub struct AsyncioDriver {
    /// `oxyde_core._connect.Connector`. Shared with the drivers of forked children, which are made without the GIL.
    connector: Arc<Py<PyAny>>,
    me: Weak<Self>,
}

/// A call for `loop.call_soon`.
#[pyclass(frozen, module = "oxyde_core._core")]
struct Later {
    hub: Py<Hub>,
    loop_id: LoopId,
    call: Mutex<Option<Call>>,
}

#[pymethods]
impl Later {
    fn __call__(&self, py: Python<'_>) -> PyResult<()> {
        let call = lock(&self.call).take();
        let hub = self.hub.bind(py);
        Hub::callback(hub, self.loop_id, || call.map_or(Ok(()), |call| call(hub)))
    }
}

/// Has something done in a callback of a loop; on any thread. Nothing happens if the loop is gone.
fn in_callback(loop_id: LoopId, call: Call) {
    if !scope::is_inside(loop_id) || scope::is_callback(loop_id) {
        return hubs::post(loop_id, Item::Call(call));
    }
    // A program's call on the loop's own thread: without a wake-up.
    let _ = Python::try_attach(|py| -> PyResult<()> {
        let Some(hub) = hubs::by_id(py, loop_id) else {
            return Ok(());
        };
        let later = Later {
            hub: hub.clone().unbind(),
            loop_id,
            call: Mutex::new(Some(call)),
        };
        hub.get().call_soon(Bound::new(py, later)?.as_any())
    });
}

fn runs(hub: &Bound<'_, Hub>) -> bool {
    hub.get()
        .event_loop
        .bind(hub.py())
        .call_method0(intern!(hub.py(), "is_running"))
        .and_then(|runs| runs.is_truthy())
        .unwrap_or(true)
}

/// A loop that is closed, or between two `run_until_complete()`, perhaps for good: nobody needs to wait for its idle
/// connections, and what runs on the others is cancelled. Their transports find the end when the loop runs again.
fn end_in_standing_loop(link: &Arc<Link>) -> bool {
    let ended = Python::try_attach(|py| {
        let hub = hubs::by_id(py, link.loop_id).filter(|hub| !runs(hub))?;
        let stream = stream::of(link)?;
        let _scope = scope::enter(hub.get().loop_id(), Kind::Call);
        link.pump();
        if link.is_over() {
            stream.shut_down();
            link.lost(None);
        }
        Some(())
    });
    ended.flatten().is_some()
}

/// The link's loop, or the one of this thread if that does not run.
fn running_loop_for(link: &Arc<Link>) -> LoopId {
    let other = Python::try_attach(|py| {
        hubs::by_id(py, link.loop_id).filter(|hub| !runs(hub))?;
        Some(hubs::current(py)?.get().loop_id())
    });
    other.flatten().unwrap_or(link.loop_id)
}

impl AsyncioDriver {
    pub fn new(connector: Arc<Py<PyAny>>) -> Arc<Self> {
        Arc::new_cyclic(|me| Self {
            connector,
            me: me.clone(),
        })
    }

    fn begin(self: &Arc<Self>, hub: &Bound<'_, Hub>, link: &Arc<Link>) -> PyResult<()> {
        let py = hub.py();
        Hub::watch_end(hub, || {
            py.import("oxyde_core._connect")?
                .call_method1("watch", (hub,))
                .map(Bound::unbind)
        })?;
        let opening = Opening::new(hub, self, link)?;
        let procedure = self
            .connector
            .bind(py)
            .call_method1(intern!(py, "open"), (opening,))?;
        Hub::spawn(hub, &procedure)
    }

    fn send_cancel(
        self: &Arc<Self>,
        hub: &Bound<'_, Hub>,
        link: &Arc<Link>,
        stream: &Stream,
        request: Cancel,
    ) -> PyResult<()> {
        let py = hub.py();
        let request = Cancelling::new(hub, self, link, request)?;
        let procedure = self
            .connector
            .bind(py)
            .call_method1(intern!(py, "cancel"), (request, &stream.place))?;
        Hub::spawn(hub, &procedure)
    }
}

impl Driver for AsyncioDriver {
    fn open(&self, link: Arc<Link>) {
        let Some(this) = self.me.upgrade() else {
            return;
        };
        in_callback(
            link.loop_id,
            Box::new(move |hub| {
                this.begin(hub, &link).inspect_err(|_| {
                    link.failed(ExecError::new(
                        ErrorKind::Internal,
                        "the connect procedure could not be started",
                    ));
                })
            }),
        );
    }

    fn wake(&self, link: &Arc<Link>) {
        if scope::is_inside(link.loop_id) {
            link.pump();
        } else if !(link.is_to_end() && end_in_standing_loop(link)) {
            hubs::post(link.loop_id, Item::Pump(Arc::clone(link)));
        }
    }

    fn cancel(&self, link: &Arc<Link>, request: Cancel) {
        let Some(this) = self.me.upgrade() else {
            return;
        };
        let link = Arc::clone(link);
        let Some(stream) = Python::try_attach(|_| stream::of(&link)).flatten() else {
            return link.cancel_sent(false);
        };
        let loop_id = running_loop_for(&link);
        in_callback(
            loop_id,
            Box::new(move |hub| {
                this.send_cancel(hub, &link, &stream, request)
                    .inspect_err(|_| link.cancel_sent(false))
            }),
        );
    }

    fn alarm(&self, loop_id: LoopId, at: Instant) {
        if !scope::is_inside(loop_id) {
            let arm: Call = Box::new(move |hub| Hub::arm(hub, at));
            return hubs::post(loop_id, Item::Call(arm));
        }
        let _ = Python::try_attach(|py| match hubs::by_id(py, loop_id) {
            Some(hub) => Hub::arm(&hub, at),
            None => Ok(()),
        });
    }

    fn forget_loop(&self, loop_id: LoopId) {
        stream::leave_driver(self, loop_id);
    }
}
