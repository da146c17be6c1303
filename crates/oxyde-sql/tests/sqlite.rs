//! Every case on a real SQLite: each statement prepares with as many
//! parameters as it has slots, each schema document creates and drops, and
//! what can be computed without our functions gives what Python gives.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a failure is a failed test

mod cases;

use cases::{documents, filter, groups, plan, schema, servers};
use oxyde_sql::{
    BulkForm, Dialect, Plan, SQLITE_FUNCTIONS, SchemaDoc, create_statements, drop_statements,
};
use rusqlite::functions::FunctionFlags;
use rusqlite::types::Value as SqlValue;
use rusqlite::{Connection, config::DbConfig};
use serde_json::{Value, json};

/// A connection as the engine makes it: our functions (here they only exist),
/// foreign keys, and no text for a misspelt identifier.
fn connection() -> Connection {
    let connection = Connection::open_in_memory().unwrap();
    connection
        .set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DML, false)
        .unwrap();
    connection
        .set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DDL, false)
        .unwrap();
    connection
        .execute_batch("PRAGMA foreign_keys = ON; ATTACH ':memory:' AS audit")
        .unwrap();
    for (name, arguments) in SQLITE_FUNCTIONS {
        let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC;
        connection
            .create_scalar_function(*name, *arguments, flags, |ctx| ctx.get::<SqlValue>(0))
            .unwrap();
    }
    connection
}

fn create(connection: &Connection, doc: &SchemaDoc) {
    for sql in create_statements(doc, (Dialect::Sqlite, Dialect::Sqlite.oldest())).unwrap() {
        connection
            .execute_batch(&sql)
            .unwrap_or_else(|e| panic!("{e}\n{sql}"));
    }
}

fn sqlite_plan(shape: &Value) -> Plan {
    let server = servers().into_iter().find(|s| s.name == "sqlite").unwrap();
    plan(shape, &server).unwrap()
}

#[test]
fn every_statement_prepares() {
    let connection = connection();
    create(&connection, &schema(Dialect::Sqlite));
    let server = servers().into_iter().find(|s| s.name == "sqlite").unwrap();
    let mut prepared = 0;
    for group in groups() {
        for case in &group.cases {
            let Ok(plan) = plan(&case.shape, &server) else {
                continue;
            };
            let statement = connection
                .prepare(&plan.sql)
                .unwrap_or_else(|e| panic!("{}/{}: {e}\n{}", group.name, case.name, plan.sql));
            assert_eq!(
                statement.parameter_count(),
                plan.binds.len(),
                "{}",
                plan.sql
            );
            let mut columns = statement.column_count();
            if let Some(BulkForm::PerRow {
                key_check: Some(check),
            }) = &plan.bulk
            {
                // The numbers of the rows stand for the only column that is asked for.
                assert_eq!((columns, plan.columns.len()), (0, 1), "{}", plan.sql);
                columns = connection.prepare(check).unwrap().column_count();
            }
            assert_eq!(columns, plan.columns.len(), "{}", plan.sql);
            assert_eq!(plan.returns_rows, !plan.columns.is_empty(), "{}", plan.sql);
            prepared += 1;
        }
    }
    assert!(prepared > 150, "only {prepared} cases");
}

#[test]
fn every_document_creates_and_drops() {
    let version = Dialect::Sqlite.oldest();
    for (name, doc) in documents() {
        let doc = SchemaDoc::from_json(&doc.to_string()).unwrap();
        if create_statements(&doc, (Dialect::Sqlite, version)).is_err() {
            continue;
        }
        let connection = connection();
        create(&connection, &doc);
        let drop = drop_statements(&doc, (Dialect::Sqlite, version)).unwrap();
        connection
            .execute_batch(&format!("BEGIN; {}; COMMIT", drop.join(";")))
            .unwrap_or_else(|e| panic!("{name}: {e}"));
        let left: i64 = connection
            .query_row(
                "SELECT COUNT(*) FROM sqlite_schema WHERE name NOT LIKE 'sqlite%'",
                [],
                |row| row.get(0),
            )
            .unwrap();
        assert_eq!(left, 0, "{name}");
        // Dropping what is not there is no error.
        connection
            .execute_batch(&format!("BEGIN; {}; COMMIT", drop.join(";")))
            .unwrap();
    }
}

#[test]
fn a_circle_with_rows_is_dropped() {
    let (_, doc) = documents()
        .into_iter()
        .find(|(n, _)| *n == "circle")
        .unwrap();
    let doc = SchemaDoc::from_json(&doc.to_string()).unwrap();
    let connection = connection();
    create(&connection, &doc);
    connection
        .execute_batch(
            "INSERT INTO hen (id) VALUES (1); INSERT INTO egg VALUES (1, 1);
             UPDATE hen SET egg_id = 1; INSERT INTO basket VALUES (1, 1)",
        )
        .unwrap();
    let drop = drop_statements(&doc, (Dialect::Sqlite, Dialect::Sqlite.oldest())).unwrap();
    connection
        .execute_batch(&format!("BEGIN; {}; COMMIT", drop.join(";")))
        .unwrap();
}

#[test]
fn defaults_are_what_was_asked_for() {
    let (_, doc) = documents()
        .into_iter()
        .find(|(n, _)| *n == "defaults")
        .unwrap();
    let connection = connection();
    create(
        &connection,
        &SchemaDoc::from_json(&doc.to_string()).unwrap(),
    );
    connection
        .execute_batch("INSERT INTO defaulted DEFAULT VALUES")
        .unwrap();
    let row: (String, String, String, Vec<u8>, String) = connection
        .query_row(
            "SELECT d_text, d_string, d_decimal, d_blob, d_texts FROM defaulted",
            [],
            |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?, r.get(3)?, r.get(4)?)),
        )
        .unwrap();
    assert_eq!(
        row,
        (
            "it's \\n ok".into(),
            "C:\\dir\\".into(),
            "7.50".into(),
            vec![0, 0xff, 0x27],
            r#"["it's","\\"]"#.into()
        )
    );
}

#[test]
fn checks_hold_what_their_predicates_say() {
    let (_, doc) = documents()
        .into_iter()
        .find(|(n, _)| *n == "predicates")
        .unwrap();
    let connection = connection();
    create(
        &connection,
        &SchemaDoc::from_json(&doc.to_string()).unwrap(),
    );
    let insert = |qty: i64, price: &str, label: &str, since: &str| {
        connection.execute(
            "INSERT INTO stock (qty, price, label, since, open) VALUES (?, ?, ?, ?, 1)",
            (qty, price, label, since),
        )
    };
    let label = "a%'_*[50%";
    insert(-4, "10.00", label, "2021-01-01 00:00:00.000000").unwrap();
    // Not a multiple of two, not positive, another label, too early.
    insert(-3, "10.00", label, "2021-01-01 00:00:00.000000").unwrap_err();
    insert(4, "0.00", label, "2021-01-01 00:00:00.000000").unwrap_err();
    insert(4, "9.00", "A%'_*[50%", "2021-01-01 00:00:00.000000").unwrap_err();
    insert(4, "9.00", label, "2019-12-31 23:59:59.999999").unwrap_err();
}

/// Whether a string search finds a value in a name.
fn found(op: &str, name: &str, value: &str) -> bool {
    let connection = connection();
    connection
        .execute_batch("CREATE TABLE user (id INTEGER, name TEXT, bio TEXT)")
        .unwrap();
    connection
        .execute("INSERT INTO user VALUES (1, ?, ?)", (name, value))
        .unwrap();
    let by_param =
        sqlite_plan(&filter("", json!(["match", op, ["col", "name"], ["param", "text"]])).shape);
    let values: Vec<_> = by_param
        .binds
        .iter()
        .map(|b| b.transform.apply(value))
        .collect();
    let run = |sql: &str, values: &[std::borrow::Cow<'_, str>]| {
        let mut statement = connection.prepare(sql).unwrap();
        statement
            .exists(rusqlite::params_from_iter(values))
            .unwrap()
    };
    let first = run(&by_param.sql, &values);
    let by_column =
        sqlite_plan(&filter("", json!(["match", op, ["col", "name"], ["col", "bio"]])).shape);
    assert_eq!(first, run(&by_column.sql, &[]), "{op} {name:?} {value:?}");
    first
}

#[test]
fn string_searches_are_literal_and_case_sensitive() {
    let names = [
        "", "a", "ab", "aba", "Ab", "%", "_", "*", "[a]", "a?b", "\\", "ñandú", "a%b_c*",
    ];
    for name in names {
        for value in names {
            assert_eq!(found("contains", name, value), name.contains(value));
            assert_eq!(found("startswith", name, value), name.starts_with(value));
            assert_eq!(found("endswith", name, value), name.ends_with(value));
        }
    }
}

#[test]
fn a_prefix_search_uses_the_index() {
    let connection = connection();
    connection
        .execute_batch(
            "CREATE TABLE user (id INTEGER, name TEXT); CREATE INDEX by_name ON user (name)",
        )
        .unwrap();
    let plan = sqlite_plan(
        &filter(
            "",
            json!(["match", "startswith", ["col", "name"], ["param", "text"]]),
        )
        .shape,
    );
    let mut statement = connection
        .prepare(&format!("EXPLAIN QUERY PLAN {}", plan.sql))
        .unwrap();
    let detail: String = statement.query_row(["abc*"], |row| row.get(3)).unwrap();
    assert!(
        detail.contains("SEARCH user USING INDEX by_name"),
        "{detail}"
    );
}

#[test]
fn lists_take_every_length() {
    let connection = connection();
    create(&connection, &schema(Dialect::Sqlite));
    connection
        .execute_batch("INSERT INTO membership VALUES (1, 1, 'x'), (2, 1, 'y')")
        .unwrap();
    let count = |tag: &str, list: &str| -> i64 {
        let condition = json!([tag, ["col", "user_id"], ["param", ["array", "big_integer"]]]);
        let plan = sqlite_plan(&json!([
            "select",
            2,
            [],
            condition,
            [],
            "",
            "",
            "",
            "count"
        ]));
        connection
            .query_row(&plan.sql, [list], |row| row.get(0))
            .unwrap()
    };
    assert_eq!((count("in", "[]"), count("not_in", "[]")), (0, 2));
    assert_eq!((count("in", "[2,3]"), count("not_in", "[2,3]")), (1, 1));
}

#[test]
fn lists_of_documents_compare_documents() {
    let connection = connection();
    connection
        .execute_batch(
            r#"CREATE TABLE user (id INTEGER, meta TEXT);
               INSERT INTO user (meta) VALUES ('"abc"'), ('{"a":1}'), ('true'), ('[1]'), ('1')"#,
        )
        .unwrap();
    let condition = json!(["in", ["col", "meta"], ["param", ["array", "json"]]]);
    let plan = sqlite_plan(&json!([
        "select",
        1,
        [],
        condition,
        [],
        "",
        "",
        "",
        "count"
    ]));
    let list = r#"["abc", {"a": 1}, true, [1]]"#;
    let count: i64 = connection
        .query_row(&plan.sql, [list], |row| row.get(0))
        .unwrap();
    assert_eq!(count, 4);
}

#[test]
fn ten_thousand_conditions_run() {
    let connection = connection();
    create(&connection, &schema(Dialect::Sqlite));
    let one = json!(["cmp", "eq", ["col", "id"], ["param", "big_integer"]]);
    for tag in ["or", "and"] {
        let mut condition = vec![json!(tag)];
        condition.extend(std::iter::repeat_n(one.clone(), 10_000));
        let plan = sqlite_plan(&filter("", Value::Array(condition)).shape);
        assert_eq!(plan.binds.len(), 10_000);
        connection.prepare(&plan.sql).unwrap();
    }
}
