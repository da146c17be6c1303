//! A database of the server for a test, and what is done on it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use oxyde_exec::dispatch::wait;
use oxyde_exec::mysql::config::{MysqlConfig, Settings};
use oxyde_exec::pool::PoolConfig;
use oxyde_exec::query::Statement;
use oxyde_exec::wire::session::Password;
use oxyde_exec::{
    Begin, BeginMode, CancelFlag, Code, Database, ExecError, Job, Lease, Outcome, TxStatus, Work,
    mysql,
};

use crate::answers::{query, raw, statement};
use crate::polling::{self, LOOP, Place, Polling};

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
pub struct Home {
    pub name: String,
    pub outside: Arc<Database>,
}

impl Home {
    pub fn new(name: &str) -> Self {
        let name = format!("oxyde_engine_{name}_{}", std::process::id());
        let (outside, _) = open(|config| config.pool.max_connections = 1);
        script(&outside, &[&format!("CREATE DATABASE {name}")]);
        Self { name, outside }
    }

    pub fn open(&self, change: impl Fn(&mut MysqlConfig)) -> (Arc<Database>, Arc<Polling>) {
        open(|config| {
            config.database = Some(self.name.clone());
            change(config);
        })
    }

    pub fn one(&self) -> Arc<Database> {
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

pub fn open(change: impl Fn(&mut MysqlConfig)) -> (Arc<Database>, Arc<Polling>) {
    open_at(|_| (), change)
}

pub fn open_at(
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

pub fn run(db: &Arc<Database>, work: Work) -> Result<Outcome, ExecError> {
    wait(|sink| db.run_on(LOOP, Job::new(work), None, sink)).0
}

pub fn rows(db: &Arc<Database>, sql: &Arc<Statement>, values: &[&str]) -> Vec<Vec<Option<String>>> {
    let (work, kept) = query(sql, values, true);
    run(db, work).unwrap();
    kept.texts()
}

pub fn one(db: &Arc<Database>, sql: &str) -> String {
    rows(db, &statement(sql), &[])[0][0].clone().unwrap()
}

pub fn write(db: &Arc<Database>, sql: &str) -> Result<Outcome, ExecError> {
    run(db, query(&statement(sql), &[], false).0)
}

pub fn begin_as(db: &Arc<Database>, begin: impl Into<Begin>) -> Result<Arc<Lease>, ExecError> {
    let lease = db.lease(begin.into());
    let flag = Arc::new(CancelFlag::new());
    wait(|sink| lease.begin_on(LOOP, flag, None, None, sink)).0?;
    Ok(lease)
}

pub fn begin(db: &Arc<Database>) -> Arc<Lease> {
    begin_as(db, BeginMode::Write).unwrap()
}

pub fn in_lease(lease: &Lease, sql: &str) -> (Result<Outcome, ExecError>, TxStatus) {
    let (work, _) = raw(sql, &[]);
    wait(|sink| lease.run(Job::new(work), sink))
}

pub fn commit(lease: &Lease) -> Result<Outcome, ExecError> {
    wait(|sink| lease.commit(sink)).0
}

pub fn script(db: &Arc<Database>, statements: &[&str]) {
    let statements = statements.iter().map(|sql| (*sql).to_owned()).collect();
    run(db, Work::Script(statements)).unwrap();
}

pub fn close(db: &Arc<Database>) {
    wait(|sink| db.close(Some(Instant::now() + Duration::from_secs(5)), sink))
        .0
        .unwrap();
}

pub fn is_mariadb(db: &Arc<Database>) -> bool {
    let version = wait(|sink| db.connect(LOOP, sink)).0.unwrap();
    version.names.iter().any(|name| name == "mariadb")
}

pub fn code(error: &ExecError) -> i64 {
    match error.code {
        Some(Code::Number(number)) => number,
        _ => 0,
    }
}
