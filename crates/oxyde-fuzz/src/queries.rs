//! Queries of the contract → SQL. Any JSON is compiled or refused; what is compiled is one statement with as many
//! places as it has parameters, which SQLite prepares.

use std::sync::LazyLock;

use oxyde_sql::{BulkForm, Dialect, Plan, SQLITE_FUNCTIONS, compile, create_statements, ir};
use rusqlite::functions::FunctionFlags;
use rusqlite::types::Value as Stored;
use rusqlite::{Connection, config::DbConfig};
use serde_json::Value;

use crate::lexer;
use crate::trees::{Known, holds};

#[path = "../../oxyde-sql/tests/cases/mod.rs"]
pub mod cases;

static KNOWN: LazyLock<Known> = LazyLock::new(|| {
    let groups = cases::groups();
    let cases = groups.iter().flat_map(|group| &group.cases);
    Known::new(cases.map(|case| case.shape.clone()).collect())
});

pub fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = KNOWN.seeds(cases::servers().len());
    let some = KNOWN.documents.iter().step_by(10);
    seeds.extend(some.map(|document| [b"\x01", document.to_string().as_bytes()].concat()));
    seeds
}

pub fn words() -> Vec<Vec<u8>> {
    KNOWN.words()
}

pub fn exercise(input: &[u8]) {
    let Some(shape) = KNOWN.document(input) else {
        return;
    };
    let query = match ir::json::query(&shape, &cases::table) {
        Ok(query) => query,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return;
        }
    };
    // SQL of the program's own goes into the statement as it is.
    let trusted = holds(&shape, "", &|_, value| {
        value.get(0).is_some_and(|tag| tag == "sql")
    });
    if let Some(server) = chosen(input, cases::servers()) {
        match compile(&query, (server.dialect, server.version)) {
            Err(error) => assert!(!error.to_string().is_empty()),
            Ok(_) if trusted => {}
            Ok(plan) => check(&plan, server.dialect, &shape),
        }
    }
}

/// The server that an input is for.
pub fn chosen(input: &[u8], servers: Vec<cases::Server>) -> Option<cases::Server> {
    let place = usize::from(input.first()? >> 1) % servers.len();
    servers.into_iter().nth(place)
}

fn check(plan: &Plan, dialect: Dialect, shape: &Value) {
    lexer::statement(&plan.sql, dialect, plan.binds.len());
    // A key that the server tells is a column without a row.
    let rows = !plan.columns.is_empty() && !plan.told_key;
    assert_eq!(plan.returns_rows, rows, "{}", plan.sql);
    assert!(plan.row_binds <= plan.binds.len());
    if let Some(copy) = &plan.copy {
        lexer::statement(&copy.sql, dialect, 0);
        lexer::statement(&copy.keys, dialect, usize::from(copy.keyed));
    }
    if dialect == Dialect::Sqlite {
        prepare(plan, shape);
    }
}

thread_local! {
    static CONNECTION: Connection = connection();
}

/// The tables of the cases.
fn connection() -> Connection {
    let connection = Connection::open_in_memory().unwrap();
    for setting in [
        DbConfig::SQLITE_DBCONFIG_DQS_DML,
        DbConfig::SQLITE_DBCONFIG_DQS_DDL,
    ] {
        connection.set_db_config(setting, false).unwrap();
    }
    connection
        .execute_batch("ATTACH ':memory:' AS audit")
        .unwrap();
    for (name, arguments) in SQLITE_FUNCTIONS {
        let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC;
        connection
            .create_scalar_function(*name, *arguments, flags, |call| call.get::<Stored>(0))
            .unwrap();
    }
    let schema = cases::schema(Dialect::Sqlite);
    for sql in create_statements(&schema, (Dialect::Sqlite, Dialect::Sqlite.oldest())).unwrap() {
        connection.execute_batch(&sql).unwrap();
    }
    connection
}

/// What SQLite may have against a statement that is SQL: an aggregate in the wrong place is the program's mistake, and
/// the database says so.
const MISTAKES: &[&str] = &[
    "misuse of aggregate",
    "ON CONFLICT clause does not match",
    "nul byte",
    "aggregate functions are not allowed",
    "too many",
    "too large",
    "too deep",
];

fn prepare(plan: &Plan, shape: &Value) {
    CONNECTION.with(|connection| {
        let statement = match connection.prepare(&plan.sql) {
            Ok(statement) => statement,
            Err(error) => {
                let error = error.to_string();
                let mistake = MISTAKES.iter().any(|known| error.contains(known));
                assert!(mistake, "{error}\n{shape}\n{}", plan.sql);
                return;
            }
        };
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
            assert_eq!(columns, 0, "{}", plan.sql);
            columns = connection.prepare(check).unwrap().column_count();
        }
        assert_eq!(columns, plan.columns.len(), "{}", plan.sql);
    });
}
