//! Locks held by another process, closing in the middle of everything, threads and their end.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod common;

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use common::*;
use oxyde_exec::dispatch::wait;
use oxyde_exec::{BeginMode, Cells, Database, ErrorKind, Job, LeaseStatus, SqliteConfig, Work};

/// Another process that holds the write lock of a file until it is told to let go. (Not another connection of this
/// process: two SQLite libraries in one process cancel each other's locks, and ours would share its bookkeeping.)
struct Locker(Child);

impl Locker {
    fn new(path: &Path) -> Self {
        let program = "import sqlite3, sys\n\
            db = sqlite3.connect(sys.argv[1], isolation_level=None)\n\
            db.execute('BEGIN EXCLUSIVE')\n\
            print('locked', flush=True)\n\
            sys.stdin.readline()\n\
            db.execute('COMMIT')\n";
        let mut child = Command::new("python3")
            .args(["-c", program])
            .arg(path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        assert_eq!(line.trim(), "locked");
        Self(child)
    }

    fn let_go(mut self) {
        self.0.stdin.take().unwrap().write_all(b"\n").unwrap();
        self.0.wait().unwrap();
    }
}

fn database(path: &Path, busy_timeout: u64) -> Arc<Database> {
    let config = SqliteConfig {
        busy_timeout: Duration::from_millis(busy_timeout),
        ..config(path)
    };
    let db = Database::sqlite(config).unwrap();
    exec(
        &db,
        "CREATE TABLE IF NOT EXISTS t (id INTEGER PRIMARY KEY, n INTEGER)",
    )
    .unwrap();
    db
}

#[test]
fn a_file_locked_by_another_process() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    let db = database(&path, 150);
    let locker = Locker::new(&path);
    let start = Instant::now();
    let error = exec(&db, "INSERT INTO t (n) VALUES (1)").unwrap_err();
    assert_eq!(
        (error.kind, error.retryable),
        (ErrorKind::LockTimeout, true),
        "{error:?}"
    );
    let waited = start.elapsed();
    assert!(
        waited >= Duration::from_millis(150) && waited < Duration::from_millis(2000),
        "{waited:?}"
    );
    let lease = db.lease(BeginMode::Write);
    assert_eq!(begin(&lease).unwrap_err().kind, ErrorKind::LockTimeout);
    assert_eq!(lease.status(), LeaseStatus::Closed);
    assert_quiet(&db);
    assert_eq!(
        int(&db, "SELECT count(*) FROM t"),
        0,
        "WAL: reading goes on"
    );
    locker.let_go();
    exec(&db, "INSERT INTO t (n) VALUES (1)").unwrap();
    close(&db);
}

#[test]
fn waiting_for_a_lock_can_be_interrupted() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    let db = database(&path, 20_000);
    let locker = Locker::new(&path);

    // By the flag, in a statement and in a BEGIN.
    for in_lease in [false, true] {
        let flag = flag();
        let (sender, receiver) = crossbeam_channel::bounded(1);
        let sink = Box::new(move |result: Answer, _| sender.send(result).unwrap());
        let lease = db.lease(BeginMode::Write);
        if in_lease {
            lease.begin(Arc::clone(&flag), None, None, sink);
        } else {
            let work = write_work("INSERT INTO t (n) VALUES (1)", Cells::new());
            db.run(Job::with_cancel(work, Arc::clone(&flag), None), None, sink);
        }
        thread::sleep(Duration::from_millis(30));
        let start = Instant::now();
        db.cancel(&flag);
        assert_eq!(
            receiver.recv().unwrap().unwrap_err().kind,
            ErrorKind::Cancelled
        );
        assert!(
            start.elapsed() < Duration::from_millis(1000),
            "{:?}",
            start.elapsed()
        );
        assert_quiet(&db);
    }
    // By the deadline.
    let lease = db.lease(BeginMode::Write);
    let start = Instant::now();
    let error = wait(|sink| lease.begin(flag(), None, Some(after(50)), sink))
        .0
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::QueryTimeout);
    assert!(
        start.elapsed() < Duration::from_millis(1000),
        "{:?}",
        start.elapsed()
    );
    // By dropping the lease.
    let lease = db.lease(BeginMode::Write);
    lease.begin(flag(), None, None, Box::new(|_, _| ()));
    thread::sleep(Duration::from_millis(20));
    drop(lease);
    assert_quiet(&db);
    // By closing: half a second of patience, then at once.
    let (sender, receiver) = crossbeam_channel::bounded(1);
    let job = Job::new(write_work("INSERT INTO t (n) VALUES (1)", Cells::new()));
    db.run(
        job,
        None,
        Box::new(move |result, _| sender.send(result).unwrap()),
    );
    thread::sleep(Duration::from_millis(20));
    close(&db_with_deadline(&db, 0));
    assert_eq!(
        receiver.recv().unwrap().unwrap_err().kind,
        ErrorKind::Closed
    );
    locker.let_go();
}

fn db_with_deadline(db: &Arc<Database>, milliseconds: u64) -> Arc<Database> {
    db.close(Some(after(milliseconds)), Box::new(|_, _| ()));
    thread::sleep(Duration::from_millis(milliseconds));
    db.expire(Instant::now());
    Arc::clone(db)
}

#[test]
fn a_locked_file_can_be_opened_once_the_lock_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    let locker = Locker::new(&path);
    let config = SqliteConfig {
        busy_timeout: Duration::from_millis(5000),
        ..config(&path)
    };
    let db = Database::sqlite(config).unwrap();
    thread::scope(|scope| {
        let connected = scope.spawn(|| wait(|sink| db.connect(oxyde_exec::LoopId::ANY, sink)).0);
        thread::sleep(Duration::from_millis(60));
        locker.let_go();
        connected.join().unwrap().unwrap();
    });
    assert_eq!(
        first_text(&exec(&db, "PRAGMA journal_mode").unwrap()),
        "wal"
    );
    close(&db);
}

#[test]
fn closing_waits_for_what_runs_and_refuses_what_waits() {
    let dir = tempfile::tempdir().unwrap();
    let db = database(&dir.path().join("a.db"), 1000);
    let lease = begun(&db);
    in_lease(
        &lease,
        write_work("INSERT INTO t (n) VALUES (1)", Cells::new()),
    )
    .0
    .unwrap();
    let (sender, receiver) = crossbeam_channel::unbounded();
    for _ in 0..3 {
        let sender = sender.clone();
        let job = Job::new(write_work("INSERT INTO t (n) VALUES (2)", Cells::new()));
        db.run(
            job,
            None,
            Box::new(move |result, _| sender.send(result).unwrap()),
        );
    }
    let (closed, done) = crossbeam_channel::bounded(2);
    for _ in 0..2 {
        let closed = closed.clone();
        db.close(
            Some(after(60_000)),
            Box::new(move |result, _| closed.send(result).unwrap()),
        );
    }
    for _ in 0..3 {
        assert_eq!(
            receiver.recv().unwrap().unwrap_err().kind,
            ErrorKind::Closed
        );
    }
    assert!(db.is_closed());
    assert_eq!(exec(&db, "SELECT 1").unwrap_err().kind, ErrorKind::Closed);
    assert!(done.try_recv().is_err(), "the transaction is still open");
    in_lease(
        &lease,
        write_work("INSERT INTO t (n) VALUES (3)", Cells::new()),
    )
    .0
    .unwrap();
    commit(&lease).unwrap();
    done.recv().unwrap().unwrap();
    done.recv().unwrap().unwrap();
    assert!(db.join(after(1000)));
    assert_eq!(db.stats().size, 0);
    wait(|sink| db.close(None, sink)).0.unwrap();
    assert_eq!(
        begin(&db.lease(BeginMode::Write)).unwrap_err().kind,
        ErrorKind::Closed
    );
    let db = file_db(&dir.path().join("a.db"));
    assert_eq!(int(&db, "SELECT group_concat(n) = '1,3' FROM t"), 1);
    assert!(!dir.path().join("a.db-journal").exists());
}

#[test]
fn closing_runs_out_of_patience() {
    let dir = tempfile::tempdir().unwrap();
    for round in 0..10 {
        let db = database(&dir.path().join("a.db"), 1000);
        let lease = begun(&db);
        in_lease(
            &lease,
            write_work("INSERT INTO t (n) VALUES (1)", Cells::new()),
        )
        .0
        .unwrap();
        let (sender, receiver) = crossbeam_channel::unbounded();
        for _ in 0..3 {
            let answer = sender.clone();
            let job = Job::new(read_work(&slow_sql(400_000_000), Cells::new()));
            db.run(
                job,
                None,
                Box::new(move |result, _| answer.send(result).unwrap()),
            );
        }
        let answer = sender.clone();
        let job = Job::new(write_work(
            &format!("UPDATE t SET n = ({})", slow_sql(400_000_000)),
            Cells::new(),
        ));
        lease.run(job, Box::new(move |result, _| answer.send(result).unwrap()));
        thread::sleep(Duration::from_millis(round));
        let (closed, done) = crossbeam_channel::bounded(1);
        let start = Instant::now();
        db.close(
            Some(after(10)),
            Box::new(move |result, _| closed.send(result).unwrap()),
        );
        assert!(db.next_deadline().unwrap() <= after(10));
        thread::sleep(Duration::from_millis(10));
        db.expire(Instant::now());
        done.recv().unwrap().unwrap();
        assert!(
            start.elapsed() < Duration::from_secs(3),
            "{:?}",
            start.elapsed()
        );
        assert!(db.join(after(1000)));
        for _ in 0..4 {
            let kind = receiver.recv().unwrap().unwrap_err().kind;
            assert!(
                matches!(
                    kind,
                    ErrorKind::Closed | ErrorKind::Cancelled | ErrorKind::TransactionClosed
                ),
                "{kind:?}"
            );
        }
        assert_eq!(lease.status(), LeaseStatus::Closed);
        assert_eq!(
            commit(&lease).unwrap_err().kind,
            ErrorKind::TransactionClosed
        );
    }
    let db = file_db(&dir.path().join("a.db"));
    assert_eq!(int(&db, "SELECT count(*) FROM t"), 0);
}

#[test]
fn two_readers_run_beside_each_other_and_a_short_one_overtakes() {
    let dir = tempfile::tempdir().unwrap();
    let db = database(&dir.path().join("a.db"), 1000);
    let flag = flag();
    let job = Job::with_cancel(
        read_work(&slow_sql(400_000_000), Cells::new()),
        Arc::clone(&flag),
        None,
    );
    let (sender, receiver) = crossbeam_channel::bounded(1);
    db.run(
        job,
        None,
        Box::new(move |result, _| sender.send(result).unwrap()),
    );
    let start = Instant::now();
    assert_eq!(int(&db, "SELECT 7"), 7);
    assert!(
        start.elapsed() < Duration::from_secs(3),
        "{:?}",
        start.elapsed()
    );
    db.cancel(&flag);
    assert_eq!(
        receiver.recv().unwrap().unwrap_err().kind,
        ErrorKind::Cancelled
    );
    // More reading transactions than threads: each holds a connection, none a thread.
    let leases: Vec<_> = (0..5).map(|_| db.lease(BeginMode::Read)).collect();
    for lease in &leases {
        begin(lease).unwrap();
        in_lease(lease, read_work("SELECT count(*) FROM t", Cells::new()))
            .0
            .unwrap();
    }
    assert!(db.stats().in_use == 5 && int(&db, "SELECT 7") == 7);
    drop(leases);
    assert_quiet(&db);
    // Idle readers are reaped, the writer stays.
    db.expire(Instant::now() + Duration::from_secs(10_000));
    let deadline = after(1000);
    while db.stats().size > 1 {
        assert!(Instant::now() < deadline, "{:?}", db.stats());
        thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(int(&db, "SELECT 7"), 7);
    close(&db);
}

#[test]
fn dropping_a_database_ends_its_threads() {
    let dir = tempfile::tempdir().unwrap();
    let threads = || {
        std::fs::read_dir("/proc/self/task")
            .unwrap()
            .filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok())
            .filter(|name| name.starts_with("oxyde-writer"))
            .count()
    };
    // Other tests of this process have threads, too: many of ours must vanish, not all.
    let databases: Vec<_> = (0..40)
        .map(|n| database(&dir.path().join(format!("{n}.db")), 100))
        .collect();
    let most = threads();
    assert!(most >= 40);
    // With a job in flight: it is answered first.
    let (sender, receiver) = crossbeam_channel::unbounded();
    for db in &databases {
        let sender = sender.clone();
        let job = Job::new(write_work(&slow_sql(100_000), Cells::new()));
        db.run(
            job,
            None,
            Box::new(move |result, _| sender.send(result.is_ok()).unwrap()),
        );
    }
    drop(databases);
    assert_eq!(receiver.iter().take(40).filter(|ok| *ok).count(), 40);
    let deadline = after(5000);
    while threads() + 30 > most {
        assert!(Instant::now() < deadline, "{} of {most}", threads());
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_panicking_sink_harms_nobody() {
    let db = memory_db();
    std::panic::set_hook(Box::new(|_| ()));
    for _ in 0..5 {
        db.run(
            Job::new(write_work("SELECT 1", Cells::new())),
            None,
            Box::new(|_, _| panic!("a bug above")),
        );
        assert_eq!(int(&db, "SELECT 2"), 2);
    }
    let _ = std::panic::take_hook();
    let work = Work::Ping;
    run(&db, work).unwrap();
    assert_quiet(&db);
}
