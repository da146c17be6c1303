//! Schema documents.

use serde_json::{Value, json};

/// Documents under their names.
pub fn documents() -> Vec<(&'static str, Value)> {
    let doc = |tables: Value| json!({"ir_version": 1, "tables": tables});
    vec![
        ("columns", doc(json!([columns()]))),
        ("keys", doc(keys())),
        ("references", doc(references())),
        ("circle", doc(circle())),
        ("constraints", doc(json!([constraints()]))),
        ("predicates", doc(json!([predicates()]))),
        ("defaults", doc(json!([defaults()]))),
        ("indexes", doc(json!([indexes()]))),
        ("verbatim", doc(json!([verbatim()]))),
        ("generated", doc(json!([generated()]))),
        ("hostile", doc(json!([hostile()]))),
        // What some databases refuse: one construct per document.
        (
            "index method",
            doc(json!([with_index(
                json!({"fields": ["tags"], "method": "gin"})
            )])),
        ),
        (
            "index opclass",
            doc(json!([with_index(
                json!({"fields": ["name"], "opclasses": {"name": "text_pattern_ops"}})
            )])),
        ),
        (
            "index include",
            doc(json!([with_index(
                json!({"fields": ["name"], "include": ["n"]})
            )])),
        ),
        (
            "index where",
            doc(json!([with_index(
                json!({"fields": ["name"], "unique": true, "where": "n > 0"})
            )])),
        ),
        (
            "index on expression",
            doc(json!([with_index(
                json!({"name": "low", "fields": [{"expression": "n + 1"}]})
            )])),
        ),
        (
            "unique where",
            doc(json!([with_unique(
                json!({"fields": ["name"], "where": {"predicate": ["cmp", "gt", ["col", "n"], ["param", "integer"]], "values": [{"type": "integer", "value": 3}]}})
            )])),
        ),
        (
            "unique deferrable",
            doc(json!([with_unique(
                json!({"fields": ["name"], "deferrable": true})
            )])),
        ),
        (
            "unique nulls not distinct",
            doc(json!([with_unique(
                json!({"fields": ["n"], "nulls_distinct": false})
            )])),
        ),
        (
            "foreign key deferrable",
            doc(json!([with_parent(
                json!({"on_delete": "CASCADE", "deferrable": "deferred"})
            )])),
        ),
        (
            "foreign key set default",
            doc(json!([with_parent(json!({"on_delete": "SET DEFAULT"}))])),
        ),
        (
            "virtual column",
            doc(json!([{"name": "v", "fields": [
            {"name": "n", "column_type": {"kind": "integer"}},
            {"name": "twice", "column_type": {"kind": "integer"}, "nullable": true,
             "generated": {"expression": "n * 2", "stored": false}}]}])),
        ),
        (
            "check ignores case",
            doc(
                json!([{"name": "c", "fields": [{"name": "name", "column_type": {"kind": "text"}}],
            "checks": [{"predicate": ["match", "iexact", ["col", "name"], ["param", "text"]], "values": [{"type": "text", "value": "X"}]}]}]),
            ),
        ),
        (
            "index on texts without a length",
            doc(json!([with_long(
                json!({"indexes": [{"fields": ["body", "id"]}, {"fields": ["data"]}, {"fields": ["line"]}]})
            )])),
        ),
        (
            "unique text without a length",
            doc(json!([with_long(
                json!({"uniques": [{"fields": ["body"]}]})
            )])),
        ),
        (
            "index on documents",
            doc(json!([with_long(
                json!({"indexes": [{"fields": ["doc"]}]})
            )])),
        ),
        (
            "text key without a length",
            doc(
                json!([{"name": "w", "fields": [{"name": "word", "column_type": "text", "primary_key": true}]}]),
            ),
        ),
        (
            "numbered but no key",
            doc(json!([{"name": "k", "primary_key": ["a", "n"], "fields": [
            {"name": "a", "column_type": "integer"},
            {"name": "n", "column_type": "big_integer", "auto_increment": true}]}])),
        ),
        (
            "member with a space at its end",
            doc(
                json!([{"name": "e", "fields": [{"name": "e", "column_type": ["enum", "padded", ["a", "b "]]}]}]),
            ),
        ),
        (
            "name beyond the basic plane",
            doc(json!([{"name": "t", "fields": [{"name": "a😀", "column_type": "integer"}]}])),
        ),
        (
            "numbered part of a key",
            doc(
                json!([{"name": "k", "primary_key": ["id", "part"], "fields": [
            {"name": "id", "column_type": {"kind": "big_integer"}, "auto_increment": true},
            {"name": "part", "column_type": {"kind": "integer"}}]}]),
            ),
        ),
    ]
}

fn id() -> Value {
    json!({"name": "id", "column_type": {"kind": "big_integer"}, "primary_key": true, "auto_increment": true})
}

fn columns() -> Value {
    let field = |name: &str, ty: Value| json!({"name": name, "column_type": ty, "nullable": true});
    let plain = |name: &str, kind: &str| field(name, json!({"kind": kind}));
    json!({
        "name": "every_type",
        "comment": "it's \\ everything",
        "fields": [
            id(),
            plain("small", "small_integer"), plain("normal", "integer"), plain("big", "big_integer"),
            plain("single", "real"), plain("double", "double"), plain("yes", "boolean"),
            plain("body", "text"), plain("word", "string"), field("short", json!({"kind": "string", "length": 10})),
            {"name": "long", "column_type": {"kind": "string"}, "max_length": 300, "nullable": true, "comment": "up to 'three' hundred"},
            plain("number", "decimal"), field("money", json!({"kind": "decimal", "precision": 10, "scale": 2})),
            {"name": "digits", "column_type": {"kind": "decimal"}, "max_digits": 5, "nullable": true},
            plain("at", "date_time"), plain("at_utc", "date_time_utc"), plain("day", "date"), plain("clock", "time"),
            plain("length", "timedelta"), plain("key", "uuid"), plain("data", "blob"), plain("doc", "json"), plain("docb", "json_binary"),
            field("mood", json!({"kind": "enum", "name": "mood", "values": ["glad", "it's ok", "back\\slash"]})),
            field("numbers", json!({"kind": "array", "item": {"kind": "integer"}})),
            field("names", json!(["array", ["string", 20]])),
        ],
    })
}

fn keys() -> Value {
    json!([
        {"name": "numbered", "fields": [id()]},
        {"name": "numbered_int", "fields": [{"name": "id", "column_type": {"kind": "integer"}, "primary_key": true, "auto_increment": true}]},
        {"name": "named", "fields": [{"name": "code", "column_type": {"kind": "string", "length": 8}, "primary_key": true, "unique": true}]},
        {"name": "by_uuid", "fields": [{"name": "key", "column_type": {"kind": "uuid"}, "primary_key": true}]},
        {"name": "composite", "primary_key": ["a", "b"], "fields": [
            {"name": "b", "column_type": {"kind": "big_integer"}}, {"name": "a", "column_type": {"kind": "big_integer"}}]},
        {"name": "keyless", "fields": [{"name": "n", "column_type": {"kind": "integer"}, "unique": true}]},
    ])
}

fn reference(column: &str, table: &str, extra: Value) -> Value {
    let mut key = json!({"columns": [column], "ref_table": table, "ref_columns": ["id"]});
    key.as_object_mut()
        .unwrap()
        .extend(extra.as_object().unwrap().clone());
    key
}

/// In an order in which nothing could be created.
fn references() -> Value {
    let column = |name: &str, nullable: bool| json!({"name": name, "column_type": {"kind": "big_integer"}, "nullable": nullable});
    json!([
        {"name": "comment", "fields": [id(), column("post_id", false), column("parent_id", true)],
         "foreign_keys": [reference("post_id", "post", json!({"on_delete": "CASCADE", "on_update": "CASCADE"})),
                          reference("parent_id", "comment", json!({"name": "thread", "on_delete": "set null"}))]},
        {"name": "post", "fields": [id(), column("author_id", false)],
         "foreign_keys": [reference("author_id", "author", json!({"on_delete": "RESTRICT", "on_update": "NO ACTION"}))]},
        {"name": "author", "fields": [id()]},
        {"name": "country", "fields": [{"name": "code", "column_type": {"kind": "string", "length": 2}, "primary_key": true}]},
        {"name": "town", "fields": [id(), {"name": "country_code", "column_type": {"kind": "string", "length": 2}}],
         "foreign_keys": [{"columns": ["country_code"], "ref_table": "country", "ref_columns": ["code"]}]},
    ])
}

fn circle() -> Value {
    let column = |name: &str| json!({"name": name, "column_type": {"kind": "big_integer"}, "nullable": true});
    json!([
        {"name": "hen", "fields": [id(), column("egg_id")], "foreign_keys": [reference("egg_id", "egg", json!({}))]},
        {"name": "egg", "fields": [id(), column("hen_id")], "foreign_keys": [reference("hen_id", "hen", json!({"on_delete": "SET NULL"}))]},
        {"name": "basket", "fields": [id(), column("egg_id")], "foreign_keys": [reference("egg_id", "egg", json!({}))]},
    ])
}

fn constraints() -> Value {
    json!({
        "name": "booking",
        "fields": [
            id(),
            {"name": "room", "column_type": {"kind": "integer"}, "unique": true},
            {"name": "starts", "column_type": {"kind": "date"}},
            {"name": "ends", "column_type": {"kind": "date"}},
        ],
        "uniques": [{"fields": ["room", "starts"]}, {"name": "one_end", "fields": ["room", "ends"], "nulls_distinct": true}],
        "checks": [{"name": "in_order", "expression": "starts <= ends"}, {"expression": "room <> 13"}],
    })
}

fn predicates() -> Value {
    let value = |ty: Value, value: Value| json!({"type": ty, "value": value});
    let cmp = |op: &str, field: &str, ty: &str| json!(["cmp", op, ["col", field], ["param", ty]]);
    let check = |name: &str, predicate: Value, values: Value| json!({"name": name, "predicate": predicate, "values": values});
    json!({
        "name": "stock",
        "fields": [
            id(),
            {"name": "qty", "field": "quantity", "column_type": {"kind": "integer"}},
            {"name": "price", "column_type": {"kind": "decimal", "precision": 10, "scale": 2}},
            {"name": "label", "column_type": {"kind": "string", "length": 50}},
            {"name": "since", "column_type": {"kind": "date_time"}},
            {"name": "open", "column_type": {"kind": "boolean"}},
        ],
        "checks": [
            check("positive", cmp("gte", "quantity", "integer"), json!([value(json!("integer"), json!(-5))])),
            check("priced", cmp("gt", "price", "decimal"), json!([value(json!("decimal"), json!("0"))])),
            check("quoted", cmp("ne", "label", "text"), json!([value(json!("text"), json!("it's a \\ \"test\" ? $1"))])),
            check("begins", json!(["match", "startswith", ["col", "label"], ["param", "text"]]), json!([value(json!("text"), json!("a%'_*["))])),
            check("has", json!(["match", "contains", ["col", "label"], ["param", "text"]]), json!([value(json!("text"), json!("50%"))])),
            check("listed", json!(["in", ["col", "label"], ["param", ["array", "text"]]]), json!([value(json!(["array", "text"]), json!(["a%'_*[50%", "b"]))])),
            check("unlisted", json!(["not_in", ["col", "quantity"], ["param", ["array", "integer"]]]), json!([value(json!(["array", "integer"]), json!([]))])),
            check("recent", json!(["or", ["not", ["col", "open"]], cmp("gte", "since", "date_time")]), json!([value(json!("date_time"), json!("2020-01-01T00:00:00"))])),
            check("even", json!(["cmp", "eq", ["arith", "mod", ["col", "quantity"], ["param", "integer"]], ["param", "integer"]]),
                  json!([value(json!("integer"), json!(2)), value(json!("integer"), json!(0))])),
            check("wide", json!(["between", ["func", "length", ["col", "label"]], ["param", "integer"], ["param", "integer"]]),
                  json!([value(json!("integer"), json!(1)), value(json!("integer"), json!(50))])),
        ],
    })
}

fn defaults() -> Value {
    let field = |name: &str, ty: Value, default: Value| json!({"name": name, "column_type": ty, "default_value": default});
    let plain =
        |kind: &str, default: Value| field(&format!("d_{kind}"), json!({"kind": kind}), default);
    json!({
        "name": "defaulted",
        "fields": [
            id(),
            plain("integer", json!(-1)), plain("double", json!(1.5)), plain("boolean", json!(true)),
            field("d_no", json!("boolean"), json!(false)),
            plain("text", json!("it's \\n ok")), plain("string", json!("C:\\dir\\")),
            field("d_decimal", json!(["decimal", 10, 2]), json!("7.5")),
            plain("date", json!("2020-02-03")), plain("time", json!("04:05:06")),
            plain("date_time", json!("2020-02-03T04:05:06.7")), plain("date_time_utc", json!("2020-02-03T04:05:06Z")),
            plain("timedelta", json!(1_500_000)), plain("uuid", json!("00000000-0000-0000-0000-00000000000A")),
            plain("blob", json!("00ff27")), plain("json", json!({"a": ["it's", 1, null]})),
            field("d_enum", json!(["enum", "size", ["s", "m'"]]), json!("m'")),
            field("d_array", json!(["array", "integer"]), json!([1, 2])),
            field("d_texts", json!(["array", "text"]), json!(["it's", "\\"])),
            {"name": "d_sql", "column_type": {"kind": "integer"}, "default": "1 + 1"},
            {"name": "d_now", "column_type": {"kind": "date_time"}, "default": ["now"]},
            {"name": "d_now_utc", "column_type": {"kind": "date_time_utc"}, "default": ["now"]},
            {"name": "d_today", "column_type": {"kind": "date"}, "default": {"predicate": ["now"]}},
            {"name": "d_null", "column_type": {"kind": "integer"}, "nullable": true, "default_value": null},
        ],
    })
}

fn indexes() -> Value {
    json!({
        "name": "page",
        "fields": [
            id(),
            {"name": "slug", "column_type": {"kind": "string", "length": 80}},
            {"name": "views", "column_type": {"kind": "big_integer"}},
        ],
        "indexes": [
            {"fields": ["slug"]},
            {"name": "popular", "fields": ["views", "slug"], "unique": true},
            {"fields": ["views"], "method": "btree", "name": "tree"},
        ],
    })
}

/// Columns of which an index may hold only a part.
fn with_long(more: Value) -> Value {
    let field = |name: &str, ty: Value| json!({"name": name, "column_type": ty, "nullable": true});
    let mut table = json!({"name": "long", "fields": [
        id(), field("body", json!("text")), field("data", json!("blob")), field("line", json!(["string", 800])),
        field("doc", json!("json"))]});
    let table_map = table.as_object_mut().unwrap();
    table_map.extend(more.as_object().unwrap().clone());
    table
}

fn with_index(index: Value) -> Value {
    json!({"name": "t", "fields": [
        {"name": "name", "column_type": {"kind": "string", "length": 50}},
        {"name": "n", "column_type": {"kind": "integer"}, "nullable": true},
        {"name": "tags", "column_type": {"kind": "json"}, "nullable": true}], "indexes": [index]})
}

fn with_unique(unique: Value) -> Value {
    json!({"name": "t", "fields": [
        {"name": "name", "column_type": {"kind": "string", "length": 50}},
        {"name": "n", "column_type": {"kind": "integer"}, "nullable": true}], "uniques": [unique]})
}

fn with_parent(extra: Value) -> Value {
    json!({"name": "node", "fields": [
        id(),
        {"name": "parent_id", "column_type": {"kind": "big_integer"}, "default_value": 1}],
        "foreign_keys": [reference("parent_id", "node", extra)]})
}

fn verbatim() -> Value {
    let field = |name: &str, db_type: &str| json!({"name": name, "column_type": {"kind": "unknown"}, "db_type": db_type, "nullable": true});
    json!({
        "name": "typed_by_hand",
        "fields": [
            {"name": "id", "column_type": {"kind": "big_integer"}, "db_type": "bigserial", "primary_key": true},
            field("exact", "NUMERIC(7, 3)"),
            field("fixed", "CHAR(5)"),
            {"name": "word", "column_type": {"kind": "string"}, "db_type": "VARCHAR(40)", "default_value": "x"},
        ],
    })
}

fn generated() -> Value {
    json!({
        "name": "box",
        "fields": [
            id(),
            {"name": "w", "column_type": {"kind": "integer"}},
            {"name": "h", "column_type": {"kind": "integer"}},
            {"name": "area", "column_type": {"kind": "integer"}, "generated": {"expression": "w * h", "stored": true}},
            {"name": "half", "column_type": {"kind": "double"}, "nullable": true,
             "generated": {"expression": {"predicate": ["arith", "div", ["col", "w"], ["param", "integer"]], "values": [{"type": "integer", "value": 2}]}}},
        ],
    })
}

fn hostile() -> Value {
    json!({
        "name": "ta\"b`l'e; DROP -- \\",
        "comment": "'); DROP TABLE x; --",
        "fields": [
            {"name": "i\"d`", "column_type": {"kind": "big_integer"}, "primary_key": true},
            {"name": "größe €", "column_type": {"kind": "integer"}, "comment": "\\'"},
            {"name": "select", "column_type": {"kind": "enum", "name": "e\"n`um", "values": ["a'b", "\\"]}, "default_value": "\\"},
            {"name": "?", "column_type": {"kind": "integer"}, "nullable": true},
            {"name": "$1", "column_type": {"kind": "integer"}, "nullable": true},
        ],
        "indexes": [{"name": "in\"d`ex", "fields": ["?", "$1"]}],
        "uniques": [{"name": "u\"n`i", "fields": ["größe €"]}],
        "checks": [{"predicate": ["cmp", "lt", ["arith", "add", ["col", "?"], ["col", "$1"]], ["param", "integer"]], "values": [{"type": "integer", "value": 9}]}],
    })
}
