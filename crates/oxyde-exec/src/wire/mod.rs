//! What all servers share that are reached over a network: connections and the work on them, whatever is spoken there.
//!
//! ```text
//! WireEngine ── Link (one connection: its job, its deadlines, its cancelling) ── Session (a protocol, no I/O)
//!     │            └─ Server (what one kind of server wants of its links)
//!     └─ Driver (whoever moves bytes: an event loop's transport, a socket in a test)
//! ```

pub mod driver;
pub mod engine;
pub mod events;
pub mod link;
pub mod server;
pub mod session;
