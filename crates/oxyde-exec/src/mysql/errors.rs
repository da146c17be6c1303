//! What a server says against a request, and what of its words can be kept.
//!
//! MySQL names tables, columns and constraints only within its messages, and quotes values beside them. The names are
//! taken from where the message has them, in whatever language it is written; the values are taken out, because an
//! exception's text ends up in logs.

use crate::error::{ErrorKind, ExecError};
use crate::mysql::backend::Reader;
use crate::query::Malformed;

/// The statement cannot be prepared, only be sent as a text.
pub(super) const UNPREPARABLE: u16 = 1295;
/// The server does not know the number of a prepared statement.
pub(super) const UNKNOWN_STATEMENT: u16 = 1243;
/// The server has not read a command to its end, because that is longer than max_allowed_packet.
pub(super) const TOO_LONG: u16 = 1153;
/// Two texts whose collations have nothing in common.
const ILLEGAL_MIX: u16 = 1267;
/// A value cannot be written in the character set of what it is compared with.
const INCONVERTIBLE: u16 = 3988;
/// KILL QUERY.
pub(super) const INTERRUPTED: u16 = 1317;

/// An ERR packet.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) number: u16,
    sqlstate: Option<String>,
    message: String,
}

impl Report {
    pub(super) fn read(payload: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(payload);
        if reader.u8()? != 0xff {
            return Err(Malformed("something else than an error"));
        }
        let number = reader.u16()?;
        // Before the login there is no state.
        let words = reader.rest();
        let (sqlstate, words) = match words.split_first_chunk::<6>() {
            Some(([b'#', state @ ..], words)) => {
                (Some(String::from_utf8_lossy(state).into_owned()), words)
            }
            _ => (None, words),
        };
        Ok(Self {
            number,
            sqlstate,
            message: String::from_utf8_lossy(words).into_owned(),
        })
    }

    pub(super) fn error(self) -> ExecError {
        let said = Said::of(self.number, &self.message);
        let mut error = ExecError::from_mysql(self.number, self.sqlstate.as_deref(), "");
        error.message = said.message.unwrap_or(self.message);
        error.table = said.table;
        error.column = said.column;
        error.constraint = said.constraint;
        if error.kind == ErrorKind::Data && error.message.contains(": '") {
            error.message = without_value(&error.message);
        }
        if error.message.is_empty() {
            error.message = format!("the server reported error {}", self.number);
        }
        if self.number == ILLEGAL_MIX && lacks_letters(&error.message) {
            error.kind = ErrorKind::Data;
            error.hint = hint(INCONVERTIBLE).map(str::to_owned);
            return error;
        }
        error.hint = hint(self.number).map(str::to_owned);
        error
    }
}

fn hint(number: u16) -> Option<&'static str> {
    match number {
        TOO_LONG => Some("raise max_allowed_packet on the server, or send less at once"),
        1461 => Some(
            "raise max_prepared_stmt_count on the server, or keep fewer statements prepared per connection",
        ),
        3854 | INCONVERTIBLE => Some(
            "the character set of the column has not got every letter of the value: convert it to utf8mb4",
        ),
        _ => None,
    }
}

/// MariaDB says of a value that it is of no collation that goes with the column's; to its own kind it would give way.
fn lacks_letters(message: &str) -> bool {
    message.contains(",IMPLICIT)") && message.contains(",COERCIBLE)")
}

/// What a message names.
#[derive(Debug, Default, PartialEq, Eq)]
struct Said {
    /// In place of the server's, which shows values.
    message: Option<String>,
    table: Option<String>,
    column: Option<String>,
    constraint: Option<String>,
}

impl Said {
    fn of(number: u16, message: &str) -> Self {
        match number {
            // Duplicate entry 'x' for key 'table.key'; MariaDB: for key 'key'
            1062 | 1586 | 1859 => Self::duplicate(message),
            // …, entry 'x', …
            1557 | 1761 | 1762 => Self {
                table: quoted(message, 0).map(last_name),
                message: quoted(message, 0).map(|table| {
                    format!("a foreign key of table '{table}' would lead to a duplicate entry")
                }),
                ..Self::default()
            },
            // … (`db`.`table`, CONSTRAINT `name` FOREIGN KEY (`column`) REFERENCES …
            1216 | 1217 | 1451 | 1452 => Self::foreign_key(message),
            // Column 'name' cannot be null
            1048 | 1263 | 1364 | 1566 | 1054 => Self {
                column: quoted(message, 0).map(last_name),
                ..Self::default()
            },
            // Check constraint 'name' is violated.
            3819 => Self {
                constraint: quoted(message, 0).map(str::to_owned),
                ..Self::default()
            },
            // CONSTRAINT `name` failed for `db`.`table`
            4025 => Self {
                constraint: ticked(message, 0).map(str::to_owned),
                table: ticked(message, 2).map(str::to_owned),
                ..Self::default()
            },
            // Table 'db.table' doesn't exist
            1146 => Self {
                table: quoted(message, 0).map(last_name),
                ..Self::default()
            },
            // Data too long for column 'name' at row 1
            1264 | 1265 | 1406 => Self {
                column: quoted(message, 0).map(last_name),
                ..Self::default()
            },
            // Incorrect integer value: 'x' for column 'name' at row 1; MariaDB: `db`.`table`.`name`
            1292 | 1366 => Self {
                column: ticked(message, 2)
                    .or_else(|| behind_value(message).and_then(|rest| quoted(rest, 0)))
                    .map(str::to_owned),
                table: ticked(message, 1).map(str::to_owned),
                ..Self::default()
            },
            // Table has no partition for value x
            1526 => Self {
                message: Some("no partition of the table takes the value".to_owned()),
                ..Self::default()
            },
            _ => Self::default(),
        }
    }

    fn duplicate(message: &str) -> Self {
        let Some((front, key)) = last_quoted(message) else {
            return Self::default();
        };
        let (table, constraint) = match key.split_once('.') {
            Some((table, key)) => (Some(table.to_owned()), key),
            None => (None, key),
        };
        let shown = match (front.find('\''), front.rfind('\'')) {
            (Some(from), Some(to)) if from < to => {
                let before = front.get(..from).unwrap_or_default().trim_end();
                let after = message.get(to.saturating_add(1)..).unwrap_or_default();
                Some(format!("{before}{after}"))
            }
            _ => None,
        };
        Self {
            message: shown,
            table,
            constraint: Some(constraint.to_owned()),
            column: None,
        }
    }

    fn foreign_key(message: &str) -> Self {
        let behind = |word: &str| message.split_once(word).map(|(_, rest)| rest);
        let keys = behind("FOREIGN KEY (").and_then(|rest| rest.split_once(')'));
        Self {
            message: None,
            table: ticked(message, 1).map(str::to_owned),
            constraint: behind("CONSTRAINT ")
                .and_then(|rest| ticked(rest, 0))
                .map(str::to_owned),
            column: keys.map(|(keys, _)| keys.replace('`', "")),
        }
    }
}

/// The text between the quotes of the n-th pair.
fn quoted(message: &str, n: usize) -> Option<&str> {
    message
        .split('\'')
        .nth(n.saturating_mul(2).saturating_add(1))
}

fn ticked(message: &str, n: usize) -> Option<&str> {
    message
        .split('`')
        .nth(n.saturating_mul(2).saturating_add(1))
}

/// The text between the last pair of quotes and what is in front of it.
fn last_quoted(message: &str) -> Option<(&str, &str)> {
    let (front, _) = message.rsplit_once('\'')?;
    front.rsplit_once('\'')
}

/// `db.table.column` → `column`.
fn last_name(name: &str) -> String {
    name.rsplit_once('.')
        .map_or(name, |(_, last)| last)
        .to_owned()
}

/// What comes behind the value in "…: 'value' …": no name has a quote in it.
fn behind_value(message: &str) -> Option<&str> {
    let (_, rest) = message.split_once(": '")?;
    match rest.split_once("' for ") {
        Some(_) => rest.rsplit_once("' for ").map(|(_, rest)| rest),
        None => rest.rsplit_once('\'').map(|(_, rest)| rest),
    }
}

/// "Incorrect integer value: 'x' for column 'a' at row 1" → "Incorrect integer value for column 'a' at row 1".
fn without_value(message: &str) -> String {
    let said = message.split_once(": '").map_or(message, |(said, _)| said);
    match (behind_value(message), message.contains("' for ")) {
        (Some(rest), true) => format!("{said} for {rest}"),
        _ => said.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    fn error(number: u16, message: &str) -> ExecError {
        let [low, high] = number.to_le_bytes();
        let packet = [&[0xff, low, high], &b"#HY000"[..], message.as_bytes()].concat();
        Report::read(&packet).unwrap().error()
    }

    #[test]
    fn names_are_kept_and_values_are_not() {
        type Names = [Option<&'static str>; 3];
        let cases: &[(u16, &str, &str, Names)] = &[
            (
                1062,
                "Duplicate entry 'secret' for key 'users.email'",
                "Duplicate entry for key 'users.email'",
                [Some("users"), None, Some("email")],
            ),
            (
                1062,
                "Duplicate entry 'it's a 'secret'' for key 'PRIMARY'",
                "Duplicate entry for key 'PRIMARY'",
                [None, None, Some("PRIMARY")],
            ),
            (
                1062,
                "Doppelter Eintrag 'secret' für Schlüssel 'email'",
                "Doppelter Eintrag für Schlüssel 'email'",
                [None, None, Some("email")],
            ),
            (
                1062,
                "Duplicate entry '' for key 'email'",
                "Duplicate entry for key 'email'",
                [None, None, Some("email")],
            ),
            (
                1452,
                "Cannot add or update a child row: a foreign key constraint fails (`shop`.`orders`, CONSTRAINT `orders_user` FOREIGN KEY (`user_id`) REFERENCES `users` (`id`))",
                "Cannot add or update a child row: a foreign key constraint fails (`shop`.`orders`, CONSTRAINT `orders_user` FOREIGN KEY (`user_id`) REFERENCES `users` (`id`))",
                [Some("orders"), Some("user_id"), Some("orders_user")],
            ),
            (
                1451,
                "Cannot delete or update a parent row: a foreign key constraint fails (`shop`.`o`, CONSTRAINT `c` FOREIGN KEY (`a`, `b`) REFERENCES `p` (`a`, `b`) ON DELETE CASCADE)",
                "Cannot delete or update a parent row: a foreign key constraint fails (`shop`.`o`, CONSTRAINT `c` FOREIGN KEY (`a`, `b`) REFERENCES `p` (`a`, `b`) ON DELETE CASCADE)",
                [Some("o"), Some("a, b"), Some("c")],
            ),
            (
                1048,
                "Column 'name' cannot be null",
                "Column 'name' cannot be null",
                [None, Some("name"), None],
            ),
            (
                1364,
                "Field 'name' doesn't have a default value",
                "Field 'name' doesn't have a default value",
                [None, Some("name"), None],
            ),
            (
                3819,
                "Check constraint 'adult' is violated.",
                "Check constraint 'adult' is violated.",
                [None, None, Some("adult")],
            ),
            (
                4025,
                "CONSTRAINT `adult` failed for `shop`.`people`",
                "CONSTRAINT `adult` failed for `shop`.`people`",
                [Some("people"), None, Some("adult")],
            ),
            (
                1406,
                "Data too long for column 'name' at row 1",
                "Data too long for column 'name' at row 1",
                [None, Some("name"), None],
            ),
            (
                1366,
                "Incorrect integer value: 'secret' for column 'age' at row 1",
                "Incorrect integer value for column 'age' at row 1",
                [None, Some("age"), None],
            ),
            (
                1366,
                "Incorrect integer value: 'it's for column 'x'' for column `shop`.`people`.`age` at row 1",
                "Incorrect integer value for column `shop`.`people`.`age` at row 1",
                [Some("people"), Some("age"), None],
            ),
            (
                1292,
                "Truncated incorrect DOUBLE value: 'secret'",
                "Truncated incorrect DOUBLE value",
                [None, None, None],
            ),
            (
                1525,
                "Incorrect DATE value: 'secret'",
                "Incorrect DATE value",
                [None, None, None],
            ),
            (
                1411,
                "Incorrect datetime value: 'secret' for function str_to_date",
                "Incorrect datetime value for function str_to_date",
                [None, None, None],
            ),
            (
                1146,
                "Table 'shop.people' doesn't exist",
                "Table 'shop.people' doesn't exist",
                [Some("people"), None, None],
            ),
            (
                1054,
                "Unknown column 'p.age' in 'field list'",
                "Unknown column 'p.age' in 'field list'",
                [None, Some("age"), None],
            ),
            (
                1526,
                "Table has no partition for value secret",
                "no partition of the table takes the value",
                [None, None, None],
            ),
            (
                1761,
                "Foreign key constraint for table 'a', record 'secret' would lead to a duplicate entry in table 'b', key 'k'",
                "a foreign key of table 'a' would lead to a duplicate entry",
                [Some("a"), None, None],
            ),
        ];
        for (number, message, shown, [table, column, constraint]) in cases {
            let error = error(*number, message);
            assert_eq!(error.message, *shown);
            assert!(!format!("{error:?}").contains("secret"));
            assert_eq!(
                [&error.table, &error.column, &error.constraint].map(Option::as_deref),
                [*table, *column, *constraint],
                "{message}"
            );
        }
    }

    #[test]
    fn a_value_that_a_column_has_no_letters_for_is_wrong_data() {
        let mix = |right: &str| {
            format!(
                "Illegal mix of collations (latin1_swedish_ci,IMPLICIT) and (utf8mb4_bin,{right}) for operation '='"
            )
        };
        let value = error(1267, &mix("COERCIBLE"));
        assert_eq!(value.kind, ErrorKind::Data);
        assert!(value.hint.as_deref().unwrap().contains("utf8mb4"));
        let column = error(1267, &mix("IMPLICIT"));
        assert_eq!(
            (column.kind, column.hint.clone()),
            (ErrorKind::Programming, None)
        );
    }

    #[test]
    fn any_words_are_a_message() {
        for message in [
            "",
            "'",
            "''",
            "'''",
            "`",
            ": '",
            "' for ",
            ": '' for '",
            "ä: 'ö' for ü'",
        ] {
            for number in (1000..2000).chain(3000..4100) {
                assert!(!error(number, message).message.is_empty());
            }
        }
    }

    #[test]
    fn before_the_login_there_is_no_state() {
        let report = Report::read(b"\xff\x10\x04Too many connections").unwrap();
        let error = report.error();
        assert_eq!(error.kind, ErrorKind::Connect);
        assert_eq!(
            (error.sqlstate.as_deref(), error.message.as_str()),
            (None, "Too many connections")
        );
        assert!(Report::read(b"\xff\x10").is_err());
        assert!(Report::read(b"\0\x10\x04").is_err());
    }
}
