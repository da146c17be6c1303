//! Helpers of the tests: blocking calls and short spellings.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use oxyde_exec::dispatch::wait;
use oxyde_exec::{
    BeginMode, CancelFlag, CellRef, Cells, Database, ExecError, Job, Lease, Outcome, SqliteConfig,
    TxStatus, Work,
};

pub type Answer = Result<Outcome, ExecError>;

pub fn config(path: &Path) -> SqliteConfig {
    SqliteConfig {
        path: Some(path.to_owned()),
        ..SqliteConfig::default()
    }
}

pub fn file_db(path: &Path) -> Arc<Database> {
    let db = Database::sqlite(config(path)).unwrap();
    wait(|sink| db.connect(oxyde_exec::LoopId::ANY, sink))
        .0
        .unwrap();
    db
}

pub fn memory_db() -> Arc<Database> {
    Database::sqlite(SqliteConfig::default()).unwrap()
}

pub fn cells(values: &[CellRef<'_>]) -> Cells {
    let mut cells = Cells::new();
    for value in values {
        cells.push(*value);
    }
    cells
}

pub fn ints(values: &[i64]) -> Cells {
    let mut cells = Cells::new();
    for value in values {
        cells.push_int(*value);
    }
    cells
}

pub fn write_work(sql: &str, params: Cells) -> Work {
    Work::Statement {
        sql: sql.into(),
        params,
        read_only: false,
        names: false,
    }
}

pub fn read_work(sql: &str, params: Cells) -> Work {
    Work::Statement {
        sql: sql.into(),
        params,
        read_only: true,
        names: false,
    }
}

pub fn raw_work(sql: &str) -> Work {
    Work::Statement {
        sql: sql.into(),
        params: Cells::new(),
        read_only: false,
        names: true,
    }
}

pub fn run(db: &Arc<Database>, work: Work) -> Answer {
    wait(|sink| db.run(Job::new(work), None, sink)).0
}

pub fn exec(db: &Arc<Database>, sql: &str) -> Answer {
    run(db, write_work(sql, Cells::new()))
}

/// The single integer a read answers with.
pub fn int(db: &Arc<Database>, sql: &str) -> i64 {
    first_int(&run(db, read_work(sql, Cells::new())).unwrap())
}

pub fn first_int(outcome: &Outcome) -> i64 {
    match outcome.rows.get(0, 0) {
        Some(CellRef::Int(value)) => value,
        other => panic!("no integer: {other:?}"),
    }
}

pub fn first_text(outcome: &Outcome) -> String {
    match outcome.rows.get(0, 0) {
        Some(CellRef::Text(value)) => String::from_utf8(value.to_vec()).unwrap(),
        other => panic!("no text: {other:?}"),
    }
}

pub fn flag() -> Arc<CancelFlag> {
    Arc::new(CancelFlag::new())
}

pub fn begin(lease: &Lease) -> Answer {
    wait(|sink| lease.begin(flag(), None, None, sink)).0
}

pub fn begun(db: &Arc<Database>) -> Arc<Lease> {
    let lease = db.lease(BeginMode::Write);
    begin(&lease).unwrap();
    lease
}

pub fn in_lease(lease: &Lease, work: Work) -> (Answer, TxStatus) {
    wait(|sink| lease.run(Job::new(work), sink))
}

pub fn commit(lease: &Lease) -> Answer {
    wait(|sink| lease.commit(sink)).0
}

pub fn rollback(lease: &Lease) -> Answer {
    wait(|sink| lease.rollback(sink)).0
}

pub fn close(db: &Arc<Database>) {
    wait(|sink| db.close(Some(after(2000)), sink)).0.unwrap();
    assert!(db.join(after(2000)), "threads did not end");
}

pub fn after(milliseconds: u64) -> Instant {
    Instant::now() + Duration::from_millis(milliseconds)
}

/// Nobody uses, waits for, or holds anything, within two seconds.
pub fn assert_quiet(db: &Arc<Database>) {
    let deadline = after(2000);
    loop {
        let stats = db.stats();
        if stats.in_use == 0 && stats.waiting == 0 {
            return;
        }
        assert!(Instant::now() < deadline, "not quiet: {stats:?}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Runs for about a second per ten million.
pub fn slow_sql(rounds: u64) -> String {
    format!(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rounds}) SELECT count(*) FROM n"
    )
}
