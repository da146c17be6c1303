//! The PostgreSQL engine against a real server, without Python: `OXYDE_TEST_POSTGRES_URL` names it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

#[path = "common/polling.rs"]
mod polling;

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use oxyde_exec::dispatch::wait;
use oxyde_exec::pool::PoolConfig;
use oxyde_exec::postgres::config::{Pooler, PostgresConfig};
use oxyde_exec::query::{
    Column, Encoded, Formats, Malformed, Params, Query, RawRows, RowReader, Statement,
};
use oxyde_exec::{
    BeginMode, CancelFlag, Chunks, Database, ErrorKind, ExecError, Job, Lease, Outcome, TxStatus,
    Work, postgres,
};
use polling::{LOOP, Place, Polling};

fn address() -> String {
    let url =
        std::env::var("OXYDE_TEST_POSTGRES_URL").expect("OXYDE_TEST_POSTGRES_URL names a server");
    let rest = url.split_once("://").expect("a URL").1;
    let authority = rest.split(['/', '?']).next().unwrap();
    authority.rsplit('@').next().unwrap().to_owned()
}

fn database(address: &str, change: impl Fn(&mut PostgresConfig)) -> (Arc<Database>, Arc<Polling>) {
    let mut config = PostgresConfig {
        name: "test".to_owned(),
        user: "postgres".to_owned(),
        database: "postgres".to_owned(),
        application_name: Some("oxyde tests".to_owned()),
        pool: PoolConfig {
            max_connections: 2,
            min_connections: 0,
            max_waiting: None,
            idle_timeout: None,
            max_lifetime: None,
        },
        statement_cache: 100,
        pooler: Pooler::Auto,
        lock_timeout: None,
        commit_timeout: Some(Duration::from_secs(5)),
        drain_budget: Duration::from_secs(5),
        on_connect: Vec::new(),
        test_before_acquire: false,
        pipelining: true,
        facts: "SELECT 'anything', 'icu'",
    };
    change(&mut config);
    let place = Place {
        address: address.to_owned(),
        ..Place::default()
    };
    polling::start(place, config.pool.clone(), move |driver| {
        postgres::engine(config.clone(), driver)
    })
}

/// Keeps all fields as texts.
#[derive(Clone, Default)]
struct Texts(Arc<Mutex<Vec<Vec<Option<String>>>>>);

impl RowReader for Texts {
    fn columns(&mut self, _: &Arc<[Column]>) {}

    fn rows(&mut self, rows: RawRows<'_>) -> Result<(), Malformed> {
        for row in rows.iter() {
            let mut texts = Vec::new();
            for field in row?.fields() {
                texts.push(field?.map(|bytes| String::from_utf8_lossy(bytes).into_owned()));
            }
            self.0.lock().unwrap().push(texts);
        }
        Ok(())
    }
}

fn query(statement: &Arc<Statement>, values: &[&str], pure_read: bool) -> (Work, Texts) {
    let texts = Texts::default();
    let mut bytes = Vec::new();
    for value in values {
        bytes.extend_from_slice(&i32::try_from(value.len()).unwrap().to_be_bytes());
        bytes.extend_from_slice(value.as_bytes());
    }
    let work = Work::Query(Box::new(Query {
        statement: Arc::clone(statement),
        params: Params::Ready(Encoded {
            count: u16::try_from(values.len()).unwrap(),
            formats: Formats::Text,
            values: bytes,
        }),
        rows: Some(Box::new(texts.clone())),
        pure_read,
        taints: false,
    }));
    (work, texts)
}

fn statement(sql: &str) -> Arc<Statement> {
    Statement::new(Arc::from(sql), Vec::new(), Formats::Text)
}

fn run(db: &Arc<Database>, work: Work) -> Result<Outcome, ExecError> {
    wait(|sink| db.run_on(LOOP, Job::new(work), None, sink)).0
}

fn rows(db: &Arc<Database>, sql: &Arc<Statement>, values: &[&str]) -> Vec<Vec<Option<String>>> {
    let (work, texts) = query(sql, values, true);
    run(db, work).unwrap();
    texts.0.lock().unwrap().clone()
}

fn one(db: &Arc<Database>, sql: &str) -> String {
    rows(db, &statement(sql), &[])[0][0].clone().unwrap()
}

fn begin(db: &Arc<Database>) -> Arc<Lease> {
    let lease = db.lease(BeginMode::Write);
    let flag = Arc::new(CancelFlag::new());
    wait(|sink| lease.begin_on(LOOP, flag, None, None, sink))
        .0
        .unwrap();
    lease
}

fn in_lease(lease: &Lease, sql: &str) -> (Result<Outcome, ExecError>, TxStatus) {
    let (work, _) = query(&statement(sql), &[], false);
    wait(|sink| lease.run(Job::new(work), sink))
}

fn script(db: &Arc<Database>, sql: &str) {
    run(db, Work::Script(vec![sql.to_owned()])).unwrap();
}

/// A name of its own for each test, whatever else runs on the server.
fn table(name: &str) -> String {
    format!("oxyde_engine_{name}_{}", std::process::id())
}

fn close(db: &Arc<Database>) {
    wait(|sink| db.close(Some(Instant::now() + Duration::from_secs(5)), sink))
        .0
        .unwrap();
}

#[test]
#[ignore = "needs a server: nox -s tests-postgres"]
fn statements_prepared_and_again() {
    let (db, driver) = database(&address(), |_| ());
    let version = wait(|sink| db.connect(LOOP, sink)).0.unwrap();
    assert!(
        matches!(version.rows.get(0, 0), Some(oxyde_exec::CellRef::Text(text)) if text.len() >= 4)
    );
    let sql = statement("SELECT $1::text || '!', NULL");
    assert_eq!(rows(&db, &sql, &["a"]), [[Some("a!".to_owned()), None]]);
    let before = driver.writes.load(Ordering::Relaxed);
    assert_eq!(rows(&db, &sql, &["b"]), [[Some("b!".to_owned()), None]]);
    assert_eq!(
        driver.writes.load(Ordering::Relaxed) - before,
        1,
        "one flight"
    );
    let (work, _) = query(&statement("SELECT 1/0"), &[], true);
    assert_eq!(
        run(&db, work).unwrap_err().sqlstate.as_deref(),
        Some("22012")
    );
    assert_eq!(db.stats().size, 1);
    close(&db);
}

/// A bug above or in a codec.
struct Panics;

impl RowReader for Panics {
    fn columns(&mut self, _: &Arc<[Column]>) {}

    fn rows(&mut self, _: RawRows<'_>) -> Result<(), Malformed> {
        panic!("a bug in a reader")
    }
}

#[test]
#[ignore = "needs a server: nox -s tests-postgres"]
fn a_panic_is_an_error_of_its_own_and_takes_its_connection_along() {
    let (db, _) = database(&address(), |config| config.pool.max_connections = 1);
    std::panic::set_hook(Box::new(|_| ()));
    let t = table("panics");
    script(&db, &format!("CREATE TABLE {t} (a int)"));
    let read = |pure_read| {
        let mut work = query(&statement("SELECT 1"), &[], pure_read).0;
        if let Work::Query(query) = &mut work {
            query.rows = Some(Box::new(Panics));
        }
        work
    };
    let mut encode = query(&statement("SELECT $1"), &[], false).0;
    if let Work::Query(query) = &mut encode {
        query.params = Params::AfterDescribe(Box::new(|_, _| panic!("a bug in an encoder")));
    }
    let mut last = one(&db, "SELECT pg_backend_pid()");
    for work in [read(true), read(false), encode] {
        let error = run(&db, work).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Internal, "{error:?}");
        let pid = one(&db, "SELECT pg_backend_pid()");
        assert_ne!(pid, last, "the connection was used again");
        last = pid;
    }
    let lease = begin(&db);
    in_lease(&lease, &format!("INSERT INTO {t} VALUES (1)"))
        .0
        .unwrap();
    let error = wait(|sink| lease.run(Job::new(read(false)), sink))
        .0
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::Internal);
    let ended = wait(|sink| lease.commit(sink)).0.unwrap_err();
    assert_ne!(ended.kind, ErrorKind::CommitUnknown);
    assert_eq!(one(&db, &format!("SELECT count(*) FROM {t}")), "0");
    let _ = std::panic::take_hook();
    script(&db, &format!("DROP TABLE {t}"));
    assert_eq!(db.stats().in_use, 0);
    close(&db);
}

#[test]
#[ignore = "needs a server: nox -s tests-postgres"]
fn the_server_decides_what_became_of_a_transaction() {
    let (db, _) = database(&address(), |_| ());
    let t = table("tx");
    script(&db, &format!("CREATE TABLE {t} (a int PRIMARY KEY)"));
    let lease = begin(&db);
    in_lease(&lease, &format!("INSERT INTO {t} VALUES (1)"))
        .0
        .unwrap();
    let (failed, tx) = in_lease(&lease, &format!("INSERT INTO {t} VALUES (1)"));
    assert_eq!(failed.unwrap_err().kind, ErrorKind::Unique);
    assert_eq!(tx, TxStatus::Failed);
    assert_eq!(
        in_lease(&lease, "SELECT 1").0.unwrap_err().kind,
        ErrorKind::TransactionBroken
    );
    let committed = wait(|sink| lease.commit(sink)).0;
    assert_eq!(
        committed.unwrap_err().kind,
        ErrorKind::TransactionRolledBack
    );
    assert_eq!(one(&db, &format!("SELECT count(*) FROM {t}")), "0");

    let lease = begin(&db);
    in_lease(&lease, &format!("INSERT INTO {t} VALUES (2)"))
        .0
        .unwrap();
    wait(|sink| lease.commit(sink)).0.unwrap();
    assert_eq!(one(&db, &format!("SELECT count(*) FROM {t}")), "1");
    script(&db, &format!("DROP TABLE {t}"));
    close(&db);
}

#[test]
#[ignore = "needs a server: nox -s tests-postgres"]
fn a_cancelled_statement_stops_and_its_connection_goes_on() {
    let (db, _) = database(&address(), |config| config.pool.max_connections = 1);
    let pid = one(&db, "SELECT pg_backend_pid()");
    for round in 0..20 {
        let flag = Arc::new(CancelFlag::new());
        let (work, _) = query(&statement("SELECT pg_sleep(20)"), &[], false);
        let job = Job::with_cancel(work, Arc::clone(&flag), None);
        let started = Instant::now();
        let canceller = {
            let db = Arc::clone(&db);
            thread::spawn(move || {
                thread::sleep(Duration::from_millis(round * 3));
                db.cancel(&flag);
            })
        };
        let error = wait(|sink| db.run_on(LOOP, job, None, sink)).0.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Cancelled);
        assert!(started.elapsed() < Duration::from_secs(5));
        canceller.join().unwrap();
        // No late request hits a bystander.
        assert_eq!(one(&db, "SELECT pg_backend_pid()"), pid);
    }
    close(&db);
}

#[test]
#[ignore = "needs a server: nox -s tests-postgres"]
fn a_deadline_is_a_query_timeout() {
    let (db, _) = database(&address(), |_| ());
    let (work, _) = query(&statement("SELECT pg_sleep(20)"), &[], false);
    let deadline = Some(Instant::now() + Duration::from_millis(100));
    let job = Job::with_cancel(work, Arc::new(CancelFlag::new()), deadline);
    let error = wait(|sink| db.run_on(LOOP, job, None, sink)).0.unwrap_err();
    assert_eq!(error.kind, ErrorKind::QueryTimeout);
    assert_eq!(one(&db, "SELECT 1"), "1");
    close(&db);
}

#[test]
#[ignore = "needs a server: nox -s tests-postgres"]
fn altered_tables_are_not_noticed_outside_of_transactions() {
    let (db, _) = database(&address(), |config| config.pool.max_connections = 1);
    let t = table("alter");
    script(
        &db,
        &format!("CREATE TABLE {t} (a int, b varchar(20)); INSERT INTO {t} VALUES (1, 'x')"),
    );
    let sql = statement(&format!("SELECT a, b FROM {t} WHERE a = $1"));
    assert_eq!(rows(&db, &sql, &["1"]).len(), 1);
    for change in [
        "ADD COLUMN c int",
        "ALTER COLUMN a TYPE bigint",
        "ALTER COLUMN b TYPE text",
        "DROP COLUMN c",
    ] {
        script(&db, &format!("ALTER TABLE {t} {change}"));
        assert_eq!(rows(&db, &sql, &["1"]).len(), 1, "{change}");
    }
    let lease = begin(&db);
    script_in(&lease, &format!("ALTER TABLE {t} ALTER COLUMN a TYPE int"));
    let (work, _) = query(&sql, &["1"], true);
    let error = wait(|sink| lease.run(Job::new(work), sink)).0.unwrap_err();
    assert!(error.retryable, "{error}");
    drop(lease);
    script(&db, &format!("DROP TABLE {t}"));
    close(&db);
}

fn script_in(lease: &Lease, sql: &str) {
    let work = Work::Script(vec![sql.to_owned()]);
    wait(|sink| lease.run(Job::new(work), sink)).0.unwrap();
}

#[test]
#[ignore = "needs a server: nox -s tests-postgres"]
fn connections_killed_while_idle_cost_no_call() {
    let (db, _) = database(&address(), |config| config.pool.max_connections = 1);
    let (other, _) = database(&address(), |config| config.pool.max_connections = 1);
    for pause in [0, 5, 100] {
        let pid = one(&db, "SELECT pg_backend_pid()");
        one(&other, &format!("SELECT pg_terminate_backend({pid})"));
        thread::sleep(Duration::from_millis(pause));
        assert_ne!(one(&db, "SELECT pg_backend_pid()"), pid);
        let pid = one(&db, "SELECT pg_backend_pid()");
        one(&other, &format!("SELECT pg_terminate_backend({pid})"));
        thread::sleep(Duration::from_millis(pause));
        let lease = begin(&db);
        wait(|sink| lease.commit(sink)).0.unwrap();
    }
    close(&db);
    close(&other);
}

#[test]
#[ignore = "needs a server: nox -s tests-postgres"]
fn an_idle_connection_gives_a_sign_of_life_where_that_is_wanted() {
    for (wanted, flights) in [(false, 1), (true, 2)] {
        let (db, driver) = database(&address(), |config| config.test_before_acquire = wanted);
        let sql = statement("SELECT 1");
        rows(&db, &sql, &[]);
        let before = driver.writes.load(Ordering::Relaxed);
        rows(&db, &sql, &[]);
        assert_eq!(driver.writes.load(Ordering::Relaxed) - before, flights);
        // Inside of a transaction the connection is in use, not idle.
        let lease = begin(&db);
        let before = driver.writes.load(Ordering::Relaxed);
        in_lease(&lease, "SELECT 2").0.unwrap();
        assert_eq!(driver.writes.load(Ordering::Relaxed) - before, 1);
        drop(lease);
        close(&db);
    }
}

#[test]
#[ignore = "needs a server: nox -s tests-postgres"]
fn reads_share_a_busy_connection_and_get_their_own_answers() {
    let (db, _) = database(&address(), |config| config.pool.max_connections = 1);
    one(&db, "SELECT 1");
    let sql = statement("SELECT $1::text");
    let (sender, receiver) = std::sync::mpsc::channel();
    let mut expected = Vec::new();
    for number in 0..500 {
        let value = number.to_string();
        let (work, texts) = query(&sql, &[&value], true);
        expected.push((value, texts));
        let sender = sender.clone();
        db.run_on(
            LOOP,
            Job::new(work),
            None,
            Box::new(move |result, _| sender.send(result.map(drop)).unwrap()),
        );
    }
    for _ in 0..500 {
        receiver
            .recv_timeout(Duration::from_secs(20))
            .unwrap()
            .unwrap();
    }
    for (value, texts) in expected {
        assert_eq!(*texts.0.lock().unwrap(), [[Some(value)]]);
    }
    close(&db);
}

#[test]
#[ignore = "needs a server: nox -s tests-postgres"]
fn session_state_is_not_inherited() {
    let (db, _) = database(&address(), |config| {
        config.pool.max_connections = 1;
        config.on_connect = vec!["SET work_mem = '7MB'".to_owned()];
    });
    script(
        &db,
        "SET work_mem = '9MB'; CREATE TEMP TABLE t (a int); SELECT pg_advisory_lock(4242)",
    );
    assert_eq!(one(&db, "SHOW work_mem"), "7MB");
    assert_eq!(
        one(
            &db,
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 4242"
        ),
        "0"
    );
    assert_eq!(one(&db, "SELECT to_regclass('pg_temp.t') IS NULL"), "t");
    assert_eq!(one(&db, "SHOW timezone"), "UTC");
    close(&db);
}

#[test]
#[ignore = "needs a server: nox -s tests-postgres"]
fn copy_brings_all_rows_or_none() {
    let (db, _) = database(&address(), |_| ());
    let t = table("copy");
    script(
        &db,
        &format!("CREATE TABLE {t} (a int PRIMARY KEY, b text)"),
    );
    let line = |number: i32| format!("{number}\ttext of {number}\n").into_bytes();
    let chunks: Vec<Vec<u8>> = (0..100_000).map(line).collect();
    let sql: Arc<str> = Arc::from(format!("COPY {t} FROM STDIN"));
    let copied = run(
        &db,
        Work::CopyIn {
            sql: Arc::clone(&sql),
            from: Arc::new(Chunks::new(chunks)),
        },
    )
    .unwrap();
    assert_eq!(copied.affected, 100_000);
    let again = run(
        &db,
        Work::CopyIn {
            sql,
            from: Arc::new(Chunks::new([line(100_000), line(5)])),
        },
    );
    assert_eq!(again.unwrap_err().kind, ErrorKind::Unique);
    assert_eq!(one(&db, &format!("SELECT count(*) FROM {t}")), "100000");
    script(&db, &format!("DROP TABLE {t}"));
    close(&db);
}
