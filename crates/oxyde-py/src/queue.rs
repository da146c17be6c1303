//! What waits for an event loop's thread.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use oxyde_exec::LoopId;
use oxyde_exec::engine::{Outcome, TxStatus};
use oxyde_exec::error::ExecError;
use oxyde_exec::wire::link::Link;
use pyo3::prelude::*;

use crate::completion::{Hub, lock};
use crate::scope;
use crate::wake::Waker;

/// Something for a loop's thread.
pub enum Item {
    Answer(Answer),
    /// A connection has something to do.
    Pump(Arc<Link>),
    Call(Call),
}

/// Something that is done in a callback of the loop.
pub type Call = Box<dyn FnOnce(&Bound<'_, Hub>) -> PyResult<()> + Send>;

pub struct Answer {
    pub operation: u64,
    pub result: Result<Outcome, ExecError>,
    pub status: TxStatus,
}

/// The part that engine threads know.
pub struct Queue {
    inbox: Mutex<Vec<Item>>,
    pub waker: Waker,
    loop_id: AtomicU64,
}

impl Queue {
    pub fn new(waker: Waker) -> Arc<Self> {
        Arc::new(Self {
            inbox: Mutex::new(Vec::new()),
            waker,
            loop_id: AtomicU64::new(LoopId::ANY.0),
        })
    }

    /// What its loop is called from now on.
    pub fn name(&self, loop_id: LoopId) {
        self.loop_id.store(loop_id.0, Ordering::Release);
    }

    pub fn push(&self, item: Item) {
        let first = {
            let mut inbox = lock(&self.inbox);
            inbox.push(item);
            inbox.len() == 1
        };
        if first && !scope::is_callback(self.loop_id()) {
            self.waker.wake();
        }
    }

    pub fn loop_id(&self) -> LoopId {
        LoopId(self.loop_id.load(Ordering::Acquire))
    }

    pub fn take(&self) -> Vec<Item> {
        std::mem::take(&mut *lock(&self.inbox))
    }
}
