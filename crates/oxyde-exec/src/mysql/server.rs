//! What MySQL and MariaDB want of their links.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::engine::{Begin, BeginMode, Isolation};
use crate::error::{Code, ErrorKind, ExecError};
use crate::mysql::config::MysqlConfig;
use crate::mysql::rows::{Rows, TextFields};
use crate::mysql::session::Session;
use crate::mysql::{frontend, taint, words};
use crate::query::RawRows;
use crate::wire::driver::Driver;
use crate::wire::engine::WireEngine;
use crate::wire::link::Attributes;
use crate::wire::server::{Facts, Peer, Plain, Plan, Rules, Server, Verdict};
use crate::wire::session as wire;

/// The oldest servers that are supported.
const OLDEST_MYSQL: [u32; 3] = [8, 0, 19];
const OLDEST_MARIADB: [u32; 3] = [10, 6, 0];

/// Behind one address there may be several servers, and each numbers its connections for itself.
macro_rules! place {
    () => {
        "CONCAT_WS(':', @@hostname, @@port, @@server_id)"
    };
}

const PLACE: &str = concat!("SELECT ", place!());

/// Who serves us, and whether it takes writes.
const QUESTIONS: &str = concat!(
    "SELECT ",
    place!(),
    ", CONNECTION_ID(), @@global.read_only, @@global.innodb_read_only, CURRENT_ROLE()"
);

/// Interrupted: by KILL QUERY, by a limit of the server's; a sort that was interrupted.
const STOPPED: [i64; 4] = [1317, 1969, 3024, 1028];

/// Tables, columns, views or how many columns a table has, as a kept statement saw them.
const OUTDATED: [i64; 5] = [1054, 1109, 1136, 1146, 1356];

/// The engine of one database object.
pub fn engine(config: MysqlConfig, driver: Arc<dyn Driver>) -> Arc<WireEngine> {
    WireEngine::new(Arc::new(Mysql { config }), driver)
}

struct Mysql {
    config: MysqlConfig,
}

impl Server for Mysql {
    fn name(&self) -> &'static str {
        "MySQL"
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
        vec![QUESTIONS.to_owned(), self.config.facts.to_owned()]
    }

    fn texts(&self, rows: RawRows<'_>) -> Vec<Option<String>> {
        let fields = Rows::of(rows).flatten().flat_map(TextFields::of).flatten();
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
        let yes = |index: usize| !matches!(text(index), None | Some("0" | "OFF"));
        let thread: Option<i64> = text(1).and_then(|number| number.parse().ok());
        let words = text(6).unwrap_or_default().split_whitespace();
        let names: Vec<String> = words.map(str::to_owned).collect();
        let limit = names
            .iter()
            .find_map(|name| name.strip_prefix("max_allowed_packet=")?.parse().ok());
        if let Some(limit) = limit {
            session.set_max_packet(limit);
        }
        let is_mariadb = names.iter().any(|name| name == "mariadb");
        let number = text(5).unwrap_or_default();
        let read_only = yes(2) || yes(3);
        Ok(Verdict {
            attributes: Attributes {
                read_only,
                standby: read_only,
            },
            facts: Facts {
                version: if is_mariadb {
                    format!("{number}-MariaDB")
                } else {
                    number.to_owned()
                },
                names,
            },
            peer: Peer {
                pooled: thread.is_some() && thread != session.process(),
                is_mariadb,
                place: text(0).map(str::to_owned),
                roles: text(4).map(str::to_owned),
            },
        })
    }

    fn place(&self) -> Option<String> {
        Some(PLACE.to_owned())
    }

    fn settings(&self, peer: &Peer) -> VecDeque<String> {
        self.config.settings(peer.is_mariadb).collect()
    }

    fn refusal(&self, facts: &Facts) -> Option<ExecError> {
        let (name, oldest) = if facts.version.contains("MariaDB") {
            ("MariaDB", OLDEST_MARIADB)
        } else {
            ("MySQL", OLDEST_MYSQL)
        };
        let version = numbers(&facts.version)?;
        (version < oldest).then(|| {
            let [major, minor, patch] = version;
            ExecError::new(
                ErrorKind::NotSupported,
                format!(
                    "{name} {major}.{minor}.{patch} is not supported: MySQL 8.0.19 and MariaDB 10.6 are the oldest \
                     that are"
                ),
            )
        })
    }

    fn begin(&self, begin: Begin, _: &Peer) -> Result<Plan, ExecError> {
        if begin.deferrable {
            return Err(ExecError::new(
                ErrorKind::NotSupported,
                "MySQL and MariaDB have no deferrable transactions",
            ));
        }
        let isolation = begin.isolation.map(|isolation| match isolation {
            Isolation::ReadUncommitted => "SET TRANSACTION ISOLATION LEVEL READ UNCOMMITTED",
            Isolation::ReadCommitted => "SET TRANSACTION ISOLATION LEVEL READ COMMITTED",
            Isolation::RepeatableRead => "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ",
            Isolation::Serializable => "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE",
        });
        let start = match begin.mode {
            BeginMode::Write => "START TRANSACTION",
            BeginMode::Read => "START TRANSACTION READ ONLY",
        };
        let requests = isolation.into_iter().chain([start]);
        Ok(Plan {
            requests: requests.map(text).collect(),
            at_once: true,
        })
    }

    /// One by one: what changes tables ends the transaction that it is in.
    fn script(&self, statements: Vec<String>) -> Plan {
        Plan {
            requests: statements.into_iter().map(Plain::Text).collect(),
            at_once: false,
        }
    }

    /// The command leaves the current database and the roles as they are.
    fn reset(&self, peer: &Peer) -> Result<Plan, ExecError> {
        let Some(database) = &self.config.database else {
            return Err(ExecError::new(
                ErrorKind::Internal,
                "without a database of its own a session cannot be put back",
            ));
        };
        let roles = match peer.roles.as_deref() {
            None | Some("NONE") => "NONE".to_owned(),
            // MySQL names them as SET ROLE wants them, MariaDB has only one.
            Some(roles) if !peer.is_mariadb => roles.to_owned(),
            Some(role) => quoted(role),
        };
        let home = [
            format!("SET ROLE {roles}"),
            format!("USE {}", quoted(database)),
        ];
        let settings = self.config.settings(peer.is_mariadb);
        let texts = home.into_iter().chain(settings).map(Plain::Text);
        Ok(Plan {
            requests: [Plain::Reset].into_iter().chain(texts).collect(),
            at_once: true,
        })
    }

    /// A KILL QUERY that came too late stops the next statement, whatever that is. A ping is none.
    fn settling(&self) -> Plain {
        text("DO 0")
    }

    fn guards(&self, sql: &str) -> bool {
        words::may_begin_anew(sql)
    }

    /// SLEEP() and GET_LOCK() answer something when they are interrupted.
    fn may_end_early(&self, sql: &str) -> bool {
        words::only_reads(sql)
    }

    fn taints(&self, sql: &str) -> bool {
        taint::taints(sql)
    }

    fn is_cancelled(&self, error: &ExecError) -> bool {
        matches!(error.code, Some(Code::Number(number)) if STOPPED.contains(&number))
    }

    fn is_outdated(&self, error: &ExecError) -> bool {
        matches!(error.code, Some(Code::Number(number)) if OUTDATED.contains(&number))
    }

    fn goodbye(&self) -> &'static [u8] {
        frontend::GOODBYE
    }
}

fn text(sql: &str) -> Plain {
    Plain::Text(sql.to_owned())
}

fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// The numbers that a version starts with.
fn numbers(version: &str) -> Option<[u32; 3]> {
    let end = version.find(|c: char| !c.is_ascii_digit() && c != '.');
    let digits = version.get(..end.unwrap_or(version.len()))?;
    let mut parts = digits.split('.').map(|part| part.parse().ok());
    let major = parts.next()??;
    let mut next = || parts.next().flatten().unwrap_or(0);
    Some([major, next(), next()])
}
