//! Texts are found and changed as Python does it, under any collation.

use serde_json::{Value as Json, json};

use crate::cases::{col, param};
use crate::place::{Place, access, given, in_list, list, not_in, text};

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
