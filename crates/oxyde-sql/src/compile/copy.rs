//! PostgreSQL's COPY for many rows, whose automatic keys are fetched first.
//!
//! COPY says nothing of what it stored, so it fits only where nothing but the
//! automatic key is to come back. It also passes by rules, row security and
//! what triggers make of a row; whether a table has such things is asked in
//! the statement that fetches the keys.

use super::context::Context;
use crate::ir::{Column, Insert};
use crate::{CopyForm, Dialect, SqlType};

pub(super) fn form(insert: &Insert, columns: &[&Column], ctx: &Context<'_>) -> Option<CopyForm> {
    if insert.conflict.is_some() || columns.is_empty() || !ctx.features.copy {
        return None;
    }
    let key = match insert.returning.as_slice() {
        [] => None,
        [field] => Some(automatic(insert, field, ctx)?),
        _ => return None,
    };
    let dialect = ctx.dialect();
    let table = ctx.quoted_table();
    let mut names: Vec<String> = Vec::with_capacity(columns.len() + 1);
    names.extend(key.map(|key| dialect.quote(&key.name)));
    names.extend(columns.iter().map(|column| dialect.quote(&column.name)));
    Some(CopyForm {
        sql: format!("COPY {table} ({}) FROM STDIN", names.join(", ")),
        keys: key.map_or_else(
            || format!("SELECT 0::int8 WHERE {}", fits(&table)),
            |key| keys(&table, &key.name),
        ),
        keyed: key.is_some(),
    })
}

/// The column of a field if the database numbers it.
fn automatic<'a>(insert: &Insert, field: &String, ctx: &'a Context<'_>) -> Option<&'a Column> {
    let column = ctx.table.column(field)?;
    let integer = matches!(
        column.ty,
        SqlType::SmallInt | SqlType::Int | SqlType::BigInt
    );
    (column.auto && integer && !insert.fields.contains(field)).then_some(column)
}

/// As many keys as the parameter says; no row where the table is not for COPY
/// or the column is not numbered by one sequence alone.
///
/// `nextval` is the column's default: of a sequence that it names, or of the
/// one that makes an identity (a column may own others). The subquery makes it
/// one lookup instead of one per row.
fn keys(table: &str, column: &str) -> String {
    let (name, column) = (
        Dialect::Postgres.string(table),
        Dialect::Postgres.string(column),
    );
    let sequence = format!(
        "(SELECT CASE WHEN a.attidentity <> '' \
         THEN (SELECT i.objid FROM pg_catalog.pg_depend AS i \
         WHERE i.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND i.refclassid = i.classid \
         AND i.refobjid = a.attrelid AND i.refobjsubid = a.attnum AND i.deptype = 'i') \
         ELSE pg_catalog.substring(pg_catalog.pg_get_expr(d.adbin, d.adrelid), \
         '^nextval[(]''([^'']+)''::regclass[)]$')::pg_catalog.regclass END::pg_catalog.regclass \
         FROM pg_catalog.pg_attribute AS a LEFT JOIN pg_catalog.pg_attrdef AS d \
         ON d.adrelid = a.attrelid AND d.adnum = a.attnum \
         WHERE a.attrelid = {name}::pg_catalog.regclass AND a.attname = {column})"
    );
    format!(
        "SELECT pg_catalog.nextval({sequence}) FROM pg_catalog.generate_series(1, $1) WHERE {}",
        fits(table)
    )
}

/// Whether COPY does to a table what INSERT would.
fn fits(table: &str) -> String {
    let name = Dialect::Postgres.string(table);
    format!(
        "(SELECT c.relkind = 'r' AND NOT c.relhasrules AND NOT c.relrowsecurity \
         AND pg_catalog.has_table_privilege(c.oid, 'INSERT') \
         AND NOT (c.relhastriggers AND EXISTS (SELECT FROM pg_catalog.pg_trigger AS g \
         WHERE g.tgrelid = c.oid AND NOT g.tgisinternal AND g.tgtype & 2 <> 0)) \
         FROM pg_catalog.pg_class AS c WHERE c.oid = {name}::pg_catalog.regclass)"
    )
}
