//! What databases can put a key on. MySQL and MariaDB keep keys of up to 3072
//! bytes, and know how many bytes that may be only of types with a length.

use super::TableDdl;
use super::doc::{FieldDoc, IndexDoc};
use crate::CompileError;
use crate::dialect::Stored;

type Result<T> = std::result::Result<T, CompileError>;

/// The longest text, in characters of four bytes, that a key holds.
const LONGEST_KEY: u32 = 768;
/// How much of a longer text, or of bytes, an index holds.
const PREFIX: u32 = 255;

impl TableDdl<'_> {
    /// How much of a column an index holds: everything, or a prefix of so many
    /// characters or bytes.
    pub(super) fn key_length(&self, index: &IndexDoc, column: &str) -> Result<String> {
        let method = index.method.as_deref().unwrap_or("btree");
        if self.features.whole_keys || !method.eq_ignore_ascii_case("btree") {
            return Ok(String::new());
        }
        let field = self.field(column)?;
        match self.stored(field) {
            Stored::Json => Err(self.features.refuse(format!(
                "an index on {}.{column}, which holds documents; index an expression over a path of it",
                self.table.name
            ))),
            // Uniques have been looked at before.
            kind if is_long(kind) && !index.unique => Ok(format!("({PREFIX})")),
            _ => Ok(String::new()),
        }
    }

    /// Refuses a unique key on values of which the database would look at the
    /// beginning alone.
    pub(super) fn check_unique<S: AsRef<str>>(&self, columns: &[S]) -> Result<()> {
        self.check_key(columns, self.features.long_uniques, "a unique key")
    }

    pub(super) fn check_primary<S: AsRef<str>>(&self, columns: &[S]) -> Result<()> {
        self.check_key(columns, self.features.whole_keys, "a primary key")
    }

    fn check_key<S: AsRef<str>>(&self, columns: &[S], long: bool, what: &str) -> Result<()> {
        if self.features.whole_keys {
            return Ok(());
        }
        for column in columns {
            let field = self.field(column.as_ref())?;
            let kind = self.stored(field);
            if kind == Stored::Json || (is_long(kind) && !long) {
                return Err(self.features.refuse(format!(
                    "{what} on {}.{}, whose values may be longer than {LONGEST_KEY} characters; give it a max_length",
                    self.table.name,
                    column.as_ref(),
                )));
            }
        }
        Ok(())
    }

    fn stored(&self, field: &FieldDoc) -> Stored {
        crate::dialect::stored(field.db_type.as_deref(), field.sql_type().as_ref())
    }
}

fn is_long(kind: Stored) -> bool {
    match kind {
        Stored::Text(length) => length > LONGEST_KEY,
        Stored::LongText | Stored::LongBytes => true,
        Stored::Json | Stored::Float | Stored::Other => false,
    }
}
