//! Schema documents → CREATE and DROP. Any JSON is compiled or refused; what is compiled are statements, one by one, and
//! SQLite understands them.

use std::sync::LazyLock;

use oxyde_sql::{Dialect, SchemaDoc, create_statements, drop_statements};
use rusqlite::Connection;
use serde_json::Value;

use crate::lexer;
use crate::queries::{cases, chosen};
use crate::trees::{Known, holds};

static KNOWN: LazyLock<Known> = LazyLock::new(|| {
    let mut documents: Vec<Value> = cases::documents()
        .into_iter()
        .map(|(_, document)| document)
        .collect();
    // The texts of queries belong to the trees in documents.
    let groups = cases::groups();
    let cases = groups.iter().flat_map(|group| &group.cases);
    documents.extend(cases.step_by(5).map(|case| case.shape.clone()));
    Known::new(documents)
});

pub fn seeds() -> Vec<Vec<u8>> {
    let count = cases::documents().len();
    let mut seeds: Vec<Vec<u8>> = KNOWN.seeds(cases::newer_servers().len());
    let some = KNOWN.documents.iter().take(count);
    seeds.extend(some.map(|document| [b"\x01", document.to_string().as_bytes()].concat()));
    seeds
}

pub fn words() -> Vec<Vec<u8>> {
    KNOWN.words()
}

/// Where the program's own SQL stands, which goes into the statements as it is.
const TRUSTED: &[&str] = &["db_type", "default", "expression", "where", "predicate"];

pub fn exercise(input: &[u8]) {
    let Some(document) = KNOWN.document(input) else {
        return;
    };
    let doc = match SchemaDoc::from_json(&document.to_string()) {
        Ok(doc) => doc,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return;
        }
    };
    let trusted = holds(&document, "", &|name, value| {
        value.get(0).is_some_and(|tag| tag == "sql") || value.is_string() && TRUSTED.contains(&name)
    });
    if let Some(server) = chosen(input, cases::newer_servers()) {
        let target = (server.dialect, server.version);
        let (create, drop) = (
            create_statements(&doc, target),
            drop_statements(&doc, target),
        );
        for statements in [&create, &drop] {
            match statements {
                Err(error) => assert!(!error.to_string().is_empty()),
                Ok(_) if trusted => {}
                Ok(statements) => {
                    for sql in statements {
                        lexer::statement(sql, server.dialect, 0);
                    }
                }
            }
        }
        if server.dialect == Dialect::Sqlite && !trusted {
            run(create.iter().flatten(), &document);
            run(drop.iter().flatten(), &document);
        }
    }
}

fn run<'a>(statements: impl Iterator<Item = &'a String>, document: &Value) {
    let connection = Connection::open_in_memory().unwrap();
    for sql in statements {
        if let Err(error) = connection.execute_batch(sql) {
            let error = error.to_string();
            let not_sql = ["syntax error", "unrecognized token", "incomplete input"];
            assert!(
                !not_sql.iter().any(|sign| error.contains(sign)),
                "{error}\n{document}\n{sql}"
            );
            return;
        }
    }
}
