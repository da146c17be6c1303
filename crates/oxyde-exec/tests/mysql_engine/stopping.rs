//! Statements that are cancelled or run out of time.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use oxyde_exec::dispatch::wait;
use oxyde_exec::{CancelFlag, Effect, ErrorKind, Job, TxStatus};

use crate::answers::{query, raw, statement};
use crate::home::{Home, begin, close, commit, in_lease, one, open, open_at, script};
use crate::polling::{LOOP, Place};

#[test]
#[ignore = "needs a server: nox -s tests-mysql"]
fn a_cancelled_statement_stops_and_its_connection_goes_on() {
    let (db, _) = open(|config| config.pool.max_connections = 1);
    let thread_id = one(&db, "SELECT CONNECTION_ID()");
    for round in 0..200 {
        let flag = Arc::new(CancelFlag::new());
        let sql = if round % 2 == 0 {
            "SELECT SLEEP(20)"
        } else {
            "SELECT COUNT(*) FROM information_schema.columns a, information_schema.columns b, \
             information_schema.columns c"
        };
        let (work, _) = query(&statement(sql), &[], false);
        let job = Job::with_cancel(work, Arc::clone(&flag), None);
        let started = Instant::now();
        let canceller = {
            let db = Arc::clone(&db);
            thread::spawn(move || {
                thread::sleep(Duration::from_micros(round * 50));
                db.cancel(&flag);
            })
        };
        let error = wait(|sink| db.run_on(LOOP, job, None, sink)).0.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Cancelled);
        assert!(started.elapsed() < Duration::from_secs(5));
        canceller.join().unwrap();
        // No late request hits a bystander.
        assert_eq!(one(&db, "SELECT CONNECTION_ID()"), thread_id);
        assert_eq!(one(&db, "SELECT SLEEP(0.0001)"), "0");
    }
    close(&db);
}

#[test]
#[ignore = "needs a server: nox -s tests-mysql"]
fn a_deadline_is_a_query_timeout() {
    let home = Home::new("deadline");
    let db = home.one();
    script(&db, &["CREATE TABLE t (a int)"]);
    for sql in [
        "SELECT SLEEP(20)",
        "INSERT INTO t SELECT SLEEP(20) FROM (SELECT 1 UNION SELECT 2) two",
        "DO SLEEP(20)",
    ] {
        let (work, _) = raw(sql, &[]);
        let deadline = Some(Instant::now() + Duration::from_millis(100));
        let job = Job::with_cancel(work, Arc::new(CancelFlag::new()), deadline);
        let result = wait(|sink| db.run_on(LOOP, job, None, sink)).0;
        assert_eq!(result.unwrap_err().kind, ErrorKind::QueryTimeout, "{sql}");
        assert_eq!(one(&db, "SELECT COUNT(*) FROM t"), "0");
    }
    close(&db);
}

#[test]
#[ignore = "needs a server: nox -s tests-mysql"]
fn a_stopped_write_in_a_transaction_leaves_the_transaction() {
    let home = Home::new("stopped");
    let (db, _) = home.open(|_| ());
    script(
        &db,
        &[
            "CREATE TABLE t (a int PRIMARY KEY, b int)",
            "INSERT INTO t VALUES (1, 0), (2, 0)",
        ],
    );
    let holder = begin(&db);
    in_lease(&holder, "UPDATE t SET b = 1 WHERE a = 1")
        .0
        .unwrap();
    let lease = begin(&db);
    in_lease(&lease, "UPDATE t SET b = 2 WHERE a = 2")
        .0
        .unwrap();
    for _ in 0..20 {
        let (work, _) = raw("UPDATE t SET b = 2 WHERE a = 1", &[]);
        let deadline = Some(Instant::now() + Duration::from_millis(20));
        let job = Job::with_cancel(work, Arc::new(CancelFlag::new()), deadline);
        let (result, tx) = wait(|sink| lease.run(job, sink));
        assert_eq!(result.unwrap_err().kind, ErrorKind::QueryTimeout);
        assert_eq!(tx, TxStatus::InTransaction);
    }
    commit(&lease).unwrap();
    drop(holder);
    assert_eq!(one(&db, "SELECT GROUP_CONCAT(b ORDER BY a) FROM t"), "0,2");
    close(&db);
}

#[test]
#[ignore = "needs a server: nox -s tests-mysql"]
fn a_guarded_statement_is_stopped_like_others() {
    let home = Home::new("guarded");
    let db = home.one();
    script(
        &db,
        &[
            "CREATE TABLE t (a int)",
            "CREATE PROCEDURE slow() BEGIN INSERT INTO t VALUES (2); WHILE 1 DO DO 1; END WHILE; END",
        ],
    );
    let lease = begin(&db);
    in_lease(&lease, "INSERT INTO t VALUES (1)").0.unwrap();
    for round in 0..60 {
        let (work, _) = raw("CALL slow()", &[]);
        let deadline = Some(Instant::now() + Duration::from_micros(round * 200));
        let job = Job::with_cancel(work, Arc::new(CancelFlag::new()), deadline);
        let (result, tx) = wait(|sink| lease.run(job, sink));
        assert_eq!(result.unwrap_err().kind, ErrorKind::QueryTimeout);
        assert_eq!(tx, TxStatus::InTransaction);
    }
    in_lease(&lease, "INSERT INTO t VALUES (3)").0.unwrap();
    commit(&lease).unwrap();
    assert_eq!(one(&db, "SELECT COUNT(*) FROM t WHERE a <> 2"), "2");
    close(&db);
}

#[test]
#[ignore = "needs a server: nox -s tests-mysql"]
fn what_cannot_be_stopped_costs_its_connection() {
    let home = Home::new("unstoppable");
    script(&home.one(), &["CREATE TABLE t (a int)"]);
    let nowhere = |place: &mut Place| place.cancels = Some("127.0.0.1:1".to_owned());
    let (db, _) = open_at(nowhere, |config| {
        config.database = Some(home.name.clone());
        config.pool.max_connections = 1;
        config.drain_budget = Duration::from_millis(500);
    });
    let thread_id = one(&db, "SELECT CONNECTION_ID()");
    // In time after all: nothing was sent that could hit anybody.
    for (seconds, goes_on) in [("0.2", true), ("3", false)] {
        let sql = format!("INSERT INTO t SELECT SLEEP({seconds})");
        let (work, _) = raw(&sql, &[]);
        let deadline = Some(Instant::now() + Duration::from_millis(50));
        let job = Job::with_cancel(work, Arc::new(CancelFlag::new()), deadline);
        let started = Instant::now();
        let result = wait(|sink| db.run_on(LOOP, job, None, sink)).0;
        assert!(started.elapsed() < Duration::from_secs(2));
        if goes_on {
            assert_eq!(result.unwrap().affected, 1);
        } else {
            let error = result.unwrap_err();
            assert_eq!(
                (error.kind, error.outcome),
                (ErrorKind::QueryTimeout, Effect::Unknown)
            );
        }
        let now = one(&db, "SELECT CONNECTION_ID()");
        assert_eq!(now == thread_id, goes_on);
    }
    close(&db);
}
