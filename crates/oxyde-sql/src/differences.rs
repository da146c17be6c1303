//! Where the databases differ in spite of everything: what the page on database
//! differences is made of.
//!
//! A difference that the compiler hides is not here. Each row says what holds on
//! which database, and is either refused by [`crate::Features`] or shown by a test.

/// One difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Difference {
    /// What it belongs to; rows of one topic stand together.
    pub topic: &'static str,
    /// What one does.
    pub subject: &'static str,
    /// What happens on PostgreSQL.
    pub postgres: &'static str,
    /// What happens on MySQL.
    pub mysql: &'static str,
    /// What happens on MariaDB.
    pub mariadb: &'static str,
    /// What happens on SQLite.
    pub sqlite: &'static str,
}

impl Difference {
    /// As a row of a Markdown table: the subject and the four databases.
    #[must_use]
    pub fn markdown(&self) -> String {
        let same = self.mysql == self.mariadb;
        let mariadb = if same { "the same" } else { self.mariadb };
        format!(
            "| {} | {} | {} | {mariadb} | {} |",
            self.subject, self.postgres, self.mysql, self.sqlite
        )
    }
}

/// The page of the documentation: an introduction and a table for each topic.
#[must_use]
pub fn differences_page() -> String {
    let mut page = String::from(PREFACE);
    let mut topic = "";
    for row in DIFFERENCES {
        if row.topic != topic {
            topic = row.topic;
            page += &format!(
                "\n## {topic}\n\n| | PostgreSQL | MySQL | MariaDB | SQLite |\n|---|---|---|---|---|\n"
            );
        }
        page += &row.markdown();
        page.push('\n');
    }
    page
}

const PREFACE: &str = "\
# Where the databases differ

The same models and queries mean the same on every database. This page names what is left: where a database cannot do
something, it is refused with a `NotSupportedError` before anything is sent; where it does something in a way of its own,
the way is told here. What is not here is the same everywhere.
";

macro_rules! differences {
    ($(# $topic:literal $($subject:literal {
        postgres: $postgres:literal, mysql: $mysql:literal, mariadb: $mariadb:literal, sqlite: $sqlite:literal $(,)?
    })+)+) => {
        /// All differences, by topic.
        pub const DIFFERENCES: &[Difference] = &[$($(Difference {
            topic: $topic,
            subject: $subject,
            postgres: $postgres,
            mysql: $mysql,
            mariadb: $mariadb,
            sqlite: $sqlite,
        },)+)+];
    };
}

differences! {
    # "Texts"
    "Order of texts" {
        postgres: "the database's collation",
        mysql: "by code point (`utf8mb4_0900_bin`)",
        mariadb: "by code point (`utf8mb4_nopad_bin`)",
        sqlite: "by code point",
    }
    "Upper and lower case" {
        postgres: "all of Unicode, by ICU; without it by what the server has, else NotSupportedError",
        mysql: "the letters of Unicode 9, one by one: `ß` has no upper case, `Σ` always becomes `σ`",
        mariadb: "the letters of Unicode 14, before 10.10 of Unicode 5.2, one by one: `ß` has no upper case, `Σ` always becomes `σ`",
        sqlite: "all of Unicode",
    }
    "`icontains`, `iexact` and the like" {
        postgres: "equal lower case",
        mysql: "equal lower case; `ς` and `σ` are one letter",
        mariadb: "equal lower case; `ς` and `σ` are one letter",
        sqlite: "equal lower case",
    }
    "`regex`, `iregex`" {
        postgres: "PostgreSQL's own expressions",
        mysql: "ICU's expressions",
        mariadb: "PCRE's expressions",
        sqlite: "expressions of Rust's regex crate, without look-around",
    }
    "A column with another collation" {
        postgres: "equal is what the collation says",
        mysql: "named by `db_collation` (or the `db_type`), `exact` and `in` still find the very text alone; `<`, ORDER BY and UNIQUE are the collation's",
        mariadb: "named by `db_collation` (or the `db_type`), `exact` and `in` still find the very text alone; `<`, ORDER BY and UNIQUE are the collation's",
        sqlite: "equal is what the collation says",
    }
    "A column of an existing table whose collation the model does not name" {
        postgres: "equal is the text itself, unless the collation is not deterministic",
        mysql: "equal is what the collation says, mostly without regard to case and accents",
        mariadb: "equal is what the collation says, mostly without regard to case, accents and spaces at the end",
        sqlite: "equal is the text itself, unless it is declared NOCASE",
    }
    "Concat() of numbers and times" {
        postgres: "the texts that PostgreSQL gives them",
        mysql: "the texts that MySQL gives them: `1` for True, six digits of microseconds",
        mariadb: "the texts that MariaDB gives them: `1` for True, six digits of microseconds",
        sqlite: "the texts that are stored",
    }
    # "NULLs"
    "Order without `nulls=`" {
        postgres: "last; first in descending order",
        mysql: "first; last in descending order",
        mariadb: "first; last in descending order",
        sqlite: "first; last in descending order",
    }
    # "Numbers"
    "`Decimal` without digits" {
        postgres: "any number of digits",
        mysql: "DECIMAL(65,30): 35 digits before the point and 30 after it",
        mariadb: "DECIMAL(65,30): 35 digits before the point and 30 after it",
        sqlite: "any number of digits",
    }
    "A product of decimals" {
        postgres: "exact",
        mysql: "at most 30 digits after the point, 65 in all",
        mariadb: "at most 38 digits after the point, 65 in all",
        sqlite: "exact",
    }
    "A quotient of decimals" {
        postgres: "16 significant digits or more",
        mysql: "20 digits more after the point than the dividend has",
        mariadb: "20 digits more after the point than the dividend has",
        sqlite: "38 significant digits or more",
    }
    "`**` of decimals" {
        postgres: "a decimal",
        mysql: "NotSupportedError: it would be a float",
        mariadb: "NotSupportedError: it would be a float",
        sqlite: "NotSupportedError: it would be a float",
    }
    "NaN and infinity in a float column" {
        postgres: "stored",
        mysql: "DataError",
        mariadb: "DataError",
        sqlite: "DataError",
    }
    "`-0.0` in a float column" {
        postgres: "keeps its sign",
        mysql: "keeps its sign",
        mariadb: "becomes `0.0`",
        sqlite: "becomes `0.0`",
    }
    "Comparison with a column that is a `FLOAT` of 32 bits" {
        postgres: "the value is made a float of 32 bits first",
        mysql: "the value is made a float of 32 bits first",
        mariadb: "the value is made a float of 32 bits first",
        sqlite: "there are only floats of 64 bits",
    }
    # "Times"
    "Now()" {
        postgres: "when the transaction began",
        mysql: "when the statement began",
        mariadb: "when the statement began",
        sqlite: "when the statement began, in milliseconds",
    }
    "A column of an existing table with fewer digits of a second" {
        postgres: "rounds",
        mysql: "rounds",
        mariadb: "rounds",
        sqlite: "keeps them all",
    }
    # "JSON and lists"
    "`dict` and models are stored as" {
        postgres: "JSONB: keys lose their order, `-0.0` its sign",
        mysql: "JSON: keys lose their order",
        mariadb: "the text of the document",
        sqlite: "the text of the document",
    }
    "Lists of scalars are stored as" {
        postgres: "arrays",
        mysql: "JSON",
        mariadb: "the text of a JSON array",
        sqlite: "the text of a JSON array",
    }
    "Equal documents" {
        postgres: "by value",
        mysql: "by value; integers beyond 64 bits are refused",
        mariadb: "by text, in which the order of keys, spaces and the spelling of numbers do not count (before 10.7: spaces alone); `\\u0041` is not `A`",
        sqlite: "by text without spaces: the order of keys counts",
    }
    "`<` and ORDER BY of documents and lists" {
        postgres: "NotSupportedError for documents; lists have an order",
        mysql: "NotSupportedError",
        mariadb: "NotSupportedError",
        sqlite: "NotSupportedError",
    }
    "`in` with texts longer than 512 characters" {
        postgres: "found",
        mysql: "found",
        mariadb: "not found in a column whose `max_length` is less than that",
        sqlite: "found",
    }
    # "Writing"
    "A value given for an automatic key" {
        postgres: "the sequence does not notice: it may give the same number later",
        mysql: "later numbers are past it",
        mariadb: "later numbers are past it",
        sqlite: "later numbers are past it",
    }
    "RETURNING" {
        postgres: "one statement",
        mysql: "read back in the same transaction",
        mariadb: "one statement for INSERT and DELETE, else read back in the same transaction",
        sqlite: "one statement",
    }
    "`conflict_fields` beside other unique keys" {
        postgres: "a conflict with another key is an error",
        mysql: "NotSupportedError: ON DUPLICATE KEY looks at all of them",
        mariadb: "NotSupportedError: ON DUPLICATE KEY looks at all of them",
        sqlite: "a conflict with another key is an error",
    }
    "Exchanging two fields in update()" {
        postgres: "each expression sees the old row",
        mysql: "each expression sees the old row; NotSupportedError in an upsert and without a primary key",
        mariadb: "each expression sees the old row",
        sqlite: "each expression sees the old row",
    }
    # "Locks and transactions"
    "What a writer locks" {
        postgres: "rows",
        mysql: "rows, and the gaps between those that a condition passed over",
        mariadb: "rows, and the gaps between those that a condition passed over",
        sqlite: "the database: one writer at a time, readers go on",
    }
    "`for_update()`, `for_share()`" {
        postgres: "rows",
        mysql: "rows, and the gaps between those that a condition passed over",
        mariadb: "rows, and the gaps between those that a condition passed over",
        sqlite: "the whole database, by the write transaction",
    }
    "`nowait=`, `skip_locked=`" {
        postgres: "yes",
        mysql: "yes",
        mariadb: "yes",
        sqlite: "NotSupportedError",
    }
    "`no_key=`" {
        postgres: "FOR NO KEY UPDATE",
        mysql: "NotSupportedError",
        mariadb: "NotSupportedError",
        sqlite: "NotSupportedError",
    }
    "Isolation when none is given" {
        postgres: "read committed",
        mysql: "repeatable read",
        mariadb: "repeatable read",
        sqlite: "serializable",
    }
    "An error inside a block that is caught there" {
        postgres: "the block cannot be committed; a nested block around the statement keeps the rest",
        mysql: "the statement alone is undone; a deadlock rolls back everything, and the block cannot be committed",
        mariadb: "the statement alone is undone; a deadlock rolls back everything, and the block cannot be committed",
        sqlite: "the statement alone is undone",
    }
    "`atomic(isolation=…)`" {
        postgres: "all four levels; `read_uncommitted` is `read_committed`",
        mysql: "all four levels",
        mariadb: "all four levels",
        sqlite: "`serializable` alone, else NotSupportedError",
    }
    "`atomic(deferrable=True)`" {
        postgres: "yes",
        mysql: "NotSupportedError",
        mariadb: "NotSupportedError",
        sqlite: "NotSupportedError",
    }
    "`advisory_lock()`" {
        postgres: "of one database",
        mysql: "of the whole server; `shared=True` is a NotSupportedError",
        mariadb: "of the whole server; `shared=True` is a NotSupportedError",
        sqlite: "NotSupportedError",
    }
    "A stream: `iterate()`, `async for`" {
        postgres: "the server makes rows as they are asked for",
        mysql: "the server makes all rows first, in a temporary table, and gives them as they are asked for",
        mariadb: "the server makes all rows first, in a temporary table, and gives them as they are asked for",
        sqlite: "rows are made as they are asked for; inside a write transaction and in memory, rows that the loop inserts may come, too",
    }
    "DDL in a transaction" {
        postgres: "part of it",
        mysql: "would commit it: `create_tables()` is a NotSupportedError there; raw SQL that does it is a TransactionBrokenError, and so is the end of the block",
        mariadb: "would commit it: `create_tables()` is a NotSupportedError there; raw SQL that does it is a TransactionBrokenError, and so is the end of the block",
        sqlite: "part of it",
    }
    # "Tables"
    "`str`" {
        postgres: "VARCHAR(n), 255 when nothing is given",
        mysql: "the same; all columns of a row together may have 65,535 bytes, four for each character",
        mariadb: "the same; all columns of a row together may have 65,535 bytes, four for each character",
        sqlite: "VARCHAR(n), 255 when nothing is given, which SQLite does not enforce",
    }
    "`Enum`" {
        postgres: "a type of its own; ordered by declaration",
        mysql: "ENUM(…); ordered by declaration; members that end in spaces are a NotSupportedError",
        mariadb: "ENUM(…); ordered by declaration; members that end in spaces are a NotSupportedError",
        sqlite: "TEXT with a CHECK; ordered by text",
    }
    "Index on texts or bytes without a length" {
        postgres: "the whole value, up to 2,704 bytes",
        mysql: "the first 255 characters or bytes",
        mariadb: "the first 255 characters or bytes",
        sqlite: "the whole value",
    }
    "Unique texts or bytes without a length" {
        postgres: "yes, up to 2,704 bytes",
        mysql: "NotSupportedError: give a `max_length` of up to 768",
        mariadb: "yes; not as a primary key",
        sqlite: "yes",
    }
    "Index on documents" {
        postgres: "yes",
        mysql: "NotSupportedError",
        mariadb: "NotSupportedError",
        sqlite: "yes",
    }
    "Index with `where=`, Unique with `where=`" {
        postgres: "yes",
        mysql: "NotSupportedError",
        mariadb: "NotSupportedError",
        sqlite: "yes",
    }
    "Index on an expression" {
        postgres: "yes",
        mysql: "yes",
        mariadb: "NotSupportedError: use a generated column",
        sqlite: "yes",
    }
    "Index with `include=`, `opclasses=`" {
        postgres: "yes",
        mysql: "NotSupportedError",
        mariadb: "NotSupportedError",
        sqlite: "NotSupportedError",
    }
    "Index with `method=`" {
        postgres: "any",
        mysql: "btree, fulltext, spatial",
        mariadb: "btree, fulltext, spatial",
        sqlite: "btree",
    }
    "Deferrable foreign keys" {
        postgres: "yes",
        mysql: "NotSupportedError",
        mariadb: "NotSupportedError",
        sqlite: "yes",
    }
    "Deferrable uniques, `nulls_distinct=False`" {
        postgres: "yes; the latter since 15",
        mysql: "NotSupportedError",
        mariadb: "NotSupportedError",
        sqlite: "NotSupportedError",
    }
    "`SET DEFAULT` of a foreign key" {
        postgres: "yes",
        mysql: "NotSupportedError",
        mariadb: "NotSupportedError",
        sqlite: "yes",
    }
    "Generated columns that are not stored" {
        postgres: "since 18",
        mysql: "yes",
        mariadb: "yes",
        sqlite: "yes",
    }
    "Automatic key that is part of a key" {
        postgres: "yes",
        mysql: "yes, one for each table, with an index of its own if no key begins with it",
        mariadb: "yes, one for each table, with an index of its own if no key begins with it",
        sqlite: "NotSupportedError",
    }
    "Names" {
        postgres: "any characters",
        mysql: "characters up to U+FFFF, no space at the end; those of CHECKs and foreign keys are the database's, not the table's",
        mariadb: "characters up to U+FFFF, no space at the end; those of foreign keys are the database's, not the table's",
        sqlite: "any characters",
    }
    "Comments" {
        postgres: "yes",
        mysql: "yes",
        mariadb: "yes",
        sqlite: "left out: there is no place for them",
    }
}

#[cfg(test)]
mod tests {
    use super::DIFFERENCES;

    #[test]
    fn every_row_is_complete_and_every_topic_stands_together() {
        let mut topics: Vec<&str> = Vec::new();
        for row in DIFFERENCES {
            let cells = [
                row.subject,
                row.postgres,
                row.mysql,
                row.mariadb,
                row.sqlite,
            ];
            for cell in cells {
                assert!(!cell.is_empty() && !cell.contains('|'), "{row:?}");
            }
            let [_, first, others @ ..] = cells;
            assert!(
                others.iter().any(|cell| *cell != first),
                "no difference: {row:?}"
            );
            if topics.last() != Some(&row.topic) {
                assert!(!topics.contains(&row.topic), "{}", row.topic);
                topics.push(row.topic);
            }
            assert_eq!(row.markdown().matches('|').count(), 6);
        }
    }
}
