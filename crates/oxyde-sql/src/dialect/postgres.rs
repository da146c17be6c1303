//! PostgreSQL.

use sea_query::{BinOper, Expr as Sea};

use super::fragment::{atom, binary, call, cast, operator, raw, template};
use super::spelling::{
    Needle, Spelling, Typed, compare_oper, if_rounded_up, negative, orders, pipes, plain_arith,
};
use crate::compile::Number;
use crate::ir::{ArithOp, CompareOp, Lock, LockStrength, LockWait, MatchOp};
use crate::{CompileError, Dialect, Features, SqlType, Transform};

type Result<T> = std::result::Result<T, CompileError>;

const ME: Dialect = Dialect::Postgres;

pub(crate) struct Postgres {
    pub(crate) features: Features,
}

impl Postgres {
    /// With the collation that maps the case of all of Unicode, whatever the
    /// database's own collation is.
    fn unicode(&self, text: Sea) -> Sea {
        if self.features.icu_collation {
            template(ME, &["", " COLLATE \"und-x-icu\""], [atom(text)])
        } else {
            text
        }
    }

    fn fold(&self, text: Sea) -> Sea {
        call("lower", [self.unicode(text)])
    }
}

impl Spelling for Postgres {
    fn features(&self) -> &Features {
        &self.features
    }

    fn lower(&self, text: Sea) -> Result<Sea> {
        Ok(self.fold(text))
    }

    fn upper(&self, text: Sea) -> Result<Sea> {
        Ok(call("upper", [self.unicode(text)]))
    }

    fn length(&self, value: Typed) -> Sea {
        match value.ty {
            Some(SqlType::Array(_)) => call("cardinality", [value.sql]),
            _ => call("length", [value.sql]),
        }
    }

    fn concat(&self, parts: Vec<Typed>) -> Sea {
        pipes(ME, parts.into_iter().map(as_text).collect())
    }

    fn matches(&self, op: MatchOp, text: Typed, needle: &mut dyn Needle) -> Result<Sea> {
        let text = as_text(text);
        let (text, fold): (Sea, &dyn Fn(Sea) -> Sea) = if op.ignores_case() && op != MatchOp::IRegex
        {
            (self.fold(text), &|s| self.fold(s))
        } else {
            (text, &|s| s)
        };
        let like = |text, pattern| binary(text, BinOper::Like, pattern);
        let transform = match op {
            MatchOp::Regex => return Ok(operator(text, "~", needle.plain()?)),
            MatchOp::IRegex => return Ok(operator(text, "~*", needle.plain()?)),
            MatchOp::IExact => return Ok(binary(text, BinOper::Equal, fold(needle.plain()?))),
            MatchOp::Like | MatchOp::ILike => return Ok(like(text, fold(needle.plain()?))),
            MatchOp::Contains | MatchOp::IContains => Transform::LikeContains,
            MatchOp::StartsWith | MatchOp::IStartsWith => Transform::LikeStarts,
            MatchOp::EndsWith | MatchOp::IEndsWith => Transform::LikeEnds,
        };
        // LIKE with a parameter can use trigram and pattern indexes.
        if needle.is_param() {
            return Ok(like(text, fold(needle.changed(transform)?)));
        }
        let other = fold(needle.plain()?);
        Ok(match transform {
            Transform::LikeStarts => call("starts_with", [text, other]),
            Transform::LikeEnds => {
                let tail = call("right", [text, call("length", [other.clone()])]);
                binary(tail, BinOper::Equal, other)
            }
            _ => binary(
                call("strpos", [text, other]),
                BinOper::GreaterThan,
                raw("0"),
            ),
        })
    }

    fn compare(
        &self,
        op: CompareOp,
        a: Sea,
        b: Sea,
        ty: Option<&SqlType>,
        _same: bool,
    ) -> Result<Sea> {
        if orders(op) && ty == Some(&SqlType::Json) {
            return Err(self.features.refuse("an order among json values"));
        }
        Ok(binary(a, compare_oper(op), b))
    }

    fn in_list(
        &self,
        value: Sea,
        list: Sea,
        item: &SqlType,
        negated: bool,
        _same: bool,
    ) -> Result<Sea> {
        if matches!(item, SqlType::Array(_)) {
            // An array of arrays is one array with more dimensions here.
            return Err(self.features.refuse("`in` with a list of arrays"));
        }
        Ok(if negated {
            binary(value, BinOper::NotEqual, call("ALL", [list]))
        } else {
            binary(value, BinOper::Equal, call("ANY", [list]))
        })
    }

    fn xor(&self, a: Sea, b: Sea) -> Sea {
        binary(atom(a), BinOper::NotEqual, atom(b))
    }

    fn arith(&self, op: ArithOp, a: Sea, b: Sea, number: Number) -> Result<Sea> {
        let double = |x| cast(ME, x, "DOUBLE PRECISION");
        if op == ArithOp::Pow {
            return Ok(match number {
                Number::Decimal => call("power", [numeric(a), numeric(b)]),
                _ => call("power", [double(a), double(b)]),
            });
        }
        let divide = |a, b| binary(a, BinOper::Div, b);
        let remainder = |a: &Sea, b: &Sea| binary(a.clone(), BinOper::Mod, b.clone());
        Ok(match (op, number) {
            (ArithOp::Div, Number::Integer) => divide(double(a), b),
            (ArithOp::Div, _) => divide(a, b),
            (ArithOp::FloorDiv, Number::Integer) => {
                let one = if_rounded_up(remainder(&a, &b), b.clone(), raw("1"), ME);
                binary(divide(a, b), BinOper::Sub, one)
            }
            (ArithOp::Mod, Number::Integer) => {
                let fix = if_rounded_up(remainder(&a, &b), b.clone(), b.clone(), ME);
                binary(remainder(&a, &b), BinOper::Add, fix)
            }
            // Python's Decimal rounds towards zero, as div() and mod() do.
            (ArithOp::FloorDiv, Number::Decimal) => call("div", [numeric(a), numeric(b)]),
            (ArithOp::Mod, Number::Decimal) => call("mod", [numeric(a), numeric(b)]),
            (ArithOp::FloorDiv, _) => call("floor", [divide(a, b)]),
            // There is no remainder for floats.
            (ArithOp::Mod, _) => {
                let floor = call("floor", [divide(a.clone(), b.clone())]);
                binary(a, BinOper::Sub, binary(b, BinOper::Mul, floor))
            }
            (op, _) => plain_arith(op, a, b)
                .ok_or_else(|| self.features.refuse(format!("the operator {}", op.tag())))?,
        })
    }

    fn neg(&self, a: Sea, _number: Number) -> Sea {
        negative(ME, a)
    }

    fn now(&self, ty: Option<&SqlType>) -> Sea {
        // A naive column stores UTC, whatever the session's zone is.
        let utc = || call("", [raw("now() AT TIME ZONE 'UTC'")]);
        match ty {
            Some(SqlType::Timestamp) => utc(),
            Some(SqlType::Date) => cast(ME, utc(), "DATE"),
            Some(SqlType::Time) => cast(ME, utc(), "TIME"),
            _ => call("now", []),
        }
    }

    fn excluded(&self, column: &str, _alias: &str) -> Sea {
        raw(format!("excluded.{}", ME.quote(column)))
    }

    fn no_limit(&self) -> &'static str {
        "ALL"
    }

    fn lock(&self, lock: Lock) -> Result<Option<String>> {
        let strength = match lock.strength {
            LockStrength::Update => "FOR UPDATE",
            LockStrength::NoKeyUpdate => "FOR NO KEY UPDATE",
            LockStrength::Share => "FOR SHARE",
            LockStrength::KeyShare => "FOR KEY SHARE",
        };
        let wait = match lock.wait {
            LockWait::Block => "",
            LockWait::NoWait => " NOWAIT",
            LockWait::SkipLocked => " SKIP LOCKED",
        };
        Ok(Some(format!("{strength}{wait}")))
    }
}

/// The value as text: string operators are only defined for texts here.
fn as_text(value: Typed) -> Sea {
    match &value.ty {
        Some(ty) if !ty.is_text() => cast(ME, value.sql, "TEXT"),
        _ => value.sql,
    }
}

fn numeric(value: Sea) -> Sea {
    cast(ME, value, "NUMERIC")
}
