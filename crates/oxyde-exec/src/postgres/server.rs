//! What PostgreSQL wants of its links.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use crate::engine::{Begin, BeginMode, Isolation};
use crate::error::{ErrorKind, ExecError};
use crate::postgres::config::{Pooler, PostgresConfig};
use crate::postgres::session::Session;
use crate::postgres::{frontend, taint};
use crate::query::RawRows;
use crate::wire::driver::Driver;
use crate::wire::engine::WireEngine;
use crate::wire::link::Attributes;
use crate::wire::server::{Facts, Peer, Plan, Rules, Server, Verdict};
use crate::wire::session as wire;

/// The oldest server that is supported.
const OLDEST: u32 = 12;

/// Who serves us. What the server can do is asked in the same flight, by the compiler's own query.
const QUESTIONS: &str = "SELECT pg_catalog.pg_backend_pid(), \
     pg_catalog.current_setting('transaction_read_only') = 'on', pg_catalog.pg_is_in_recovery()";

/// RESET ALL goes back to what the start-up message and the role say.
const RESET: &str = "CLOSE ALL; SET SESSION AUTHORIZATION DEFAULT; RESET ALL; UNLISTEN *; \
     SELECT pg_catalog.pg_advisory_unlock_all(); DISCARD TEMP; DISCARD SEQUENCES";

/// The engine of one database object.
pub fn engine(config: PostgresConfig, driver: Arc<dyn Driver>) -> Arc<WireEngine> {
    WireEngine::new(Arc::new(Postgres { config }), driver)
}

struct Postgres {
    config: PostgresConfig,
}

impl Server for Postgres {
    fn name(&self) -> &'static str {
        "PostgreSQL"
    }

    fn rules(&self) -> Rules {
        Rules {
            commit_timeout: self.config.commit_timeout,
            drain_budget: self.config.drain_budget,
            test_before_acquire: self.config.test_before_acquire,
            pipelining: self.config.pipelining,
        }
    }

    fn session(&self) -> Box<dyn wire::Session> {
        Box::new(Session::new(self.config.session()))
    }

    fn questions(&self) -> Vec<String> {
        vec![format!("{QUESTIONS};\n{}", self.config.facts)]
    }

    fn texts(&self, rows: RawRows<'_>) -> Vec<Option<String>> {
        let rows = rows.iter().flatten();
        let fields = rows.flat_map(|row| row.fields().flatten());
        fields
            .map(|field| field.map(|bytes| String::from_utf8_lossy(bytes).into_owned()))
            .collect()
    }

    fn judge(
        &self,
        session: &mut dyn wire::Session,
        answers: &[Option<String>],
    ) -> Result<Verdict, ExecError> {
        let text = |index: usize| answers.get(index).and_then(Option::as_deref);
        let yes = |index: usize| text(index) == Some("t");
        let process: Option<i64> = text(0).and_then(|number| number.parse().ok());
        let pooled = match self.config.pooler {
            Pooler::Yes => true,
            Pooler::No => false,
            Pooler::Auto => process.is_some() && process != session.process(),
        };
        if pooled {
            session.set_unnamed();
        }
        // "15.19 (Debian 15.19-0+deb12u1)"
        let version = session.parameter("server_version").unwrap_or_default();
        let version = version.split_whitespace().next().unwrap_or_default();
        let names = text(4).unwrap_or_default().split_whitespace();
        Ok(Verdict {
            attributes: Attributes {
                read_only: yes(1),
                standby: yes(2),
            },
            facts: Facts {
                version: version.to_owned(),
                names: names.map(str::to_owned).collect(),
            },
            peer: Peer {
                pooled,
                ..Peer::default()
            },
        })
    }

    fn settings(&self, peer: &Peer) -> VecDeque<String> {
        self.config.settings(peer.pooled)
    }

    fn refusal(&self, facts: &Facts) -> Option<ExecError> {
        let version = &facts.version;
        let digits: String = version.chars().take_while(char::is_ascii_digit).collect();
        let major: u32 = digits.parse().ok()?;
        (major < OLDEST).then(|| {
            ExecError::new(
                ErrorKind::NotSupported,
                format!("PostgreSQL {version} is not supported: {OLDEST} is the oldest that is"),
            )
        })
    }

    fn begin(&self, begin: Begin, peer: &Peer) -> Result<Plan, ExecError> {
        let lock_timeout = self.config.lock_timeout;
        Ok(Plan::one(begin_sql(begin, peer.pooled, lock_timeout)))
    }

    /// All or none: the statements of one simple query are one transaction unless they say otherwise.
    fn script(&self, statements: Vec<String>) -> Plan {
        let mut sql = String::with_capacity(statements.iter().map(|s| s.len() + 2).sum());
        for statement in statements {
            sql.push_str(&statement);
            // A comment at the end of a statement must not swallow the next one.
            sql.push_str("\n;");
        }
        Plan::one(sql)
    }

    fn reset(&self, peer: &Peer) -> Result<Plan, ExecError> {
        Ok(Plan::one(self.config.session_sql(RESET, peer.pooled)))
    }

    fn taints(&self, sql: &str) -> bool {
        taint::taints(sql)
    }

    fn is_cancelled(&self, error: &ExecError) -> bool {
        error.sqlstate.as_deref() == Some("57014")
    }

    /// Names, types and operators may have changed.
    fn is_outdated(&self, error: &ExecError) -> bool {
        let state = error.sqlstate.as_deref().unwrap_or_default();
        state.starts_with("42")
            || state == "22P03"
            || (state == "XX000" && error.message.starts_with("cache lookup failed"))
    }

    fn goodbye(&self) -> &'static [u8] {
        frontend::TERMINATE
    }
}

fn begin_sql(begin: Begin, pooled: bool, lock_timeout: Option<Duration>) -> String {
    let mut sql = String::from("BEGIN");
    if let Some(isolation) = begin.isolation {
        sql.push_str(match isolation {
            Isolation::ReadUncommitted => " ISOLATION LEVEL READ UNCOMMITTED",
            Isolation::ReadCommitted => " ISOLATION LEVEL READ COMMITTED",
            Isolation::RepeatableRead => " ISOLATION LEVEL REPEATABLE READ",
            Isolation::Serializable => " ISOLATION LEVEL SERIALIZABLE",
        });
    }
    if begin.mode == BeginMode::Read {
        sql.push_str(" READ ONLY");
    }
    if begin.deferrable {
        sql.push_str(" DEFERRABLE");
    }
    // Behind a pooler a session's settings would be somebody else's.
    if let (true, Some(wait)) = (pooled, lock_timeout) {
        sql.push_str(&format!(
            "; SET LOCAL lock_timeout = {}",
            wait.as_millis().max(1)
        ));
    }
    sql
}
