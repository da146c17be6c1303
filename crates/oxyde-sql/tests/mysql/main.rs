//! Every case prepared by a real MySQL or MariaDB, and run where only its answer
//! tells whether the text means what it should.
//!
//! ```text
//! OXYDE_TEST_MYSQL_URL=mysql://… cargo test -p oxyde-sql --features server-tests --test mysql
//! ```

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)] // a failure is a failed test

#[path = "../cases/mod.rs"]
mod cases;
mod every_case;
mod lists;
mod place;
mod reads;
mod schemas;
#[path = "../server/mysql.rs"]
mod server;
mod sessions;
mod texts;
mod values;
mod writes;
