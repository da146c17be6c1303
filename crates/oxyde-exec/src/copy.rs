//! The data of a COPY FROM STDIN, which a link asks for as fast as the server takes them.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Mutex, PoisonError};

/// Gives the data, on the thread of the connection's loop.
pub trait CopySource: fmt::Debug + Send + Sync {
    /// The server takes data. `go_on` is called, on any thread, when there is more after a `Supply::Later`.
    fn begin(&self, go_on: Box<dyn Fn() + Send + Sync>);
    /// The next of the data. It is asked for only as long as the connection takes more.
    fn next(&self) -> Supply;
}

/// What a source has.
#[derive(Debug)]
pub enum Supply {
    Data(Vec<u8>),
    /// Nothing now.
    Later,
    End,
}

/// Data that are all there.
pub struct Chunks(Mutex<VecDeque<Vec<u8>>>);

impl Chunks {
    pub fn new(chunks: impl IntoIterator<Item = Vec<u8>>) -> Self {
        Self(Mutex::new(chunks.into_iter().collect()))
    }
}

impl CopySource for Chunks {
    fn begin(&self, _go_on: Box<dyn Fn() + Send + Sync>) {}

    fn next(&self) -> Supply {
        let next = self
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop_front();
        next.map_or(Supply::End, Supply::Data)
    }
}

impl fmt::Debug for Chunks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chunks").finish_non_exhaustive()
    }
}
