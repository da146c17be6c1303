//! Values into a statement, rows out of it, driver errors into ours.

use std::collections::HashSet;

use rusqlite::types::{ToSql, ToSqlOutput, ValueRef};
use rusqlite::{Error, Row, Statement, ffi};

use crate::cells::{CellRef, Cells, Rows};
use crate::error::{ErrorKind, ExecError};

struct Param<'a>(CellRef<'a>);

impl ToSql for Param<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self.0 {
            CellRef::Null => ValueRef::Null,
            CellRef::Int(value) => ValueRef::Integer(value),
            CellRef::Real(value) => ValueRef::Real(value),
            CellRef::Text(value) => ValueRef::Text(value),
            CellRef::Blob(value) => ValueRef::Blob(value),
        }))
    }
}

/// Binds all values; their number must be the statement's number of parameters.
pub(crate) fn bind<'a>(
    statement: &mut Statement<'_>,
    values: impl ExactSizeIterator<Item = CellRef<'a>>,
) -> Result<(), ExecError> {
    let wanted = statement.parameter_count();
    if wanted != values.len() {
        return Err(ExecError::new(
            ErrorKind::Programming,
            format!(
                "the statement has {wanted} parameters, but {} values were given",
                values.len()
            ),
        ));
    }
    for (index, value) in values.enumerate() {
        statement
            .raw_bind_parameter(index.saturating_add(1), Param(value))
            .map_err(|error| driver_error(&error))?;
    }
    Ok(())
}

/// Refuses raw SQL that is no statement, and rows in which one of two columns of the same name would be lost when they
/// become dicts.
pub(crate) fn check_raw(statement: &Statement<'_>) -> Result<(), ExecError> {
    if statement.expanded_sql().is_none() {
        return Err(ExecError::new(
            ErrorKind::Programming,
            "the text contains no statement",
        ));
    }
    let mut seen = HashSet::new();
    let mut names = statement.column_names();
    match names.find(|name| !seen.insert(*name)) {
        None => Ok(()),
        Some(name) => Err(ExecError::new(
            ErrorKind::Programming,
            format!("two columns of the result are called {name:?}: give them names with AS"),
        )),
    }
}

/// Refuses a buffer in which a value got lost.
pub(crate) fn check(params: &Cells) -> Result<(), ExecError> {
    if params.overflowed() {
        return Err(ExecError::new(
            ErrorKind::Data,
            "a value of 4 GiB or more cannot be sent",
        ));
    }
    Ok(())
}

/// Steps a bound statement to its end; rows go to `out` if it is given. Returns the number of columns.
pub(crate) fn step(
    statement: &mut Statement<'_>,
    mut out: Option<&mut Cells>,
) -> rusqlite::Result<usize> {
    let mut width = statement.column_count();
    let mut rows = statement.raw_query();
    let mut first = true;
    while let Some(row) = rows.next()? {
        if first {
            // The first step may have prepared the statement again, against a changed schema.
            width = row.as_ref().column_count();
            first = false;
        }
        if let Some(out) = out.as_deref_mut() {
            push(row, width, out)?;
        }
    }
    Ok(width)
}

fn push(row: &Row<'_>, width: usize, out: &mut Cells) -> rusqlite::Result<()> {
    for column in 0..width {
        match row.get_ref(column)? {
            ValueRef::Null => out.push_null(),
            ValueRef::Integer(value) => out.push_int(value),
            ValueRef::Real(value) => out.push_real(value),
            ValueRef::Text(value) => out.push_text_bytes(value),
            ValueRef::Blob(value) => out.push_blob(value),
        }
    }
    Ok(())
}

/// Steps a bound statement through up to `limit` further rows; true: it stands at a row's end and may have more.
pub(crate) fn step_on(
    statement: &mut Statement<'_>,
    limit: usize,
    out: &mut Rows,
) -> rusqlite::Result<bool> {
    let mut rows = statement.raw_query();
    for _ in 0..limit {
        let Some(row) = rows.next()? else {
            return Ok(false);
        };
        // As the first step has left it: that may have prepared the statement again, against a changed schema.
        out.width = row.as_ref().column_count();
        push(row, out.width, &mut out.cells)?;
    }
    // Nothing but a reference; dropping it would take the statement back to its beginning.
    std::mem::forget(rows);
    Ok(true)
}

/// Whether the error is one of these primary result codes.
pub(crate) fn is_code(error: &Error, primary: &[i32]) -> bool {
    error_code(error).is_some_and(|code| primary.contains(&(code & 0xff)))
}

fn error_code(error: &Error) -> Option<i32> {
    match error {
        Error::SqliteFailure(failure, _) => Some(failure.extended_code),
        Error::SqlInputError { error, .. } => Some(error.extended_code),
        _ => None,
    }
}

pub(crate) const INTERRUPTED: &[i32] = &[ffi::SQLITE_INTERRUPT];
pub(crate) const LOCKED: &[i32] = &[ffi::SQLITE_BUSY, ffi::SQLITE_LOCKED];

/// The message is SQLite's; SQL text and values are left out of it.
pub(crate) fn driver_error(error: &Error) -> ExecError {
    match error {
        Error::SqliteFailure(failure, message) => {
            let message = message.clone().unwrap_or_else(|| failure.to_string());
            ExecError::from_sqlite(failure.extended_code, message)
        }
        Error::SqlInputError { error, msg, .. } => {
            ExecError::from_sqlite(error.extended_code, msg.clone())
        }
        Error::MultipleStatement => ExecError::new(
            ErrorKind::Programming,
            "several statements in one call: send them one by one",
        ),
        Error::NulError(_) => ExecError::new(ErrorKind::Data, "a NUL character inside SQL text"),
        other => ExecError::new(ErrorKind::Internal, other.to_string()),
    }
}
