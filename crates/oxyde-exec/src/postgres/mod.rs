//! PostgreSQL over its own wire protocol.
//!
//! ```text
//! PostgresEngine ── Link (one connection: its job, its deadlines, its cancelling) ── Session (the protocol, no I/O)
//!        └─ Driver (whoever moves bytes: an event loop's transport, a socket in a test)
//! ```
//! Within the session:
//!
//! ```text
//! requests, portals, copy   what can be asked      → flight (what is on its way) → frontend (messages we write)
//! framing → replies, told   what the server says   → events                        backend (messages we read)
//! auth                      the login                statements                    what is prepared
//! ```

mod auth;
mod backend;
pub mod config;
mod copy;
pub mod driver;
pub mod engine;
pub mod events;
mod flight;
mod framing;
mod frontend;
pub mod link;
mod portals;
mod replies;
mod requests;
pub mod session;
mod statements;
pub mod taint;
mod told;
