//! DELETE.

use sea_query::Query as SeaQuery;

use super::context::Context;
use super::update::by_list;
use crate::ir::Delete;
use crate::{CompileError, Plan, StatementKind, Target};

pub(super) fn compile(delete: &Delete, target: Target) -> Result<Plan, CompileError> {
    let mut ctx = Context::new(&delete.table, target);
    let returns_rows = !delete.returning.is_empty();
    if returns_rows {
        ctx.features
            .require(ctx.features.delete_returning, "DELETE … RETURNING")?;
    }
    let mut writer = ctx.writer();
    match &delete.filter {
        // The form for several tables, which has no RETURNING.
        Some(filter) if !returns_rows && by_list(filter, &ctx)? => {
            let table = ctx.quoted_table();
            let condition = ctx.condition(filter)?;
            writer.push("DELETE ").push(&table);
            writer.push(" FROM ").push(&table);
            writer.push(" WHERE ").expr(&condition);
        }
        filter => {
            let mut statement = SeaQuery::delete();
            statement.from_table(ctx.table_ref());
            if let Some(filter) = filter {
                statement.and_where(ctx.condition(filter)?);
            }
            writer.statement(&statement);
        }
    }
    let columns = super::returning(&delete.returning, &ctx, &mut writer)?;
    let (sql, binds) = ctx.finish(writer)?;
    Ok(Plan {
        sql,
        binds,
        columns,
        kind: StatementKind::Delete,
        returns_rows,
        bulk: None,
        row_binds: 0,
        numbered: None,
        told_key: false,
        copy: None,
    })
}
