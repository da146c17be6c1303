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
    /// to [`Target::facts_query`].
    #[must_use]
    pub fn refined(dialect: Dialect, version: Version, facts: &[String]) -> Self {
        let known = |fact: &str| facts.iter().any(|f| f == fact);
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
        target
    }

    /// A query for one row of two texts: the version as a number (`150004` for
    /// 15.4) and the facts, separated by spaces. To be asked once per server.
    #[must_use]
    pub fn facts_query(dialect: Dialect) -> Option<&'static str> {
        dialect.facts_query()
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
        }
    }
}
