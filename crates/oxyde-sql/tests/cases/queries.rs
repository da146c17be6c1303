//! Statements: SELECT with all its clauses, INSERT, UPDATE, DELETE.

use serde_json::{Value, json};

use super::{Case, Group, col, mood, param};

pub fn groups() -> Vec<Group> {
    let group = |name, cases: Vec<(&'static str, Value)>| Group {
        name,
        cases: cases
            .into_iter()
            .map(|(name, shape)| Case { name, shape })
            .collect(),
    };
    vec![
        group("select", select()),
        group("insert", insert()),
        group("upsert", upsert()),
        group("bulk", bulk()),
        group("update", update()),
        group("delete", delete()),
    ]
}

fn adult() -> Value {
    json!(["cmp", "gte", col("age"), param("integer")])
}

fn select() -> Vec<(&'static str, Value)> {
    let by = |key: Value| json!(["select", 1, ["id"], null, [key], "", "", "", "rows"]);
    let paged = |paging| json!(["select", 1, ["id"], adult(), [], paging, "", "", "rows"]);
    let locked = |lock| json!(["select", 1, ["id"], adult(), [], "l", "", lock, "rows"]);
    let counted = |paging, distinct, mode| {
        json!([
            "select",
            1,
            ["name"],
            adult(),
            [],
            paging,
            distinct,
            "",
            mode
        ])
    };
    let everything = [
        "id",
        "name",
        "bio",
        "age",
        "rank",
        "score",
        "ratio",
        "price",
        "total",
        "active",
        "created",
        "seen",
        "born",
        "wakes",
        "shift",
        "key",
        "avatar",
        "meta",
        "kind",
        "tags",
        "name_length",
    ];
    vec![
        (
            "all columns",
            json!(["select", 1, everything, null, [], "", "", "", "rows"]),
        ),
        (
            "table in a schema",
            json!(["select", 4, ["id", "text"], null, [], "", "", "", "rows"]),
        ),
        ("order", by(json!([col("name"), "asc", null]))),
        (
            "order descending, nulls first",
            by(json!([col("bio"), "desc", "first"])),
        ),
        ("order, nulls last", by(json!([col("bio"), "asc", "last"]))),
        (
            "order by decimal",
            by(json!([col("price"), "desc", "last"])),
        ),
        (
            "order by expression",
            by(json!([["func", "lower", col("name")], "asc", null])),
        ),
        (
            "order by condition, nulls first",
            by(json!([["and", col("active"), adult()], "asc", "first"])),
        ),
        ("limit", paged("l")),
        ("offset", paged("o")),
        ("limit and offset", paged("lo")),
        (
            "distinct",
            json!([
                "select",
                1,
                ["name", "age"],
                null,
                [],
                "",
                "distinct",
                "",
                "rows"
            ]),
        ),
        (
            "distinct, ordered, limited",
            json!([
                "select",
                1,
                ["name"],
                null,
                [[col("name"), "desc", null]],
                "l",
                "distinct",
                "",
                "rows"
            ]),
        ),
        ("lock for update", locked("update")),
        ("lock for update nowait", locked("update:nowait")),
        ("lock for update skip locked", locked("update:skip_locked")),
        ("lock for no key update", locked("no_key_update")),
        ("lock for share", locked("share")),
        ("count", counted("", "", "count")),
        ("count distinct", counted("", "distinct", "count")),
        ("count limited", counted("lo", "", "count")),
        ("count after offset", counted("o", "", "count")),
        (
            "count distinct of an expression",
            json!([
                "select",
                1,
                [["expr", "low", ["func", "lower", col("name")], "text"]],
                null,
                [],
                "",
                "distinct",
                "",
                "count"
            ]),
        ),
        ("exists", counted("", "", "exists")),
        ("exists after offset", counted("o", "", "exists")),
        ("exists distinct", counted("lo", "distinct", "exists")),
    ]
}

fn row(values: Value) -> Value {
    json!(["values", values])
}

fn insert() -> Vec<(&'static str, Value)> {
    vec![
        (
            "one row",
            json!([
                "insert",
                1,
                ["name", "age", "price", "kind", "meta"],
                row(json!([
                    param(json!(["string", 120])),
                    param("integer"),
                    param(json!(["decimal", 10, 2])),
                    param(mood()),
                    param("json")
                ])),
                null,
                []
            ]),
        ),
        (
            "expressions",
            json!([
                "insert",
                1,
                ["name", "created", "seen", "born", "wakes", "bio", "score"],
                row(json!([
                    ["func", "concat", param("text"), param("text")],
                    ["now"],
                    ["now"],
                    ["now"],
                    ["now"],
                    ["null"],
                    ["sql", "1 + 1"]
                ])),
                null,
                []
            ]),
        ),
        (
            "returning",
            json!([
                "insert",
                1,
                ["name"],
                row(json!([param("text")])),
                null,
                ["id", "kind"]
            ]),
        ),
        (
            "defaults only",
            json!(["insert", 1, [], row(json!([])), null, []]),
        ),
        (
            "table in a schema",
            json!(["insert", 4, ["text"], row(json!([param("text")])), null, []]),
        ),
    ]
}

fn upsert() -> Vec<(&'static str, Value)> {
    let one = |id: u64, fields: Value, values: Value, conflict: Value| {
        json!(["insert", id, fields, row(values), conflict, []])
    };
    let member = json!(["user_id", "team_id", "role"]);
    let three = json!([param("big_integer"), param("big_integer"), param("text")]);
    vec![
        (
            "ignore",
            one(
                2,
                member.clone(),
                three.clone(),
                json!(["ignore", ["user_id", "team_id"]]),
            ),
        ),
        (
            "ignore any key",
            one(
                1,
                json!(["name"]),
                json!([param("text")]),
                json!(["ignore", []]),
            ),
        ),
        (
            "update from the row",
            one(
                2,
                member.clone(),
                three.clone(),
                json!([
                    "update",
                    ["user_id", "team_id"],
                    [["role", ["excluded", "role"]]]
                ]),
            ),
        ),
        (
            "update with parameter",
            one(
                2,
                member.clone(),
                three.clone(),
                json!(["update", ["user_id", "team_id"], [["role", param("text")]]]),
            ),
        ),
        (
            "update from both rows",
            one(
                1,
                json!(["id", "age", "price"]),
                json!([
                    param("big_integer"),
                    param("integer"),
                    param(json!(["decimal", 10, 2]))
                ]),
                json!([
                    "update",
                    ["id"],
                    [
                        ["age", ["arith", "add", col("age"), ["excluded", "age"]]],
                        [
                            "price",
                            ["arith", "mul", col("price"), ["excluded", "price"]]
                        ]
                    ]
                ]),
            ),
        ),
        (
            "a table called new",
            one(
                3,
                json!(["id", "title"]),
                json!([param("big_integer"), param("text")]),
                json!([
                    "update",
                    ["id"],
                    [[
                        "title",
                        ["func", "concat", col("title"), ["excluded", "title"]]
                    ]]
                ]),
            ),
        ),
        (
            "returning",
            json!([
                "insert",
                2,
                member,
                row(three),
                [
                    "update",
                    ["user_id", "team_id"],
                    [["role", ["excluded", "role"]]]
                ],
                ["user_id", "role"]
            ]),
        ),
    ]
}

fn bulk() -> Vec<(&'static str, Value)> {
    let many = |id: u64, fields: Value, conflict: Value, returning: Value| {
        json!(["insert", id, fields, ["bulk"], conflict, returning])
    };
    vec![
        (
            "rows",
            many(
                1,
                json!(["name", "age", "price", "kind", "meta", "key", "created"]),
                json!(null),
                json!([]),
            ),
        ),
        (
            "rows with arrays",
            many(1, json!(["name", "tags"]), json!(null), json!([])),
        ),
        (
            "returning",
            many(1, json!(["name"]), json!(null), json!(["id"])),
        ),
        (
            "ignore",
            many(
                2,
                json!(["user_id", "team_id", "role"]),
                json!(["ignore", []]),
                json!([]),
            ),
        ),
        (
            "update",
            many(
                2,
                json!(["user_id", "team_id", "role"]),
                json!([
                    "update",
                    ["user_id", "team_id"],
                    [["role", ["excluded", "role"]]]
                ]),
                json!([]),
            ),
        ),
        (
            "update with parameter",
            many(
                2,
                json!(["user_id", "team_id", "role"]),
                json!(["update", ["user_id", "team_id"], [["role", param("text")]]]),
                json!([]),
            ),
        ),
        ("defaults only", many(1, json!([]), json!(null), json!([]))),
    ]
}

fn update() -> Vec<(&'static str, Value)> {
    let set =
        |assignments: Value, condition: Value| json!(["update", 1, assignments, condition, []]);
    let by_id = || json!(["cmp", "eq", col("id"), param("big_integer")]);
    let plus_one = |field: &str, ty: Value| json!([field, ["arith", "add", col(field), param(ty)]]);
    vec![
        ("one field", set(json!([["name", param("text")]]), by_id())),
        ("all rows", set(json!([["active", ["false"]]]), json!(null))),
        (
            "from itself",
            set(json!([plus_one("age", json!("integer"))]), by_id()),
        ),
        (
            "decimal from itself",
            set(
                json!([["price", ["arith", "mul", col("price"), param("decimal")]]]),
                by_id(),
            ),
        ),
        (
            "decimal from another scale",
            set(json!([["price", col("total")]]), json!(null)),
        ),
        (
            "every expression sees the old row",
            set(
                json!([plus_one("age", json!("integer")), ["rank", col("age")]]),
                json!(null),
            ),
        ),
        (
            "exchange",
            set(
                json!([["age", col("rank")], ["rank", col("age")]]),
                json!(null),
            ),
        ),
        (
            "now",
            set(
                json!([["created", ["now"]], ["seen", ["func", "now"]]]),
                by_id(),
            ),
        ),
        (
            "times with and without zone",
            set(
                json!([
                    ["created", col("seen")],
                    ["seen", col("created")],
                    ["born", col("seen")],
                    ["wakes", ["func", "now"]]
                ]),
                json!(null),
            ),
        ),
        (
            "null and enum",
            set(json!([["bio", ["null"]], ["kind", param(mood())]]), by_id()),
        ),
        (
            "rows of a list",
            set(
                json!([["name", param("text")], plus_one("age", json!("integer"))]),
                json!(["in", col("id"), param(json!(["array", "big_integer"]))]),
            ),
        ),
        (
            "rows of a list, one field from another",
            set(
                json!([["rank", col("age")], plus_one("age", json!("integer"))]),
                json!(["in", col("id"), param(json!(["array", "big_integer"]))]),
            ),
        ),
        (
            "returning",
            json!([
                "update",
                1,
                [["name", param("text")]],
                by_id(),
                ["id", "name"]
            ]),
        ),
    ]
}

fn delete() -> Vec<(&'static str, Value)> {
    let old = json!(["cmp", "lt", col("created"), param("date_time")]);
    vec![
        ("some rows", json!(["delete", 1, old, []])),
        ("all rows", json!(["delete", 1, null, []])),
        (
            "table in a schema",
            json!([
                "delete",
                4,
                ["in", col("id"), param(json!(["array", "big_integer"]))],
                []
            ]),
        ),
        (
            "rows of a list, returning",
            json!([
                "delete",
                1,
                ["in", col("id"), param(json!(["array", "big_integer"]))],
                ["id"]
            ]),
        ),
        ("returning", json!(["delete", 1, old, ["id", "name"]])),
    ]
}
