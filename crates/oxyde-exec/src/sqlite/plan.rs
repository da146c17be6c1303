//! Which statements touch so few rows that they may run on the calling thread: what SQLite plans for them tells.

use rusqlite::Connection;

/// A look-up whose every step finds at most one row per row before it, by rowid or by a whole unique key.
pub(crate) fn is_point_read(db: &Connection, sql: &str) -> rusqlite::Result<bool> {
    if !db.prepare_cached(sql)?.readonly() {
        return Ok(false);
    }
    let steps = steps(db, sql)?;
    for step in &steps {
        if !finds_one(db, step)? {
            return Ok(false);
        }
    }
    Ok(!steps.is_empty())
}

/// An INSERT of one row of values, or an UPDATE or DELETE of rows found like a look-up's. Triggers and what foreign keys
/// entail may also search by an index that is not unique: mostly there is little to find, else the budget ends it.
/// The connection must show the steps of triggers (TRIGGER_EQP).
pub(crate) fn is_point_write(db: &Connection, sql: &str) -> rusqlite::Result<bool> {
    let verb = sql.split(' ').next().unwrap_or_default();
    let insert = verb.eq_ignore_ascii_case("INSERT");
    if !insert && !verb.eq_ignore_ascii_case("UPDATE") && !verb.eq_ignore_ascii_case("DELETE") {
        return Ok(false);
    }
    if db.prepare_cached(sql)?.readonly() {
        return Ok(false);
    }
    // RETURNING adds a search of the tables that refer to this one, which an INSERT never makes.
    let bare = match sql.rsplit_once(" RETURNING ") {
        Some((bare, _)) if insert => bare,
        _ => sql,
    };
    let (mut found, mut entailed) = (insert, false);
    for step in steps(db, bare)? {
        entailed |= is_heading(&step);
        let fine = if entailed || (found && !insert) {
            is_heading(&step) || equalities(&step).is_some()
        } else {
            // Its own rows first; an INSERT of values finds none.
            found = true;
            !insert && finds_one(db, &step)?
        };
        if !fine {
            return Ok(false);
        }
    }
    // Without any step, a DELETE empties the table.
    Ok(found)
}

/// For an INSERT of one row that returns nothing but its key, where that is the number of the row: the text without
/// RETURNING, which costs a fifth of the whole statement. SQLite knows the last number anyway.
pub(crate) fn returning_row_number<'a>(
    db: &Connection,
    sql: &'a str,
) -> rusqlite::Result<Option<&'a str>> {
    let parts = sql.rsplit_once(" RETURNING ").and_then(|(bare, column)| {
        let (table, _) = bare.strip_prefix("INSERT INTO ")?.split_once(" (")?;
        Some((bare, column, table))
    });
    let Some((bare, column, table)) = parts else {
        return Ok(None);
    };
    let one_column = !column.contains([',', '(', ' ']);
    // A conflict could leave another row's number; so could a trigger that puts the row elsewhere.
    if !one_column || bare.contains(" ON CONFLICT") || !steps(db, bare)?.is_empty() {
        return Ok(None);
    }
    let by_column = steps(db, &format!("SELECT 1 FROM {table} WHERE {column} = ?"))?;
    let is_number = match by_column.as_slice() {
        [step] => matches!(equalities(step), Some(Key::Rowid)),
        _ => false,
    };
    Ok(is_number.then_some(bare))
}

fn steps(db: &Connection, sql: &str) -> rusqlite::Result<Vec<String>> {
    let mut explain = db.prepare(&format!("EXPLAIN QUERY PLAN {sql}"))?;
    let mut rows = explain.raw_query();
    let mut steps = Vec::new();
    while let Some(row) = rows.next()? {
        let step: Option<String> = row.get(3)?;
        steps.push(step.unwrap_or_default());
    }
    Ok(steps)
}

/// The name of a trigger; actions of foreign keys have none.
fn is_heading(step: &str) -> bool {
    step.is_empty() || step.starts_with("-- TRIGGER ")
}

enum Key<'a> {
    Rowid,
    Index(&'a str, i64),
}

/// By what a SEARCH with equalities only finds its rows.
fn equalities(step: &str) -> Option<Key<'_>> {
    let step = step.strip_suffix(" LEFT-JOIN").unwrap_or(step);
    let rest = step.strip_prefix("SEARCH ")?;
    if rest.ends_with(" USING INTEGER PRIMARY KEY (rowid=?)") {
        return Some(Key::Rowid);
    }
    let (head, terms) = rest.strip_suffix(')')?.rsplit_once(" (")?;
    let (_, index) = head
        .split_once(" USING COVERING INDEX ")
        .or_else(|| head.split_once(" USING INDEX "))?;
    let mut columns: i64 = 0;
    for term in terms.split(" AND ") {
        if !term.ends_with("=?") {
            return None;
        }
        columns += 1;
    }
    Some(Key::Index(index, columns))
}

fn finds_one(db: &Connection, step: &str) -> rusqlite::Result<bool> {
    let (index, equalities) = match equalities(step) {
        Some(Key::Rowid) => return Ok(true),
        Some(Key::Index(index, equalities)) => (index, equalities),
        None => return Ok(false),
    };
    let key: Option<(i64, i64)> = match db.query_row(
        "SELECT list.\"unique\", (SELECT count(*) FROM pragma_index_info(schema.name)) \
         FROM sqlite_schema AS schema, pragma_index_list(schema.tbl_name) AS list \
         WHERE schema.type = 'index' AND schema.name = ?1 AND list.name = schema.name",
        [index],
        |row| Ok((row.get(0)?, row.get(1)?)),
    ) {
        Ok(key) => Some(key),
        Err(rusqlite::Error::QueryReturnedNoRows) => None,
        Err(error) => return Err(error),
    };
    Ok(key.is_some_and(|(unique, columns)| unique == 1 && columns == equalities))
}
