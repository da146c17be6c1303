//! What SQLite cannot show: an engine that answers like PostgreSQL, and connections that die.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod common;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use common::*;
use oxyde_exec::dispatch::{Parts, wait};
use oxyde_exec::engine::Paused;
use oxyde_exec::pool::PoolConfig;
use oxyde_exec::{
    Caps, Cells, Completion, ConnId, Database, Done, Effect, Engine, ErrorKind, ExecError, Job,
    LeaseStatus, LoopId, Outcome, Tag, TxStatus, Work,
};

/// Answers at once with what the script says; without a script, as a healthy server would.
struct Scripted {
    caps: Caps,
    answers: Mutex<VecDeque<Completion>>,
    log: Mutex<Vec<String>>,
}

impl Engine for Scripted {
    fn caps(&self) -> &Caps {
        &self.caps
    }

    fn open(&self, slot: ConnId, _: LoopId, done: Done) {
        self.log
            .lock()
            .unwrap()
            .push(format!("open {}", slot.number));
        done(Completion::ok(Outcome::default(), TxStatus::Idle));
    }

    fn start(&self, conn: ConnId, job: Job, done: Done) {
        let (name, tx) = match job.work {
            Work::Begin(_) => ("begin".to_owned(), TxStatus::InTransaction),
            Work::Commit => ("commit".to_owned(), TxStatus::Idle),
            Work::Rollback => ("rollback".to_owned(), TxStatus::Idle),
            Work::RollbackTo(name) => (format!("rollback to {name}"), TxStatus::InTransaction),
            Work::Savepoint(name) => (format!("savepoint {name}"), TxStatus::InTransaction),
            Work::Statement { sql, .. } => (sql.to_string(), TxStatus::InTransaction),
            other => panic!("{other:?}"),
        };
        self.log
            .lock()
            .unwrap()
            .push(format!("{} {name}", conn.number));
        let scripted = match name.as_str() {
            "begin" => None,
            _ => self.answers.lock().unwrap().pop_front(),
        };
        done(scripted.unwrap_or_else(|| Completion::ok(Outcome::default(), tx)));
    }

    fn close(&self, conn: ConnId, _: LoopId, done: Done) {
        self.log
            .lock()
            .unwrap()
            .push(format!("close {}", conn.number));
        done(Completion::ok(Outcome::default(), TxStatus::Unknown));
    }

    fn abort(&self) {}

    fn shutdown(&self, done: Box<dyn FnOnce() + Send>) {
        done();
    }

    fn join(&self, _: Instant) -> bool {
        true
    }

    fn pause(&self, _: Instant) -> Paused {
        Paused::Fresh
    }

    fn resume(&self) {}
}

fn database(answers: Vec<Completion>) -> (Arc<Database>, Arc<Scripted>) {
    let engine = Arc::new(Scripted {
        caps: Caps {
            loop_bound: false,
            single_connection: false,
            read_lane: false,
            inline: false,
        },
        answers: Mutex::new(answers.into()),
        log: Mutex::new(Vec::new()),
    });
    let shared = Arc::clone(&engine);
    let pool = PoolConfig {
        max_connections: 2,
        min_connections: 0,
        max_waiting: None,
        idle_timeout: None,
        max_lifetime: None,
    };
    let db = Database::with_engine("fake", move || {
        Parts::new(Arc::clone(&shared) as Arc<dyn Engine>, pool.clone(), None)
    });
    (db, engine)
}

fn log(engine: &Scripted) -> Vec<String> {
    std::mem::take(&mut *engine.log.lock().unwrap())
}

fn failed(error: ExecError, tx: TxStatus) -> Completion {
    Completion {
        result: Err(error),
        tx,
        alive: true,
        tainted: false,
        unsent: None,
    }
}

fn statement(sql: &str) -> Work {
    write_work(sql, Cells::new())
}

#[test]
fn a_failed_transaction_takes_only_its_end() {
    let unique = || {
        failed(
            ExecError::from_sqlstate("23505", "duplicate key"),
            TxStatus::Failed,
        )
    };
    let (db, engine) = database(vec![unique()]);
    let lease = begun(&db);
    let (result, tx) = in_lease(&lease, statement("insert"));
    assert_eq!(
        (result.unwrap_err().kind, tx),
        (ErrorKind::Unique, TxStatus::Failed)
    );
    assert_eq!(lease.status(), LeaseStatus::Failed);
    let error = in_lease(&lease, statement("select")).0.unwrap_err();
    assert_eq!(error.kind, ErrorKind::TransactionBroken);
    assert!(error.message.contains("duplicate key"), "{error}");
    assert_eq!(
        commit(&lease).unwrap_err().kind,
        ErrorKind::TransactionRolledBack
    );
    assert_eq!(
        log(&engine),
        ["open 1", "1 begin", "1 insert", "1 rollback"],
        "COMMIT is not even sent"
    );
    assert_quiet(&db);

    // A savepoint rescues it.
    let ok = || Completion::ok(Outcome::default(), TxStatus::InTransaction);
    let (db, engine) = database(vec![ok(), unique()]);
    let lease = begun(&db);
    wait(|sink| lease.savepoint("s", sink)).0.unwrap();
    assert!(in_lease(&lease, statement("insert")).0.is_err());
    assert_eq!(
        wait(|sink| lease.savepoint("t", sink)).0.unwrap_err().kind,
        ErrorKind::TransactionBroken
    );
    wait(|sink| lease.rollback_to("s", sink)).0.unwrap();
    assert_eq!(lease.status(), LeaseStatus::Open);
    commit(&lease).unwrap();
    assert_eq!(log(&engine).last().unwrap(), "1 commit");
}

#[test]
fn commit_tells_the_truth() {
    // The server answers ROLLBACK to COMMIT.
    let rolled_back = Completion::ok(
        Outcome {
            tag: Tag::Rollback,
            ..Outcome::default()
        },
        TxStatus::Idle,
    );
    let (db, _) = database(vec![rolled_back]);
    assert_eq!(
        commit(&begun(&db)).unwrap_err().kind,
        ErrorKind::TransactionRolledBack
    );
    // A definite error.
    let serialization = failed(
        ExecError::from_sqlstate("40001", "could not serialize"),
        TxStatus::Idle,
    );
    let (db, _) = database(vec![serialization]);
    let error = commit(&begun(&db)).unwrap_err();
    assert_eq!(
        (error.kind, error.retryable, error.outcome),
        (ErrorKind::Serialization, true, Effect::NotApplied)
    );
    // No answer.
    let lost = || Completion::lost(ExecError::from_sqlstate("08006", "connection reset"));
    let (db, engine) = database(vec![lost()]);
    let lease = begun(&db);
    let error = commit(&lease).unwrap_err();
    assert_eq!(
        (error.kind, error.retryable, error.outcome),
        (ErrorKind::CommitUnknown, false, Effect::Unknown)
    );
    assert_eq!((db.stats().size, db.stats().lost), (0, 1));
    commit(&begun(&db)).unwrap();
    assert_eq!(
        log(&engine),
        [
            "open 1", "1 begin", "1 commit", "open 2", "2 begin", "2 commit"
        ]
    );
}

#[test]
fn a_lost_connection_ends_the_transaction() {
    let lost = Completion::lost(ExecError::from_sqlstate(
        "57P01",
        "terminated by administrator",
    ));
    let (db, _) = database(vec![lost]);
    let lease = begun(&db);
    let error = in_lease(&lease, statement("update")).0.unwrap_err();
    assert_eq!(
        (error.kind, error.outcome),
        (ErrorKind::ConnectionLost, Effect::Unknown)
    );
    let error = in_lease(&lease, statement("update")).0.unwrap_err();
    assert_eq!(error.kind, ErrorKind::TransactionBroken);
    assert!(
        error.message.contains("terminated by administrator"),
        "{error}"
    );
    assert_eq!(
        commit(&lease).unwrap_err().kind,
        ErrorKind::TransactionRolledBack
    );
    assert_eq!(lease.status(), LeaseStatus::Closed);
    assert_quiet(&db);
}

#[test]
fn a_connection_that_cannot_be_rolled_back_is_closed() {
    let stuck = || {
        failed(
            ExecError::new(ErrorKind::Operational, "no"),
            TxStatus::InTransaction,
        )
    };
    let (db, engine) = database(vec![stuck(), stuck(), stuck()]);
    let lease = begun(&db);
    in_lease(&lease, statement("update")).0.unwrap_err();
    drop(lease);
    assert_eq!(
        log(&engine),
        ["open 1", "1 begin", "1 update", "1 rollback", "close 1"]
    );
    assert_eq!(db.stats().size, 0);
    commit(&begun(&db)).unwrap_err();
}

#[test]
fn the_table_of_codes() {
    use ErrorKind as K;
    for (state, kind, retryable) in [
        ("23505", K::Unique, false),
        ("23503", K::ForeignKey, false),
        ("23P01", K::Exclusion, false),
        ("22001", K::Data, false),
        ("22012", K::Data, false),
        ("42P01", K::Programming, false),
        ("42601", K::Programming, false),
        ("0A000", K::NotSupported, false),
        ("40001", K::Serialization, true),
        ("40P01", K::Deadlock, true),
        ("55P03", K::LockTimeout, true),
        ("57014", K::QueryTimeout, false),
        ("28P01", K::Connect, false),
        ("3D000", K::Connect, false),
        ("53300", K::Connect, true),
        ("08006", K::ConnectionLost, false),
        ("53100", K::Operational, false),
        ("25P02", K::TransactionBroken, false),
        ("ZZ999", K::Operational, false),
        ("", K::Operational, false),
        ("ß", K::Operational, false),
    ] {
        let error = ExecError::from_sqlstate(state, "message");
        assert_eq!((error.kind, error.retryable), (kind, retryable), "{state}");
    }
    for (errno, kind, retryable) in [
        (1062, K::Unique, false),
        (1452, K::ForeignKey, false),
        (1048, K::NotNull, false),
        (3819, K::Check, false),
        (4025, K::Check, false),
        (1213, K::Deadlock, true),
        (1205, K::LockTimeout, true),
        (1264, K::Data, false),
        (1406, K::Data, false),
        (1064, K::Programming, false),
        (1146, K::Programming, false),
        (1045, K::Connect, false),
        (1040, K::Connect, true),
        (2013, K::ConnectionLost, false),
        (3024, K::QueryTimeout, false),
        (1114, K::Operational, false),
        (9, K::Operational, false),
    ] {
        let error = ExecError::from_mysql(errno, None, "message");
        assert_eq!((error.kind, error.retryable), (kind, retryable), "{errno}");
    }
    for (code, kind, retryable) in [
        (2067, K::Unique, false),
        (1555, K::Unique, false),
        (787, K::ForeignKey, false),
        (1299, K::NotNull, false),
        (275, K::Check, false),
        (1811, K::Integrity, false),
        (5, K::LockTimeout, true),
        (261, K::LockTimeout, true),
        (517, K::Serialization, true),
        (6, K::LockTimeout, true),
        (8, K::Operational, false),
        (13, K::Operational, false),
        (266, K::Operational, false),
        (11, K::Operational, false),
        (14, K::Connect, false),
        (18, K::Data, false),
        (1, K::Programming, false),
    ] {
        let error = ExecError::from_sqlite(code, "message");
        assert_eq!((error.kind, error.retryable), (kind, retryable), "{code}");
    }
    assert!(
        ExecError::from_sqlstate("0A000", "cached plan must not change result type")
            .is_stale_plan()
    );
    assert!(ExecError::from_sqlstate("26000", "no such statement").is_stale_plan());
    assert!(ExecError::from_mysql(1615, None, "re-prepare").is_stale_plan());
    assert!(!ExecError::from_sqlstate("0A000", "no such feature").is_stale_plan());
}
