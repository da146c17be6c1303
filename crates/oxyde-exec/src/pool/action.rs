//! What goes into a pool and what comes out of it.

use std::time::Duration;

use crate::engine::{ConnId, LoopId};
use crate::error::ExecError;

#[derive(Clone, Debug)]
pub struct PoolConfig {
    pub max_connections: usize,
    /// Not reaped below this many for being idle; replaced when lost. Nothing is opened before the first use.
    pub min_connections: usize,
    pub max_waiting: Option<usize>,
    pub idle_timeout: Option<Duration>,
    pub max_lifetime: Option<Duration>,
}

/// One request for a connection; numbers must grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ticket(pub u64);

#[derive(Clone, Debug, PartialEq)]
pub enum Refusal {
    /// The acquire deadline has passed.
    Timeout(Load),
    /// `max_waiting` others wait already.
    Full(Load),
    /// No connection could be opened.
    OpenFailed(ExecError),
    Cancelled,
    LoopClosed,
    Closed,
}

/// How busy the pool was, for messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    pub max_connections: usize,
    pub in_use: usize,
    pub waiting: usize,
    /// The connection that has been in use for the longest time, and for how long.
    pub longest_hold: Option<(Duration, ConnId)>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Open a connection, then report `opened` or `open_failed`.
    Open { slot: ConnId, loop_id: LoopId },
    /// The ticket has its connection, until `release` or `discard`.
    Grant {
        ticket: Ticket,
        conn: ConnId,
        waited: Duration,
    },
    /// The ticket will get none.
    Refuse { ticket: Ticket, why: Refusal },
    /// Close an idle connection, then report `closed`.
    Close { conn: ConnId, loop_id: LoopId },
}
