//! What a MySQL or MariaDB database object is told.

use std::time::Duration;

use crate::mysql::session::{Limits, SessionConfig};
use crate::pool::PoolConfig;

#[derive(Clone, Debug)]
pub struct MysqlConfig {
    pub name: String,
    pub user: String,
    /// `None`: no database is current.
    pub database: Option<String>,
    pub application_name: Option<String>,
    pub pool: PoolConfig,
    /// Prepared statements kept per connection; 0: every statement is prepared anew.
    pub statement_cache: usize,
    pub lock_timeout: Option<Duration>,
    pub commit_timeout: Option<Duration>,
    /// A connection that was idle answers once before it gets a statement.
    pub test_before_acquire: bool,
    /// Reads may be put behind others on a busy connection.
    pub pipelining: bool,
    /// How long a cancelled or closing connection may take to become usable or to say goodbye.
    pub drain_budget: Duration,
    pub on_connect: Vec<String>,
    /// A query of one row: the version, then words that `Work::Version` answers as names, separated by blanks; among
    /// them are "mariadb" or "mysql" and "max_allowed_packet=…".
    pub facts: &'static str,
    /// The SET statement that every session begins with.
    pub settings: Settings,
}

#[derive(Clone, Copy, Debug)]
pub struct Settings {
    pub mysql: &'static str,
    pub mariadb: &'static str,
}

/// The servers take no more than a year.
const LONGEST_WAIT: u64 = 31_536_000;

impl MysqlConfig {
    pub(super) fn session(&self) -> SessionConfig {
        SessionConfig {
            user: self.user.clone(),
            database: self.database.clone(),
            application_name: self.application_name.clone(),
            statement_cache: self.statement_cache,
            limits: Limits::default(),
        }
    }

    /// What every new connection runs, in this order.
    pub(super) fn settings(&self, is_mariadb: bool) -> impl Iterator<Item = String> {
        let mut first = String::from(if is_mariadb {
            self.settings.mariadb
        } else {
            self.settings.mysql
        });
        if let Some(wait) = self.lock_timeout {
            // Whole seconds, never less than what was asked for.
            let fraction = u64::from(wait.subsec_nanos() > 0);
            let seconds = wait.as_secs().saturating_add(fraction);
            let seconds = seconds.clamp(1, LONGEST_WAIT);
            first.push_str(if first.is_empty() { "SET " } else { ", " });
            first.push_str(&format!(
                "innodb_lock_wait_timeout = {seconds}, lock_wait_timeout = {seconds}"
            ));
        }
        let first = Some(first).filter(|sql| !sql.is_empty());
        first.into_iter().chain(self.on_connect.iter().cloned())
    }
}
