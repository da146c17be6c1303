//! Statements, bulks, scripts, errors and settings of one SQLite database.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod common;

use common::*;
use oxyde_exec::dispatch::wait;
use oxyde_exec::{
    CellRef, Cells, Code, CursorId, Database, ErrorKind, Job, Outcome, Returning, SqliteConfig,
    Work,
};

#[test]
fn connect_reports_the_version() {
    let db = memory_db();
    let version = first_text(
        &wait(|sink| db.connect(oxyde_exec::LoopId::ANY, sink))
            .0
            .unwrap(),
    );
    assert!(version.starts_with("3."), "{version}");
}

#[test]
fn values_come_back_as_they_went() {
    let db = memory_db();
    let values = [
        CellRef::Null,
        CellRef::Int(i64::MIN),
        CellRef::Real(0.1),
        CellRef::Text("grüße \u{1F600} with \0 NUL".as_bytes()),
        CellRef::Text(b""),
        CellRef::Blob(b"\0\xff"),
        CellRef::Blob(b""),
    ];
    let outcome = run(&db, read_work("SELECT ?, ?, ?, ?, ?, ?, ?", cells(&values))).unwrap();
    assert_eq!(outcome.rows.rows(), 1);
    assert_eq!(outcome.rows.row(0).collect::<Vec<_>>(), values);
    assert!(outcome.names.is_empty());
}

#[test]
fn affected_rows_and_names() {
    let db = memory_db();
    assert_eq!(
        exec(&db, "CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER)")
            .unwrap()
            .affected,
        0
    );
    let insert = exec(&db, "INSERT INTO t (n) VALUES (1), (2), (3)").unwrap();
    assert_eq!(
        (insert.affected, insert.last_insert_id, insert.rows.width),
        (3, 3, 0)
    );
    assert_eq!(
        exec(&db, "CREATE INDEX i ON t (n)").unwrap().affected,
        0,
        "DDL after an INSERT changes no rows"
    );
    assert_eq!(
        exec(&db, "UPDATE t SET n = n + 1 WHERE id > 1")
            .unwrap()
            .affected,
        2
    );
    assert_eq!(
        exec(&db, "UPDATE t SET n = 0 WHERE id > 9")
            .unwrap()
            .affected,
        0
    );
    let returned = exec(&db, "DELETE FROM t WHERE id < 3 RETURNING id").unwrap();
    assert_eq!((returned.affected, returned.rows.rows()), (2, 2));
    let raw = run(&db, raw_work("SELECT id AS a, n AS b FROM t")).unwrap();
    assert_eq!(raw.names, ["a", "b"]);
    assert_eq!(
        run(
            &db,
            read_work("SELECT id FROM t WHERE id = 99", Cells::new())
        )
        .unwrap()
        .rows
        .rows(),
        0
    );
}

#[test]
fn errors_name_what_failed() {
    let db = memory_db();
    let script = [
        "CREATE TABLE p (id INTEGER PRIMARY KEY)",
        "CREATE TABLE t (id INTEGER PRIMARY KEY, email TEXT NOT NULL, a INT, b INT, p_id INT REFERENCES p, \
         CONSTRAINT positive CHECK (a > 0), UNIQUE (a, b)); CREATE UNIQUE INDEX t_email ON t (email);",
        "CREATE TABLE s (n INTEGER) STRICT",
        "INSERT INTO t (email, a, b) VALUES ('x', 1, 1)",
    ];
    run(&db, Work::Script(script.map(str::to_owned).to_vec())).unwrap();
    type Case = (
        &'static str,
        ErrorKind,
        Option<&'static str>,
        Option<&'static str>,
        Option<&'static str>,
    );
    let cases: [Case; 12] = [
        (
            "INSERT INTO t (email) VALUES ('x')",
            ErrorKind::Unique,
            Some("t"),
            Some("email"),
            None,
        ),
        (
            "INSERT INTO t (email, a, b) VALUES ('y', 1, 1)",
            ErrorKind::Unique,
            Some("t"),
            None,
            None,
        ),
        (
            "INSERT INTO t (id, email) VALUES (1, 'z')",
            ErrorKind::Unique,
            Some("t"),
            Some("id"),
            None,
        ),
        (
            "INSERT INTO t (email) VALUES (NULL)",
            ErrorKind::NotNull,
            Some("t"),
            Some("email"),
            None,
        ),
        (
            "INSERT INTO t (email, a) VALUES ('y', 0)",
            ErrorKind::Check,
            None,
            None,
            Some("positive"),
        ),
        (
            "INSERT INTO t (email, p_id) VALUES ('y', 7)",
            ErrorKind::ForeignKey,
            None,
            None,
            None,
        ),
        (
            "INSERT INTO s VALUES ('text')",
            ErrorKind::Data,
            Some("s"),
            Some("n"),
            None,
        ),
        (
            "SELECT * FROM missing",
            ErrorKind::Programming,
            Some("missing"),
            None,
            None,
        ),
        (
            "SELECT missing FROM t",
            ErrorKind::Programming,
            None,
            Some("missing"),
            None,
        ),
        ("SELEC 1", ErrorKind::Programming, None, None, None),
        (
            "SELECT 1; SELECT 2",
            ErrorKind::Programming,
            None,
            None,
            None,
        ),
        (
            "SELECT oxyde_regexp('(', 'x')",
            ErrorKind::Data,
            None,
            None,
            None,
        ),
    ];
    for (sql, kind, table, column, constraint) in cases {
        let error = exec(&db, sql).unwrap_err();
        assert_eq!(error.kind, kind, "{sql}: {error:?}");
        assert_eq!(
            (
                error.table.as_deref(),
                error.column.as_deref(),
                error.constraint.as_deref()
            ),
            (table, column, constraint),
            "{sql}: {error:?}"
        );
        assert!(!error.retryable);
    }
    assert_eq!(
        exec(&db, "INSERT INTO t (email) VALUES ('x')")
            .unwrap_err()
            .code,
        Some(Code::Number(2067))
    );
    let error = run(&db, write_work("SELECT ?", Cells::new())).unwrap_err();
    assert!(error.message.contains("1 parameters, but 0"), "{error}");
    assert_eq!(
        run(&db, raw_work("  -- nothing\n")).unwrap_err().kind,
        ErrorKind::Programming
    );
    assert_eq!(
        exec(&db, "INSERT INTO t (email) VALUES ('fine')")
            .unwrap()
            .affected,
        1
    );
}

#[test]
fn bulk_is_atomic_and_returns_rows() {
    let db = memory_db();
    exec(
        &db,
        "CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER UNIQUE, s TEXT)",
    )
    .unwrap();
    let mut params = Cells::new();
    for n in 0..10_000 {
        params.push_int(n);
        params.push_text(&format!("row {n}"));
    }
    let bulk = |params: Cells, returning| Work::Bulk {
        sql: if returning {
            "INSERT INTO t (n, s) VALUES (?, ?) RETURNING id"
        } else {
            "INSERT INTO t (n, s) VALUES (?, ?)"
        }
        .into(),
        params,
        width: 2,
        returning: if returning {
            Returning::Rows
        } else {
            Returning::Nothing
        },
    };
    let outcome = run(&db, bulk(params, true)).unwrap();
    assert_eq!((outcome.affected, outcome.rows.rows()), (10_000, 10_000));
    assert_eq!(outcome.rows.get(9_999, 0), Some(CellRef::Int(10_000)));

    // The third row collides: nothing of it stays, and the error says which row it was.
    let rows = || {
        let mut params = Cells::new();
        for n in [20_000, 20_001, 5, 20_002] {
            params.push_int(n);
            params.push_text("x");
        }
        params
    };
    let error = run(&db, bulk(rows(), false)).unwrap_err();
    assert_eq!(
        (error.kind, error.detail.as_deref()),
        (ErrorKind::Unique, Some("row 3 of 4"))
    );
    assert_eq!(int(&db, "SELECT count(*) FROM t"), 10_000);

    // Inside a transaction: a savepoint, and the transaction goes on.
    let lease = begun(&db);
    in_lease(
        &lease,
        write_work("INSERT INTO t (n) VALUES (30000)", Cells::new()),
    )
    .0
    .unwrap();
    assert_eq!(
        in_lease(&lease, bulk(rows(), true)).0.unwrap_err().kind,
        ErrorKind::Unique
    );
    commit(&lease).unwrap();
    assert_eq!(int(&db, "SELECT count(*) FROM t"), 10_001);

    let odd = Work::Bulk {
        sql: "INSERT INTO t (n, s) VALUES (?, ?)".into(),
        params: ints(&[1, 2, 3]),
        width: 2,
        returning: Returning::Nothing,
    };
    assert_eq!(run(&db, odd).unwrap_err().kind, ErrorKind::Internal);
    let none = Work::Bulk {
        sql: "INSERT INTO t (n, s) VALUES (?, ?)".into(),
        params: Cells::new(),
        width: 2,
        returning: Returning::Rows,
    };
    assert_eq!(run(&db, none).unwrap().rows.rows(), 0);

    // Without RETURNING the numbers of the rows do, where they are the key.
    let numbered = |table: &str, check: &str| {
        let mut params = Cells::new();
        for n in [40_000, 40_001] {
            params.push_int(n);
        }
        let work = Work::Bulk {
            sql: format!("INSERT INTO {table} (n) VALUES (?)").into(),
            params,
            width: 1,
            returning: Returning::RowNumbers {
                check: check.into(),
            },
        };
        run(&db, work)
    };
    let check = "SELECT id IS rowid FROM t WHERE rowid = last_insert_rowid()";
    let outcome = numbered("t", check).unwrap();
    let last = int(&db, "SELECT id FROM t WHERE n = 40001");
    assert_eq!(outcome.rows.get(0, 0), Some(CellRef::Int(last - 1)));
    assert_eq!(outcome.rows.get(1, 0), Some(CellRef::Int(last)));
    // A BIGINT key is no row number: such rows would have no key at all, so none is inserted.
    exec(&db, "CREATE TABLE odd (id BIGINT PRIMARY KEY, n INTEGER)").unwrap();
    let check = "SELECT id IS rowid FROM odd WHERE rowid = last_insert_rowid()";
    assert_eq!(numbered("odd", check).unwrap_err().kind, ErrorKind::Data);
    assert_eq!(int(&db, "SELECT count(*) FROM odd"), 0);
}

#[test]
fn script_is_all_or_nothing() {
    let db = memory_db();
    let script = [
        "CREATE TABLE a (id INTEGER); INSERT INTO a VALUES (1);",
        "INSERT INTO missing VALUES (1)",
    ];
    let error = run(&db, Work::Script(script.map(str::to_owned).to_vec())).unwrap_err();
    assert_eq!(
        (error.kind, error.detail.as_deref()),
        (ErrorKind::Programming, Some("statement 2 of 2"))
    );
    assert_eq!(int(&db, "SELECT count(*) FROM sqlite_schema"), 0);
    let sneaky = ["CREATE TABLE a (id INTEGER)", "COMMIT"];
    let error = run(&db, Work::Script(sneaky.map(str::to_owned).to_vec())).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Transaction);
    assert_eq!(
        exec(&db, "CREATE TABLE b (id INTEGER)").unwrap().affected,
        0
    );
}

#[test]
fn a_transaction_opened_by_raw_sql_does_not_leak() {
    let db = memory_db();
    exec(&db, "CREATE TABLE t (id INTEGER)").unwrap();
    let error = run(&db, raw_work("BEGIN")).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Transaction);
    assert!(error.hint.as_deref().unwrap().contains("atomic()"));
    exec(&db, "INSERT INTO t VALUES (1)").unwrap();
    commit(&begun(&db)).unwrap();
    assert_eq!(int(&db, "SELECT count(*) FROM t"), 1);
}

#[test]
fn session_state_does_not_leak() {
    let dir = tempfile::tempdir().unwrap();
    for db in [file_db(&dir.path().join("a.db")), memory_db()] {
        assert_eq!(first_int(&exec(&db, "PRAGMA foreign_keys").unwrap()), 1);
        run(&db, raw_work("PRAGMA foreign_keys=OFF")).unwrap();
        assert_eq!(first_int(&exec(&db, "PRAGMA foreign_keys").unwrap()), 1);
        run(
            &db,
            Work::Script(vec!["PRAGMA defer_foreign_keys=ON".into()]),
        )
        .unwrap();
        assert_eq!(
            first_int(&exec(&db, "PRAGMA defer_foreign_keys").unwrap()),
            0
        );
        run(&db, raw_work("PRAGMA synchronous=OFF")).unwrap();
        assert_eq!(first_int(&exec(&db, "PRAGMA synchronous").unwrap()), 1);
        assert_quiet(&db);
    }
}

#[test]
fn settings_reach_every_connection() {
    let dir = tempfile::tempdir().unwrap();
    let db = Database::sqlite(SqliteConfig {
        journal_mode: "truncate".into(),
        synchronous: "full".into(),
        cache_size: Some(-4321),
        on_connect: vec!["PRAGMA temp_store=MEMORY".into()],
        ..config(&dir.path().join("a.db"))
    })
    .unwrap();
    for make in [write_work, read_work] {
        let pragma = |name: &str| run(&db, make(&format!("PRAGMA {name}"), Cells::new())).unwrap();
        assert_eq!(first_int(&pragma("foreign_keys")), 1);
        assert_eq!(first_int(&pragma("synchronous")), 2);
        assert_eq!(first_int(&pragma("cache_size")), -4321);
        assert_eq!(first_int(&pragma("temp_store")), 2);
    }
    let db = file_db(&dir.path().join("b.db"));
    assert_eq!(
        first_text(&exec(&db, "PRAGMA journal_mode").unwrap()),
        "wal"
    );
    for (field, value) in [("journal_mode", "WAHL"), ("synchronous", "MAYBE")] {
        let mut config = SqliteConfig::default();
        match field {
            "journal_mode" => config.journal_mode = value.into(),
            _ => config.synchronous = value.into(),
        }
        let error = Database::sqlite(config).unwrap_err();
        assert!(error.message.contains(value), "{error}");
    }
    let options = vec![("sharing".to_owned(), "no".to_owned())];
    assert!(
        Database::sqlite(SqliteConfig {
            options,
            ..SqliteConfig::default()
        })
        .is_err()
    );
}

#[test]
fn reads_first_make_the_file_and_see_every_commit() {
    let dir = tempfile::tempdir().unwrap();
    let db = Database::sqlite(config(&dir.path().join("a.db"))).unwrap();
    assert_eq!(int(&db, "SELECT count(*) FROM sqlite_schema"), 0);
    exec(&db, "CREATE TABLE t (id INTEGER PRIMARY KEY)").unwrap();
    for n in 1..200 {
        exec(&db, "INSERT INTO t DEFAULT VALUES").unwrap();
        assert_eq!(int(&db, "SELECT count(*) FROM t"), n);
    }
    let error = run(&db, read_work("INSERT INTO t DEFAULT VALUES", Cells::new())).unwrap_err();
    assert_eq!(
        error.kind,
        ErrorKind::Operational,
        "a reader cannot write: {error:?}"
    );
    close(&db);
}

#[test]
fn memory_databases_have_one_connection() {
    let db = memory_db();
    exec(&db, "CREATE TABLE t (id INTEGER PRIMARY KEY)").unwrap();
    let (sender, receiver) = crossbeam_channel::unbounded();
    for _ in 0..50 {
        for make in [write_work, read_work] {
            let sender = sender.clone();
            let job = Job::new(make("SELECT count(*) FROM t", Cells::new()));
            db.run(
                job,
                None,
                Box::new(move |result, _| sender.send(result).unwrap()),
            );
        }
    }
    for _ in 0..100 {
        assert_eq!(first_int(&receiver.recv().unwrap().unwrap()), 0);
    }
    assert_eq!(db.stats().size, 1);
    assert!(db.inline_lock().is_none());
    db.expire(std::time::Instant::now() + std::time::Duration::from_secs(100_000));
    assert_eq!(int(&db, "SELECT count(*) FROM t"), 0, "never reaped");
    let stats = db.stats();
    assert_eq!(
        (
            stats.size,
            stats.in_use,
            stats.waiting,
            stats.max_connections
        ),
        (1, 0, 0, 1)
    );
    assert_eq!(stats.acquired, 102);
}

#[test]
fn what_cannot_be_opened_says_why() {
    let dir = tempfile::tempdir().unwrap();
    let plain = dir.path().join("plain.txt");
    std::fs::write(
        &plain,
        "this is not a database file, but longer than a header would be. ".repeat(64),
    )
    .unwrap();
    let cases = [
        (dir.path().join("no/such/dir.db"), "does not exist"),
        (dir.path().to_owned(), "is a directory"),
        (plain.join("below.db"), "is not a directory"),
        (plain, "not a SQLite database"),
        ("/proc/oxyde.db".into(), "no file can be made in /proc"),
    ];
    for (path, hint) in cases {
        let db = Database::sqlite(config(&path)).unwrap();
        for attempt in 0..2 {
            let error = wait(|sink| db.connect(oxyde_exec::LoopId::ANY, sink))
                .0
                .unwrap_err();
            assert_eq!(
                error.kind,
                ErrorKind::Connect,
                "{}: {error:?}",
                path.display()
            );
            assert!(
                error.hint.as_deref().unwrap_or_default().contains(hint),
                "{}: {error:?}",
                path.display()
            );
            if attempt == 0 {
                // The second waits for the back-off.
                std::thread::sleep(std::time::Duration::from_millis(110));
                db.expire(std::time::Instant::now());
            }
        }
        close(&db);
    }
}

#[test]
fn read_only_files() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("with space & 100%.db");
    let db = file_db(&path);
    exec(&db, "CREATE TABLE t (id INTEGER PRIMARY KEY)").unwrap();
    exec(&db, "INSERT INTO t VALUES (1)").unwrap();
    close(&db);
    for options in [("mode", "ro"), ("immutable", "1")] {
        let options = vec![(options.0.to_owned(), options.1.to_owned())];
        let db = Database::sqlite(SqliteConfig {
            options,
            ..config(&path)
        })
        .unwrap();
        assert_eq!(int(&db, "SELECT id FROM t"), 1);
        let error = exec(&db, "INSERT INTO t VALUES (2)").unwrap_err();
        assert_eq!(error.kind, ErrorKind::Operational, "{error:?}");
        assert!(error.message.contains("readonly"), "{error}");
        close(&db);
    }
    let options = vec![("mode".to_owned(), "rw".to_owned())];
    let db = Database::sqlite(SqliteConfig {
        options,
        ..config(&dir.path().join("missing.db"))
    })
    .unwrap();
    assert_eq!(exec(&db, "SELECT 1").unwrap_err().kind, ErrorKind::Connect);
}

#[test]
fn a_corrupt_file_is_a_typed_error() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    let db = file_db(&path);
    exec(&db, "CREATE TABLE t (id INTEGER PRIMARY KEY, s TEXT)").unwrap();
    exec(
        &db,
        "INSERT INTO t SELECT value, hex(randomblob(200)) FROM json_each('[1,2,3,4,5,6,7,8,9]')",
    )
    .unwrap();
    close(&db);
    let mut bytes = std::fs::read(&path).unwrap();
    for byte in bytes.iter_mut().skip(4096) {
        *byte = 0x5a;
    }
    std::fs::write(&path, bytes).unwrap();
    let db = Database::sqlite(config(&path)).unwrap();
    let error = run(&db, read_work("SELECT * FROM t", Cells::new())).unwrap_err();
    assert_eq!(
        (error.kind, error.retryable),
        (ErrorKind::Operational, false),
        "{error:?}"
    );
    close(&db);
}

#[test]
fn functions() {
    let db = memory_db();
    let text = |sql: &str| first_text(&exec(&db, &format!("SELECT {sql}")).unwrap());
    let truth = |sql: &str| first_int(&exec(&db, &format!("SELECT {sql}")).unwrap());
    assert_eq!(text("oxyde_lower('ÄÖÜ ΟΣ')"), "äöü ος");
    assert_eq!(text("oxyde_upper('straße')"), "STRASSE");
    assert_eq!(truth("oxyde_like('A\\_%', 'A_bc')"), 1);
    assert_eq!(truth("oxyde_like('a\\_%', 'A_bc')"), 0);
    assert_eq!(truth("oxyde_ilike('ä%', 'ÄRGER')"), 1);
    assert_eq!(truth("oxyde_regexp('^a+$', 'aaa')"), 1);
    assert_eq!(truth("oxyde_regexp('^a+$', 'AAA')"), 0);
    assert_eq!(truth("oxyde_iregexp('^a+$', 'AAA')"), 1);
    assert_eq!(
        truth(
            "oxyde_lower(NULL) IS NULL AND oxyde_like(NULL, 'a') IS NULL AND oxyde_regexp('a', NULL) IS NULL"
        ),
        1
    );
    assert_eq!(
        truth("oxyde_decimal_key(NULL) IS NULL AND oxyde_decimal_add(NULL, 1) IS NULL"),
        1
    );
    assert_eq!(text("oxyde_decimal_add('0.1', 0.2)"), "0.3");
    assert_eq!(text("oxyde_decimal_mul('1.5', 2, 2)"), "3.00");
    assert_eq!(text("oxyde_decimal_round('-2.5')"), "-3");
    exec(&db, "CREATE TABLE d (x TEXT)").unwrap();
    assert_eq!(
        truth(
            "oxyde_decimal_sum(x) IS NULL AND oxyde_decimal_min(x) IS NULL AND oxyde_decimal_avg(x) IS NULL FROM d"
        ),
        1
    );
    exec(
        &db,
        "INSERT INTO d VALUES ('9.50'), ('10.25'), (NULL), ('-0.75')",
    )
    .unwrap();
    assert_eq!(text("oxyde_decimal_sum(x) FROM d"), "19");
    assert_eq!(
        text("oxyde_decimal_min(x) || ' ' || oxyde_decimal_max(x) FROM d"),
        "-0.75 10.25"
    );
    assert_eq!(
        text("oxyde_decimal_avg(x) FROM d WHERE x > '9' OR x < '0'"),
        "4.375"
    );
    assert_eq!(
        text(
            "group_concat(x) FROM (SELECT x FROM d WHERE x IS NOT NULL ORDER BY oxyde_decimal_key(x))"
        ),
        "-0.75,9.50,10.25"
    );
    assert_eq!(
        exec(&db, "SELECT oxyde_decimal_div(1, 0)")
            .unwrap_err()
            .kind,
        ErrorKind::Data
    );
    assert_eq!(
        exec(&db, "SELECT oxyde_decimal_key('NaN')")
            .unwrap_err()
            .kind,
        ErrorKind::Data
    );
    let ddl = exec(&db, "CREATE INDEX i ON d (oxyde_lower(x))").unwrap_err();
    assert_eq!(ddl.kind, ErrorKind::Programming, "never in DDL: {ddl:?}");
}

#[test]
fn a_cursor_gives_its_rows_in_pieces() {
    let db = memory_db();
    exec(&db, "CREATE TABLE t (id INTEGER PRIMARY KEY)").unwrap();
    exec(&db, "INSERT INTO t VALUES (1), (2), (3), (4), (5)").unwrap();
    let open = |cursor, sql: &str| Work::OpenCursor {
        cursor,
        statement: Box::new(read_work(sql, Cells::new())),
        rows: 2,
    };
    let fetch = |cursor| Work::Fetch {
        cursor,
        rows: 2,
        reader: None,
    };
    let numbers = |outcome: &Outcome| -> Vec<i64> {
        (0..outcome.rows.rows())
            .map(|row| match outcome.rows.get(row, 0) {
                Some(CellRef::Int(number)) => number,
                other => panic!("{other:?}"),
            })
            .collect()
    };
    let (up, down) = (CursorId::new(), CursorId::new());
    let first = run(&db, open(up, "SELECT id FROM t ORDER BY id")).unwrap();
    assert_eq!((numbers(&first), first.more), (vec![1, 2], true));
    let other = run(&db, open(down, "SELECT id FROM t ORDER BY id DESC")).unwrap();
    assert_eq!((numbers(&other), other.more), (vec![5, 4], true));
    // Other statements go between.
    exec(&db, "UPDATE t SET id = 30 WHERE id = 3").unwrap();
    let next = run(&db, fetch(up)).unwrap();
    assert_eq!((numbers(&next), next.more), (vec![4, 5], true));
    let last = run(&db, fetch(up)).unwrap();
    assert_eq!((numbers(&last), last.more), (vec![30], false));
    assert_eq!(
        run(&db, fetch(up)).unwrap_err().kind,
        ErrorKind::Transaction
    );
    // Closing takes what is left; the table is free.
    run(&db, Work::CloseCursor(down)).unwrap();
    run(&db, Work::CloseCursor(down)).unwrap();
    assert_eq!(
        run(&db, fetch(down)).unwrap_err().kind,
        ErrorKind::Transaction
    );
    exec(&db, "DROP TABLE t").unwrap();
}

#[test]
fn a_cursor_that_fails_is_closed() {
    let db = memory_db();
    let cursor = CursorId::new();
    let sql = "SELECT abs(i) FROM (SELECT 1 AS i UNION ALL SELECT 2 UNION ALL SELECT -9223372036854775807 - 1)";
    let statement = Box::new(read_work(sql, Cells::new()));
    let first = run(
        &db,
        Work::OpenCursor {
            cursor,
            statement,
            rows: 2,
        },
    )
    .unwrap();
    assert!(first.more);
    let fetch = || Work::Fetch {
        cursor,
        rows: 2,
        reader: None,
    };
    assert_eq!(run(&db, fetch()).unwrap_err().kind, ErrorKind::Programming);
    assert_eq!(run(&db, fetch()).unwrap_err().kind, ErrorKind::Transaction);
}
