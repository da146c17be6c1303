//! Columns whose type stands in the model in the program's own words, arrays,
//! and enums in arrays: what PostgreSQL has types for and the others do not.

use serde_json::{Value, json};

use super::{Case, Group, col, mood, param};

pub fn groups() -> Vec<Group> {
    let cases = |list: Vec<(&'static str, Value)>| {
        list.into_iter()
            .map(|(name, shape)| Case { name, shape })
            .collect()
    };
    vec![
        Group {
            name: "verbatim",
            cases: cases(verbatim()),
        },
        Group {
            name: "array",
            cases: cases(array()),
        },
    ]
}

fn filter(condition: Value) -> Value {
    json!(["select", 5, ["serial"], condition, [], "", "", "", "rows"])
}

fn list(item: impl Into<Value>) -> Value {
    json!(["array", item.into()])
}

fn verbatim() -> Vec<(&'static str, Value)> {
    let text = || param("text");
    let output = |expr: Value| {
        json!([
            "select",
            5,
            [["expr", "value", expr, "text"]],
            null,
            [],
            "",
            "",
            "",
            "rows"
        ])
    };
    let everything = json!(["serial", "address", "addresses", "code", "measure", "pause"]);
    let five = json!(["address", "addresses", "code", "measure", "pause"]);
    let values = json!([text(), param(list("text")), text(), param("double"), text()]);
    vec![
        (
            "select",
            json!(["select", 5, everything, null, [], "", "", "", "rows"]),
        ),
        (
            "equal",
            filter(json!(["cmp", "eq", col("address"), text()])),
        ),
        (
            "a parameter on the left",
            filter(json!(["cmp", "lt", text(), col("pause")])),
        ),
        (
            "equal to a real",
            filter(json!(["cmp", "eq", col("measure"), param("double")])),
        ),
        (
            "another spelling of the type",
            filter(json!(["cmp", "eq", col("serial"), param("big_integer")])),
        ),
        (
            "between",
            filter(json!(["between", col("pause"), text(), text()])),
        ),
        (
            "in",
            filter(json!(["in", col("address"), param(list("text"))])),
        ),
        (
            "not in",
            filter(json!(["not_in", col("code"), param(list("text"))])),
        ),
        (
            "lists in a list",
            filter(json!(["in", col("addresses"), param(list(list("text")))])),
        ),
        (
            "contains",
            filter(json!(["match", "contains", col("address"), text()])),
        ),
        (
            "iexact",
            filter(json!(["match", "iexact", col("code"), text()])),
        ),
        (
            "sum",
            filter(json!([
                "cmp",
                "gt",
                ["arith", "add", col("pause"), text()],
                text()
            ])),
        ),
        (
            "coalesce",
            output(json!(["func", "coalesce", col("address"), text()])),
        ),
        ("lower", output(json!(["func", "lower", col("code")]))),
        ("the column as an output", output(col("address"))),
        (
            "insert",
            json!([
                "insert",
                5,
                five,
                ["values", values],
                null,
                ["serial", "address"]
            ]),
        ),
        (
            "bulk",
            json!(["insert", 5, five, ["bulk"], null, ["serial"]]),
        ),
        (
            "bulk with a given number",
            json!([
                "insert",
                5,
                ["serial", "code"],
                ["bulk"],
                ["update", ["serial"], [["address", text()]]],
                []
            ]),
        ),
        (
            "update",
            json!([
                "update",
                5,
                [
                    ["address", text()],
                    ["pause", ["arith", "add", col("pause"), text()]]
                ],
                ["cmp", "eq", col("code"), text()],
                ["address"]
            ]),
        ),
        (
            "now in another kind of time",
            json!([
                "update",
                5,
                [["moment", ["now"]]],
                ["cmp", "lt", col("moment"), ["now"]],
                []
            ]),
        ),
        (
            "delete",
            json!(["delete", 5, ["cmp", "eq", col("address"), text()], []]),
        ),
    ]
}

fn array() -> Vec<(&'static str, Value)> {
    let matrix = || json!(["array", ["array", "integer"]]);
    vec![
        (
            "select",
            json!([
                "select",
                5,
                ["moods", "matrix", "keys"],
                null,
                [],
                "",
                "",
                "",
                "rows"
            ]),
        ),
        (
            "enums equal",
            filter(json!(["cmp", "eq", col("moods"), param(list(mood()))])),
        ),
        (
            "enums in a list",
            filter(json!(["in", col("moods"), param(list(list(mood())))])),
        ),
        (
            "texts equal",
            json!([
                "select",
                1,
                ["id"],
                [
                    "cmp",
                    "eq",
                    col("tags"),
                    param(list(json!(["string", 255])))
                ],
                [],
                "",
                "",
                "",
                "rows"
            ]),
        ),
        (
            "coalesce",
            json!([
                "select",
                5,
                [[
                    "expr",
                    "value",
                    ["func", "coalesce", col("keys"), param(list("uuid"))],
                    ["array", "uuid"]
                ]],
                null,
                [],
                "",
                "",
                "",
                "rows"
            ]),
        ),
        (
            "uuids in a list",
            filter(json!(["not_in", col("keys"), param(list(list("uuid")))])),
        ),
        (
            "matrices in a list",
            filter(json!(["in", col("matrix"), param(list(matrix()))])),
        ),
        (
            "insert",
            json!([
                "insert",
                5,
                ["moods", "matrix", "keys"],
                [
                    "values",
                    [param(list(mood())), param(matrix()), param(list("uuid"))]
                ],
                null,
                []
            ]),
        ),
        (
            "bulk",
            json!(["insert", 5, ["moods", "matrix", "keys"], ["bulk"], null, []]),
        ),
        (
            "update",
            json!(["update", 5, [["moods", param(list(mood()))]], null, []]),
        ),
        (
            "contains",
            filter(json!([
                "array",
                "contains",
                col("moods"),
                param(list(mood()))
            ])),
        ),
        (
            "contained_by",
            filter(json!([
                "array",
                "contained_by",
                col("keys"),
                param(list("uuid"))
            ])),
        ),
        (
            "overlap",
            json!([
                "select",
                1,
                ["id"],
                [
                    "array",
                    "overlap",
                    col("tags"),
                    param(list(json!(["string", 255])))
                ],
                [],
                "",
                "",
                "",
                "rows"
            ]),
        ),
        (
            "not contains",
            filter(json!([
                "not",
                ["array", "contains", col("keys"), param(list("uuid"))]
            ])),
        ),
        (
            "item",
            filter(json!([
                "cmp",
                "eq",
                ["item", col("keys"), param("big_integer")],
                param("uuid")
            ])),
        ),
        (
            "item of enums",
            filter(json!([
                "cmp",
                "eq",
                ["item", col("moods"), param("big_integer")],
                param(mood())
            ])),
        ),
        (
            "length",
            filter(json!([
                "cmp",
                "gt",
                ["func", "length", col("moods")],
                param("big_integer")
            ])),
        ),
        (
            "overlap of declared types",
            filter(json!([
                "array",
                "overlap",
                col("addresses"),
                param(list("text"))
            ])),
        ),
        (
            "overlap of networks",
            filter(json!(["array", "overlap", col("address"), param("text")])),
        ),
    ]
}
