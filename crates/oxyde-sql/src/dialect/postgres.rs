//! PostgreSQL.

mod declared;
mod float;

use sea_query::{BinOper, Expr as Sea};

pub(super) use declared::time_type;

use super::fragment::{atom, binary, call, cast, operator, raw, template};
use super::spelling::{
    Compared, InList, Needle, Spelling, Typed, compare_oper, if_rounded_up, negative, orders,
    pipes, plain_arith,
};
use crate::compile::Number;
use crate::ir::{ArithOp, ArrayOp, Column, CompareOp, Lock, LockStrength, LockWait, MatchOp};
use crate::{CaseMapping, CompileError, Dialect, Features, SqlType, Transform};
use declared::{cast_target, same_type};

type Result<T> = std::result::Result<T, CompileError>;

const ME: Dialect = Dialect::Postgres;

/// The version as a number, and words for what its build and its database have.
///
/// A collation of ICU has the encoding -1 and works in databases of all
/// encodings that matter; one of libc or of the server itself has its own.
pub(super) const FACTS: &str = "\
SELECT current_setting('server_version_num'), concat_ws(' ', \
CASE WHEN EXISTS (SELECT FROM pg_catalog.pg_collation WHERE collname = 'und-x-icu' \
AND collnamespace = 'pg_catalog'::regnamespace AND collencoding = -1 \
AND pg_catalog.pg_encoding_to_char(d.encoding) <> 'SQL_ASCII') THEN 'icu' END, \
CASE WHEN EXISTS (SELECT FROM pg_catalog.pg_collation WHERE collname = 'pg_unicode_fast' \
AND collnamespace = 'pg_catalog'::regnamespace AND collencoding = d.encoding) THEN 'pg_unicode_fast' END, \
CASE WHEN EXISTS (SELECT FROM pg_catalog.pg_collation WHERE collname = 'pg_c_utf8' \
AND collnamespace = 'pg_catalog'::regnamespace AND collencoding = d.encoding) THEN 'pg_c_utf8' END, \
CASE WHEN d.datctype IN ('C', 'POSIX') THEN 'lc_ctype_c' END) \
FROM pg_catalog.pg_database AS d WHERE d.datname = pg_catalog.current_database()";

pub(crate) struct Postgres {
    pub(crate) features: Features,
}

impl Postgres {
    /// With the collation that maps the case of all of Unicode, whatever the
    /// database's own collation is.
    fn unicode(&self, text: Sea) -> Result<Sea> {
        let collate = |name| template(ME, &["", name], [atom(text.clone())]);
        match self.features.case_mapping {
            CaseMapping::Icu => Ok(collate(" COLLATE \"und-x-icu\"")),
            CaseMapping::PgUnicodeFast => Ok(collate(" COLLATE \"pg_unicode_fast\"")),
            CaseMapping::PgCUtf8 => Ok(collate(" COLLATE \"pg_c_utf8\"")),
            CaseMapping::Default => Ok(text),
            CaseMapping::Missing => Err(self.features.refuse(
                "upper and lower case beyond ASCII in this database: the server was built without \
                 ICU and the database's LC_CTYPE is C; create the database with another LC_CTYPE",
            )),
        }
    }

    fn fold(&self, text: Sea) -> Result<Sea> {
        Ok(call("lower", [self.unicode(text)?]))
    }
}

impl Spelling for Postgres {
    fn features(&self) -> &Features {
        &self.features
    }

    fn verbatim(&self, column: &Column) -> bool {
        let known = |db_type| same_type(db_type, &column.ty);
        !column.db_type.as_deref().is_none_or(known)
    }

    fn text_items(&self, item: &SqlType, column: Option<&Column>) -> Option<String> {
        match (column.and_then(|c| c.db_type.as_deref()), item) {
            (Some(db_type), _) => Some(cast_target(db_type)),
            // An array of arrays is one array with more dimensions here.
            (None, SqlType::Array(_)) => Some(cast_target(&item.ddl(ME))),
            (None, _) => None,
        }
    }

    fn in_texts(&self, value: Sea, list: Sea, target: &str, negated: bool) -> Result<Sea> {
        // A column of texts may be one of VARCHARs, and the other way round.
        let (value, target) = match target {
            "VARCHAR[]" | "TEXT[]" => (cast(ME, value, "TEXT[]"), "TEXT[]"),
            _ => (value, target),
        };
        let list = if target.ends_with(']') {
            let before = format!("SELECT given::{target} FROM unnest(");
            template(ME, &[&before, "::TEXT[]) AS given"], [list])
        } else {
            template(ME, &["", &format!("::TEXT[]::{target}[]")], [list])
        };
        Ok(any_or_all(value, list, negated))
    }

    fn text(&self, value: Sea) -> Sea {
        cast(ME, value, "TEXT")
    }

    fn lower(&self, text: Sea) -> Result<Sea> {
        self.fold(text)
    }

    fn upper(&self, text: Sea) -> Result<Sea> {
        Ok(call("upper", [self.unicode(text)?]))
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
        let fold = |s| match op {
            MatchOp::IRegex => self.unicode(s),
            _ if op.ignores_case() => self.fold(s),
            _ => Ok(s),
        };
        let text = fold(text)?;
        let like = |text, pattern| binary(text, BinOper::Like, pattern);
        let transform = match op {
            MatchOp::Regex => return Ok(operator(text, "~", needle.plain()?)),
            MatchOp::IRegex => return Ok(operator(text, "~*", needle.plain()?)),
            MatchOp::IExact => return Ok(binary(text, BinOper::Equal, fold(needle.plain()?)?)),
            MatchOp::Like | MatchOp::ILike => return Ok(like(text, fold(needle.plain()?)?)),
            MatchOp::Contains | MatchOp::IContains => Transform::LikeContains,
            MatchOp::StartsWith | MatchOp::IStartsWith => Transform::LikeStarts,
            MatchOp::EndsWith | MatchOp::IEndsWith => Transform::LikeEnds,
        };
        // LIKE with a parameter can use trigram and pattern indexes.
        if needle.is_param() {
            return Ok(like(text, fold(needle.changed(transform)?)?));
        }
        let other = fold(needle.plain()?)?;
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

    fn compare(&self, op: CompareOp, a: Sea, b: Sea, with: Compared<'_>) -> Result<Sea> {
        if orders(op) && with.ty == Some(&SqlType::Json) {
            return Err(self.features.refuse("an order among json values"));
        }
        Ok(binary(a, compare_oper(op), b))
    }

    fn in_list(&self, list: InList<'_>) -> Result<Sea> {
        Ok(any_or_all(list.value, list.list, list.negated))
    }

    fn array(&self, op: ArrayOp, a: Sea, b: Sea, _item: Option<&SqlType>) -> Result<Sea> {
        let oper = match op {
            ArrayOp::Contains => "@>",
            ArrayOp::ContainedBy => "<@",
            ArrayOp::Overlap => "&&",
        };
        Ok(operator(a, oper, b))
    }

    fn item(&self, array: Sea, index: Sea, _item: &SqlType) -> Result<Sea> {
        // sea-query takes brackets in a template for quotes.
        let [open, close] = ["[", "]"].map(raw);
        let texts = ["(", ") ", " ", " + 1 ", ""];
        Ok(template(ME, &texts, [array, open, atom(index), close]))
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
            (ArithOp::FloorDiv | ArithOp::Mod, Number::Float) => {
                self.features.require(
                    self.features.subqueries,
                    "`//` and `%` of floats in a constraint or index",
                )?;
                float::division(op, double(a), double(b))
            }
            (ArithOp::FloorDiv, _) => call("floor", [divide(a, b)]),
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

    fn in_utc(&self, value: Sea, from: &SqlType, to: &SqlType) -> Sea {
        let shifted = |x| call("", [template(ME, &["", " AT TIME ZONE 'UTC'"], [atom(x)])]);
        match (from, to) {
            (SqlType::TimestampTz, SqlType::Timestamp | SqlType::Date | SqlType::Time)
            | (SqlType::Timestamp, SqlType::TimestampTz) => shifted(value),
            (SqlType::Date, SqlType::TimestampTz) => shifted(cast(ME, value, "TIMESTAMP")),
            _ => value,
        }
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

fn any_or_all(value: Sea, list: Sea, negated: bool) -> Sea {
    if negated {
        binary(value, BinOper::NotEqual, call("ALL", [list]))
    } else {
        binary(value, BinOper::Equal, call("ANY", [list]))
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
