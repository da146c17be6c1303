//! SQL for Oxyde: from a query tree to the text and the parameter slots of one statement.
//!
//! This crate is pure: no I/O, no Python, no clock. It knows three things:
//!
//! * [`SqlType`]: the one table of column types (`types`);
//! * the query tree ([`ir`]) and how each database and server version says it
//!   ([`compile()`], [`Features`]), giving a [`Plan`];
//! * the schema document ([`SchemaDoc`]) and the statements that create and
//!   drop what it describes ([`create_statements`], [`drop_statements`]).
//!
//! What a database cannot do is refused before any text is made, with a
//! [`CompileError::NotSupported`] that names the construct, the database and
//! its version; nothing is ever left out in silence.

#![forbid(unsafe_code)]

mod compile;
mod dialect;
mod differences;
mod features;
pub mod ir;
mod plan;
mod target;
mod types;

pub use compile::compile;
pub use compile::ddl::{SchemaDoc, create_statements, drop_statements};
/// The parts of a [`SchemaDoc`].
pub mod schema {
    pub use crate::compile::Literal;
    pub use crate::compile::ddl::{
        CheckCondition, CheckDoc, Deferrable, EnumDoc, Expression, FieldDoc, ForeignKeyDoc,
        GeneratedDoc, IndexDoc, IndexField, TableDoc, UniqueDoc,
    };
}
pub use dialect::sqlite::FUNCTIONS as SQLITE_FUNCTIONS;
pub use dialect::{Dialect, Version};
pub use differences::{DIFFERENCES, Difference, differences_page};
pub use features::Features;
pub use plan::{
    BindSlot, BulkForm, CompileError, CopyForm, Plan, ResultColumn, StatementKind, Transform,
};
pub use target::{CaseMapping, MysqlSettings, Target};
pub use types::{EnumType, SqlType, TypeTagError};
