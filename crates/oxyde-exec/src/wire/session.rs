//! What a link asks of a protocol.

use std::fmt;
use std::sync::Arc;

use crate::engine::{CursorId, TxStatus};
use crate::error::{ErrorKind, ExecError};
use crate::query::{Column, Encoded, Formats, Statement};
use crate::wire::events::{Event, Fatal, Request};

/// A secret that no `Debug` shows.
#[derive(Clone)]
pub struct Password(pub(crate) Vec<u8>);

impl Password {
    pub fn new(secret: impl Into<Vec<u8>>) -> Self {
        Self(secret.into())
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

/// What the bytes of a connection go through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line {
    /// A network where anybody may listen.
    Network,
    /// A socket file of this machine.
    File,
    Tls,
}

impl Line {
    /// Whether a password may be sent in clear.
    pub fn is_secure(self) -> bool {
        self != Self::Network
    }
}

/// Types of the parameters and the columns (none: no rows).
pub type Shape = (Arc<[u32]>, Arc<[Column]>);

/// How a server is asked, over a connection of its own, to stop what it runs for a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cancel {
    /// By these bytes instead of a login; the server closes that connection when it has taken note.
    Packet(Vec<u8>),
    /// By a login and this statement, see `Link::helper`.
    Statement(String),
}

/// The protocol of one connection, without I/O: requests and the server's bytes in, events and bytes to send out.
///
/// Requests are answered in order and each ends with exactly one [`Event::Done`], also one that fails. Submitting a
/// request before the last one is done pipelines it, where [`can_follow`](Self::can_follow) allows that; an error of
/// one does not touch the next. A submission that fails has sent nothing.
///
/// A [`Fatal`] ends the session: the server's bytes make no sense, or it said goodbye. Whatever bytes come, nothing
/// here panics, waits or takes more memory than what the server really sent.
pub trait Session: Send {
    /// What asks a server that has greeted for TLS, before `start`; `None`: it has none, or none that is asked for so.
    fn tls_request(&self, _greeting: &[u8]) -> Result<Option<Vec<u8>>, ExecError> {
        Ok(None)
    }

    /// Begins the login. `greeting`: what the server said before anything was sent, as far as whoever made the
    /// connection had to read it.
    fn start(
        &mut self,
        password: Option<Password>,
        line: Line,
        greeting: &[u8],
    ) -> Result<(), ExecError>;

    /// Bytes to send. The caller empties it, best by `clear` after sending: its memory serves again.
    fn output(&mut self) -> &mut Vec<u8>;

    /// The next event in `data`, which is advanced past what was used; `None`: all was used, more is needed.
    fn next<'a>(&mut self, data: &mut &'a [u8]) -> Result<Option<Event<'a>>, Fatal>;

    /// What the end of the server's bytes means now.
    fn end_of_file(&self) -> Fatal;

    /// Says goodbye; nothing can be submitted any more.
    fn terminate(&mut self);

    /// As of the last `Done`.
    fn transaction(&self) -> TxStatus;

    /// What the server calls the process or thread that serves us.
    fn process(&self) -> Option<i64>;

    /// Something that the server has said about itself (server_version, …).
    fn parameter(&self, name: &str) -> Option<&str>;

    /// How to stop what runs here.
    fn cancel(&self) -> Option<Cancel>;

    /// Runs a statement.
    fn query(&mut self, statement: &Statement, params: &Encoded) -> Result<Request, ExecError>;

    /// The same with other formats than the statement's own: after [`is_prepared`](Self::is_prepared) said what comes.
    fn query_as(
        &mut self,
        statement: &Statement,
        params: &Encoded,
        results: &Formats,
    ) -> Result<Request, ExecError>;

    /// Asks what a statement takes and returns; [`Event::Described`] answers (or `Failed`). Nothing else can be
    /// submitted before `execute_described` or `end_described`.
    fn describe(&mut self, statement: &Statement) -> Result<Request, ExecError>;

    /// Runs what was described; `cursor`: as `open_cursor` does, with so many rows in a piece. After an error
    /// `end_described` is still to be called.
    fn execute_described(
        &mut self,
        params: &Encoded,
        results: &Formats,
        cursor: Option<(CursorId, u32)>,
    ) -> Result<(), ExecError>;

    /// Ends a described request without running it; `Done` follows. Without a described request nothing happens.
    fn end_described(&mut self);

    /// What a statement takes and returns, if it is prepared.
    fn is_prepared(&self, statement: &Statement) -> Option<Shape>;

    /// Whether `statement` can be submitted behind what is in flight.
    fn can_follow(&self, _statement: &Statement) -> bool {
        true
    }

    /// The statement is closed with the next flight and prepared anew when it is used again.
    fn forget(&mut self, statement: &Statement);

    /// From now on nothing is kept prepared: the server turned out to be behind a pooler.
    fn set_unnamed(&mut self) {}

    /// What the server takes at once; a request that is longer is refused before it is sent.
    fn set_max_packet(&mut self, _bytes: usize) {}

    /// Runs a statement, in a transaction, whose rows come in pieces of `rows`. Ends with [`Event::Suspended`] while
    /// there may be more; the server keeps those until the cursor is closed or the transaction ends. The first piece may
    /// be empty. `statement` is one that is not kept.
    fn open_cursor(
        &mut self,
        cursor: CursorId,
        statement: &Statement,
        params: &Encoded,
        rows: u32,
    ) -> Result<Request, ExecError>;

    /// The next rows of a cursor.
    fn fetch(&mut self, cursor: CursorId, rows: u32) -> Result<Request, ExecError>;

    /// Drops what is left of a cursor; one that is not open is no error.
    fn close_cursor(&mut self, cursor: CursorId) -> Result<Request, ExecError>;

    /// A statement as a text: nothing prepared, all values of the rows are texts.
    fn simple(&mut self, sql: &str) -> Result<Request, ExecError>;

    /// One round trip that does nothing.
    fn sync(&mut self) -> Result<Request, ExecError>;

    /// The protocol's own command that puts a session back to its beginning; prepared statements are gone after it.
    fn reset(&mut self) -> Result<Request, ExecError> {
        Err(ExecError::new(
            ErrorKind::Internal,
            "this protocol has no command that resets a session",
        ))
    }

    /// Data for the server by `sql`: after `CopyIn` come `copy_data` and one `copy_done` or `copy_fail`.
    fn copy_in(&mut self, _sql: &str) -> Result<Request, ExecError> {
        Err(ExecError::new(
            ErrorKind::NotSupported,
            "this server takes no COPY",
        ))
    }

    /// Data of the server by `sql`: `CopyOut`, then `CopyData`.
    fn copy_out(&mut self, _sql: &str) -> Result<Request, ExecError> {
        Err(ExecError::new(
            ErrorKind::NotSupported,
            "this server has no COPY",
        ))
    }

    /// Whether the server still takes data: not before `CopyIn`, not after an error.
    fn copy_data(&mut self, _data: &[u8]) -> bool {
        false
    }

    /// All data have been given. Nothing happens when the copy has failed before.
    fn copy_done(&mut self) {}

    /// Gives up: the server stores nothing and answers with an error that names `why`.
    fn copy_fail(&mut self, _why: &str) {}
}

impl fmt::Debug for dyn Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Session")
    }
}
