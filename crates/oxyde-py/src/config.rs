//! The dict that `AsyncDatabase` hands over → the engine's configuration.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use oxyde_exec::dispatch::Parts;
use oxyde_exec::engine::Engine;
use oxyde_exec::mysql::config::{MysqlConfig, Settings};
use oxyde_exec::pool::PoolConfig;
use oxyde_exec::postgres::config::{Pooler, PostgresConfig};
use oxyde_exec::wire::driver::Driver;
use oxyde_exec::{Database, SqliteConfig, mysql, postgres};
use oxyde_sql::{Dialect, Target};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::transport::driver::AsyncioDriver;

/// Waits and limits that this crate applies itself.
#[derive(Clone, Copy, Debug)]
pub struct Waits {
    pub acquire: Option<Duration>,
    pub statement: Option<Duration>,
}

fn duration(settings: &Bound<'_, PyDict>, name: &str) -> PyResult<Option<Duration>> {
    match settings.get_item(name)? {
        Some(value) if !value.is_none() => seconds(&value).map(Some),
        _ => Ok(None),
    }
}

/// Seconds as a Python number.
pub fn seconds(value: &Bound<'_, PyAny>) -> PyResult<Duration> {
    let seconds: f64 = value.extract()?;
    Duration::try_from_secs_f64(seconds).map_err(|_| {
        PyValueError::new_err(format!(
            "a duration is a number of seconds from 0 on, not {seconds}"
        ))
    })
}

fn get<T>(settings: &Bound<'_, PyDict>, name: &str, default: T) -> PyResult<T>
where
    T: for<'a, 'py> FromPyObject<'a, 'py, Error = PyErr>,
{
    match settings.get_item(name)? {
        Some(value) if !value.is_none() => value
            .extract()
            .map_err(|error: PyErr| PyTypeError::new_err(format!("setting {name}: {error}"))),
        _ => Ok(default),
    }
}

pub fn waits(settings: &Bound<'_, PyDict>) -> PyResult<Waits> {
    Ok(Waits {
        acquire: duration(settings, "acquire_timeout")?,
        statement: duration(settings, "statement_timeout")?,
    })
}

pub fn sqlite(
    name: String,
    path: Option<PathBuf>,
    settings: &Bound<'_, PyDict>,
) -> PyResult<SqliteConfig> {
    let default = SqliteConfig::default();
    let busy = match settings.get_item("sqlite_busy_timeout")? {
        Some(milliseconds) if !milliseconds.is_none() => seconds(&milliseconds)? / 1_000,
        _ => default.busy_timeout,
    };
    // The one lock of SQLite that a statement waits for is the file's.
    let busy = duration(settings, "lock_timeout")?.unwrap_or(busy);
    let options = settings.get_item("options")?.filter(|o| !o.is_none());
    Ok(SqliteConfig {
        name,
        path,
        max_connections: get(settings, "max_connections", default.max_connections)?,
        min_connections: get(settings, "min_connections", default.min_connections)?,
        max_waiting: get(settings, "max_waiting", None::<usize>)?,
        idle_timeout: duration(settings, "idle_timeout")?,
        max_lifetime: duration(settings, "max_lifetime")?,
        inline: get(settings, "sqlite_inline", true)?,
        journal_mode: get(settings, "sqlite_journal_mode", default.journal_mode)?,
        synchronous: get(settings, "sqlite_synchronous", default.synchronous)?,
        cache_size: get(settings, "sqlite_cache_size", None::<i64>)?,
        busy_timeout: busy,
        on_connect: get(settings, "on_connect", Vec::<String>::new())?,
        options: match options {
            Some(options) => {
                let pairs = options.cast::<PyDict>()?.iter();
                pairs
                    .map(|(k, v)| Ok((k.extract()?, v.str()?.extract()?)))
                    .collect::<PyResult<_>>()?
            }
            None => Vec::new(),
        },
        statement_cache: default.statement_cache,
    })
}

/// Prepared statements that a connection keeps.
const STATEMENTS: usize = 256;

/// How long a connection may take to become usable again after a cancelled statement.
const DRAIN: Duration = Duration::from_secs(5);

fn pooler(settings: &Bound<'_, PyDict>) -> PyResult<Pooler> {
    match settings.get_item("pgbouncer")? {
        Some(value) if value.is_exact_instance_of::<pyo3::types::PyBool>() => {
            Ok(if value.is_truthy()? {
                Pooler::Yes
            } else {
                Pooler::No
            })
        }
        _ => Ok(Pooler::Auto),
    }
}

/// What makes the connections, in Python.
fn connector<'py>(config: &Bound<'py, PyDict>) -> PyResult<Bound<'py, PyAny>> {
    config
        .py()
        .import("oxyde_core._connect")?
        .call_method1("connector", (config,))
}

fn pool(settings: &Bound<'_, PyDict>) -> PyResult<PoolConfig> {
    let default = SqliteConfig::default();
    Ok(PoolConfig {
        max_connections: get(settings, "max_connections", default.max_connections)?,
        min_connections: get(settings, "min_connections", default.min_connections)?,
        max_waiting: get(settings, "max_waiting", None::<usize>)?,
        idle_timeout: duration(settings, "idle_timeout")?,
        max_lifetime: duration(settings, "max_lifetime")?,
    })
}

/// A database whose engine is made anew in each process.
fn database(
    name: String,
    connector: Bound<'_, PyAny>,
    pool: PoolConfig,
    engine: impl Fn(Arc<dyn Driver>) -> Arc<dyn Engine> + Send + Sync + 'static,
) -> Arc<Database> {
    let connector = Arc::new(connector.unbind());
    Database::with_engine(name, move || {
        let driver = AsyncioDriver::new(Arc::clone(&connector));
        Parts::new(engine(driver), pool.clone(), None)
    })
}

pub fn postgres(
    name: String,
    config: &Bound<'_, PyDict>,
    settings: &Bound<'_, PyDict>,
) -> PyResult<Arc<Database>> {
    let connector = connector(config)?;
    let pool = pool(settings)?;
    let engine_config = PostgresConfig {
        name: name.clone(),
        database: connector.getattr("database")?.extract()?,
        user: connector.getattr("user")?.extract()?,
        application_name: get(settings, "pg_application_name", None::<String>)?,
        pool: pool.clone(),
        statement_cache: get(settings, "pg_statement_cache_capacity", STATEMENTS)?,
        pooler: pooler(settings)?,
        lock_timeout: duration(settings, "lock_timeout")?,
        commit_timeout: duration(settings, "commit_timeout")?,
        drain_budget: DRAIN,
        on_connect: get(settings, "on_connect", Vec::<String>::new())?,
        test_before_acquire: get(settings, "test_before_acquire", false)?,
        pipelining: get(settings, "pipelining", true)?,
        facts: Target::facts_query(Dialect::Postgres).unwrap_or("SELECT"),
    };
    Ok(database(name, connector, pool, move |driver| {
        postgres::engine(engine_config.clone(), driver)
    }))
}

pub fn mysql(
    name: String,
    config: &Bound<'_, PyDict>,
    settings: &Bound<'_, PyDict>,
) -> PyResult<Arc<Database>> {
    let connector = connector(config)?;
    let pool = pool(settings)?;
    let session = |dialect| Target::session_sql(dialect).unwrap_or_default();
    let engine_config = MysqlConfig {
        name: name.clone(),
        database: connector.getattr("database")?.extract()?,
        user: connector.getattr("user")?.extract()?,
        application_name: None,
        pool: pool.clone(),
        statement_cache: STATEMENTS,
        lock_timeout: duration(settings, "lock_timeout")?,
        commit_timeout: duration(settings, "commit_timeout")?,
        drain_budget: DRAIN,
        on_connect: collation(settings)?
            .into_iter()
            .chain(get(settings, "on_connect", Vec::<String>::new())?)
            .collect(),
        test_before_acquire: get(settings, "test_before_acquire", false)?,
        pipelining: get(settings, "pipelining", true)?,
        facts: Target::facts_query(Dialect::Mysql).unwrap_or("SELECT VERSION(), ''"),
        settings: Settings {
            mysql: session(Dialect::Mysql),
            mariadb: session(Dialect::MariaDb),
        },
    };
    Ok(database(name, connector, pool, move |driver| {
        mysql::engine(engine_config.clone(), driver)
    }))
}

/// What the user wants texts to be compared by that come from no column. (The character set is not for a user to say.)
fn collation(settings: &Bound<'_, PyDict>) -> PyResult<Option<String>> {
    let name: Option<String> = get(settings, "mysql_collation", None)?;
    match name {
        Some(name) if !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') => {
            Err(PyValueError::new_err(
                "mysql_collation must be a name of letters, digits and underscores",
            ))
        }
        name => Ok(name.map(|name| format!("SET NAMES utf8mb4 COLLATE {name}"))),
    }
}
