//! Tagged tuples of `oxyde_core.ir` → IR.
//!
//! The grammar has one reader, `oxyde_sql::ir::json`, which schema documents and golden documents go through as
//! well; here tuples become the lists that it reads. That happens once per shape, on a miss of the plan cache.
//! Afterwards the tree is walked to note, for each parameter, which column it meets: errors name it.

use oxyde_sql::SqlType;
use oxyde_sql::ir::{self, Conflict, Expr, InsertSource, Output, Query, Slot, Table};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyInt, PyString, PyTuple};
use serde_json::Value;

use crate::errors;
use crate::tables;

/// Far deeper than the reader allows; it only keeps this conversion from exhausting the stack.
const MAX_NESTING: usize = 1_000;

/// What a parameter is for, beside its type: used in errors and by the encoders.
#[derive(Clone, Debug, Default)]
pub struct ParamNote {
    pub label: String,
    /// Stored in a column, so that it must fit it exactly.
    pub stored: bool,
}

pub struct Extracted {
    pub query: Query,
    pub notes: Vec<ParamNote>,
}

/// The IR of a whole statement.
pub fn query(shape: &Bound<'_, PyTuple>) -> PyResult<Extracted> {
    let py = shape.py();
    let json = to_json(shape.as_any(), 0)?;
    let query = ir::json::query(&json, &|id| tables::get(id))
        .map_err(|error| errors::from_compile(py, &error))?;
    let mut notes = Notes::default();
    notes.query(&query);
    Ok(Extracted {
        query,
        notes: notes.list,
    })
}

/// A type tag: a plain name, or a tuple whose first item is the name.
pub fn sql_type(tag: &Bound<'_, PyAny>) -> PyResult<SqlType> {
    SqlType::from_json(&to_json(tag, 0)?).map_err(|error| PyValueError::new_err(error.to_string()))
}

fn to_json(value: &Bound<'_, PyAny>, depth: usize) -> PyResult<Value> {
    if depth > MAX_NESTING {
        return Err(errors::programming(
            value.py(),
            &format!(
                "the query is nested deeper than {MAX_NESTING} levels; join conditions of one kind in one Q"
            ),
        ));
    }
    if let Ok(text) = value.cast::<PyString>() {
        Ok(Value::from(text.to_str()?))
    } else if let Ok(tuple) = value.cast::<PyTuple>() {
        tuple
            .iter_borrowed()
            .map(|part| to_json(&part, depth + 1))
            .collect()
    } else if value.is_none() {
        Ok(Value::Null)
    } else if value.is_instance_of::<PyInt>() && !value.is_instance_of::<PyBool>() {
        Ok(Value::from(value.extract::<i64>()?))
    } else {
        Err(PyValueError::new_err(format!(
            "a query shape holds tuples, names and numbers of models, never a value: {}",
            value.get_type()
        )))
    }
}

/// Collects one note per slot.
#[derive(Default)]
struct Notes {
    list: Vec<ParamNote>,
}

impl Notes {
    fn query(&mut self, query: &Query) {
        match query {
            Query::Select(select) => {
                let table = &select.table;
                for output in &select.outputs {
                    if let Output::Expr { expr, .. } = output {
                        self.expr(table, expr, None);
                    }
                }
                self.optional(table, select.filter.as_ref());
                for term in &select.order {
                    self.expr(table, &term.expr, None);
                }
                for (slot, label) in [(&select.limit, "limit"), (&select.offset, "offset")] {
                    if let Some(slot) = slot {
                        self.note(slot, label.to_owned(), false);
                    }
                }
            }
            Query::Insert(insert) => {
                let table = &insert.table;
                match &insert.source {
                    InsertSource::Values(values) => {
                        for (field, value) in insert.fields.iter().zip(values) {
                            self.assigned(table, field, value);
                        }
                    }
                    InsertSource::Bulk => {
                        self.list = insert
                            .fields
                            .iter()
                            .map(|field| ParamNote {
                                label: label(table, field),
                                stored: true,
                            })
                            .collect();
                    }
                }
                if let Some(Conflict::Update { set, .. }) = &insert.conflict {
                    self.assignments(table, set);
                }
            }
            Query::Update(update) => {
                self.assignments(&update.table, &update.set);
                self.optional(&update.table, update.filter.as_ref());
            }
            Query::Delete(delete) => self.optional(&delete.table, delete.filter.as_ref()),
        }
    }

    fn assignments(&mut self, table: &Table, set: &[(String, Expr)]) {
        for (field, value) in set {
            self.assigned(table, field, value);
        }
    }

    /// A value on its way into a column: stored as it is only if it is the whole expression.
    fn assigned(&mut self, table: &Table, field: &str, value: &Expr) {
        match value {
            Expr::Param(slot) => self.note(slot, label(table, field), true),
            other => self.expr(table, other, Some(&label(table, field))),
        }
    }

    fn optional(&mut self, table: &Table, expr: Option<&Expr>) {
        if let Some(expr) = expr {
            self.expr(table, expr, None);
        }
    }

    fn expr(&mut self, table: &Table, expr: &Expr, near: Option<&str>) {
        match expr {
            Expr::Param(slot) => self.note(slot, near.unwrap_or("a parameter").to_owned(), false),
            Expr::Column(_)
            | Expr::Null
            | Expr::True
            | Expr::False
            | Expr::Star
            | Expr::Now
            | Expr::Excluded(_)
            | Expr::Sql(_) => {}
            Expr::IsNull(a) | Expr::IsNotNull(a) | Expr::Not(a) | Expr::Neg(a) => {
                self.expr(table, a, near)
            }
            Expr::Compare(_, a, b) | Expr::In(a, b) | Expr::NotIn(a, b) | Expr::Match(_, a, b) => {
                self.together(table, &[a, b], near);
            }
            Expr::Between(a, b, c) => self.together(table, &[a, b, c], near),
            Expr::Arith(_, a, b) | Expr::Xor(a, b) => self.together(table, &[a, b], near),
            Expr::And(list) | Expr::Or(list) | Expr::Func(_, list) => {
                for part in list {
                    self.expr(table, part, near);
                }
            }
        }
    }

    /// Operands of one operator: parameters among them are values of the column among them.
    fn together(&mut self, table: &Table, operands: &[&Expr], near: Option<&str>) {
        let column = operands.iter().find_map(|operand| match operand {
            Expr::Column(field) => Some(label(table, field)),
            _ => None,
        });
        for operand in operands {
            self.expr(table, operand, column.as_deref().or(near));
        }
    }

    fn note(&mut self, slot: &Slot, label: String, stored: bool) {
        if self.list.len() <= slot.index {
            self.list.resize_with(slot.index + 1, ParamNote::default);
        }
        if let Some(note) = self.list.get_mut(slot.index) {
            *note = ParamNote { label, stored };
        }
    }
}

fn label(table: &Table, field: &str) -> String {
    let column = table
        .column(field)
        .map_or(field, |column| column.name.as_str());
    format!("{}.{column}", table.name)
}
