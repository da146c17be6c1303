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

/// A column type in the program's own words (`db_type`), as far as encoders look at it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Declared {
    /// Its first word in lower case; `varchar` for what is one by another name.
    pub name: String,
    /// The numbers in parentheses behind it.
    pub length: Option<u32>,
    pub scale: Option<u32>,
}

impl Declared {
    fn of(db_type: &str) -> Self {
        let text = db_type.trim_start();
        let end = text
            .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
            .unwrap_or(text.len());
        let (name, rest) = text.split_at_checked(end).unwrap_or((text, ""));
        let inside = rest
            .split_once('(')
            .and_then(|(_, rest)| rest.split_once(')'))
            .map_or("", |(inside, _)| inside);
        let mut numbers = inside.split(',').map(|number| number.trim().parse().ok());
        let mut name = name.to_ascii_lowercase();
        let varies = rest
            .split_whitespace()
            .next()
            .is_some_and(|word| word.to_ascii_lowercase().starts_with("varying"));
        if varies && matches!(name.as_str(), "character" | "char" | "nchar") {
            "varchar".clone_into(&mut name);
        }
        Self {
            name,
            length: numbers.next().flatten(),
            scale: numbers.next().flatten(),
        }
    }

    /// Whether a JSON document is stored as one: not in a type that is neither JSON nor text, such as inet under a
    /// union of address types.
    pub fn holds_documents(&self) -> bool {
        matches!(
            self.name.as_str(),
            "json"
                | "jsonb"
                | "text"
                | "tinytext"
                | "mediumtext"
                | "longtext"
                | "varchar"
                | "character"
                | "char"
        )
    }
}

/// A column that a parameter meets.
#[derive(Clone, Debug)]
struct Place {
    label: String,
    declared: Option<Declared>,
}

/// What a parameter is for, beside its type: used in errors and by the encoders.
#[derive(Clone, Debug, Default)]
pub struct ParamNote {
    pub label: String,
    /// Stored in a column, so that it must fit it exactly.
    pub stored: bool,
    /// Of the column that it meets.
    pub declared: Option<Declared>,
}

pub struct Extracted {
    pub query: Query,
    pub notes: Vec<ParamNote>,
    /// It only reads, takes no locks, and calls nothing but what is known here.
    pub pure_read: bool,
}

/// The IR of a whole statement.
pub fn query(shape: &Bound<'_, PyTuple>) -> PyResult<Extracted> {
    let py = shape.py();
    let json = to_json(shape.as_any(), 0)?;
    let query = ir::json::query(&json, &|id| tables::get(id))
        .map_err(|error| errors::from_compile(py, &error))?;
    let mut notes = Notes::default();
    notes.query(&query);
    let pure_read = match &query {
        Query::Select(select) => select.lock.is_none() && !notes.foreign,
        Query::Insert(_) | Query::Update(_) | Query::Delete(_) => false,
    };
    Ok(Extracted {
        query,
        notes: notes.list,
        pure_read,
    })
}

/// A statement and the comment that is to go with it.
pub fn commented<'py>(
    shape: &Bound<'py, PyTuple>,
) -> PyResult<(Option<String>, Bound<'py, PyTuple>)> {
    if shape.len() != 3
        || shape
            .get_item(0)?
            .extract::<&str>()
            .is_ok_and(|tag| tag != "comment")
    {
        return Ok((None, shape.clone()));
    }
    let text: String = shape.get_item(1)?.extract()?;
    // Whoever made it has looked as well; this is what stands between a text and the statement.
    if text.contains("*/") || text.contains("/*") || text.contains(char::is_control) {
        return Err(PyValueError::new_err(
            "a text that would not stay a comment",
        ));
    }
    let inner = shape.get_item(2)?.cast_into::<PyTuple>()?;
    Ok((Some(text), inner))
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
    /// SQL of the user's own is in it, which may do anything.
    foreign: bool,
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
                        self.note(slot, &plain(label), false);
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
                            .map(|field| {
                                let Place { label, declared } = place(table, field);
                                ParamNote {
                                    label,
                                    stored: true,
                                    declared,
                                }
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
            Expr::Param(slot) => self.note(slot, &place(table, field), true),
            other => self.expr(table, other, Some(&place(table, field))),
        }
    }

    fn optional(&mut self, table: &Table, expr: Option<&Expr>) {
        if let Some(expr) = expr {
            self.expr(table, expr, None);
        }
    }

    fn expr(&mut self, table: &Table, expr: &Expr, near: Option<&Place>) {
        match expr {
            Expr::Param(slot) => match near {
                Some(near) => self.note(slot, near, false),
                None => self.note(slot, &plain("a parameter"), false),
            },
            Expr::Column(_)
            | Expr::Null
            | Expr::True
            | Expr::False
            | Expr::Star
            | Expr::Now
            | Expr::Excluded(_) => {}
            Expr::Sql(_) => self.foreign = true,
            Expr::IsNull(a) | Expr::IsNotNull(a) | Expr::Not(a) | Expr::Neg(a) => {
                self.expr(table, a, near)
            }
            Expr::Compare(_, a, b)
            | Expr::In(a, b)
            | Expr::NotIn(a, b)
            | Expr::Match(_, a, b)
            | Expr::Array(_, a, b)
            | Expr::Item(a, b) => {
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
    fn together(&mut self, table: &Table, operands: &[&Expr], near: Option<&Place>) {
        let column = operands.iter().find_map(|operand| match operand {
            Expr::Column(field) => Some(place(table, field)),
            _ => None,
        });
        for operand in operands {
            self.expr(table, operand, column.as_ref().or(near));
        }
    }

    fn note(&mut self, slot: &Slot, place: &Place, stored: bool) {
        if self.list.len() <= slot.index {
            self.list.resize_with(slot.index + 1, ParamNote::default);
        }
        if let Some(note) = self.list.get_mut(slot.index) {
            *note = ParamNote {
                label: place.label.clone(),
                stored,
                declared: place.declared.clone(),
            };
        }
    }
}

fn place(table: &Table, field: &str) -> Place {
    let column = table.column(field);
    let name = column.map_or(field, |column| column.name.as_str());
    let db_type = column.and_then(|column| column.db_type.as_deref());
    Place {
        label: format!("{}.{name}", table.name),
        declared: db_type.map(Declared::of),
    }
}

fn plain(label: &str) -> Place {
    Place {
        label: label.to_owned(),
        declared: None,
    }
}

#[cfg(test)]
mod tests {
    use super::Declared;

    #[test]
    fn types_in_the_programs_words() {
        for (db_type, name, length, scale) in [
            ("VARCHAR(20)", "varchar", Some(20), None),
            (" decimal ( 10 , 2 ) UNSIGNED", "decimal", Some(10), Some(2)),
            ("BIGINT UNSIGNED", "bigint", None, None),
            ("Character  Varying (7)", "varchar", Some(7), None),
            ("character(7)", "character", Some(7), None),
            ("int8range", "int8range", None, None),
            ("ENUM('a,1','b')", "enum", None, None),
            ("\"Own\"", "", None, None),
            ("char(", "char", None, None),
        ] {
            let declared = Declared::of(db_type);
            assert_eq!(declared.name, name, "{db_type}");
            assert_eq!(
                (declared.length, declared.scale),
                (length, scale),
                "{db_type}"
            );
        }
    }
}
