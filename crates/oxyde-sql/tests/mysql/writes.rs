//! What is written: assignments, upserts, many rows, RETURNING, what does not fit.

use mysql::Value;
use oxyde_sql::{BulkForm, CompileError};
use serde_json::{Value as Json, json};

use crate::cases::{col, param};
use crate::place::{Place, in_list, list, text};
use crate::server::shown;

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
