//! MySQL and MariaDB.

mod declared;
mod list;
mod session;
mod text;

use sea_query::{BinOper, Expr as Sea};

pub(crate) use declared::{Stored, stored};
pub(super) use session::{FACTS, settings};

use super::fragment::{atom, binary, call, case, cast, operator, raw, template};
use super::spelling::{
    Compared, InList, Needle, Spelling, Typed, compare_oper, if_rounded_up, negative, orders,
    plain_arith,
};
use crate::compile::Number;
use crate::ir::{ArithOp, ArrayOp, Column, CompareOp, Lock, LockStrength, LockWait, MatchOp};
use crate::{CompileError, Dialect, Features, SqlType, Transform};
use declared::compares_otherwise;

type Result<T> = std::result::Result<T, CompileError>;

pub(crate) struct Mysql {
    pub(crate) features: Features,
}

/// The binary collation without padding: `=`, UNIQUE and GROUP BY as in Python.
pub(crate) fn collation(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::MariaDb => "utf8mb4_nopad_bin",
        _ => "utf8mb4_0900_bin",
    }
}

impl Mysql {
    fn is_mariadb(&self) -> bool {
        self.features.dialect == Dialect::MariaDb
    }

    /// A text in our own encoding and under our own collation.
    fn unified(&self, text: Sea) -> Sea {
        let me = self.features.dialect;
        let converted = template(me, &["", " USING utf8mb4"], [text]);
        self.collated(call("CONVERT", [converted]))
    }

    /// A JSON document in the form in which equal documents are equal: JSON
    /// is a type on MySQL and text on MariaDB.
    fn json(&self, value: Sea) -> Sea {
        if self.features.json_normalize {
            call("JSON_NORMALIZE", [value])
        } else if self.is_mariadb() {
            call("JSON_COMPACT", [value])
        } else {
            cast(self.dialect(), value, "JSON")
        }
    }

    /// A float of 64 bits rounded to one of 32 bits. The CAST of older MySQLs
    /// keeps all bits; a column of JSON_TABLE cannot.
    fn float(&self, value: Sea) -> Sea {
        let me = self.dialect();
        if self.is_mariadb() || !self.features.subqueries {
            return cast(me, value, "FLOAT");
        }
        let rest = ", '$[0]' COLUMNS (item FLOAT PATH '$')) AS one)";
        let array = call("JSON_ARRAY", [value]);
        template(me, &["(SELECT item FROM JSON_TABLE(", rest], [array])
    }

    fn regexp(&self, text: Sea, pattern: Sea, ignore_case: bool) -> Sea {
        if self.is_mariadb() {
            // PCRE takes the flag inside the pattern.
            let flag = raw(if ignore_case { "'(?i)'" } else { "'(?-i)'" });
            operator(text, "REGEXP", call("CONCAT", [flag, pattern]))
        } else {
            let flag = raw(if ignore_case { "'i'" } else { "'c'" });
            call("REGEXP_LIKE", [text, pattern, flag])
        }
    }

    /// The divisor, or an error if it is 0: a SELECT would give NULL.
    ///
    /// No function of these servers raises an error of one's own; a power of 0
    /// does, and the server shows the expression, in which the words stand.
    fn divisor(&self, b: Sea) -> Sea {
        if let Sea::Keyword(sea_query::Keyword::Custom(text)) = &b
            && text
                .inner()
                .parse::<f64>()
                .is_ok_and(|number| number != 0.0)
        {
            return b;
        }
        let me = self.dialect();
        let error = template(me, &["POW(", ", -LENGTH('division by zero'))"], [b.clone()]);
        let is_zero = binary(b.clone(), BinOper::Equal, raw("0"));
        case(is_zero, cast(me, error, "SIGNED"), b)
    }
}

impl Spelling for Mysql {
    fn features(&self) -> &Features {
        &self.features
    }

    fn beside(&self, value: Sea, column: &Column) -> Sea {
        // A float of 32 bits is not equal to the double that it was made of.
        match stored(column.db_type.as_deref(), &column.ty) {
            Stored::Float if column.ty.is_float() => self.float(value),
            _ => value,
        }
    }

    fn exact(&self, value: Sea, column: &Column) -> Sea {
        if compares_otherwise(column, self.dialect()) {
            self.unified(value)
        } else {
            value
        }
    }

    fn lower(&self, text: Sea) -> Result<Sea> {
        Ok(self.lower_case(text))
    }

    fn upper(&self, text: Sea) -> Result<Sea> {
        Ok(self.upper_case(text))
    }

    fn length(&self, value: Typed) -> Sea {
        match value.ty {
            Some(SqlType::Array(_)) => call("JSON_LENGTH", [value.sql]),
            Some(SqlType::Bytes) => call("LENGTH", [value.sql]),
            _ => call("CHAR_LENGTH", [value.sql]),
        }
    }

    fn concat(&self, parts: Vec<Typed>) -> Sea {
        call("CONCAT", parts.into_iter().map(|p| p.sql))
    }

    fn matches(&self, op: MatchOp, text: Typed, needle: &mut dyn Needle) -> Result<Sea> {
        let fold = |s: Sea| {
            if op.ignores_case() { self.folded(s) } else { s }
        };
        let like = |text, pattern| binary(fold(text), BinOper::Like, fold(pattern));
        let text = text.sql;
        let transform = match op {
            MatchOp::Regex | MatchOp::IRegex => {
                return Ok(self.regexp(text, needle.plain()?, op.ignores_case()));
            }
            MatchOp::IExact => {
                return Ok(binary(fold(text), BinOper::Equal, fold(needle.plain()?)));
            }
            MatchOp::Like | MatchOp::ILike => return Ok(like(text, needle.plain()?)),
            MatchOp::Contains | MatchOp::IContains => Transform::LikeContains,
            MatchOp::StartsWith | MatchOp::IStartsWith => Transform::LikeStarts,
            MatchOp::EndsWith | MatchOp::IEndsWith => Transform::LikeEnds,
        };
        // LIKE 'x%' can use an index.
        if needle.is_param() {
            return Ok(like(text, needle.changed(transform)?));
        }
        let (text, other) = (fold(text), fold(needle.plain()?));
        let length = call("CHAR_LENGTH", [other.clone()]);
        Ok(match transform {
            Transform::LikeStarts => binary(call("LEFT", [text, length]), BinOper::Equal, other),
            Transform::LikeEnds => binary(call("RIGHT", [text, length]), BinOper::Equal, other),
            _ => binary(
                call("LOCATE", [other, text]),
                BinOper::GreaterThan,
                raw("0"),
            ),
        })
    }

    fn compare(&self, op: CompareOp, a: Sea, b: Sea, with: Compared<'_>) -> Result<Sea> {
        let json = matches!(with.ty, Some(SqlType::Json | SqlType::Array(_)));
        if json && orders(op) {
            return Err(self.features.refuse("an order among json values"));
        }
        let (a, b) = if json {
            (self.json(a), self.json(b))
        } else {
            (a, b)
        };
        let otherwise = |column: &Column| compares_otherwise(column, self.dialect());
        if orders(op) || !with.columns.into_iter().flatten().any(otherwise) {
            return Ok(binary(a, compare_oper(op), b));
        }
        let right = match with.columns {
            [_, Some(column)] if otherwise(column) => self.unified(b.clone()),
            _ => self.collated(b.clone()),
        };
        let exact = binary(a.clone(), compare_oper(op), right);
        // The column's own comparison first: it can use an index.
        match (op, with.columns) {
            (CompareOp::Eq, [Some(_), None] | [None, Some(_)]) => {
                let indexed = binary(a, BinOper::Equal, b);
                Ok(binary(indexed, BinOper::And, exact))
            }
            _ => Ok(exact),
        }
    }

    fn in_list(&self, list: InList<'_>) -> Result<Sea> {
        Ok(self.among(list))
    }

    fn array(&self, op: ArrayOp, a: Sea, b: Sea, item: Option<&SqlType>) -> Result<Sea> {
        Ok(self.members(op, a, b, item))
    }

    fn item(&self, array: Sea, index: Sea, item: &SqlType) -> Result<Sea> {
        Ok(self.member(array, index, item))
    }

    fn xor(&self, a: Sea, b: Sea) -> Sea {
        operator(atom(a), "XOR", atom(b))
    }

    fn arith(&self, op: ArithOp, a: Sea, b: Sea, number: Number) -> Result<Sea> {
        let me = self.dialect();
        let remainder = |a: &Sea, b: &Sea| binary(a.clone(), BinOper::Mod, b.clone());
        let checked = |a: &Sea, b: &Sea| binary(a.clone(), BinOper::Mod, self.divisor(b.clone()));
        let floor_remainder = |a: &Sea, b: &Sea| {
            let fix = if_rounded_up(remainder(a, b), b.clone(), b.clone(), me);
            binary(checked(a, b), BinOper::Add, fix)
        };
        Ok(match (op, number) {
            (ArithOp::Pow, _) => {
                self.features.require(
                    self.features.decimal_powers || number != Number::Decimal,
                    "powers of decimals",
                )?;
                call("POW", [a, b])
            }
            // Otherwise integers would divide into a decimal of a few digits.
            (ArithOp::Div, Number::Integer) => {
                binary(cast(me, a, "DOUBLE"), BinOper::Div, self.divisor(b))
            }
            (ArithOp::Div, _) => binary(a, BinOper::Div, self.divisor(b)),
            (ArithOp::FloorDiv, Number::Integer) => {
                let one = if_rounded_up(remainder(&a, &b), b.clone(), raw("1"), me);
                let quotient = operator(a, "DIV", self.divisor(b));
                binary(quotient, BinOper::Sub, one)
            }
            // Python's Decimal rounds towards zero, as the remainder does; DIV
            // would go through a 64-bit integer.
            (ArithOp::FloorDiv, Number::Decimal) => {
                let whole = binary(a.clone(), BinOper::Sub, checked(&a, &b));
                binary(whole, BinOper::Div, b)
            }
            (ArithOp::Mod, Number::Decimal) => checked(&a, &b),
            (ArithOp::FloorDiv, _) => {
                let whole = binary(a.clone(), BinOper::Sub, floor_remainder(&a, &b));
                call("ROUND", [binary(whole, BinOper::Div, b)])
            }
            (ArithOp::Mod, _) => floor_remainder(&a, &b),
            (op, _) => plain_arith(op, a, b)
                .ok_or_else(|| self.features.refuse(format!("the operator {}", op.tag())))?,
        })
    }

    fn neg(&self, a: Sea, _number: Number) -> Sea {
        negative(self.dialect(), a)
    }

    fn abs(&self, a: Sea, _number: Number) -> Sea {
        call("ABS", [a])
    }

    fn now(&self, ty: Option<&SqlType>) -> Sea {
        match ty {
            Some(SqlType::Date) => call("UTC_DATE", []),
            Some(SqlType::Time) => call("UTC_TIME", [raw("6")]),
            _ => call("UTC_TIMESTAMP", [raw("6")]),
        }
    }

    fn excluded(&self, column: &str, alias: &str) -> Sea {
        let column = self.dialect().quote(column);
        if self.features.insert_row_alias {
            raw(format!("{alias}.{column}"))
        } else {
            raw(format!("VALUES({column})"))
        }
    }

    fn no_limit(&self) -> &'static str {
        // The documented way to say it: larger than any table.
        "18446744073709551615"
    }

    fn lock(&self, lock: Lock) -> Result<Option<String>> {
        let wait = match lock.wait {
            LockWait::Block => "",
            LockWait::NoWait => " NOWAIT",
            LockWait::SkipLocked => " SKIP LOCKED",
        };
        if !wait.is_empty() {
            self.features
                .require(self.features.lock_wait, wait.trim_start())?;
        }
        let strength = match lock.strength {
            LockStrength::Update => "FOR UPDATE",
            LockStrength::Share if self.features.for_share => "FOR SHARE",
            LockStrength::Share => "LOCK IN SHARE MODE",
            LockStrength::NoKeyUpdate => return Err(self.features.refuse("FOR NO KEY UPDATE")),
            LockStrength::KeyShare => return Err(self.features.refuse("FOR KEY SHARE")),
        };
        Ok(Some(format!("{strength}{wait}")))
    }
}
