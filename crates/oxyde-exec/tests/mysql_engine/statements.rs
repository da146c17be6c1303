//! Statements, their parameters and their rows.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use oxyde_exec::dispatch::wait;
use oxyde_exec::query::{Column, Malformed, RawRows, RowReader};
use oxyde_exec::{CellRef, ErrorKind, Work};

use crate::answers::{query, raw, statement};
use crate::home::{Home, close, code, one, open, rows, run, script, write};
use crate::polling::LOOP;

#[test]
#[ignore = "needs a server: nox -s tests-mysql"]
fn statements_prepared_and_again() {
    let (db, driver) = open(|_| ());
    let version = wait(|sink| db.connect(LOOP, sink)).0.unwrap();
    assert!(matches!(version.rows.get(0, 0), Some(CellRef::Text(text)) if text.len() >= 4));
    let sql = statement("SELECT CONCAT(?, '!'), NULL");
    assert_eq!(rows(&db, &sql, &["a"]), [[Some("a!".to_owned()), None]]);
    let before = driver.writes.load(Ordering::Relaxed);
    assert_eq!(rows(&db, &sql, &["b"]), [[Some("b!".to_owned()), None]]);
    assert_eq!(
        driver.writes.load(Ordering::Relaxed) - before,
        1,
        "one flight"
    );
    let (work, kept) = raw("SELECT ?, 2", &["x"]);
    run(&db, work).unwrap();
    assert_eq!(kept.texts()[0][0].as_deref(), Some("x"));
    let (work, _) = query(&statement("SELECT nothing"), &[], true);
    assert_eq!(code(&run(&db, work).unwrap_err()), 1054);
    assert_eq!(db.stats().size, 1);
    close(&db);
}

#[test]
#[ignore = "needs a server: nox -s tests-mysql"]
fn altered_tables_are_not_noticed() {
    let home = Home::new("alter");
    let db = home.one();
    script(
        &db,
        &[
            "CREATE TABLE t (a int, b varchar(20))",
            "INSERT INTO t VALUES (1, 'x')",
        ],
    );
    let sql = statement("SELECT * FROM t WHERE a = ?");
    assert_eq!(rows(&db, &sql, &["1"]).len(), 1);
    for change in [
        "ADD COLUMN c int",
        "MODIFY COLUMN a bigint",
        "MODIFY COLUMN b text",
        "DROP COLUMN c",
    ] {
        script(&db, &[&format!("ALTER TABLE t {change}")]);
        assert_eq!(rows(&db, &sql, &["1"]).len(), 1, "{change}");
    }
    script(&db, &["DROP TABLE t"]);
    let (work, _) = query(&sql, &["1"], true);
    assert_eq!(code(&run(&db, work).unwrap_err()), 1146);
    script(&db, &["CREATE TABLE t (a int)"]);
    assert_eq!(rows(&db, &sql, &["1"]).len(), 0);
    close(&db);
}

#[test]
#[ignore = "needs a server: nox -s tests-mysql"]
fn inserts_tell_their_keys_and_scripts_stop_at_an_error() {
    let home = Home::new("keys");
    let (db, _) = home.open(|_| ());
    script(
        &db,
        &["CREATE TABLE t (a int AUTO_INCREMENT PRIMARY KEY, b int UNIQUE)"],
    );
    let inserted = write(&db, "INSERT INTO t (b) VALUES (1), (2)").unwrap();
    assert_eq!((inserted.affected, inserted.last_insert_id), (2, 1));
    // Rows that are as they should be count.
    assert_eq!(write(&db, "UPDATE t SET b = b").unwrap().affected, 2);
    let statements = [
        "INSERT INTO t (b) VALUES (3)",
        "INSERT INTO t (b) VALUES (3)",
        "INSERT INTO t (b) VALUES (4)",
    ];
    let work = Work::Script(statements.map(str::to_owned).to_vec());
    assert_eq!(run(&db, work).unwrap_err().kind, ErrorKind::Unique);
    assert_eq!(one(&db, "SELECT COUNT(*) FROM t"), "3");
    close(&db);
}

#[test]
#[ignore = "needs a server: nox -s tests-mysql"]
fn large_values_go_both_ways_and_too_large_ones_are_refused() {
    let home = Home::new("large");
    let db = home.one();
    let limit: usize = one(&db, "SELECT CONCAT(@@max_allowed_packet, '')")
        .parse()
        .unwrap();
    script(&db, &["CREATE TABLE t (a int, b longtext)"]);
    let sql = statement("SELECT CONCAT(?, '')");
    for length in [(1 << 16) + 3, limit.min((1 << 24) - 1) - 64] {
        let value = "x".repeat(length);
        let answer = rows(&db, &sql, &[&value]);
        assert_eq!(answer[0][0].as_deref().map(str::len), Some(length));
    }
    // A row that is longer than what the server takes at once.
    script(
        &db,
        &[
            "INSERT INTO t SELECT 1, REPEAT('x', 12000000) UNION ALL SELECT 2, REPEAT('y', 12000000)",
        ],
    );
    let wide = statement("SELECT x.b, y.b FROM t x, t y WHERE x.a = 1 AND y.a = 2");
    let answer = rows(&db, &wide, &[]);
    let lengths: Vec<_> = answer[0].iter().flatten().map(String::len).collect();
    assert_eq!(lengths, [12_000_000, 12_000_000]);
    // What is too long is not sent, and the connection goes on.
    let thread_id = one(&db, "SELECT CONNECTION_ID()");
    if limit < 1 << 27 {
        let (work, _) = query(&sql, &[&"x".repeat(limit)], true);
        let refused = run(&db, work).unwrap_err();
        assert_eq!(refused.kind, ErrorKind::Data);
    }
    assert_eq!(one(&db, "SELECT CONNECTION_ID()"), thread_id);
    close(&db);
}

#[test]
#[ignore = "needs a server: nox -s tests-mysql"]
fn many_rows_arrive_in_order() {
    let home = Home::new("many");
    let db = home.one();
    let digits = "(SELECT 0 d UNION ALL SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3 UNION ALL SELECT 4 UNION ALL \
        SELECT 5 UNION ALL SELECT 6 UNION ALL SELECT 7 UNION ALL SELECT 8 UNION ALL SELECT 9)";
    let sql = format!(
        "SELECT CONCAT(a.d, b.d, c.d, d.d, e.d) n FROM {digits} a, {digits} b, {digits} c, {digits} d, {digits} e \
         ORDER BY n"
    );
    let (work, kept) = query(&statement(&sql), &[], true);
    run(&db, work).unwrap();
    assert_eq!(kept.count(), 100_000);
    for (number, row) in kept.texts().iter().enumerate() {
        assert_eq!(row[0].as_deref(), Some(format!("{number:05}").as_str()));
    }
    close(&db);
}

/// A bug above or in a codec.
struct Panics;

impl RowReader for Panics {
    fn columns(&mut self, _: &Arc<[Column]>) {}

    fn rows(&mut self, _: RawRows<'_>) -> Result<(), Malformed> {
        panic!("a bug in a reader")
    }
}

#[test]
#[ignore = "needs a server: nox -s tests-mysql"]
fn a_panic_is_an_error_of_its_own_and_takes_its_connection_along() {
    let (db, _) = open(|config| config.pool.max_connections = 1);
    std::panic::set_hook(Box::new(|_| ()));
    let mut last = one(&db, "SELECT CONNECTION_ID()");
    for pure_read in [true, false] {
        let mut work = query(&statement("SELECT 1"), &[], pure_read).0;
        if let Work::Query(query) = &mut work {
            query.rows = Some(Box::new(Panics));
        }
        let error = run(&db, work).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Internal, "{error:?}");
        let id = one(&db, "SELECT CONNECTION_ID()");
        assert_ne!(id, last, "the connection was used again");
        last = id;
    }
    let _ = std::panic::take_hook();
    assert_eq!(db.stats().in_use, 0);
    close(&db);
}
