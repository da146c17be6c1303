//! The MySQL engine against a real server, without Python: `OXYDE_TEST_MYSQL_URL` names it (MySQL or MariaDB).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

#[path = "common/polling.rs"]
mod polling;

use std::sync::atomic::Ordering;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use oxyde_exec::dispatch::wait;
use oxyde_exec::mysql::config::{MysqlConfig, Settings};
use oxyde_exec::mysql::rows::{Rows, TextFields};
use oxyde_exec::pool::PoolConfig;
use oxyde_exec::query::{
    Column, Encoded, Formats, Malformed, Params, Query, RawRows, RowReader, Statement,
};
use oxyde_exec::wire::session::Password;
use oxyde_exec::{
    Begin, BeginMode, CancelFlag, CellRef, Code, Database, Effect, ErrorKind, ExecError, Isolation,
    Job, Lease, Outcome, TxStatus, Work, mysql,
};
use polling::{LOOP, Place, Polling};

const SETTINGS: &str = "SET NAMES utf8mb4, time_zone = '+00:00', autocommit = 1";

const FACTS: &str = "SELECT SUBSTRING_INDEX(VERSION(), '-', 1), \
    CONCAT_WS(' ', IF(VERSION() LIKE '%mariadb%', 'mariadb', 'mysql'), \
    CONCAT('max_allowed_packet=', @@max_allowed_packet))";

fn server() -> (Place, String) {
    let url = std::env::var("OXYDE_TEST_MYSQL_URL").expect("OXYDE_TEST_MYSQL_URL names a server");
    let rest = url.split_once("://").expect("a URL").1;
    let (login, place) = rest.rsplit_once('@').unwrap_or(("root", rest));
    let (user, password) = login.split_once(':').unwrap_or((login, ""));
    let address = place.split(['/', '?']).next().unwrap();
    let place = Place {
        address: match address.rsplit_once(':') {
            Some(_) => address.to_owned(),
            None => format!("{address}:3306"),
        },
        password: (!password.is_empty()).then(|| Password::new(password)),
        greets: true,
        ..Place::default()
    };
    (place, user.to_owned())
}

/// Databases for one test on a database of the server that is dropped with it.
struct Home {
    name: String,
    outside: Arc<Database>,
}

impl Home {
    fn new(name: &str) -> Self {
        let name = format!("oxyde_engine_{name}_{}", std::process::id());
        let (outside, _) = open(|config| config.pool.max_connections = 1);
        script(&outside, &[&format!("CREATE DATABASE {name}")]);
        Self { name, outside }
    }

    fn open(&self, change: impl Fn(&mut MysqlConfig)) -> (Arc<Database>, Arc<Polling>) {
        open(|config| {
            config.database = Some(self.name.clone());
            change(config);
        })
    }

    fn one(&self) -> Arc<Database> {
        self.open(|config| config.pool.max_connections = 1).0
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let sql = format!("DROP DATABASE {}", self.name);
        let _ = run(&self.outside, Work::Script(vec![sql]));
        close(&self.outside);
    }
}

fn open(change: impl Fn(&mut MysqlConfig)) -> (Arc<Database>, Arc<Polling>) {
    open_at(|_| (), change)
}

fn open_at(
    move_to: impl Fn(&mut Place),
    change: impl Fn(&mut MysqlConfig),
) -> (Arc<Database>, Arc<Polling>) {
    let (mut place, user) = server();
    move_to(&mut place);
    let mut config = MysqlConfig {
        name: "test".to_owned(),
        user,
        database: None,
        application_name: Some("oxyde tests".to_owned()),
        pool: PoolConfig {
            max_connections: 2,
            min_connections: 0,
            max_waiting: None,
            idle_timeout: None,
            max_lifetime: None,
        },
        statement_cache: 100,
        lock_timeout: None,
        commit_timeout: Some(Duration::from_secs(5)),
        drain_budget: Duration::from_secs(5),
        on_connect: Vec::new(),
        test_before_acquire: false,
        pipelining: true,
        facts: FACTS,
        settings: Settings {
            mysql: SETTINGS,
            mariadb: SETTINGS,
        },
    };
    change(&mut config);
    polling::start(place, config.pool.clone(), move |driver| {
        mysql::engine(config.clone(), driver)
    })
}

/// The rows of a result, without their headers, and what they are.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Answer>>);

type Answer = (Vec<Column>, Vec<Vec<u8>>);

impl RowReader for Kept {
    fn columns(&mut self, columns: &Arc<[Column]>) {
        self.0.lock().unwrap().0 = columns.to_vec();
    }

    fn rows(&mut self, rows: RawRows<'_>) -> Result<(), Malformed> {
        for row in Rows::of(rows) {
            self.0.lock().unwrap().1.push(row?.to_vec());
        }
        Ok(())
    }
}

impl Kept {
    fn count(&self) -> usize {
        self.0.lock().unwrap().1.len()
    }

    /// All values, which are texts, numbers of eight bytes, or NULL.
    fn texts(&self) -> Vec<Vec<Option<String>>> {
        let kept = self.0.lock().unwrap();
        let (columns, rows) = &*kept;
        rows.iter().map(|row| texts(columns, row)).collect()
    }
}

fn texts(columns: &[Column], row: &[u8]) -> Vec<Option<String>> {
    let shown = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if columns.iter().any(|column| !column.binary) {
        return TextFields::of(row)
            .map(|field| field.unwrap().map(shown))
            .collect();
    }
    let nulls = &row[1..1 + (columns.len() + 9) / 8];
    let mut rest = &row[1 + nulls.len()..];
    let mut values = Vec::new();
    for (at, column) in columns.iter().enumerate() {
        if nulls[(at + 2) / 8] & (1 << ((at + 2) % 8)) != 0 {
            values.push(None);
        } else if column.type_oid == 8 {
            let (number, behind) = rest.split_first_chunk().unwrap();
            values.push(Some(i64::from_le_bytes(*number).to_string()));
            rest = behind;
        } else if column.type_oid == 3 {
            let (number, behind) = rest.split_first_chunk().unwrap();
            values.push(Some(i32::from_le_bytes(*number).to_string()));
            rest = behind;
        } else {
            // A length in front of the bytes is written as it is in a row of texts.
            let field = TextFields::of(rest).next().unwrap().unwrap().unwrap();
            let end = field.as_ptr() as usize - rest.as_ptr() as usize + field.len();
            values.push(Some(shown(field)));
            rest = &rest[end..];
        }
    }
    values
}

/// Parameters as texts.
fn encoded(values: &[&str]) -> Encoded {
    let mut bytes = vec![0; values.len().div_ceil(8)];
    if !values.is_empty() {
        bytes.push(1);
    }
    for _ in values {
        bytes.extend_from_slice(&[253, 0]);
    }
    for value in values {
        let length = u32::try_from(value.len()).unwrap().to_le_bytes();
        if value.len() < 251 {
            bytes.push(length[0]);
        } else {
            bytes.push(0xfd);
            bytes.extend_from_slice(&length[..3]);
        }
        bytes.extend_from_slice(value.as_bytes());
    }
    Encoded {
        count: u16::try_from(values.len()).unwrap(),
        formats: Formats::Binary,
        values: bytes,
    }
}

fn statement(sql: &str) -> Arc<Statement> {
    Statement::new(Arc::from(sql), Vec::new(), Formats::Binary)
}

fn query(statement: &Arc<Statement>, values: &[&str], pure_read: bool) -> (Work, Kept) {
    let kept = Kept::default();
    let work = Work::Query(Box::new(Query {
        statement: Arc::clone(statement),
        params: Params::Ready(encoded(values)),
        rows: Some(Box::new(kept.clone())),
        pure_read,
        taints: mysql::taint::taints(&statement.sql),
    }));
    (work, kept)
}

/// As raw SQL is run: the parameters are encoded when the server has said how many there are.
fn raw(sql: &str, values: &'static [&'static str]) -> (Work, Kept) {
    let kept = Kept::default();
    let work = Work::Query(Box::new(Query {
        statement: statement(sql),
        params: Params::AfterDescribe(Box::new(move |types, _| {
            assert_eq!(types.len(), values.len());
            Ok((encoded(values), Formats::Binary))
        })),
        rows: Some(Box::new(kept.clone())),
        pure_read: false,
        taints: mysql::taint::taints(sql),
    }));
    (work, kept)
}

fn run(db: &Arc<Database>, work: Work) -> Result<Outcome, ExecError> {
    wait(|sink| db.run_on(LOOP, Job::new(work), None, sink)).0
}

fn rows(db: &Arc<Database>, sql: &Arc<Statement>, values: &[&str]) -> Vec<Vec<Option<String>>> {
    let (work, kept) = query(sql, values, true);
    run(db, work).unwrap();
    kept.texts()
}

fn one(db: &Arc<Database>, sql: &str) -> String {
    rows(db, &statement(sql), &[])[0][0].clone().unwrap()
}

fn write(db: &Arc<Database>, sql: &str) -> Result<Outcome, ExecError> {
    run(db, query(&statement(sql), &[], false).0)
}

fn begin_as(db: &Arc<Database>, begin: impl Into<Begin>) -> Result<Arc<Lease>, ExecError> {
    let lease = db.lease(begin.into());
    let flag = Arc::new(CancelFlag::new());
    wait(|sink| lease.begin_on(LOOP, flag, None, None, sink)).0?;
    Ok(lease)
}

fn begin(db: &Arc<Database>) -> Arc<Lease> {
    begin_as(db, BeginMode::Write).unwrap()
}

fn in_lease(lease: &Lease, sql: &str) -> (Result<Outcome, ExecError>, TxStatus) {
    let (work, _) = raw(sql, &[]);
    wait(|sink| lease.run(Job::new(work), sink))
}

fn commit(lease: &Lease) -> Result<Outcome, ExecError> {
    wait(|sink| lease.commit(sink)).0
}

fn script(db: &Arc<Database>, statements: &[&str]) {
    let statements = statements.iter().map(|sql| (*sql).to_owned()).collect();
    run(db, Work::Script(statements)).unwrap();
}

fn close(db: &Arc<Database>) {
    wait(|sink| db.close(Some(Instant::now() + Duration::from_secs(5)), sink))
        .0
        .unwrap();
}

fn is_mariadb(db: &Arc<Database>) -> bool {
    let version = wait(|sink| db.connect(LOOP, sink)).0.unwrap();
    version.names.iter().any(|name| name == "mariadb")
}

fn code(error: &ExecError) -> i64 {
    match error.code {
        Some(Code::Number(number)) => number,
        _ => 0,
    }
}

#[test]
#[ignore = "needs a server: nox -s tests-mysql"]
fn statements_prepared_and_again() {
    let (db, driver) = open(|_| ());
    let version = wait(|sink| db.connect(LOOP, sink)).0.unwrap();
    assert!(matches!(version.rows.get(0, 0), Some(CellRef::Text(text)) if text.len() >= 4));
    let sql = statement("SELECT CONCAT(?, '!'), NULL");
    assert_eq!(rows(&db, &sql, &["a"]), [[Some("a!".to_owned()), None]]);
    let before = driver.writes.load(Ordering::Relaxed);
    assert_eq!(rows(&db, &sql, &["b"]), [[Some("b!".to_owned()), None]]);
    assert_eq!(
        driver.writes.load(Ordering::Relaxed) - before,
        1,
        "one flight"
    );
    let (work, kept) = raw("SELECT ?, 2", &["x"]);
    run(&db, work).unwrap();
    assert_eq!(kept.texts()[0][0].as_deref(), Some("x"));
    let (work, _) = query(&statement("SELECT nothing"), &[], true);
    assert_eq!(code(&run(&db, work).unwrap_err()), 1054);
    assert_eq!(db.stats().size, 1);
    close(&db);
}

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
fn reads_share_a_busy_connection_and_get_their_own_answers() {
    let (db, _) = open(|config| config.pool.max_connections = 1);
    one(&db, "SELECT 1");
    let statements = [
        statement("SELECT CONCAT(?, '')"),
        statement("SELECT CONCAT(?, '', '')"),
    ];
    let (sender, receiver) = channel();
    let mut expected = Vec::new();
    for number in 0..500_usize {
        let value = number.to_string();
        // The second one is not prepared yet when it comes.
        let sql = &statements[usize::from(number > 100 && number % 3 == 0)];
        let (work, kept) = query(sql, &[&value], true);
        expected.push((value, kept));
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
    for (value, kept) in expected {
        assert_eq!(kept.texts(), [[Some(value)]]);
    }
    close(&db);
}

#[test]
#[ignore = "needs a server: nox -s tests-mysql"]
fn cancelled_reads_that_share_a_connection_take_no_other_with_them() {
    let (db, _) = open(|config| config.pool.max_connections = 1);
    let slow = statement(
        "SELECT COUNT(*) FROM information_schema.collations a, information_schema.collations b, \
         (SELECT ? AS c) c",
    );
    let quick = statement("SELECT CONCAT(?, '')");
    rows(&db, &slow, &["a"]);
    rows(&db, &quick, &["a"]);
    for round in 0..40_u64 {
        let (sender, receiver) = channel();
        let mut flags = Vec::new();
        let mut expected = Vec::new();
        for number in 0..10 {
            let value = number.to_string();
            let sql = if number % 5 == 1 { &slow } else { &quick };
            let (work, kept) = query(sql, &[&value], true);
            let flag = Arc::new(CancelFlag::new());
            let sender = sender.clone();
            let cancelled = number % 5 == 1;
            if cancelled {
                flags.push(Arc::clone(&flag));
            } else {
                expected.push((value, kept));
            }
            db.run_on(
                LOOP,
                Job::with_cancel(work, flag, None),
                None,
                Box::new(move |result, _| sender.send((cancelled, result.map(drop))).unwrap()),
            );
        }
        thread::sleep(Duration::from_micros(round * 100));
        for flag in flags {
            db.cancel(&flag);
        }
        for _ in 0..10 {
            let (cancelled, result) = receiver.recv_timeout(Duration::from_secs(20)).unwrap();
            match result {
                Ok(()) => {}
                Err(error) => assert!(
                    cancelled && error.kind == ErrorKind::Cancelled,
                    "{cancelled} {error:?}"
                ),
            }
        }
        for (value, kept) in expected {
            assert_eq!(kept.texts(), [[Some(value)]]);
        }
    }
    close(&db);
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
fn altered_tables_are_not_noticed() {
    let home = Home::new("alter");
    let db = home.one();
    script(
        &db,
        &[
            "CREATE TABLE t (a int, b varchar(20))",
            "INSERT INTO t VALUES (1, 'x')",
        ],
    );
    let sql = statement("SELECT * FROM t WHERE a = ?");
    assert_eq!(rows(&db, &sql, &["1"]).len(), 1);
    for change in [
        "ADD COLUMN c int",
        "MODIFY COLUMN a bigint",
        "MODIFY COLUMN b text",
        "DROP COLUMN c",
    ] {
        script(&db, &[&format!("ALTER TABLE t {change}")]);
        assert_eq!(rows(&db, &sql, &["1"]).len(), 1, "{change}");
    }
    script(&db, &["DROP TABLE t"]);
    let (work, _) = query(&sql, &["1"], true);
    assert_eq!(code(&run(&db, work).unwrap_err()), 1146);
    script(&db, &["CREATE TABLE t (a int)"]);
    assert_eq!(rows(&db, &sql, &["1"]).len(), 0);
    close(&db);
}

#[test]
#[ignore = "needs a server: nox -s tests-mysql"]
fn inserts_tell_their_keys_and_scripts_stop_at_an_error() {
    let home = Home::new("keys");
    let (db, _) = home.open(|_| ());
    script(
        &db,
        &["CREATE TABLE t (a int AUTO_INCREMENT PRIMARY KEY, b int UNIQUE)"],
    );
    let inserted = write(&db, "INSERT INTO t (b) VALUES (1), (2)").unwrap();
    assert_eq!((inserted.affected, inserted.last_insert_id), (2, 1));
    // Rows that are as they should be count.
    assert_eq!(write(&db, "UPDATE t SET b = b").unwrap().affected, 2);
    let statements = [
        "INSERT INTO t (b) VALUES (3)",
        "INSERT INTO t (b) VALUES (3)",
        "INSERT INTO t (b) VALUES (4)",
    ];
    let work = Work::Script(statements.map(str::to_owned).to_vec());
    assert_eq!(run(&db, work).unwrap_err().kind, ErrorKind::Unique);
    assert_eq!(one(&db, "SELECT COUNT(*) FROM t"), "3");
    close(&db);
}

#[test]
#[ignore = "needs a server: nox -s tests-mysql"]
fn large_values_go_both_ways_and_too_large_ones_are_refused() {
    let home = Home::new("large");
    let db = home.one();
    let limit: usize = one(&db, "SELECT CONCAT(@@max_allowed_packet, '')")
        .parse()
        .unwrap();
    script(&db, &["CREATE TABLE t (a int, b longtext)"]);
    let sql = statement("SELECT CONCAT(?, '')");
    for length in [(1 << 16) + 3, limit.min((1 << 24) - 1) - 64] {
        let value = "x".repeat(length);
        let answer = rows(&db, &sql, &[&value]);
        assert_eq!(answer[0][0].as_deref().map(str::len), Some(length));
    }
    // A row that is longer than what the server takes at once.
    script(
        &db,
        &[
            "INSERT INTO t SELECT 1, REPEAT('x', 12000000) UNION ALL SELECT 2, REPEAT('y', 12000000)",
        ],
    );
    let wide = statement("SELECT x.b, y.b FROM t x, t y WHERE x.a = 1 AND y.a = 2");
    let answer = rows(&db, &wide, &[]);
    let lengths: Vec<_> = answer[0].iter().flatten().map(String::len).collect();
    assert_eq!(lengths, [12_000_000, 12_000_000]);
    // What is too long is not sent, and the connection goes on.
    let thread_id = one(&db, "SELECT CONNECTION_ID()");
    if limit < 1 << 27 {
        let (work, _) = query(&sql, &[&"x".repeat(limit)], true);
        let refused = run(&db, work).unwrap_err();
        assert_eq!(refused.kind, ErrorKind::Data);
    }
    assert_eq!(one(&db, "SELECT CONNECTION_ID()"), thread_id);
    close(&db);
}

#[test]
#[ignore = "needs a server: nox -s tests-mysql"]
fn many_rows_arrive_in_order() {
    let home = Home::new("many");
    let db = home.one();
    let digits = "(SELECT 0 d UNION ALL SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3 UNION ALL SELECT 4 UNION ALL \
        SELECT 5 UNION ALL SELECT 6 UNION ALL SELECT 7 UNION ALL SELECT 8 UNION ALL SELECT 9)";
    let sql = format!(
        "SELECT CONCAT(a.d, b.d, c.d, d.d, e.d) n FROM {digits} a, {digits} b, {digits} c, {digits} d, {digits} e \
         ORDER BY n"
    );
    let (work, kept) = query(&statement(&sql), &[], true);
    run(&db, work).unwrap();
    assert_eq!(kept.count(), 100_000);
    for (number, row) in kept.texts().iter().enumerate() {
        assert_eq!(row[0].as_deref(), Some(format!("{number:05}").as_str()));
    }
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
