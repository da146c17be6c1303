//! UPDATE, and the order of assignments wherever there are any.

use sea_query::{Expr as Sea, IntoIden, Query as SeaQuery};

use super::context::Context;
use super::writer::Writer;
use crate::ir::{Column, Expr, Update};
use crate::{CompileError, Plan, StatementKind, Target};

type Result<T> = std::result::Result<T, CompileError>;

pub(super) fn compile(update: &Update, target: Target) -> Result<Plan> {
    let mut ctx = Context::new(&update.table, target);
    let returns_rows = !update.returning.is_empty();
    if returns_rows {
        ctx.features
            .require(ctx.features.update_returning, "UPDATE … RETURNING")?;
    }
    let mut writer = ctx.writer();
    let at_once = ctx.features.simultaneous_assignment;
    match &update.filter {
        Some(filter) if by_list(filter, &ctx)? && (at_once || independent(&update.set)) => {
            joined(&update.set, filter, &mut ctx, &mut writer)?;
        }
        filter if !at_once && exchanges(&update.set, &ctx)? => {
            exchange(&update.set, filter.as_ref(), &mut ctx, &mut writer)?;
        }
        filter => {
            let mut statement = SeaQuery::update();
            statement.table(ctx.table_ref());
            for (column, value) in assignments(&update.set, &mut ctx)? {
                statement.value(column.into_iden(), value);
            }
            if let Some(filter) = filter {
                statement.and_where(ctx.condition(filter)?);
            }
            writer.statement(&statement);
        }
    }
    let columns = super::returning(&update.returning, &ctx, &mut writer)?;
    let (sql, binds) = ctx.finish(writer)?;
    Ok(Plan {
        sql,
        binds,
        columns,
        kind: StatementKind::Update,
        returns_rows,
        bulk: None,
        row_binds: 0,
        numbered: None,
        told_key: false,
        copy: None,
    })
}

/// Whether rows are chosen by a list, on a server that would not use an index
/// for that in a plain UPDATE or DELETE.
pub(super) fn by_list(filter: &Expr, ctx: &Context<'_>) -> Result<bool> {
    if ctx.features.indexed_in_changes {
        return Ok(false);
    }
    super::infer::weight(filter, 0)?;
    let mut any = false;
    visit(filter, &mut |e| {
        any |= matches!(e, Expr::In(..) | Expr::NotIn(..));
    });
    Ok(any)
}

/// Whether no assignment reads what another one writes: with several tables
/// their order is undefined.
fn independent(set: &[(String, Expr)]) -> bool {
    set.iter().all(|(field, _)| {
        set.iter()
            .all(|(other, e)| other == field || !reads(e, field))
    })
}

/// The form for several tables, the other one being a single row.
fn joined(
    set: &[(String, Expr)],
    filter: &Expr,
    ctx: &mut Context<'_>,
    writer: &mut Writer,
) -> Result<()> {
    ctx.qualify = true;
    let table = ctx.dialect().quote(&ctx.table.name);
    let alias = if ctx.table.name.eq_ignore_ascii_case("one") {
        "another"
    } else {
        "one"
    };
    writer.push("UPDATE ").push(&ctx.quoted_table());
    writer
        .push(" JOIN (SELECT 1) AS ")
        .push(alias)
        .push(" SET ");
    for (i, (column, value)) in assignments(set, ctx)?.iter().enumerate() {
        writer.push(if i > 0 { ", " } else { "" });
        writer.push(&table).push(".").ident(column);
        writer.push(" = ").expr(value);
    }
    let condition = ctx.condition(filter)?;
    writer.push(" WHERE ").expr(&condition);
    Ok(())
}

/// Whether values are exchanged for which there is no order of assignments, but
/// another form of the statement.
fn exchanges(set: &[(String, Expr)], ctx: &Context<'_>) -> Result<bool> {
    check(set)?;
    let key: Vec<_> = ctx.table.primary_key().collect();
    let kept = |column: &&Column| set.iter().all(|(field, _)| *field != column.field);
    Ok(ctx.features.update_self_join
        && !key.is_empty()
        && key.iter().all(kept)
        && sequence(set).is_err())
}

/// The table joined to itself: each row meets its old self, from which all new
/// values are made.
fn exchange(
    set: &[(String, Expr)],
    filter: Option<&Expr>,
    ctx: &mut Context<'_>,
    writer: &mut Writer,
) -> Result<()> {
    let old = if ctx.table.name.eq_ignore_ascii_case("old") {
        "before"
    } else {
        "old"
    };
    let quoted = ctx.quoted_table();
    let table = ctx.dialect().quote(&ctx.table.name);
    writer.push("UPDATE ").push(&quoted).push(" JOIN ");
    writer.push(&quoted).push(" AS ").push(old).push(" ON ");
    for (i, column) in ctx.table.primary_key().enumerate() {
        writer.push(if i > 0 { " AND " } else { "" });
        writer.push(old).push(".").ident(&column.name);
        writer
            .push(" = ")
            .push(&table)
            .push(".")
            .ident(&column.name);
    }
    writer.push(" SET ");
    ctx.alias = Some(old);
    let values = compiled(set.iter().collect(), ctx)?;
    ctx.alias = None;
    for (i, (column, value)) in values.iter().enumerate() {
        writer.push(if i > 0 { ", " } else { "" });
        writer.push(&table).push(".").ident(column);
        writer.push(" = ").expr(value);
    }
    if let Some(filter) = filter {
        ctx.qualify = true;
        let condition = ctx.condition(filter)?;
        writer.push(" WHERE ").expr(&condition);
    }
    Ok(())
}

/// Column names and their new values, in an order in which the database reads
/// every column before it writes it.
pub(super) fn assignments(
    set: &[(String, Expr)],
    ctx: &mut Context<'_>,
) -> Result<Vec<(String, Sea)>> {
    check(set)?;
    let ordered = if ctx.features.simultaneous_assignment {
        set.iter().collect()
    } else {
        sequence(set).map_err(|fields| {
            ctx.features.refuse(format!(
                "exchanging the values of fields in one statement ({})",
                fields.join(", ")
            ))
        })?
    };
    compiled(ordered, ctx)
}

fn check(set: &[(String, Expr)]) -> Result<()> {
    if set.is_empty() {
        return Err(CompileError::invalid("an update sets at least one field"));
    }
    for (i, (field, _)) in set.iter().enumerate() {
        if set.iter().take(i).any(|(other, _)| other == field) {
            return Err(CompileError::invalid(format!(
                "the field {field:?} is set twice"
            )));
        }
    }
    Ok(())
}

fn compiled(set: Vec<&(String, Expr)>, ctx: &mut Context<'_>) -> Result<Vec<(String, Sea)>> {
    set.into_iter()
        .map(|(field, expr)| {
            let column = ctx.writable(field)?;
            let value = ctx.assigned(expr, column)?;
            Ok((column.name.clone(), value))
        })
        .collect()
}

/// Puts each assignment before those that overwrite what it reads, or answers
/// the fields for which there is no such order.
fn sequence(set: &[(String, Expr)]) -> std::result::Result<Vec<&(String, Expr)>, Vec<&str>> {
    let mut waiting: Vec<&(String, Expr)> = set.iter().collect();
    let mut done = Vec::with_capacity(set.len());
    while !waiting.is_empty() {
        let free = waiting.iter().position(|(field, _)| {
            waiting
                .iter()
                .all(|(other, expr)| other == field || !reads(expr, field))
        });
        match free {
            Some(i) => done.push(waiting.remove(i)),
            None => return Err(waiting.iter().map(|(field, _)| field.as_str()).collect()),
        }
    }
    Ok(done)
}

/// Whether an expression reads a field of the row.
fn reads(expr: &Expr, field: &str) -> bool {
    let mut any = false;
    visit(expr, &mut |e| {
        any |= matches!(e, Expr::Column(name) if name == field);
    });
    any
}

/// Calls a function for a node and everything below it.
pub(super) fn visit(expr: &Expr, f: &mut dyn FnMut(&Expr)) {
    f(expr);
    match expr {
        Expr::Compare(_, a, b)
        | Expr::Array(_, a, b)
        | Expr::Item(a, b)
        | Expr::In(a, b)
        | Expr::NotIn(a, b)
        | Expr::Match(_, a, b)
        | Expr::Xor(a, b)
        | Expr::Arith(_, a, b) => {
            visit(a, f);
            visit(b, f);
        }
        Expr::Between(a, b, c) => {
            visit(a, f);
            visit(b, f);
            visit(c, f);
        }
        Expr::IsNull(a) | Expr::IsNotNull(a) | Expr::Not(a) | Expr::Neg(a) => visit(a, f),
        Expr::And(list) | Expr::Or(list) | Expr::Func(_, list) => {
            for e in list {
                visit(e, f);
            }
        }
        Expr::Column(_)
        | Expr::Param(_)
        | Expr::Null
        | Expr::True
        | Expr::False
        | Expr::Star
        | Expr::Now
        | Expr::Excluded(_)
        | Expr::Sql(_) => {}
    }
}
