//! INSERT: one row, many rows, and what happens to rows that are already there.
//!
//! Written by hand: sea-query has neither `AS new` nor MariaDB's RETURNING nor
//! `unnest`, and its upsert drops conditions on MySQL.
//!
//! A statement is `head`, the row, `tail`. For many rows the server gets them
//! in the form that is fastest there ([`BulkForm`]).

use sea_query::Expr as Sea;

use super::context::Context;
use super::update::{assignments, visit};
use super::writer::Writer;
use crate::ir::{Column, Conflict, Expr, Insert, InsertSource, Slot};
use crate::{
    BindSlot, BulkForm, CompileError, Dialect, Plan, ResultColumn, SqlType, StatementKind, Target,
    Transform,
};

type Result<T> = std::result::Result<T, CompileError>;

pub(super) fn compile(insert: &Insert, target: Target) -> Result<Plan> {
    let mut ctx = Context::new(&insert.table, target);
    if !insert.returning.is_empty() && !tells_key(insert, &ctx) {
        ctx.features
            .require(ctx.features.insert_returning, "INSERT … RETURNING")?;
    }
    let columns = insert
        .fields
        .iter()
        .map(|f| ctx.writable(f))
        .collect::<Result<Vec<_>>>()?;
    match &insert.source {
        InsertSource::Values(values) => one_row(insert, &columns, values, &mut ctx),
        InsertSource::Bulk => many_rows(insert, &columns, &mut ctx),
    }
}

/// Whether nothing but the automatic key is asked for, and the server tells it
/// with its answer.
fn tells_key(insert: &Insert, ctx: &Context<'_>) -> bool {
    let [field] = insert.returning.as_slice() else {
        return false;
    };
    let automatic = ctx.table.column(field).is_some_and(|column| column.auto);
    !ctx.features.insert_returning
        && ctx.features.last_insert_id
        && automatic
        && insert.conflict.is_none()
        && !insert.fields.contains(field)
}

/// A statement for one row of expressions.
fn one_row(
    insert: &Insert,
    columns: &[&Column],
    values: &[Expr],
    ctx: &mut Context<'_>,
) -> Result<Plan> {
    if values.len() != columns.len() {
        return Err(CompileError::invalid(format!(
            "{} values for {} fields",
            values.len(),
            columns.len()
        )));
    }
    ctx.columns_allowed = false;
    let row = columns
        .iter()
        .zip(values)
        .map(|(column, value)| ctx.assigned(value, column))
        .collect::<Result<Vec<_>>>()?;
    ctx.columns_allowed = true;
    let mut writer = ctx.writer();
    head(columns, ctx, &mut writer);
    row_text(&row, ctx, &mut writer);
    let result = tail(insert, columns, ctx, &mut writer)?;
    plan(insert, writer, result, ctx)
}

/// A statement whose rows are given when it runs.
fn many_rows(insert: &Insert, columns: &[&Column], ctx: &mut Context<'_>) -> Result<Plan> {
    let unnest = ctx.features.unnest && !columns.is_empty();
    let given = columns
        .iter()
        .enumerate()
        .map(|(index, column)| given(index, column, unnest, ctx))
        .collect::<Result<Vec<_>>>()?;
    let (row, casts): (Vec<_>, Vec<_>) = given.into_iter().unzip();
    ctx.first_param = columns.len();
    let counted = columns.is_empty() && ctx.features.rows_without_columns;

    let mut writer = ctx.writer();
    head(columns, ctx, &mut writer);
    if counted {
        let count = Slot {
            index: 0,
            ty: SqlType::BigInt,
        };
        let count = ctx.bind(&count, Transform::None)?;
        writer.push("SELECT FROM generate_series(1, ");
        writer.expr(&count).push(")");
    } else if unnest {
        unnest_rows(columns, &row, &casts, &mut writer);
    } else {
        row_text(&row, ctx, &mut writer);
    }
    let key_check = key_check(insert, ctx);
    let result = match &key_check {
        Some(_) => super::result_columns(&insert.returning, ctx)?,
        None => tail(insert, columns, ctx, &mut writer)?,
    };
    let mut plan = plan(insert, writer, result, ctx)?;
    plan.row_binds = columns.len();
    if unnest || counted {
        plan.numbered = numbered(insert, ctx);
    }
    plan.copy = super::copy::form(insert, columns, ctx);
    plan.bulk = Some(if counted {
        BulkForm::Count
    } else if unnest {
        BulkForm::UnnestArrays
    } else if ctx.features.multi_row_insert {
        multi_row(insert, columns, &row, ctx)?
    } else {
        BulkForm::PerRow { key_check }
    });
    Ok(plan)
}

/// The parameter for one field of the rows, and what its values are cast to
/// after they were sent as texts.
fn given(
    index: usize,
    column: &Column,
    unnest: bool,
    ctx: &mut Context<'_>,
) -> Result<(Sea, Option<String>)> {
    let item = column.ty.clone();
    if !unnest {
        return Ok((ctx.bind(&Slot { index, ty: item }, Transform::None)?, None));
    }
    let verbatim = ctx.spell.verbatim(column).then_some(column);
    let cast = ctx.spell.text_items(&item, verbatim);
    let slot = Slot {
        index,
        ty: SqlType::Array(Box::new(item)),
    };
    let array = match cast {
        Some(_) => ctx.bind_texts(&slot),
        None => ctx.bind(&slot, Transform::None)?,
    };
    Ok((array, cast))
}

/// The returned column that tells whether rows came back in their order.
fn numbered(insert: &Insert, ctx: &Context<'_>) -> Option<usize> {
    if insert.conflict.is_some() {
        return None;
    }
    insert.returning.iter().position(|field| {
        let automatic = ctx.table.column(field).is_some_and(|column| column.auto);
        automatic && !insert.fields.contains(field)
    })
}

/// The query of [`BulkForm::PerRow`], where only an automatic key is to be given back.
fn key_check(insert: &Insert, ctx: &Context<'_>) -> Option<String> {
    let [field] = insert.returning.as_slice() else {
        return None;
    };
    let column = ctx.table.column(field)?;
    let numbered = column.primary_key && column.auto && ctx.table.primary_key().count() == 1;
    if !ctx.features.row_number_key || insert.conflict.is_some() || !numbered {
        return None;
    }
    Some(format!(
        "SELECT {} IS rowid FROM {} WHERE rowid = last_insert_rowid()",
        ctx.dialect().quote(&column.name),
        ctx.dialect()
            .qualified(ctx.table.schema.as_deref(), &ctx.table.name),
    ))
}

/// The three parts of a statement for several rows.
fn multi_row(
    insert: &Insert,
    columns: &[&Column],
    row: &[Sea],
    ctx: &mut Context<'_>,
) -> Result<BulkForm> {
    let mut parts = [ctx.writer(), ctx.writer(), ctx.writer()];
    let [first, middle, last] = &mut parts;
    head(columns, ctx, first);
    row_text(row, ctx, middle);
    tail(insert, columns, ctx, last)?;
    let [first, middle, last] = parts;
    Ok(BulkForm::MultiRow {
        head: format!("{}VALUES ", ctx.finish(first)?.0),
        row: ctx
            .finish(middle)?
            .0
            .trim_start_matches("VALUES ")
            .to_owned(),
        tail: ctx.finish(last)?.0,
    })
}

/// `INSERT INTO t (a, b) `.
fn head(columns: &[&Column], ctx: &Context<'_>, writer: &mut Writer) {
    writer.push("INSERT INTO ").push(&ctx.quoted_table());
    if !columns.is_empty() || !ctx.features.default_values {
        writer.push(" (");
        writer.idents(columns.iter().map(|c| c.name.as_str()));
        writer.push(")");
    }
    writer.push(" ");
}

/// `VALUES (…)`.
fn row_text(row: &[Sea], ctx: &Context<'_>, writer: &mut Writer) {
    if row.is_empty() && ctx.features.default_values {
        writer.push("DEFAULT VALUES");
        return;
    }
    writer.push("VALUES (");
    writer.exprs(row);
    writer.push(")");
}

/// One array parameter per field, turned into rows in the order given.
fn unnest_rows(columns: &[&Column], row: &[Sea], casts: &[Option<String>], writer: &mut Writer) {
    let names: Vec<String> = (1..=columns.len()).map(|i| format!("c{i}")).collect();
    writer.push("SELECT ");
    for (i, (name, cast)) in names.iter().zip(casts).enumerate() {
        writer.push(if i > 0 { ", " } else { "" }).push(name);
        if let Some(target) = cast {
            writer.push("::").push(target);
        }
    }
    writer.push(" FROM unnest(");
    for (i, ((column, array), cast)) in columns.iter().zip(row).zip(casts).enumerate() {
        writer.push(if i > 0 { ", " } else { "" }).expr(array);
        writer.push("::").push(&match cast {
            Some(_) => "TEXT[]".to_owned(),
            None => array_type(&column.ty),
        });
    }
    writer.push(") WITH ORDINALITY AS given(");
    writer.push(&names.join(", "));
    writer.push(", ord) ORDER BY ord");
}

/// The type that an array parameter is cast to. Without lengths: a cast would
/// cut off what the assignment refuses.
fn array_type(ty: &SqlType) -> String {
    match ty {
        SqlType::String(_) => "TEXT[]".into(),
        SqlType::Decimal { .. } => "NUMERIC[]".into(),
        other => format!("{}[]", other.ddl(Dialect::Postgres)),
    }
}

/// Conflict clause and RETURNING.
fn tail(
    insert: &Insert,
    columns: &[&Column],
    ctx: &mut Context<'_>,
    writer: &mut Writer,
) -> Result<Vec<ResultColumn>> {
    if let Some(conflict) = &insert.conflict {
        if columns.is_empty() {
            return Err(CompileError::invalid(
                "a row of defaults cannot be inserted with on_conflict; give at least one field",
            ));
        }
        if ctx.features.on_conflict {
            on_conflict(conflict, ctx, writer)?;
        } else {
            if matches!(conflict, Conflict::Ignore { .. }) && !insert.returning.is_empty() {
                ctx.features.require(
                    ctx.features.ignore_returning,
                    "RETURNING of the rows that on_conflict=\"ignore\" adds",
                )?;
            }
            on_duplicate_key(conflict, columns, ctx, writer)?;
        }
    }
    if tells_key(insert, ctx) {
        return super::result_columns(&insert.returning, ctx);
    }
    super::returning(&insert.returning, ctx, writer)
}

/// `ON CONFLICT (key) DO …`.
fn on_conflict(conflict: &Conflict, ctx: &mut Context<'_>, writer: &mut Writer) -> Result<()> {
    writer.push(" ON CONFLICT");
    let (Conflict::Ignore { fields } | Conflict::Update { fields, .. }) = conflict;
    if !fields.is_empty() {
        let key = ctx.columns(fields)?;
        writer
            .push(" (")
            .idents(key.iter().map(|c| c.name.as_str()));
        writer.push(")");
    }
    match conflict {
        Conflict::Ignore { .. } => {
            writer.push(" DO NOTHING");
        }
        Conflict::Update { fields, set } => {
            if fields.is_empty() {
                return Err(no_conflict_fields());
            }
            writer.push(" DO UPDATE SET ");
            set_clause(set, ctx, writer)?;
        }
    }
    Ok(())
}

/// `ON DUPLICATE KEY UPDATE …`. "Ignore" sets a key column to itself: INSERT
/// IGNORE would also cut off and convert values that do not fit.
fn on_duplicate_key(
    conflict: &Conflict,
    columns: &[&Column],
    ctx: &mut Context<'_>,
    writer: &mut Writer,
) -> Result<()> {
    let (Conflict::Ignore { fields } | Conflict::Update { fields, .. }) = conflict;
    only_key(fields, columns, ctx)?;
    match conflict {
        Conflict::Ignore { .. } => {
            let key = ctx.table.primary_key().next();
            let column = key.or_else(|| columns.first().copied()).ok_or_else(|| {
                CompileError::invalid("a table without columns has no rows to conflict with")
            })?;
            writer.push(" ON DUPLICATE KEY UPDATE ").ident(&column.name);
            writer.push(" = ").ident(&column.name);
        }
        Conflict::Update { fields, set } => {
            if fields.is_empty() {
                return Err(no_conflict_fields());
            }
            let mut proposed = false;
            for (_, expr) in set {
                super::infer::weight(expr, 0)?;
                visit(expr, &mut |e| proposed |= matches!(e, Expr::Excluded(_)));
            }
            if proposed && ctx.features.insert_row_alias {
                writer.push(" AS ").push(row_alias(&ctx.table.name));
            }
            writer.push(" ON DUPLICATE KEY UPDATE ");
            set_clause(set, ctx, writer)?;
        }
    }
    Ok(())
}

fn no_conflict_fields() -> CompileError {
    CompileError::invalid(
        "on_conflict=\"update\" needs conflict_fields: the fields of a unique key",
    )
}

/// Refuses to look at one key where the database looks at all of them: the row
/// that is there because of another key would be changed, or stay, in silence.
fn only_key(fields: &[String], columns: &[&Column], ctx: &Context<'_>) -> Result<()> {
    ctx.columns(fields)?;
    if fields.is_empty() {
        return Ok(());
    }
    let same = |key: &[&str]| {
        key.len() == fields.len() && fields.iter().all(|field| key.contains(&field.as_str()))
    };
    let primary: Vec<&Column> = ctx.table.primary_key().collect();
    // A key that the database numbers has never been there before.
    let numbered = matches!(primary.as_slice(), [column] if column.auto)
        && !primary.iter().any(|key| columns.contains(key));
    let primary: Vec<&str> = primary.iter().map(|c| c.field.as_str()).collect();
    let mut others = Vec::new();
    let mut found = same(&primary);
    if !found && !numbered && !primary.is_empty() {
        others.push(format!("the primary key ({})", primary.join(", ")));
    }
    for key in &ctx.table.uniques {
        let names: Vec<&str> = key.fields.iter().map(String::as_str).collect();
        if !names.is_empty() && same(&names) {
            found = true;
        } else if names.is_empty() {
            others.push(format!("the index {}", key.name));
        } else {
            others.push(format!("{} ({})", key.name, names.join(", ")));
        }
    }
    let given = fields.join(", ");
    if !found {
        return Err(CompileError::invalid(format!(
            "conflict_fields ({given}) are no unique key of {}",
            ctx.table.name
        )));
    }
    if others.is_empty() {
        return Ok(());
    }
    Err(ctx.features.refuse(format!(
        "on_conflict by ({given}) alone: ON DUPLICATE KEY looks at every unique key of {}, which \
         also has {}",
        ctx.table.name,
        others.join(" and ")
    )))
}

/// A name for the proposed row that is not the table's own.
fn row_alias(table: &str) -> &'static str {
    if table.eq_ignore_ascii_case("new") {
        "proposed"
    } else {
        "new"
    }
}

/// `a = …, b = …`, with the row that is there and the proposed one in scope.
fn set_clause(set: &[(String, Expr)], ctx: &mut Context<'_>, writer: &mut Writer) -> Result<()> {
    ctx.qualify = true;
    ctx.row_alias = Some(row_alias(&ctx.table.name));
    let assigned = assignments(set, ctx)?;
    ctx.qualify = false;
    ctx.row_alias = None;
    for (i, (column, value)) in assigned.iter().enumerate() {
        writer.push(if i > 0 { ", " } else { "" }).ident(column);
        writer.push(" = ").expr(value);
    }
    Ok(())
}

fn plan(
    insert: &Insert,
    writer: Writer,
    columns: Vec<ResultColumn>,
    ctx: &Context<'_>,
) -> Result<Plan> {
    let (sql, binds): (String, Vec<BindSlot>) = ctx.finish(writer)?;
    Ok(Plan {
        sql,
        binds,
        columns,
        kind: StatementKind::Insert,
        returns_rows: !insert.returning.is_empty() && !tells_key(insert, ctx),
        bulk: None,
        row_binds: 0,
        numbered: None,
        told_key: tells_key(insert, ctx),
        copy: None,
    })
}
