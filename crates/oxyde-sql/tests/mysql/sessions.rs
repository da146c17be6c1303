//! A session is the same whatever the server and its time zone are set to.

use mysql::Value;
use oxyde_sql::Target;
use serde_json::json;

use crate::cases::{col, param};
use crate::place::Place;

#[test]
fn a_session_is_set_whatever_the_server_is_set_to() {
    let mut place = Place::new("session");
    let variables = [
        ("character_set_client", "utf8mb4"),
        ("character_set_connection", "utf8mb4"),
        ("character_set_results", "utf8mb4"),
        ("time_zone", "+00:00"),
        ("autocommit", "1"),
        ("completion_type", "NO_CHAIN"),
        ("sql_select_limit", "18446744073709551615"),
        ("foreign_key_checks", "1"),
        ("sql_auto_is_null", "0"),
        ("div_precision_increment", "20"),
    ];
    let differently = "SET NAMES latin1, time_zone = '+05:00', sql_mode = 'ANSI_QUOTES,NO_BACKSLASH_ESCAPES,PIPES_AS_CONCAT', \
                       autocommit = 0, completion_type = 1, sql_select_limit = 1, foreign_key_checks = 0, sql_auto_is_null = 1, \
                       div_precision_increment = 0, group_concat_max_len = 4";
    place.run(differently).unwrap();
    let set = Target::session_sql(place.server.dialect).unwrap();
    place.run(set).unwrap();
    place.run("COMMIT").unwrap();
    for (name, value) in variables {
        assert_eq!(place.rows(&format!("SELECT @@{name}")), [[value]], "{name}");
    }
    let modes = place.rows("SELECT @@sql_mode").concat().concat();
    for mode in [
        "STRICT_ALL_TABLES",
        "NO_AUTO_VALUE_ON_ZERO",
        "ERROR_FOR_DIVISION_BY_ZERO",
    ] {
        assert!(modes.split(',').any(|m| m == mode), "{modes}");
    }
    for mode in ["ANSI_QUOTES", "NO_BACKSLASH_ESCAPES", "PIPES_AS_CONCAT"] {
        assert!(!modes.contains(mode), "{modes}");
    }
    let long = place.rows("SELECT LENGTH(GROUP_CONCAT(a.n)) FROM (SELECT REPEAT('x', 5000) AS n UNION ALL SELECT 'y') AS a");
    assert_eq!(long, [["5002"]]);
    assert!(place.server.mysql.max_packet >= 1 << 20);
    assert_eq!(place.server.mysql.key_step, 1);
    assert!(place.server.version >= place.server.dialect.oldest());
    let mariadb = place.rows("SELECT VERSION() LIKE '%MariaDB%'") == [["1"]];
    assert_eq!(place.mariadb(), mariadb);
}

#[test]
fn times_are_utc_in_every_zone() {
    let mut place = Place::new("times");
    place
        .run("INSERT INTO sample (id, at, day, hour) VALUES (1, '2020-01-01 23:30:00.000001', '2020-01-01', '23:30:00')")
        .unwrap();
    let now = json!([
        "update",
        6,
        [["at", ["now"]], ["day", ["now"]], ["hour", ["now"]]],
        null,
        []
    ]);
    place.ask(&now, &[]);
    let near = place.rows(
        "SELECT ABS(TIMESTAMPDIFF(SECOND, at, UTC_TIMESTAMP())) < 5, ABS(TIMESTAMPDIFF(SECOND, at, TIMESTAMP(day, hour))) < 5, \
         @@time_zone FROM sample",
    );
    assert_eq!(near, [["1", "1", "+00:00"]]);
    let before = json!(["cmp", "lt", col("at"), ["now"]]);
    assert_eq!(place.found(6, before, &[]), [1]);
    // A moment becomes its date or its time of day.
    place
        .run("UPDATE sample SET at = '2020-03-04 05:06:07.000008'")
        .unwrap();
    place.ask(
        &json!([
            "update",
            6,
            [["day", col("at")], ["hour", col("at")]],
            null,
            []
        ]),
        &[],
    );
    assert_eq!(
        place.rows("SELECT day, hour FROM sample"),
        [["2020-03-04", "05:06:07.000008"]]
    );
    let midnight = json!(["cmp", "eq", col("day"), param("date_time")]);
    assert_eq!(
        place.found(6, midnight.clone(), &[Value::Date(2020, 3, 4, 0, 0, 0, 0)]),
        [1]
    );
    assert_eq!(
        place.found(6, midnight, &[Value::Date(2020, 3, 4, 0, 0, 0, 1)]),
        [0; 0]
    );
}
