//! Many rows for MySQL and MariaDB: as many INSERTs of several rows each as the server's limits ask for.
//!
//! One is all or nothing by itself; several are run in one transaction by the caller, who asks for the result when that
//! has ended well: no instance is told of a key that a rollback took away.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use oxyde_exec::Rows;
use oxyde_exec::query::{self, Encoded, Formats, Params, Query};
use oxyde_sql::{BulkForm, MysqlSettings};
use pyo3::prelude::*;
use pyo3::types::PyList;

use crate::bulk::Fill;
use crate::completion::lock;
use crate::errors;
use crate::finish::told;
use crate::loader::Loader;
use crate::reader::Collected;

/// Parameters of one statement: a connection keeps it prepared, and the server an object for each of them.
const PARAMETERS: usize = 4_096;

/// Statements of so many different numbers of rows are kept for one plan; the others are used once.
const KEPT: usize = 8;

/// What a message has beside its parameters.
const HEAD: usize = 1_024;

/// The statements of one plan by their numbers of rows.
#[derive(Debug)]
pub struct ManyRows {
    head: String,
    row: String,
    tail: String,
    /// The most recently used last.
    kept: Mutex<VecDeque<(usize, Arc<query::Statement>)>>,
}

impl ManyRows {
    pub fn new(form: &BulkForm) -> Option<Self> {
        let BulkForm::MultiRow { head, row, tail } = form else {
            return None;
        };
        Some(Self {
            head: head.clone(),
            row: row.clone(),
            tail: tail.clone(),
            kept: Mutex::default(),
        })
    }

    /// What the statements have in common, as the statement for one row.
    fn sql(&self) -> String {
        format!("{}{}{}", self.head, self.row, self.tail)
    }

    fn statement(&self, rows: usize) -> Arc<query::Statement> {
        let mut kept = lock(&self.kept);
        if let Some(at) = kept.iter().position(|(known, _)| *known == rows)
            && let Some(found) = kept.remove(at)
        {
            kept.push_back(found.clone());
            return found.1;
        }
        let mut sql = String::with_capacity(
            self.head.len() + self.tail.len() + rows.saturating_mul(self.row.len() + 2),
        );
        sql.push_str(&self.head);
        for row in 0..rows {
            sql.push_str(if row > 0 { ", " } else { "" });
            sql.push_str(&self.row);
        }
        sql.push_str(&self.tail);
        let statement = query::Statement::new(Arc::from(sql), Vec::new(), Formats::Binary);
        if kept.len() >= KEPT {
            kept.pop_front();
        }
        kept.push_back((rows, Arc::clone(&statement)));
        statement
    }

    /// How many rows of so many parameters one statement takes, and how many bytes of them.
    pub fn limits(parameters: usize, server: &MysqlSettings) -> (usize, usize) {
        let packet = usize::try_from(server.max_packet).unwrap_or(usize::MAX);
        (
            (PARAMETERS / parameters.max(1)).max(1),
            packet.saturating_sub(HEAD),
        )
    }
}

/// One statement.
struct Part {
    statement: Arc<query::Statement>,
    rows: usize,
    /// Until it is run.
    params: Option<Encoded>,
    answer: Option<Answer>,
}

enum Answer {
    /// The first key that the server made, or how many rows it has written.
    Number {
        first: i64,
        affected: u64,
    },
    Rows(Collected),
}

/// A bulk insert in one or several statements.
#[pyclass(frozen, module = "oxyde_core._core")]
pub struct Parts {
    parts: Mutex<Vec<Part>>,
    /// The statement for one row.
    sql: String,
    table: String,
    count: usize,
    /// Keys come as the first one of each statement.
    told: Option<i64>,
    pub loader: Option<Py<Loader>>,
    fill: Mutex<Option<Fill>>,
}

impl Parts {
    /// `told`: the step between the keys that the server tells the first of.
    pub fn new(
        many: &ManyRows,
        table: String,
        encoded: Vec<(usize, Encoded)>,
        told: Option<i64>,
        loader: Option<Py<Loader>>,
        fill: Option<Fill>,
    ) -> Self {
        let parts: Vec<Part> = encoded
            .into_iter()
            .map(|(rows, params)| Part {
                statement: many.statement(rows),
                rows,
                params: Some(params),
                answer: None,
            })
            .collect();
        Self {
            sql: many.sql(),
            table,
            count: parts.len(),
            parts: Mutex::new(parts),
            told,
            loader,
            fill: Mutex::new(fill),
        }
    }

    /// Whether instances take over what comes back.
    pub fn fills(&self) -> bool {
        lock(&self.fill).is_some()
    }

    /// Whether rows come back, and not only the first key.
    pub fn returns_rows(&self) -> bool {
        self.loader.is_some() && self.told.is_none()
    }

    /// The statement of a part that has not been run; without the reader of its rows.
    pub fn query(&self, py: Python<'_>, index: usize) -> PyResult<Query> {
        let mut parts = lock(&self.parts);
        let part = parts.get_mut(index);
        let Some((statement, params)) =
            part.and_then(|part| Some((Arc::clone(&part.statement), part.params.take()?)))
        else {
            return Err(errors::internal(
                py,
                "a part of a bulk insert was run twice",
            ));
        };
        Ok(Query {
            statement,
            params: Params::Ready(params),
            rows: None,
            pure_read: false,
            taints: false,
        })
    }

    fn answered(&self, index: usize, answer: Answer) {
        if let Some(part) = lock(&self.parts).get_mut(index) {
            part.answer = Some(answer);
        }
    }

    /// The outcome of a part, unless its rows say more.
    pub fn counted(&self, index: usize, first: i64, affected: u64) {
        if !self.returns_rows() {
            self.answered(index, Answer::Number { first, affected });
        }
    }

    /// Where the rows of a part will be.
    pub fn read(&self, index: usize, rows: Collected) {
        self.answered(index, Answer::Rows(rows));
    }

    /// The keys of all rows, in their order.
    fn keys(parts: &[Part], step: i64) -> impl Iterator<Item = i64> {
        parts.iter().flat_map(move |part| {
            let first = match part.answer {
                Some(Answer::Number { first, .. }) => first,
                _ => 0,
            };
            (0..part.rows).map(move |row| match first {
                0 => 0,
                first => i64::try_from(row)
                    .ok()
                    .and_then(|row| row.checked_mul(step)?.checked_add(first))
                    .unwrap_or(0),
            })
        })
    }
}

#[pymethods]
impl Parts {
    fn __len__(&self) -> usize {
        self.count
    }

    /// The statement, as it is for one row.
    #[getter]
    fn sql(&self) -> &str {
        &self.sql
    }

    #[getter]
    fn table(&self) -> &str {
        &self.table
    }

    /// The number of rows of a part.
    fn rows(&self, index: usize) -> usize {
        lock(&self.parts).get(index).map_or(0, |part| part.rows)
    }

    /// What `run_bulk` answers, once all parts have been run and kept.
    fn result(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let parts = lock(&self.parts);
        let fill = lock(&self.fill).take();
        if let Some(step) = self.told {
            let rows = told(py, Self::keys(&parts, step))?;
            return self.hand_out(py, fill, &rows);
        }
        if self.returns_rows() {
            let all = PyList::empty(py);
            for part in parts.iter() {
                if let Some(Answer::Rows(rows)) = &part.answer {
                    for row in rows.take(py)?.iter() {
                        all.append(row)?;
                    }
                }
            }
            return match fill {
                Some(fill) => fill.apply_values(py, &all).map(|()| py.None()),
                None => Ok(all.into_any().unbind()),
            };
        }
        if let Some(fill) = fill {
            return fill.apply(py, &Rows::default()).map(|()| py.None());
        }
        let affected: u64 = parts
            .iter()
            .map(|part| match part.answer {
                Some(Answer::Number { affected, .. }) => affected,
                _ => 0,
            })
            .sum();
        Ok(affected.into_pyobject(py)?.into_any().unbind())
    }
}

impl Parts {
    fn hand_out(&self, py: Python<'_>, fill: Option<Fill>, rows: &Rows) -> PyResult<Py<PyAny>> {
        match (fill, &self.loader) {
            (Some(fill), _) => fill.apply(py, rows).map(|()| py.None()),
            (None, Some(loader)) => crate::hydrate::rows(py, loader.get(), rows).map(Bound::unbind),
            (None, None) => Ok(py.None()),
        }
    }
}
