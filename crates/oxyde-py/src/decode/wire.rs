//! What reading the rows of a server takes, whichever server it is.

use oxyde_exec::query::{Column, Malformed, RawRows};
use oxyde_sql::SqlType;
use pyo3::prelude::*;

use super::Decoded;
use crate::loader::{Decoders, Loader};

/// What a column's values become.
#[derive(Clone, Debug)]
pub enum Wanted {
    /// What the field's column type says.
    Field(SqlType),
    /// Raw SQL: what is natural for the server's type.
    Natural,
}

/// Reads the values of one result column. Rows are read by code that is compiled for each server.
pub trait Decode: Sized + Send + Sync + 'static {
    /// One row with its frame around it.
    type Row<'a>;

    fn new(column: &Column, wanted: Wanted) -> Self;
    /// Those that a loader keeps.
    fn kept(loader: &Loader) -> &Decoders<Self>;
    /// Whether it reads such a column as well as its own.
    fn is_for(&self, column: &Column) -> bool;
    /// Rows one by one; ends after the first error.
    fn rows<'a>(rows: RawRows<'a>) -> impl Iterator<Item = Result<Self::Row<'a>, Malformed>>;
    /// Finds the fields of a row, one for each decoder, and checks all their lengths, before any is read.
    fn split<'a>(
        row: Self::Row<'a>,
        decoders: &[Self],
        fields: &mut [Option<&'a [u8]>],
    ) -> Result<(), Malformed>;
    /// A new reference for a value that is not NULL.
    fn decode<'py>(&self, py: Python<'py>, bytes: &[u8]) -> Decoded<'py>;
    /// The value itself if it is short, to find a row again.
    fn brief(&self, bytes: &[u8]) -> Option<String>;
}
