//! Reads the shape grammar from JSON: lists for tuples, `null` for `None`.
//!
//! Schema documents carry predicates this way, and the golden documents shared
//! with Python carry whole queries. Parameters are numbered as they are met,
//! exactly as Python's walk numbers them.

use std::sync::Arc;

use serde_json::Value;

use super::{
    ArithOp, ArrayOp, CompareOp, Conflict, Delete, Distinct, Expr, Func, Insert, InsertSource,
    Lock, MAX_DEPTH, MatchOp, Nulls, Order, Output, Query, Select, SelectMode, Slot, Table, Update,
};
use crate::{CompileError, SqlType};

type Result<T> = std::result::Result<T, CompileError>;

/// Finds the table of a model id.
pub type Tables<'a> = &'a dyn Fn(u64) -> Option<Arc<Table>>;

/// Reads a whole query.
///
/// # Errors
/// [`CompileError::Invalid`] naming the node that is wrong.
pub fn query(shape: &Value, tables: Tables<'_>) -> Result<Query> {
    let mut reader = Reader::default();
    let (tag, parts) = node(shape)?;
    let table = |v: &Value| {
        v.as_u64()
            .and_then(tables)
            .ok_or_else(|| invalid(format!("there is no model with the id {v}")))
    };
    match (tag, parts) {
        ("select", [model, outputs, filter, order, paging, distinct, lock, mode]) => {
            let table = table(model)?;
            let outputs = each(outputs, |v| reader.output(v))?;
            let filter = reader.optional(filter)?;
            let order = each(order, |v| reader.order(v))?;
            let paging = text(paging)?;
            if !matches!(paging, "" | "l" | "o" | "lo") {
                return Err(invalid(format!("unknown paging {paging:?}")));
            }
            let limit = paging.contains('l').then(|| reader.slot(SqlType::BigInt));
            let offset = paging.contains('o').then(|| reader.slot(SqlType::BigInt));
            Ok(Query::Select(Select {
                table,
                outputs,
                filter,
                order,
                limit,
                offset,
                distinct: match text(distinct)? {
                    "" => Distinct::All,
                    "distinct" => Distinct::Distinct,
                    other => return Err(invalid(format!("unknown distinct {other:?}"))),
                },
                lock: Lock::parse(text(lock)?).map_err(invalid)?,
                mode: match text(mode)? {
                    "rows" => SelectMode::Rows,
                    "count" => SelectMode::Count,
                    "exists" => SelectMode::Exists,
                    other => return Err(invalid(format!("unknown mode {other:?}"))),
                },
            }))
        }
        ("insert", [model, fields, source, conflict, returning]) => Ok(Query::Insert(Insert {
            table: table(model)?,
            fields: names(fields)?,
            source: match node(source)? {
                ("values", [row]) => InsertSource::Values(each(row, |v| reader.expr(v, 0))?),
                ("bulk", []) => InsertSource::Bulk,
                (tag, _) => return Err(invalid(format!("unknown insert source {tag:?}"))),
            },
            conflict: reader.conflict(conflict)?,
            returning: names(returning)?,
        })),
        ("update", [model, set, filter, returning]) => Ok(Query::Update(Update {
            table: table(model)?,
            set: each(set, |v| reader.assignment(v))?,
            filter: reader.optional(filter)?,
            returning: names(returning)?,
        })),
        ("delete", [model, filter, returning]) => Ok(Query::Delete(Delete {
            table: table(model)?,
            filter: reader.optional(filter)?,
            returning: names(returning)?,
        })),
        (tag, parts) => Err(invalid(format!(
            "no query is called {tag:?} with {} parts",
            parts.len()
        ))),
    }
}

/// Reads one expression; its parameters are numbered from 0.
///
/// # Errors
/// [`CompileError::Invalid`] naming the node that is wrong.
pub fn expr(shape: &Value) -> Result<Expr> {
    Reader::default().expr(shape, 0)
}

#[derive(Default)]
struct Reader {
    params: usize,
}

impl Reader {
    fn slot(&mut self, ty: SqlType) -> Slot {
        let index = self.params;
        self.params += 1;
        Slot { index, ty }
    }

    fn optional(&mut self, shape: &Value) -> Result<Option<Expr>> {
        if shape.is_null() {
            return Ok(None);
        }
        self.expr(shape, 0).map(Some)
    }

    fn expr(&mut self, shape: &Value, depth: usize) -> Result<Expr> {
        if depth > MAX_DEPTH {
            return Err(too_deep());
        }
        let (tag, parts) = node(shape)?;
        let mut sub = |v: &Value| self.expr(v, depth + 1);
        let mut boxed = |v: &Value| sub(v).map(Box::new);
        Ok(match (tag, parts) {
            ("null", []) => Expr::Null,
            ("true", []) => Expr::True,
            ("false", []) => Expr::False,
            ("now", []) => Expr::Now,
            ("star", []) => Expr::Star,
            ("col", [field]) => Expr::Column(text(field)?.to_owned()),
            ("excluded", [field]) => Expr::Excluded(text(field)?.to_owned()),
            ("sql", [sql]) => Expr::Sql(text(sql)?.to_owned()),
            ("param", [ty]) => Expr::Param(self.slot(SqlType::from_json(ty).map_err(from_tag)?)),
            ("cmp", [op, a, b]) => Expr::Compare(
                tagged(op, CompareOp::parse, "comparison")?,
                boxed(a)?,
                boxed(b)?,
            ),
            ("is_null", [a]) => Expr::IsNull(boxed(a)?),
            ("is_not_null", [a]) => Expr::IsNotNull(boxed(a)?),
            ("between", [a, low, high]) => Expr::Between(boxed(a)?, boxed(low)?, boxed(high)?),
            ("in", [a, list]) => Expr::In(boxed(a)?, boxed(list)?),
            ("not_in", [a, list]) => Expr::NotIn(boxed(a)?, boxed(list)?),
            ("match", [op, a, b]) => Expr::Match(
                tagged(op, MatchOp::parse, "string lookup")?,
                boxed(a)?,
                boxed(b)?,
            ),
            ("array", [op, a, b]) => Expr::Array(
                tagged(op, ArrayOp::parse, "array lookup")?,
                boxed(a)?,
                boxed(b)?,
            ),
            ("item", [a, index]) => Expr::Item(boxed(a)?, boxed(index)?),
            ("and", list) => Expr::And(list.iter().map(sub).collect::<Result<_>>()?),
            ("or", list) => Expr::Or(list.iter().map(sub).collect::<Result<_>>()?),
            ("not", [a]) => Expr::Not(boxed(a)?),
            ("xor", [a, b]) => Expr::Xor(boxed(a)?, boxed(b)?),
            ("arith", [op, a, b]) => Expr::Arith(
                tagged(op, ArithOp::parse, "arithmetic operator")?,
                boxed(a)?,
                boxed(b)?,
            ),
            ("neg", [a]) => Expr::Neg(boxed(a)?),
            ("func", [name, args @ ..]) => Expr::Func(
                tagged(name, Func::parse, "function")?,
                args.iter().map(sub).collect::<Result<_>>()?,
            ),
            (tag, parts) => {
                return Err(invalid(format!(
                    "no expression is called {tag:?} with {} parts",
                    parts.len()
                )));
            }
        })
    }

    fn output(&mut self, shape: &Value) -> Result<Output> {
        if let Some(field) = shape.as_str() {
            return Ok(Output::Field(field.to_owned()));
        }
        match node(shape)? {
            ("expr", [name, expr, ty]) => Ok(Output::Expr {
                name: text(name)?.to_owned(),
                expr: self.expr(expr, 0)?,
                ty: SqlType::from_json(ty).map_err(from_tag)?,
            }),
            (tag, _) => Err(invalid(format!("unknown output {tag:?}"))),
        }
    }

    fn order(&mut self, shape: &Value) -> Result<Order> {
        let Some([expr, direction, nulls]) = shape.as_array().map(Vec::as_slice) else {
            return Err(invalid(format!(
                "a sort key is (expression, direction, nulls), not {shape}"
            )));
        };
        Ok(Order {
            expr: self.expr(expr, 0)?,
            descending: match text(direction)? {
                "asc" => false,
                "desc" => true,
                other => return Err(invalid(format!("unknown direction {other:?}"))),
            },
            nulls: if nulls.is_null() {
                None
            } else {
                Some(tagged(nulls, Nulls::parse, "place for NULLs")?)
            },
        })
    }

    fn assignment(&mut self, shape: &Value) -> Result<(String, Expr)> {
        match shape.as_array().map(Vec::as_slice) {
            Some([field, expr]) => Ok((text(field)?.to_owned(), self.expr(expr, 0)?)),
            _ => Err(invalid(format!(
                "an assignment is (field, expression), not {shape}"
            ))),
        }
    }

    fn conflict(&mut self, shape: &Value) -> Result<Option<Conflict>> {
        if shape.is_null() {
            return Ok(None);
        }
        Ok(Some(match node(shape)? {
            ("ignore", [fields]) => Conflict::Ignore {
                fields: names(fields)?,
            },
            ("update", [fields, set]) => Conflict::Update {
                fields: names(fields)?,
                set: each(set, |v| self.assignment(v))?,
            },
            (tag, _) => return Err(invalid(format!("unknown conflict action {tag:?}"))),
        }))
    }
}

pub(crate) fn too_deep() -> CompileError {
    invalid(format!(
        "the expression nests deeper than {MAX_DEPTH} levels; combine conditions with \
         Q(...) & Q(...) lists or split the query"
    ))
}

fn invalid(message: impl Into<String>) -> CompileError {
    CompileError::Invalid(message.into())
}

fn from_tag(error: crate::TypeTagError) -> CompileError {
    CompileError::Invalid(error.0)
}

/// Splits a node into its tag and parts.
fn node(shape: &Value) -> Result<(&str, &[Value])> {
    shape
        .as_array()
        .and_then(|list| list.split_first())
        .and_then(|(tag, parts)| Some((tag.as_str()?, parts)))
        .ok_or_else(|| invalid(format!("{shape} is no tagged list")))
}

fn text(value: &Value) -> Result<&str> {
    value
        .as_str()
        .ok_or_else(|| invalid(format!("expected a string, not {value}")))
}

fn each<T>(list: &Value, f: impl FnMut(&Value) -> Result<T>) -> Result<Vec<T>> {
    list.as_array()
        .ok_or_else(|| invalid(format!("expected a list, not {list}")))?
        .iter()
        .map(f)
        .collect()
}

fn names(list: &Value) -> Result<Vec<String>> {
    each(list, |v| text(v).map(str::to_owned))
}

fn tagged<T>(tag: &Value, parse: impl Fn(&str) -> Option<T>, what: &str) -> Result<T> {
    parse(text(tag)?).ok_or_else(|| invalid(format!("unknown {what} {tag}")))
}
