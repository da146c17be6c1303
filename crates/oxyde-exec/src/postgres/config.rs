//! What a PostgreSQL database object is told.

use std::collections::VecDeque;
use std::time::Duration;

use crate::pool::PoolConfig;
use crate::postgres::session::{Limits, SessionConfig};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pooler {
    /// Found out after connecting: the server's process is another one than the one that greeted.
    Auto,
    Yes,
    No,
}

#[derive(Clone, Debug)]
pub struct PostgresConfig {
    pub name: String,
    pub user: String,
    pub database: String,
    pub application_name: Option<String>,
    pub pool: PoolConfig,
    /// Prepared statements kept per connection; 0: every statement is parsed anew.
    pub statement_cache: usize,
    pub pooler: Pooler,
    pub lock_timeout: Option<Duration>,
    pub commit_timeout: Option<Duration>,
    /// A connection that was idle answers once before it gets a statement.
    pub test_before_acquire: bool,
    /// Reads may be put behind others on a busy connection.
    pub pipelining: bool,
    /// How long a cancelled or closing connection may take to become usable or to say goodbye.
    pub drain_budget: Duration,
    pub on_connect: Vec<String>,
    /// A query of one row: anything, then words that `Work::Version` answers as names, separated by blanks.
    pub facts: &'static str,
}

impl PostgresConfig {
    pub(super) fn session(&self) -> SessionConfig {
        SessionConfig {
            user: self.user.clone(),
            database: self.database.clone(),
            application_name: self.application_name.clone(),
            statement_cache: self.statement_cache,
            unnamed: self.pooler == Pooler::Yes,
            limits: Limits::default(),
        }
    }

    /// What every new connection runs, in this order.
    pub(super) fn settings(&self, pooled: bool) -> VecDeque<String> {
        // Behind a pooler a session belongs to everybody: our settings go with each transaction.
        let ours = self
            .lock_timeout
            .filter(|_| !pooled)
            .map(|wait| format!("SET lock_timeout = {}", wait.as_millis().max(1)));
        ours.into_iter()
            .chain(self.on_connect.iter().cloned())
            .collect()
    }

    /// `first`, then what every new connection runs, as one text.
    pub(super) fn session_sql(&self, first: &str, pooled: bool) -> String {
        let mut sql = first.to_owned();
        for setting in self.settings(pooled) {
            sql.push_str(";\n");
            sql.push_str(&setting);
        }
        sql
    }
}
