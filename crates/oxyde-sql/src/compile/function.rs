//! Functions: how many arguments each takes, and what it becomes.

use sea_query::Expr as Sea;

use super::context::Context;
use super::infer::Number;
use crate::dialect::{Typed, fragment};
use crate::ir::{Expr, Func};
use crate::{CompileError, SqlType};

type Result<T> = std::result::Result<T, CompileError>;

impl Context<'_> {
    pub(super) fn function(
        &mut self,
        func: Func,
        args: &[Expr],
        hint: Option<&SqlType>,
    ) -> Result<Sea> {
        let (least, most) = arity(func);
        if args.len() < least || args.len() > most {
            return Err(CompileError::invalid(format!(
                "{}() takes {} arguments, not {}",
                func.tag(),
                match (least, most) {
                    (n, m) if n == m => n.to_string(),
                    (n, usize::MAX) => format!("at least {n}"),
                    (n, m) => format!("{n} to {m}"),
                },
                args.len()
            )));
        }
        if func == Func::Count && args == [Expr::Star] {
            return Ok(fragment::call("COUNT", [fragment::raw("*")]));
        }
        let known = args.iter().find_map(|a| self.type_of(a));
        let hint = known.as_ref().or(hint);
        let same = matches!(func, Func::Coalesce | Func::Abs | Func::Count);
        let inferred = same
            && args
                .iter()
                .any(|a| !matches!(a, Expr::Param(_)) && self.is_inferred(a));
        let mut values = args
            .iter()
            .map(|a| {
                if !same {
                    return self.text(a, hint);
                }
                let ty = self.type_of(a);
                let sql = self.operand(a, hint, inferred)?;
                let sql = self.in_utc(sql, a, known.as_ref());
                Ok(Typed { sql, ty })
            })
            .collect::<Result<Vec<_>>>()?;
        let all = |values: Vec<Typed>| values.into_iter().map(|v| v.sql);
        Ok(match func {
            Func::Now => self.spell.now(hint),
            Func::Concat => self.spell.concat(values),
            Func::Coalesce if values.len() > 1 => fragment::call("COALESCE", all(values)),
            Func::Count => fragment::call("COUNT", all(values)),
            Func::Trim => fragment::call("trim", all(values)),
            Func::Replace => fragment::call("replace", all(values)),
            Func::Coalesce | Func::Lower | Func::Upper | Func::Length | Func::Abs => {
                let value = values
                    .pop()
                    .ok_or_else(|| CompileError::invalid("a function lacks its argument"))?;
                match func {
                    Func::Lower => self.spell.lower(value.sql)?,
                    Func::Upper => self.spell.upper(value.sql)?,
                    Func::Length => self.spell.length(value),
                    Func::Abs => {
                        let number = Number::of(value.ty.as_ref());
                        self.spell.abs(value.sql, number)
                    }
                    // coalesce() of one value is that value.
                    _ => value.sql,
                }
            }
        })
    }
}

/// The least and the largest number of arguments.
fn arity(func: Func) -> (usize, usize) {
    match func {
        Func::Now => (0, 0),
        Func::Lower | Func::Upper | Func::Length | Func::Abs | Func::Trim | Func::Count => (1, 1),
        Func::Replace => (3, 3),
        Func::Coalesce | Func::Concat => (1, usize::MAX),
    }
}
