//! Point look-ups on the calling thread: what qualifies, what they see, when they give up.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use common::*;
use oxyde_exec::{Cells, Database, ErrorKind, Inline, Rows, SqliteConfig, Work};

fn database(dir: &tempfile::TempDir) -> Arc<Database> {
    let db = file_db(&dir.path().join("a.db"));
    let script = [
        "CREATE TABLE users (id INTEGER PRIMARY KEY, email TEXT UNIQUE, a INT, b INT, n INT)",
        "CREATE UNIQUE INDEX pair ON users (a, b)",
        "CREATE INDEX plain ON users (n)",
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000) \
         INSERT INTO users SELECT i, 'u' || i, i, i % 7, i % 3 FROM n",
        "CREATE TABLE posts (id INTEGER PRIMARY KEY, author_id INT REFERENCES users, body BLOB)",
        "INSERT INTO posts VALUES (1, 1, zeroblob(500000)), (2, 2, NULL)",
    ];
    run(&db, Work::Script(script.map(str::to_owned).to_vec())).unwrap();
    db
}

fn look_up(db: &Arc<Database>, sql: &str, params: &Cells) -> (Inline, Rows) {
    let mut rows = Rows::new();
    let inline =
        db.inline_lock()
            .expect("nobody else uses it")
            .run(&Arc::from(sql), params, &mut rows);
    (inline, rows)
}

#[test]
fn only_point_look_ups_are_eligible() {
    let dir = tempfile::tempdir().unwrap();
    let db = database(&dir);
    let eligible = [
        "SELECT * FROM users WHERE id = ?",
        "SELECT u.email FROM users AS u WHERE u.id = ? LIMIT 1",
        "SELECT id FROM users WHERE email = ?",
        "SELECT * FROM users WHERE a = ? AND b = 1",
        "SELECT a FROM users WHERE b = ? AND a = 1",
        "SELECT * FROM posts JOIN users ON users.id = posts.author_id WHERE posts.id = ?",
        "SELECT * FROM posts LEFT JOIN users ON users.id = posts.author_id WHERE posts.id = ?",
    ];
    let not = [
        "SELECT * FROM users",
        "SELECT count(*) FROM users WHERE n = ?",
        "SELECT * FROM users WHERE n = ?",
        "SELECT * FROM users WHERE a = ?",
        "SELECT * FROM users WHERE id > ?",
        "SELECT * FROM users WHERE a = ? AND b > 1",
        "SELECT * FROM users WHERE id IN (SELECT value FROM json_each(?))",
        "SELECT * FROM users WHERE id = ? OR n = 1",
        "SELECT ?",
        "UPDATE users SET n = 1 WHERE id = ?",
        "DELETE FROM users WHERE id = ?",
        "SELECT * FROM missing WHERE id = ?",
        "nonsense ?",
    ];
    for sql in eligible {
        for _ in 0..2 {
            let (inline, rows) = look_up(&db, sql, &ints(&[2]));
            assert!(matches!(inline, Inline::Done), "{sql}: {inline:?}");
            assert!(rows.rows() <= 1);
        }
    }
    for sql in not {
        for _ in 0..2 {
            let (inline, rows) = look_up(&db, sql, &ints(&[1]));
            assert!(matches!(inline, Inline::NotEligible), "{sql}: {inline:?}");
            assert_eq!((rows.width, rows.rows()), (0, 0));
        }
    }
    let (inline, _) = look_up(&db, eligible[0], &Cells::new());
    assert!(matches!(inline, Inline::Failed(error) if error.kind == ErrorKind::Programming));
    let (_, rows) = look_up(&db, eligible[0], &ints(&[99_999]));
    assert_eq!((rows.width, rows.rows()), (5, 0));
    close(&db);
    assert!(db.inline_lock().is_none());
}

#[test]
fn they_see_every_commit_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let db = database(&dir);
    let sql = "SELECT n FROM users WHERE id = ?";
    for n in 0..300 {
        exec(&db, &format!("UPDATE users SET n = {n} WHERE id = 5")).unwrap();
        let (_, rows) = look_up(&db, sql, &ints(&[5]));
        assert_eq!(rows.get(0, 0), Some(oxyde_exec::CellRef::Int(n)));
    }
    let lease = begun(&db);
    in_lease(
        &lease,
        write_work("UPDATE users SET n = -1 WHERE id = 5", Cells::new()),
    )
    .0
    .unwrap();
    let (_, rows) = look_up(&db, sql, &ints(&[5]));
    assert_eq!(rows.get(0, 0), Some(oxyde_exec::CellRef::Int(299)));
    commit(&lease).unwrap();
    let (_, rows) = look_up(&db, sql, &ints(&[5]));
    assert_eq!(rows.get(0, 0), Some(oxyde_exec::CellRef::Int(-1)));
}

#[test]
fn the_schema_may_change() {
    let dir = tempfile::tempdir().unwrap();
    let db = database(&dir);
    let sql = "SELECT * FROM users WHERE email = ?";
    let mut email = Cells::new();
    email.push_text("u7");
    assert_eq!(look_up(&db, sql, &email).1.width, 5);
    exec(&db, "ALTER TABLE users ADD COLUMN extra TEXT DEFAULT 'x'").unwrap();
    let (_, rows) = look_up(&db, sql, &email);
    assert_eq!((rows.width, rows.rows()), (6, 1));
    let pair = "SELECT * FROM users WHERE a = ? AND b = 1";
    assert!(matches!(look_up(&db, pair, &ints(&[1])).0, Inline::Done));
    exec(&db, "DROP INDEX pair").unwrap();
    // The budget stops the scan that it has become.
    assert!(matches!(
        look_up(&db, pair, &ints(&[1])).0,
        Inline::OverBudget | Inline::NotEligible
    ));
}

#[test]
fn budget_wide_rows_and_locks() {
    let dir = tempfile::tempdir().unwrap();
    let db = database(&dir);
    // One row found by its key, but a long way through its JSON.
    let work = "SELECT (SELECT sum(a.value) FROM json_each(users.email) a) FROM users WHERE id = ?";
    assert!(matches!(
        look_up(&db, work, &ints(&[1])).0,
        Inline::NotEligible
    ));
    let many: Vec<String> = (0..2500).map(|n| format!("abs(n - {n})")).collect();
    let busy = format!(
        "SELECT {} FROM users WHERE id = ?",
        many.chunks(500)
            .map(|c| c.join("+"))
            .collect::<Vec<_>>()
            .join(", ")
    );
    let mut verdicts = Vec::new();
    for _ in 0..4 {
        verdicts.push(format!("{:?}", look_up(&db, &busy, &ints(&[1])).0));
    }
    assert_eq!(
        verdicts,
        ["OverBudget", "OverBudget", "OverBudget", "NotEligible"]
    );
    let wide = "SELECT body FROM posts WHERE id = ?";
    assert!(matches!(look_up(&db, wide, &ints(&[1])).0, Inline::Done));
    assert!(matches!(
        look_up(&db, wide, &ints(&[2])).0,
        Inline::NotEligible
    ));

    let guard = db.inline_lock().unwrap();
    assert!(db.inline_lock().is_none(), "one at a time, never waiting");
    drop(guard);
    assert!(db.inline_lock().is_some());

    // Without WAL a writer locks readers out: they are told so at once.
    let db = Database::sqlite(SqliteConfig {
        journal_mode: "DELETE".into(),
        ..config(&dir.path().join("b.db"))
    })
    .unwrap();
    exec(&db, "CREATE TABLE t (id INTEGER PRIMARY KEY)").unwrap();
    let sql = "SELECT * FROM t WHERE id = ?";
    assert!(matches!(look_up(&db, sql, &ints(&[1])).0, Inline::Done));
    let lock = rusqlite::Connection::open(dir.path().join("b.db")).unwrap();
    lock.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let start = Instant::now();
    assert!(matches!(look_up(&db, sql, &ints(&[1])).0, Inline::Busy));
    assert!(start.elapsed() < Duration::from_millis(1000));
    drop(lock);
    assert!(matches!(look_up(&db, sql, &ints(&[1])).0, Inline::Done));
    let off = Database::sqlite(SqliteConfig {
        inline: false,
        ..config(&dir.path().join("b.db"))
    })
    .unwrap();
    exec(&off, "SELECT 1").unwrap();
    assert!(off.inline_lock().is_none());
}

#[test]
fn from_many_threads_beside_writers_and_closing() {
    let dir = tempfile::tempdir().unwrap();
    let db = database(&dir);
    let stop = AtomicBool::new(false);
    let sql: Arc<str> = "SELECT id, email FROM users WHERE id = ?".into();
    thread::scope(|scope| {
        let workers: Vec<_> = (0..3)
            .map(|_| {
                scope.spawn(|| {
                    let (mut done, mut rows, mut n) = (0_u32, Rows::new(), 0);
                    while !stop.load(Ordering::Relaxed) {
                        n = n % 20_000 + 1;
                        let Some(mut guard) = db.inline_lock() else {
                            continue;
                        };
                        match guard.run(&sql, &ints(&[n]), &mut rows) {
                            Inline::Done => {
                                assert_eq!(rows.row(0).next(), Some(oxyde_exec::CellRef::Int(n)));
                                done += 1;
                            }
                            Inline::Busy => {}
                            other => panic!("{other:?}"),
                        }
                    }
                    done
                })
            })
            .collect();
        for n in 0..300 {
            exec(
                &db,
                &format!("UPDATE users SET n = {n} WHERE id = {}", n + 1),
            )
            .unwrap();
        }
        close(&db);
        stop.store(true, Ordering::Relaxed);
        assert!(
            workers
                .into_iter()
                .map(|worker| worker.join().unwrap())
                .sum::<u32>()
                > 100
        );
    });
}
