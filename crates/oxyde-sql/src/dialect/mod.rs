//! The databases: names, versions, quoting and literals.
//!
//! What differs between them beyond quoting lives in one file each; the
//! compiler asks [`crate::Features`] for a capability and these files for a
//! spelling, so that no other file compares brands.

use std::fmt;

use crate::SqlType;

mod ddl;
pub(crate) mod fragment;
mod mysql;
mod postgres;
mod spelling;
pub(crate) mod sqlite;

pub(crate) use ddl::Hints;
pub(crate) use mysql::{Stored, stored};
pub(crate) use spelling::{Compared, InList, Needle, Spelling, Typed, spelling};

/// A kind of database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// PostgreSQL.
    Postgres,
    /// Oracle's MySQL.
    Mysql,
    /// MariaDB, where it differs from MySQL.
    MariaDb,
    /// SQLite.
    Sqlite,
}

/// A server version: major, minor, patch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(pub u32, pub u32, pub u32);

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

impl Dialect {
    /// All of them.
    pub const ALL: &'static [Self] = &[Self::Postgres, Self::Mysql, Self::MariaDb, Self::Sqlite];

    /// The dialect of a name as used in URLs and settings.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "postgres" | "postgresql" => Some(Self::Postgres),
            "mysql" => Some(Self::Mysql),
            "mariadb" => Some(Self::MariaDb),
            "sqlite" => Some(Self::Sqlite),
            _ => None,
        }
    }

    /// The name as used in settings: what [`Dialect::parse`] reads.
    #[must_use]
    pub fn id(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::Mysql => "mysql",
            Self::MariaDb => "mariadb",
            Self::Sqlite => "sqlite",
        }
    }

    /// The product's name, for messages.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Postgres => "PostgreSQL",
            Self::Mysql => "MySQL",
            Self::MariaDb => "MariaDB",
            Self::Sqlite => "SQLite",
        }
    }

    /// What the time of a column is that is declared in the program's own words;
    /// any other type is that of its values.
    pub(crate) fn declared(self, db_type: Option<&str>, ty: &SqlType) -> SqlType {
        let own = match self {
            Self::Postgres => db_type.and_then(postgres::time_type),
            Self::Mysql | Self::MariaDb | Self::Sqlite => None,
        };
        own.unwrap_or_else(|| ty.clone())
    }

    /// See [`crate::Target::facts_query`].
    pub(crate) fn facts_query(self) -> Option<&'static str> {
        match self {
            Self::Postgres => Some(postgres::FACTS),
            Self::Mysql | Self::MariaDb => Some(mysql::FACTS),
            Self::Sqlite => None,
        }
    }

    /// See [`crate::Target::session_sql`].
    pub(crate) fn session_sql(self) -> Option<&'static str> {
        mysql::settings(self)
    }

    /// The oldest supported version: what is compiled for when no server has
    /// been asked. SQLite is bundled, so there is only the one.
    #[must_use]
    pub fn oldest(self) -> Version {
        match self {
            Self::Postgres => Version(12, 0, 0),
            Self::Mysql => Version(8, 0, 19),
            Self::MariaDb => Version(10, 6, 0),
            Self::Sqlite => Version(3, 54, 0),
        }
    }

    /// Quotes an identifier; any text is safe.
    #[must_use]
    pub fn quote(self, name: &str) -> String {
        let mark = match self {
            Self::Postgres | Self::Sqlite => '"',
            Self::Mysql | Self::MariaDb => '`',
        };
        let mut out = String::with_capacity(name.len() + 2);
        out.push(mark);
        for c in name.chars() {
            if c == mark {
                out.push(mark);
            }
            out.push(c);
        }
        out.push(mark);
        out
    }

    /// Quotes a name and the schema it is in.
    #[must_use]
    pub fn qualified(self, schema: Option<&str>, name: &str) -> String {
        match schema {
            Some(schema) => format!("{}.{}", self.quote(schema), self.quote(name)),
            None => self.quote(name),
        }
    }

    /// Writes a text as a literal; any text without NUL is safe.
    ///
    /// PostgreSQL gets an `E''` string where a backslash occurs, which means
    /// the same whatever `standard_conforming_strings` says. MySQL strings
    /// assume the `sql_mode` of our own sessions (backslash escapes on).
    #[must_use]
    pub fn string(self, text: &str) -> String {
        let doubled = text.replace('\'', "''");
        match self {
            Self::Postgres if text.contains('\\') => {
                format!("E'{}'", doubled.replace('\\', "\\\\"))
            }
            Self::Mysql | Self::MariaDb => format!("'{}'", doubled.replace('\\', "\\\\")),
            Self::Postgres | Self::Sqlite => format!("'{doubled}'"),
        }
    }

    /// How many parameters one statement may have.
    #[must_use]
    pub fn max_binds(self) -> usize {
        match self {
            // A 16-bit count in the protocol.
            Self::Postgres | Self::Mysql | Self::MariaDb => 65_535,
            // SQLITE_MAX_VARIABLE_NUMBER as built.
            Self::Sqlite => 32_766,
        }
    }

    /// How many bytes (MySQL: characters) a name may have; longer ones are cut
    /// by PostgreSQL and refused by MySQL.
    #[must_use]
    pub fn max_name(self) -> usize {
        match self {
            Self::Postgres | Self::Sqlite => 63,
            Self::Mysql | Self::MariaDb => 64,
        }
    }

    /// Marks gap number `n` (from 1) in a sea-query template.
    pub(crate) fn template_mark(self, n: usize, out: &mut String) {
        match self {
            Self::Postgres => {
                out.push('$');
                out.push_str(&n.to_string());
            }
            Self::Mysql | Self::MariaDb | Self::Sqlite => out.push('?'),
        }
    }
}
