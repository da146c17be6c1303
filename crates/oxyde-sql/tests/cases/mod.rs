//! The one list of cases: every construct of the query grammar and of schema
//! documents, said once. The snapshots show what each database gets, other
//! tests prepare and run the same statements.

#![allow(dead_code)] // each test uses a part of it

mod ddl;
mod expressions;
mod keys;
mod queries;
mod verbatim;

use std::sync::Arc;

use oxyde_sql::ir::{self, Column, Query, Table, UniqueKey};
use oxyde_sql::{CompileError, Dialect, Plan, SchemaDoc, SqlType, Target, Version, compile};
use serde_json::{Value, json};

/// A query under a name.
pub struct Case {
    pub name: &'static str,
    pub shape: Value,
}

/// Cases on one subject: one snapshot file.
pub struct Group {
    pub name: &'static str,
    pub cases: Vec<Case>,
}

pub fn groups() -> Vec<Group> {
    let mut all = queries::groups();
    all.extend(expressions::groups());
    all.extend(verbatim::groups());
    all.extend(keys::groups());
    all
}

pub use ddl::documents;

/// A server to compile for.
pub struct Server {
    pub name: &'static str,
    pub dialect: Dialect,
    pub version: Version,
}

/// The oldest of each, and the newer ones that are given other text.
pub fn servers() -> Vec<Server> {
    let server = |name, dialect, version| Server {
        name,
        dialect,
        version,
    };
    vec![
        server("postgres", Dialect::Postgres, Dialect::Postgres.oldest()),
        server("mysql", Dialect::Mysql, Dialect::Mysql.oldest()),
        server("mysql8.4", Dialect::Mysql, Version(8, 4, 0)),
        server("mariadb", Dialect::MariaDb, Dialect::MariaDb.oldest()),
        server("mariadb11.8", Dialect::MariaDb, Version(11, 8, 0)),
        server("sqlite", Dialect::Sqlite, Dialect::Sqlite.oldest()),
    ]
}

/// Servers for DDL: some of its features came with later versions.
pub fn newer_servers() -> Vec<Server> {
    let mut servers = servers();
    servers.push(Server {
        name: "postgres18",
        dialect: Dialect::Postgres,
        version: Version(18, 0, 0),
    });
    servers
}

/// The table of a model id in the cases.
pub fn table(id: u64) -> Option<Arc<Table>> {
    let (name, schema) = match id {
        1 => ("user", None),
        2 => ("membership", None),
        3 => ("new", None),
        4 => ("log", Some("audit")),
        5 => ("host", None),
        9 => ("account", None),
        _ => return None,
    };
    let column = |field: &str, ty: Value, flags: &str| Column {
        field: field.into(),
        name: if field == "kind" { "user_kind" } else { field }.into(),
        ty: SqlType::from_json(&ty).unwrap(),
        db_type: declared(field).map(str::to_owned),
        collation: (field == "email").then(|| "utf8mb4_general_ci".into()),
        nullable: flags.contains('n'),
        primary_key: flags.contains('p'),
        auto: flags.contains('a'),
        generated: flags.contains('g'),
    };
    let columns = match id {
        1 => vec![
            column("id", json!("big_integer"), "pa"),
            column("name", json!(["string", 120]), ""),
            column("bio", json!("text"), "n"),
            column("age", json!("integer"), ""),
            column("rank", json!("small_integer"), ""),
            column("score", json!("double"), "n"),
            column("ratio", json!("real"), "n"),
            column("price", json!(["decimal", 10, 2]), "n"),
            column("total", json!("decimal"), "n"),
            column("active", json!("boolean"), ""),
            column("created", json!("date_time"), ""),
            column("seen", json!("date_time_utc"), "n"),
            column("born", json!("date"), "n"),
            column("wakes", json!("time"), "n"),
            column("shift", json!("timedelta"), "n"),
            column("key", json!("uuid"), ""),
            column("avatar", json!("blob"), "n"),
            column("meta", json!("json"), "n"),
            column("kind", mood(), ""),
            column("tags", json!(["array", "text"]), "n"),
            column("name_length", json!("big_integer"), "ng"),
        ],
        2 => vec![
            column("user_id", json!("big_integer"), "p"),
            column("team_id", json!("big_integer"), "p"),
            column("role", json!(["string", 20]), ""),
        ],
        3 => vec![
            column("id", json!("big_integer"), "pa"),
            column("title", json!("text"), ""),
        ],
        5 => vec![
            column("serial", json!("big_integer"), "pa"),
            column("address", json!("text"), "n"),
            column("addresses", json!(["array", "text"]), "n"),
            column("code", json!("text"), "n"),
            column("measure", json!("double"), "n"),
            column("pause", json!("text"), "n"),
            column("moment", json!("date_time"), "n"),
            column("moods", json!(["array", mood()]), "n"),
            column("matrix", json!(["array", ["array", "integer"]]), "n"),
            column("keys", json!(["array", "uuid"]), "n"),
        ],
        9 => vec![
            column("id", json!("big_integer"), "pa"),
            column("email", json!(["string", 50]), "n"),
            column("alias", json!("text"), "n"),
            column("balance", json!("integer"), "n"),
        ],
        _ => vec![
            column("id", json!("big_integer"), "pa"),
            column("text", json!("text"), ""),
        ],
    };
    let uniques = match id {
        9 => vec![UniqueKey {
            name: "account_email_key".into(),
            fields: vec!["email".into()],
        }],
        _ => Vec::new(),
    };
    let table = Table::new(name, schema.map(str::to_owned), columns);
    Some(Arc::new(table.with_uniques(uniques)))
}

/// The `db_type` of a field.
fn declared(field: &str) -> Option<&'static str> {
    Some(match field {
        "serial" => "BIGSERIAL",
        "address" => "inet",
        "addresses" => "inet[]",
        "code" => "CHAR(3)",
        "measure" => "real",
        "pause" => "interval",
        "moment" => "timestamp with time zone",
        _ => return None,
    })
}

pub fn mood() -> Value {
    json!(["enum", "user_mood", ["glad", "it's ok", "sad"]])
}

/// Reads the query of a shape.
pub fn query(shape: &Value) -> Query {
    ir::json::query(shape, &table).unwrap()
}

pub fn plan(shape: &Value, server: &Server) -> Result<Plan, CompileError> {
    plan_for(shape, (server.dialect, server.version))
}

/// The same for a server that was asked what it can do.
#[allow(dead_code, reason = "not every test has such a server")]
pub fn plan_for(shape: &Value, target: impl Into<Target>) -> Result<Plan, CompileError> {
    compile(&query(shape), target)
}

/// A SELECT of ids with a condition.
pub fn filter(name: &'static str, condition: Value) -> Case {
    Case {
        name,
        shape: json!(["select", 1, ["id"], condition, [], "", "", "", "rows"]),
    }
}

/// A SELECT of one expression.
pub fn output(name: &'static str, expr: Value, ty: Value) -> Case {
    let out = json!(["expr", "value", expr, ty]);
    Case {
        name,
        shape: json!(["select", 1, [out], null, [], "", "", "", "rows"]),
    }
}

pub fn col(field: &str) -> Value {
    json!(["col", field])
}

pub fn param(ty: impl Into<Value>) -> Value {
    json!(["param", ty.into()])
}

/// The schema document of the cases' own tables. Only PostgreSQL has the types that some have in their own words.
pub fn schema(dialect: Dialect) -> SchemaDoc {
    let ids = [1, 2, 3, 4, 5, 9];
    let tables: Vec<Arc<Table>> = ids.iter().map(|id| table(*id).unwrap()).collect();
    described(&tables, dialect, dialect == Dialect::Postgres)
}

/// A schema document of tables; `declared`: with the types in their own words.
pub fn described(tables: &[Arc<Table>], dialect: Dialect, declared: bool) -> SchemaDoc {
    let collated = matches!(dialect, Dialect::Mysql | Dialect::MariaDb);
    let tables: Vec<Value> = tables
        .iter()
        .map(|table| {
            let fields: Vec<Value> = table
                .columns
                .iter()
                .map(|c| {
                    json!({
                        "name": c.name, "field": c.field, "column_type": c.ty.to_json(),
                        "db_type": c.db_type.as_ref().filter(|_| declared), "collation": c.collation.as_ref().filter(|_| collated),
                        "nullable": c.nullable, "primary_key": c.primary_key, "auto_increment": c.auto,
                        "generated": c.generated.then(|| json!({"expression": "length(name)"})),
                    })
                })
                .collect();
            let uniques: Vec<Value> = table
                .uniques
                .iter()
                .map(|u| json!({"name": u.name, "fields": u.fields}))
                .collect();
            json!({"name": table.name, "schema": table.schema, "fields": fields, "uniques": uniques})
        })
        .collect();
    SchemaDoc::from_json(&json!({"ir_version": 1, "tables": tables}).to_string()).unwrap()
}
