//! The query tree: what is asked, without values and without SQL.
//!
//! Python builds a query as nested tagged tuples; the binding turns them into
//! this tree on a plan-cache miss. Columns are named by *field*; the [`Table`]
//! knows the column behind each. Parameters are [`Slot`]s, numbered in the
//! order in which a depth-first walk from left to right meets them, then limit,
//! then offset; the tree never holds a value.
//!
//! [`json`] reads the same grammar from JSON lists (schema documents, golden
//! documents), `ops` holds the operators and their tags.

pub mod json;
mod ops;
mod table;

use std::sync::Arc;

use crate::SqlType;
pub use ops::{ArithOp, ArrayOp, CompareOp, Func, Lock, LockStrength, LockWait, MatchOp, Nulls};
pub use table::{Column, Table, UniqueKey};

/// Version of the grammar shared with Python; compared when the module is imported.
pub const IR_VERSION: u32 = 1;

/// How deep a tree may nest. Deeper ones are refused, because every layer
/// below (this compiler, the database's parser) works by recursion; long
/// AND/OR lists are flat and do not count. A tree this deep compiles within
/// half a megabyte of stack, the least that a thread commonly has.
pub const MAX_DEPTH: usize = 100;

/// One statement.
#[derive(Clone, Debug, PartialEq)]
pub enum Query {
    /// Reads rows, a count or whether there are any.
    Select(Select),
    /// Adds rows.
    Insert(Insert),
    /// Changes rows.
    Update(Update),
    /// Removes rows.
    Delete(Delete),
}

/// A parameter: its place in the params tuple, and the type it is encoded as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slot {
    /// Position in the params.
    pub index: usize,
    /// Type of the value.
    pub ty: SqlType,
}

/// An expression.
#[derive(Clone, Debug, PartialEq)]
pub enum Expr {
    /// A field of the table, by its Python name.
    Column(String),
    /// A parameter.
    Param(Slot),
    /// NULL.
    Null,
    /// True.
    True,
    /// False.
    False,
    /// `*`, inside a count.
    Star,
    /// SQL comparison: unknown when a side is NULL.
    Compare(CompareOp, Box<Expr>, Box<Expr>),
    /// `x IS NULL`.
    IsNull(Box<Expr>),
    /// `x IS NOT NULL`.
    IsNotNull(Box<Expr>),
    /// `x BETWEEN low AND high`.
    Between(Box<Expr>, Box<Expr>, Box<Expr>),
    /// Whether the value is one of an array parameter's; false for an empty array.
    In(Box<Expr>, Box<Expr>),
    /// The opposite; true for an empty array.
    NotIn(Box<Expr>, Box<Expr>),
    /// A string search.
    Match(MatchOp, Box<Expr>, Box<Expr>),
    /// A comparison of the members of two arrays.
    Array(ArrayOp, Box<Expr>, Box<Expr>),
    /// The member of an array at a place, counted from 0; NULL past the end.
    Item(Box<Expr>, Box<Expr>),
    /// All of them; true when there are none.
    And(Vec<Expr>),
    /// Any of them; false when there are none.
    Or(Vec<Expr>),
    /// Negation; unknown stays unknown.
    Not(Box<Expr>),
    /// Exactly one of two conditions.
    Xor(Box<Expr>, Box<Expr>),
    /// Arithmetic with the meaning Python gives it.
    Arith(ArithOp, Box<Expr>, Box<Expr>),
    /// `-x`.
    Neg(Box<Expr>),
    /// A function.
    Func(Func, Vec<Expr>),
    /// The time at which the transaction (SQLite, MySQL: the statement) began,
    /// as the type that the context asks for.
    Now,
    /// Inside "on conflict update": the value that was to be inserted for a field.
    Excluded(String),
    /// Trusted SQL text from `sql()`, taken as it is.
    Sql(String),
}

/// What a SELECT gives per row.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// A field.
    Field(String),
    /// An expression under a name, decoded as the given type.
    Expr {
        /// Name of the result.
        name: String,
        /// The expression.
        expr: Expr,
        /// Its type.
        ty: SqlType,
    },
}

/// One key of ORDER BY.
#[derive(Clone, Debug, PartialEq)]
pub struct Order {
    /// The key.
    pub expr: Expr,
    /// Largest first.
    pub descending: bool,
    /// Where NULLs go; `None` leaves it to the database.
    pub nulls: Option<Nulls>,
}

/// Whether equal rows are given once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Distinct {
    /// All rows.
    All,
    /// Each combination of the outputs once.
    Distinct,
}

/// What a SELECT answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SelectMode {
    /// The rows.
    Rows,
    /// How many rows there are, within distinct, limit and offset.
    Count,
    /// Whether there is a row, within distinct, limit and offset.
    Exists,
}

/// `SELECT`.
#[derive(Clone, Debug, PartialEq)]
pub struct Select {
    /// The table.
    pub table: Arc<Table>,
    /// What each row holds. May be empty when counting.
    pub outputs: Vec<Output>,
    /// Condition.
    pub filter: Option<Expr>,
    /// Sort keys.
    pub order: Vec<Order>,
    /// At most this many rows.
    pub limit: Option<Slot>,
    /// Skip this many rows.
    pub offset: Option<Slot>,
    /// Equal rows once.
    pub distinct: Distinct,
    /// Row locks.
    pub lock: Option<Lock>,
    /// Rows, count or existence.
    pub mode: SelectMode,
}

/// Where an INSERT takes its values.
#[derive(Clone, Debug, PartialEq)]
pub enum InsertSource {
    /// One row of expressions, one per field.
    Values(Vec<Expr>),
    /// Rows given when the statement runs, one value per field.
    Bulk,
}

/// What an INSERT does with a row that breaks a unique key.
#[derive(Clone, Debug, PartialEq)]
pub enum Conflict {
    /// Leaves the row that is there. `fields` name the key; empty means any key.
    Ignore {
        /// Fields of the key.
        fields: Vec<String>,
    },
    /// Changes the row that is there.
    Update {
        /// Fields of the key.
        fields: Vec<String>,
        /// Fields to set; expressions may use [`Expr::Excluded`].
        set: Vec<(String, Expr)>,
    },
}

/// `INSERT`.
#[derive(Clone, Debug, PartialEq)]
pub struct Insert {
    /// The table.
    pub table: Arc<Table>,
    /// Fields that are given; none means a row of defaults.
    pub fields: Vec<String>,
    /// Their values.
    pub source: InsertSource,
    /// What to do with a row that is already there.
    pub conflict: Option<Conflict>,
    /// Fields to give back.
    pub returning: Vec<String>,
}

/// `UPDATE`.
#[derive(Clone, Debug, PartialEq)]
pub struct Update {
    /// The table.
    pub table: Arc<Table>,
    /// Fields and their new values; all expressions see the old row.
    pub set: Vec<(String, Expr)>,
    /// Condition.
    pub filter: Option<Expr>,
    /// Fields to give back.
    pub returning: Vec<String>,
}

/// `DELETE`.
#[derive(Clone, Debug, PartialEq)]
pub struct Delete {
    /// The table.
    pub table: Arc<Table>,
    /// Condition.
    pub filter: Option<Expr>,
    /// Fields to give back.
    pub returning: Vec<String>,
}
