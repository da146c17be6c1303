//! Everything that talks to a database; knows no Python.
//!
//! ```text
//! Database (dispatch) ── Pool (pure state machine: who may use which connection)
//!        │            ├─ Lease + Transaction (one connection for a while; what each error does to it)
//!        │            └─ Pin (one connection for statements and transactions in turn)
//!        └─ Engine (owns connections and the work on them) ── sqlite
//! ```
//! A call goes `Database::run` → pool → `Engine::start` → completion → pool (next waiter) → the caller's `Sink`, on
//! whichever thread completes: nothing above is needed to keep jobs flowing, and nothing above owns a connection.

#![deny(unsafe_code)]

pub mod cells;
mod copy;
mod core;
pub mod dispatch;
pub mod engine;
pub mod error;
pub mod error_table;
mod lease;
pub mod mysql;
mod numbers;
mod pin;
pub mod pool;
pub mod postgres;
pub mod query;
mod registry;
pub mod sqlite;
pub mod transaction;
mod waiter;
pub mod wire;

pub use cells::{Cell, CellRef, Cells, Rows};
pub use copy::{Chunks, CopySource, Supply};
pub use dispatch::Database;
pub use engine::{
    Begin, BeginMode, CancelFlag, CancelReason, Caps, Completion, ConnId, CopyReader, CursorId,
    Done, Engine, Isolation, Job, Lane, Listener, LoopId, Origin, Outcome, Returning, Sink, Stats,
    Tag, TxStatus, Waits, Watcher, Work,
};
pub use error::{Code, Effect, ErrorInfo, ErrorKind, ExecError};
pub use lease::{Lease, LeaseStatus};
pub use pin::Pin;
pub use registry::{fork_child, fork_parent, fork_prepare, shutdown_all};
pub use sqlite::config::SqliteConfig;
pub use sqlite::inline::{Inline, InlineGuard};
pub use sqlite::inline_write::InlineWriteGuard;
