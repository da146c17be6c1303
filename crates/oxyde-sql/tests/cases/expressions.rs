//! Expressions: comparisons, lookups, arithmetic, functions.

use serde_json::{Value, json};

use super::{Group, col, filter, mood, output, param};

pub fn groups() -> Vec<Group> {
    vec![
        Group {
            name: "compare",
            cases: compare(),
        },
        Group {
            name: "in_list",
            cases: in_list(),
        },
        Group {
            name: "match",
            cases: matches(),
        },
        Group {
            name: "logic",
            cases: logic(),
        },
        Group {
            name: "arithmetic",
            cases: arithmetic(),
        },
        Group {
            name: "function",
            cases: function(),
        },
    ]
}

fn cmp(op: &str, a: Value, b: Value) -> Value {
    json!(["cmp", op, a, b])
}

fn compare() -> Vec<super::Case> {
    let decimal = || param(json!(["decimal", 10, 2]));
    vec![
        filter("equal", cmp("eq", col("name"), param("text"))),
        filter("not equal", cmp("ne", col("name"), param("text"))),
        filter("less", cmp("lt", col("age"), param("integer"))),
        filter("at least", cmp("gte", col("created"), param("date_time"))),
        filter("two columns", cmp("gt", col("age"), col("rank"))),
        filter(
            "between",
            json!(["between", col("born"), param("date"), param("date")]),
        ),
        filter("is null", json!(["is_null", col("bio")])),
        filter("is not null", json!(["is_not_null", col("bio")])),
        filter("boolean", cmp("eq", col("active"), json!(["true"]))),
        filter("enum", cmp("eq", col("kind"), param(mood()))),
        filter("uuid", cmp("eq", col("key"), param("uuid"))),
        filter("float of 32 bits", cmp("eq", col("ratio"), param("real"))),
        filter("bytes", cmp("eq", col("avatar"), param("blob"))),
        filter("decimal equal", cmp("eq", col("price"), decimal())),
        filter(
            "decimal equal to another scale",
            cmp("eq", col("price"), col("total")),
        ),
        filter("decimal less", cmp("lt", col("price"), decimal())),
        filter(
            "decimal between",
            json!(["between", col("price"), decimal(), decimal()]),
        ),
        filter(
            "decimal against integer",
            cmp("gt", col("total"), param("big_integer")),
        ),
        filter("json equal", cmp("eq", col("meta"), param("json"))),
        filter("json not equal", cmp("ne", col("meta"), param("json"))),
        filter("json less", cmp("lt", col("meta"), param("json"))),
        filter(
            "array equal",
            cmp("eq", col("tags"), param(json!(["array", "text"]))),
        ),
        filter("before now", cmp("lt", col("created"), json!(["now"]))),
        filter(
            "before now with zone",
            cmp("lt", col("seen"), json!(["now"])),
        ),
        filter(
            "with and without zone",
            cmp("lt", col("created"), col("seen")),
        ),
        filter(
            "with zone against a parameter without",
            cmp("lt", col("seen"), param("date_time")),
        ),
        filter(
            "without zone against a parameter with",
            json!(["between", col("created"), param("date_time_utc"), ["now"]]),
        ),
        filter(
            "date and time with zone",
            cmp("eq", col("born"), col("seen")),
        ),
        filter(
            "trusted text",
            cmp("eq", col("id"), json!(["sql", "1 + 1"])),
        ),
    ]
}

fn in_list() -> Vec<super::Case> {
    let list = |field: &str, ty: Value| json!(["in", col(field), param(json!(["array", ty]))]);
    vec![
        filter("integers", list("id", json!("big_integer"))),
        filter(
            "not in",
            json!(["not_in", col("id"), param(json!(["array", "big_integer"]))]),
        ),
        filter("texts", list("name", json!(["string", 120]))),
        filter("floats", list("score", json!("double"))),
        filter("floats of 32 bits", list("ratio", json!("real"))),
        filter("booleans", list("active", json!("boolean"))),
        filter("decimals", list("price", json!(["decimal", 10, 2]))),
        filter("decimals of another scale", list("price", json!("decimal"))),
        filter("uuids", list("key", json!("uuid"))),
        filter("dates", list("born", json!("date"))),
        filter("times", list("wakes", json!("time"))),
        filter("timestamps", list("created", json!("date_time"))),
        filter("timestamps with zone", list("seen", json!("date_time_utc"))),
        filter("durations", list("shift", json!("timedelta"))),
        filter("enums", list("kind", mood())),
        filter("bytes", list("avatar", json!("blob"))),
        filter("json", list("meta", json!("json"))),
        filter("arrays", list("tags", json!(["array", "text"]))),
        filter(
            "an expression",
            json!([
                "in",
                ["func", "lower", col("name")],
                param(json!(["array", "text"]))
            ]),
        ),
    ]
}

fn matches() -> Vec<super::Case> {
    const LITERAL: [&str; 7] = [
        "contains",
        "icontains",
        "startswith",
        "istartswith",
        "endswith",
        "iendswith",
        "iexact",
    ];
    const PATTERN: [&str; 4] = ["like", "ilike", "regex", "iregex"];
    const TO_COLUMN: [&str; 7] = [
        "contains a column",
        "icontains a column",
        "startswith a column",
        "istartswith a column",
        "endswith a column",
        "iendswith a column",
        "iexact a column",
    ];
    let mut all = Vec::new();
    for op in LITERAL.into_iter().chain(PATTERN) {
        all.push(filter(op, json!(["match", op, col("name"), param("text")])));
    }
    for (op, name) in LITERAL.into_iter().zip(TO_COLUMN) {
        all.push(filter(name, json!(["match", op, col("name"), col("bio")])));
    }
    all.push(filter(
        "contains in an enum",
        json!(["match", "contains", col("kind"), param("text")]),
    ));
    all.push(filter(
        "icontains in a sum",
        json!([
            "match",
            "icontains",
            ["arith", "add", col("name"), col("bio")],
            param("text")
        ]),
    ));
    all
}

fn logic() -> Vec<super::Case> {
    let a = || cmp("eq", col("age"), param("integer"));
    let b = || json!(["is_null", col("bio")]);
    let c = || json!(["match", "contains", col("name"), param("text")]);
    vec![
        filter("and", json!(["and", a(), b(), c()])),
        filter("or", json!(["or", a(), b(), c()])),
        filter("or inside and", json!(["and", a(), ["or", b(), c()]])),
        filter("and inside or", json!(["or", ["and", a(), b()], c()])),
        filter(
            "between inside and",
            json!([
                "and",
                ["between", col("age"), param("integer"), param("integer")],
                b()
            ]),
        ),
        filter("not", json!(["not", a()])),
        filter("not or", json!(["not", ["or", a(), b()]])),
        filter("xor", json!(["xor", a(), b()])),
        filter(
            "xor inside and",
            json!(["and", ["xor", col("active"), a()], b()]),
        ),
        filter(
            "boolean column",
            json!(["and", col("active"), ["not", col("active")]]),
        ),
        filter("empty and", json!(["and"])),
        filter("empty or", json!(["or"])),
        filter("true or false", json!(["or", ["true"], ["false"]])),
        filter("condition as value", cmp("eq", col("active"), a())),
    ]
}

fn arithmetic() -> Vec<super::Case> {
    const OPS: [(&str, &str, &str, &str); 7] = [
        ("add", "integer add", "float add", "decimal add"),
        ("sub", "integer sub", "float sub", "decimal sub"),
        ("mul", "integer mul", "float mul", "decimal mul"),
        ("div", "integer div", "float div", "decimal div"),
        (
            "floordiv",
            "integer floordiv",
            "float floordiv",
            "decimal floordiv",
        ),
        ("mod", "integer mod", "float mod", "decimal mod"),
        ("pow", "integer pow", "float pow", "decimal pow"),
    ];
    let mut all = Vec::new();
    for (op, integer, float, decimal) in OPS {
        let kind = if op == "div" || op == "pow" {
            "double"
        } else {
            "big_integer"
        };
        all.push(output(
            integer,
            json!(["arith", op, col("age"), param("big_integer")]),
            json!(kind),
        ));
        all.push(output(
            float,
            json!(["arith", op, col("score"), param("double")]),
            json!("double"),
        ));
        all.push(output(
            decimal,
            json!(["arith", op, col("price"), param("decimal")]),
            json!("decimal"),
        ));
    }
    let sum = |a: Value, b: Value| json!(["arith", "add", a, b]);
    let product = |a: Value, b: Value| json!(["arith", "mul", a, b]);
    all.push(output(
        "sum times",
        product(sum(col("age"), param("integer")), col("rank")),
        json!("big_integer"),
    ));
    all.push(output(
        "sum minus difference",
        json!([
            "arith",
            "sub",
            sum(col("age"), col("rank")),
            ["arith", "sub", col("age"), col("rank")]
        ]),
        json!("big_integer"),
    ));
    all.push(output(
        "negative",
        json!(["neg", col("age")]),
        json!("integer"),
    ));
    all.push(output(
        "negative negative",
        json!(["neg", ["neg", param("integer")]]),
        json!("integer"),
    ));
    all.push(output(
        "negative decimal",
        json!(["neg", col("price")]),
        json!("decimal"),
    ));
    all.push(output(
        "mixed",
        product(col("price"), col("age")),
        json!("decimal"),
    ));
    all.push(output(
        "text sum",
        sum(col("name"), param("text")),
        json!("text"),
    ));
    all.push(output(
        "duration",
        product(col("shift"), param("big_integer")),
        json!("timedelta"),
    ));
    all
}

fn function() -> Vec<super::Case> {
    let call = |name: &str, args: &[Value]| {
        let mut node = vec![json!("func"), json!(name)];
        node.extend_from_slice(args);
        Value::Array(node)
    };
    vec![
        output("lower", call("lower", &[col("name")]), json!("text")),
        output("upper", call("upper", &[col("name")]), json!("text")),
        output(
            "length",
            call("length", &[col("name")]),
            json!("big_integer"),
        ),
        output(
            "length of bytes",
            call("length", &[col("avatar")]),
            json!("big_integer"),
        ),
        output(
            "length of array",
            call("length", &[col("tags")]),
            json!("big_integer"),
        ),
        output(
            "coalesce",
            call("coalesce", &[col("bio"), param("text")]),
            json!("text"),
        ),
        output(
            "coalesce of three",
            call("coalesce", &[col("score"), col("ratio"), param("double")]),
            json!("double"),
        ),
        output(
            "coalesce with now",
            call("coalesce", &[col("seen"), json!(["now"])]),
            json!("date_time_utc"),
        ),
        output(
            "coalesce with and without zone",
            call("coalesce", &[col("created"), col("seen")]),
            json!("date_time"),
        ),
        output("abs", call("abs", &[col("age")]), json!("integer")),
        output(
            "abs of decimal",
            call("abs", &[col("price")]),
            json!("decimal"),
        ),
        output(
            "concat",
            call("concat", &[col("name"), param("text"), col("bio")]),
            json!("text"),
        ),
        output(
            "concat of other types",
            call("concat", &[col("age"), col("kind")]),
            json!("text"),
        ),
        output("trim", call("trim", &[col("name")]), json!("text")),
        output(
            "replace",
            call("replace", &[col("name"), param("text"), param("text")]),
            json!("text"),
        ),
        output(
            "count",
            call("count", &[json!(["star"])]),
            json!("big_integer"),
        ),
        output("now", json!(["now"]), json!("date_time")),
        output("now with zone", call("now", &[]), json!("date_time_utc")),
        output("today", json!(["now"]), json!("date")),
        output("time of day", json!(["now"]), json!("time")),
    ]
}
