//! Connections that are lost, and what is left in those that are used again.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use oxyde_exec::dispatch::wait;
use oxyde_exec::{Effect, ErrorKind, Job};

use crate::answers::{query, raw, statement};
use crate::home::{Home, begin, close, code, commit, in_lease, one, rows, run, script, write};

#[test]
#[ignore = "needs a server: nox -s tests-mysql"]
fn connections_killed_while_idle_cost_no_call() {
    let home = Home::new("killed");
    let (db, other) = (home.one(), home.one());
    for pause in [0, 5, 100] {
        for transaction in [false, true] {
            let thread_id = one(&db, "SELECT CONNECTION_ID()");
            script(&other, &[&format!("KILL {thread_id}")]);
            thread::sleep(Duration::from_millis(pause));
            if transaction {
                let lease = begin(&db);
                commit(&lease).unwrap();
            }
            assert_ne!(one(&db, "SELECT CONNECTION_ID()"), thread_id);
        }
    }
    close(&db);
    close(&other);
}

#[test]
#[ignore = "needs a server: nox -s tests-mysql"]
fn connections_that_the_server_finds_idle_for_too_long() {
    let home = Home::new("idle");
    let (db, _) = home.open(|config| {
        config.pool.max_connections = 1;
        config.on_connect = vec!["SET wait_timeout = 1".to_owned()];
    });
    script(&db, &["CREATE TABLE t (a int)"]);
    for _ in 0..3 {
        write(&db, "INSERT INTO t VALUES (1)").unwrap();
        thread::sleep(Duration::from_millis(1300));
    }
    assert_eq!(one(&db, "SELECT COUNT(*) FROM t"), "3");
    let lease = begin(&db);
    in_lease(&lease, "INSERT INTO t VALUES (1)").0.unwrap();
    thread::sleep(Duration::from_millis(1300));
    let lost = in_lease(&lease, "INSERT INTO t VALUES (1)").0.unwrap_err();
    assert!(
        matches!(
            lost.kind,
            ErrorKind::ConnectionLost | ErrorKind::TransactionBroken
        ),
        "{lost:?}"
    );
    assert_eq!(
        commit(&lease).unwrap_err().kind,
        ErrorKind::TransactionRolledBack
    );
    assert_eq!(one(&db, "SELECT COUNT(*) FROM t"), "3");
    close(&db);
}

#[test]
#[ignore = "needs a server: nox -s tests-mysql"]
fn connections_killed_at_work() {
    let home = Home::new("cut");
    let (db, _) = home.open(|_| ());
    let other = home.one();
    script(
        &db,
        &[
            "CREATE TABLE t (a int PRIMARY KEY, b int)",
            "INSERT INTO t VALUES (1, 0)",
        ],
    );
    let kill_soon = |thread_id: String| {
        let other = Arc::clone(&other);
        thread::spawn(move || {
            thread::sleep(Duration::from_millis(50));
            script(&other, &[&format!("KILL {thread_id}")]);
        })
    };
    // A write: nobody knows what became of it.
    let holder = begin(&db);
    in_lease(&holder, "UPDATE t SET b = 1").0.unwrap();
    let victim = home.one();
    let killer = kill_soon(one(&victim, "SELECT CONNECTION_ID()"));
    let lost = write(&victim, "UPDATE t SET b = 2").unwrap_err();
    killer.join().unwrap();
    if lost.kind == ErrorKind::ConnectionLost {
        assert_eq!(lost.outcome, Effect::Unknown);
    } else {
        assert_eq!(code(&lost), 1317, "{lost:?}");
    }
    // In a transaction it is gone, and with it the transaction.
    let lease = begin(&victim);
    let (work, kept) = raw("SELECT CONNECTION_ID()", &[]);
    wait(|sink| lease.run(Job::new(work), sink)).0.unwrap();
    let killer = kill_soon(kept.texts()[0][0].clone().unwrap());
    let lost = in_lease(&lease, "UPDATE t SET b = 2").0.unwrap_err();
    killer.join().unwrap();
    assert!(
        lost.kind == ErrorKind::ConnectionLost || code(&lost) == 1317,
        "{lost:?}"
    );
    let refused = commit(&lease).unwrap_err();
    assert_eq!(
        refused.kind,
        ErrorKind::TransactionRolledBack,
        "{refused:?}"
    );
    // A read runs again.
    let thread_id = one(&victim, "SELECT CONNECTION_ID()");
    let killer = kill_soon(thread_id);
    let (work, _) = query(&statement("SELECT SLEEP(0.3)"), &[], true);
    run(&victim, work).unwrap();
    killer.join().unwrap();
    drop(holder);
    assert_eq!(one(&db, "SELECT CONCAT(b, '') FROM t"), "0");
    for database in [&db, &other, &victim] {
        close(database);
    }
}

#[test]
#[ignore = "needs a server: nox -s tests-mysql"]
fn session_state_is_not_inherited() {
    let home = Home::new("state");
    let (db, _) = home.open(|config| {
        config.pool.max_connections = 1;
        config.on_connect = vec!["SET div_precision_increment = 7".to_owned()];
    });
    script(&db, &["CREATE TABLE lasting (a int)"]);
    let thread_id = one(&db, "SELECT CONNECTION_ID()");
    script(
        &db,
        &[
            "SET div_precision_increment = 9, time_zone = '+05:00', @mine = 1",
            "CREATE TEMPORARY TABLE t (a int)",
            "DO GET_LOCK('oxyde_engine', 1)",
            "SET autocommit = 0",
            "USE information_schema",
        ],
    );
    assert_eq!(
        one(&db, "SELECT CONCAT(@@div_precision_increment, '')"),
        "7"
    );
    assert_eq!(one(&db, "SELECT @@time_zone"), "+00:00");
    assert_eq!(one(&db, "SELECT COALESCE(@mine, 'none')"), "none");
    assert_eq!(one(&db, "SELECT DATABASE()"), home.name);
    assert_eq!(one(&db, "SELECT CONCAT(@@autocommit + 0, '')"), "1");
    assert_eq!(
        one(&db, "SELECT CONCAT(IS_FREE_LOCK('oxyde_engine'), '')"),
        "1"
    );
    let gone = write(&db, "SELECT * FROM t").unwrap_err();
    assert_eq!(code(&gone), 1146);
    assert_eq!(one(&db, "SELECT CONNECTION_ID()"), thread_id);
    // A statement that was prepared before is prepared again.
    let sql = statement("SELECT COUNT(*) FROM lasting");
    rows(&db, &sql, &[]);
    script(&db, &["SET @a = 1"]);
    assert_eq!(rows(&db, &sql, &[]), [[Some("0".to_owned())]]);
    close(&db);
}

#[test]
#[ignore = "needs a server: nox -s tests-mysql"]
fn roles_are_not_inherited() {
    let home = Home::new("roles");
    let db = home.one();
    let role = format!("oxyde_role_{}", std::process::id());
    script(&home.outside, &[&format!("CREATE ROLE {role}")]);
    let user = one(&db, "SELECT CURRENT_USER()").replace('@', "'@'");
    let grant = format!("GRANT {role} TO '{user}'");
    let _ = write(&db, &grant);
    let before = one(&db, "SELECT COALESCE(CURRENT_ROLE(), 'none')");
    write(&db, &format!("SET ROLE {role}")).unwrap();
    let after = one(&db, "SELECT COALESCE(CURRENT_ROLE(), 'none')");
    script(&home.outside, &[&format!("DROP ROLE {role}")]);
    assert_eq!(after, before);
    close(&db);
}
