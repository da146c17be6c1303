//! Column types in a program's own words (`db_type`), as PostgreSQL reads them.
//!
//! Such a type is text that goes into CREATE TABLE as it is. Queries need two
//! things of it: whether it is only another spelling of the type that the
//! column's values have anyway, and what a text is cast to where the server
//! cannot infer it.

use crate::SqlType;

/// Words that end the type and begin what else a column definition may say.
const CLAUSES: &[&str] = &[
    "COLLATE",
    "CONSTRAINT",
    "NOT",
    "NULL",
    "DEFAULT",
    "GENERATED",
    "UNIQUE",
    "PRIMARY",
    "CHECK",
    "REFERENCES",
    "STORAGE",
    "COMPRESSION",
];

/// Whether a parameter that is declared as `ty` is also right for a column that
/// was declared as `db_type`: the same operators, the same index, no cast that
/// loses anything.
pub(super) fn same_type(db_type: &str, ty: &SqlType) -> bool {
    let name = bare(db_type);
    let (item, dimensions) = without_brackets(&name);
    let (ty, depth) = without_arrays(ty);
    (dimensions > 0) == (depth > 0) && same_item(&item.to_ascii_uppercase(), ty)
}

fn same_item(name: &str, ty: &SqlType) -> bool {
    match name {
        "SMALLINT" | "INT2" | "SMALLSERIAL" | "SERIAL2" | "INTEGER" | "INT" | "INT4" | "SERIAL"
        | "SERIAL4" => ty.is_integer(),
        "BIGINT" | "INT8" | "BIGSERIAL" | "SERIAL8" => ty.is_integer() || *ty == SqlType::Duration,
        "TEXT" | "VARCHAR" | "CHARACTER VARYING" | "CHAR VARYING" => ty.is_text(),
        "DOUBLE PRECISION" | "FLOAT8" => *ty == SqlType::Double,
        "NUMERIC" | "DECIMAL" | "DEC" => ty.is_decimal(),
        "BOOLEAN" | "BOOL" => *ty == SqlType::Bool,
        "DATE" => *ty == SqlType::Date,
        "TIME" | "TIME WITHOUT TIME ZONE" => *ty == SqlType::Time,
        "TIMESTAMP" | "TIMESTAMP WITHOUT TIME ZONE" => *ty == SqlType::Timestamp,
        "TIMESTAMPTZ" | "TIMESTAMP WITH TIME ZONE" => *ty == SqlType::TimestampTz,
        "UUID" => *ty == SqlType::Uuid,
        "BYTEA" => *ty == SqlType::Bytes,
        "JSONB" => *ty == SqlType::Json,
        _ => false,
    }
}

/// What a text is cast to so that it can be assigned to a column of this type.
///
/// Without lengths, because a cast cuts off what an assignment refuses; and so
/// without the types whose length is one when none is given.
pub(super) fn cast_target(db_type: &str) -> String {
    let name = bare(db_type);
    let (item, dimensions) = without_brackets(&name);
    let target = match item.to_ascii_uppercase().as_str() {
        "SMALLSERIAL" | "SERIAL2" => "SMALLINT",
        "SERIAL" | "SERIAL4" => "INTEGER",
        "BIGSERIAL" | "SERIAL8" => "BIGINT",
        "CHAR" | "CHARACTER" | "NCHAR" | "NATIONAL CHAR" | "NATIONAL CHARACTER" => "BPCHAR",
        "BIT" => "VARBIT",
        _ => item,
    };
    // PostgreSQL knows one array type, whatever the number of dimensions.
    format!("{target}{}", if dimensions > 0 { "[]" } else { "" })
}

/// The type of time that a declared type is.
pub(in crate::dialect) fn time_type(db_type: &str) -> Option<SqlType> {
    let times = [
        SqlType::Timestamp,
        SqlType::TimestampTz,
        SqlType::Date,
        SqlType::Time,
    ];
    times.into_iter().find(|ty| same_type(db_type, ty))
}

/// The type's name: without arguments, and without what follows the type.
fn bare(db_type: &str) -> String {
    let mut words: Vec<String> = Vec::new();
    for word in without_arguments(db_type).split_whitespace() {
        let ends = CLAUSES.iter().any(|c| word.eq_ignore_ascii_case(c));
        if ends && !words.is_empty() {
            break;
        }
        words.push(word.to_owned());
    }
    words.join(" ").replace(" [", "[")
}

/// Text outside of parentheses; a quoted name stays as it is.
fn without_arguments(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let (mut depth, mut quoted) = (0_usize, false);
    for c in text.chars() {
        match c {
            '"' => quoted = !quoted,
            '(' if !quoted => depth += 1,
            ')' if !quoted => {
                depth = depth.saturating_sub(1);
                continue;
            }
            _ => {}
        }
        if depth == 0 {
            out.push(c);
        }
    }
    out
}

/// The element type's name and how many pairs of brackets follow it.
fn without_brackets(name: &str) -> (&str, usize) {
    if let Some(item) = strip_suffix_ignoring_case(name, " ARRAY") {
        return (item, 1);
    }
    let (mut item, mut dimensions) = (name, 0);
    while let Some((rest, size)) = item
        .strip_suffix(']')
        .and_then(|inside| inside.rsplit_once('['))
        && size.chars().all(|c| c.is_ascii_digit())
    {
        (item, dimensions) = (rest.trim_end(), dimensions + 1);
    }
    (item, dimensions)
}

fn strip_suffix_ignoring_case<'t>(text: &'t str, suffix: &str) -> Option<&'t str> {
    let at = text.len().checked_sub(suffix.len())?;
    let (head, tail) = text.split_at_checked(at)?;
    tail.eq_ignore_ascii_case(suffix).then_some(head)
}

fn without_arrays(ty: &SqlType) -> (&SqlType, usize) {
    let (mut item, mut depth) = (ty, 0);
    while let SqlType::Array(inner) = item {
        (item, depth) = (inner, depth + 1);
    }
    (item, depth)
}

#[cfg(test)]
mod tests {
    use super::{cast_target, same_type};
    use crate::SqlType;

    #[test]
    fn casts_never_cut_off() {
        for (db_type, target) in [
            ("inet", "inet"),
            ("SERIAL", "INTEGER"),
            ("bigserial", "BIGINT"),
            ("VARCHAR(3)", "VARCHAR"),
            ("char(3)", "BPCHAR"),
            ("CHAR", "BPCHAR"),
            ("bit(8)", "VARBIT"),
            ("vector(3)", "vector"),
            ("timestamp(3) with time zone", "timestamp with time zone"),
            ("numeric(10, 2)", "numeric"),
            ("integer[3][3]", "integer[]"),
            ("char(2) []", "BPCHAR[]"),
            ("cidr ARRAY", "cidr[]"),
            ("\"odd (name)\"", "\"odd (name)\""),
            ("audit.state", "audit.state"),
            ("BIGINT GENERATED BY DEFAULT AS IDENTITY", "BIGINT"),
            ("text COLLATE \"C\"", "text"),
            ("money not null check (money > 0)", "money"),
        ] {
            assert_eq!(cast_target(db_type), target, "{db_type}");
        }
    }

    #[test]
    fn other_spellings_of_a_columns_own_type() {
        let array = |ty| SqlType::Array(Box::new(ty));
        for (db_type, ty) in [
            ("SERIAL", SqlType::BigInt),
            ("varchar(20)", SqlType::Text),
            ("character varying(20)", SqlType::String(Some(20))),
            ("timestamp(3) with time zone", SqlType::TimestampTz),
            ("int[]", array(SqlType::BigInt)),
        ] {
            assert!(same_type(db_type, &ty), "{db_type}");
        }
        for (db_type, ty) in [
            ("inet", SqlType::Text),
            ("citext", SqlType::Text),
            ("char(3)", SqlType::Text),
            // As a double, 0.1 is not equal to a real 0.1.
            ("real", SqlType::Double),
            ("interval", SqlType::Duration),
            ("timestamptz", SqlType::Timestamp),
            ("json", SqlType::Json),
            ("text", array(SqlType::Text)),
            ("text[]", SqlType::Text),
        ] {
            assert!(!same_type(db_type, &ty), "{db_type}");
        }
    }
}
