//! Which SQL texts may change the state of their session.
//!
//! Written to err on the safe side: what is not known to leave nothing behind costs the next borrower one reset.

const HARMLESS: [&str; 20] = [
    "SELECT", "INSERT", "UPDATE", "DELETE", "MERGE", "WITH", "VALUES", "TABLE", "EXPLAIN", "SHOW",
    "ALTER", "DROP", "COMMENT", "GRANT", "REVOKE", "TRUNCATE", "ANALYZE", "VACUUM", "REINDEX",
    "REFRESH",
];

/// Words anywhere in a text that make it suspicious: functions with a session's state, temporary objects.
const SUSPICIOUS: [&str; 13] = [
    "set_config",
    "pg_advisory",
    "pg_try_advisory",
    "nextval",
    "setval",
    "currval",
    "lastval",
    "temp",
    "pg_temp",
    "dblink",
    "setseed",
    "lo_",
    "discard",
];

/// Whether a session may be another one after `sql`.
pub fn taints(sql: &str) -> bool {
    let word = first_word(sql);
    let harmless = HARMLESS
        .iter()
        .any(|known| known.eq_ignore_ascii_case(word))
        || (word.eq_ignore_ascii_case("CREATE") && creates_for_good(sql));
    !harmless || calls_suspicious(sql)
}

/// Whether there is anything but blanks, comments and semicolons.
pub fn is_empty(sql: &str) -> bool {
    let mut rest = sql;
    loop {
        rest = rest.trim_start_matches(|c: char| c.is_whitespace() || c == ';');
        if let Some(comment) = rest.strip_prefix("--") {
            rest = comment.split_once('\n').map_or("", |(_, rest)| rest);
        } else if let Some(comment) = rest.strip_prefix("/*") {
            rest = comment.split_once("*/").map_or("", |(_, rest)| rest);
        } else {
            return rest.is_empty();
        }
    }
}

fn creates_for_good(sql: &str) -> bool {
    let second = sql
        .split_whitespace()
        .skip_while(|word| !word.eq_ignore_ascii_case("CREATE"))
        .nth(1)
        .unwrap_or_default();
    [
        "TABLE",
        "INDEX",
        "UNIQUE",
        "TYPE",
        "DOMAIN",
        "EXTENSION",
        "SCHEMA",
        "COLLATION",
        "SEQUENCE",
        "UNLOGGED",
    ]
    .iter()
    .any(|known| known.eq_ignore_ascii_case(second))
}

/// The first word behind blanks, comments and parentheses.
fn first_word(sql: &str) -> &str {
    let mut rest = sql;
    loop {
        rest = rest.trim_start_matches(|c: char| c.is_whitespace() || c == '(');
        if let Some(comment) = rest.strip_prefix("--") {
            rest = comment.split_once('\n').map_or("", |(_, rest)| rest);
        } else if let Some(comment) = rest.strip_prefix("/*") {
            // A nested comment ends too early here, and what follows is then no known word.
            rest = comment.split_once("*/").map_or("", |(_, rest)| rest);
        } else {
            break;
        }
    }
    let end = rest
        .find(|c: char| !c.is_ascii_alphabetic())
        .unwrap_or(rest.len());
    rest.get(..end).unwrap_or_default()
}

fn calls_suspicious(sql: &str) -> bool {
    let lower = sql.to_ascii_lowercase();
    SUSPICIOUS.iter().any(|word| {
        lower.match_indices(word).any(|(at, _)| {
            // The beginning of a word, not the middle of a column's name.
            let before = lower.get(..at).and_then(|text| text.chars().next_back());
            !before.is_some_and(|c| c.is_ascii_alphanumeric() || c == '_')
        })
    })
}

#[cfg(test)]
mod tests {
    use super::taints;

    #[test]
    fn what_leaves_nothing_behind() {
        for sql in [
            "SELECT 1",
            " (select 1) union (select 2)",
            "-- a note\nUPDATE t SET a = 1",
            "/* a note */ delete from t",
            "CREATE TABLE t (a int)",
            "create unique index i on t (a)",
            "select attempt from t",
        ] {
            assert!(!taints(sql), "{sql}");
        }
    }

    #[test]
    fn texts_without_a_statement() {
        for sql in ["", " ; ", "-- only this", "/* and */ ; -- that\n"] {
            assert!(super::is_empty(sql), "{sql}");
        }
        assert!(!super::is_empty("/* a */ SELECT 1"));
    }

    #[test]
    fn what_may_leave_something_behind() {
        for sql in [
            "SET search_path TO x",
            "select set_config('a.b', 'c', false)",
            "SELECT pg_advisory_lock(1)",
            "create temp table t (a int)",
            "CREATE TABLE pg_temp.t (a int)",
            "SELECT * INTO TEMP t FROM u",
            "LISTEN x",
            "PREPARE p AS SELECT 1",
            "select nextval('s')",
            "DO $$ BEGIN PERFORM 1; END $$",
            "CALL p()",
            "",
            "/* /* */ */ SET a TO b",
        ] {
            assert!(taints(sql), "{sql}");
        }
    }
}
