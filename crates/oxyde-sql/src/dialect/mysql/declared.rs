//! What is known of a column's values beside their type: how texts are compared,
//! and what a type in a program's own words (`db_type`) comes to.

use super::collation;
use crate::ir::Column;
use crate::{Dialect, SqlType};

/// How the texts of a column are stored, as far as lists and indexes ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stored {
    /// Texts of at most this many characters.
    Text(u32),
    /// Texts of any length.
    LongText,
    /// Bytes of any length.
    LongBytes,
    /// Documents.
    Json,
    /// A float of 32 bits.
    Float,
    /// Anything else, which has a fixed size.
    Other,
}

/// How a column is stored; a type of which nothing is known has a fixed size.
pub(crate) fn stored<'t>(db_type: Option<&str>, ty: impl Into<Option<&'t SqlType>>) -> Stored {
    match db_type {
        Some(text) => of_words(text),
        None => ty.into().map_or(Stored::Other, of_type),
    }
}

fn of_type(ty: &SqlType) -> Stored {
    match ty {
        SqlType::String(length) => Stored::Text(length.unwrap_or(255)),
        SqlType::Uuid => Stored::Text(36),
        // The longest that a member may be.
        SqlType::Enum(_) => Stored::Text(255),
        SqlType::Text => Stored::LongText,
        SqlType::Bytes => Stored::LongBytes,
        SqlType::Json | SqlType::Array(_) => Stored::Json,
        SqlType::Real => Stored::Float,
        SqlType::SmallInt
        | SqlType::Int
        | SqlType::BigInt
        | SqlType::Double
        | SqlType::Bool
        | SqlType::Decimal { .. }
        | SqlType::Timestamp
        | SqlType::TimestampTz
        | SqlType::Date
        | SqlType::Time
        | SqlType::Duration => Stored::Other,
    }
}

fn of_words(db_type: &str) -> Stored {
    let text = db_type.trim().to_ascii_uppercase();
    let name = text
        .split(|c: char| !c.is_ascii_alphanumeric())
        .find(|word| !word.is_empty() && *word != "NATIONAL")
        .unwrap_or_default();
    let length = text
        .split_once('(')
        .and_then(|(_, rest)| rest.split_once(')'))
        .and_then(|(digits, _)| digits.trim().parse().ok());
    match name {
        "CHAR" | "CHARACTER" | "NCHAR" if !text.contains("VARYING") => {
            Stored::Text(length.unwrap_or(1))
        }
        "CHAR" | "CHARACTER" | "VARCHAR" | "NVARCHAR" => {
            length.map_or(Stored::LongText, Stored::Text)
        }
        "ENUM" => Stored::Text(255),
        "TEXT" | "TINYTEXT" | "MEDIUMTEXT" | "LONGTEXT" | "LONG" => Stored::LongText,
        "BLOB" | "TINYBLOB" | "MEDIUMBLOB" | "LONGBLOB" => Stored::LongBytes,
        "JSON" => Stored::Json,
        // Up to 24 bits of precision; above, it is a double.
        "FLOAT" | "FLOAT4" if length.is_none_or(|bits| bits <= 24) => Stored::Float,
        _ => Stored::Other,
    }
}

/// Whether texts of a column may be equal to others than themselves: its
/// collation is not the one of our own tables.
pub(super) fn compares_otherwise(column: &Column, dialect: Dialect) -> bool {
    if !matches!(
        column.ty,
        SqlType::Text | SqlType::String(_) | SqlType::Uuid | SqlType::Enum(_)
    ) {
        return false;
    }
    match declared_collation(column) {
        Some(name) => !name.eq_ignore_ascii_case(collation(dialect)),
        None => column.db_type.as_deref().is_some_and(names_charset),
    }
}

/// The collation's name, if the model says one.
pub(super) fn declared_collation(column: &Column) -> Option<&str> {
    column.collation.as_deref().or_else(|| {
        let db_type = column.db_type.as_deref()?;
        let mut words = db_type.split_whitespace();
        words.find(|word| word.eq_ignore_ascii_case("COLLATE"))?;
        words.next().map(|name| name.trim_matches(['\'', '"', '`']))
    })
}

/// Whether a declared type names a character set, and with it that set's own collation.
fn names_charset(db_type: &str) -> bool {
    let words = db_type.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    words.skip(1).any(|word| {
        [
            "CHARSET",
            "CHARACTER",
            "SET",
            "ASCII",
            "UNICODE",
            "BINARY",
            "BYTE",
        ]
        .iter()
        .any(|known| word.eq_ignore_ascii_case(known))
    }) || ["NCHAR", "NVARCHAR", "NATIONAL"]
        .iter()
        .any(|known| db_type.trim_start().to_ascii_uppercase().starts_with(known))
}

#[cfg(test)]
mod tests {
    use super::{Stored, compares_otherwise, stored};
    use crate::ir::Column;
    use crate::{Dialect, SqlType};

    fn column(db_type: Option<&str>, collation: Option<&str>) -> Column {
        Column {
            field: "f".into(),
            name: "f".into(),
            ty: SqlType::String(None),
            db_type: db_type.map(str::to_owned),
            collation: collation.map(str::to_owned),
            nullable: false,
            primary_key: false,
            auto: false,
            generated: false,
        }
    }

    #[test]
    fn types_in_a_programs_own_words() {
        for (db_type, expected) in [
            ("varchar(40)", Stored::Text(40)),
            ("CHARACTER VARYING(40) NOT NULL", Stored::Text(40)),
            ("char(3)", Stored::Text(3)),
            ("CHAR", Stored::Text(1)),
            ("text", Stored::LongText),
            ("MediumText CHARACTER SET latin1", Stored::LongText),
            ("ENUM('a','b')", Stored::Text(255)),
            ("longblob", Stored::LongBytes),
            ("JSON", Stored::Json),
            ("float", Stored::Float),
            ("FLOAT(53)", Stored::Other),
            ("int(11) unsigned", Stored::Other),
            ("VARBINARY(16)", Stored::Other),
        ] {
            assert_eq!(stored(Some(db_type), &SqlType::Text), expected, "{db_type}");
        }
        assert_eq!(stored(None, &SqlType::String(Some(9))), Stored::Text(9));
        assert_eq!(stored(None, &SqlType::Text), Stored::LongText);
    }

    #[test]
    fn collations_that_are_not_ours() {
        for (db_type, collation, expected) in [
            (None, None, false),
            (Some("varchar(40)"), None, false),
            (Some("character varying(40)"), None, false),
            (None, Some("utf8mb4_0900_bin"), false),
            (None, Some("UTF8MB4_0900_BIN"), false),
            (None, Some("utf8mb4_general_ci"), true),
            (Some("varchar(40) COLLATE utf8mb4_general_ci"), None, true),
            (Some("varchar(40) collate `utf8mb4_0900_bin`"), None, false),
            (Some("varchar(40) CHARACTER SET latin1"), None, true),
            (Some("VARCHAR(40) CHARSET latin1"), None, true),
            (Some("nvarchar(40)"), None, true),
            (Some("text ascii"), None, true),
        ] {
            let column = column(db_type, collation);
            let found = compares_otherwise(&column, Dialect::Mysql);
            assert_eq!(found, expected, "{db_type:?} {collation:?}");
        }
        let ours = column(None, Some("utf8mb4_nopad_bin"));
        assert!(!compares_otherwise(&ours, Dialect::MariaDb));
    }
}
