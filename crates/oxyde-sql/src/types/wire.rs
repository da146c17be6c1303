//! The rows of the type table that speak of servers: catalogue names and wire codes.

use super::SqlType;
use crate::Dialect;

impl SqlType {
    /// The name under which the server's catalogue reports a column of this type:
    /// `pg_type.typname`, `information_schema.columns.data_type` or the declared
    /// type without its arguments.
    #[must_use]
    pub fn introspected(&self, dialect: Dialect) -> String {
        match dialect {
            Dialect::Postgres => match self {
                Self::SmallInt => "int2".into(),
                Self::Int => "int4".into(),
                Self::BigInt | Self::Duration => "int8".into(),
                Self::Real => "float4".into(),
                Self::Double => "float8".into(),
                Self::Bool => "bool".into(),
                Self::Text => "text".into(),
                Self::String(_) => "varchar".into(),
                Self::Decimal { .. } => "numeric".into(),
                Self::Timestamp => "timestamp".into(),
                Self::TimestampTz => "timestamptz".into(),
                Self::Date => "date".into(),
                Self::Time => "time".into(),
                Self::Uuid => "uuid".into(),
                Self::Bytes => "bytea".into(),
                Self::Json => "jsonb".into(),
                Self::Enum(e) => e.name.clone(),
                Self::Array(item) => format!("_{}", item.introspected(dialect)),
            },
            // MariaDB has no JSON type of its own: its JSON is LONGTEXT with a check.
            Dialect::MariaDb if matches!(self, Self::Json | Self::Array(_)) => "longtext".into(),
            Dialect::Mysql | Dialect::MariaDb | Dialect::Sqlite => {
                let ddl = self.ddl(dialect);
                let name = ddl.split('(').next().unwrap_or_default();
                name.to_ascii_lowercase()
            }
        }
    }

    /// The OID of PostgreSQL's base type, or `None` for types that only the
    /// server knows by number (enums and arrays of them): those are sent as
    /// text with OID 0 and read by the OID that the server reports.
    #[must_use]
    pub fn pg_oid(&self) -> Option<u32> {
        Some(match self {
            Self::SmallInt => 21,
            Self::Int => 23,
            Self::BigInt | Self::Duration => 20,
            Self::Real => 700,
            Self::Double => 701,
            Self::Bool => 16,
            // Parameters of VARCHAR columns are sent as text: same operators, same index.
            Self::Text | Self::String(_) => 25,
            Self::Decimal { .. } => 1700,
            Self::Timestamp => 1114,
            Self::TimestampTz => 1184,
            Self::Date => 1082,
            Self::Time => 1083,
            Self::Uuid => 2950,
            Self::Bytes => 17,
            Self::Json => 3802,
            Self::Enum(_) => return None,
            Self::Array(item) => return item.pg_array_oid(),
        })
    }

    /// The OID of PostgreSQL's array of this type; arrays of arrays are the same type.
    #[must_use]
    pub fn pg_array_oid(&self) -> Option<u32> {
        Some(match self {
            Self::SmallInt => 1005,
            Self::Int => 1007,
            Self::BigInt | Self::Duration => 1016,
            Self::Real => 1021,
            Self::Double => 1022,
            Self::Bool => 1000,
            Self::Text | Self::String(_) => 1009,
            Self::Decimal { .. } => 1231,
            Self::Timestamp => 1115,
            Self::TimestampTz => 1185,
            Self::Date => 1182,
            Self::Time => 1183,
            Self::Uuid => 2951,
            Self::Bytes => 1001,
            Self::Json => 3807,
            Self::Enum(_) => return None,
            Self::Array(item) => return item.pg_array_oid(),
        })
    }

    /// The column type byte of MySQL's protocol for a result of this type.
    #[must_use]
    pub fn mysql_code(&self) -> u8 {
        match self {
            Self::Bool => 1,
            Self::SmallInt => 2,
            Self::Int => 3,
            Self::Real => 4,
            Self::Double => 5,
            Self::BigInt | Self::Duration => 8,
            Self::Date => 10,
            Self::Time => 11,
            Self::Timestamp | Self::TimestampTz => 12,
            Self::Json | Self::Array(_) => 245,
            Self::Decimal { .. } => 246,
            // LONGTEXT and LONGBLOB both arrive as BLOB, told apart by charset.
            Self::Text | Self::Bytes => 252,
            Self::String(_) => 253,
            // ENUM values are sent as strings, CHAR as itself.
            Self::Uuid | Self::Enum(_) => 254,
        }
    }
}
