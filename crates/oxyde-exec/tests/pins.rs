//! Kept connections: turns, what stays in the session, and that nothing is left of it for the next borrower.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod common;

use std::sync::Arc;

use common::*;
use oxyde_exec::dispatch::wait;
use oxyde_exec::{
    BeginMode, Cells, Database, ErrorKind, ExecError, Job, Listener, LoopId, Pin, TxStatus, Work,
};

struct Deaf;

impl Listener for Deaf {
    fn notified(&self, _pid: i32, _channel: String, _payload: String) {}
    fn lost(&self, _error: &ExecError) {}
}

fn pin(db: &Arc<Database>) -> Arc<Pin> {
    let pin = db.pin(Arc::new(Deaf), None);
    wait(|sink| pin.open(LoopId::ANY, flag(), None, sink))
        .0
        .unwrap();
    pin
}

fn on(pin: &Pin, sql: &str) -> (Answer, TxStatus) {
    wait(|sink| pin.run(Job::new(raw_work(sql)), None, sink))
}

fn close_pin(pin: &Pin) {
    wait(|sink| pin.close(sink)).0.unwrap();
}

fn databases(dir: &tempfile::TempDir) -> [Arc<Database>; 2] {
    let databases = [file_db(&dir.path().join("pins.db")), memory_db()];
    for db in &databases {
        exec(db, "CREATE TABLE t (id INTEGER PRIMARY KEY)").unwrap();
    }
    databases
}

#[test]
fn the_session_stays_and_then_goes() {
    let dir = tempfile::tempdir().unwrap();
    for db in databases(&dir) {
        let kept = pin(&db);
        assert!(kept.is_open());
        on(&kept, "CREATE TEMP TABLE p (id INTEGER)").0.unwrap();
        on(
            &kept,
            "CREATE TEMP TRIGGER tr AFTER INSERT ON t BEGIN INSERT INTO p VALUES (NEW.id); END",
        )
        .0
        .unwrap();
        on(&kept, "ATTACH ':memory:' AS other").0.unwrap();
        on(&kept, "INSERT INTO t VALUES (1)").0.unwrap();
        assert_eq!(first_int(&on(&kept, "SELECT id FROM p").0.unwrap()), 1);
        close_pin(&kept);
        assert_quiet(&db);
        assert!(!kept.is_open());
        let error = on(&kept, "SELECT 1").0.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Closed);
        let next = pin(&db);
        on(&next, "INSERT INTO t VALUES (2)").0.unwrap();
        assert!(on(&next, "SELECT id FROM p").0.is_err());
        let attached = "SELECT count(*) FROM pragma_database_list WHERE name = 'other'";
        assert_eq!(first_int(&on(&next, attached).0.unwrap()), 0);
        drop(next);
        assert_quiet(&db);
        close(&db);
    }
}

#[test]
fn transactions_and_statements_take_turns() {
    let dir = tempfile::tempdir().unwrap();
    for db in databases(&dir) {
        let kept = pin(&db);
        let lease = kept.lease(BeginMode::Write);
        begin(&lease).unwrap();
        in_lease(&lease, write_work("INSERT INTO t VALUES (1)", Cells::new()))
            .0
            .unwrap();
        // Behind the transaction, in order; one is cancelled while it waits.
        let (sender, receiver) = std::sync::mpsc::channel();
        let cancelled = flag();
        for (number, flag) in [(0, flag()), (1, Arc::clone(&cancelled)), (2, flag())] {
            let sender = sender.clone();
            let job = Job::with_cancel(raw_work("SELECT count(*) FROM t"), flag, None);
            let told = Box::new(move |result: Answer, _| sender.send((number, result)).unwrap());
            kept.run(job, None, told);
        }
        db.cancel(&cancelled);
        let (number, result) = receiver.recv().unwrap();
        assert_eq!(
            (number, result.unwrap_err().kind),
            (1, ErrorKind::Cancelled)
        );
        assert!(receiver.try_recv().is_err());
        rollback(&lease).unwrap();
        for expected in [0, 2] {
            let (number, result) = receiver.recv().unwrap();
            assert_eq!((number, first_int(&result.unwrap())), (expected, 0));
        }
        // One that is dropped is rolled back, and the connection goes on.
        let lease = kept.lease(BeginMode::Write);
        begin(&lease).unwrap();
        in_lease(&lease, write_work("INSERT INTO t VALUES (1)", Cells::new()))
            .0
            .unwrap();
        drop(lease);
        let left = on(&kept, "SELECT count(*) FROM t").0.unwrap();
        assert_eq!(first_int(&left), 0);
        drop(kept);
        assert_quiet(&db);
        close(&db);
    }
}

#[test]
fn a_transaction_begun_by_raw_sql() {
    let dir = tempfile::tempdir().unwrap();
    for db in databases(&dir) {
        let kept = pin(&db);
        let (result, tx) = on(&kept, "BEGIN IMMEDIATE");
        result.unwrap();
        assert_eq!(tx, TxStatus::InTransaction);
        on(&kept, "INSERT INTO t VALUES (1)").0.unwrap();
        let lease = kept.lease(BeginMode::Write);
        let error = begin(&lease).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Transaction);
        close_pin(&kept);
        assert_quiet(&db);
        assert_eq!(int(&db, "SELECT count(*) FROM t"), 0);
        close(&db);
    }
}

#[test]
fn leaving_stops_what_runs_and_refuses_what_waits() {
    let dir = tempfile::tempdir().unwrap();
    for db in databases(&dir) {
        let kept = pin(&db);
        let (sender, receiver) = std::sync::mpsc::channel();
        for sql in [slow_sql(2_000_000_000), "SELECT 1".to_owned()] {
            let sender = sender.clone();
            let told = Box::new(move |result: Answer, _| sender.send(result).unwrap());
            kept.run(Job::new(raw_work(&sql)), None, told);
        }
        let lease = kept.lease(BeginMode::Write);
        kept.abandon();
        for _ in 0..2 {
            assert_eq!(
                receiver.recv().unwrap().unwrap_err().kind,
                ErrorKind::Closed
            );
        }
        assert_eq!(begin(&lease).unwrap_err().kind, ErrorKind::Closed);
        assert_quiet(&db);
        close(&db);
    }
}

#[test]
fn one_that_waits_for_its_connection_can_give_up() {
    let dir = tempfile::tempdir().unwrap();
    for db in databases(&dir) {
        let kept = pin(&db);
        for give_up in [0, 1, 2] {
            let (sender, receiver) = std::sync::mpsc::channel();
            let second = db.pin(Arc::new(Deaf), None);
            let wanted = flag();
            let told = Box::new(move |result: Answer, _| sender.send(result).unwrap());
            second.open(LoopId::ANY, Arc::clone(&wanted), None, told);
            match give_up {
                0 => db.cancel(&wanted),
                1 => second.abandon(),
                _ => drop(second),
            }
            assert!(receiver.recv().unwrap().is_err());
        }
        close_pin(&kept);
        assert_quiet(&db);
        close(&db);
    }
}

#[test]
fn closing_the_database_ends_it() {
    let dir = tempfile::tempdir().unwrap();
    for db in databases(&dir) {
        let kept = pin(&db);
        wait(|sink| db.close(Some(after(0)), sink)).0.unwrap();
        assert_eq!(on(&kept, "SELECT 1").0.unwrap_err().kind, ErrorKind::Closed);
        let late = db.pin(Arc::new(Deaf), None);
        let (result, _) = wait(|sink| late.open(LoopId::ANY, flag(), None, sink));
        assert_eq!(result.unwrap_err().kind, ErrorKind::Closed);
    }
}

#[test]
fn transaction_control_is_not_for_single_statements() {
    let db = memory_db();
    let kept = pin(&db);
    for work in [Work::Commit, Work::Rollback, Work::Reset] {
        let (result, _) = wait(|sink| kept.run(Job::new(work), None, sink));
        assert_eq!(result.unwrap_err().kind, ErrorKind::Internal);
    }
    drop(kept);
    close(&db);
}
