//! Leases: what a transaction promises, and that none is ever left open.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use common::*;
use oxyde_exec::dispatch::wait;
use oxyde_exec::{
    BeginMode, Cells, Database, ErrorKind, Job, LeaseStatus, Returning, TxStatus, Work,
};

fn table(db: &Arc<Database>) {
    exec(
        db,
        "CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER UNIQUE)",
    )
    .unwrap();
    exec(db, "INSERT INTO t VALUES (1, 0)").unwrap();
}

/// The database takes writes and transactions, and nothing is held.
fn assert_usable(db: &Arc<Database>) {
    assert_quiet(db);
    let lease = begun(db);
    in_lease(&lease, write_work("UPDATE t SET n = n", Cells::new()))
        .0
        .unwrap();
    commit(&lease).unwrap();
    assert_quiet(db);
}

#[test]
fn read_modify_write_of_eight_threads_all_succeed() {
    let dir = tempfile::tempdir().unwrap();
    for db in [file_db(&dir.path().join("a.db")), memory_db()] {
        table(&db);
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..20 {
                        let lease = begun(&db);
                        let n = first_int(
                            &in_lease(&lease, read_work("SELECT n FROM t", Cells::new()))
                                .0
                                .unwrap(),
                        );
                        in_lease(&lease, write_work("UPDATE t SET n = ?", ints(&[n + 1])))
                            .0
                            .unwrap();
                        commit(&lease).unwrap();
                    }
                });
            }
        });
        assert_eq!(int(&db, "SELECT n FROM t"), 160);
        assert_quiet(&db);
        close(&db);
    }
}

#[test]
fn commit_rollback_and_the_states_between() {
    let dir = tempfile::tempdir().unwrap();
    let db = file_db(&dir.path().join("a.db"));
    table(&db);
    let lease = db.lease(BeginMode::Write);
    assert_eq!(lease.status(), LeaseStatus::Idle);
    assert_eq!(
        in_lease(&lease, write_work("SELECT 1", Cells::new()))
            .0
            .unwrap_err()
            .kind,
        ErrorKind::TransactionClosed
    );
    begin(&lease).unwrap();
    assert_eq!(begin(&lease).unwrap_err().kind, ErrorKind::Transaction);
    assert_eq!(lease.status(), LeaseStatus::Open);
    let (result, tx) = in_lease(
        &lease,
        write_work("INSERT INTO t VALUES (2, 2)", Cells::new()),
    );
    assert_eq!((result.unwrap().affected, tx), (1, TxStatus::InTransaction));
    assert_eq!(
        int(&db, "SELECT count(*) FROM t"),
        1,
        "not visible before the commit"
    );
    // An error undoes its statement only.
    let (result, tx) = in_lease(
        &lease,
        write_work("INSERT INTO t VALUES (3, 3), (4, 0)", Cells::new()),
    );
    assert_eq!(
        (result.unwrap_err().kind, tx),
        (ErrorKind::Unique, TxStatus::InTransaction)
    );
    assert_eq!(lease.status(), LeaseStatus::Open);
    commit(&lease).unwrap();
    assert_eq!(lease.status(), LeaseStatus::Closed);
    assert_eq!(int(&db, "SELECT count(*) FROM t"), 2);
    assert_eq!(
        commit(&lease).unwrap_err().kind,
        ErrorKind::TransactionClosed
    );
    assert_eq!(
        in_lease(&lease, write_work("SELECT 1", Cells::new()))
            .0
            .unwrap_err()
            .kind,
        ErrorKind::TransactionClosed
    );
    rollback(&lease).unwrap();

    let lease = begun(&db);
    in_lease(&lease, write_work("DELETE FROM t", Cells::new()))
        .0
        .unwrap();
    rollback(&lease).unwrap();
    assert_eq!(int(&db, "SELECT count(*) FROM t"), 2);
    assert_usable(&db);
}

#[test]
fn savepoints_nest() {
    let db = memory_db();
    table(&db);
    let lease = begun(&db);
    let insert = |n: i64| {
        in_lease(
            &lease,
            write_work("INSERT INTO t (n) VALUES (?)", ints(&[n])),
        )
        .0
    };
    insert(10).unwrap();
    wait(|sink| lease.savepoint("a", sink)).0.unwrap();
    insert(11).unwrap();
    wait(|sink| lease.savepoint("b", sink)).0.unwrap();
    insert(12).unwrap();
    wait(|sink| lease.rollback_to("b", sink)).0.unwrap();
    wait(|sink| lease.release("b", sink)).0.unwrap();
    let error = wait(|sink| lease.release("b", sink)).0.unwrap_err();
    assert!(error.message.contains("\"b\" is not open"), "{error}");
    wait(|sink| lease.savepoint("c", sink)).0.unwrap();
    wait(|sink| lease.release("a", sink)).0.unwrap();
    assert!(
        wait(|sink| lease.rollback_to("c", sink)).0.is_err(),
        "released with the savepoint around it"
    );
    assert_eq!(
        wait(|sink| lease.savepoint("x\"; DROP TABLE t; --", sink))
            .0
            .unwrap_err()
            .kind,
        ErrorKind::Programming
    );
    commit(&lease).unwrap();
    assert_eq!(int(&db, "SELECT group_concat(n) = '0,10,11' FROM t"), 1);
}

#[test]
fn a_transaction_ended_by_raw_sql_or_by_an_error_is_broken() {
    let db = memory_db();
    table(&db);
    for (sql, by_error) in [
        ("ROLLBACK", false),
        ("COMMIT", false),
        ("INSERT OR ROLLBACK INTO t VALUES (1, 1)", true),
    ] {
        let lease = begun(&db);
        in_lease(&lease, write_work("UPDATE t SET n = 1", Cells::new()))
            .0
            .unwrap();
        let (result, tx) = in_lease(&lease, raw_work(sql));
        let error = result.unwrap_err();
        assert_eq!(tx, TxStatus::Idle, "{sql}");
        let (broken, outcome) = match by_error {
            true => (false, "not_applied"),
            false => (true, "unknown"),
        };
        assert_eq!(error.kind == ErrorKind::TransactionBroken, broken, "{sql}");
        assert_eq!(error.outcome.as_str(), outcome, "{sql}");
        assert_eq!(lease.status(), LeaseStatus::Failed, "{sql}");
        let error = in_lease(&lease, write_work("UPDATE t SET n = 2", Cells::new()))
            .0
            .unwrap_err();
        assert_eq!(error.kind, ErrorKind::TransactionBroken, "{sql}");
        let error = commit(&lease).unwrap_err();
        let expected = if by_error {
            ErrorKind::TransactionRolledBack
        } else {
            ErrorKind::TransactionBroken
        };
        assert_eq!(error.kind, expected, "{sql}: {error:?}");
        assert_eq!(int(&db, "SELECT count(*) FROM t WHERE n = 2"), 0, "{sql}");
        assert_usable(&db);
    }
}

#[test]
fn a_failed_commit_rolls_back() {
    let db = memory_db();
    table(&db);
    exec(
        &db,
        "CREATE TABLE c (t_id INTEGER REFERENCES t DEFERRABLE INITIALLY DEFERRED)",
    )
    .unwrap();
    let lease = begun(&db);
    in_lease(
        &lease,
        write_work("INSERT INTO c VALUES (99)", Cells::new()),
    )
    .0
    .unwrap();
    let error = commit(&lease).unwrap_err();
    assert_eq!(
        (error.kind, error.outcome.as_str()),
        (ErrorKind::ForeignKey, "not_applied")
    );
    assert_eq!(lease.status(), LeaseStatus::Closed);
    assert_eq!(int(&db, "SELECT count(*) FROM c"), 0);
    assert_usable(&db);
}

#[test]
fn read_transactions_see_one_snapshot_and_cannot_write() {
    let dir = tempfile::tempdir().unwrap();
    for (db, concurrent) in [
        (file_db(&dir.path().join("a.db")), true),
        (memory_db(), false),
    ] {
        table(&db);
        let lease = db.lease(BeginMode::Read);
        begin(&lease).unwrap();
        let count = || {
            first_int(
                &in_lease(&lease, read_work("SELECT count(*) FROM t", Cells::new()))
                    .0
                    .unwrap(),
            )
        };
        assert_eq!(count(), 1);
        if concurrent {
            exec(&db, "INSERT INTO t (n) VALUES (7)").unwrap();
            assert_eq!(count(), 1);
        }
        let error = in_lease(&lease, write_work("DELETE FROM t", Cells::new()))
            .0
            .unwrap_err();
        assert!(error.message.contains("readonly"), "{error}");
        commit(&lease).unwrap();
        exec(&db, "INSERT INTO t (n) VALUES (8)").unwrap();
        assert_usable(&db);
    }
}

#[test]
fn dropping_a_lease_rolls_back_at_any_moment() {
    let dir = tempfile::tempdir().unwrap();
    let db = file_db(&dir.path().join("a.db"));
    table(&db);
    for pause in [0, 1, 3, 20] {
        // Idle, running, queued, and beginning.
        let lease = begun(&db);
        in_lease(&lease, write_work("UPDATE t SET n = 5", Cells::new()))
            .0
            .unwrap();
        drop(lease);
        assert_usable(&db);

        let lease = begun(&db);
        let answers = Arc::new(AtomicUsize::new(0));
        for _ in 0..4 {
            let answers = Arc::clone(&answers);
            let job = Job::new(write_work(
                &format!("UPDATE t SET n = ({})", slow_sql(400_000_000)),
                Cells::new(),
            ));
            lease.run(
                job,
                Box::new(move |result, _| {
                    let kind = result.unwrap_err().kind;
                    assert!(
                        matches!(kind, ErrorKind::Cancelled | ErrorKind::TransactionClosed),
                        "{kind:?}"
                    );
                    answers.fetch_add(1, Ordering::SeqCst);
                }),
            );
        }
        thread::sleep(Duration::from_millis(pause));
        let start = Instant::now();
        drop(lease);
        assert_usable(&db);
        assert!(start.elapsed() < Duration::from_secs(3));
        assert_eq!(answers.load(Ordering::SeqCst), 4);

        let holder = begun(&db);
        let waiting = db.lease(BeginMode::Write);
        let (sender, receiver) = crossbeam_channel::bounded(1);
        waiting.begin(
            flag(),
            None,
            None,
            Box::new(move |result, _| sender.send(result).unwrap()),
        );
        thread::sleep(Duration::from_millis(pause));
        drop(waiting);
        assert_eq!(
            receiver
                .recv_timeout(Duration::from_secs(1))
                .unwrap()
                .unwrap_err()
                .kind,
            ErrorKind::Cancelled
        );
        drop(holder);
        assert_usable(&db);
    }
    assert_eq!(int(&db, "SELECT n FROM t"), 0);
}

#[test]
fn a_running_commit_is_never_disturbed() {
    let db = memory_db();
    table(&db);
    for n in 1..200 {
        let lease = begun(&db);
        in_lease(&lease, write_work("UPDATE t SET n = ?", ints(&[n])))
            .0
            .unwrap();
        let (sender, receiver) = crossbeam_channel::bounded(1);
        lease.commit(Box::new(move |result, _| sender.send(result).unwrap()));
        lease.abandon();
        let committed = receiver.recv().unwrap();
        let expected = if committed.is_ok() { n } else { n - 1 };
        assert_eq!(
            int(&db, "SELECT n FROM t"),
            expected,
            "the answer is the truth: {committed:?}"
        );
        exec(&db, &format!("UPDATE t SET n = {n}")).unwrap();
    }
}

#[test]
fn deadlines_of_acquire_statement_and_transaction() {
    let dir = tempfile::tempdir().unwrap();
    let db = file_db(&dir.path().join("a.db"));
    table(&db);
    let holder = begun(&db);

    // Acquire.
    let waiting = db.lease(BeginMode::Write);
    let (sender, receiver) = crossbeam_channel::unbounded();
    let answer = sender.clone();
    waiting.begin(
        flag(),
        Some(after(30)),
        None,
        Box::new(move |result, _| answer.send(result).unwrap()),
    );
    let due = db.next_deadline().unwrap();
    assert!(due <= after(30));
    thread::sleep(due.saturating_duration_since(Instant::now()));
    db.expire(Instant::now());
    let error = receiver.recv().unwrap().unwrap_err();
    assert_eq!(
        (error.kind, error.retryable),
        (ErrorKind::PoolTimeout, true)
    );
    assert!(
        error
            .message
            .contains("in_use 1 of 1, waiting 1, the longest holder for 0."),
        "{error}"
    );
    assert_eq!(db.stats().timeouts, 1);

    // A statement's deadline while it waits, and while it runs.
    let answer = sender.clone();
    let job = Job::with_cancel(
        write_work("UPDATE t SET n = 1", Cells::new()),
        flag(),
        Some(after(10)),
    );
    db.run(
        job,
        None,
        Box::new(move |result, _| answer.send(result).unwrap()),
    );
    thread::sleep(Duration::from_millis(15));
    db.expire(Instant::now());
    assert_eq!(
        receiver.recv().unwrap().unwrap_err().kind,
        ErrorKind::QueryTimeout
    );
    let start = Instant::now();
    let job = Job::with_cancel(
        read_work(&slow_sql(400_000_000), Cells::new()),
        flag(),
        Some(after(50)),
    );
    let error = wait(|sink| db.run(job, None, sink)).0.unwrap_err();
    assert_eq!(error.kind, ErrorKind::QueryTimeout);
    assert!(
        start.elapsed() < Duration::from_millis(1500),
        "{:?}",
        start.elapsed()
    );

    // A transaction's.
    holder.set_deadline(Some(after(30)));
    let job = Job::new(write_work(
        &format!("UPDATE t SET n = ({})", slow_sql(400_000_000)),
        Cells::new(),
    ));
    let answer = sender.clone();
    holder.run(job, Box::new(move |result, _| answer.send(result).unwrap()));
    thread::sleep(Duration::from_millis(40));
    assert!(db.next_deadline().unwrap() <= Instant::now());
    db.expire(Instant::now());
    assert_eq!(
        receiver.recv().unwrap().unwrap_err().kind,
        ErrorKind::TransactionTimeout
    );
    assert_eq!(holder.status(), LeaseStatus::Closed);
    assert_eq!(
        commit(&holder).unwrap_err().kind,
        ErrorKind::TransactionTimeout
    );
    assert_eq!(
        in_lease(&holder, write_work("SELECT 1", Cells::new()))
            .0
            .unwrap_err()
            .kind,
        ErrorKind::TransactionTimeout
    );
    assert_usable(&db);
    assert_eq!(int(&db, "SELECT n FROM t"), 0);
}

#[test]
fn cancelling_stops_the_one_and_nobody_else() {
    let dir = tempfile::tempdir().unwrap();
    let db = file_db(&dir.path().join("a.db"));
    table(&db);
    let cancelled = AtomicUsize::new(0);
    thread::scope(|scope| {
        for worker in 0..4 {
            let (db, cancelled) = (&db, &cancelled);
            scope.spawn(move || {
                for round in 0..100 {
                    if worker % 2 == 0 {
                        // A bystander.
                        assert_eq!(int(db, &slow_sql(2_000)), 2_000);
                        exec(db, "UPDATE t SET n = n + 1").unwrap();
                    } else {
                        let flag = flag();
                        let sql = slow_sql(400_000_000);
                        let work = if round % 2 == 0 {
                            read_work(&sql, Cells::new())
                        } else {
                            write_work(&format!("UPDATE t SET n = ({sql})"), Cells::new())
                        };
                        let (sender, receiver) = crossbeam_channel::bounded(1);
                        let job = Job::with_cancel(work, Arc::clone(&flag), None);
                        db.run(
                            job,
                            None,
                            Box::new(move |result, _| sender.send(result).unwrap()),
                        );
                        thread::sleep(Duration::from_micros(200 * (round % 7)));
                        let start = Instant::now();
                        db.cancel(&flag);
                        let error = receiver.recv().unwrap().unwrap_err();
                        assert_eq!(error.kind, ErrorKind::Cancelled, "{error:?}");
                        assert!(
                            start.elapsed() < Duration::from_millis(1500),
                            "{:?}",
                            start.elapsed()
                        );
                        cancelled.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    assert_eq!(cancelled.load(Ordering::Relaxed), 200);
    assert_eq!(int(&db, "SELECT n FROM t"), 200);
    assert_usable(&db);
    close(&db);
}

#[test]
fn an_interrupted_write_breaks_its_transaction_and_says_so() {
    let db = memory_db();
    table(&db);
    let lease = begun(&db);
    in_lease(&lease, write_work("UPDATE t SET n = 5", Cells::new()))
        .0
        .unwrap();
    let job = Job::with_cancel(
        write_work(
            &format!("UPDATE t SET n = ({})", slow_sql(400_000_000)),
            Cells::new(),
        ),
        flag(),
        Some(after(30)),
    );
    let (result, tx) = wait(|sink| lease.run(job, sink));
    assert_eq!(
        (result.unwrap_err().kind, tx),
        (ErrorKind::QueryTimeout, TxStatus::Idle)
    );
    let error = in_lease(&lease, write_work("UPDATE t SET n = 6", Cells::new()))
        .0
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::TransactionBroken);
    assert!(
        error.message.contains("deadline"),
        "names the cause: {error}"
    );
    assert_eq!(
        commit(&lease).unwrap_err().kind,
        ErrorKind::TransactionRolledBack
    );
    assert_eq!(int(&db, "SELECT n FROM t"), 0);

    // An interrupted read does not.
    let lease = begun(&db);
    in_lease(&lease, write_work("UPDATE t SET n = 5", Cells::new()))
        .0
        .unwrap();
    let job = Job::with_cancel(
        read_work(&slow_sql(400_000_000), Cells::new()),
        flag(),
        Some(after(30)),
    );
    let (result, tx) = wait(|sink| lease.run(job, sink));
    assert_eq!(
        (result.unwrap_err().kind, tx),
        (ErrorKind::QueryTimeout, TxStatus::InTransaction)
    );
    commit(&lease).unwrap();
    assert_eq!(int(&db, "SELECT n FROM t"), 5);
}

#[test]
fn a_bulk_is_cancelled_between_rows() {
    let db = memory_db();
    exec(&db, "CREATE TABLE b (n INTEGER)").unwrap();
    let flag = flag();
    let work = Work::Bulk {
        sql: "INSERT INTO b VALUES (?)".into(),
        params: ints(&(0..3_000_000).collect::<Vec<_>>()),
        width: 1,
        returning: Returning::Nothing,
    };
    let (sender, receiver) = crossbeam_channel::bounded(1);
    db.run(
        Job::with_cancel(work, Arc::clone(&flag), None),
        None,
        Box::new(move |result, _| sender.send(result).unwrap()),
    );
    thread::sleep(Duration::from_millis(30));
    let start = Instant::now();
    db.cancel(&flag);
    assert_eq!(
        receiver.recv().unwrap().unwrap_err().kind,
        ErrorKind::Cancelled
    );
    assert!(
        start.elapsed() < Duration::from_millis(1500),
        "{:?}",
        start.elapsed()
    );
    assert_eq!(int(&db, "SELECT count(*) FROM b"), 0);
}

#[test]
fn writers_are_served_in_order() {
    let db = memory_db();
    table(&db);
    let holder = begun(&db);
    let (sender, receiver) = crossbeam_channel::unbounded();
    for n in 0..100 {
        let sender = sender.clone();
        let job = Job::new(write_work("UPDATE t SET n = ?", ints(&[n])));
        db.run(
            job,
            None,
            Box::new(move |result, _| sender.send((n, result.is_ok())).unwrap()),
        );
    }
    assert_eq!(db.stats().waiting, 100);
    drop(holder);
    let order: Vec<(i64, bool)> = (0..100).map(|_| receiver.recv().unwrap()).collect();
    assert_eq!(order, (0..100).map(|n| (n, true)).collect::<Vec<_>>());
    assert_eq!(int(&db, "SELECT n FROM t"), 99);
}

#[test]
fn a_storm_of_leases_cancels_and_drops_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let db = file_db(&dir.path().join("a.db"));
    table(&db);
    let applied = AtomicUsize::new(0);
    thread::scope(|scope| {
        for worker in 0..6_u64 {
            let (db, applied) = (&db, &applied);
            scope.spawn(move || {
                let mut seed = worker * 7919 + 13;
                let mut random = move |below: u64| {
                    seed = seed
                        .wrapping_mul(6_364_136_223_846_793_005)
                        .wrapping_add(1_442_695_040_888_963_407);
                    (seed >> 33) % below
                };
                for _ in 0..60 {
                    let lease = db.lease(BeginMode::Write);
                    let cancel = flag();
                    let (sender, receiver) = crossbeam_channel::bounded(1);
                    lease.begin(
                        Arc::clone(&cancel),
                        Some(after(20_000)),
                        None,
                        Box::new(move |result, _| {
                            let _ = sender.send(result);
                        }),
                    );
                    if random(4) == 0 {
                        thread::sleep(Duration::from_micros(random(2_000)));
                        db.cancel(&cancel);
                    }
                    if random(6) == 0 {
                        continue;
                    }
                    if receiver.recv().unwrap().is_err() {
                        continue;
                    }
                    if in_lease(&lease, write_work("UPDATE t SET n = n + 1", Cells::new()))
                        .0
                        .is_err()
                    {
                        continue;
                    }
                    match random(4) {
                        0 => drop(lease),
                        1 => rollback(&lease).map(|_| ()).unwrap(),
                        _ => {
                            commit(&lease).unwrap();
                            applied.fetch_add(1, Ordering::SeqCst);
                        }
                    }
                }
            });
        }
    });
    assert_usable(&db);
    assert_eq!(
        int(&db, "SELECT n FROM t"),
        i64::try_from(applied.load(Ordering::SeqCst)).unwrap()
    );
    close(&db);
}

#[test]
fn a_full_disk_is_a_typed_error_and_leaves_the_database_whole() {
    let dir = tempfile::tempdir().unwrap();
    let db = file_db(&dir.path().join("a.db"));
    table(&db);
    exec(&db, "CREATE TABLE big (b BLOB)").unwrap();
    // The page limit of the connection stands in for a full disk: the same result code.
    let lease = begun(&db);
    in_lease(&lease, raw_work("PRAGMA max_page_count=40"))
        .0
        .unwrap();
    let (result, tx) = in_lease(
        &lease,
        write_work("INSERT INTO big VALUES (zeroblob(1000000))", Cells::new()),
    );
    let error = result.unwrap_err();
    assert_eq!(
        (error.kind, error.retryable),
        (ErrorKind::Operational, false),
        "{error:?}"
    );
    match tx {
        TxStatus::Idle => assert_eq!(
            commit(&lease).unwrap_err().kind,
            ErrorKind::TransactionRolledBack
        ),
        _ => commit(&lease).map(|_| ()).unwrap(),
    }
    assert_usable(&db);
    exec(&db, "INSERT INTO big VALUES (zeroblob(1000000))").unwrap();
    assert_eq!(
        first_text(&exec(&db, "PRAGMA integrity_check").unwrap()),
        "ok"
    );
}
