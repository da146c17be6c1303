//! Connections that an event loop drives: the way to servers.
//!
//! ```text
//! AsyncioDriver ─ Opening, Cancelling (what the procedures in oxyde_core/_connect are asked for)
//!        │            └─ Attempt (a login) ─ Wire (asyncio protocol: bytes and endings in)
//!        └─ Stream (bytes out, closing) ── transport or socket of the loop
//! ```
//! Everything here runs on the loop's thread, except where a function says otherwise.

mod attempt;
#[cfg(unix)]
mod direct;
pub mod driver;
mod opening;
mod stream;
mod wire;

pub use stream::{abort_loop, count, forget_all, leave_loop};
