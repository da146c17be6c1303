//! Values are equal, smaller and computed as they should be.

use mysql::Value;
use serde_json::json;

use crate::cases::{col, param};
use crate::place::{Place, in_list, list, text};
use crate::server::{Client, shown};

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
