//! What must hold for any input: identifiers stay identifiers, tags come back
//! as they went, deep and wide trees end in SQL or in a clear error.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a failure is a failed test

use std::sync::Arc;

use oxyde_sql::ir::{self, Column, Expr, MAX_DEPTH, Query, Table};
use oxyde_sql::{
    CompileError, Dialect, EnumType, SchemaDoc, SqlType, Target, Transform, Version, compile,
    create_statements, drop_statements,
};
use proptest::prelude::*;
use rusqlite::Connection;
use serde_json::{Value, json};

/// Names that try to get out of their quotes.
fn identifier() -> impl Strategy<Value = String> {
    let hostile = prop::sample::select(vec![
        "\"", "`", "'", "\\", ";", "--", "/*", "?", "$1", "%", "\n", " ", "ü", "名", "\u{202e}",
        "select", "a", "1", "]", "[", ".", ":x", "\u{0301}",
    ]);
    prop::collection::vec(hostile, 1..6).prop_map(|parts| parts.concat())
}

/// Reads a quoted identifier as the database's parser does: the name and what
/// follows it.
fn unquote(sql: &str, mark: char) -> Option<(String, &str)> {
    let mut rest = sql.strip_prefix(mark)?;
    let mut name = String::new();
    loop {
        let (before, after) = rest.split_once(mark)?;
        name += before;
        match after.strip_prefix(mark) {
            Some(after) => {
                name.push(mark);
                rest = after;
            }
            None => return Some((name, after)),
        }
    }
}

fn sql_type() -> impl Strategy<Value = SqlType> {
    let leaf = prop_oneof![
        prop::sample::select(vec![
            "small_integer",
            "integer",
            "big_integer",
            "real",
            "double",
            "boolean",
            "text",
            "date_time",
            "date_time_utc",
            "date",
            "time",
            "timedelta",
            "uuid",
            "blob",
            "json",
        ])
        .prop_map(|kind| SqlType::from_kind(kind).unwrap()),
        prop::option::of(1..1000_u32).prop_map(SqlType::String),
        (prop::option::of(1..60_u16), prop::option::of(0..30_u16))
            .prop_map(|(precision, scale)| SqlType::Decimal { precision, scale }),
        (
            any::<String>(),
            prop::collection::vec(any::<String>(), 1..4)
        )
            .prop_map(|(name, values)| SqlType::Enum(Arc::new(EnumType { name, values }))),
    ];
    leaf.prop_recursive(3, 4, 1, |item| {
        item.prop_map(|item| SqlType::Array(Box::new(item)))
    })
}

proptest! {
    #[test]
    fn identifiers_come_out_quoted(name in identifier()) {
        for dialect in Dialect::ALL {
            let mark = if matches!(dialect, Dialect::Postgres | Dialect::Sqlite) { '"' } else { '`' };
            let quoted = dialect.quote(&name);
            prop_assert_eq!(unquote(&quoted, mark), Some((name.clone(), "")));
            // And in a statement, which another writer makes.
            let column = Column {
                field: "f".into(), name: name.clone(), ty: SqlType::Int, db_type: None, collation: None, nullable: true,
                primary_key: false, auto: false, generated: false,
            };
            let table = Arc::new(Table::new(name.clone(), Some(name.clone()), vec![column]));
            let shape = json!(["select", 1, ["f"], null, [], "", "", "", "rows"]);
            let query = ir::json::query(&shape, &|_| Some(Arc::clone(&table))).unwrap();
            let plan = compile(&query, (*dialect, dialect.oldest())).unwrap();
            let sql = plan.sql.strip_prefix("SELECT ").unwrap();
            let (column, rest) = unquote(sql, mark).unwrap();
            let (schema, rest) = unquote(rest.strip_prefix(" FROM ").unwrap(), mark).unwrap();
            let (table, rest) = unquote(rest.strip_prefix('.').unwrap(), mark).unwrap();
            prop_assert_eq!([&column, &schema, &table], [&name, &name, &name]);
            prop_assert_eq!(rest, "");
        }
    }

    #[test]
    fn hostile_tables_are_created_used_and_dropped(
        table in identifier(), columns in prop::collection::btree_set(identifier(), 1..4),
    ) {
        // SQLite's names do not distinguish ASCII case, and keep one prefix to themselves.
        let folded: std::collections::BTreeSet<_> = columns.iter().map(|c| c.to_ascii_lowercase()).collect();
        prop_assume!(folded.len() == columns.len());
        let fields: Vec<Value> = columns.iter()
            .map(|c| json!({"name": c, "column_type": "integer", "nullable": true, "comment": c, "default_value": 1}))
            .collect();
        let columns: Vec<_> = columns.into_iter().collect();
        let doc = json!({"ir_version": 1, "tables": [{
            "name": table, "fields": fields, "comment": table,
            "uniques": [{"name": format!("u{table}"), "fields": columns}],
            "indexes": [{"name": format!("i{table}"), "fields": columns}],
            "checks": [{"name": table, "predicate": ["is_not_null", ["col", columns.first()]]}],
        }]});
        let doc = SchemaDoc::from_json(&doc.to_string()).unwrap();
        let connection = Connection::open_in_memory().unwrap();
        let version = Dialect::Sqlite.oldest();
        for sql in create_statements(&doc, (Dialect::Sqlite, version)).unwrap() {
            connection.execute_batch(&sql).unwrap();
        }
        let quoted = Dialect::Sqlite.quote(&table);
        connection.execute_batch(&format!("INSERT INTO {quoted} DEFAULT VALUES")).unwrap();
        for sql in drop_statements(&doc, (Dialect::Sqlite, version)).unwrap() {
            connection.execute_batch(&sql).unwrap();
        }
        let padded = columns.iter().chain([&table]).any(|name| name.ends_with(' '));
        for dialect in Dialect::ALL {
            let made = create_statements(&doc, (*dialect, dialect.oldest()));
            if padded && matches!(dialect, Dialect::Mysql | Dialect::MariaDb) {
                let refused = matches!(made, Err(CompileError::NotSupported { .. }));
                prop_assert!(refused, "{made:?}");
            } else {
                made.unwrap();
            }
        }
    }

    #[test]
    fn literals_come_back(text in "[^\0]{0,20}") {
        let connection = Connection::open_in_memory().unwrap();
        let sql = format!("SELECT {}", Dialect::Sqlite.string(&text));
        let back: String = connection.query_row(&sql, [], |row| row.get(0)).unwrap();
        prop_assert_eq!(back, text);
    }

    #[test]
    fn type_tags_come_back(ty in sql_type()) {
        let tag = serde_json::to_string(&ty).unwrap();
        prop_assert_eq!(serde_json::from_str::<SqlType>(&tag).unwrap(), ty.clone());
        let tag = ty.to_json();
        prop_assert_eq!(tag.get(0).unwrap_or(&tag).as_str(), Some(ty.kind()));
        for dialect in Dialect::ALL {
            prop_assert!(!ty.ddl(*dialect).is_empty());
            prop_assert!(!ty.introspected(*dialect).contains('(') || matches!(ty, SqlType::Enum(_) | SqlType::Array(_)));
        }
    }

    #[test]
    fn escaped_patterns_match_only_themselves(text in "[a%_\\\\*?\\[\\]]{0,6}", other in "[a%_\\\\*?\\[\\]]{0,6}") {
        let connection = Connection::open_in_memory().unwrap();
        let like: bool = connection.query_row(
            "SELECT ? LIKE ? ESCAPE '\\'", [&other, &*Transform::LikeContains.apply(&text)], |r| r.get(0)).unwrap();
        prop_assert_eq!(like, other.contains(&text));
        let glob: bool = connection.query_row(
            "SELECT ? GLOB ?", [&other, &*Transform::GlobStarts.apply(&text)], |r| r.get(0)).unwrap();
        prop_assert_eq!(glob, other.starts_with(&text));
    }
}

#[test]
fn the_three_spellings_of_a_tag_are_one_type() {
    let decimal = SqlType::Decimal {
        precision: Some(10),
        scale: Some(2),
    };
    for tag in [
        json!(["decimal", 10, 2]),
        json!({"kind": "decimal", "precision": 10, "scale": 2}),
    ] {
        assert_eq!(SqlType::from_json(&tag), Ok(decimal.clone()));
    }
    let any = SqlType::Decimal {
        precision: None,
        scale: None,
    };
    for tag in [
        json!("decimal"),
        json!(["decimal", null, null]),
        json!({"kind": "decimal"}),
    ] {
        assert_eq!(SqlType::from_json(&tag), Ok(any.clone()));
    }
    for wrong in [
        json!("int"),
        json!([]),
        json!(["string", -1]),
        json!(["enum", "e"]),
        json!(7),
        json!("array"),
    ] {
        SqlType::from_json(&wrong).unwrap_err();
    }
}

fn table() -> Arc<Table> {
    let column = |field: &str, generated| Column {
        field: field.into(),
        name: field.into(),
        ty: SqlType::BigInt,
        db_type: None,
        collation: None,
        nullable: false,
        primary_key: field == "id",
        auto: false,
        generated,
    };
    Arc::new(Table::new(
        "t",
        None,
        vec![column("id", false), column("n", false), column("g", true)],
    ))
}

fn query(shape: &Value) -> Result<Query, CompileError> {
    ir::json::query(shape, &|_| Some(table()))
}

fn error(shape: &Value) -> String {
    let compiled =
        query(shape).and_then(|q| compile(&q, (Dialect::Postgres, Dialect::Postgres.oldest())));
    compiled.unwrap_err().to_string()
}

#[test]
fn trees_that_are_too_deep_are_refused() {
    // Unoptimised code needs more stack than a test's thread has.
    let thread = std::thread::Builder::new().stack_size(16 << 20);
    thread.spawn(too_deep).unwrap().join().unwrap();
}

fn too_deep() {
    let deep = |depth: usize| {
        let mut expr = Expr::Column("n".into());
        for _ in 0..depth {
            expr = Expr::Not(Box::new(expr));
        }
        let mut select = match query(&json!(["select", 1, ["id"], null, [], "", "", "", "rows"])) {
            Ok(Query::Select(select)) => select,
            other => panic!("{other:?}"),
        };
        select.filter = Some(expr);
        compile(
            &Query::Select(select),
            (Dialect::Sqlite, Dialect::Sqlite.oldest()),
        )
    };
    assert!(deep(MAX_DEPTH).is_ok());
    let message = deep(MAX_DEPTH + 1).unwrap_err().to_string();
    assert!(message.contains("nests deeper than"), "{message}");
}

#[test]
fn operators_that_repeat_their_operands_are_bounded() {
    let mut expr = json!(["col", "n"]);
    for _ in 0..40 {
        expr = json!(["arith", "mod", expr, ["col", "id"]]);
    }
    let shape = json!([
        "select",
        1,
        [["expr", "x", expr, "big_integer"]],
        null,
        [],
        "",
        "",
        "",
        "rows"
    ]);
    assert!(error(&shape).contains("expands to more than"));
}

#[test]
fn mistakes_are_named() {
    let select = |filter: Value| json!(["select", 1, ["id"], filter, [], "", "", "", "rows"]);
    let update = |set: Value| json!(["update", 1, set, null, []]);
    let insert =
        |fields: Value, values: Value| json!(["insert", 1, fields, ["values", values], null, []]);
    let cases = [
        (
            select(json!(["is_null", ["col", "nmae"]])),
            "t has no field \"nmae\"; its fields are id, n, g",
        ),
        (
            select(json!(["in", ["col", "n"], ["param", "integer"]])),
            "has an array type",
        ),
        (select(json!(["excluded", "n"])), "on_conflict"),
        (select(json!(["star"])), "inside count()"),
        (
            select(json!(["func", "lower"])),
            "lower() takes 1 arguments, not 0",
        ),
        (
            select(json!(["arith", "add", ["col", "n"], ["param", "uuid"]])),
            "needs numbers, not uuid",
        ),
        (update(json!([])), "at least one field"),
        (
            update(json!([["n", ["null"]], ["n", ["null"]]])),
            "set twice",
        ),
        (update(json!([["g", ["null"]]])), "computed by the database"),
        (
            insert(json!(["g"]), json!([["null"]])),
            "computed by the database",
        ),
        (
            insert(json!(["n"]), json!([["col", "id"]])),
            "there is no row yet",
        ),
        (insert(json!(["n"]), json!([])), "0 values for 1 fields"),
        (
            json!([
                "select",
                1,
                ["id"],
                null,
                [],
                "",
                "distinct",
                "update",
                "rows"
            ]),
            "exclude each other",
        ),
        (
            json!(["select", 1, ["id"], null, [], "", "", "update", "count"]),
            "remove for_update()",
        ),
        (
            json!(["select", 1, ["id"], null, [], "", "", "upgrade", "rows"]),
            "unknown lock",
        ),
        (
            json!(["select", 1, [], null, [], "", "", "", "rows"]),
            "at least one output",
        ),
    ];
    for (shape, expected) in cases {
        let message = error(&shape);
        assert!(message.contains(expected), "{message}\n{shape}");
    }
}

#[test]
fn case_is_mapped_by_whoever_the_server_has() {
    let lowered = |version, facts: &[&str]| {
        let facts: Vec<String> = facts.iter().map(|&f| f.into()).collect();
        let target = Target::refined(Dialect::Postgres, version, &facts);
        let mut columns = table().columns.clone();
        columns.push(Column {
            field: "s".into(),
            name: "s".into(),
            ty: SqlType::Text,
            ..columns.last().unwrap().clone()
        });
        let table = Arc::new(Table::new("t", None, columns));
        let shape = json!([
            "delete",
            1,
            ["match", "iexact", ["col", "s"], ["param", "text"]],
            []
        ]);
        let query = ir::json::query(&shape, &|_| Some(Arc::clone(&table))).unwrap();
        compile(&query, target).map(|plan| plan.sql.split_once("WHERE ").unwrap().1.to_owned())
    };
    let (old, new) = (Version(12, 0, 0), Version(17, 0, 0));
    for (version, facts, expected) in [
        (
            old,
            &["icu", "lc_ctype_c"][..],
            r#"lower("s" COLLATE "und-x-icu") = lower($1 COLLATE "und-x-icu")"#,
        ),
        (
            new,
            &["pg_c_utf8", "lc_ctype_c"],
            r#"lower("s" COLLATE "pg_c_utf8") = lower($1 COLLATE "pg_c_utf8")"#,
        ),
        (old, &[], r#"lower("s") = lower($1)"#),
    ] {
        assert_eq!(lowered(version, facts).unwrap(), expected);
    }
    let error = lowered(old, &["lc_ctype_c"]).unwrap_err().to_string();
    assert!(
        error.starts_with("PostgreSQL 12.0.0 does not support upper and lower case"),
        "{error}"
    );
    assert!(error.contains("LC_CTYPE"), "{error}");
}

#[test]
fn names_that_no_database_can_hold() {
    for name in ["", "a\0b"] {
        for (table, schema, column) in [(name, "s", "c"), ("t", name, "c"), ("t", "s", name)] {
            let doc = json!({"ir_version": 1, "tables": [{
                "name": table, "schema": schema, "fields": [{"name": column, "column_type": "integer"}],
            }]});
            let doc = SchemaDoc::from_json(&doc.to_string()).unwrap();
            let target = (Dialect::Postgres, Dialect::Postgres.oldest());
            for made in [
                create_statements(&doc, target),
                drop_statements(&doc, target),
            ] {
                let refusal = made.unwrap_err().to_string();
                assert!(
                    refusal.contains(&format!("{name:?} cannot be the name")),
                    "{refusal}"
                );
            }
        }
    }
}
