//! A request on its way: what has been sent for it and what the server has still to say.

use std::sync::Arc;

use crate::engine::CursorId;
use crate::error::ExecError;
use crate::mysql::backend::StatementId;
use crate::mysql::statements::Definitions;
use crate::mysql::words::Verb;
use crate::query::Column;
use crate::wire::events::Request;

/// What the server has to say next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Whether it could prepare a statement.
    Prepare,
    /// So many definitions of parameters, which say nothing.
    Parameters(u16),
    ParametersEnd,
    /// So many definitions of columns: of a statement that is being prepared, or of a result.
    Columns(u16),
    ColumnsEnd,
    /// Described: the caller has to go on.
    Paused,
    /// OK, or how many columns there are.
    Result,
    Rows,
    /// OK to a command that has no other answer.
    Plain,
    /// After an error: OK to a ping of ours, for what it says of the transaction.
    Check,
    /// Nothing.
    Over,
}

/// A request that is not done.
#[derive(Debug)]
pub(super) struct InFlight {
    pub(super) request: Request,
    pub(super) step: Step,
    /// Of the server's next packet.
    pub(super) number: u8,
    pub(super) binary: bool,
    pub(super) verb: Verb,
    /// Of a prepared statement that is kept: its own number and the server's.
    pub(super) statement: Option<(u64, StatementId)>,
    pub(super) preparing: Option<Box<Preparing>>,
    /// Of the rows that may come now; before that, what is known of them.
    pub(super) columns: Option<Arc<[Column]>>,
    pub(super) collected: Option<Box<Collected>>,
    pub(super) rows: u64,
    /// A result with rows has come: another one would be one too many.
    pub(super) answered: bool,
    pub(super) surplus: bool,
    /// What is told when the state of the transaction is known.
    pub(super) error: Option<ExecError>,
    /// Pings that may still be sent for that.
    pub(super) pings: u8,
    /// Whose rows come.
    pub(super) cursor: Option<CursorId>,
    /// The cursor has rows left, which is to be told.
    pub(super) suspended: bool,
}

/// A statement that this request has sent to be prepared.
#[derive(Debug)]
pub(super) struct Preparing {
    pub(super) statement: u64,
    pub(super) sql: Arc<str>,
    /// There is room for it among the kept ones.
    pub(super) kept: bool,
    /// Once the server has given one; also tells whether the columns that come are the statement's.
    pub(super) id: Option<StatementId>,
    pub(super) parameters: u16,
    pub(super) columns: u16,
    pub(super) then: Then,
    /// The server cannot prepare it.
    pub(super) refused: Option<ExecError>,
}

/// What follows when a statement is prepared.
#[derive(Debug)]
pub(super) enum Then {
    /// It is run, with so many parameters: the command lacks only its id.
    Execute {
        parameters: u16,
        command: Vec<u8>,
        packets: u8,
    },
    /// The caller is told.
    Describe,
}

/// Definitions of columns, as far as they have come.
#[derive(Debug, Default)]
pub(super) struct Collected {
    pub(super) columns: Vec<Column>,
    pub(super) definitions: Definitions,
}

impl InFlight {
    #[inline]
    pub(super) fn new(step: Step, number: u8) -> Self {
        Self {
            request: Request(0),
            step,
            number,
            binary: false,
            verb: Verb::Other,
            statement: None,
            preparing: None,
            columns: None,
            collected: None,
            rows: 0,
            answered: false,
            surplus: false,
            error: None,
            pings: 3,
            cursor: None,
            suspended: false,
        }
    }

    /// Nothing can be sent behind it yet.
    pub(super) fn is_exclusive(&self) -> bool {
        self.preparing.is_some()
    }

    /// A row has one byte for each field at the least; in binary, for the nulls of eight.
    pub(super) fn shortest_row(&self) -> usize {
        let width = self.columns.as_ref().map_or(0, |columns| columns.len());
        if self.binary {
            width.saturating_add(9).div_euclid(8).saturating_add(1)
        } else {
            width
        }
    }
}
