//! `_core.Inflow`: the data of a COPY FROM STDIN while a program makes them.
//!
//! What the connection has not taken yet waits here. A program that looks whether there is `room` before it goes on is as
//! slow as the server, and this never grows beyond `FULL` and the piece that came last.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use oxyde_exec::{CopySource, Outcome, Sink, Supply, TxStatus};
use pyo3::prelude::*;

use crate::completion::lock;
use crate::database::Database;
use crate::finish::Finish;
use crate::hubs;
use crate::lifecycle;

const FULL: usize = 1 << 18;

#[pyclass(frozen, module = "oxyde_core._core")]
pub struct Inflow {
    pub data: Arc<Waiting>,
    database: Py<Database>,
}

/// What was given and not taken yet.
#[derive(Default)]
pub struct Waiting(Mutex<State>);

#[derive(Default)]
struct State {
    pieces: VecDeque<Vec<u8>>,
    size: usize,
    /// The server takes data.
    begun: bool,
    /// No more data come.
    complete: bool,
    /// Nobody wants the data any more.
    over: bool,
    go_on: Option<Arc<dyn Fn() + Send + Sync>>,
    /// A program that waits for room.
    waiting: Option<Sink>,
}

impl State {
    fn has_room(&self) -> bool {
        self.over || (self.begun && self.size < FULL)
    }

    fn take_waiting(&mut self) -> Option<Sink> {
        match self.has_room() {
            true => self.waiting.take(),
            false => None,
        }
    }
}

impl std::fmt::Debug for Waiting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Waiting").finish_non_exhaustive()
    }
}

fn tell(waiting: Option<Sink>) {
    if let Some(sink) = waiting {
        sink(Ok(Outcome::default()), TxStatus::Idle);
    }
}

impl CopySource for Waiting {
    fn begin(&self, go_on: Box<dyn Fn() + Send + Sync>) {
        let waiting = {
            let mut state = lock(&self.0);
            state.begun = true;
            state.go_on = Some(Arc::from(go_on));
            state.take_waiting()
        };
        tell(waiting);
    }

    fn next(&self) -> Supply {
        let (supply, waiting) = {
            let mut state = lock(&self.0);
            let supply = match state.pieces.pop_front() {
                Some(piece) => {
                    state.size = state.size.saturating_sub(piece.len());
                    Supply::Data(piece)
                }
                None if state.complete => Supply::End,
                None => Supply::Later,
            };
            (supply, state.take_waiting())
        };
        tell(waiting);
        supply
    }
}

impl Waiting {
    /// The COPY has ended in whatever way.
    pub fn end(&self) {
        let (waiting, go_on) = {
            let mut state = lock(&self.0);
            state.over = true;
            state.pieces = VecDeque::new();
            (state.take_waiting(), state.go_on.take())
        };
        drop(go_on);
        tell(waiting);
    }

    fn wait(&self, sink: Sink) {
        let (now, before) = {
            let mut state = lock(&self.0);
            if state.has_room() {
                (Some(sink), None)
            } else {
                (None, state.waiting.replace(sink))
            }
        };
        tell(now);
        // Whoever waited before was cancelled: one task waits at a time.
        tell(before);
    }
}

impl Inflow {
    pub fn new(database: &Bound<'_, Database>) -> Self {
        Self {
            data: Arc::default(),
            database: database.clone().unbind(),
        }
    }

    fn go_on(&self, py: Python<'_>) {
        let go_on = lock(&self.data.0).go_on.clone();
        if let Some(go_on) = go_on {
            let _stay = lifecycle::stay(py);
            hubs::call(py, || go_on());
        }
    }
}

#[pymethods]
impl Inflow {
    /// Gives a piece of the data; false: wait for `room` before the next.
    fn write(&self, py: Python<'_>, data: &[u8]) -> bool {
        {
            let mut state = lock(&self.data.0);
            if state.over || state.complete {
                return true;
            }
            state.size = state.size.saturating_add(data.len());
            state.pieces.push_back(data.to_vec());
        }
        self.go_on(py);
        lock(&self.data.0).has_room()
    }

    /// Waits until the server takes more, or nothing more at all.
    fn room(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.database
            .get()
            .submit(py, Finish::Nothing, None, None, |_, sink| {
                self.data.wait(sink);
            })
    }

    /// All data were given.
    fn finish(&self, py: Python<'_>) {
        lock(&self.data.0).complete = true;
        self.go_on(py);
    }
}
