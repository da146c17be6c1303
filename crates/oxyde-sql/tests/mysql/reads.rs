//! The order of rows, and locked ones.

use serde_json::json;

use crate::cases::{col, param};
use crate::place::Place;
use crate::server::Client;

#[test]
fn nulls_go_where_they_are_told() {
    let mut place = Place::new("nulls");
    place
        .run("INSERT INTO sample (id, word) VALUES (1, 'b'), (2, NULL), (3, 'a'), (4, 'B')")
        .unwrap();
    for (direction, nulls, expected) in [
        ("asc", json!(null), "2 4 3 1"),
        ("desc", json!(null), "1 3 4 2"),
        ("asc", json!("first"), "2 4 3 1"),
        ("asc", json!("last"), "4 3 1 2"),
        ("desc", json!("first"), "2 1 3 4"),
        ("desc", json!("last"), "1 3 4 2"),
    ] {
        for (distinct, lock) in [("", ""), ("distinct", ""), ("", "update")] {
            let fields = if distinct.is_empty() {
                json!(["id"])
            } else {
                json!(["id", "word"])
            };
            let order = json!([[col("word"), direction, nulls]]);
            let shape = json!([
                "select", 6, fields, null, order, "lo", distinct, lock, "rows"
            ]);
            let rows = place.ask(&shape, &[10.into(), 0.into()]);
            let ids: Vec<&str> = rows.iter().map(|row| row[0].as_str()).collect();
            assert_eq!(ids.join(" "), expected, "{direction} {nulls}");
        }
    }
    let shape = json!([
        "select",
        6,
        ["id"],
        null,
        [[col("id"), "asc", null]],
        "o",
        "",
        "",
        "rows"
    ]);
    assert_eq!(place.ask(&shape, &[3.into()]), [["4"]]);
    let shape = json!(["select", 6, ["id"], null, [], "o", "", "", "count"]);
    assert_eq!(place.ask(&shape, &[3.into()]), [["1"]]);
}

#[test]
fn locked_rows_are_waited_for_refused_or_left_out() {
    let mut place = Place::new("locks");
    place
        .run("INSERT INTO sample (id) VALUES (1), (2), (3)")
        .unwrap();
    let select = |lock: &str| {
        let order = json!([[col("id"), "asc", null]]);
        json!([
            "select",
            6,
            ["id"],
            ["cmp", "lte", col("id"), param("big_integer")],
            order,
            "",
            "",
            lock,
            "rows"
        ])
    };
    let mut holder = Client::connect();
    holder.target();
    for (held, asked, share) in [
        ("update", "update", false),
        ("share", "update", false),
        ("share", "share", true),
    ] {
        let plan = place.plan(&select(held));
        holder.run(&format!("USE {}", place.name)).unwrap();
        holder.run("START TRANSACTION").unwrap();
        // A range would lock the row behind it, too.
        let sql = plan.sql.replace("<=", "=");
        holder.execute(&sql, &[1.into()]).unwrap();
        let nowait = place.try_ask(&select(&format!("{asked}:nowait")), &[2.into()]);
        let skipped = place.ask(&select(&format!("{asked}:skip_locked")), &[3.into()]);
        if share {
            assert_eq!(nowait.unwrap(), [["1"], ["2"]]);
            assert_eq!(skipped, [["1"], ["2"], ["3"]]);
        } else {
            let code = if place.mariadb() { "1205" } else { "3572" };
            assert!(nowait.unwrap_err().starts_with(code));
            assert_eq!(skipped, [["2"], ["3"]]);
        }
        holder.run("ROLLBACK").unwrap();
    }
    let refused = place
        .try_plan(&select("no_key_update"))
        .unwrap_err()
        .to_string();
    assert!(
        refused.contains("does not support FOR NO KEY UPDATE"),
        "{refused}"
    );
}
