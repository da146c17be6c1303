//! What a statement is compiled for: a database, its version, and what else
//! only the server can tell.

use crate::{Dialect, Version};

/// A server, as far as the compiler has to know it.
///
/// ```
/// # use oxyde_sql::{CaseMapping, Dialect, Target, Version};
/// let unasked = Target::from((Dialect::Postgres, Version(16, 0, 0)));
/// assert_eq!(unasked.case_mapping, CaseMapping::Icu);
/// let facts = ["lc_ctype_c".to_owned()];
/// let small = Target::refined(Dialect::Postgres, Version(16, 0, 0), &facts);
/// assert_eq!(small.case_mapping, CaseMapping::Missing);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    /// The database.
    pub dialect: Dialect,
    /// Its version.
    pub version: Version,
    /// Where the case of letters beyond ASCII is mapped.
    pub case_mapping: CaseMapping,
    /// How a server of MySQL or MariaDB is set.
    pub mysql: MysqlSettings,
}

/// What statements for MySQL and MariaDB have to respect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MysqlSettings {
    /// The longest statement with its parameters, and the longest row, in bytes.
    pub max_packet: u64,
    /// The step from one automatic key to the next.
    pub key_step: u64,
    /// A wait for a lock that takes too long undoes the whole transaction, and
    /// not the statement alone.
    pub rollback_on_timeout: bool,
    /// 0: names of tables are distinguished by case; 1: they are kept in lower
    /// case; 2: they are compared without case.
    pub lower_case_names: u8,
    /// Seconds after which the server ends an idle connection.
    pub wait_timeout: u64,
}

impl Default for MysqlSettings {
    /// As a server is that nobody has set; of two defaults the smaller one.
    fn default() -> Self {
        Self {
            max_packet: 16 << 20,
            key_step: 1,
            rollback_on_timeout: false,
            lower_case_names: 0,
            wait_timeout: 28_800,
        }
    }
}

/// Who knows which letters are upper and which lower case, of all of Unicode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CaseMapping {
    /// PostgreSQL's collation `und-x-icu`. Servers built without ICU lack it.
    Icu,
    /// PostgreSQL's collation `pg_unicode_fast`, built in since version 18.
    PgUnicodeFast,
    /// PostgreSQL's collation `pg_c_utf8`, built in since version 17: letter by
    /// letter, so that a sigma at the end of a word is like any other.
    PgCUtf8,
    /// The database's own locale, or what the dialect does anyway.
    Default,
    /// Nobody: PostgreSQL without the former two, and with the locale C.
    Missing,
}

impl Target {
    /// The target that a server describes by `facts`: the words of the answer
    /// to [`Target::facts_query`]. They tell MySQL from MariaDB, whichever of them
    /// `dialect` is.
    ///
    /// ```
    /// # use oxyde_sql::{Dialect, Target, Version};
    /// let facts = ["mariadb", "max_allowed_packet=1024"].map(str::to_owned);
    /// let server = Target::refined(Dialect::Mysql, Version(10, 11, 2), &facts);
    /// assert_eq!(server.dialect, Dialect::MariaDb);
    /// assert_eq!(server.mysql.max_packet, 1024);
    /// ```
    #[must_use]
    pub fn refined(dialect: Dialect, version: Version, facts: &[String]) -> Self {
        let known = |fact: &str| facts.iter().any(|f| f == fact);
        let dialect = match dialect {
            Dialect::Mysql | Dialect::MariaDb if known("mariadb") => Dialect::MariaDb,
            Dialect::Mysql | Dialect::MariaDb if known("mysql") => Dialect::Mysql,
            other => other,
        };
        let mut target = Self::from((dialect, version));
        if dialect == Dialect::Postgres {
            target.case_mapping = if known("icu") {
                CaseMapping::Icu
            } else if known("pg_unicode_fast") {
                CaseMapping::PgUnicodeFast
            } else if known("pg_c_utf8") {
                CaseMapping::PgCUtf8
            } else if known("lc_ctype_c") {
                CaseMapping::Missing
            } else {
                CaseMapping::Default
            };
        }
        let number = |fact: &str, default: u64| {
            let found = facts
                .iter()
                .find_map(|f| f.strip_prefix(fact)?.strip_prefix('=')?.parse().ok());
            found.unwrap_or(default)
        };
        let unset = MysqlSettings::default();
        target.mysql = MysqlSettings {
            max_packet: number("max_allowed_packet", unset.max_packet),
            key_step: number("auto_increment_increment", unset.key_step),
            rollback_on_timeout: known("innodb_rollback_on_timeout"),
            lower_case_names: u8::try_from(number("lower_case_table_names", 0)).unwrap_or(0),
            wait_timeout: number("wait_timeout", unset.wait_timeout),
        };
        target
    }

    /// A query for one row of two texts: the version, as a number (PostgreSQL:
    /// `150004` for 15.4) or with points (MySQL and MariaDB: `8.0.36`), and the
    /// facts, separated by spaces. To be asked once per server; the same for MySQL
    /// and MariaDB, which its answer tells apart.
    #[must_use]
    pub fn facts_query(dialect: Dialect) -> Option<&'static str> {
        dialect.facts_query()
    }

    /// The statement that makes a new session of MySQL or MariaDB what compiled
    /// statements count on: encoding, time zone, strictness.
    #[must_use]
    pub fn session_sql(dialect: Dialect) -> Option<&'static str> {
        dialect.session_sql()
    }
}

impl From<(Dialect, Version)> for Target {
    /// A server that has not been asked: built as all common packages are.
    fn from((dialect, version): (Dialect, Version)) -> Self {
        Self {
            dialect,
            version,
            case_mapping: match dialect {
                Dialect::Postgres => CaseMapping::Icu,
                Dialect::Mysql | Dialect::MariaDb | Dialect::Sqlite => CaseMapping::Default,
            },
            mysql: MysqlSettings::default(),
        }
    }
}
