//! Any text as a name: it comes out of its quotes as it went in, on every database, or is refused; and SQLite's own parser
//! takes it for that name.

use std::sync::Arc;

use oxyde_sql::ir::{self, Column, Table};
use oxyde_sql::{Dialect, SchemaDoc, SqlType, compile, create_statements, drop_statements};
use rusqlite::Connection;
use serde_json::json;

use crate::lexer::{self, Token};

pub fn seeds() -> Vec<Vec<u8>> {
    words()
}

pub fn words() -> Vec<Vec<u8>> {
    let words = [
        "name",
        "größe €",
        "ta\"b`l'e; DROP -- \\",
        "select",
        "\"",
        "\"\"",
        "`",
        "``",
        "'",
        "\\",
        ";",
        "--",
        "/*",
        "*/",
        "#",
        "?",
        "$1",
        "$$",
        ":x",
        "@x",
        "%s",
        "[",
        "]",
        ".",
        "\0",
        "\n",
        "\r",
        "\t",
        " ",
        "\u{a0}",
        "\u{202e}",
        "\u{301}",
        "\u{feff}",
        "\u{ffff}",
        "\u{1f600}",
        "E'",
        "sqlite_x",
        "\u{ff07}",
        "\u{02bc}",
    ];
    words.iter().map(|word| word.as_bytes().to_vec()).collect()
}

pub fn exercise(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    for dialect in Dialect::ALL {
        quoted(&text, *dialect);
        selected(&text, *dialect);
        literal(&text, *dialect);
        created(&text, *dialect);
    }
    if !text.contains('\0') {
        asked(&text);
    }
}

fn quoted(name: &str, dialect: Dialect) {
    if name.contains('\0') {
        // No database has such a name, and no server takes such a statement.
        return;
    }
    let sql = dialect.quote(name);
    assert_eq!(
        lexer::tokens(&sql, dialect),
        Ok(vec![Token::Name(name.to_owned())])
    );
    let sql = dialect.qualified(Some(name), name);
    let name = Token::Name(name.to_owned());
    let expected = vec![name.clone(), Token::Symbol('.'), name];
    assert_eq!(lexer::tokens(&sql, dialect), Ok(expected));
}

/// As the name of a column, a table, a schema and a result.
fn selected(name: &str, dialect: Dialect) {
    let column = Column {
        field: "f".into(),
        name: name.to_owned(),
        ty: SqlType::Int,
        db_type: None,
        collation: None,
        nullable: true,
        primary_key: false,
        auto: false,
        generated: false,
    };
    let table = Arc::new(Table::new(name, Some(name.to_owned()), vec![column]));
    let shape = json!([
        "select",
        1,
        ["f", ["expr", name, ["col", "f"], "integer"]],
        null,
        [],
        "",
        "",
        "",
        "rows"
    ]);
    let query = ir::json::query(&shape, &|_| Some(Arc::clone(&table))).unwrap();
    let plan = match compile(&query, (dialect, dialect.oldest())) {
        Ok(plan) => plan,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return;
        }
    };
    if name.contains('\0') {
        return;
    }
    let tokens = lexer::statement(&plan.sql, dialect, 0);
    let names: Vec<_> = tokens
        .iter()
        .filter(|token| matches!(token, Token::Name(_)))
        .collect();
    assert!(names.len() >= 5, "{}", plan.sql);
    assert!(
        names
            .iter()
            .all(|token| **token == Token::Name(name.to_owned())),
        "{}",
        plan.sql
    );
}

fn literal(text: &str, dialect: Dialect) {
    if !text.contains('\0') {
        let sql = dialect.string(text);
        assert_eq!(
            lexer::tokens(&sql, dialect),
            Ok(vec![Token::Text(text.to_owned())])
        );
    }
}

/// As the name of a table, a column, an index and constraints, and as comments and defaults.
fn created(name: &str, dialect: Dialect) {
    let document = json!({"ir_version": 1, "tables": [{
        "name": name, "comment": name,
        "fields": [
            {"name": name, "column_type": "integer", "nullable": true, "comment": name},
            {"name": "other", "field": "o", "column_type": ["string", 20], "default_value": name},
        ],
        "indexes": [{"name": format!("i{name}"), "fields": [name]}],
        "uniques": [{"name": format!("u{name}"), "fields": [name, "other"]}],
        "checks": [{"name": format!("c{name}"), "predicate": ["is_not_null", ["col", "o"]]}],
    }]});
    let doc = SchemaDoc::from_json(&document.to_string()).unwrap();
    let target = (dialect, dialect.oldest());
    let Ok(create) = create_statements(&doc, target) else {
        return;
    };
    assert!(!name.is_empty() && !name.contains('\0'), "{create:?}");
    let drop = drop_statements(&doc, target).unwrap();
    for sql in create.iter().chain(&drop) {
        lexer::statement(sql, dialect, 0);
    }
    // Two columns of one name, and what SQLite keeps for itself, are for it to refuse.
    let folded = name.to_ascii_lowercase();
    if dialect == Dialect::Sqlite && folded != "other" && !folded.starts_with("sqlite_") {
        on_sqlite(name, &create, &drop);
    }
}

fn on_sqlite(name: &str, create: &[String], drop: &[String]) {
    let connection = Connection::open_in_memory().unwrap();
    for sql in create {
        connection
            .execute_batch(sql)
            .unwrap_or_else(|error| panic!("{error}\n{sql}"));
    }
    let list = |sql: &str| -> Vec<String> {
        let mut statement = connection.prepare(sql).unwrap();
        let rows = statement.query_map([], |row| row.get(0)).unwrap();
        rows.map(Result::unwrap).collect()
    };
    let tables = list("SELECT name FROM sqlite_schema WHERE type = 'table'");
    assert_eq!(tables, [name]);
    let indexes = list("SELECT name FROM sqlite_schema WHERE name LIKE 'i%' AND type = 'index'");
    assert_eq!(indexes, [format!("i{name}")]);
    let columns = connection
        .prepare(&format!("SELECT * FROM {}", Dialect::Sqlite.quote(name)))
        .unwrap();
    assert!(columns.column_names().eq([name, "other"]));
    drop_all(&connection, drop);
    assert!(list("SELECT name FROM sqlite_schema").is_empty());
}

fn drop_all(connection: &Connection, drop: &[String]) {
    for sql in drop {
        connection.execute_batch(sql).unwrap();
    }
}

/// As a result's name and as a text, by SQLite.
fn asked(text: &str) {
    thread_local! {
        static CONNECTION: Connection = Connection::open_in_memory().unwrap();
    }
    let (name, literal) = (Dialect::Sqlite.quote(text), Dialect::Sqlite.string(text));
    CONNECTION.with(|connection| {
        let mut statement = connection
            .prepare(&format!("SELECT {literal} AS {name}"))
            .unwrap();
        assert!(statement.column_names().eq([text]));
        let back: String = statement.query_row([], |row| row.get(0)).unwrap();
        assert_eq!(back, text);
    });
}
