//! PostgreSQL over its own wire protocol.
//!
//! ```text
//! server   what PostgreSQL wants of its links (see `wire`), taint
//! seam     the session as links know it
//! session  the protocol, no I/O:
//!
//! requests, portals, copy   what can be asked      → flight (what is on its way) → frontend (messages we write)
//! framing → replies, told   what the server says   → events                        backend (messages we read)
//! auth                      the login                statements                    what is prepared
//! ```

mod auth;
mod backend;
pub mod config;
mod copy;
mod flight;
mod framing;
mod frontend;
mod portals;
mod replies;
mod requests;
mod seam;
mod server;
pub mod session;
mod statements;
pub mod taint;
mod told;

pub use server::engine;
