//! Tables are what the documents say.

use mysql::Value;
use oxyde_sql::{SchemaDoc, create_statements};
use serde_json::{Value as Json, json};

use crate::place::{Place, text};

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
