//! Engine and compile errors → the exception classes of `oxyde_core.errors`.
//!
//! The tree is defined in Python; which kind is which class says `ErrorKind::class`. A message
//! carries what the database said, never a bound value.

use oxyde_exec::error::{Code, Effect, ExecError};
use oxyde_sql::CompileError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyModule};

use crate::blame;

fn module(py: Python<'_>) -> PyResult<&Bound<'_, PyModule>> {
    static MODULE: PyOnceLock<Py<PyModule>> = PyOnceLock::new();
    MODULE
        .get_or_try_init(py, || py.import("oxyde_core.errors").map(Bound::unbind))
        .map(|m| m.bind(py))
}

fn build(
    py: Python<'_>,
    class: &str,
    message: &str,
    fill: impl FnOnce(&Bound<'_, PyDict>) -> PyResult<()>,
) -> PyErr {
    let made = || {
        let kwargs = PyDict::new(py);
        fill(&kwargs)?;
        module(py)?.getattr(class)?.call((message,), Some(&kwargs))
    };
    match made() {
        Ok(error) => PyErr::from_value(error),
        Err(error) => error,
    }
}

/// An engine's error; `query` is the statement's text, without values.
pub fn from_exec(py: Python<'_>, error: &ExecError, query: Option<&str>) -> PyErr {
    build(py, error.kind.class(), &error.message, |kwargs| {
        kwargs.set_item("sqlstate", error.sqlstate.as_deref())?;
        match &error.code {
            Some(Code::Number(number)) => kwargs.set_item("code", number)?,
            Some(Code::Text(text)) => kwargs.set_item("code", text)?,
            None => {}
        }
        let (table, column) = blame::place(error, query);
        kwargs.set_item("table", table)?;
        kwargs.set_item("column", column)?;
        kwargs.set_item("constraint", error.constraint.as_deref())?;
        kwargs.set_item("detail", error.detail.as_deref())?;
        kwargs.set_item("hint", error.hint.as_deref())?;
        kwargs.set_item("query", query)?;
        kwargs.set_item("retryable", error.retryable)?;
        kwargs.set_item(
            "outcome",
            match error.outcome {
                Effect::NotApplied => "not_applied",
                Effect::Unknown => "unknown",
            },
        )
    })
}

pub fn from_compile(py: Python<'_>, error: &CompileError) -> PyErr {
    let class = match error {
        CompileError::NotSupported { .. } => "NotSupportedError",
        CompileError::Invalid(_) => "ProgrammingError",
    };
    build(py, class, &error.to_string(), |_| Ok(()))
}

/// A value that a column cannot hold, or that cannot be read from it. `label` is `table.column`.
pub fn data_error(py: Python<'_>, message: &str, label: &str) -> PyErr {
    build(py, "DataError", message, |kwargs| {
        if let Some((table, column)) = label.rsplit_once('.') {
            kwargs.set_item("table", table)?;
            kwargs.set_item("column", column)?;
        }
        Ok(())
    })
}

pub fn internal(py: Python<'_>, message: &str) -> PyErr {
    build(py, "InternalError", message, |_| Ok(()))
}

pub fn programming(py: Python<'_>, message: &str) -> PyErr {
    build(py, "ProgrammingError", message, |_| Ok(()))
}
