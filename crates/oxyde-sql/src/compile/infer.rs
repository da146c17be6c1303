//! What can be told about an expression before it is compiled: its type and its size.

use super::context::Context;
use crate::ir::json::too_deep;
use crate::ir::{ArithOp, Column, Expr, Func, MAX_DEPTH};
use crate::{CompileError, SqlType};

/// What kind of number an arithmetic expression works on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Number {
    /// Integers.
    Integer,
    /// At least one side is a binary float.
    Float,
    /// At least one side is a decimal and none a float.
    Decimal,
    /// Not known, as with `sql()`: the database's own operator is used.
    Unknown,
}

impl Number {
    pub(crate) fn of(ty: Option<&SqlType>) -> Self {
        match ty {
            Some(t) if t.is_integer() || *t == SqlType::Duration => Self::Integer,
            Some(t) if t.is_float() => Self::Float,
            Some(t) if t.is_decimal() => Self::Decimal,
            _ => Self::Unknown,
        }
    }

    pub(crate) fn of_both(a: Option<&SqlType>, b: Option<&SqlType>) -> Self {
        match (Self::of(a), Self::of(b)) {
            (Self::Float, _) | (_, Self::Float) => Self::Float,
            (Self::Decimal, _) | (_, Self::Decimal) => Self::Decimal,
            (Self::Integer, Self::Integer) => Self::Integer,
            _ => Self::Unknown,
        }
    }
}

const ANY_DECIMAL: SqlType = SqlType::Decimal {
    precision: None,
    scale: None,
};

impl Context<'_> {
    /// The type of an expression, where it can be known.
    pub(crate) fn type_of(&self, expr: &Expr) -> Option<SqlType> {
        match expr {
            Expr::Column(field) | Expr::Excluded(field) => {
                self.table.column(field).map(|c| c.ty.clone())
            }
            Expr::Param(slot) => Some(slot.ty.clone()),
            Expr::True
            | Expr::False
            | Expr::Compare(..)
            | Expr::IsNull(_)
            | Expr::IsNotNull(_)
            | Expr::Between(..)
            | Expr::In(..)
            | Expr::NotIn(..)
            | Expr::Match(..)
            | Expr::Array(..)
            | Expr::And(_)
            | Expr::Or(_)
            | Expr::Not(_)
            | Expr::Xor(..) => Some(SqlType::Bool),
            Expr::Item(a, _) => match self.type_of(a)? {
                SqlType::Array(item) => Some(*item),
                _ => None,
            },
            Expr::Neg(a) => self.type_of(a),
            Expr::Arith(op, a, b) => self.type_of_arith(*op, a, b),
            Expr::Func(func, args) => match func {
                Func::Lower | Func::Upper | Func::Concat | Func::Trim | Func::Replace => {
                    Some(SqlType::Text)
                }
                Func::Length | Func::Count => Some(SqlType::BigInt),
                Func::Coalesce => args.iter().find_map(|a| self.type_of(a)),
                Func::Abs => args.first().and_then(|a| self.type_of(a)),
                Func::Now => None,
            },
            Expr::Null | Expr::Star | Expr::Now | Expr::Sql(_) => None,
        }
    }

    /// Whether an expression's type is only known by the server.
    pub(crate) fn is_verbatim(&self, expr: &Expr) -> bool {
        self.verbatim_column(expr).is_some()
    }

    /// Whether the server infers the type of a parameter beside an expression:
    /// only it knows that, or there are operators for equal types alone, as
    /// there are for arrays.
    pub(crate) fn is_inferred(&self, expr: &Expr) -> bool {
        let array = || matches!(self.type_of(expr), Some(SqlType::Array(_)));
        self.is_verbatim(expr) || (self.features.exact_arrays && array())
    }

    /// The column because of which only the server knows an expression's type.
    pub(crate) fn verbatim_column(&self, expr: &Expr) -> Option<&'_ Column> {
        match expr {
            Expr::Column(field) | Expr::Excluded(field) => {
                let column = self.table.column(field)?;
                self.spell.verbatim(column).then_some(column)
            }
            Expr::Neg(a) => self.verbatim_column(a),
            Expr::Arith(_, a, b) => self.verbatim_column(a).or_else(|| self.verbatim_column(b)),
            Expr::Func(Func::Coalesce | Func::Abs, args) => {
                args.iter().find_map(|a| self.verbatim_column(a))
            }
            _ => None,
        }
    }

    fn type_of_arith(&self, op: ArithOp, a: &Expr, b: &Expr) -> Option<SqlType> {
        let (a, b) = (self.type_of(a), self.type_of(b));
        match Number::of_both(a.as_ref(), b.as_ref()) {
            Number::Float => Some(SqlType::Double),
            Number::Decimal => Some(ANY_DECIMAL),
            Number::Integer => Some(match op {
                ArithOp::Div | ArithOp::Pow => SqlType::Double,
                _ => SqlType::BigInt,
            }),
            Number::Unknown => match a {
                Some(t) if t.is_text() && op == ArithOp::Add => Some(SqlType::Text),
                _ => None,
            },
        }
    }
}

/// How many nodes an expression expands to at most: `//`, `%` and their like have
/// to name their operands several times where a database lacks the operator.
///
/// # Errors
/// When it nests too deeply for the functions that recurse over it.
pub(crate) fn weight(expr: &Expr, depth: usize) -> Result<usize, CompileError> {
    if depth > MAX_DEPTH {
        return Err(too_deep());
    }
    let sub = |e: &Expr| weight(e, depth + 1);
    let all = |list: &[Expr]| {
        list.iter()
            .try_fold(1, |sum: usize, e| Ok(sum.saturating_add(sub(e)?)))
    };
    let two = |a, b| Ok(sub(a)?.saturating_add(sub(b)?).saturating_add(1));
    match expr {
        Expr::Arith(ArithOp::FloorDiv | ArithOp::Mod, a, b) => {
            let (a, b) = (sub(a)?, sub(b)?);
            Ok(a.saturating_mul(3).saturating_add(b.saturating_mul(7)))
        }
        // The divisor is compared with 0 first.
        Expr::Arith(ArithOp::Div, a, b) => Ok(sub(a)?.saturating_add(sub(b)?.saturating_mul(3))),
        // Each side is asked for NULL first, or compared by the rules of a column
        // and by its bytes.
        Expr::Array(_, a, b) | Expr::Compare(_, a, b) => {
            two(a, b).map(|both: usize| both.saturating_mul(2))
        }
        Expr::In(a, b) | Expr::NotIn(a, b) => Ok(sub(a)?.saturating_mul(3).saturating_add(sub(b)?)),
        Expr::Arith(_, a, b) | Expr::Item(a, b) | Expr::Match(_, a, b) | Expr::Xor(a, b) => {
            two(a, b)
        }
        Expr::Between(a, b, c) => Ok(two(a, b)?.saturating_add(sub(c)?)),
        Expr::And(list) | Expr::Or(list) | Expr::Func(_, list) => all(list),
        Expr::IsNull(a) | Expr::IsNotNull(a) | Expr::Not(a) | Expr::Neg(a) => {
            Ok(sub(a)?.saturating_add(1))
        }
        Expr::Column(_)
        | Expr::Param(_)
        | Expr::Null
        | Expr::True
        | Expr::False
        | Expr::Star
        | Expr::Now
        | Expr::Excluded(_)
        | Expr::Sql(_) => Ok(1),
    }
}
