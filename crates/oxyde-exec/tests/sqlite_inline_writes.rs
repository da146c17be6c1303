//! Single writes on the calling thread: what qualifies, what they leave behind, when the writer thread takes over.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod common;

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use common::*;
use oxyde_exec::{
    BeginMode, CellRef, Cells, Database, ErrorKind, ExecError, Inline, Outcome, Rows, SqliteConfig,
    Work,
};

const ADD: &str = "INSERT INTO users (email, n) VALUES (?, ?)";
const SET: &str = "UPDATE users SET n = ? WHERE id = ?";

/// Users 1 to 5000; the write-ahead log has begun.
fn prepared(config: SqliteConfig) -> Arc<Database> {
    let db = Database::sqlite(config).unwrap();
    let script = [
        "CREATE TABLE users (id INTEGER PRIMARY KEY, email TEXT UNIQUE, n INT CHECK (n < 1000000))",
        "CREATE INDEX plain ON users (n)",
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000) \
         INSERT INTO users SELECT i, 'u' || i, 0 FROM n",
        "CREATE TABLE posts (id INTEGER PRIMARY KEY, author_id INT REFERENCES users)",
        "CREATE INDEX authors ON posts (author_id)",
        "INSERT INTO posts VALUES (1, 1)",
    ];
    run(&db, Work::Script(script.map(str::to_owned).to_vec())).unwrap();
    // The script may have made the log long enough for a checkpoint, and then the next write is the thread's.
    let deadline = after(5000);
    while !matches!(write(&db, SET, &ints(&[0, 1])), Ok((Inline::Done, _))) {
        assert!(Instant::now() < deadline);
        run(&db, write_work(SET, ints(&[0, 1]))).unwrap();
    }
    db
}

fn database(dir: &tempfile::TempDir) -> Arc<Database> {
    prepared(config(&dir.path().join("a.db")))
}

/// `Err` when the connection is not to be had.
fn write(db: &Arc<Database>, sql: &str, params: &Cells) -> Result<(Inline, Outcome), ()> {
    let mut out = Outcome::default();
    let mut guard = db.inline_write_lock().ok_or(())?;
    let inline = guard.run(&Arc::from(sql), params, &mut out);
    drop(guard);
    Ok((inline, out))
}

/// As callers do it: inline if possible, else by the writer thread. True if inline.
fn anyhow(db: &Arc<Database>, sql: &Arc<str>, params: &Cells) -> Result<bool, ExecError> {
    let mut out = Outcome::default();
    let inline = db
        .inline_write_lock()
        .map(|mut guard| guard.run(sql, params, &mut out));
    match inline {
        Some(Inline::Done) => Ok(true),
        Some(Inline::Failed(error)) => Err(error),
        _ => run(db, write_work(sql, params.clone())).map(|_| false),
    }
}

fn done(db: &Arc<Database>, sql: &str, params: &Cells) -> Outcome {
    match write(db, sql, params) {
        Ok((Inline::Done, out)) => out,
        other => panic!("{sql}: {other:?}"),
    }
}

fn failed(db: &Arc<Database>, sql: &str, params: &Cells) -> ExecError {
    match write(db, sql, params) {
        Ok((Inline::Failed(error), _)) => error,
        other => panic!("{sql}: {other:?}"),
    }
}

fn user(email: &str, n: i64) -> Cells {
    cells(&[CellRef::Text(email.as_bytes()), CellRef::Int(n)])
}

fn wal_size(dir: &tempfile::TempDir) -> u64 {
    std::fs::metadata(dir.path().join("a.db-wal")).map_or(0, |data| data.len())
}

#[test]
fn only_writes_of_single_rows_are_eligible() {
    let dir = tempfile::tempdir().unwrap();
    let db = database(&dir);
    let more = [
        "CREATE TABLE alone (id INTEGER PRIMARY KEY, user_id INT REFERENCES users)",
        "CREATE TABLE watched (id INTEGER PRIMARY KEY, n INT)",
        "CREATE TRIGGER short AFTER INSERT ON watched BEGIN UPDATE users SET n = 1 WHERE id = new.n; END",
        "CREATE TRIGGER long AFTER DELETE ON watched BEGIN UPDATE users SET n = 1; END",
        "CREATE TABLE parents (id INTEGER PRIMARY KEY)",
        "CREATE TABLE children (id INTEGER PRIMARY KEY, p INT REFERENCES parents ON DELETE CASCADE)",
        "CREATE INDEX by_parent ON children (p)",
    ];
    run(&db, Work::Script(more.map(str::to_owned).to_vec())).unwrap();
    let eligible = [
        "INSERT INTO posts (author_id) VALUES (?)",
        // A table that others refer to, without an index there: nothing is looked for.
        "INSERT INTO users (n) VALUES (?) RETURNING id, email",
        "INSERT INTO users (n) VALUES (?) ON CONFLICT (email) DO UPDATE SET n = excluded.n",
        "INSERT INTO watched (n) VALUES (?)",
        "UPDATE users SET n = 7 WHERE id = ?",
        "UPDATE users SET n = n + 1 WHERE email = ? AND n > 3",
        "UPDATE users SET n = 7 WHERE users.id = ? RETURNING users.id",
        "DELETE FROM posts WHERE id = ?",
        "DELETE FROM children WHERE id = ?",
        "DELETE FROM parents WHERE id = ?",
    ];
    let not = [
        "INSERT INTO posts (author_id) VALUES (?), (2)",
        "INSERT INTO posts (author_id) SELECT n FROM users WHERE id = ?",
        "INSERT INTO posts (author_id) VALUES ((SELECT max(n) FROM users WHERE id = ?))",
        "UPDATE users SET n = ?",
        "UPDATE users SET n = 1 WHERE n = ?",
        "UPDATE users SET n = 1 WHERE id > ?",
        "UPDATE users SET n = (SELECT count(*) FROM posts) WHERE id = ?",
        "DELETE FROM posts",
        "DELETE FROM posts WHERE author_id = ?",
        "DELETE FROM watched WHERE id = ?",
        // Others refer to it without an index: they would be scanned.
        "DELETE FROM users WHERE id = ?",
        "SELECT * FROM users WHERE id = ?",
        "REPLACE INTO posts (id) VALUES (?)",
        "WITH a AS (SELECT 1) DELETE FROM posts WHERE id = ?",
        "BEGIN IMMEDIATE",
        "PRAGMA user_version = 3",
        "CREATE TABLE x (y)",
        "INSERT INTO missing VALUES (?)",
        "DELETE FROM posts WHERE id = ?; DELETE FROM users",
        "nonsense ?",
    ];
    run(&db, write_work(SET, ints(&[0, 1]))).unwrap();
    for sql in eligible {
        for _ in 0..2 {
            done(&db, sql, &ints(&[3]));
        }
    }
    let before = int(&db, "SELECT count(*) FROM posts");
    for sql in not {
        for _ in 0..2 {
            let params = ints(&[1][..usize::from(sql.contains('?'))]);
            match write(&db, sql, &params) {
                Ok((Inline::NotEligible, _)) => {}
                other => panic!("{sql}: {other:?}"),
            }
        }
    }
    assert_eq!(int(&db, "SELECT count(*) FROM posts"), before);
    assert_eq!(
        failed(&db, eligible[0], &Cells::new()).kind,
        ErrorKind::Programming
    );
    // The schema may change: the plan is looked at again.
    exec(&db, "CREATE TRIGGER more AFTER UPDATE ON users BEGIN UPDATE posts SET author_id = 1 WHERE author_id > 5; END").unwrap();
    let (first, _) = write(&db, eligible[4], &ints(&[3])).unwrap();
    let (second, _) = write(&db, eligible[4], &ints(&[3])).unwrap();
    assert!(matches!(first, Inline::Done), "{first:?}");
    assert!(matches!(second, Inline::NotEligible), "{second:?}");
    close(&db);
    assert!(db.inline_write_lock().is_none());
}

#[test]
fn results_and_what_readers_see() {
    let dir = tempfile::tempdir().unwrap();
    let db = database(&dir);
    let sql: Arc<str> = "SELECT n FROM users WHERE id = ?".into();
    for n in 1..300 {
        let out = done(&db, SET, &ints(&[n, 5]));
        assert_eq!((out.affected, out.rows.width), (1, 0));
        // A point look-up and a reader thread.
        let mut rows = Rows::new();
        let inline = db.inline_lock().unwrap().run(&sql, &ints(&[5]), &mut rows);
        assert!(matches!(inline, Inline::Done));
        assert_eq!(rows.get(0, 0), Some(CellRef::Int(n)));
        assert_eq!(int(&db, "SELECT max(n) FROM users"), n);
    }
    assert_eq!(done(&db, SET, &ints(&[1, 99_999])).affected, 0);
    let out = done(&db, ADD, &user("new", 1));
    assert_eq!((out.affected, out.last_insert_id), (1, 5001));
    let returning = format!("{ADD} RETURNING id, email, n");
    let out = done(&db, &returning, &user("newer", 2));
    assert_eq!(
        out.rows.row(0).collect::<Vec<_>>(),
        [CellRef::Int(5002), CellRef::Text(b"newer"), CellRef::Int(2)]
    );
    assert_eq!((out.rows.rows(), out.affected), (1, 1));
    // The same output, reused: nothing is left of the last one.
    let ignore: Arc<str> = format!("{ADD} ON CONFLICT DO NOTHING RETURNING id").into();
    let mut out = out;
    let inline = db
        .inline_write_lock()
        .unwrap()
        .run(&ignore, &user("newer", 3), &mut out);
    assert!(matches!(inline, Inline::Done));
    assert_eq!((out.rows.rows(), out.affected), (0, 0));
    // The statement cache and the data are the writer thread's.
    let lease = begun(&db);
    let (outcome, _) = in_lease(
        &lease,
        read_work("SELECT count(*) FROM users", Cells::new()),
    );
    assert_eq!(first_int(&outcome.unwrap()), 5002);
    rollback(&lease).unwrap();
}

#[test]
fn a_returned_key_is_the_same_either_way() {
    let dir = tempfile::tempdir().unwrap();
    let db = database(&dir);
    let script = [
        "CREATE TABLE texts (id TEXT PRIMARY KEY DEFAULT 'key', n INT)",
        "CREATE TABLE descending (id INTEGER PRIMARY KEY DESC, n INT)",
        "CREATE TABLE bare (id INTEGER PRIMARY KEY, n INT UNIQUE) WITHOUT ROWID",
        "CREATE TABLE numbers (id INTEGER PRIMARY KEY AUTOINCREMENT, n INT UNIQUE)",
        "CREATE TABLE logged (id INTEGER PRIMARY KEY, n INT)",
        "CREATE TABLE log (id INTEGER PRIMARY KEY, n INT)",
        "INSERT INTO log VALUES (70, 0)",
        "CREATE TRIGGER logs AFTER INSERT ON logged BEGIN INSERT INTO log (n) VALUES (new.n); END",
        "CREATE TRIGGER ignores BEFORE INSERT ON logged WHEN new.n = 3 BEGIN SELECT RAISE(IGNORE); END",
        "CREATE VIEW both AS SELECT id, n FROM numbers",
        "CREATE TRIGGER instead INSTEAD OF INSERT ON both BEGIN INSERT INTO log (n) VALUES (new.n); END",
    ];
    run(&db, Work::Script(script.map(str::to_owned).to_vec())).unwrap();
    run(&db, write_work(SET, ints(&[0, 1]))).unwrap();
    let statements = [
        "INSERT INTO \"numbers\" (\"n\") VALUES (?) RETURNING \"id\"",
        "INSERT INTO numbers (n) VALUES (? + 100) RETURNING n",
        "INSERT INTO numbers (n) VALUES (? + 200) RETURNING id, n",
        "INSERT INTO numbers (n) VALUES (?) ON CONFLICT (n) DO UPDATE SET n = n RETURNING id",
        "INSERT INTO numbers (n) VALUES (?) ON CONFLICT DO NOTHING RETURNING id",
        "INSERT INTO numbers (id) VALUES (? * 1000) RETURNING id",
        "INSERT INTO logged (n) VALUES (?) RETURNING id",
        "INSERT INTO texts (id) VALUES (?) RETURNING id",
        "INSERT INTO descending (n) VALUES (?) RETURNING id",
        "INSERT INTO bare (id) VALUES (?) RETURNING id",
        "INSERT INTO both (n) VALUES (?) RETURNING id",
        "INSERT INTO users (n) VALUES (?) RETURNING id",
    ];
    let mut inline = 0;
    for value in 1..5 {
        for sql in statements {
            // The same start for both: once by the thread, in a transaction that is rolled back.
            let lease = begun(&db);
            let expected = in_lease(&lease, write_work(sql, ints(&[value]))).0;
            rollback(&lease).unwrap();
            match (write(&db, sql, &ints(&[value])), expected) {
                (Ok((Inline::Done, out)), Ok(expected)) => {
                    assert_eq!(out.rows.width, expected.rows.width, "{sql} {value}");
                    let cells =
                        |rows: &Rows| format!("{:?}", rows.cells.iter().collect::<Vec<_>>());
                    assert_eq!(cells(&out.rows), cells(&expected.rows), "{sql} {value}");
                    assert_eq!(out.affected, expected.affected, "{sql} {value}");
                    inline += 1;
                }
                other => panic!("{sql}: {other:?}"),
            }
        }
    }
    assert_eq!(inline, 4 * statements.len());
}

#[test]
fn constraint_errors_leave_the_connection_usable() {
    let dir = tempfile::tempdir().unwrap();
    let db = database(&dir);
    for _ in 0..3 {
        let error = failed(&db, ADD, &user("u7", 1));
        assert_eq!(error.kind, ErrorKind::Unique);
        assert_eq!(error.column.as_deref(), Some("email"));
        let error = failed(&db, ADD, &user("fresh", 2_000_000));
        assert_eq!(error.kind, ErrorKind::Check);
        let sql = "INSERT INTO posts (author_id) VALUES (?)";
        let error = failed(&db, sql, &ints(&[99_999]));
        assert_eq!(error.kind, ErrorKind::ForeignKey);
        let sql = "INSERT INTO users (id, email, n) VALUES (?, NULL, 1)";
        assert_eq!(failed(&db, sql, &ints(&[1])).kind, ErrorKind::Unique);
        done(&db, SET, &ints(&[1, 1]));
        assert!(!anyhow_failed(&db));
    }
    assert_eq!(int(&db, "SELECT count(*) FROM users"), 5000);
    let stats = db.stats();
    assert_eq!((stats.in_use, stats.lost), (0, 0));
}

/// Whether a transaction cannot be had, because something was left open.
fn anyhow_failed(db: &Arc<Database>) -> bool {
    let lease = db.lease(BeginMode::Write);
    begin(&lease).is_err() || commit(&lease).is_err()
}

#[test]
fn the_pool_counts_it_and_nobody_is_passed_by() {
    let dir = tempfile::tempdir().unwrap();
    let db = database(&dir);
    let before = db.stats();
    let guard = db.inline_write_lock().unwrap();
    assert!(db.inline_write_lock().is_none(), "one at a time");
    let during = db.stats();
    assert_eq!(
        (during.in_use, during.acquired),
        (before.in_use + 1, before.acquired + 1)
    );
    // Two wait: a statement, then a transaction.
    let order = Arc::new(AtomicU32::new(0));
    let (sender, receiver) = crossbeam_channel::unbounded();
    let (counter, answer) = (Arc::clone(&order), sender.clone());
    db.run(
        oxyde_exec::Job::new(write_work(
            "UPDATE users SET n = n + 1 WHERE id = 1",
            Cells::new(),
        )),
        None,
        Box::new(move |result, _| {
            result.unwrap();
            answer
                .send(("run", counter.fetch_add(1, Ordering::SeqCst)))
                .unwrap();
        }),
    );
    let lease = db.lease(BeginMode::Write);
    let counter = Arc::clone(&order);
    lease.begin(
        flag(),
        None,
        None,
        Box::new(move |result, _| {
            result.unwrap();
            sender
                .send(("begin", counter.fetch_add(1, Ordering::SeqCst)))
                .unwrap();
        }),
    );
    assert_eq!(db.stats().waiting, 2);
    assert!(receiver.recv_timeout(Duration::from_millis(50)).is_err());
    drop(guard);
    assert_eq!(receiver.recv().unwrap(), ("run", 0));
    assert_eq!(receiver.recv().unwrap(), ("begin", 1));
    // The transaction has it now.
    assert!(db.inline_write_lock().is_none());
    drop(lease);
    assert_quiet(&db);
    assert!(db.inline_write_lock().is_some());
    assert_quiet(&db);
}

#[test]
fn over_budget_is_rolled_back_whole_and_demoted() {
    let dir = tempfile::tempdir().unwrap();
    let db = database(&dir);
    let script = [
        "CREATE TABLE big (id INTEGER PRIMARY KEY, n INT)",
        "CREATE TABLE small (id INTEGER PRIMARY KEY, big_id INT REFERENCES big ON DELETE CASCADE)",
        "CREATE INDEX smalls ON small (big_id)",
        "INSERT INTO big VALUES (1, 0), (2, 0)",
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000) \
         INSERT INTO small SELECT i, 1 FROM n",
    ];
    run(&db, Work::Script(script.map(str::to_owned).to_vec())).unwrap();
    let sql = "DELETE FROM big WHERE id = ?";
    done(&db, sql, &ints(&[99]));
    let verdicts: Vec<String> = (0..4)
        .map(|_| {
            let (inline, out) = write(&db, sql, &ints(&[1])).unwrap();
            assert_eq!(int(&db, "SELECT count(*) FROM small"), 3000);
            assert_eq!(int(&db, "SELECT count(*) FROM big"), 2);
            assert_eq!(out.affected, 0);
            format!("{inline:?}")
        })
        .collect();
    assert_eq!(
        verdicts,
        ["OverBudget", "OverBudget", "OverBudget", "NotEligible"]
    );
    assert!(!anyhow_failed(&db));
    assert!(!anyhow(&db, &sql.into(), &ints(&[1])).unwrap());
    assert_eq!(int(&db, "SELECT count(*) FROM small"), 0);
    // Long values are the thread's, short ones of the same text are not.
    let long = "x".repeat(100_000);
    let (inline, _) = write(&db, ADD, &user(&long, 1)).unwrap();
    assert!(matches!(inline, Inline::OverBudget));
    assert!(!anyhow(&db, &ADD.into(), &user(&long, 1)).unwrap());
    done(&db, ADD, &user("short", 1));
    assert_eq!(
        run(&db, read_work("PRAGMA integrity_check", Cells::new()))
            .map(|outcome| first_text(&outcome))
            .unwrap(),
        "ok"
    );
}

#[test]
fn what_is_slow_several_times_rests() {
    let dir = tempfile::tempdir().unwrap();
    let db = database(&dir);
    let script = [
        "CREATE TABLE blobs (id INTEGER PRIMARY KEY, body BLOB, n INT)",
        "INSERT INTO blobs VALUES (1, zeroblob(20000000), 0), (2, NULL, 0)",
    ];
    run(&db, Work::Script(script.map(str::to_owned).to_vec())).unwrap();
    // Few opcodes, but the whole row is written again.
    let sql: Arc<str> = "UPDATE blobs SET n = n + 1 WHERE id = ?".into();
    let mut inline = 0;
    for _ in 0..20 {
        inline += u32::from(anyhow(&db, &sql, &ints(&[1])).unwrap());
    }
    assert!(inline <= 3, "{inline}");
    assert_eq!(int(&db, "SELECT n FROM blobs WHERE id = 1"), 20);
}

#[test]
fn another_process_has_the_lock() {
    let dir = tempfile::tempdir().unwrap();
    let db = database(&dir);
    let program = "import sqlite3, sys\n\
        c = sqlite3.connect(sys.argv[1], isolation_level=None)\n\
        c.execute('BEGIN IMMEDIATE')\n\
        c.execute('UPDATE users SET n = n + 10 WHERE id = 2')\n\
        print('held', flush=True)\n\
        sys.stdin.readline()\n\
        c.execute('COMMIT')\n";
    let mut holder = Command::new("python3")
        .args(["-c", program])
        .arg(dir.path().join("a.db"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(holder.stdout.as_mut().unwrap())
        .read_line(&mut line)
        .unwrap();
    assert_eq!(line, "held\n");
    let sql = "UPDATE users SET n = n + 1 WHERE id = ?";
    let start = Instant::now();
    let (inline, _) = write(&db, sql, &ints(&[2])).unwrap();
    assert!(matches!(inline, Inline::Busy), "{inline:?}");
    assert!(start.elapsed() < Duration::from_millis(500));
    let waiter = thread::spawn({
        let db = Arc::clone(&db);
        move || anyhow(&db, &sql.into(), &ints(&[2]))
    });
    thread::sleep(Duration::from_millis(100));
    assert!(!waiter.is_finished());
    // The writer thread waits for the lock: the connection is in use.
    assert!(db.inline_write_lock().is_none());
    holder.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
    assert!(!waiter.join().unwrap().unwrap());
    assert!(holder.wait().unwrap().success());
    assert_eq!(int(&db, "SELECT n FROM users WHERE id = 2"), 11);
    done(&db, sql, &ints(&[2]));
}

#[test]
fn never_where_a_commit_syncs_or_nothing_can_be_rolled_back() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str| config(&dir.path().join(name));
    let never = |config: SqliteConfig, path: &str| {
        let db = Database::sqlite(config).unwrap();
        exec(&db, "CREATE TABLE t (id INTEGER PRIMARY KEY, n INT)").unwrap();
        for _ in 0..5 {
            exec(&db, "INSERT INTO t (n) VALUES (1)").unwrap();
            assert!(db.inline_write_lock().is_none(), "{path}");
        }
        close(&db);
    };
    for (number, (journal, synchronous)) in [
        ("WAL", "FULL"),
        ("WAL", "EXTRA"),
        ("DELETE", "NORMAL"),
        ("DELETE", "OFF"),
        ("MEMORY", "NORMAL"),
        ("OFF", "OFF"),
        ("TRUNCATE", "OFF"),
        ("PERSIST", "OFF"),
    ]
    .into_iter()
    .enumerate()
    {
        let config = SqliteConfig {
            journal_mode: journal.into(),
            synchronous: synchronous.into(),
            ..file(&format!("{number}.db"))
        };
        never(config, journal);
    }
    let set = |sql: &str, name: &str| SqliteConfig {
        on_connect: vec![sql.into()],
        ..file(name)
    };
    never(set("PRAGMA synchronous=FULL", "full.db"), "on_connect");
    never(set("ATTACH ':memory:' AS other", "attached.db"), "attached");
    never(
        SqliteConfig {
            inline: false,
            ..file("off.db")
        },
        "inline off",
    );
    never(SqliteConfig::default(), "memory");
    for (name, journal, synchronous) in [
        ("a.db", "WAL", "OFF"),
        ("b.db", "WAL", "NORMAL"),
        ("c.db", "MEMORY", "OFF"),
    ] {
        let db = prepared(SqliteConfig {
            journal_mode: journal.into(),
            synchronous: synchronous.into(),
            ..file(name)
        });
        done(&db, SET, &ints(&[1, 1]));
        // Raw SQL that changes settings: the connection is replaced, and its first write is the thread's again.
        run(&db, raw_work("PRAGMA synchronous=FULL")).unwrap();
        exec(&db, "UPDATE users SET n = 2 WHERE id = 1").unwrap();
        done(&db, SET, &ints(&[3, 1]));
        close(&db);
    }
}

#[test]
fn without_a_log_readers_lock_it_out() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    let db = prepared(SqliteConfig {
        journal_mode: "MEMORY".into(),
        synchronous: "OFF".into(),
        ..config(&path)
    });
    let reader = rusqlite::Connection::open(&path).unwrap();
    reader.execute_batch("BEGIN; SELECT * FROM users").unwrap();
    let count: i64 = reader
        .query_row("SELECT count(*) FROM users", [], |row| row.get(0))
        .unwrap();
    assert_eq!(count, 5000);
    let (inline, _) = write(&db, SET, &ints(&[1, 1])).unwrap();
    assert!(matches!(inline, Inline::Busy), "{inline:?}");
    reader.execute_batch("COMMIT").unwrap();
    done(&db, SET, &ints(&[1, 1]));
}

#[test]
fn the_log_stays_short_under_a_stream_of_writes() {
    let dir = tempfile::tempdir().unwrap();
    let db = database(&dir);
    exec(
        &db,
        "CREATE TABLE stream (id INTEGER PRIMARY KEY, body TEXT)",
    )
    .unwrap();
    let sql: Arc<str> = "INSERT INTO stream (body) VALUES (?)".into();
    let mut params = Cells::new();
    params.push_text("some text of a usual length, which is not much");
    let (mut longest, mut inline) = (0, 0_u32);
    for round in 0..200_000 {
        inline += u32::from(anyhow(&db, &sql, &params).unwrap());
        if round % 100 == 0 {
            longest = longest.max(wal_size(&dir));
        }
    }
    longest = longest.max(wal_size(&dir));
    // 1000 pages with their headers are 4.1 MB; a script of the preparation may have made it longer.
    assert!(longest < 8 << 20, "{longest}");
    assert!(inline > 190_000, "{inline}");
    assert_eq!(int(&db, "SELECT count(*) FROM stream"), 200_000);
}

#[test]
fn the_log_stays_short_under_writes_of_the_thread() {
    let dir = tempfile::tempdir().unwrap();
    let db = database(&dir);
    exec(
        &db,
        "CREATE TABLE stream (id INTEGER PRIMARY KEY, body BLOB)",
    )
    .unwrap();
    for _ in 0..60 {
        exec(&db, "INSERT INTO stream (body) VALUES (zeroblob(1000000))").unwrap();
        assert!(wal_size(&dir) < 12 << 20, "{}", wal_size(&dir));
    }
    // A transaction that commits a lot, and then nothing: the thread does it unasked.
    let lease = begun(&db);
    in_lease(
        &lease,
        write_work("UPDATE stream SET body = zeroblob(900000)", Cells::new()),
    )
    .0
    .unwrap();
    commit(&lease).unwrap();
    let deadline = after(5000);
    let path = dir.path().join("a.db");
    loop {
        let other = rusqlite::Connection::open(&path).unwrap();
        let (pages, written): (i64, i64) = other
            .query_row("PRAGMA wal_checkpoint(NOOP)", [], |row| {
                Ok((row.get(1)?, row.get(2)?))
            })
            .unwrap();
        if pages == written {
            break;
        }
        assert!(Instant::now() < deadline, "{pages} {written}");
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn the_log_recovers_after_a_reader_that_held_it() {
    let dir = tempfile::tempdir().unwrap();
    let db = database(&dir);
    exec(
        &db,
        "CREATE TABLE stream (id INTEGER PRIMARY KEY, body TEXT)",
    )
    .unwrap();
    let sql: Arc<str> = "INSERT INTO stream (body) VALUES (?)".into();
    let mut params = Cells::new();
    params.push_text("text");
    let lease = db.lease(BeginMode::Read);
    begin(&lease).unwrap();
    in_lease(
        &lease,
        read_work("SELECT count(*) FROM users", Cells::new()),
    )
    .0
    .unwrap();
    let mut inline = 0_u32;
    for _ in 0..10_000 {
        inline += u32::from(anyhow(&db, &sql, &params).unwrap());
    }
    // It grows, and every attempt to empty it costs a few trips.
    assert!(wal_size(&dir) > 20 << 20);
    assert!(inline > 9_500, "{inline}");
    rollback(&lease).unwrap();
    for _ in 0..2_000 {
        anyhow(&db, &sql, &params).unwrap();
    }
    let other = rusqlite::Connection::open(dir.path().join("a.db")).unwrap();
    let pages: i64 = other
        .query_row("PRAGMA wal_checkpoint(NOOP)", [], |row| row.get(1))
        .unwrap();
    assert!(pages < 2_500, "{pages}");
}

#[test]
fn no_checkpoints_where_on_connect_switched_them_off() {
    let dir = tempfile::tempdir().unwrap();
    let db = prepared(SqliteConfig {
        on_connect: vec!["PRAGMA wal_autocheckpoint=0".into()],
        ..config(&dir.path().join("a.db"))
    });
    for n in 0..3_000 {
        anyhow(&db, &SET.into(), &ints(&[n, 1])).unwrap();
    }
    assert!(wal_size(&dir) > 10 << 20);
}

#[test]
fn eight_threads_of_everything_keep_the_sums() {
    let dir = tempfile::tempdir().unwrap();
    let db = database(&dir);
    let each = 400;
    let inline = AtomicU32::new(0);
    thread::scope(|scope| {
        for number in 0..8_i64 {
            let (db, inline) = (&db, &inline);
            scope.spawn(move || {
                let increment: Arc<str> = "UPDATE users SET n = n + 1 WHERE id = ?".into();
                let add: Arc<str> = ADD.into();
                let look: Arc<str> = "SELECT n FROM users WHERE id = ?".into();
                for round in 0..each {
                    match (number + round) % 4 {
                        0 => {
                            // Read, then write what was read.
                            let lease = begun(db);
                            let read = read_work("SELECT n FROM users WHERE id = 1", Cells::new());
                            let n = first_int(&in_lease(&lease, read).0.unwrap());
                            in_lease(&lease, write_work(SET, ints(&[n + 1, 1])))
                                .0
                                .unwrap();
                            commit(&lease).unwrap();
                        }
                        1 => {
                            run(db, write_work(&increment, ints(&[1]))).unwrap();
                        }
                        _ => {
                            let done = anyhow(db, &increment, &ints(&[1])).unwrap();
                            inline.fetch_add(u32::from(done), Ordering::Relaxed);
                        }
                    }
                    let email = format!("{number} {round}");
                    anyhow(db, &add, &user(&email, 0)).unwrap();
                    let error = anyhow(db, &add, &user(&email, 0)).unwrap_err();
                    assert_eq!(error.kind, ErrorKind::Unique);
                    let mut rows = Rows::new();
                    if let Some(mut guard) = db.inline_lock() {
                        let _ = guard.run(&look, &ints(&[1]), &mut rows);
                    }
                }
            });
        }
    });
    assert_eq!(int(&db, "SELECT n FROM users WHERE id = 1"), 8 * each);
    assert_eq!(int(&db, "SELECT count(*) FROM users"), 5000 + 8 * each);
    assert!(inline.load(Ordering::Relaxed) > 0);
    assert_quiet(&db);
    assert_eq!(db.stats().lost, 0);
    close(&db);
}

#[test]
fn closing_beside_a_stream_of_writes() {
    for forced in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let db = database(&dir);
        let stop = AtomicBool::new(false);
        let acknowledged = thread::scope(|scope| {
            let workers: Vec<_> = (0..3_i64)
                .map(|number| {
                    let (db, stop) = (&db, &stop);
                    scope.spawn(move || {
                        let add: Arc<str> = ADD.into();
                        let mut count: i64 = 0;
                        while !stop.load(Ordering::Relaxed) {
                            match anyhow(db, &add, &user(&format!("{number} {count}"), 0)) {
                                Ok(_) => count += 1,
                                Err(error) => {
                                    assert_eq!(error.kind, ErrorKind::Closed, "{error:?}");
                                    break;
                                }
                            }
                        }
                        count
                    })
                })
                .collect();
            thread::sleep(Duration::from_millis(100));
            let deadline = forced.then(Instant::now);
            oxyde_exec::dispatch::wait(|sink| db.close(deadline, sink))
                .0
                .unwrap();
            assert!(db.join(after(2000)));
            assert!(db.inline_write_lock().is_none());
            stop.store(true, Ordering::Relaxed);
            workers
                .into_iter()
                .map(|worker| worker.join().unwrap())
                .sum::<i64>()
        });
        assert!(acknowledged > 100);
        let other = rusqlite::Connection::open(dir.path().join("a.db")).unwrap();
        let count: i64 = other
            .query_row("SELECT count(*) FROM users", [], |row| row.get(0))
            .unwrap();
        assert_eq!(count, 5000 + acknowledged);
    }
}

#[test]
fn closing_waits_for_the_guard() {
    let dir = tempfile::tempdir().unwrap();
    let db = database(&dir);
    let mut guard = db.inline_write_lock().unwrap();
    let (sender, receiver) = crossbeam_channel::bounded(1);
    db.close(
        None,
        Box::new(move |result, _| sender.send(result.is_ok()).unwrap()),
    );
    assert!(receiver.recv_timeout(Duration::from_millis(50)).is_err());
    let mut out = Outcome::default();
    let inline = guard.run(&SET.into(), &ints(&[9, 1]), &mut out);
    assert!(matches!(inline, Inline::Done));
    drop(guard);
    assert!(receiver.recv().unwrap());
    assert!(db.join(after(2000)));
}
