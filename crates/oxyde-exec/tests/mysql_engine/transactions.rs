//! Transactions: how they begin, and what the server says has become of them.

use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use oxyde_exec::dispatch::wait;
use oxyde_exec::{Begin, BeginMode, Effect, ErrorKind, Isolation, Job, TxStatus};

use crate::answers::raw;
use crate::home::{
    Home, begin, begin_as, close, code, commit, in_lease, is_mariadb, one, open_at, script,
};
use crate::polling::Place;

#[test]
#[ignore = "needs a server: nox -s tests-mysql"]
fn the_server_decides_what_became_of_a_transaction() {
    let home = Home::new("tx");
    let (db, _) = home.open(|_| ());
    script(&db, &["CREATE TABLE t (a int PRIMARY KEY)"]);
    let lease = begin(&db);
    in_lease(&lease, "INSERT INTO t VALUES (1)").0.unwrap();
    let (failed, tx) = in_lease(&lease, "INSERT INTO t VALUES (1)");
    assert_eq!(failed.unwrap_err().kind, ErrorKind::Unique);
    // Only the statement was undone.
    assert_eq!(tx, TxStatus::InTransaction);
    in_lease(&lease, "INSERT INTO t VALUES (2)").0.unwrap();
    commit(&lease).unwrap();
    assert_eq!(one(&db, "SELECT COUNT(*) FROM t"), "2");

    let lease = begin(&db);
    in_lease(&lease, "DELETE FROM t").0.unwrap();
    wait(|sink| lease.rollback(sink)).0.unwrap();
    assert_eq!(one(&db, "SELECT COUNT(*) FROM t"), "2");
    close(&db);
}

#[test]
#[ignore = "needs a server: nox -s tests-mysql"]
fn transactions_begin_as_they_are_asked_to() {
    let home = Home::new("begin");
    let db = home.one();
    script(&db, &["CREATE TABLE t (a int)"]);
    let level = if is_mariadb(&db) {
        "SELECT trx_isolation_level FROM information_schema.innodb_trx WHERE trx_mysql_thread_id = CONNECTION_ID()"
    } else {
        "SELECT isolation_level FROM performance_schema.events_transactions_current \
         JOIN performance_schema.threads USING (thread_id) WHERE processlist_id = CONNECTION_ID()"
    };
    for (isolation, name) in [
        (Isolation::ReadUncommitted, "READ UNCOMMITTED"),
        (Isolation::ReadCommitted, "READ COMMITTED"),
        (Isolation::RepeatableRead, "REPEATABLE READ"),
        (Isolation::Serializable, "SERIALIZABLE"),
    ] {
        let lease = begin_as(
            &db,
            Begin {
                mode: BeginMode::Write,
                isolation: Some(isolation),
                deferrable: false,
            },
        )
        .unwrap();
        in_lease(&lease, "INSERT INTO t VALUES (1)").0.unwrap();
        // What MariaDB shows of transactions may be 100 ms old.
        thread::sleep(Duration::from_millis(150));
        let (work, kept) = raw(level, &[]);
        wait(|sink| lease.run(Job::new(work), sink)).0.unwrap();
        assert_eq!(kept.texts()[0][0].as_deref(), Some(name));
        commit(&lease).unwrap();
    }
    let lease = begin_as(&db, BeginMode::Read).unwrap();
    let refused = in_lease(&lease, "INSERT INTO t VALUES (1)").0.unwrap_err();
    assert_eq!(code(&refused), 1792);
    commit(&lease).unwrap();
    let deferrable = Begin {
        deferrable: true,
        ..BeginMode::Read.into()
    };
    let refused = begin_as(&db, deferrable).unwrap_err();
    assert_eq!(refused.kind, ErrorKind::NotSupported);
    assert_eq!(one(&db, "SELECT COUNT(*) FROM t"), "4");
    close(&db);
}

#[test]
#[ignore = "needs a server: nox -s tests-mysql"]
fn what_commits_unasked_breaks_the_transaction() {
    let home = Home::new("implicit");
    let (db, _) = home.open(|config| config.pool.max_connections = 1);
    script(
        &db,
        &[
            "CREATE TABLE t (a int)",
            "CREATE PROCEDURE anew() BEGIN COMMIT; START TRANSACTION; END",
            "CREATE PROCEDURE anew_and_fail() BEGIN COMMIT; START TRANSACTION; SELECT nothing; END",
            "CREATE PROCEDURE calm() INSERT INTO t VALUES (10)",
        ],
    );
    // What was written before is committed, what comes after is not.
    for (number, sql) in [
        "COMMIT",
        "CREATE TABLE u (a int)",
        "START TRANSACTION",
        "COMMIT AND CHAIN",
        "/*! COMMIT AND CHAIN */",
        "ROLLBACK AND CHAIN",
        "CALL anew()",
        "CALL anew_and_fail()",
        "ALTER TABLE u ADD COLUMN b int",
        "LOCK TABLES t WRITE",
    ]
    .into_iter()
    .enumerate()
    {
        let lease = begin(&db);
        in_lease(&lease, &format!("INSERT INTO t VALUES ({number})"))
            .0
            .unwrap();
        let (result, _) = in_lease(&lease, sql);
        assert_eq!(
            result.unwrap_err().kind,
            ErrorKind::TransactionBroken,
            "{sql}"
        );
        let refused = in_lease(&lease, "INSERT INTO t VALUES (99)").0;
        assert_eq!(
            refused.unwrap_err().kind,
            ErrorKind::TransactionBroken,
            "{sql}"
        );
        assert!(commit(&lease).is_err(), "{sql}");
    }
    assert_eq!(one(&db, "SELECT COUNT(*) FROM t WHERE a = 99"), "0");
    // ROLLBACK AND CHAIN has kept one out.
    assert_eq!(one(&db, "SELECT COUNT(*) FROM t"), "9");
    // These are none of that kind.
    let lease = begin(&db);
    for sql in [
        "CALL calm()",
        "SET @a = 1",
        "CREATE TEMPORARY TABLE v (a int)",
        "DO 1",
        "SAVEPOINT a",
        "INSERT INTO t VALUES (11)",
        "ROLLBACK TO SAVEPOINT a",
        "RELEASE SAVEPOINT a",
        "SELECT 1",
    ] {
        let (result, tx) = in_lease(&lease, sql);
        result.unwrap();
        assert_eq!(tx, TxStatus::InTransaction, "{sql}");
    }
    let (result, tx) = in_lease(&lease, "CALL nothing()");
    assert_eq!(code(&result.unwrap_err()), 1305);
    assert_eq!(tx, TxStatus::InTransaction);
    commit(&lease).unwrap();
    assert_eq!(one(&db, "SELECT COUNT(*) FROM t WHERE a >= 10"), "1");
    close(&db);
}

#[test]
#[ignore = "needs a server: nox -s tests-mysql"]
fn a_deadlock_ends_the_transaction_and_a_lock_wait_only_the_statement() {
    let home = Home::new("locks");
    let (db, _) = home.open(|config| config.lock_timeout = Some(Duration::from_millis(300)));
    script(
        &db,
        &[
            "CREATE TABLE t (a int PRIMARY KEY, b int)",
            "INSERT INTO t VALUES (1, 0), (2, 0)",
        ],
    );
    assert_eq!(
        one(&db, "SELECT CONCAT(@@innodb_lock_wait_timeout, '')"),
        "1"
    );
    let (first, second) = (begin(&db), begin(&db));
    in_lease(&first, "UPDATE t SET b = 1 WHERE a = 1")
        .0
        .unwrap();
    in_lease(&second, "UPDATE t SET b = 2 WHERE a = 2")
        .0
        .unwrap();
    let (result, tx) = in_lease(&second, "UPDATE t SET b = 2 WHERE a = 1");
    let error = result.unwrap_err();
    assert_eq!(
        (error.kind, error.retryable),
        (ErrorKind::LockTimeout, true)
    );
    assert_eq!(tx, TxStatus::InTransaction);
    in_lease(&second, "UPDATE t SET b = 3 WHERE a = 2")
        .0
        .unwrap();

    let (sender, receiver) = channel();
    let (work, _) = raw("UPDATE t SET b = 1 WHERE a = 2", &[]);
    first.run(
        Job::new(work),
        Box::new(move |result, tx| sender.send((result, tx)).unwrap()),
    );
    thread::sleep(Duration::from_millis(50));
    let (theirs, _) = in_lease(&second, "UPDATE t SET b = 2 WHERE a = 1");
    let (ours, _) = receiver.recv_timeout(Duration::from_secs(10)).unwrap();
    let (loser, winner, error) = match (ours, theirs) {
        (Ok(_), Err(error)) => (second, first, error),
        (Err(error), Ok(_)) => (first, second, error),
        other => panic!("{other:?}"),
    };
    assert_eq!((error.kind, error.retryable), (ErrorKind::Deadlock, true));
    let refused = in_lease(&loser, "SELECT 1").0.unwrap_err();
    assert_eq!(
        (refused.kind, refused.retryable),
        (ErrorKind::TransactionBroken, true)
    );
    let refused = commit(&loser).unwrap_err();
    assert_eq!(
        (refused.kind, refused.retryable),
        (ErrorKind::TransactionRolledBack, true)
    );
    commit(&winner).unwrap();
    close(&db);
}

#[test]
#[ignore = "needs a server: nox -s tests-mysql"]
fn a_commit_without_an_answer_is_unknown() {
    let home = Home::new("commit");
    let observer = home.one();
    script(&observer, &["CREATE TABLE t (a int)"]);
    let cut = |place: &mut Place| place.cuts = Some(b"COMMIT");
    let (db, _) = open_at(cut, |config| config.database = Some(home.name.clone()));
    let lease = begin(&db);
    in_lease(&lease, "INSERT INTO t VALUES (1)").0.unwrap();
    let unknown = commit(&lease).unwrap_err();
    assert_eq!(
        (unknown.kind, unknown.outcome),
        (ErrorKind::CommitUnknown, Effect::Unknown)
    );
    let again = begin(&db);
    wait(|sink| again.rollback(sink)).0.unwrap();
    close(&db);
    // The connection is gone, and what it would have committed is committed or not, but not locked.
    let deadline = Instant::now() + Duration::from_secs(5);
    while one(&observer, "SELECT COUNT(*) FROM t") == "0" && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(20));
    }
    script(&observer, &["TRUNCATE TABLE t"]);
    close(&observer);
}
