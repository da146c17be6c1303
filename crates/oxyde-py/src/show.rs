//! SQL without a connection: `q.sql()` and the DDL of a schema document.

use std::borrow::Cow;

use oxyde_exec::{CellRef, Cells};
use oxyde_sql::{Dialect, SchemaDoc, Version, create_statements, drop_statements};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyList, PyString, PyTuple};

use crate::cache;
use crate::decode::{self, Unreadable};
use crate::errors;

type VersionTuple = (u32, u32, u32);

fn target(dialect: &str, version: Option<VersionTuple>) -> PyResult<(Dialect, Version)> {
    let dialect = Dialect::parse(dialect).ok_or_else(|| {
        PyValueError::new_err(format!(
            "unknown dialect {dialect:?}: use postgres, mysql, mariadb or sqlite"
        ))
    })?;
    let version = version.map_or_else(
        || dialect.oldest(),
        |(major, minor, patch)| Version(major, minor, patch),
    );
    Ok((dialect, version))
}

/// The text of a statement and its parameters in placeholder order, as the database gets them.
#[pyfunction]
#[pyo3(signature = (shape, params, dialect, version=None))]
pub fn compile_sql<'py>(
    shape: &Bound<'py, PyTuple>,
    params: &Bound<'py, PyTuple>,
    dialect: &str,
    version: Option<VersionTuple>,
) -> PyResult<(String, Bound<'py, PyList>)> {
    let py = shape.py();
    let (dialect, version) = target(dialect, version)?;
    let statement = cache::compile_once(shape, (dialect, version).into())?;
    let list = PyList::empty(py);
    if dialect == Dialect::Sqlite {
        let mut cells = Cells::new();
        statement.encode(params, &mut cells)?;
        for cell in cells.iter() {
            list.append(natural(py, cell)?)?;
        }
    } else {
        for slot in &statement.plan.binds {
            let value = params.get_item(slot.param)?;
            match value.cast::<PyString>() {
                Ok(text) => match slot.transform.apply(text.to_str()?) {
                    Cow::Borrowed(_) => list.append(value)?,
                    Cow::Owned(changed) => list.append(changed)?,
                },
                Err(_) => list.append(value)?,
            }
        }
    }
    Ok((statement.plan.sql, list))
}

fn natural<'py>(py: Python<'py>, cell: CellRef<'_>) -> PyResult<Bound<'py, PyAny>> {
    decode::natural::sqlite(py, cell).map_err(|error| match error {
        Unreadable::Python(error) => error,
        Unreadable::Value(why) => PyValueError::new_err(why),
    })
}

/// The statements that create what a schema document (JSON) describes.
#[pyfunction]
#[pyo3(signature = (document, dialect, version=None))]
pub fn create_ddl(
    py: Python<'_>,
    document: &str,
    dialect: &str,
    version: Option<VersionTuple>,
) -> PyResult<Vec<String>> {
    let (dialect, version) = target(dialect, version)?;
    create_statements(&parse(document)?, (dialect, version))
        .map_err(|error| errors::from_compile(py, &error))
}

/// The statements that drop it, in the opposite order.
#[pyfunction]
#[pyo3(signature = (document, dialect, version=None))]
pub fn drop_ddl(
    py: Python<'_>,
    document: &str,
    dialect: &str,
    version: Option<VersionTuple>,
) -> PyResult<Vec<String>> {
    let (dialect, version) = target(dialect, version)?;
    drop_statements(&parse(document)?, (dialect, version))
        .map_err(|error| errors::from_compile(py, &error))
}

pub fn parse(document: &str) -> PyResult<SchemaDoc> {
    serde_json::from_str(document)
        .map_err(|error| PyValueError::new_err(format!("schema document: {error}")))
}
