//! A request on its way: what has been sent for it and what the server has still to say.

use std::sync::Arc;

use crate::postgres::copy::CopyUse;
use crate::postgres::statements::{Name, Prepared};
use crate::query::{Column, Formats, Statement};
use crate::wire::events::Request;

/// What the server has to say next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Parse,
    Parameters,
    Columns,
    /// Described: the caller has to go on.
    Paused,
    Bind,
    Execute,
    Simple,
    CopyIn,
    CopyOut,
    /// A COPY that nobody asked for is being brought to its end.
    Refused,
    /// Only ReadyForQuery.
    Ready,
}

/// A request that is not done.
#[derive(Debug)]
pub(super) struct InFlight {
    pub(super) request: Request,
    pub(super) step: Step,
    /// CloseComplete messages that come before anything else.
    pub(super) closes: u32,
    /// Of the rows that may come now.
    pub(super) columns: Option<Arc<[Column]>>,
    pub(super) preparing: Option<Box<Preparing>>,
    pub(super) portal: Option<Name>,
    /// The portal whose rows come.
    pub(super) reads: Option<Name>,
    pub(super) copy: CopyUse,
    /// Sync has been sent.
    pub(super) synced: bool,
    pub(super) simple: bool,
    /// The portal may be suspended.
    pub(super) limited: bool,
    pub(super) answered: bool,
    pub(super) failed: bool,
}

/// A statement that this request has sent for parsing.
#[derive(Debug)]
pub(super) struct Preparing {
    /// `None`: the unnamed statement.
    pub(super) prepared: Option<Prepared>,
    pub(super) parsed: bool,
    pub(super) parameters: Option<Arc<[u32]>>,
    /// What Bind asks for.
    pub(super) formats: Formats,
}

impl Preparing {
    pub(super) fn new(statement: &Statement, name: Option<Name>, formats: &Formats) -> Box<Self> {
        Box::new(Self {
            prepared: name.map(|name| Prepared {
                statement: statement.id,
                name,
            }),
            parsed: false,
            parameters: None,
            formats: formats.clone(),
        })
    }
}

impl InFlight {
    #[inline]
    pub(super) fn new(step: Step, closes: u32) -> Self {
        Self {
            request: Request(0),
            step,
            closes,
            columns: None,
            preparing: None,
            portal: None,
            reads: None,
            copy: CopyUse::None,
            synced: true,
            simple: false,
            limited: false,
            answered: false,
            failed: false,
        }
    }

    /// Nothing can be sent behind it yet.
    pub(super) fn is_exclusive(&self) -> bool {
        !self.synced || self.copy == CopyUse::In
    }

    pub(super) fn takes_rows(&self) -> bool {
        self.closes == 0
            && match self.step {
                Step::Execute | Step::Simple => self.columns.is_some(),
                step => step == Step::Refused,
            }
    }

    pub(super) fn takes_copy(&self) -> bool {
        matches!(self.step, Step::CopyOut | Step::Refused)
    }

    /// Nothing but ReadyForQuery is missing.
    pub(super) fn is_over(&self) -> bool {
        self.closes == 0
            && match self.step {
                Step::Ready => self.synced,
                Step::Simple => self.answered && self.columns.is_none(),
                step => step == Step::Refused,
            }
    }

    /// What the end of a COPY's data leads back to.
    pub(super) fn after_copy(&self) -> Step {
        if self.simple {
            Step::Simple
        } else {
            Step::Execute
        }
    }
}
