//! From the query tree to a [`Plan`].
//!
//! One file per statement (`select`, `insert`, `update`, `delete`), two for
//! expressions (`expr`, `function`), `infer` for what is known of them before.
//! [`context`] is what they share, [`writer`] where text and placeholders come
//! together. How a database says a thing is asked of `dialect/`; what it
//! cannot say is refused by `features.rs`. `ddl/` makes and drops tables.

mod context;
mod copy;
pub mod ddl;
mod delete;
mod expr;
mod function;
mod infer;
mod insert;
mod literal;
mod select;
mod update;
mod writer;

use context::Context;
pub(crate) use infer::Number;
pub use literal::Literal;
use writer::Writer;

use crate::ir::{Column, Query};
use crate::{CompileError, Plan, ResultColumn, Target};

/// Compiles a query for a database.
///
/// The target's version decides what may be used; [`Dialect::oldest`](crate::Dialect::oldest)
/// is right for text that is only shown.
///
/// # Errors
/// [`CompileError::NotSupported`] for what the database cannot do,
/// [`CompileError::Invalid`] for what no database could.
pub fn compile(query: &Query, target: impl Into<Target>) -> Result<Plan, CompileError> {
    let target = target.into();
    match query {
        Query::Select(q) => select::compile(q, target),
        Query::Insert(q) => insert::compile(q, target),
        Query::Update(q) => update::compile(q, target),
        Query::Delete(q) => delete::compile(q, target),
    }
}

/// Writes RETURNING, if anything is to be given back.
fn returning(
    fields: &[String],
    ctx: &Context<'_>,
    writer: &mut Writer,
) -> Result<Vec<ResultColumn>, CompileError> {
    let columns = ctx.columns(fields)?;
    if !columns.is_empty() {
        writer.push(" RETURNING ");
        writer.idents(columns.iter().map(|c| c.name.as_str()));
    }
    result_columns(fields, ctx)
}

/// What the fields of a row are that comes back.
fn result_columns(fields: &[String], ctx: &Context<'_>) -> Result<Vec<ResultColumn>, CompileError> {
    let columns = ctx.columns(fields)?;
    Ok(columns.iter().map(|c| result_column(ctx, c)).collect())
}

fn result_column(ctx: &Context<'_>, column: &Column) -> ResultColumn {
    ResultColumn {
        name: column.field.clone(),
        ty: column.ty.clone(),
        table: ctx.table.name.clone(),
        column: column.name.clone(),
        verbatim: ctx.spell.verbatim(column),
    }
}
