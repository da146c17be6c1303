//! The type table: one variant of [`SqlType`] per column type.
//!
//! Everything the project knows about a column type is a `match` in this file,
//! exhaustive on purpose: a new variant does not compile until each column of
//! the table has its row.
//!
//! | column | function | example (`Decimal(10, 2)`) |
//! |---|---|---|
//! | tag of the contract with Python | [`SqlType::kind`] | `decimal` |
//! | DDL name | [`SqlType::ddl`] | `NUMERIC(10,2)` |
//! | name in the server's catalogue | [`SqlType::introspected`] | `numeric` |
//! | wire code | [`SqlType::pg_oid`], [`SqlType::mysql_code`] | 1700, 246 |
//! | has an order that all databases agree on | [`SqlType::ordered`] | yes |
//!
//! How a tag is read from and written to JSON is in `tag.rs`.

mod tag;
mod wire;

use std::sync::Arc;

use crate::Dialect;
pub use tag::TypeTagError;

/// The type of a column or of a parameter.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum SqlType {
    /// 16-bit integer.
    SmallInt,
    /// 32-bit integer.
    Int,
    /// 64-bit integer: what a Python `int` field is.
    BigInt,
    /// 32-bit float.
    Real,
    /// 64-bit float: what a Python `float` field is.
    Double,
    /// Boolean; 0 and 1 on MySQL and SQLite.
    Bool,
    /// Text without a length limit.
    Text,
    /// Text of at most this many characters; 255 when nothing is given.
    String(Option<u32>),
    /// Exact decimal number; SQLite keeps it as text.
    Decimal {
        /// Number of significant digits.
        precision: Option<u16>,
        /// Digits after the point.
        scale: Option<u16>,
    },
    /// Date and time without a zone. It holds UTC.
    Timestamp,
    /// Date and time with a zone, normalised to UTC.
    TimestampTz,
    /// Calendar date.
    Date,
    /// Time of day without a zone.
    Time,
    /// Length of time, stored as whole microseconds in a 64-bit integer.
    Duration,
    /// UUID; hyphenated lower-case text where there is no such type.
    Uuid,
    /// Byte string.
    Bytes,
    /// JSON document.
    Json,
    /// One of a list of strings, under a name.
    Enum(Arc<EnumType>),
    /// List of values of one type; JSON text outside PostgreSQL.
    Array(Box<SqlType>),
}

/// Name and members of an enum type, in declaration order.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct EnumType {
    /// Name of the type in the database (PostgreSQL).
    pub name: String,
    /// Stored values, in declaration order.
    pub values: Vec<String>,
}

impl SqlType {
    /// The tag of this type in shapes and schema documents, without its arguments.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::SmallInt => "small_integer",
            Self::Int => "integer",
            Self::BigInt => "big_integer",
            Self::Real => "real",
            Self::Double => "double",
            Self::Bool => "boolean",
            Self::Text => "text",
            Self::String(_) => "string",
            Self::Decimal { .. } => "decimal",
            Self::Timestamp => "date_time",
            Self::TimestampTz => "date_time_utc",
            Self::Date => "date",
            Self::Time => "time",
            Self::Duration => "timedelta",
            Self::Uuid => "uuid",
            Self::Bytes => "blob",
            Self::Json => "json",
            Self::Enum(_) => "enum",
            Self::Array(_) => "array",
        }
    }

    /// Whether `<` and `ORDER BY` mean the same on all databases.
    ///
    /// Enums order by declaration on PostgreSQL and MySQL but by text on
    /// SQLite; JSON and arrays have no common order.
    #[must_use]
    pub fn ordered(&self) -> bool {
        match self {
            Self::SmallInt
            | Self::Int
            | Self::BigInt
            | Self::Real
            | Self::Double
            | Self::Text
            | Self::String(_)
            | Self::Decimal { .. }
            | Self::Timestamp
            | Self::TimestampTz
            | Self::Date
            | Self::Time
            | Self::Duration
            | Self::Uuid
            | Self::Bytes => true,
            Self::Bool | Self::Json | Self::Enum(_) | Self::Array(_) => false,
        }
    }

    /// Whether a column of this type may be declared nullable. All may; the
    /// row of the table is there for a type that cannot be NULL.
    #[must_use]
    pub fn nullable(&self) -> bool {
        true
    }

    /// Whether this is one of the three integer types.
    #[must_use]
    pub fn is_integer(&self) -> bool {
        matches!(self, Self::SmallInt | Self::Int | Self::BigInt)
    }

    /// Whether this is a binary floating-point type.
    #[must_use]
    pub fn is_float(&self) -> bool {
        matches!(self, Self::Real | Self::Double)
    }

    /// Whether this is a decimal type.
    #[must_use]
    pub fn is_decimal(&self) -> bool {
        matches!(self, Self::Decimal { .. })
    }

    /// Whether values are text to every database, so that string operators apply without a cast.
    #[must_use]
    pub fn is_text(&self) -> bool {
        matches!(self, Self::Text | Self::String(_))
    }

    /// The column type as `CREATE TABLE` spells it.
    ///
    /// On PostgreSQL an enum is the quoted name of its type, which must exist.
    #[must_use]
    pub fn ddl(&self, dialect: Dialect) -> String {
        match dialect {
            Dialect::Postgres => self.ddl_postgres(),
            Dialect::Mysql | Dialect::MariaDb => self.ddl_mysql(dialect),
            Dialect::Sqlite => self.ddl_sqlite(),
        }
    }

    fn ddl_postgres(&self) -> String {
        match self {
            Self::SmallInt => "SMALLINT".into(),
            Self::Int => "INTEGER".into(),
            Self::BigInt | Self::Duration => "BIGINT".into(),
            Self::Real => "REAL".into(),
            Self::Double => "DOUBLE PRECISION".into(),
            Self::Bool => "BOOLEAN".into(),
            Self::Text => "TEXT".into(),
            Self::String(length) => varchar(*length),
            Self::Decimal { precision, scale } => match (precision, scale) {
                (None, None) => "NUMERIC".into(),
                (Some(p), None) => format!("NUMERIC({p})"),
                (p, Some(s)) => format!("NUMERIC({},{s})", p.unwrap_or(1000)),
            },
            Self::Timestamp => "TIMESTAMP".into(),
            Self::TimestampTz => "TIMESTAMPTZ".into(),
            Self::Date => "DATE".into(),
            Self::Time => "TIME".into(),
            Self::Uuid => "UUID".into(),
            Self::Bytes => "BYTEA".into(),
            Self::Json => "JSONB".into(),
            Self::Enum(e) => Dialect::Postgres.quote(&e.name),
            Self::Array(item) => format!("{}[]", item.ddl_postgres()),
        }
    }

    fn ddl_mysql(&self, dialect: Dialect) -> String {
        match self {
            Self::SmallInt => "SMALLINT".into(),
            Self::Int => "INT".into(),
            Self::BigInt | Self::Duration => "BIGINT".into(),
            Self::Real => "FLOAT".into(),
            Self::Double => "DOUBLE".into(),
            Self::Bool => "TINYINT(1)".into(),
            // TEXT ends at 64 KiB; LONGTEXT holds what the other databases hold.
            Self::Text => "LONGTEXT".into(),
            Self::String(length) => varchar(*length),
            Self::Decimal { precision, scale } => match (precision, scale) {
                // The widest the server has: 35 digits before the point, 30 after.
                (None, None) => "DECIMAL(65,30)".into(),
                (Some(p), None) => format!("DECIMAL({p},0)"),
                (p, Some(s)) => format!("DECIMAL({},{s})", p.unwrap_or(65)),
            },
            Self::Timestamp | Self::TimestampTz => "DATETIME(6)".into(),
            Self::Date => "DATE".into(),
            Self::Time => "TIME(6)".into(),
            Self::Uuid => "CHAR(36)".into(),
            Self::Bytes => "LONGBLOB".into(),
            Self::Json | Self::Array(_) => "JSON".into(),
            Self::Enum(e) => {
                let values: Vec<_> = e.values.iter().map(|v| dialect.string(v)).collect();
                format!("ENUM({})", values.join(","))
            }
        }
    }

    fn ddl_sqlite(&self) -> String {
        match self {
            Self::SmallInt | Self::Int | Self::BigInt | Self::Bool => "INTEGER".into(),
            Self::Duration => "BIGINT".into(),
            Self::Real | Self::Double => "REAL".into(),
            Self::String(length) => varchar(*length),
            Self::Bytes => "BLOB".into(),
            // Text with one canonical spelling per value, so that =, IN, UNIQUE
            // and GROUP BY are plain comparisons of text.
            Self::Text
            | Self::Decimal { .. }
            | Self::Timestamp
            | Self::TimestampTz
            | Self::Date
            | Self::Time
            | Self::Uuid
            | Self::Json
            | Self::Enum(_)
            | Self::Array(_) => "TEXT".into(),
        }
    }
}

fn varchar(length: Option<u32>) -> String {
    format!("VARCHAR({})", length.unwrap_or(255))
}
