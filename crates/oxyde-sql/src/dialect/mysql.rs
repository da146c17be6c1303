//! MySQL and MariaDB.

use sea_query::{BinOper, Expr as Sea};

use super::fragment::{atom, binary, call, cast, operator, paren, raw, template};
use super::spelling::{
    Needle, Spelling, Typed, compare_oper, if_rounded_up, negative, orders, plain_arith,
};
use crate::compile::Number;
use crate::ir::{ArithOp, ArrayOp, CompareOp, Lock, LockStrength, LockWait, MatchOp};
use crate::{CompileError, Dialect, Features, SqlType, Transform};

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

    /// The type of a list's items in JSON_TABLE, and how the value is taken out.
    fn list_item(&self, item: &SqlType, value: Sea) -> (String, Sea) {
        let dialect = self.dialect();
        match item {
            SqlType::SmallInt | SqlType::Int | SqlType::BigInt | SqlType::Duration => {
                ("BIGINT".into(), value)
            }
            SqlType::Bool => ("TINYINT".into(), value),
            SqlType::Real | SqlType::Double => ("DOUBLE".into(), value),
            SqlType::Decimal { .. }
            | SqlType::Timestamp
            | SqlType::TimestampTz
            | SqlType::Date
            | SqlType::Time => (item.ddl(dialect), value),
            // Compared byte by byte, whatever the column's collation is.
            SqlType::Text | SqlType::String(_) | SqlType::Uuid | SqlType::Enum(_) => {
                let collate = format!(" COLLATE {}", collation(dialect));
                (
                    "LONGTEXT CHARACTER SET utf8mb4".into(),
                    template(dialect, &["", &collate], [value]),
                )
            }
            SqlType::Bytes => ("LONGTEXT".into(), call("UNHEX", [value])),
            SqlType::Json | SqlType::Array(_) if self.is_mariadb() => {
                ("JSON".into(), self.json(value))
            }
            SqlType::Json | SqlType::Array(_) => ("JSON".into(), value),
        }
    }
}

impl Spelling for Mysql {
    fn features(&self) -> &Features {
        &self.features
    }

    fn lower(&self, text: Sea) -> Result<Sea> {
        Ok(call("LOWER", [text]))
    }

    fn upper(&self, text: Sea) -> Result<Sea> {
        Ok(call("UPPER", [text]))
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
            if op.ignores_case() {
                call("LOWER", [s])
            } else {
                s
            }
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

    fn compare(
        &self,
        op: CompareOp,
        a: Sea,
        b: Sea,
        ty: Option<&SqlType>,
        _same: bool,
    ) -> Result<Sea> {
        let json = matches!(ty, Some(SqlType::Json | SqlType::Array(_)));
        if json && orders(op) {
            return Err(self.features.refuse("an order among json values"));
        }
        let (a, b) = if json {
            (self.json(a), self.json(b))
        } else {
            (a, b)
        };
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
        let json = matches!(item, SqlType::Json | SqlType::Array(_));
        let value = if json { self.json(value) } else { value };
        let (ty, taken) = self.list_item(item, raw("item"));
        let columns = format!(", '$[*]' COLUMNS (item {ty} PATH '$')) AS list");
        let rows = template(
            self.dialect(),
            &["SELECT ", " FROM JSON_TABLE(", &columns],
            [taken, list],
        );
        let oper = if negated { BinOper::NotIn } else { BinOper::In };
        Ok(binary(value, oper, paren(rows)))
    }

    fn array(&self, op: ArrayOp, a: Sea, b: Sea) -> Result<Sea> {
        Ok(match op {
            ArrayOp::Contains => call("JSON_CONTAINS", [a, b]),
            ArrayOp::ContainedBy => call("JSON_CONTAINS", [b, a]),
            ArrayOp::Overlap => {
                self.features
                    .require(self.features.json_overlaps, "`overlap` of lists")?;
                call("JSON_OVERLAPS", [a, b])
            }
        })
    }

    fn item(&self, array: Sea, index: Sea, item: &SqlType) -> Result<Sea> {
        let path = call("CONCAT", [raw("'$['"), index, raw("']'")]);
        let (ty, taken) = self.list_item(item, raw("item"));
        let columns = format!("), '$' COLUMNS (item {ty} PATH '$')) AS one");
        let row = template(
            self.dialect(),
            &["SELECT ", " FROM JSON_TABLE(JSON_EXTRACT(", ", ", &columns],
            [taken, array, path],
        );
        Ok(paren(row))
    }

    fn xor(&self, a: Sea, b: Sea) -> Sea {
        operator(atom(a), "XOR", atom(b))
    }

    fn arith(&self, op: ArithOp, a: Sea, b: Sea, number: Number) -> Result<Sea> {
        let me = self.dialect();
        let remainder = |a: &Sea, b: &Sea| binary(a.clone(), BinOper::Mod, b.clone());
        let floor_remainder = |a: &Sea, b: &Sea| {
            let fix = if_rounded_up(remainder(a, b), b.clone(), b.clone(), me);
            binary(remainder(a, b), BinOper::Add, fix)
        };
        Ok(match (op, number) {
            (ArithOp::Pow, _) => call("POW", [a, b]),
            // Otherwise integers would divide into a decimal of four digits.
            (ArithOp::Div, Number::Integer) => binary(cast(me, a, "DOUBLE"), BinOper::Div, b),
            (ArithOp::Div, _) => binary(a, BinOper::Div, b),
            (ArithOp::FloorDiv, Number::Integer) => {
                let one = if_rounded_up(remainder(&a, &b), b.clone(), raw("1"), me);
                binary(operator(a, "DIV", b), BinOper::Sub, one)
            }
            // Python's Decimal rounds towards zero, as the remainder does; DIV
            // would go through a 64-bit integer.
            (ArithOp::FloorDiv, Number::Decimal) => {
                let whole = binary(a.clone(), BinOper::Sub, remainder(&a, &b));
                binary(whole, BinOper::Div, b)
            }
            (ArithOp::Mod, Number::Decimal) => remainder(&a, &b),
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
