//! SELECT: rows, counts and existence.
//!
//! sea-query writes the statement up to ORDER BY. Paging and locks are ours:
//! its OFFSET needs a LIMIT on SQLite and MySQL, and its locks know no version.

use sea_query::{NullOrdering, Order as SeaOrder, Query as SeaQuery, SelectStatement};

use super::context::Context;
use super::writer::Writer;
use crate::dialect::fragment;
use crate::ir::{Distinct, Nulls, Order, Output, Select, SelectMode};
use crate::{CompileError, Plan, ResultColumn, SqlType, StatementKind, Target, Transform};

type Result<T> = std::result::Result<T, CompileError>;

pub(super) fn compile(select: &Select, target: Target) -> Result<Plan> {
    let mut ctx = Context::new(&select.table, target);
    let mut writer = ctx.writer();
    let columns = match select.mode {
        SelectMode::Rows => rows(select, &mut ctx, &mut writer)?,
        SelectMode::Count => count(select, &mut ctx, &mut writer)?,
        SelectMode::Exists => exists(select, &mut ctx, &mut writer)?,
    };
    let (sql, binds) = ctx.finish(writer)?;
    Ok(Plan {
        sql,
        binds,
        columns,
        kind: StatementKind::Select,
        returns_rows: true,
        bulk: None,
        row_binds: 0,
        numbered: None,
        told_key: false,
        copy: None,
    })
}

fn rows(select: &Select, ctx: &mut Context<'_>, writer: &mut Writer) -> Result<Vec<ResultColumn>> {
    if select.outputs.is_empty() {
        return Err(CompileError::invalid(
            "a query for rows has at least one output",
        ));
    }
    if select.lock.is_some() && select.distinct == Distinct::Distinct {
        return Err(CompileError::invalid(
            "for_update() and distinct() exclude each other: a distinct row is no row of the table",
        ));
    }
    let mut statement = SeaQuery::select();
    let columns = outputs(select, ctx, &mut statement)?;
    restrict(select, ctx, &mut statement)?;
    order(&select.order, ctx, &mut statement)?;
    writer.statement(&statement);
    page(select, ctx, writer)?;
    if let Some(lock) = select.lock
        && let Some(clause) = ctx.spell.lock(lock)?
    {
        writer.push(" ").push(&clause);
    }
    Ok(columns)
}

fn count(select: &Select, ctx: &mut Context<'_>, writer: &mut Writer) -> Result<Vec<ResultColumn>> {
    no_lock(select)?;
    let limited = select.limit.is_some() || select.offset.is_some();
    if limited || select.distinct == Distinct::Distinct {
        writer.push("SELECT COUNT(*) FROM (");
        inner(select, ctx, writer)?;
        writer.push(") AS ").ident("counted");
    } else {
        let mut statement = SeaQuery::select();
        statement.expr(fragment::call("COUNT", [fragment::raw("*")]));
        restrict(select, ctx, &mut statement)?;
        writer.statement(&statement);
    }
    Ok(vec![answer(ctx, "count", SqlType::BigInt)])
}

fn exists(
    select: &Select,
    ctx: &mut Context<'_>,
    writer: &mut Writer,
) -> Result<Vec<ResultColumn>> {
    no_lock(select)?;
    writer.push("SELECT EXISTS(");
    inner(select, ctx, writer)?;
    writer.push(")");
    Ok(vec![answer(ctx, "exists", SqlType::Bool)])
}

/// The rows that are counted or looked for. Their order does not matter.
fn inner(select: &Select, ctx: &mut Context<'_>, writer: &mut Writer) -> Result<()> {
    let mut statement = SeaQuery::select();
    if select.distinct == Distinct::Distinct {
        statement.distinct();
        let all: Vec<Output>;
        let outputs = if select.outputs.is_empty() {
            let fields = ctx.table.columns.iter().map(|c| c.field.clone());
            all = fields.map(Output::Field).collect();
            &all
        } else {
            &select.outputs
        };
        for (i, output) in outputs.iter().enumerate() {
            // A derived table may not have two columns of one name.
            let expr = match output {
                Output::Field(field) => ctx.column_ref(ctx.column(field)?),
                Output::Expr { expr, ty, .. } => ctx.root(expr, Some(ty))?,
            };
            statement.expr_as(expr, format!("c{}", i + 1));
        }
    } else {
        statement.expr(fragment::raw("1"));
    }
    restrict(select, ctx, &mut statement)?;
    writer.statement(&statement);
    page(select, ctx, writer)
}

fn no_lock(select: &Select) -> Result<()> {
    if select.lock.is_none() {
        return Ok(());
    }
    Err(CompileError::invalid(
        "count() and exists() return no rows that could be locked; remove for_update()",
    ))
}

fn answer(ctx: &Context<'_>, name: &str, ty: SqlType) -> ResultColumn {
    ResultColumn {
        name: name.into(),
        ty,
        table: ctx.table.name.clone(),
        column: name.into(),
        verbatim: false,
    }
}

fn outputs(
    select: &Select,
    ctx: &mut Context<'_>,
    statement: &mut SelectStatement,
) -> Result<Vec<ResultColumn>> {
    if select.distinct == Distinct::Distinct {
        statement.distinct();
    }
    let mut columns = Vec::with_capacity(select.outputs.len());
    for output in &select.outputs {
        columns.push(match output {
            Output::Field(field) => {
                let column = ctx.column(field)?;
                statement.expr(ctx.column_ref(column));
                super::result_column(ctx, column)
            }
            Output::Expr { name, expr, ty } => {
                let sql = ctx.root(expr, Some(ty))?;
                statement.expr_as(sql, name.clone());
                ResultColumn {
                    verbatim: ctx.is_verbatim(expr),
                    ..answer(ctx, name, ty.clone())
                }
            }
        });
    }
    Ok(columns)
}

fn restrict(select: &Select, ctx: &mut Context<'_>, statement: &mut SelectStatement) -> Result<()> {
    statement.from(ctx.table_ref());
    if let Some(filter) = &select.filter {
        statement.and_where(ctx.condition(filter)?);
    }
    Ok(())
}

fn order(order: &[Order], ctx: &mut Context<'_>, statement: &mut SelectStatement) -> Result<()> {
    for key in order {
        let value = ctx.root(&key.expr, None)?;
        let direction = if key.descending {
            SeaOrder::Desc
        } else {
            SeaOrder::Asc
        };
        let ty = ctx.type_of(&key.expr);
        let nulls = match key.nulls {
            Some(nulls) if !ctx.features.nulls_ordering => {
                // Sorted by whether it is NULL, then by value.
                let null_first = match nulls {
                    Nulls::First => SeaOrder::Desc,
                    Nulls::Last => SeaOrder::Asc,
                };
                let is_null =
                    fragment::binary(value.clone(), sea_query::BinOper::Is, fragment::raw("NULL"));
                statement.order_by_expr(is_null, null_first);
                None
            }
            Some(Nulls::First) => Some(NullOrdering::First),
            Some(Nulls::Last) => Some(NullOrdering::Last),
            None => None,
        };
        let value = ctx.spell.order_key(value, ty.as_ref());
        match nulls {
            Some(nulls) => statement.order_by_expr_with_nulls(value, direction, nulls),
            None => statement.order_by_expr(value, direction),
        };
    }
    Ok(())
}

/// LIMIT and OFFSET.
fn page(select: &Select, ctx: &mut Context<'_>, writer: &mut Writer) -> Result<()> {
    match (&select.limit, &select.offset) {
        (Some(limit), _) => {
            let limit = ctx.bind(limit, Transform::None)?;
            writer
                .push(" LIMIT ")
                .push(ctx.spell.before_count())
                .expr(&limit);
        }
        (None, Some(_)) if !ctx.features.offset_without_limit => {
            writer.push(" LIMIT ").push(ctx.spell.no_limit());
        }
        (None, _) => {}
    }
    if let Some(offset) = &select.offset {
        let offset = ctx.bind(offset, Transform::None)?;
        writer
            .push(" OFFSET ")
            .push(ctx.spell.before_count())
            .expr(&offset);
    }
    Ok(())
}
