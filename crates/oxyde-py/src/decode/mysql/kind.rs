//! The column types of the protocol by number, and what their values are made of.

use oxyde_exec::query::Column;

/// A result says what this session's character set is; only bytes keep theirs.
const BYTES: u16 = 63;

/// Flags of a column.
pub mod flag {
    pub const UNSIGNED: u16 = 1 << 5;
    pub const SET: u16 = 1 << 11;
    pub const ENUM: u16 = 1 << 8;
}

macro_rules! types {
    ($($name:literal $constant:ident $number:literal;)*) => {
        $(pub const $constant: u8 = $number;)*

        fn plain_name(kind: u8) -> Option<&'static str> {
            match kind {
                $($number => Some($name),)*
                _ => None,
            }
        }
    };
}

types! {
    "DECIMAL" OLD_DECIMAL 0;
    "TINYINT" TINY 1;
    "SMALLINT" SHORT 2;
    "INT" LONG 3;
    "FLOAT" FLOAT 4;
    "DOUBLE" DOUBLE 5;
    "NULL" NULL 6;
    "TIMESTAMP" TIMESTAMP 7;
    "BIGINT" LONGLONG 8;
    "MEDIUMINT" INT24 9;
    "DATE" DATE 10;
    "TIME" TIME 11;
    "DATETIME" DATETIME 12;
    "YEAR" YEAR 13;
    "VARCHAR" VARCHAR 15;
    "BIT" BIT 16;
    "VECTOR" VECTOR 242;
    "JSON" JSON 245;
    "DECIMAL" DECIMAL 246;
    "ENUM" ENUM 247;
    "SET" SET 248;
    "TINYTEXT" TINY_BLOB 249;
    "MEDIUMTEXT" MEDIUM_BLOB 250;
    "LONGTEXT" LONG_BLOB 251;
    "TEXT" BLOB 252;
    "VARCHAR" VAR_STRING 253;
    "CHAR" STRING 254;
    "GEOMETRY" GEOMETRY 255;
}

/// What the values of a column are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Integers; the width is that of the binary form.
    Tiny,
    Short,
    Long,
    LongLong,
    Single,
    Double,
    /// Digits as text, also in binary rows.
    Decimal,
    Date,
    /// DATETIME and TIMESTAMP, which is in UTC as the session is.
    Stamp,
    Time,
    /// Big-endian bytes, also in text rows.
    Bit,
    /// Also ENUM and what MariaDB has of UUIDs and addresses.
    Text,
    /// Members joined by commas.
    Set,
    Json,
    Blob,
    /// Bytes that mean something else.
    Opaque,
    /// A column of nothing but NULL.
    Null,
}

impl Form {
    pub fn of(column: &Column) -> Self {
        let text = if column.charset == BYTES {
            Self::Blob
        } else {
            Self::Text
        };
        match kind(column) {
            TINY => Self::Tiny,
            SHORT | YEAR => Self::Short,
            LONG | INT24 => Self::Long,
            LONGLONG => Self::LongLong,
            FLOAT => Self::Single,
            DOUBLE => Self::Double,
            OLD_DECIMAL | DECIMAL => Self::Decimal,
            DATE => Self::Date,
            DATETIME | TIMESTAMP => Self::Stamp,
            TIME => Self::Time,
            BIT => Self::Bit,
            JSON => Self::Json,
            NULL => Self::Null,
            SET => Self::Set,
            ENUM => Self::Text,
            STRING | VAR_STRING if column.flags & flag::SET != 0 => Self::Set,
            STRING | VAR_STRING if column.flags & flag::ENUM != 0 => Self::Text,
            VARCHAR | VAR_STRING | STRING | TINY_BLOB | MEDIUM_BLOB | LONG_BLOB | BLOB => text,
            GEOMETRY | VECTOR => Self::Opaque,
            _ => Self::Opaque,
        }
    }

    /// How many bytes a value has in a binary row.
    pub fn width(self) -> Width {
        match self {
            Self::Tiny => Width::Fixed(1),
            Self::Short => Width::Fixed(2),
            Self::Long | Self::Single => Width::Fixed(4),
            Self::LongLong | Self::Double => Width::Fixed(8),
            Self::Null => Width::Fixed(0),
            Self::Date | Self::Stamp | Self::Time => Width::Counted,
            Self::Decimal
            | Self::Bit
            | Self::Text
            | Self::Set
            | Self::Json
            | Self::Blob
            | Self::Opaque => Width::Told,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    Fixed(u8),
    /// One byte says it.
    Counted,
    /// A length-encoded integer says it.
    Told,
}

fn kind(column: &Column) -> u8 {
    u8::try_from(column.type_oid).unwrap_or(u8::MAX)
}

pub fn is_unsigned(column: &Column) -> bool {
    column.flags & flag::UNSIGNED != 0
}

/// What the column's type is called.
pub fn name(column: &Column) -> String {
    let kind = kind(column);
    let bytes = column.charset == BYTES;
    let name = match kind {
        STRING | VAR_STRING if column.flags & flag::SET != 0 => "SET",
        STRING | VAR_STRING if column.flags & flag::ENUM != 0 => "ENUM",
        STRING if bytes => "BINARY",
        VARCHAR | VAR_STRING if bytes => "VARBINARY",
        TINY_BLOB | MEDIUM_BLOB | LONG_BLOB | BLOB if bytes => "BLOB",
        _ => match plain_name(kind) {
            Some(name) => name,
            None => return format!("type {kind}"),
        },
    };
    let integer = matches!(
        Form::of(column),
        Form::Tiny | Form::Short | Form::Long | Form::LongLong
    );
    if integer && kind != YEAR && is_unsigned(column) {
        return format!("{name} UNSIGNED");
    }
    name.to_owned()
}
