//! A connection to the MySQL or MariaDB of the tests, set as our own sessions are.

use std::env;

use mysql::consts::CapabilityFlags;
use mysql::prelude::Queryable;
use mysql::{Conn, Opts, OptsBuilder, Row, Value};
use oxyde_sql::{Dialect, Target, Version};

/// Names the server, as `mysql://user:password@host:port`; the scheme `mariadb` will do too.
const VARIABLE: &str = "OXYDE_TEST_MYSQL_URL";

pub struct Client {
    conn: Conn,
}

/// A statement as the server understood it.
pub struct Prepared {
    pub params: usize,
    pub columns: usize,
}

impl Client {
    pub fn connect() -> Self {
        let url = env::var(VARIABLE).unwrap_or_else(|_| panic!("{VARIABLE} names no server"));
        let url = url.split('?').next().unwrap();
        let (_, rest) = url.split_once("://").expect("a scheme");
        let server = rest.split('/').next().unwrap();
        let opts = Opts::from_url(&format!("mysql://{server}")).unwrap();
        let opts = OptsBuilder::from_opts(opts)
            .prefer_socket(false)
            .additional_capabilities(CapabilityFlags::CLIENT_FOUND_ROWS);
        Self {
            conn: Conn::new(opts).unwrap(),
        }
    }

    /// What the server says of itself; the session is set accordingly.
    pub fn target(&mut self) -> Target {
        let query = Target::facts_query(Dialect::Mysql).unwrap();
        let (version, facts): (String, String) = self.conn.query_first(query).unwrap().unwrap();
        let mut numbers = version.split('.').map(|n| n.parse().unwrap_or(0));
        let mut next = || numbers.next().unwrap_or(0);
        let version = Version(next(), next(), next());
        let facts: Vec<String> = facts.split_whitespace().map(str::to_owned).collect();
        let target = Target::refined(Dialect::Mysql, version, &facts);
        self.run(Target::session_sql(target.dialect).unwrap())
            .unwrap();
        target
    }

    /// Runs text without parameters; the rows as texts.
    pub fn rows(&mut self, sql: &str) -> Vec<Vec<String>> {
        let rows: Vec<Row> = self
            .run(sql)
            .unwrap_or_else(|error| panic!("{error}\n{sql}"));
        rows.into_iter()
            .map(|row| row.unwrap().into_iter().map(shown).collect())
            .collect()
    }

    pub fn run(&mut self, sql: &str) -> Result<Vec<Row>, String> {
        self.conn.query(sql).map_err(said)
    }

    pub fn prepare(&mut self, sql: &str) -> Result<Prepared, String> {
        let statement = self.conn.prep(sql).map_err(said)?;
        Ok(Prepared {
            params: statement.num_params().into(),
            columns: statement.num_columns().into(),
        })
    }

    /// Prepares a statement and runs it; the rows as values.
    pub fn execute(&mut self, sql: &str, values: &[Value]) -> Result<Vec<Vec<Value>>, String> {
        let rows: Vec<Row> = self.conn.exec(sql, values.to_vec()).map_err(said)?;
        Ok(rows.into_iter().map(Row::unwrap).collect())
    }

    pub fn affected(&self) -> u64 {
        self.conn.affected_rows()
    }

    pub fn last_insert_id(&self) -> u64 {
        self.conn.last_insert_id()
    }
}

fn said(error: mysql::Error) -> String {
    match error {
        mysql::Error::MySqlError(e) => format!("{} {} {}", e.code, e.state, e.message),
        other => other.to_string(),
    }
}

/// A value as one reads it.
pub fn shown(value: Value) -> String {
    match value {
        Value::NULL => "NULL".into(),
        Value::Bytes(bytes) => match String::from_utf8(bytes) {
            Ok(text) => text,
            Err(bytes) => format!("{:02x?}", bytes.into_bytes()),
        },
        Value::Int(n) => n.to_string(),
        Value::UInt(n) => n.to_string(),
        Value::Float(x) => x.to_string(),
        Value::Double(x) => x.to_string(),
        Value::Date(y, m, d, 0, 0, 0, 0) => format!("{y:04}-{m:02}-{d:02}"),
        Value::Date(y, m, d, h, i, s, us) => {
            format!("{y:04}-{m:02}-{d:02} {h:02}:{i:02}:{s:02}.{us:06}")
        }
        Value::Time(negative, d, h, i, s, us) => {
            let sign = if negative { "-" } else { "" };
            format!("{sign}{:02}:{i:02}:{s:02}.{us:06}", d * 24 + u32::from(h))
        }
    }
}
