//! What a SQLite database is opened with.

use std::path::PathBuf;
use std::time::Duration;

use crate::error::{ErrorKind, ExecError};

/// Settings of one SQLite database. `default()` is a memory database with the documented defaults.
#[derive(Clone, Debug)]
pub struct SqliteConfig {
    /// The alias, for messages.
    pub name: String,
    /// `None`: a memory database.
    pub path: Option<PathBuf>,
    pub max_connections: usize,
    pub min_connections: usize,
    pub max_waiting: Option<usize>,
    pub idle_timeout: Option<Duration>,
    pub max_lifetime: Option<Duration>,
    /// Point look-ups and writes of single rows on the calling thread.
    pub inline: bool,
    pub journal_mode: String,
    pub synchronous: String,
    /// Pages, or KiB when negative, as `PRAGMA cache_size` takes it.
    pub cache_size: Option<i64>,
    pub busy_timeout: Duration,
    /// SQL run on every new connection.
    pub on_connect: Vec<String>,
    /// What the URL's query string asked for: `mode=ro|rw|rwc`, `immutable=1`.
    pub options: Vec<(String, String)>,
    /// Prepared statements kept per connection.
    pub statement_cache: usize,
}

impl Default for SqliteConfig {
    fn default() -> Self {
        Self {
            name: "default".into(),
            path: None,
            max_connections: 10,
            min_connections: 1,
            max_waiting: None,
            idle_timeout: Some(Duration::from_secs(600)),
            max_lifetime: Some(Duration::from_secs(1800)),
            inline: true,
            journal_mode: "WAL".into(),
            synchronous: "NORMAL".into(),
            cache_size: None,
            busy_timeout: Duration::from_millis(5000),
            on_connect: Vec::new(),
            options: Vec::new(),
            statement_cache: 256,
        }
    }
}

/// How a file may be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenMode {
    ReadOnly,
    ReadWrite,
    Create,
}

/// A configuration whose names have been checked.
#[derive(Clone, Debug)]
pub(crate) struct Checked {
    pub config: SqliteConfig,
    pub mode: OpenMode,
    pub immutable: bool,
}

impl SqliteConfig {
    pub(crate) fn check(mut self) -> Result<Checked, ExecError> {
        let refuse = |message: String| Err(ExecError::new(ErrorKind::Programming, message));
        if self.max_connections == 0 {
            return refuse("max_connections must be at least 1".into());
        }
        self.journal_mode = self.journal_mode.to_ascii_uppercase();
        if !["WAL", "DELETE", "TRUNCATE", "PERSIST", "MEMORY", "OFF"]
            .contains(&self.journal_mode.as_str())
        {
            return refuse(format!(
                "sqlite_journal_mode {:?} is unknown: use WAL, DELETE, TRUNCATE, PERSIST, MEMORY or OFF",
                self.journal_mode
            ));
        }
        self.synchronous = self.synchronous.to_ascii_uppercase();
        if !["OFF", "NORMAL", "FULL", "EXTRA"].contains(&self.synchronous.as_str()) {
            return refuse(format!(
                "sqlite_synchronous {:?} is unknown: use OFF, NORMAL, FULL or EXTRA",
                self.synchronous
            ));
        }
        let mut mode = OpenMode::Create;
        let mut immutable = false;
        for (key, value) in &self.options {
            match (key.as_str(), value.as_str()) {
                ("mode", "ro") => mode = OpenMode::ReadOnly,
                ("mode", "rw") => mode = OpenMode::ReadWrite,
                ("mode", "rwc") => mode = OpenMode::Create,
                ("mode", _) => {
                    return refuse(format!(
                        "option mode={value:?} is unknown: use ro, rw or rwc"
                    ));
                }
                ("immutable", "1" | "true" | "on" | "yes") => immutable = true,
                ("immutable", "0" | "false" | "off" | "no") => immutable = false,
                _ => {
                    return refuse(format!(
                        "option {key:?} of a sqlite URL is unknown: use mode or immutable"
                    ));
                }
            }
        }
        if immutable {
            mode = OpenMode::ReadOnly;
        }
        Ok(Checked {
            config: self,
            mode,
            immutable,
        })
    }
}
