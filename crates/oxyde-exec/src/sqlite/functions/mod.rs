//! The SQL functions that Oxyde registers on every connection.
//!
//! All are called `oxyde_…`: built-ins are never replaced. They are DIRECTONLY, so that SQLite itself refuses them in
//! DDL (views, triggers, indexes, checks): a file stays usable by programs that do not have them. Their errors start
//! with their name, by which `error_table` knows that the data are at fault and not the statement.

mod decimal;
mod number;
mod text;

use rusqlite::Connection;
use rusqlite::functions::FunctionFlags;

const FLAGS: FunctionFlags = FunctionFlags::SQLITE_UTF8
    .union(FunctionFlags::SQLITE_DETERMINISTIC)
    .union(FunctionFlags::SQLITE_DIRECTONLY);

pub(crate) fn register(db: &Connection) -> rusqlite::Result<()> {
    text::register(db)?;
    number::register(db)?;
    decimal::register(db)
}

/// An error of a function's argument.
fn refuse(message: String) -> rusqlite::Error {
    rusqlite::Error::UserFunctionError(message.into())
}
