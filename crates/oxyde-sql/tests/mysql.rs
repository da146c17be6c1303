//! Every case prepared by a real MySQL or MariaDB, and run where only its answer
//! tells whether the text means what it should.
//!
//! ```text
//! OXYDE_TEST_MYSQL_URL=mysql://… cargo test -p oxyde-sql --features server-tests --test mysql
//! ```

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)] // a failure is a failed test

mod cases;
#[path = "server/mysql.rs"]
mod server;

use std::sync::Arc;

use cases::{col, described, documents, groups, param, schema};
use mysql::Value;
use oxyde_sql::ir::{self, Column, Table, UniqueKey};
use oxyde_sql::{
    BindSlot, BulkForm, CompileError, Dialect, Plan, SchemaDoc, SqlType, StatementKind, Target,
    Transform, compile, create_statements, drop_statements,
};
use serde_json::{Value as Json, json};
use server::{Client, shown};

/// The tables of the cases and those that are only for these servers.
fn tables(id: u64) -> Option<Arc<Table>> {
    match id {
        6 => Some(sample()),
        7 => Some(other()),
        8 => Some(keyed()),
        _ => cases::table(id),
    }
}

fn table_of(name: &str, columns: Vec<Column>) -> Arc<Table> {
    Arc::new(Table::new(name, None, columns))
}

fn column(name: &str, ty: Json) -> Column {
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
fn sample() -> Arc<Table> {
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
fn other() -> Arc<Table> {
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
fn keyed() -> Arc<Table> {
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
struct Place {
    client: Client,
    name: String,
    server: Target,
}

impl Place {
    fn new(name: &str) -> Self {
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

    fn mariadb(&self) -> bool {
        self.server.dialect == Dialect::MariaDb
    }

    /// The cases' other schema is this place's own.
    fn placed(&self, sql: &str) -> String {
        sql.replace("`audit`.", &format!("`{}_audit`.", self.name))
    }

    fn run(&mut self, sql: &str) -> Result<(), String> {
        let sql = self.placed(sql);
        self.client.run(&sql).map(drop)
    }

    fn rows(&mut self, sql: &str) -> Vec<Vec<String>> {
        self.client.rows(sql)
    }

    fn try_plan(&self, shape: &Json) -> Result<Plan, CompileError> {
        compile(&ir::json::query(shape, &tables)?, self.server)
    }

    fn plan(&self, shape: &Json) -> Plan {
        self.try_plan(shape)
            .unwrap_or_else(|error| panic!("{error}\n{shape}"))
    }

    /// Compiles a query and runs it with values for its parameters.
    fn try_ask(&mut self, shape: &Json, values: &[Value]) -> Result<Vec<Vec<String>>, String> {
        let plan = self.plan(shape);
        let given = given(&plan, values);
        let sql = self.placed(&plan.sql);
        let rows = self.client.execute(&sql, &given)?;
        Ok(rows
            .into_iter()
            .map(|row| row.into_iter().map(shown).collect())
            .collect())
    }

    fn ask(&mut self, shape: &Json, values: &[Value]) -> Vec<Vec<String>> {
        self.try_ask(shape, values)
            .unwrap_or_else(|error| panic!("{error}\n{shape}\n{}", self.plan(shape).sql))
    }

    /// The numbers of the rows of a table that satisfy a condition.
    fn found(&mut self, table: u64, condition: Json, values: &[Value]) -> Vec<i64> {
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
    fn value(&mut self, expr: Json, ty: &str, values: &[Value]) -> Result<String, String> {
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
fn given(plan: &Plan, values: &[Value]) -> Vec<Value> {
    let one = |bind: &BindSlot| match (&values[bind.param], bind.transform) {
        (Value::Bytes(bytes), transform) if transform != Transform::None => {
            let text = std::str::from_utf8(bytes).unwrap();
            Value::Bytes(transform.apply(text).as_bytes().to_vec())
        }
        (value, _) => value.clone(),
    };
    plan.binds.iter().map(one).collect()
}

fn text(text: &str) -> Value {
    Value::Bytes(text.into())
}

fn list(items: &Json) -> Value {
    text(&items.to_string())
}

#[test]
fn every_case_is_prepared_with_as_many_parameters_as_slots() {
    let mut place = Place::new("prepare");
    let (mut prepared, mut refused) = (0, Vec::new());
    for group in groups() {
        for case in &group.cases {
            let name = format!("{} / {}", group.name, case.name);
            let plan = match place.try_plan(&case.shape) {
                Ok(plan) => plan,
                Err(CompileError::NotSupported { .. }) => {
                    refused.push(name);
                    continue;
                }
                Err(error) => panic!("{name}: {error}"),
            };
            let sql = place.placed(&plan.sql);
            let found = place.client.prepare(&sql);
            let found = found.unwrap_or_else(|error| panic!("{name}: {error}\n{sql}"));
            assert_eq!(found.params, plan.binds.len(), "{name}\n{sql}");
            // MariaDB tells the columns of RETURNING only when the statement runs.
            if plan.kind == StatementKind::Select {
                assert_eq!(found.columns, plan.columns.len(), "{name}\n{sql}");
            }
            prepared += 1;
        }
    }
    assert!(prepared > 200, "{prepared}");
    let mut expected = vec![
        "select / lock for no key update",
        "update / returning",
        "compare / json less",
        "arithmetic / decimal pow",
        "verbatim / update",
        "array / overlap of networks",
        "conflict / by the key, which is given",
        "conflict / by another key than the given one",
        "conflict / ignored, the new rows returned",
    ];
    if !place.mariadb() {
        expected.extend([
            "insert / returning",
            "upsert / returning",
            "delete / rows of a list, returning",
            "delete / returning",
            "verbatim / insert",
        ]);
    }
    expected.sort_unstable();
    refused.sort_unstable();
    assert_eq!(refused, expected);
}

#[test]
fn every_document_is_created_and_dropped() {
    let mut place = Place::new("documents");
    let target = place.server;
    let own = format!("{}_document", place.name);
    for (name, doc) in documents() {
        let doc = SchemaDoc::from_json(&doc.to_string()).unwrap();
        let create = match create_statements(&doc, target) {
            Ok(create) => create,
            Err(CompileError::NotSupported { .. }) => continue,
            Err(error) => panic!("{name}: {error}"),
        };
        for sql in [format!("CREATE DATABASE {own}"), format!("USE {own}")] {
            place.run(&sql).unwrap();
        }
        for sql in create
            .into_iter()
            .chain(drop_statements(&doc, target).unwrap())
        {
            place
                .run(&sql)
                .unwrap_or_else(|error| panic!("{name}: {error}\n{sql}"));
        }
        assert!(place.client.rows("SHOW TABLES").is_empty(), "{name}");
        place.run(&format!("DROP DATABASE {own}")).unwrap();
    }
}

/// Texts of which each breaks another wrong way of searching.
const TEXTS: [&str; 34] = [
    "plain",
    "Plain",
    "PLAIN",
    "100%",
    "100x",
    "a_b",
    "axb",
    "a\\b",
    "back\\",
    "what?",
    "star*",
    "[abc]",
    "ÄÖÜ",
    "äöü",
    "Straße",
    "STRASSE",
    "Σίσυφος",
    "ΣΊΣΥΦΟΣ",
    "ЖУК",
    "жук",
    "İstanbul",
    "𐐀",
    "𐐨",
    "e\u{301}",
    "é",
    "it's \"quoted\"",
    "",
    " ",
    "plain ",
    "line\nbreak",
    "xȺyz",
    "XⱥYZ",
    "ȾȾȾȾ",
    "ⱦⱦⱦⱦ",
];
const PARTS: [&str; 37] = [
    "", "plain", "PLAIN", "Pla", "%", "0%", "_", "a_", "\\", "\\b", "?", "*", "[", "[a", "]", "ä",
    "Ä", "öÜ", "ß", "SS", "жУк", "σ", "Σ", "ΟΣ", "𐐀", "𐐨", "\u{301}", "e", "'", "\"", "\n", " ",
    "i", "İ", "Ⱥ", "ⱥy", "ȾȾ",
];

/// Letter by letter: neither server knows that a sigma at the end of a word is
/// another one. All else is as in Python.
fn lower(text: &str) -> String {
    text.chars().flat_map(char::to_lowercase).collect()
}

/// Searches that ignore case know one sigma.
fn folded(text: &str) -> String {
    lower(text).replace('ς', "σ")
}

fn matches(op: &str, text: &str, part: &str) -> bool {
    match op {
        "contains" => text.contains(part),
        "startswith" => text.starts_with(part),
        "endswith" => text.ends_with(part),
        "exact" => text == part,
        "icontains" => folded(text).contains(&folded(part)),
        "istartswith" => folded(text).starts_with(&folded(part)),
        "iendswith" => folded(text).ends_with(&folded(part)),
        _ => folded(text) == folded(part),
    }
}

const LITERAL: [&str; 8] = [
    "contains",
    "startswith",
    "endswith",
    "exact",
    "icontains",
    "istartswith",
    "iendswith",
    "iexact",
];

fn lookup(op: &str, field: &str, needle: Json) -> Json {
    match op {
        "exact" => json!(["cmp", "eq", col(field), needle]),
        _ => json!(["match", op, col(field), needle]),
    }
}

#[test]
fn texts_are_found_as_python_finds_them() {
    let mut place = Place::new("texts");
    // Whatever the connection's collation is.
    let names = "SET NAMES utf8mb4 COLLATE utf8mb4_unicode_ci";
    for (field, session) in [("word", "DO 0"), ("body", names)] {
        place.run(session).unwrap();
        place.run("DELETE FROM sample").unwrap();
        let insert = json!([
            "insert",
            6,
            ["id", field],
            ["values", [param("big_integer"), param("text")]],
            null,
            []
        ]);
        for (n, each) in (1_i64..).zip(TEXTS) {
            place.ask(&insert, &[n.into(), text(each)]);
        }
        let expected = |test: &dyn Fn(&str) -> bool| -> Vec<i64> {
            let texts = (1..).zip(TEXTS);
            texts.filter(|(_, t)| test(t)).map(|(n, _)| n).collect()
        };
        for op in LITERAL {
            for part in PARTS {
                let found = place.found(6, lookup(op, field, param("text")), &[text(part)]);
                let wanted = expected(&|t| matches(op, t, part));
                assert_eq!(found, wanted, "{field} {op} {part:?}");
            }
            // The pattern may be a column as well, and is as literal then.
            let found = place.found(6, lookup(op, field, col(field)), &[]);
            assert_eq!(found.len(), TEXTS.len(), "{field} {op} itself");
        }
        for (op, pattern, wanted) in [
            ("like", "100%", &["100%", "100x"][..]),
            ("like", "100\\%", &["100%"]),
            ("like", "a_b", &["a_b", "axb", "a\\b"]),
            ("like", "a\\_b", &["a_b"]),
            ("like", "a\\\\b", &["a\\b"]),
            ("like", "plain", &["plain"]),
            ("like", "_", &["𐐀", "𐐨", "é", " "]),
            ("like", "line%break", &["line\nbreak"]),
            ("like", "", &[""]),
            ("ilike", "p%N", &["plain", "Plain", "PLAIN"]),
            ("ilike", "ä_ü", &["ÄÖÜ", "äöü"]),
            ("ilike", "жук", &["ЖУК", "жук"]),
            ("regex", "^[pP]lain$", &["plain", "Plain"]),
            ("regex", "^a.b$", &["a_b", "axb", "a\\b"]),
            ("regex", "[0-9]+%", &["100%"]),
            ("regex", "^.$", &["𐐀", "𐐨", "é", " "]),
            ("iregex", "^plain$", &["plain", "Plain", "PLAIN"]),
            ("iregex", "^жук$", &["ЖУК", "жук"]),
        ] {
            let found = place.found(6, lookup(op, field, param("text")), &[text(pattern)]);
            assert_eq!(
                found,
                expected(&|t| wanted.contains(&t)),
                "{field} {op} {pattern:?}"
            );
        }
        let error = place.try_ask(
            &json!([
                "select",
                6,
                ["id"],
                lookup("regex", field, param("text")),
                [],
                "",
                "",
                "",
                "rows"
            ]),
            &[text("(")],
        );
        error.unwrap_err();
    }
}

#[test]
fn functions_of_texts_know_all_of_unicode() {
    let mut place = Place::new("cases");
    place.run("INSERT INTO sample (id) VALUES (1)").unwrap();
    let apply = |place: &mut Place, name: &str, given: &str| {
        let shape = json!(["func", name, param("text")]);
        place.value(shape, "text", &[text(given)]).unwrap()
    };
    for given in TEXTS {
        assert_eq!(apply(&mut place, "lower", given), lower(given), "{given:?}");
        // Letters that become several are left as they are.
        let upper: String = given
            .chars()
            .flat_map(|c| match c.to_uppercase().len() {
                1 => c.to_uppercase().collect::<Vec<_>>(),
                _ => vec![c],
            })
            .collect();
        assert_eq!(apply(&mut place, "upper", given), upper, "{given:?}");
        let length = place.value(
            json!(["func", "length", param("text")]),
            "big_integer",
            &[text(given)],
        );
        assert_eq!(
            length.unwrap(),
            given.chars().count().to_string(),
            "{given:?}"
        );
    }
    // Letters whose upper-case form is longer.
    assert_eq!(apply(&mut place, "upper", "aɐbɒcɫd"), "AⱯBⱰCⱢD");
    assert_eq!(apply(&mut place, "trim", "  a b \t "), "a b \t");
    let replace = json!([
        "func",
        "replace",
        param("text"),
        param("text"),
        param("text")
    ]);
    let replaced = place.value(replace, "text", &[text("aAa"), text("a"), text("\\'")]);
    assert_eq!(replaced.unwrap(), "\\'A\\'");
    let concat = json!(["func", "concat", param("text"), ["null"]]);
    assert_eq!(place.value(concat, "text", &[text("a")]).unwrap(), "NULL");
}

fn in_list(field: &str, ty: &Json) -> Json {
    json!(["in", col(field), param(json!(["array", ty]))])
}

fn not_in(field: &str, ty: &Json) -> Json {
    json!(["not_in", col(field), param(json!(["array", ty]))])
}

/// The way to a table's rows that the server chose.
fn access(place: &mut Place, sql: &str, values: &[Value]) -> Vec<(String, String)> {
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

#[test]
fn values_are_found_in_lists_exactly() {
    let mut place = Place::new("lists");
    place
        .run(
            "INSERT INTO sample (id, number, small, single, score, money, total, word, line, body, at, day, hour, span, \
             `key`, data, doc, words, mood, flag) VALUES \
             (1, -9223372036854775808, -32768, 0.1, 0.1, 1.50, 0.1, 'a', 'a', 'a', '2020-02-29 23:59:59.000001', \
             '0001-01-01', '23:59:59.999999', -1, '00000000-0000-0000-0000-00000000000a', x'00ff', '{\"a\": [1, \"x\"], \"b\": null}', \
             '[\"x\", null]', 'it''s ok', TRUE), \
             (2, 9223372036854775807, 32767, 1e10, 1e300, 99999999.99, 12345678901234567890123456789012345.000000000000000000000000000001, \
             'A ', 'A ', 'A ', '9999-12-31 23:59:59.999999', '9999-12-31', '00:00:00', 1, 'ffffffff-ffff-ffff-ffff-ffffffffffff', \
             x'', '[]', '[]', 'sad', FALSE), \
             (3, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)",
        )
        .unwrap();
    let long = "x".repeat(600);
    let decimal = json!(["decimal", 10, 2]);
    // What is in the list, and which rows that is.
    for (field, ty, items, wanted) in [
        (
            "number",
            json!("big_integer"),
            json!([i64::MIN, 5]),
            &[1][..],
        ),
        (
            "number",
            json!("big_integer"),
            json!([i64::MAX, i64::MAX - 1]),
            &[2],
        ),
        (
            "small",
            json!("small_integer"),
            json!([-32768, 70000]),
            &[1],
        ),
        ("single", json!("real"), json!([0.1]), &[1]),
        ("score", json!("double"), json!([0.1, 1e300]), &[1, 2]),
        (
            "score",
            json!("double"),
            json!([0.100_000_000_000_000_02]),
            &[],
        ),
        ("money", decimal.clone(), json!(["1.5", "1"]), &[1]),
        (
            "money",
            decimal.clone(),
            json!(["1.504", "99999999.989", "1.495"]),
            &[],
        ),
        ("total", json!("decimal"), json!(["0.10"]), &[1]),
        (
            "total",
            json!("decimal"),
            json!(["12345678901234567890123456789012345.000000000000000000000000000001"]),
            &[2],
        ),
        (
            "total",
            json!("decimal"),
            json!(["12345678901234567890123456789012345"]),
            &[],
        ),
        ("word", json!("text"), json!(["a", "A"]), &[1]),
        ("word", json!("text"), json!(["A ", long]), &[2]),
        ("line", json!("text"), json!(["a", "A", long]), &[1]),
        ("body", json!("text"), json!(["a ", "A "]), &[2]),
        (
            "at",
            json!("date_time"),
            json!(["2020-02-29 23:59:59.000001", "2020-02-29 23:59:59"]),
            &[1],
        ),
        (
            "at",
            json!("date_time_utc"),
            json!(["9999-12-31 23:59:59.999999"]),
            &[2],
        ),
        ("day", json!("date"), json!(["0001-01-01"]), &[1]),
        (
            "hour",
            json!("time"),
            json!(["23:59:59.999999", "00:00:00"]),
            &[1, 2],
        ),
        ("hour", json!("time"), json!(["23:59:59.999998"]), &[]),
        ("span", json!("timedelta"), json!([-1]), &[1]),
        (
            "key",
            json!("uuid"),
            json!(["00000000-0000-0000-0000-00000000000a"]),
            &[1],
        ),
        ("data", json!("blob"), json!(["00ff"]), &[1]),
        ("data", json!("blob"), json!([""]), &[2]),
        ("mood", cases::mood(), json!(["it's ok", "glad"]), &[1]),
        ("flag", json!("boolean"), json!([true]), &[1]),
        (
            "doc",
            json!("json"),
            json!([{"b": null, "a": [1, "x"]}]),
            &[1],
        ),
        ("doc", json!("json"), json!([[], {"a": [1, "X"]}]), &[2]),
        (
            "words",
            json!(["array", "text"]),
            json!([["x", null], ["y"]]),
            &[1],
        ),
    ] {
        if field == "doc" && !place.mariadb() {
            // The order of a document's keys means nothing to its JSON type.
        } else if field == "doc" && place.server.version < oxyde_sql::Version(10, 7, 0) {
            continue;
        }
        let given = [list(&items)];
        let none: Vec<i64> = [1, 2]
            .into_iter()
            .filter(|id| !wanted.contains(id))
            .collect();
        for (condition, expected) in [
            (in_list(field, &ty), wanted.to_vec()),
            // NULL is neither in a list nor not in it.
            (not_in(field, &ty), none.clone()),
            (json!(["not", in_list(field, &ty)]), none.clone()),
            (json!(["not", not_in(field, &ty)]), wanted.to_vec()),
            // Where rows cannot be looked up.
            (
                json!(["or", in_list(field, &ty), ["false"]]),
                wanted.to_vec(),
            ),
            (
                json!(["and", in_list(field, &ty), ["true"]]),
                wanted.to_vec(),
            ),
            (
                json!(["or", not_in(field, &ty), ["is_null", col(field)]]),
                none.iter().copied().chain([3]).collect(),
            ),
        ] {
            let found = place.found(6, condition.clone(), &given);
            assert_eq!(found, expected, "{condition} {items}");
        }
        let empty = [list(&json!([]))];
        assert_eq!(
            place.found(6, in_list(field, &ty), &empty),
            [0; 0],
            "{field}"
        );
        assert_eq!(
            place.found(6, not_in(field, &ty), &empty),
            [1, 2, 3],
            "{field}"
        );
    }
    let lowered = json!([
        "in",
        ["func", "lower", col("word")],
        param(json!(["array", "text"]))
    ]);
    assert_eq!(place.found(6, lowered, &[list(&json!(["a "]))]), [2]);
    // What has no place in a decimal of these servers is an error, not another number.
    if !place.mariadb() {
        let wide = json!(["1234567890123456789012345678901234567"]);
        let shape = json!([
            "select",
            6,
            ["id"],
            in_list("total", &json!("decimal")),
            [],
            "",
            "",
            "",
            "rows"
        ]);
        place.try_ask(&shape, &[list(&wide)]).unwrap_err();
    }
}

#[test]
fn lists_use_indexes_and_are_read_once() {
    let mut place = Place::new("access");
    place
        .run(
            "INSERT INTO sample (word, number, line, data) WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n \
             WHERE i < 900) SELECT CONCAT('w', i), i, CONCAT('l', i), UNHEX(LPAD(HEX(i), 6, '0')) FROM n",
        )
        .unwrap();
    for sql in [
        "ALTER TABLE sample ADD KEY (word), ADD KEY (number), ADD KEY (line)",
        "ANALYZE TABLE sample",
    ] {
        place.run(sql).unwrap();
    }
    let texts = json!("text");
    let integers = json!("big_integer");
    for (field, ty, items) in [
        ("id", &integers, json!([1, 2])),
        ("number", &integers, json!([1, 2])),
        ("word", &texts, json!(["w1", "w2"])),
        ("line", &texts, json!(["l1", "l2"])),
    ] {
        let condition = json!(["and", in_list(field, ty), ["is_not_null", col("id")]]);
        let statements = [
            json!(["select", 6, ["body"], condition, [], "", "", "", "rows"]),
            json!(["update", 6, [["body", ["null"]]], condition, []]),
            json!(["delete", 6, condition, []]),
        ];
        for shape in statements {
            let plan = place.plan(&shape);
            let found = access(&mut place, &plan.sql, &[list(&items)]);
            let looked_up = found.iter().any(|(_, way)| way == "ref" || way == "eq_ref");
            assert!(looked_up, "{field}: {found:?}\n{}", plan.sql);
        }
    }
    // A list is never gone through for every row again.
    for (field, ty, items) in [
        ("number", &integers, json!([1, 2])),
        ("word", &texts, json!(["w1"])),
        ("line", &texts, json!(["l1"])),
        ("body", &texts, json!(["l1"])),
        ("data", &json!("blob"), json!(["000001"])),
        ("total", &json!("decimal"), json!(["1"])),
        ("money", &json!("decimal"), json!(["1"])),
        ("at", &json!("date_time"), json!(["2020-01-01 00:00:00"])),
        ("day", &json!("date"), json!(["2020-01-01"])),
        ("hour", &json!("time"), json!(["00:00:00"])),
        (
            "key",
            &json!("uuid"),
            json!(["00000000-0000-0000-0000-00000000000a"]),
        ),
        ("mood", &cases::mood(), json!(["sad"])),
        ("score", &json!("double"), json!([0.5])),
        ("single", &json!("real"), json!([0.5])),
    ] {
        let other = json!(["cmp", "eq", col("small"), param("small_integer")]);
        for condition in [
            json!(["or", other, in_list(field, ty)]),
            json!(["and", other, not_in(field, ty)]),
        ] {
            for shape in [
                json!(["select", 6, ["id"], condition, [], "", "", "", "rows"]),
                json!(["delete", 6, condition, []]),
            ] {
                let plan = place.plan(&shape);
                let values = given(&plan, &[1.into(), list(&items)]);
                let found = access(&mut place, &plan.sql, &values);
                let anew = found.iter().any(|(kind, _)| kind.starts_with("DEPENDENT"));
                assert!(!anew, "{field}: {found:?}\n{}", plan.sql);
            }
        }
    }
}

#[test]
fn lists_may_be_long() {
    let mut place = Place::new("long_lists");
    place
        .run(
            "INSERT INTO sample (word, number) WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n \
             WHERE i < 900) SELECT CONCAT('w', i), i FROM n",
        )
        .unwrap();
    let numbers: Json = (500..60_500).collect();
    let words: Json = (500..60_500).map(|n| format!("w{n}")).collect();
    let started = std::time::Instant::now();
    for (field, ty, items) in [
        ("number", "big_integer", &numbers),
        ("word", "text", &words),
    ] {
        for (condition, expected) in [
            (in_list(field, &json!(ty)), 401),
            (not_in(field, &json!(ty)), 499),
            (
                json!(["or", in_list(field, &json!(ty)), ["is_null", col("id")]]),
                401,
            ),
        ] {
            let found = place.found(6, condition, &[list(items)]);
            assert_eq!(found.len(), expected, "{field}");
        }
    }
    // Each row's own walk through the list would take minutes.
    assert!(started.elapsed().as_secs() < 30, "{:?}", started.elapsed());
}

#[test]
fn texts_under_other_collations_are_found_by_the_very_text() {
    let mut place = Place::new("collations");
    place
        .run(
            "INSERT INTO other (loose, latin) VALUES ('abc', 'abc'), ('ABC', 'ABC'), ('abc ', 'abc '), ('é', 'é'), \
             ('e', 'e'), ('名', 'x'), (NULL, NULL)",
        )
        .unwrap();
    place
        .run("INSERT INTO other (loose) WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 500) SELECT CONCAT('n', i) FROM n")
        .unwrap();
    for sql in [
        "ALTER TABLE other ADD KEY (loose), ADD KEY (latin)",
        "ANALYZE TABLE other",
    ] {
        place.run(sql).unwrap();
    }
    for field in ["loose", "latin"] {
        let eq = json!(["cmp", "eq", col(field), param("text")]);
        assert_eq!(place.found(7, eq.clone(), &[text("abc")]), [1], "{field}");
        assert_eq!(place.found(7, eq, &[text("é")]), [4], "{field}");
        let few = json!([
            "between",
            col("id"),
            param("big_integer"),
            param("big_integer")
        ]);
        let ne = json!(["and", few, ["cmp", "ne", col(field), param("text")]]);
        let found = place.found(7, ne, &[1.into(), 7.into(), text("abc")]);
        assert_eq!(found, [2, 3, 4, 5, 6], "{field}");
        let among = in_list(field, &json!("text"));
        let items = [list(&json!(["abc", "é", "E"]))];
        assert_eq!(place.found(7, among.clone(), &items), [1, 4], "{field}");
        let nested = json!(["or", among, ["false"]]);
        assert_eq!(place.found(7, nested, &items), [1, 4], "{field}");
        let few = json!([
            "between",
            col("id"),
            param("big_integer"),
            param("big_integer")
        ]);
        let without = json!(["and", few, not_in(field, &json!("text"))]);
        let given = [1.into(), 7.into(), items[0].clone()];
        assert_eq!(place.found(7, without, &given), [2, 3, 5, 6], "{field}");
        for (op, part, wanted) in [
            ("contains", "b", &[1, 3][..]),
            ("startswith", "AB", &[2]),
            ("icontains", "B", &[1, 2, 3]),
            ("iexact", "É", &[4]),
        ] {
            let condition = json!([
                "and",
                [
                    "between",
                    col("id"),
                    param("big_integer"),
                    param("big_integer")
                ],
                lookup(op, field, param("text"))
            ]);
            let found = place.found(7, condition, &[1.into(), 7.into(), text(part)]);
            assert_eq!(found, wanted, "{field} {op}");
        }
        let lowered = json!(["cmp", "eq", ["func", "lower", col(field)], param("text")]);
        assert_eq!(place.found(7, lowered, &[text("abc")]), [1, 2], "{field}");
    }
    assert_eq!(
        place.found(7, json!(["cmp", "eq", col("loose"), col("latin")]), &[]),
        [1, 2, 3, 4, 5]
    );
    for condition in [
        json!(["cmp", "eq", col("loose"), param("text")]),
        in_list("loose", &json!("text")),
    ] {
        let shape = json!(["select", 7, ["id"], condition, [], "", "", "", "rows"]);
        let plan = place.plan(&shape);
        let value = if condition[0] == "in" {
            list(&json!(["abc", "x"]))
        } else {
            text("abc")
        };
        let values = given(&plan, &[value]);
        let found = access(&mut place, &plan.sql, &values);
        let looked_up = found.iter().any(|(_, way)| way == "ref" || way == "eq_ref");
        assert!(looked_up, "{found:?}\n{}", plan.sql);
    }
}

#[test]
fn columns_of_existing_tables_compare_as_they_should() {
    let mut place = Place::new("existing");
    place
        .run("INSERT INTO other (single, bits, tiny, huge) VALUES (0.1, x'00ff00', 255, 18446744073709551615), (0.5, x'00', 0, 0)")
        .unwrap();
    let eq = |field: &str, ty: &str| json!(["cmp", "eq", col(field), param(ty)]);
    let found = place.found(7, eq("single", "double"), &[Value::Double(0.1)]);
    assert_eq!(
        found,
        [1],
        "a float of 32 bits is found by the number it was made of"
    );
    let between = json!(["between", col("single"), param("double"), param("double")]);
    assert_eq!(
        place.found(7, between, &[Value::Double(0.1), Value::Double(0.1)]),
        [1]
    );
    let among = in_list("single", &json!("double"));
    assert_eq!(place.found(7, among, &[list(&json!([0.1, 0.7]))]), [1]);
    let bytes = Value::Bytes(vec![0, 255, 0]);
    assert_eq!(place.found(7, eq("bits", "blob"), &[bytes]), [1]);
    let among = in_list("bits", &json!("blob"));
    assert_eq!(
        place.found(7, among, &[list(&json!(["00ff00", "01"]))]),
        [1]
    );
    // Unsigned numbers: what lies below zero is a number, what has no place is an error.
    let less = json!([
        "cmp",
        "lt",
        ["arith", "sub", col("tiny"), param("integer")],
        param("integer")
    ]);
    assert_eq!(place.found(7, less, &[1.into(), 0.into()]), [2]);
    let less = json!(["cmp", "gt", col("huge"), param("big_integer")]);
    assert_eq!(place.found(7, less, &[i64::MAX.into()]), [1]);
    let more = json!([
        "select",
        7,
        [[
            "expr",
            "v",
            ["arith", "add", col("huge"), param("big_integer")],
            "big_integer"
        ]],
        null,
        [],
        "",
        "",
        "",
        "rows"
    ]);
    assert!(
        place
            .try_ask(&more, &[1.into()])
            .unwrap_err()
            .starts_with("1690 22003")
    );
}

#[test]
fn members_of_arrays_are_found() {
    let mut place = Place::new("members");
    place
        .run(
            "INSERT INTO sample (id, words, numbers, amounts) VALUES (1, '[\"a\", \"B \", null]', '[1, 9007199254740993]', '[\"1.5\"]'), \
             (2, '[]', '[]', '[]'), (3, '[null]', '[null]', '[null]'), (4, NULL, NULL, NULL), \
             (5, '[\"\\\\u0041\"]', '[9007199254740992]', '[\"1.50\"]')",
        )
        .unwrap();
    let condition = |op: &str, field: &str, ty: &str| {
        json!(["array", op, col(field), param(json!(["array", ty]))])
    };
    for (op, field, ty, items, wanted, unwanted) in [
        (
            "contains",
            "words",
            "text",
            json!(["a"]),
            &[1][..],
            &[2, 3, 5][..],
        ),
        (
            "contains",
            "words",
            "text",
            json!(["a", "B "]),
            &[1],
            &[2, 3, 5],
        ),
        ("contains", "words", "text", json!(["A"]), &[5], &[1, 2, 3]),
        (
            "contains",
            "words",
            "text",
            json!(["B"]),
            &[],
            &[1, 2, 3, 5],
        ),
        ("contains", "words", "text", json!([]), &[1, 2, 3, 5], &[]),
        (
            "contains",
            "words",
            "text",
            json!([null]),
            &[],
            &[1, 2, 3, 5],
        ),
        (
            "contained_by",
            "words",
            "text",
            json!(["a", "B ", "A"]),
            &[2, 5],
            &[1, 3],
        ),
        ("contained_by", "words", "text", json!([]), &[2], &[1, 3, 5]),
        (
            "overlap",
            "words",
            "text",
            json!(["x", "a"]),
            &[1],
            &[2, 3, 5],
        ),
        (
            "overlap",
            "words",
            "text",
            json!([null, "x"]),
            &[],
            &[1, 2, 3, 5],
        ),
        (
            "overlap",
            "words",
            "text",
            json!([null, "a"]),
            &[1],
            &[2, 3, 5],
        ),
        (
            "contains",
            "numbers",
            "big_integer",
            json!([9_007_199_254_740_993_i64]),
            &[1],
            &[2, 3, 5],
        ),
        (
            "overlap",
            "numbers",
            "big_integer",
            json!([9_007_199_254_740_992_i64]),
            &[5],
            &[1, 2, 3],
        ),
    ] {
        let found = place.found(6, condition(op, field, ty), &[list(&items)]);
        assert_eq!(found, wanted, "{op} {items}");
        let negated = json!(["not", condition(op, field, ty)]);
        let found = place.found(6, negated, &[list(&items)]);
        assert_eq!(found, unwanted, "not {op} {items}");
    }
    let item = |field: &str, ty: &str| {
        json!([
            "cmp",
            "eq",
            ["item", col(field), param("big_integer")],
            param(ty)
        ])
    };
    assert_eq!(
        place.found(6, item("words", "text"), &[1.into(), text("B ")]),
        [1]
    );
    assert_eq!(
        place.found(6, item("words", "text"), &[1.into(), text("b ")]),
        [0; 0]
    );
    assert_eq!(
        place.found(6, item("words", "text"), &[9.into(), text("a")]),
        [0; 0]
    );
    let big = 9_007_199_254_740_993_i64;
    assert_eq!(
        place.found(6, item("numbers", "big_integer"), &[1.into(), big.into()]),
        [1]
    );
    let length = json!([
        "cmp",
        "eq",
        ["func", "length", col("words")],
        param("big_integer")
    ]);
    assert_eq!(place.found(6, length, &[1.into()]), [3, 5]);
}

#[test]
fn documents_are_equal_whatever_their_spelling() {
    let mut place = Place::new("documents_equal");
    let insert = json!(["insert", 6, ["doc"], ["values", [param("json")]], null, []]);
    for doc in [
        "{\"a\": 1, \"b\": [true, null]}",
        "{ \"b\":[true,null] , \"a\":1 }",
        "{\"a\": 9007199254740993}",
        "{\"a\": 9007199254740992}",
        "\"a\"",
        "\"A\"",
        "\"a \"",
    ] {
        place.ask(&insert, &[text(doc)]);
    }
    let eq = || json!(["cmp", "eq", col("doc"), param("json")]);
    for (doc, wanted) in [
        ("{\"b\": [true, null], \"a\": 1}", &[1, 2][..]),
        ("{\"a\":9007199254740993}", &[3]),
        ("\"a\"", &[5]),
        ("[]", &[]),
    ] {
        if place.mariadb()
            && place.server.version < oxyde_sql::Version(10, 7, 0)
            && wanted.len() > 1
        {
            continue;
        }
        assert_eq!(place.found(6, eq(), &[text(doc)]), wanted, "{doc}");
        let ne = json!(["cmp", "ne", col("doc"), param("json")]);
        let others: Vec<i64> = (1..=7).filter(|n| !wanted.contains(n)).collect();
        assert_eq!(place.found(6, ne, &[text(doc)]), others, "{doc}");
    }
}

/// An expression over one row, its operands given as SQL: `a` in the column, `b`
/// as a parameter of the type that the literal has.
fn computed(place: &mut Place, op: &str, field: &str, a: &str, b: &str) -> Result<String, String> {
    let ty = match field {
        "number" => "big_integer",
        "score" => "double",
        _ => "decimal",
    };
    place.run("DELETE FROM sample").unwrap();
    place
        .run(&format!("INSERT INTO sample (id, {field}) VALUES (1, {a})"))
        .unwrap();
    let out = json!(["expr", "value", ["arith", op, col(field), param(ty)], ty]);
    let plan = place.plan(&json!(["select", 6, [out], null, [], "", "", "", "rows"]));
    place.run(&format!("SET @b = {b}")).unwrap();
    place
        .run(&format!(
            "PREPARE s FROM '{}'",
            plan.sql.replace('\'', "''")
        ))
        .unwrap();
    let using = vec!["@b"; plan.binds.len()].join(", ");
    let rows = place.client.run(&format!("EXECUTE s USING {using}"))?;
    Ok(shown(rows[0].clone().unwrap().remove(0)))
}

/// Without zeros at the end, which a decimal of these servers has.
fn trimmed(text: &str) -> &str {
    match text.contains('.') && !text.contains('e') {
        true => text.trim_end_matches('0').trim_end_matches('.'),
        false => text,
    }
}

#[test]
fn arithmetic_is_pythons() {
    let mut place = Place::new("arithmetic");
    // Python 3.11's answers.
    for (a, b, quotient, remainder) in [
        ("7", "2", "3", "1"),
        ("-7", "2", "-4", "1"),
        ("7", "-2", "-4", "-1"),
        ("-7", "-2", "3", "-1"),
        ("6", "-3", "-2", "0"),
        ("-9223372036854775808", "3", "-3074457345618258603", "1"),
        ("9223372036854775807", "-2", "-4611686018427387904", "-1"),
    ] {
        let place = &mut place;
        assert_eq!(
            computed(place, "floordiv", "number", a, b).unwrap(),
            quotient,
            "{a} // {b}"
        );
        assert_eq!(
            computed(place, "mod", "number", a, b).unwrap(),
            remainder,
            "{a} % {b}"
        );
    }
    for (a, b, quotient, remainder) in [
        ("1.0e0", "0.1e0", 9.0, 0.099_999_999_999_999_95),
        ("-1.0e0", "0.1e0", -10.0, 5.551_115_123_125_783e-17),
        ("1.0e0", "-0.1e0", -10.0, -5.551_115_123_125_783e-17),
        ("5.5e0", "2e0", 2.0, 1.5),
        ("-5.5e0", "2e0", -3.0, 0.5),
        ("5.5e0", "-2e0", -3.0, -0.5),
        ("1e300", "3e0", 3.333_333_333_333_333_5e299, 0.0),
    ] {
        let place = &mut place;
        let found: f64 = computed(place, "floordiv", "score", a, b)
            .unwrap()
            .parse()
            .unwrap();
        assert_eq!(found, quotient, "{a} // {b}");
        let found: f64 = computed(place, "mod", "score", a, b)
            .unwrap()
            .parse()
            .unwrap();
        assert_eq!(found, remainder, "{a} % {b}");
    }
    // Python's Decimal rounds towards zero.
    for (op, a, b, answer) in [
        ("floordiv", "-7.5", "2.0", "-3"),
        ("mod", "-7.5", "2.0", "-1.5"),
        ("mod", "7.5", "-2.0", "1.5"),
        ("div", "1.0", "3.0", "0.333333333333333333333"),
        ("div", "10.0", "4", "2.5"),
        ("add", "0.1", "0.20", "0.3"),
        (
            "mul",
            "0.000000000000001",
            "0.000000000000001",
            "0.000000000000000000000000000001",
        ),
        (
            "sub",
            "99999999999999999999999999999999999.999999999999999999999999999999",
            "0.000000000000000000000000000001",
            "99999999999999999999999999999999999.999999999999999999999999999998",
        ),
    ] {
        let found = computed(&mut place, op, "total", a, b).unwrap();
        let found = trimmed(&found);
        let same = if op == "div" {
            found.starts_with(answer)
        } else {
            found == answer
        };
        assert!(same, "{a} {op} {b} = {found}, not {answer}");
    }
    for (op, field, a, b) in [
        ("div", "number", "7", "2"),
        ("div", "number", "-7", "2"),
        ("pow", "number", "2", "10"),
        ("pow", "score", "2", "0.5e0"),
    ] {
        let found: f64 = computed(&mut place, op, field, a, b)
            .unwrap()
            .parse()
            .unwrap();
        let (a, b): (f64, f64) = (a.parse().unwrap(), b.parse().unwrap());
        let answer = if op == "pow" { a.powf(b) } else { a / b };
        assert_eq!(found, answer, "{a} {op} {b}");
    }
    for op in ["div", "floordiv", "mod"] {
        for (field, zero) in [("number", "0"), ("score", "0e0"), ("total", "0.0")] {
            let found = computed(&mut place, op, field, "1", zero);
            let Err(error) = found else {
                panic!("{op} of {field}: {found:?}");
            };
            assert!(error.contains("division by zero"), "{op}: {error}");
        }
    }
    for (op, field, a, b) in [
        ("add", "number", "9223372036854775807", "1"),
        ("mul", "number", "-9223372036854775808", "2"),
        ("floordiv", "number", "-9223372036854775808", "-1"),
        ("mul", "score", "1e308", "10e0"),
        ("pow", "score", "1e308", "2e0"),
        ("pow", "score", "-8", "0.5e0"),
    ] {
        let error = computed(&mut place, op, field, a, b).unwrap_err();
        assert!(error.starts_with("1690 22003"), "{a} {op} {b}: {error}");
    }
    // In a WHERE, and in an UPDATE, too.
    let condition = json!([
        "cmp",
        "eq",
        ["arith", "mod", col("id"), param("big_integer")],
        param("big_integer")
    ]);
    let shape = json!(["select", 6, ["id"], condition, [], "", "", "", "rows"]);
    assert!(
        place
            .try_ask(&shape, &[0.into(), 0.into()])
            .unwrap_err()
            .contains("division by zero")
    );
    let shape = json!([
        "update",
        6,
        [[
            "number",
            ["arith", "floordiv", col("id"), param("big_integer")]
        ]],
        null,
        []
    ]);
    assert!(
        place
            .try_ask(&shape, &[0.into()])
            .unwrap_err()
            .contains("division by zero")
    );
    let unknown = json!([
        "arith",
        "div",
        ["func", "coalesce", col("number")],
        param("big_integer")
    ]);
    place.run("INSERT INTO sample (id) VALUES (9)").unwrap();
    let shape = json!([
        "select",
        6,
        [["expr", "v", unknown, "double"]],
        ["cmp", "eq", col("id"), param("big_integer")],
        [],
        "",
        "",
        "",
        "rows"
    ]);
    assert_eq!(place.ask(&shape, &[2.into(), 9.into()]), [["NULL"]]);
}

#[test]
fn every_assignment_sees_the_old_row() {
    let mut place = Place::new("assignments");
    let reset = "REPLACE INTO keyed (id, name, a, b) VALUES (1, 'x', 10, 20), (2, 'y', 30, 40)";
    let rows = |place: &mut Place| {
        place
            .rows("SELECT a, b FROM keyed ORDER BY id")
            .concat()
            .join(" ")
    };
    let by_list = || in_list("id", &json!("big_integer"));
    let exchange = json!([["a", col("b")], ["b", col("a")]]);
    let chain = json!([
        ["a", ["arith", "add", col("a"), param("integer")]],
        ["b", col("a")]
    ]);
    let one = || json!(["cmp", "eq", col("id"), param("big_integer")]);
    for (set, filter, values, expected) in [
        (&exchange, json!(null), vec![], "20 10 40 30"),
        (&exchange, one(), vec![2.into()], "10 20 40 30"),
        (
            &exchange,
            by_list(),
            vec![list(&json!([1, 7]))],
            "20 10 30 40",
        ),
        (&chain, json!(null), vec![1.into()], "11 10 31 30"),
        (
            &chain,
            by_list(),
            vec![1.into(), list(&json!([2]))],
            "10 20 31 30",
        ),
    ] {
        place.run(reset).unwrap();
        let shape = json!(["update", 8, set, filter, []]);
        place.ask(&shape, &values);
        assert_eq!(rows(&mut place), expected, "{shape}");
    }
    place.run(reset).unwrap();
    place.ask(&json!(["update", 8, exchange, one(), []]), &[1.into()]);
    assert_eq!(place.client.affected(), 1);
    // Where the row that is there is changed.
    place.run(reset).unwrap();
    let upsert = |set: Json| {
        let values = [param("text"), param("integer"), param("integer")];
        json!([
            "insert",
            8,
            ["name", "a", "b"],
            ["values", values],
            ["update", ["name"], set],
            []
        ])
    };
    let values = [text("x"), 1.into(), 2.into()];
    place.ask(
        &upsert(json!([
            ["a", ["arith", "add", col("a"), ["excluded", "b"]]],
            ["b", col("a")]
        ])),
        &values,
    );
    assert_eq!(rows(&mut place), "12 10 30 40");
    let swap = upsert(json!([["a", col("b")], ["b", col("a")]]));
    if place.mariadb() {
        place.ask(&swap, &values);
        assert_eq!(rows(&mut place), "10 12 30 40");
    } else {
        let error = place.try_plan(&swap).unwrap_err().to_string();
        assert!(
            error.contains("exchanging the values of fields in one statement (a, b)"),
            "{error}"
        );
    }
}

#[test]
fn upserts_look_at_one_key() {
    let mut place = Place::new("upserts");
    place
        .run("INSERT INTO keyed (id, name, a) VALUES (1, 'x', 1), (2, 'y', 2)")
        .unwrap();
    let insert = |fields: Json, conflict: Json| {
        let values: Vec<Json> = fields
            .as_array()
            .unwrap()
            .iter()
            .map(|f| param(if f == "name" { "text" } else { "big_integer" }))
            .collect();
        json!(["insert", 8, fields, ["values", values], conflict, []])
    };
    let stored = |place: &mut Place| {
        let rows = place.rows("SELECT id, name, a FROM keyed ORDER BY id");
        let rows: Vec<String> = rows.iter().map(|row| row.join(" ")).collect();
        rows.join(", ")
    };
    let set_a = json!([["a", ["excluded", "a"]]]);
    place.ask(
        &insert(json!(["name", "a"]), json!(["update", ["name"], set_a])),
        &[text("y"), 7.into()],
    );
    assert_eq!(stored(&mut place), "1 x 1, 2 y 7");
    place.ask(
        &insert(json!(["name", "a"]), json!(["ignore", ["name"]])),
        &[text("x"), 9.into()],
    );
    place.ask(
        &insert(json!(["id", "name"]), json!(["ignore", []])),
        &[2.into(), text("z")],
    );
    assert_eq!(stored(&mut place), "1 x 1, 2 y 7");
    // "Ignore" hides conflicts, and nothing else.
    let long = "x".repeat(31);
    let error = place.try_ask(
        &insert(json!(["name"]), json!(["ignore", []])),
        &[text(&long)],
    );
    assert!(error.unwrap_err().starts_with("1406 22001"));
    for (fields, conflict, message) in [
        (
            json!(["id", "name", "a"]),
            json!(["update", ["id"], set_a]),
            "on_conflict by (id) alone: ON DUPLICATE KEY looks at every unique key of keyed, which also has keyed_name (name)",
        ),
        (
            json!(["id", "name"]),
            json!(["ignore", ["name"]]),
            "on_conflict by (name) alone: ON DUPLICATE KEY looks at every unique key of keyed, which also has the primary key (id)",
        ),
        (
            json!(["name", "a"]),
            json!(["ignore", ["a"]]),
            "conflict_fields (a) are no unique key of keyed",
        ),
        (
            json!(["name", "a"]),
            json!(["update", [], set_a]),
            "needs conflict_fields",
        ),
    ] {
        let error = place
            .try_plan(&insert(fields, conflict))
            .unwrap_err()
            .to_string();
        assert!(error.contains(message), "{error}");
    }
    let mut returning = insert(json!(["name"]), json!(["ignore", []]));
    returning[5] = json!(["id"]);
    let refused = place.try_plan(&returning).unwrap_err();
    assert!(
        matches!(refused, CompileError::NotSupported { .. }),
        "{refused}"
    );
}

#[test]
fn many_rows_are_one_statement() {
    let mut place = Place::new("many");
    let returning = if place.mariadb() {
        json!(["id"])
    } else {
        json!([])
    };
    let shape = json!(["insert", 8, ["name", "a"], ["bulk"], null, returning]);
    let plan = place.plan(&shape);
    let Some(BulkForm::MultiRow { head, row, tail }) = &plan.bulk else {
        panic!("{:?}", plan.bulk);
    };
    let rows = 1000;
    let sql = format!("{head}{}{tail}", vec![row.as_str(); rows].join(", "));
    let values: Vec<Value> = (0..rows)
        .flat_map(|n| [text(&format!("n{n}")), i64::try_from(n).unwrap().into()])
        .collect();
    let answer = place.client.execute(&sql, &values).unwrap();
    let first = place.client.last_insert_id();
    let stored = place.rows("SELECT id, name FROM keyed ORDER BY id");
    assert_eq!(stored.len(), rows);
    for (n, row) in stored.iter().enumerate() {
        assert_eq!(row[1], format!("n{n}"));
    }
    if place.mariadb() {
        let ids: Vec<String> = answer
            .into_iter()
            .map(|row| shown(row[0].clone()))
            .collect();
        assert!(stored.iter().map(|row| &row[0]).eq(&ids));
    } else {
        // The first key and a constant step.
        let step = place.server.mysql.key_step;
        for (row, n) in stored.iter().zip(0..) {
            assert_eq!(row[0], (first + n * step).to_string());
        }
    }
    let defaults = place.plan(&json!(["insert", 8, [], ["bulk"], null, []]));
    let Some(BulkForm::MultiRow { head, row, tail }) = &defaults.bulk else {
        panic!("{:?}", defaults.bulk);
    };
    place
        .run("ALTER TABLE keyed MODIFY name VARCHAR(30) NULL")
        .unwrap();
    place
        .run(&format!("{head}{row}, {row}, {row}{tail}"))
        .unwrap();
    assert_eq!(place.client.affected(), 3);
    place.run(&defaults.sql).unwrap();
    let count = place.rows("SELECT COUNT(*) FROM keyed WHERE name IS NULL");
    assert_eq!(count, [["4"]]);
    // Explicit keys: 0 is one of them.
    place.run("DELETE FROM keyed").unwrap();
    let keys = json!([
        "insert",
        8,
        ["id", "name"],
        ["values", [param("big_integer"), param("text")]],
        null,
        []
    ]);
    place.ask(&keys, &[0.into(), text("zero")]);
    assert_eq!(place.rows("SELECT id FROM keyed"), [["0"]]);
}

#[test]
fn what_returning_there_is_gives_the_rows() {
    let mut place = Place::new("returning");
    if !place.mariadb() {
        return;
    }
    let insert = json!([
        "insert",
        8,
        ["name", "a"],
        ["values", [param("text"), param("integer")]],
        null,
        ["id", "name", "b"]
    ]);
    assert_eq!(
        place.ask(&insert, &[text("x"), 1.into()]),
        [["1", "x", "NULL"]]
    );
    let upsert = json!([
        "insert",
        8,
        ["name", "a"],
        ["values", [param("text"), param("integer")]],
        [
            "update",
            ["name"],
            [["a", ["arith", "add", col("a"), ["excluded", "a"]]]]
        ],
        ["id", "a"]
    ]);
    assert_eq!(place.ask(&upsert, &[text("x"), 5.into()]), [["1", "6"]]);
    let delete = json!([
        "delete",
        8,
        in_list("id", &json!("big_integer")),
        ["id", "name"]
    ]);
    assert_eq!(place.ask(&delete, &[list(&json!([1, 2]))]), [["1", "x"]]);
    assert!(place.rows("SELECT id FROM keyed").is_empty());
}

#[test]
fn what_does_not_fit_is_an_error() {
    let mut place = Place::new("strict");
    let insert =
        |field: &str, ty: Json| json!(["insert", 6, [field], ["values", [param(ty)]], null, []]);
    for (field, ty, value, code) in [
        ("word", json!("text"), text(&"x".repeat(21)), "1406"),
        ("small", json!("integer"), 40_000.into(), "1264"),
        ("money", json!("decimal"), text("123456789.00"), "1264"),
        ("single", json!("double"), Value::Double(1e300), "1264"),
        ("mood", json!("text"), text("Sad"), "1265"),
        ("number", json!("text"), text("12x"), "1265"),
        ("at", json!("text"), text("2020-02-30 00:00:00"), "1292"),
        ("at", json!("text"), text("0000-00-00 00:00:00"), "1292"),
        ("day", json!("text"), text("2020-00-10"), "1292"),
        ("doc", json!("text"), text("{"), ""),
        ("body", json!("text"), Value::Bytes(vec![0xff]), ""),
    ] {
        let error = place.try_ask(&insert(field, ty), &[value]).unwrap_err();
        assert!(error.starts_with(code), "{field}: {error}");
    }
    for sql in [
        "INSERT INTO keyed (a) VALUES (1)",
        "INSERT INTO sample (number) VALUES ('')",
        "UPDATE sample SET word = REPEAT('x', 21), id = 9",
    ] {
        if sql.starts_with("UPDATE") {
            place.run("INSERT INTO sample (id) VALUES (1)").unwrap();
        }
        if sql.contains("keyed") {
            place
                .run("ALTER TABLE keyed MODIFY name VARCHAR(30) NOT NULL")
                .unwrap();
        }
        place.run(sql).unwrap_err();
    }
    // The largest and the smallest that there are.
    for (field, value) in [
        ("at", "0001-01-01 00:00:00.000000"),
        ("at", "9999-12-31 23:59:59.999999"),
        ("day", "0001-01-01"),
        ("hour", "23:59:59.999999"),
        (
            "total",
            "99999999999999999999999999999999999.999999999999999999999999999999",
        ),
    ] {
        place.run("DELETE FROM sample").unwrap();
        place.ask(&insert(field, json!("text")), &[text(value)]);
        assert_eq!(
            place.rows(&format!("SELECT CONCAT({field}) FROM sample")),
            [[value]]
        );
    }
}

#[test]
fn nulls_go_where_they_are_told() {
    let mut place = Place::new("nulls");
    place
        .run("INSERT INTO sample (id, word) VALUES (1, 'b'), (2, NULL), (3, 'a'), (4, 'B')")
        .unwrap();
    for (direction, nulls, expected) in [
        ("asc", json!(null), "2 4 3 1"),
        ("desc", json!(null), "1 3 4 2"),
        ("asc", json!("first"), "2 4 3 1"),
        ("asc", json!("last"), "4 3 1 2"),
        ("desc", json!("first"), "2 1 3 4"),
        ("desc", json!("last"), "1 3 4 2"),
    ] {
        for (distinct, lock) in [("", ""), ("distinct", ""), ("", "update")] {
            let fields = if distinct.is_empty() {
                json!(["id"])
            } else {
                json!(["id", "word"])
            };
            let order = json!([[col("word"), direction, nulls]]);
            let shape = json!([
                "select", 6, fields, null, order, "lo", distinct, lock, "rows"
            ]);
            let rows = place.ask(&shape, &[10.into(), 0.into()]);
            let ids: Vec<&str> = rows.iter().map(|row| row[0].as_str()).collect();
            assert_eq!(ids.join(" "), expected, "{direction} {nulls}");
        }
    }
    let shape = json!([
        "select",
        6,
        ["id"],
        null,
        [[col("id"), "asc", null]],
        "o",
        "",
        "",
        "rows"
    ]);
    assert_eq!(place.ask(&shape, &[3.into()]), [["4"]]);
    let shape = json!(["select", 6, ["id"], null, [], "o", "", "", "count"]);
    assert_eq!(place.ask(&shape, &[3.into()]), [["1"]]);
}

#[test]
fn locked_rows_are_waited_for_refused_or_left_out() {
    let mut place = Place::new("locks");
    place
        .run("INSERT INTO sample (id) VALUES (1), (2), (3)")
        .unwrap();
    let select = |lock: &str| {
        let order = json!([[col("id"), "asc", null]]);
        json!([
            "select",
            6,
            ["id"],
            ["cmp", "lte", col("id"), param("big_integer")],
            order,
            "",
            "",
            lock,
            "rows"
        ])
    };
    let mut holder = Client::connect();
    holder.target();
    for (held, asked, share) in [
        ("update", "update", false),
        ("share", "update", false),
        ("share", "share", true),
    ] {
        let plan = place.plan(&select(held));
        holder.run(&format!("USE {}", place.name)).unwrap();
        holder.run("START TRANSACTION").unwrap();
        // A range would lock the row behind it, too.
        let sql = plan.sql.replace("<=", "=");
        holder.execute(&sql, &[1.into()]).unwrap();
        let nowait = place.try_ask(&select(&format!("{asked}:nowait")), &[2.into()]);
        let skipped = place.ask(&select(&format!("{asked}:skip_locked")), &[3.into()]);
        if share {
            assert_eq!(nowait.unwrap(), [["1"], ["2"]]);
            assert_eq!(skipped, [["1"], ["2"], ["3"]]);
        } else {
            let code = if place.mariadb() { "1205" } else { "3572" };
            assert!(nowait.unwrap_err().starts_with(code));
            assert_eq!(skipped, [["2"], ["3"]]);
        }
        holder.run("ROLLBACK").unwrap();
    }
    let refused = place
        .try_plan(&select("no_key_update"))
        .unwrap_err()
        .to_string();
    assert!(
        refused.contains("does not support FOR NO KEY UPDATE"),
        "{refused}"
    );
}

#[test]
fn times_are_utc_in_every_zone() {
    let mut place = Place::new("times");
    place
        .run("INSERT INTO sample (id, at, day, hour) VALUES (1, '2020-01-01 23:30:00.000001', '2020-01-01', '23:30:00')")
        .unwrap();
    let now = json!([
        "update",
        6,
        [["at", ["now"]], ["day", ["now"]], ["hour", ["now"]]],
        null,
        []
    ]);
    place.ask(&now, &[]);
    let near = place.rows(
        "SELECT ABS(TIMESTAMPDIFF(SECOND, at, UTC_TIMESTAMP())) < 5, ABS(TIMESTAMPDIFF(SECOND, at, TIMESTAMP(day, hour))) < 5, \
         @@time_zone FROM sample",
    );
    assert_eq!(near, [["1", "1", "+00:00"]]);
    let before = json!(["cmp", "lt", col("at"), ["now"]]);
    assert_eq!(place.found(6, before, &[]), [1]);
    // A moment becomes its date or its time of day.
    place
        .run("UPDATE sample SET at = '2020-03-04 05:06:07.000008'")
        .unwrap();
    place.ask(
        &json!([
            "update",
            6,
            [["day", col("at")], ["hour", col("at")]],
            null,
            []
        ]),
        &[],
    );
    assert_eq!(
        place.rows("SELECT day, hour FROM sample"),
        [["2020-03-04", "05:06:07.000008"]]
    );
    let midnight = json!(["cmp", "eq", col("day"), param("date_time")]);
    assert_eq!(
        place.found(6, midnight.clone(), &[Value::Date(2020, 3, 4, 0, 0, 0, 0)]),
        [1]
    );
    assert_eq!(
        place.found(6, midnight, &[Value::Date(2020, 3, 4, 0, 0, 0, 1)]),
        [0; 0]
    );
}

fn create(place: &mut Place, tables: &Json) -> Result<Vec<String>, String> {
    let doc = json!({"ir_version": 1, "tables": tables}).to_string();
    let doc = SchemaDoc::from_json(&doc).unwrap();
    let create = create_statements(&doc, place.server).map_err(|error| error.to_string())?;
    for sql in &create {
        place.run(sql).map_err(|error| format!("{error}\n{sql}"))?;
    }
    Ok(create)
}

#[test]
fn tables_are_what_the_documents_say() {
    let mut place = Place::new("ddl");
    let ours = if place.mariadb() {
        "utf8mb4_nopad_bin"
    } else {
        "utf8mb4_0900_bin"
    };
    let columns = |place: &mut Place, table: &str| {
        let name = place.name.clone();
        place.rows(&format!(
            "SELECT column_name, column_type, IFNULL(collation_name, '-'), is_nullable, extra FROM information_schema.columns \
             WHERE table_schema = '{name}' AND table_name = '{table}' ORDER BY ordinal_position"
        ))
    };
    let found = columns(&mut place, "sample");
    let json = if place.mariadb() { "longtext" } else { "json" };
    let json_collation = if place.mariadb() { "utf8mb4_bin" } else { "-" };
    let bare = |ty: &str| {
        ty.replace("bigint(20)", "bigint")
            .replace("smallint(6)", "smallint")
    };
    for (row, (name, ty, collation)) in found.iter().zip([
        ("id", "bigint", "-"),
        ("number", "bigint", "-"),
        ("small", "smallint", "-"),
        ("single", "float", "-"),
        ("score", "double", "-"),
        ("money", "decimal(10,2)", "-"),
        ("total", "decimal(65,30)", "-"),
        ("word", "varchar(20)", ours),
        ("line", "varchar(700)", ours),
        ("body", "longtext", ours),
        ("at", "datetime(6)", "-"),
        ("day", "date", "-"),
        ("hour", "time(6)", "-"),
        ("span", "bigint", "-"),
        ("key", "char(36)", ours),
        ("data", "longblob", "-"),
        ("doc", json, json_collation),
        ("words", json, json_collation),
        ("numbers", json, json_collation),
        ("amounts", json, json_collation),
        ("mood", "enum('glad','it''s ok','sad')", ours),
        ("flag", "tinyint(1)", "-"),
    ]) {
        assert_eq!(
            [row[0].as_str(), &bare(&row[1]), &row[2]],
            [name, ty, collation]
        );
        let (nullable, extra) = if name == "id" {
            ("NO", "auto_increment")
        } else {
            ("YES", "")
        };
        assert_eq!(
            [row[3].as_str(), row[4].as_str()],
            [nullable, extra],
            "{name}"
        );
    }
    assert_eq!(found.len(), 22);
    // The key of a key of a column with a collation of its own.
    let id = |collation: Json| json!({"name": "code", "column_type": ["string", 20], "primary_key": true, "collation": collation});
    let key = |table: &str, column: &str| json!([{"columns": [column], "ref_table": table, "ref_columns": ["code"]}]);
    let tables = json!([
        {"name": "country", "fields": [id(json!("utf8mb4_general_ci"))]},
        {"name": "region", "fields": [id(json!(null))], "foreign_keys": key("country", "code")},
        {"name": "town", "fields": [
            {"name": "id", "column_type": "big_integer", "primary_key": true, "auto_increment": true},
            {"name": "region_code", "column_type": ["string", 20], "comment": "it's `a` \\ \"comment\""},
        ], "foreign_keys": key("region", "region_code"), "comment": "'; DROP TABLE town; -- \\"},
    ]);
    create(&mut place, &tables).unwrap();
    assert_eq!(columns(&mut place, "town")[1][2], "utf8mb4_general_ci");
    let name = place.name.clone();
    let comments = place.rows(&format!(
        "SELECT table_comment, (SELECT column_comment FROM information_schema.columns c WHERE c.table_schema = '{name}' \
         AND c.table_name = 'town' AND column_name = 'region_code') FROM information_schema.tables t \
         WHERE table_schema = '{name}' AND table_name = 'town'"
    ));
    assert_eq!(
        comments,
        [["'; DROP TABLE town; -- \\", "it's `a` \\ \"comment\""]]
    );
}

#[test]
fn keys_hold_what_the_server_can_compare() {
    let mut place = Place::new("keys");
    let id = json!({"name": "id", "column_type": "big_integer", "primary_key": true, "auto_increment": true});
    let field = |name: &str, ty: Json| json!({"name": name, "column_type": ty, "nullable": true});
    let text = || field("body", json!("text"));
    let table = |fields: Json, more: Json| {
        let mut table = json!({"name": "k", "fields": fields});
        table
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        json!([table])
    };
    let index = |columns: Json, unique: bool| json!({"indexes": [{"fields": columns, "name": "i", "unique": unique}]});
    let parts = "SELECT GROUP_CONCAT(CONCAT(column_name, ':', IFNULL(sub_part, '')) ORDER BY index_name, seq_in_index SEPARATOR ' ') \
                 FROM information_schema.statistics WHERE table_schema = DATABASE() AND table_name = 'k' AND index_name <> 'PRIMARY'";
    for (fields, more, expected) in [
        (
            json!([id, text()]),
            index(json!(["body"]), false),
            "body:255",
        ),
        (
            json!([id, field("data", json!("blob"))]),
            index(json!(["data", "id"]), false),
            "data:255 id:",
        ),
        (
            json!([id, field("s", json!(["string", 768]))]),
            index(json!(["s"]), true),
            "s:",
        ),
        (
            json!([id, field("s", json!(["string", 769]))]),
            index(json!(["s"]), false),
            "s:255",
        ),
        (
            json!([id, {"name": "s", "column_type": "text", "db_type": "MEDIUMTEXT"}]),
            index(json!(["s"]), false),
            "s:255",
        ),
        (
            json!([id, text()]),
            json!({"indexes": [{"fields": ["body"], "name": "i", "method": "fulltext"}]}),
            "body:",
        ),
        // A numbered column that no other key begins with.
        (
            json!([{"name": "a", "column_type": "integer"}, {"name": "n", "column_type": "big_integer", "auto_increment": true}]),
            json!({"primary_key": ["a", "n"]}),
            "n:",
        ),
        (
            json!([{"name": "n", "column_type": "integer", "db_type": "SERIAL"}]),
            json!({}),
            "n:",
        ),
        (
            json!([{"name": "n", "column_type": "integer", "auto_increment": true, "unique": true}]),
            json!({}),
            "n:",
        ),
    ] {
        let made = create(&mut place, &table(fields, more)).unwrap();
        assert_eq!(place.rows(parts), [[expected]], "{made:?}");
        place.run("DROP TABLE k").unwrap();
    }
    let unique = |columns: Json| json!({"uniques": [{"fields": columns}]});
    let long = "whose values may be longer than 768 characters; give it a max_length";
    for (fields, more, message) in [
        (json!([id, text()]), unique(json!(["body"])), long),
        (json!([id, text()]), index(json!(["body"]), true), long),
        (
            json!([id, {"name": "body", "column_type": "text", "unique": true}]),
            json!({}),
            long,
        ),
    ] {
        let made = create(&mut place, &table(fields, more));
        if place.mariadb() {
            made.unwrap();
            let insert = "INSERT INTO k (body) VALUES (CONCAT(REPEAT('x', 5000), 'a')), (CONCAT(REPEAT('x', 5000), 'b'))";
            place.run(insert).unwrap();
            assert!(place.run(insert).unwrap_err().starts_with("1062"));
            place.run("DROP TABLE k").unwrap();
        } else {
            let error = made.unwrap_err();
            assert!(error.contains(message), "{error}");
        }
    }
    for (fields, more, message) in [
        (
            json!([{"name": "body", "column_type": "text", "primary_key": true}]),
            json!({}),
            "a primary key on k.body",
        ),
        (
            json!([id, field("doc", json!("json"))]),
            index(json!(["doc"]), false),
            "an index on k.doc, which holds documents",
        ),
        (
            json!([id, field("doc", json!("json"))]),
            unique(json!(["doc"])),
            "a unique key on k.doc",
        ),
        (
            json!([id, {"name": "n", "column_type": "integer", "auto_increment": true}]),
            json!({}),
            "two auto-increment columns in one table: id and n of k",
        ),
        (
            json!([id, field("e", json!(["enum", "e", ["a", "b "]]))]),
            json!({}),
            "the member \"b \" of k.e: spaces at the end",
        ),
        (
            json!([id, field("a😀", json!("integer"))]),
            json!({}),
            "the name \"a😀\"",
        ),
        (
            json!([id, field("a ", json!("integer"))]),
            json!({}),
            "the name \"a \"",
        ),
    ] {
        let error = create(&mut place, &table(fields, more)).unwrap_err();
        assert!(
            error.contains("does not support") && error.contains(message),
            "{error}"
        );
    }
    // What is refused would have been changed or ignored in silence.
    let name = "ü".repeat(64);
    create(
        &mut place,
        &json!([{"name": name, "fields": [{"name": name, "column_type": "integer"}]}]),
    )
    .unwrap();
}

#[test]
fn a_session_is_set_whatever_the_server_is_set_to() {
    let mut place = Place::new("session");
    let variables = [
        ("character_set_client", "utf8mb4"),
        ("character_set_connection", "utf8mb4"),
        ("character_set_results", "utf8mb4"),
        ("time_zone", "+00:00"),
        ("autocommit", "1"),
        ("completion_type", "NO_CHAIN"),
        ("sql_select_limit", "18446744073709551615"),
        ("foreign_key_checks", "1"),
        ("sql_auto_is_null", "0"),
        ("div_precision_increment", "20"),
    ];
    let differently = "SET NAMES latin1, time_zone = '+05:00', sql_mode = 'ANSI_QUOTES,NO_BACKSLASH_ESCAPES,PIPES_AS_CONCAT', \
                       autocommit = 0, completion_type = 1, sql_select_limit = 1, foreign_key_checks = 0, sql_auto_is_null = 1, \
                       div_precision_increment = 0, group_concat_max_len = 4";
    place.run(differently).unwrap();
    let set = Target::session_sql(place.server.dialect).unwrap();
    place.run(set).unwrap();
    place.run("COMMIT").unwrap();
    for (name, value) in variables {
        assert_eq!(place.rows(&format!("SELECT @@{name}")), [[value]], "{name}");
    }
    let modes = place.rows("SELECT @@sql_mode").concat().concat();
    for mode in [
        "STRICT_ALL_TABLES",
        "NO_AUTO_VALUE_ON_ZERO",
        "ERROR_FOR_DIVISION_BY_ZERO",
    ] {
        assert!(modes.split(',').any(|m| m == mode), "{modes}");
    }
    for mode in ["ANSI_QUOTES", "NO_BACKSLASH_ESCAPES", "PIPES_AS_CONCAT"] {
        assert!(!modes.contains(mode), "{modes}");
    }
    let long = place.rows("SELECT LENGTH(GROUP_CONCAT(a.n)) FROM (SELECT REPEAT('x', 5000) AS n UNION ALL SELECT 'y') AS a");
    assert_eq!(long, [["5002"]]);
    assert!(place.server.mysql.max_packet >= 1 << 20);
    assert_eq!(place.server.mysql.key_step, 1);
    assert!(place.server.version >= place.server.dialect.oldest());
    let mariadb = place.rows("SELECT VERSION() LIKE '%MariaDB%'") == [["1"]];
    assert_eq!(place.mariadb(), mariadb);
}

#[test]
fn literals_in_the_schema_are_the_values_that_parameters_are() {
    let mut place = Place::new("literals");
    let texts = ["it's \\ \"a\" `b` ? $1", "100%", "ÄÖÜ", "😀", "\\", "a\nb"];
    for (n, each) in texts.iter().enumerate() {
        let name = format!("t{n}");
        let check = json!([{"predicate": ["cmp", "ne", ["col", "w"], ["param", "text"]], "values": [{"type": "text", "value": format!("{each}!")}]}]);
        create(
            &mut place,
            &json!([{"name": name, "checks": check, "fields": [
                {"name": "id", "column_type": "integer", "primary_key": true},
                {"name": "w", "column_type": ["string", 40], "default_value": each},
                {"name": "b", "column_type": "text", "default_value": each},
                {"name": "e", "column_type": ["enum", "e", [each, "other"]], "default_value": each},
                {"name": "j", "column_type": "json", "default_value": {"k": each}},
            ]}]),
        )
        .unwrap();
        place
            .run(&format!("INSERT INTO {name} (id) VALUES (1)"))
            .unwrap();
        let sql = format!(
            "SELECT COUNT(*) FROM {name} WHERE w = ? AND b = ? AND e = ? AND HEX(JSON_UNQUOTE(JSON_EXTRACT(j, '$.k'))) = HEX(?)"
        );
        let found = place.client.execute(&sql, &vec![text(each); 4]).unwrap();
        assert_eq!(found, [[Value::Int(1)]], "{each:?}");
        let bad = format!("INSERT INTO {name} (id, w) VALUES (2, ?)");
        let error = place
            .client
            .execute(&bad, &[text(&format!("{each}!"))])
            .unwrap_err();
        assert!(error.contains("chk_t"), "{error}");
    }
}

/// What the page on differences says of these servers, where no other test shows it.
#[test]
fn differences_are_as_they_are_said() {
    let mut place = Place::new("differences");
    // Order of texts: by code point.
    let texts = ["", " ", "B", "a", "a ", "ä", "名", "\u{fffd}", "𐐀"];
    let insert = json!(["insert", 6, ["word"], ["values", [param("text")]], null, []]);
    for each in texts.iter().rev() {
        place.ask(&insert, &[text(each)]);
    }
    let shape = json!([
        "select",
        6,
        ["word"],
        null,
        [[col("word"), "asc", null]],
        "",
        "",
        "",
        "rows"
    ]);
    assert_eq!(place.ask(&shape, &[]).concat(), texts);
    // Products and quotients of decimals.
    let third = "0.333333333333333333333333333333";
    let product = computed(&mut place, "mul", "total", third, "0.1").unwrap();
    let exact = "0.0333333333333333333333333333333";
    let rounded = "0.033333333333333333333333333333";
    assert_eq!(
        trimmed(&product),
        if place.mariadb() { exact } else { rounded }
    );
    let product = computed(&mut place, "mul", "total", third, "0.000000001").unwrap();
    let digits = trimmed(&product).len() - 2;
    assert_eq!(digits, if place.mariadb() { 38 } else { 30 });
    let quotient = computed(&mut place, "div", "money", "10", "3.00").unwrap();
    assert_eq!(quotient, format!("3.{}", "3".repeat(22)));
    // Texts of other types.
    place.run("DELETE FROM sample").unwrap();
    place
        .run("INSERT INTO sample (id, flag, at) VALUES (1, TRUE, '2020-01-02 03:04:05')")
        .unwrap();
    let concat = json!(["func", "concat", col("flag"), col("at")]);
    let shape = json!([
        "select",
        6,
        [["expr", "v", concat, "text"]],
        null,
        [],
        "",
        "",
        "",
        "rows"
    ]);
    assert_eq!(place.ask(&shape, &[]), [["12020-01-02 03:04:05.000000"]]);
    // Fractions of seconds that a column has no digits for are rounded.
    place
        .run("ALTER TABLE sample MODIFY at DATETIME(3)")
        .unwrap();
    let update = json!(["update", 6, [["at", param("date_time")]], null, []]);
    place.ask(&update, &[Value::Date(2020, 1, 2, 3, 4, 5, 999_500)]);
    assert_eq!(
        place.rows("SELECT at FROM sample"),
        [["2020-01-02 03:04:06.000"]]
    );
    // One letter in two spellings.
    place
        .run("UPDATE sample SET doc = '[\"\\\\u0041\"]'")
        .unwrap();
    let eq = json!(["cmp", "eq", col("doc"), param("json")]);
    let found = place.found(6, eq, &[text("[\"A\"]")]);
    assert_eq!(found.is_empty(), place.mariadb());
    // Names of constraints.
    let check = |name: &str| format!("CREATE TABLE {name} (a INT, CONSTRAINT same CHECK (a > 0))");
    place.run(&check("one")).unwrap();
    assert_eq!(place.run(&check("two")).is_ok(), place.mariadb());
    // What a condition passed over is locked, too.
    place.run("DELETE FROM keyed").unwrap();
    place
        .run("INSERT INTO keyed (id, name) VALUES (1, 'a'), (5, 'b')")
        .unwrap();
    let mut other = Client::connect();
    other.target();
    for sql in [
        format!("USE {}", place.name),
        "SET innodb_lock_wait_timeout = 1".into(),
    ] {
        other.run(&sql).unwrap();
    }
    place.run("START TRANSACTION").unwrap();
    let between = json!([
        "between",
        col("id"),
        param("big_integer"),
        param("big_integer")
    ]);
    let locked = json!(["select", 8, ["id"], between, [], "", "", "update", "rows"]);
    place.ask(&locked, &[1.into(), 4.into()]);
    let error = other
        .run("INSERT INTO keyed (id, name) VALUES (3, 'c')")
        .unwrap_err();
    assert!(error.starts_with("1205"), "{error}");
    place.run("ROLLBACK").unwrap();
}
