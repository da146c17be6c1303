//! What a session tells: the events that the server's bytes amount to.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use crate::engine::{Tag, TxStatus};
use crate::error::ExecError;
use crate::query::{Column, RawRows};

/// Names a request of one session; numbers only grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Request(pub(crate) u64);

/// Bytes of the server: a piece of what was just read, or put together from several reads.
#[derive(Clone, PartialEq, Eq)]
pub enum Chunk<'a> {
    Borrowed(&'a [u8]),
    Owned(Vec<u8>),
}

impl Deref for Chunk<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Borrowed(bytes) => bytes,
            Self::Owned(bytes) => bytes,
        }
    }
}

impl fmt::Debug for Chunk<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Chunk({} bytes)", self.len())
    }
}

/// Whole rows as [`RawRows`] has them; their lengths have been checked, their fields have not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowChunk<'a> {
    pub(crate) bytes: Chunk<'a>,
    pub(crate) count: usize,
}

impl RowChunk<'_> {
    pub fn raw(&self) -> RawRows<'_> {
        RawRows {
            bytes: &self.bytes,
            count: self.count,
        }
    }
}

#[derive(Debug)]
pub enum Event<'a> {
    /// The server has let us in and waits for requests.
    Started,
    /// Types of the parameters and the columns (none: no rows). Nothing goes on before `execute_described` or
    /// `end_described`.
    Described(Request, Arc<[u32]>, Arc<[Column]>),
    /// Before the first row, also when none will come. The same object for each execution of a prepared statement.
    Columns(Request, Arc<[Column]>),
    Rows(Request, RowChunk<'a>),
    /// One statement has ended; a simple query may hold several. A `Failed` can still follow: constraints that are
    /// checked at commit, in a statement outside a transaction.
    Completed(Request, Summary),
    /// The cursor has more rows, or may have.
    Suspended(Request),
    /// The server takes data now.
    CopyIn(Request, CopyFormat),
    CopyOut(Request, CopyFormat),
    CopyData(Request, Chunk<'a>),
    /// The server has refused; nothing more comes for this request but `Done`.
    Failed(Request, ExecError),
    /// The last event of a request.
    Done(Request, TxStatus),
    Notification {
        pid: i32,
        channel: String,
        payload: String,
    },
    Notice(Box<Notice>),
    /// A reported setting has a new value.
    Parameter(String),
}

/// What the server says at the end of a statement.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    pub tag: Tag,
    /// How many rows it returned or changed.
    pub rows: u64,
    /// MySQL: the first number that AUTO_INCREMENT gave out.
    pub last_insert_id: u64,
}

/// How the server wants or sends the data of a COPY.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CopyFormat {
    pub binary: bool,
    pub columns: u16,
}

/// A message of the server that is no error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// WARNING, NOTICE, DEBUG, INFO or LOG.
    pub severity: String,
    pub sqlstate: String,
    pub message: String,
    pub detail: Option<String>,
    pub hint: Option<String>,
}

/// The connection is unusable, and every request in flight has ended by this.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fatal(pub ExecError);
