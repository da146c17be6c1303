//! A table with a unique key beside its primary key, on a column that was declared
//! with a collation of its own.

use serde_json::{Value, json};

use super::{Case, Group, col, param};

pub fn groups() -> Vec<Group> {
    let cases = |list: Vec<(&'static str, Value)>| {
        list.into_iter()
            .map(|(name, shape)| Case { name, shape })
            .collect()
    };
    vec![
        Group {
            name: "collation",
            cases: cases(collation()),
        },
        Group {
            name: "conflict",
            cases: cases(conflict()),
        },
    ]
}

fn filter(condition: Value) -> Value {
    json!(["select", 9, ["id"], condition, [], "", "", "", "rows"])
}

fn collation() -> Vec<(&'static str, Value)> {
    let email = || col("email");
    let text = || param("text");
    let list = || param(json!(["array", "text"]));
    vec![
        ("equal", filter(json!(["cmp", "eq", email(), text()]))),
        ("not equal", filter(json!(["cmp", "ne", email(), text()]))),
        ("less", filter(json!(["cmp", "lt", email(), text()]))),
        (
            "on the right",
            filter(json!(["cmp", "eq", text(), email()])),
        ),
        (
            "equal to another column",
            filter(json!(["cmp", "eq", email(), col("alias")])),
        ),
        ("in", filter(json!(["in", email(), list()]))),
        ("not in", filter(json!(["not_in", email(), list()]))),
        (
            "in, as one of two conditions",
            filter(json!(["or", ["in", email(), list()], ["is_null", email()]])),
        ),
        (
            "contains",
            filter(json!(["match", "contains", email(), text()])),
        ),
        (
            "iexact",
            filter(json!(["match", "iexact", email(), text()])),
        ),
        (
            "lower",
            filter(json!(["cmp", "eq", ["func", "lower", email()], text()])),
        ),
        (
            "update",
            json!([
                "update",
                9,
                [["balance", param("integer")]],
                ["cmp", "eq", email(), text()],
                []
            ]),
        ),
        ("delete", json!(["delete", 9, ["in", email(), list()], []])),
    ]
}

fn conflict() -> Vec<(&'static str, Value)> {
    let three = json!([param("big_integer"), param("text"), param("integer")]);
    let two = json!([param("text"), param("integer")]);
    let insert = |fields: Value, values: &Value, conflict: Value, returning: Value| {
        json!(["insert", 9, fields, ["values", values], conflict, returning])
    };
    let update = |fields: Value| json!(["update", fields, [["balance", ["excluded", "balance"]]]]);
    vec![
        (
            "by the only key that is given",
            insert(
                json!(["email", "balance"]),
                &two,
                update(json!(["email"])),
                json!([]),
            ),
        ),
        (
            "ignored by the only key that is given",
            insert(
                json!(["email", "balance"]),
                &two,
                json!(["ignore", ["email"]]),
                json!([]),
            ),
        ),
        (
            "by the key, which is given",
            insert(
                json!(["id", "email", "balance"]),
                &three,
                update(json!(["id"])),
                json!([]),
            ),
        ),
        (
            "by another key than the given one",
            insert(
                json!(["id", "email", "balance"]),
                &three,
                update(json!(["email"])),
                json!([]),
            ),
        ),
        (
            "ignored by any key",
            insert(
                json!(["id", "email", "balance"]),
                &three,
                json!(["ignore", []]),
                json!([]),
            ),
        ),
        (
            "ignored, the new rows returned",
            insert(
                json!(["email", "balance"]),
                &two,
                json!(["ignore", ["email"]]),
                json!(["id", "email"]),
            ),
        ),
        (
            "many rows",
            json!([
                "insert",
                9,
                ["email", "balance"],
                ["bulk"],
                update(json!(["email"])),
                []
            ]),
        ),
    ]
}
