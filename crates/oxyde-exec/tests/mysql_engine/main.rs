//! The MySQL engine against a real server, without Python: `OXYDE_TEST_MYSQL_URL` names it (MySQL or MariaDB).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod answers;
mod connections;
mod home;
#[path = "../common/polling.rs"]
mod polling;
mod sharing;
mod statements;
mod stopping;
mod transactions;
