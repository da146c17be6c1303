//! A place on the server with the tables of the tests, and what queries there are asked with.

use std::sync::Arc;

use mysql::Value;
use oxyde_sql::ir::{self, Column, Table, UniqueKey};
use oxyde_sql::{
    BindSlot, CompileError, Dialect, Plan, SqlType, Target, Transform, compile, create_statements,
};
use serde_json::{Value as Json, json};

use crate::cases::{self, col, described, param, schema};
use crate::server::{Client, shown};

/// The tables of the cases and those that are only for these servers.
pub fn tables(id: u64) -> Option<Arc<Table>> {
    match id {
        6 => Some(sample()),
        7 => Some(other()),
        8 => Some(keyed()),
        _ => cases::table(id),
    }
}

pub fn table_of(name: &str, columns: Vec<Column>) -> Arc<Table> {
    Arc::new(Table::new(name, None, columns))
}

pub fn column(name: &str, ty: Json) -> Column {
    Column {
        field: name.into(),
        name: name.into(),
        ty: SqlType::from_json(&ty).unwrap(),
        db_type: None,
        collation: None,
        nullable: name != "id",
        primary_key: name == "id",
        auto: name == "id",
        generated: false,
    }
}

/// One column of each type.
pub fn sample() -> Arc<Table> {
    let types = [
        ("id", json!("big_integer")),
        ("number", json!("big_integer")),
        ("small", json!("small_integer")),
        ("single", json!("real")),
        ("score", json!("double")),
        ("money", json!(["decimal", 10, 2])),
        ("total", json!("decimal")),
        ("word", json!(["string", 20])),
        ("line", json!(["string", 700])),
        ("body", json!("text")),
        ("at", json!("date_time")),
        ("day", json!("date")),
        ("hour", json!("time")),
        ("span", json!("timedelta")),
        ("key", json!("uuid")),
        ("data", json!("blob")),
        ("doc", json!("json")),
        ("words", json!(["array", "text"])),
        ("numbers", json!(["array", "big_integer"])),
        ("amounts", json!(["array", "decimal"])),
        ("mood", cases::mood()),
        ("flag", json!("boolean")),
    ];
    let columns = types.into_iter().map(|(name, ty)| column(name, ty));
    table_of("sample", columns.collect())
}

/// Columns that were declared in other words or with other collations.
pub fn other() -> Arc<Table> {
    let text = || json!(["string", 50]);
    let declared = |name: &str, ty: Json, db_type: &str| Column {
        db_type: Some(db_type.into()),
        ..column(name, ty)
    };
    table_of(
        "other",
        vec![
            column("id", json!("big_integer")),
            Column {
                collation: Some("utf8mb4_general_ci".into()),
                ..column("loose", text())
            },
            declared("latin", text(), "VARCHAR(50) CHARACTER SET latin1"),
            declared("single", json!("double"), "FLOAT"),
            declared("bits", json!("blob"), "VARBINARY(16)"),
            declared("tiny", json!("integer"), "TINYINT UNSIGNED"),
            declared("huge", json!("big_integer"), "BIGINT UNSIGNED"),
        ],
    )
}

/// A table with several unique keys.
pub fn keyed() -> Arc<Table> {
    let unique = |name: &str, fields: &[&str]| UniqueKey {
        name: name.into(),
        fields: fields.iter().map(|&f| f.into()).collect(),
    };
    let columns = vec![
        column("id", json!("big_integer")),
        column("name", json!(["string", 30])),
        column("a", json!("integer")),
        column("b", json!("integer")),
    ];
    let table = Table::new("keyed", None, columns);
    Arc::new(table.with_uniques(vec![unique("keyed_name", &["name"])]))
}

/// Databases of its own, so that tests can run beside each other and leave nothing.
pub struct Place {
    pub client: Client,
    pub name: String,
    pub server: Target,
}

impl Place {
    pub fn new(name: &str) -> Self {
        let mut client = Client::connect();
        let server = client.target();
        let name = format!("oxyde_sql_{name}_{}", std::process::id());
        for sql in [
            format!("CREATE DATABASE {name} CHARACTER SET latin1"),
            format!("CREATE DATABASE {name}_audit CHARACTER SET latin1"),
            format!("USE {name}"),
        ] {
            client.run(&sql).unwrap();
        }
        let mut place = Self {
            client,
            server,
            name,
        };
        let own = [sample(), other(), keyed()];
        let own = described(&own, server.dialect, true);
        for doc in [schema(server.dialect), own] {
            for sql in create_statements(&doc, server).unwrap() {
                place
                    .run(&sql)
                    .unwrap_or_else(|error| panic!("{error}\n{sql}"));
            }
        }
        place
    }

    pub fn mariadb(&self) -> bool {
        self.server.dialect == Dialect::MariaDb
    }

    /// The cases' other schema is this place's own.
    pub fn placed(&self, sql: &str) -> String {
        sql.replace("`audit`.", &format!("`{}_audit`.", self.name))
    }

    pub fn run(&mut self, sql: &str) -> Result<(), String> {
        let sql = self.placed(sql);
        self.client.run(&sql).map(drop)
    }

    pub fn rows(&mut self, sql: &str) -> Vec<Vec<String>> {
        self.client.rows(sql)
    }

    pub fn try_plan(&self, shape: &Json) -> Result<Plan, CompileError> {
        compile(&ir::json::query(shape, &tables)?, self.server)
    }

    pub fn plan(&self, shape: &Json) -> Plan {
        self.try_plan(shape)
            .unwrap_or_else(|error| panic!("{error}\n{shape}"))
    }

    /// Compiles a query and runs it with values for its parameters.
    pub fn try_ask(&mut self, shape: &Json, values: &[Value]) -> Result<Vec<Vec<String>>, String> {
        let plan = self.plan(shape);
        let given = given(&plan, values);
        let sql = self.placed(&plan.sql);
        let rows = self.client.execute(&sql, &given)?;
        Ok(rows
            .into_iter()
            .map(|row| row.into_iter().map(shown).collect())
            .collect())
    }

    pub fn ask(&mut self, shape: &Json, values: &[Value]) -> Vec<Vec<String>> {
        self.try_ask(shape, values)
            .unwrap_or_else(|error| panic!("{error}\n{shape}\n{}", self.plan(shape).sql))
    }

    /// The numbers of the rows of a table that satisfy a condition.
    pub fn found(&mut self, table: u64, condition: Json, values: &[Value]) -> Vec<i64> {
        let order = json!([[col("id"), "asc", null]]);
        let shape = json!([
            "select",
            table,
            ["id"],
            condition,
            order,
            "",
            "",
            "",
            "rows"
        ]);
        let rows = self.ask(&shape, values);
        rows.iter().map(|row| row[0].parse().unwrap()).collect()
    }

    /// One value computed from nothing but parameters and literals.
    pub fn value(&mut self, expr: Json, ty: &str, values: &[Value]) -> Result<String, String> {
        let out = json!(["expr", "value", expr, ty]);
        let shape = json!(["select", 6, [out], null, [], "", "", "", "rows"]);
        self.try_ask(&shape, values).map(|rows| rows[0][0].clone())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let name = &self.name;
        for other in ["", "_audit", "_document"] {
            let sql = format!("DROP DATABASE IF EXISTS {name}{other}");
            self.client.run(&sql).unwrap();
        }
    }
}

/// The values in the order of the placeholders.
pub fn given(plan: &Plan, values: &[Value]) -> Vec<Value> {
    let one = |bind: &BindSlot| match (&values[bind.param], bind.transform) {
        (Value::Bytes(bytes), transform) if transform != Transform::None => {
            let text = std::str::from_utf8(bytes).unwrap();
            Value::Bytes(transform.apply(text).as_bytes().to_vec())
        }
        (value, _) => value.clone(),
    };
    plan.binds.iter().map(one).collect()
}

pub fn text(text: &str) -> Value {
    Value::Bytes(text.into())
}

pub fn list(items: &Json) -> Value {
    text(&items.to_string())
}

pub fn in_list(field: &str, ty: &Json) -> Json {
    json!(["in", col(field), param(json!(["array", ty]))])
}

pub fn not_in(field: &str, ty: &Json) -> Json {
    json!(["not_in", col(field), param(json!(["array", ty]))])
}

/// The way to a table's rows that the server chose.
pub fn access(place: &mut Place, sql: &str, values: &[Value]) -> Vec<(String, String)> {
    let explain = if place.mariadb() {
        format!("EXPLAIN {sql}")
    } else {
        format!("EXPLAIN FORMAT=TRADITIONAL {sql}")
    };
    let (ty, kind) = if place.mariadb() { (3, 1) } else { (4, 1) };
    let rows = place.client.execute(&explain, values).unwrap();
    rows.into_iter()
        .map(|row| (shown(row[kind].clone()), shown(row[ty].clone())))
        .collect()
}
