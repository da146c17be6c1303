//! Which SQL texts may change the state of their session.
//!
//! Written to err on the safe side: what is not known to leave nothing behind costs the next borrower a reset, and
//! the connection its prepared statements. Transactions are none of this: the server tells of them.

use crate::mysql::words::first_word;

const HARMLESS: [&str; 27] = [
    "SELECT",
    "INSERT",
    "UPDATE",
    "DELETE",
    "REPLACE",
    "WITH",
    "VALUES",
    "TABLE",
    "SHOW",
    "EXPLAIN",
    "DESCRIBE",
    "DESC",
    "CREATE",
    "ALTER",
    "DROP",
    "RENAME",
    "TRUNCATE",
    "ANALYZE",
    "OPTIMIZE",
    "CHECK",
    "CHECKSUM",
    "REPAIR",
    "GRANT",
    "REVOKE",
    "SAVEPOINT",
    "COMMIT",
    "ROLLBACK",
];

/// Anywhere in a text: locks that outlive a transaction, tables and variables of a session.
const SUSPICIOUS: [&str; 3] = ["get_lock", "temporary", ":="];

/// Whether a session may be another one after `sql`.
pub fn taints(sql: &str) -> bool {
    let word = first_word(sql);
    let harmless = HARMLESS
        .iter()
        .any(|known| known.eq_ignore_ascii_case(word));
    if !harmless {
        return true;
    }
    let lower = sql.to_ascii_lowercase();
    SUSPICIOUS.iter().any(|word| lower.contains(word)) || into_variable(&lower)
}

/// SELECT … INTO @variable
fn into_variable(lower: &str) -> bool {
    let mut parts = lower.split("into");
    parts.next();
    parts.any(|rest| rest.trim_start().starts_with('@'))
}

/// Whether there is anything but blanks, comments and semicolons.
pub fn is_empty(sql: &str) -> bool {
    let mut rest = sql;
    loop {
        rest = rest.trim_start_matches(|c: char| c.is_whitespace() || c == ';');
        let line = rest.strip_prefix('#').or_else(|| rest.strip_prefix("--"));
        if let Some(line) = line {
            rest = line.split_once('\n').map_or("", |(_, rest)| rest);
        } else if let Some(comment) = rest.strip_prefix("/*") {
            // The server runs what is in such a comment.
            if comment.starts_with('!') || comment.starts_with("M!") {
                return false;
            }
            rest = comment.split_once("*/").map_or("", |(_, rest)| rest);
        } else {
            return rest.is_empty();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{is_empty, taints};

    #[test]
    fn what_leaves_nothing_behind() {
        for sql in [
            "SELECT 1",
            " (select 1) union (select 2)",
            "-- a note\nUPDATE t SET a = 'x@y.z'",
            "# a note\ndelete from t",
            "CREATE TABLE t (a int)",
            "INSERT INTO t SELECT 1",
            "select LAST_INSERT_ID()",
            "ROLLBACK TO SAVEPOINT a",
        ] {
            assert!(!taints(sql), "{sql}");
        }
    }

    #[test]
    fn what_may_leave_something_behind() {
        for sql in [
            "SET @a = 1",
            "USE other",
            "SELECT GET_LOCK('a', 1)",
            "create temporary table t (a int)",
            "CREATE OR REPLACE TEMPORARY TABLE t (a int)",
            "SELECT @a := 1",
            "SELECT a INTO  @a FROM t",
            "LOCK TABLES t WRITE",
            "PREPARE p FROM 'SELECT 1'",
            "CALL p()",
            "FLUSH TABLES WITH READ LOCK",
            "HANDLER t OPEN",
            "/*!50100 SET @a = 1 */",
            "",
        ] {
            assert!(taints(sql), "{sql}");
        }
    }

    #[test]
    fn texts_without_a_statement() {
        for sql in ["", " ; ", "-- only this", "# this\n/* and */ ; -- that\n"] {
            assert!(is_empty(sql), "{sql}");
        }
        for sql in ["/* a */ SELECT 1", "/*! SELECT 1 */", "# a\nSELECT 1"] {
            assert!(!is_empty(sql), "{sql}");
        }
    }
}
