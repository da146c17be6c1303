//! Prints every case of the tests as JSON, so that other programs can prepare
//! the statements on real servers:
//!
//! ```text
//! cargo run -p oxyde-sql --example dump_cases -- mariadb=10.11.4 postgres=15.0.0
//! ```
//!
//! Each argument compiles for that version instead of the oldest one.
//!
//! `{"servers": [{"name", "dialect", "version", "setup": [sql], "teardown": [sql],
//! "cases": [{"group", "name", "sql", "binds": [{"param", "type", "pg_oid", "verbatim", "texts"}]} | {…, "error"}],
//! "documents": [{"name", "create": [sql], "drop": [sql]} | {"name", "error"}]}]}`

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a tool for tests

#[path = "../tests/cases/mod.rs"]
mod cases;

use cases::{Server, documents, groups, newer_servers, plan, schema};
use oxyde_sql::{Dialect, Plan, SchemaDoc, Version, create_statements, drop_statements};
use serde_json::{Value, json};

fn main() {
    let mut servers = newer_servers();
    for argument in std::env::args().skip(1) {
        let (name, version) = argument.split_once('=').expect("dialect=1.2.3");
        let mut numbers = version.split('.').map(|n| n.parse().expect("a number"));
        let mut next = || numbers.next().unwrap_or(0);
        let version = Version(next(), next(), next());
        let dialect = Dialect::parse(name).expect("a dialect");
        for server in servers.iter_mut().filter(|s| s.name == dialect.id()) {
            server.version = version;
        }
    }
    let servers: Vec<Value> = servers.iter().map(dump).collect();
    println!("{:#}", json!({ "servers": servers }));
}

fn dump(server: &Server) -> Value {
    let schema = schema(server.dialect);
    json!({
        "name": server.name,
        "dialect": server.dialect.id(),
        "version": server.version.to_string(),
        "setup": create_statements(&schema, (server.dialect, server.version)).unwrap(),
        "teardown": drop_statements(&schema, (server.dialect, server.version)).unwrap(),
        "cases": cases(server),
        "documents": schemas(server),
    })
}

fn cases(server: &Server) -> Vec<Value> {
    let mut all = Vec::new();
    for group in groups() {
        for case in &group.cases {
            all.push(match plan(&case.shape, server) {
                Ok(plan) => json!({
                    "group": group.name, "name": case.name, "sql": plan.sql, "binds": binds(&plan),
                }),
                Err(error) => json!({
                    "group": group.name, "name": case.name, "error": error.to_string(),
                }),
            });
        }
    }
    all
}

fn binds(plan: &Plan) -> Vec<Value> {
    plan.binds
        .iter()
        .map(|b| {
            json!({
                "param": b.param, "type": b.ty.to_json(), "pg_oid": b.ty.pg_oid(),
                "verbatim": b.verbatim, "texts": b.texts,
            })
        })
        .collect()
}

fn schemas(server: &Server) -> Vec<Value> {
    documents()
        .into_iter()
        .map(|(name, doc)| {
            let doc = SchemaDoc::from_json(&doc.to_string()).unwrap();
            match create_statements(&doc, (server.dialect, server.version)) {
                Ok(create) => json!({
                    "name": name,
                    "create": create,
                    "drop": drop_statements(&doc, (server.dialect, server.version)).unwrap(),
                }),
                Err(error) => json!({"name": name, "error": error.to_string()}),
            }
        })
        .collect()
}
