//! What the first words of a text say about transactions.

/// The first word behind blanks, comments and parentheses; empty if there is none to be seen, as in `/*!50100 … */`,
/// a comment that the server executes.
pub fn first_word(sql: &str) -> &str {
    next_word(sql).map_or("", |(word, _)| word)
}

/// As far as the end of a transaction can be told from a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    Commit,
    Rollback,
    /// Reads and writes rows: opens no transaction, whatever becomes of it.
    Rows,
    Other,
}

const ROWS: [&str; 11] = [
    "SELECT", "INSERT", "UPDATE", "DELETE", "REPLACE", "WITH", "VALUES", "TABLE", "SHOW",
    "EXPLAIN", "DESCRIBE",
];

impl Verb {
    pub(super) fn of(sql: &str) -> Self {
        let Some((word, rest)) = next_word(sql) else {
            return Self::Other;
        };
        if ROWS.iter().any(|rows| rows.eq_ignore_ascii_case(word)) {
            Self::Rows
        } else if word.eq_ignore_ascii_case("COMMIT") {
            Self::Commit
        } else if word.eq_ignore_ascii_case("ROLLBACK") && !to_savepoint(rest) {
            Self::Rollback
        } else {
            Self::Other
        }
    }
}

/// Besides [`ROWS`]: what neither ends nor begins a transaction, or only ends one.
const CALM: [&str; 4] = ["SET", "SAVEPOINT", "RELEASE", "DESC"];

/// Whether a text may end the transaction that it is in and begin another one: all that the server's state of the
/// transaction would not tell.
pub(super) fn may_begin_anew(sql: &str) -> bool {
    let Some((word, rest)) = next_word(sql) else {
        return true;
    };
    if word.eq_ignore_ascii_case("ROLLBACK") {
        // A savepoint set now would be gone with what is rolled back.
        return !to_savepoint(rest);
    }
    if word.eq_ignore_ascii_case("SET") {
        // MariaDB's SET STATEMENT … FOR …
        let next = next_word(rest).map_or("", |(word, _)| word);
        return next.eq_ignore_ascii_case("STATEMENT");
    }
    let mut calm = ROWS.iter().chain(&CALM);
    !calm.any(|known| known.eq_ignore_ascii_case(word))
}

const READS: [&str; 7] = [
    "SELECT", "VALUES", "TABLE", "SHOW", "EXPLAIN", "DESCRIBE", "DO",
];

/// Whether a text only reads.
pub(super) fn only_reads(sql: &str) -> bool {
    let word = first_word(sql);
    if word.eq_ignore_ascii_case("WITH") {
        let lower = sql.to_ascii_lowercase();
        return !["insert", "update", "delete", "replace"]
            .iter()
            .any(|writes| lower.contains(writes));
    }
    READS.iter().any(|known| known.eq_ignore_ascii_case(word))
}

/// ROLLBACK [WORK] TO …
fn to_savepoint(rest: &str) -> bool {
    let to = |word: &str| word.eq_ignore_ascii_case("TO");
    match next_word(rest) {
        Some((word, rest)) if word.eq_ignore_ascii_case("WORK") => {
            next_word(rest).is_some_and(|(word, _)| to(word))
        }
        Some((word, _)) => to(word),
        None => false,
    }
}

fn next_word(sql: &str) -> Option<(&str, &str)> {
    let mut rest = sql;
    loop {
        rest = rest.trim_start_matches(|c: char| c.is_ascii_whitespace() || c == '(');
        let line = rest
            .strip_prefix('#')
            .or_else(|| rest.strip_prefix("--").filter(|rest| starts_comment(rest)));
        if let Some(line) = line {
            rest = line.split_once('\n')?.1;
        } else if let Some(comment) = rest.strip_prefix("/*") {
            if comment.starts_with('!') || comment.starts_with("M!") {
                return None;
            }
            rest = comment.split_once("*/")?.1;
        } else {
            break;
        }
    }
    let end = rest
        .find(|c: char| !c.is_ascii_alphabetic())
        .unwrap_or(rest.len());
    rest.split_at_checked(end)
        .filter(|(word, _)| !word.is_empty())
}

/// Two hyphens start a comment only in front of a blank.
fn starts_comment(rest: &str) -> bool {
    rest.bytes().next().is_none_or(|byte| byte <= b' ')
}

#[cfg(test)]
mod tests {
    use super::{Verb, first_word, may_begin_anew, only_reads};

    #[test]
    fn the_first_word_is_behind_comments_and_parentheses() {
        for (sql, word) in [
            ("SELECT 1", "SELECT"),
            (" \n((select 1) union (select 2))", "select"),
            ("-- a note\nUPDATE t SET a = 1", "UPDATE"),
            ("# a note\n# another\nDELETE FROM t", "DELETE"),
            ("/* a */ /* b */commit", "commit"),
            ("--1", ""),
            ("--", ""),
            ("-- only this", ""),
            ("/* without an end", ""),
            ("/*!50100 COMMIT */", ""),
            ("/*M!100100 COMMIT */", ""),
            ("/**/ /*! COMMIT */", ""),
            ("", ""),
            ("5", ""),
            ("ÄSELECT", ""),
        ] {
            assert_eq!(first_word(sql), word, "{sql}");
        }
    }

    #[test]
    fn what_may_begin_another_transaction() {
        for sql in [
            "CALL p()",
            "COMMIT AND CHAIN",
            "rollback and chain",
            "BEGIN",
            "START TRANSACTION",
            "SET STATEMENT max_statement_time = 1 FOR CALL p()",
            "set /* a */ statement a = 1 for commit",
            "EXECUTE IMMEDIATE 'COMMIT'",
            "/*! COMMIT AND CHAIN */",
            "CREATE TABLE t (a int)",
            "",
        ] {
            assert!(may_begin_anew(sql), "{sql}");
        }
        for sql in [
            "SELECT 1",
            "-- a note\ninsert into t values (1)",
            "WITH a AS (SELECT 1) DELETE FROM t",
            "SET @a = 1",
            "SAVEPOINT a",
            "RELEASE SAVEPOINT a",
            "ROLLBACK TO a",
        ] {
            assert!(!may_begin_anew(sql), "{sql}");
        }
    }

    #[test]
    fn what_only_reads() {
        for sql in [
            "select sleep(1)",
            "(SELECT 1)",
            "with a as (select 1) select * from a",
        ] {
            assert!(only_reads(sql), "{sql}");
        }
        for sql in [
            "with a as (select 1) update t set b = 1",
            "INSERT INTO t SELECT 1",
            "CALL p()",
            "/*! SELECT 1 */",
        ] {
            assert!(!only_reads(sql), "{sql}");
        }
    }

    #[test]
    fn verbs() {
        for (sql, verb) in [
            ("COMMIT", Verb::Commit),
            ("commit work and chain", Verb::Commit),
            ("ROLLBACK", Verb::Rollback),
            ("rollback/* all */work", Verb::Rollback),
            ("ROLLBACK AND CHAIN", Verb::Rollback),
            ("ROLLBACK TO a", Verb::Other),
            ("rollback work to savepoint a", Verb::Other),
            ("insert into t values (1)", Verb::Rows),
            ("with a as (select 1) select * from a", Verb::Rows),
            ("CALL p()", Verb::Other),
            ("SET autocommit = 0", Verb::Other),
            ("/*!1 COMMIT */", Verb::Other),
            ("COMMITTED", Verb::Other),
        ] {
            assert_eq!(Verb::of(sql), verb, "{sql}");
        }
    }
}
