//! Values in lists, and members of arrays.

use serde_json::{Value as Json, json};

use crate::cases::{self, col, param};
use crate::place::{Place, access, given, in_list, list, not_in, text};

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
