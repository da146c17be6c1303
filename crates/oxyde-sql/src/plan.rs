//! What compiling gives: text, the order of its parameters, and how to read its rows.

use std::borrow::Cow;

use crate::{Dialect, SqlType, Version};

/// One compiled statement.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The statement's text.
    pub sql: String,
    /// What each placeholder takes, in placeholder order.
    pub binds: Vec<BindSlot>,
    /// What each column of a returned row is; empty when no rows come back.
    pub columns: Vec<ResultColumn>,
    /// What the statement does.
    pub kind: StatementKind,
    /// Whether the statement answers with rows.
    pub returns_rows: bool,
    /// For a bulk insert: how its rows are given to the server.
    pub bulk: Option<BulkForm>,
    /// For a bulk insert: how many of `binds` belong to the row (the first
    /// ones); those after them are the same for all rows. 0 otherwise.
    pub row_binds: usize,
    /// For a bulk insert in one statement: which of `columns` the database
    /// numbers in the order of the rows. The rows come back in that order, too,
    /// which no manual promises: values that do not ascend say that they did not.
    pub numbered: Option<usize>,
    /// The one column that is asked for is the key that the server numbers, and
    /// the server tells it without a row: the first of the statement's.
    pub told_key: bool,
    /// For a bulk insert: another way for many rows, if there is one.
    pub copy: Option<CopyForm>,
}

impl Plan {
    /// The same with a comment behind each of its texts. The blank after `/*` keeps a `!` or a `+` in it from meaning
    /// anything; what must not be in it is the caller's to refuse.
    #[must_use]
    pub fn with_comment(mut self, comment: &str) -> Self {
        let comment = format!(" /* {comment} */");
        self.sql.push_str(&comment);
        if let Some(BulkForm::MultiRow { tail, .. }) = &mut self.bulk {
            tail.push_str(&comment);
        }
        if let Some(copy) = &mut self.copy {
            copy.sql.push_str(&comment);
            copy.keys.push_str(&comment);
        }
        self
    }
}

/// A bulk insert by PostgreSQL's COPY, in its text format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopyForm {
    /// `COPY … FROM STDIN`: of the key if it is `keyed`, then of the row's fields.
    pub sql: String,
    /// A query for one column of 64-bit integers, the keys. Its only parameter,
    /// if `keyed`, is how many (32 bits). No row: the table is not for COPY.
    pub keys: String,
    /// Whether each row begins with a key from that query. Without it, the
    /// query only tells whether the table is for COPY.
    pub keyed: bool,
}

/// One placeholder.
#[derive(Clone, Debug, PartialEq)]
pub struct BindSlot {
    /// Position in the parameters of the query. For a bulk insert, its fields
    /// come first and the parameters of the query after them.
    pub param: usize,
    /// What the value is encoded as.
    pub ty: SqlType,
    /// What is done to the text of the value first.
    pub transform: Transform,
    /// The server infers the type, which only it knows (a column with a `db_type`)
    /// or which has to be exactly a column's (arrays): the value is sent as text
    /// and without a type of its own.
    pub verbatim: bool,
    /// The value is a list, sent as an array of texts, each the text of an item:
    /// for items that are arrays themselves, or whose type only the server knows.
    /// `ty` is the list's.
    pub texts: bool,
}

/// A change to the text of a parameter that SQL cannot make, or only slowly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transform {
    /// The value as it is.
    None,
    /// `\ % _` escaped by `\`, then `%…%`.
    LikeContains,
    /// `\ % _` escaped by `\`, then `…%`.
    LikeStarts,
    /// `\ % _` escaped by `\`, then `%…`.
    LikeEnds,
    /// `* ? [` escaped by brackets, then `…*`: the only prefix search for
    /// which SQLite uses an index.
    GlobStarts,
}

impl Transform {
    /// Applies the change.
    ///
    /// ```
    /// # use oxyde_sql::Transform;
    /// assert_eq!(Transform::LikeStarts.apply("50%_"), r"50\%\_%");
    /// assert_eq!(Transform::GlobStarts.apply("a*"), "a[*]*");
    /// ```
    #[must_use]
    pub fn apply(self, text: &str) -> Cow<'_, str> {
        let (before, special, after): (&str, &[char], &str) = match self {
            Self::None => return Cow::Borrowed(text),
            Self::LikeContains => ("%", &['\\', '%', '_'], "%"),
            Self::LikeStarts => ("", &['\\', '%', '_'], "%"),
            Self::LikeEnds => ("%", &['\\', '%', '_'], ""),
            Self::GlobStarts => ("", &['*', '?', '['], "*"),
        };
        let mut out = String::with_capacity(text.len() + 8);
        out.push_str(before);
        for c in text.chars() {
            if !special.contains(&c) {
                out.push(c);
            } else if self == Self::GlobStarts {
                out.extend(['[', c, ']']);
            } else {
                out.extend(['\\', c]);
            }
        }
        out.push_str(after);
        Cow::Owned(out)
    }
}

/// What one column of a row is and where it came from.
#[derive(Clone, Debug, PartialEq)]
pub struct ResultColumn {
    /// The name asked for: the field's, or the expression's alias.
    pub name: String,
    /// The type it is decoded as.
    pub ty: SqlType,
    /// Table, for error messages.
    pub table: String,
    /// Column in the database, or the alias of an expression.
    pub column: String,
    /// Only the server knows the type: the value comes as text and is decoded by
    /// what the server says it is.
    pub verbatim: bool,
}

/// What a statement does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatementKind {
    /// Reads.
    Select,
    /// Adds rows, or changes them on conflict.
    Insert,
    /// Changes rows.
    Update,
    /// Removes rows.
    Delete,
}

/// How the rows of a bulk insert are given to the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BulkForm {
    /// `Plan::sql` inserts one row and is run once per row.
    PerRow {
        /// If given, the statement has no RETURNING, which would cost as much
        /// as the insert itself: the one column that is asked for is the
        /// number of the inserted row. This query answers 1 for the last one
        /// if that is true; a column that only looks like such a key exists.
        key_check: Option<String>,
    },
    /// `Plan::sql` inserts as many rows of defaults as the value of its only
    /// placeholder says, which is no parameter of the query.
    Count,
    /// `Plan::sql` inserts all rows; each row bind takes the array of one field's values.
    UnnestArrays,
    /// The statement is `head`, then `row` once per row joined by commas, then
    /// `tail`. `Plan::sql` is the statement for one row.
    MultiRow {
        /// `INSERT INTO … VALUES `, with a trailing space.
        head: String,
        /// `(?, ?)`.
        row: String,
        /// Everything after the rows, with a leading space unless empty.
        tail: String,
    },
}

/// Why a query or a schema document gives no SQL.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CompileError {
    /// The database cannot do it.
    #[error("{database} {version} does not support {construct}")]
    NotSupported {
        /// What was asked for, as a noun.
        construct: String,
        /// `PostgreSQL`, `MySQL`, `MariaDB` or `SQLite`.
        database: &'static str,
        /// Version of the server that was compiled for.
        version: Version,
    },
    /// No database could do it: the query or the document is wrong.
    #[error("{0}")]
    Invalid(String),
}

impl CompileError {
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::Invalid(message.into())
    }

    pub(crate) fn not_supported(
        construct: impl Into<String>,
        dialect: Dialect,
        version: Version,
    ) -> Self {
        Self::NotSupported {
            construct: construct.into(),
            database: dialect.name(),
            version,
        }
    }
}
