//! Table and column of a violated constraint, where a server tells only the key's name: MySQL and MariaDB.

use oxyde_exec::error::{Code, ErrorKind, ExecError};

use crate::tables;

/// What the error says, and what its statement and the registered tables say beyond that.
pub fn place(error: &ExecError, query: Option<&str>) -> (Option<String>, Option<String>) {
    let violation = matches!(
        error.kind,
        ErrorKind::Unique | ErrorKind::NotNull | ErrorKind::ForeignKey | ErrorKind::Check
    );
    let (table, column) = (error.table.clone(), error.column.clone());
    // SQLite has numbers without a state, PostgreSQL texts: both tell the table.
    if !violation || error.sqlstate.is_none() || !matches!(error.code, Some(Code::Number(_))) {
        return (table, column);
    }
    let Some(table) = table.or_else(|| query.and_then(target)) else {
        return (None, column);
    };
    let column = column.or_else(|| {
        (error.kind == ErrorKind::Unique)
            .then_some(error.constraint.as_deref())
            .flatten()
            .and_then(|key| tables::column_of_key(&table, key))
    });
    (Some(table), column)
}

/// The table that a statement writes.
fn target(sql: &str) -> Option<String> {
    let mut rest = sql.trim_start();
    let first = word(&mut rest);
    let wanted = match first.to_ascii_uppercase().as_str() {
        "INSERT" | "REPLACE" => "INTO",
        "DELETE" => "FROM",
        "UPDATE" => "",
        _ => return None,
    };
    // INSERT DELAYED INTO …
    for _ in 0..3 {
        if wanted.is_empty() || word(&mut rest).eq_ignore_ascii_case(wanted) {
            break;
        }
    }
    let mut name = identifier(&mut rest)?;
    if let Some(more) = rest.strip_prefix('.') {
        rest = more;
        name = identifier(&mut rest)?;
    }
    Some(name)
}

fn word<'a>(rest: &mut &'a str) -> &'a str {
    let end = rest
        .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .unwrap_or(rest.len());
    let (word, more) = rest.split_at(end);
    *rest = more.trim_start();
    word
}

fn identifier(rest: &mut &str) -> Option<String> {
    let Some(quoted) = rest.strip_prefix('`') else {
        let name = word(rest);
        return (!name.is_empty()).then(|| name.to_owned());
    };
    let mut name = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, c)) = characters.next() {
        if c != '`' {
            name.push(c);
            continue;
        }
        let after = quoted.get(at + 1..).unwrap_or_default();
        if after.starts_with('`') {
            name.push('`');
            characters.next();
        } else {
            *rest = after;
            return Some(name);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::target;

    #[test]
    fn the_table_that_is_written() {
        for (sql, table) in [
            ("INSERT INTO `a``b` (`x`) VALUES (?)", Some("a`b")),
            ("insert into shop.orders values (1)", Some("orders")),
            ("INSERT INTO `shop`.`or.ders` () VALUES ()", Some("or.ders")),
            ("UPDATE `t` SET a = 1", Some("t")),
            (" DELETE FROM t WHERE a", Some("t")),
            ("INSERT LOW_PRIORITY INTO t SELECT 1", Some("t")),
            ("SELECT 1", None),
            ("UPDATE `open", None),
            ("", None),
        ] {
            assert_eq!(target(sql).as_deref(), table, "{sql}");
        }
    }
}
