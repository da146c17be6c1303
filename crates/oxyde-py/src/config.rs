//! The dict that `AsyncDatabase` hands over → the engine's configuration.

use std::path::PathBuf;
use std::time::Duration;

use oxyde_exec::SqliteConfig;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyDict;

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
