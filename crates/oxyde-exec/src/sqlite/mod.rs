//! SQLite through rusqlite.
//!
//! ```text
//! engine   queues and threads behind the Engine seam      worker   what a thread does; the table of connections
//! jobs     work → completion on one connection            inline   point look-ups on the calling thread
//! open     flags, pragmas, callbacks of a connection      watch    how running SQL is stopped
//! rows     values in, rows out, driver errors             functions, decimal   the registered SQL functions
//! ```

pub mod config;
pub(crate) mod decimal;
pub(crate) mod engine;
pub(crate) mod functions;
pub(crate) mod inline;
mod jobs;
mod open;
mod rows;
mod watch;
mod worker;
