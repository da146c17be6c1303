//! SQLite through rusqlite.
//!
//! ```text
//! engine   queues and threads behind the Engine seam      worker   what a thread does; the table of connections
//! jobs     work → completion on one connection            inline, inline_write   look-ups and writes of single rows
//! open     flags, pragmas, callbacks of a connection          on the calling thread; plan says which
//! reset    a connection as good as new
//! log      the write-ahead log's checkpoints              watch    how running SQL is stopped
//! cursors  results that are read in pieces
//! rows     values in, rows out, driver errors             functions, decimal   the registered SQL functions
//! place    files that are deleted or replaced
//! ```

pub mod config;
mod cursors;
pub(crate) mod decimal;
pub(crate) mod engine;
pub(crate) mod functions;
pub(crate) mod inline;
pub(crate) mod inline_write;
mod jobs;
mod log;
mod open;
mod place;
mod plan;
mod reset;
mod rows;
mod watch;
mod worker;
