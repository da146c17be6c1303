//! MySQL and MariaDB over their own wire protocol.
//!
//! ```text
//! server   what MySQL and MariaDB want of their links (see `wire`), taint
//! seam     the session as links know it
//! session  the protocol, no I/O:
//!
//! requests, cursors             what can be asked      → flight (what is on its way) → frontend (commands we write)
//! framing → replies → errors    what the server says   → events                        backend (packets we read)
//! greeting, auth (rsa, ed25519) the login                statements                    what is prepared
//! words                         what a text does to a transaction
//! ```

mod auth;
mod backend;
pub mod config;
mod cursors;
mod ed25519;
mod errors;
mod flight;
mod framing;
mod frontend;
mod greeting;
mod replies;
mod requests;
pub mod rows;
mod rsa;
mod seam;
mod server;
pub mod session;
mod statements;
pub mod taint;
pub mod words;

pub use server::engine;
