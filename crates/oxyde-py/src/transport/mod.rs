//! Connections that an event loop drives: the way to PostgreSQL.
//!
//! ```text
//! AsyncioDriver ─ Opening (one attempt to connect; the procedure is oxyde_core/_connect)
//!        │            └─ Wire (asyncio protocol: bytes and endings in)
//!        └─ Stream (bytes out, closing) ── transport or socket of the loop
//! ```
//! Everything here runs on the loop's thread, except where a function says otherwise.

#[cfg(unix)]
mod direct;
pub mod driver;
mod opening;
mod stream;
mod wire;

pub use stream::{abort_loop, count, forget_all, leave_loop};
