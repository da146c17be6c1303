//! SQLite.
//!
//! What its SQL lacks is done by functions that our connections register
//! ([`FUNCTIONS`]). Text that is stored in the schema must not call them, so
//! that other programs can use the file: there the same is said in plain SQL
//! or refused.

use sea_query::{BinOper, Expr as Sea};

use super::fragment::{atom, binary, call, case, cast, operator, paren, raw, template};
use super::spelling::{
    Compared, InList, Needle, Spelling, Typed, compare_oper, if_rounded_up, negative, orders,
    pipes, plain_arith,
};
use crate::compile::Number;
use crate::ir::{ArithOp, ArrayOp, CompareOp, Lock, LockStrength, LockWait, MatchOp};
use crate::{CompileError, Dialect, Features, SqlType, Transform};

type Result<T> = std::result::Result<T, CompileError>;

const ME: Dialect = Dialect::Sqlite;

/// The functions that compiled SQL may call and that the connection must
/// therefore register, with their number of arguments.
///
/// All are deterministic and give NULL when an argument is NULL. The arguments
/// of `oxyde_decimal_*` are decimal texts, integers or floats; their results
/// are canonical texts, or texts with exactly as many digits after the point
/// as a further argument says.
///
/// | function | result |
/// |---|---|
/// | `oxyde_lower(s)`, `oxyde_upper(s)` | all of Unicode |
/// | `oxyde_like(pattern, s)`, `oxyde_ilike` | 1 or 0; `%` `_`, escape `\`; case-sensitive, or not |
/// | `oxyde_regexp(pattern, s)`, `oxyde_iregexp` | 1 or 0; the pattern is found anywhere |
/// | `oxyde_int(x)` | an integer as it is; the error "integer overflow" for a float, into which SQLite turns a sum that is too large |
/// | `oxyde_div(a, b)` | `/` as a float; the error "division by zero" |
/// | `oxyde_floordiv`, `oxyde_mod` `(a, b)` | Python's `//` and `%`, of integers as integers; the error "division by zero" |
/// | `oxyde_pow(a, b)` | `**` as a float |
/// | `oxyde_decimal_key(x)` | a blob that sorts as the number does |
/// | `oxyde_decimal_fit(x, precision, scale)` | rounded to `scale` digits after the point; an error if it then has more than `precision` |
/// | `oxyde_decimal_neg(x)`, `_abs` | |
/// | `oxyde_decimal_add(a, b)`, `_sub`, `_mul`, `_div`, `_floordiv`, `_mod` | Python's `Decimal`: the quotient of `floordiv` rounds towards zero, `mod` has the sign of the dividend |
pub const FUNCTIONS: &[(&str, i32)] = &[
    ("oxyde_lower", 1),
    ("oxyde_upper", 1),
    ("oxyde_like", 2),
    ("oxyde_ilike", 2),
    ("oxyde_regexp", 2),
    ("oxyde_iregexp", 2),
    ("oxyde_int", 1),
    ("oxyde_div", 2),
    ("oxyde_floordiv", 2),
    ("oxyde_mod", 2),
    ("oxyde_pow", 2),
    ("oxyde_decimal_key", 1),
    ("oxyde_decimal_neg", 1),
    ("oxyde_decimal_abs", 1),
    ("oxyde_decimal_add", 2),
    ("oxyde_decimal_fit", 3),
    ("oxyde_decimal_sub", 2),
    ("oxyde_decimal_mul", 2),
    ("oxyde_decimal_div", 2),
    ("oxyde_decimal_floordiv", 2),
    ("oxyde_decimal_mod", 2),
];

pub(crate) struct Sqlite {
    pub(crate) features: Features,
}

impl Sqlite {
    /// One of our own functions, or a refusal in DDL.
    fn own(
        &self,
        name: &'static str,
        args: impl IntoIterator<Item = Sea>,
        what: &str,
    ) -> Result<Sea> {
        self.features.require(
            self.features.registered_functions,
            &format!("{what} in a constraint or index"),
        )?;
        Ok(call(name, args))
    }

    /// A decimal as something that sorts like the number. In DDL it is a
    /// float, which agrees up to 15 digits.
    fn decimal_key(&self, value: Sea) -> Sea {
        if self.features.registered_functions {
            call("oxyde_decimal_key", [value])
        } else {
            cast(ME, value, "REAL")
        }
    }

    fn fold(&self, text: Sea) -> Result<Sea> {
        self.own("oxyde_lower", [text], "a comparison that ignores case")
    }
}

impl Spelling for Sqlite {
    fn features(&self) -> &Features {
        &self.features
    }

    fn lower(&self, text: Sea) -> Result<Sea> {
        // The built-in lower() knows ASCII only.
        self.own("oxyde_lower", [text], "lower()")
    }

    fn upper(&self, text: Sea) -> Result<Sea> {
        self.own("oxyde_upper", [text], "upper()")
    }

    fn length(&self, value: Typed) -> Sea {
        match value.ty {
            Some(SqlType::Array(_)) => call("json_array_length", [value.sql]),
            _ => call("length", [value.sql]),
        }
    }

    fn concat(&self, parts: Vec<Typed>) -> Sea {
        pipes(ME, parts.into_iter().map(|p| p.sql).collect())
    }

    fn matches(&self, op: MatchOp, text: Typed, needle: &mut dyn Needle) -> Result<Sea> {
        let text = text.sql;
        let found = |text, part| call("instr", [text, part]);
        let by_pattern =
            |name, pattern, text| self.own(name, [pattern, text], "a search by pattern");
        let like = |pattern, text| by_pattern("oxyde_like", pattern, text);
        let ilike = |pattern, text| by_pattern("oxyde_ilike", pattern, text);
        match op {
            MatchOp::Contains => Ok(binary(
                found(text, needle.plain()?),
                BinOper::GreaterThan,
                raw("0"),
            )),
            MatchOp::IContains => {
                let part = self.fold(needle.plain()?)?;
                Ok(binary(
                    found(self.fold(text)?, part),
                    BinOper::GreaterThan,
                    raw("0"),
                ))
            }
            // GLOB with a parameter uses an index; it has a length limit that
            // LIKE patterns share, far above what is indexed.
            MatchOp::StartsWith if needle.is_param() => Ok(operator(
                text,
                "GLOB",
                needle.changed(Transform::GlobStarts)?,
            )),
            MatchOp::StartsWith => Ok(binary(
                found(text, needle.plain()?),
                BinOper::Equal,
                raw("1"),
            )),
            MatchOp::IStartsWith => {
                let part = self.fold(needle.plain()?)?;
                Ok(binary(
                    found(self.fold(text)?, part),
                    BinOper::Equal,
                    raw("1"),
                ))
            }
            MatchOp::EndsWith => Ok(ends_with(text, needle.plain()?)),
            MatchOp::IEndsWith if needle.is_param() => {
                ilike(needle.changed(Transform::LikeEnds)?, text)
            }
            MatchOp::IEndsWith => {
                let part = self.fold(needle.plain()?)?;
                Ok(ends_with(self.fold(text)?, part))
            }
            MatchOp::IExact => {
                let part = self.fold(needle.plain()?)?;
                Ok(binary(self.fold(text)?, BinOper::Equal, part))
            }
            MatchOp::Like => like(needle.plain()?, text),
            MatchOp::ILike => ilike(needle.plain()?, text),
            MatchOp::Regex => self.own(
                "oxyde_regexp",
                [needle.plain()?, text],
                "a regular expression",
            ),
            MatchOp::IRegex => self.own(
                "oxyde_iregexp",
                [needle.plain()?, text],
                "a regular expression",
            ),
        }
    }

    fn compare(&self, op: CompareOp, a: Sea, b: Sea, with: Compared<'_>) -> Result<Sea> {
        let oper = compare_oper(op);
        Ok(match with.ty {
            Some(SqlType::Decimal { .. }) if orders(op) || !with.same => {
                binary(self.decimal_key(a), oper, self.decimal_key(b))
            }
            Some(SqlType::Json | SqlType::Array(_)) if orders(op) => {
                return Err(self.features.refuse("an order among json values"));
            }
            Some(SqlType::Json | SqlType::Array(_)) => {
                binary(call("json", [a]), oper, call("json", [b]))
            }
            _ => binary(a, oper, b),
        })
    }

    fn between(&self, a: Sea, low: Sea, high: Sea, ty: Option<&SqlType>) -> Result<Sea> {
        let key = |x| match ty {
            Some(SqlType::Decimal { .. }) => self.decimal_key(x),
            _ => x,
        };
        let range = binary(key(low), BinOper::And, key(high));
        Ok(binary(key(a), BinOper::Between, range))
    }

    fn in_list(&self, list: InList<'_>) -> Result<Sea> {
        let InList {
            value,
            list,
            item,
            negated,
            same,
            ..
        } = list;
        let key = |x| match item {
            SqlType::Decimal { .. } if !same => self.decimal_key(x),
            SqlType::Json | SqlType::Array(_) => call("json", [x]),
            _ => x,
        };
        let taken = match item {
            SqlType::Bytes => call("unhex", [raw("value")]),
            // `value` of a document that is a string would lack its quotes.
            SqlType::Json | SqlType::Array(_) => raw("json -> key"),
            _ => key(raw("value")),
        };
        let rows = template(ME, &["SELECT ", " FROM json_each(", ")"], [taken, list]);
        let oper = if negated { BinOper::NotIn } else { BinOper::In };
        Ok(binary(key(value), oper, paren(rows)))
    }

    fn array(&self, op: ArrayOp, a: Sea, b: Sea, _item: Option<&SqlType>) -> Result<Sea> {
        let found = match op {
            ArrayOp::Contains => among(b.clone(), a.clone()),
            ArrayOp::ContainedBy => among(a.clone(), b.clone()),
            ArrayOp::Overlap => template(
                ME,
                &[
                    "EXISTS (SELECT 1 FROM json_each(",
                    ") AS x JOIN json_each(",
                    ") AS y ON x.value = y.value)",
                ],
                [a.clone(), b.clone()],
            ),
        };
        let unknown = template(ME, &["", " IS NULL OR ", " IS NULL"], [atom(a), atom(b)]);
        Ok(case(unknown, raw("NULL"), found))
    }

    fn item(&self, array: Sea, index: Sea, item: &SqlType) -> Result<Sea> {
        let value = |oper| paren(operator(atom(array), oper, atom(index)));
        Ok(match item {
            SqlType::Bytes => call("unhex", [value("->>")]),
            // What is no plain value stays a document.
            SqlType::Json | SqlType::Array(_) => value("->"),
            _ => value("->>"),
        })
    }

    fn xor(&self, a: Sea, b: Sea) -> Sea {
        // NOT makes a 0 or 1 of any number.
        let not = |x| template(ME, &["NOT ", ""], [atom(x)]);
        binary(not(a), BinOper::NotEqual, not(b))
    }

    fn arith(&self, op: ArithOp, a: Sea, b: Sea, number: Number) -> Result<Sea> {
        if number == Number::Decimal {
            let name = match op {
                ArithOp::Add => "oxyde_decimal_add",
                ArithOp::Sub => "oxyde_decimal_sub",
                ArithOp::Mul => "oxyde_decimal_mul",
                ArithOp::Div => "oxyde_decimal_div",
                ArithOp::FloorDiv => "oxyde_decimal_floordiv",
                ArithOp::Mod => "oxyde_decimal_mod",
                ArithOp::Pow => return Err(self.features.refuse("powers of decimals")),
            };
            return self.own(name, [a, b], "arithmetic with decimals");
        }
        let remainder = |a: &Sea, b: &Sea| binary(a.clone(), BinOper::Mod, b.clone());
        let divide = |a, b| binary(a, BinOper::Div, b);
        let own = |name| self.own(name, [a.clone(), b.clone()], "arithmetic with floats");
        Ok(match (op, number) {
            // SQLite's own operators make NULL of a division by zero.
            (ArithOp::Div, Number::Integer | Number::Float)
                if self.features.registered_functions =>
            {
                call("oxyde_div", [a, b])
            }
            (ArithOp::Div, Number::Integer) => divide(cast(ME, a, "REAL"), b),
            (ArithOp::Div, _) => divide(a, b),
            (ArithOp::FloorDiv, _) if self.features.registered_functions => {
                call("oxyde_floordiv", [a, b])
            }
            (ArithOp::Mod, _) if self.features.registered_functions => call("oxyde_mod", [a, b]),
            (ArithOp::FloorDiv, Number::Integer) => {
                let one = if_rounded_up(remainder(&a, &b), b.clone(), raw("1"), ME);
                binary(divide(a, b), BinOper::Sub, one)
            }
            (ArithOp::Mod, Number::Integer) => {
                let fix = if_rounded_up(remainder(&a, &b), b.clone(), b.clone(), ME);
                binary(remainder(&a, &b), BinOper::Add, fix)
            }
            // The built-in % works on integers only.
            (ArithOp::FloorDiv, _) => own("oxyde_floordiv")?,
            (ArithOp::Mod, _) => own("oxyde_mod")?,
            (ArithOp::Pow, _) => own("oxyde_pow")?,
            (op, _) => plain_arith(op, a, b)
                .ok_or_else(|| self.features.refuse(format!("the operator {}", op.tag())))?,
        })
    }

    fn neg(&self, a: Sea, number: Number) -> Sea {
        match number {
            Number::Decimal if self.features.registered_functions => call("oxyde_decimal_neg", [a]),
            _ => negative(ME, a),
        }
    }

    fn abs(&self, a: Sea, number: Number) -> Sea {
        match number {
            Number::Decimal if self.features.registered_functions => call("oxyde_decimal_abs", [a]),
            _ => call("abs", [a]),
        }
    }

    fn now(&self, ty: Option<&SqlType>) -> Sea {
        // The canonical texts; the clock here has milliseconds.
        match ty {
            Some(SqlType::Date) => raw("date('now')"),
            Some(SqlType::Time) => raw("strftime('%H:%M:%f000', 'now')"),
            _ => raw("strftime('%Y-%m-%d %H:%M:%f000', 'now')"),
        }
    }

    fn excluded(&self, column: &str, _alias: &str) -> Sea {
        raw(format!("excluded.{}", ME.quote(column)))
    }

    fn order_key(&self, value: Sea, ty: Option<&SqlType>) -> Sea {
        match ty {
            Some(SqlType::Decimal { .. }) => self.decimal_key(value),
            _ => value,
        }
    }

    fn stored(&self, value: Sea, column: &SqlType, computed: Number) -> Sea {
        if !self.features.registered_functions {
            return value;
        }
        match (column, computed) {
            // Too large a sum silently becomes a float here.
            (ty, Number::Integer) if ty.is_integer() || *ty == SqlType::Duration => {
                call("oxyde_int", [value])
            }
            // One text per number: that of a column with a scale has exactly its digits.
            (
                SqlType::Decimal {
                    precision: Some(p),
                    scale: Some(s),
                },
                Number::Decimal | Number::Integer,
            ) => call(
                "oxyde_decimal_fit",
                [value, raw(p.to_string()), raw(s.to_string())],
            ),
            (SqlType::Decimal { .. }, Number::Decimal | Number::Integer) => {
                call("oxyde_decimal_add", [value, raw("0")])
            }
            _ => value,
        }
    }

    fn before_count(&self) -> &'static str {
        // A bare parameter makes SQLite prepare the statement anew for every
        // value, because its planner looks at it: 5 µs of a look-up of 7.
        "+"
    }

    fn no_limit(&self) -> &'static str {
        "-1"
    }

    fn lock(&self, lock: Lock) -> Result<Option<String>> {
        match (lock.strength, lock.wait) {
            // A write transaction has locked the whole database already.
            (LockStrength::Update | LockStrength::Share, LockWait::Block) => Ok(None),
            (LockStrength::NoKeyUpdate, _) => Err(self.features.refuse("FOR NO KEY UPDATE")),
            (LockStrength::KeyShare, _) => Err(self.features.refuse("FOR KEY SHARE")),
            (_, LockWait::NoWait) => Err(self.features.refuse("NOWAIT")),
            (_, LockWait::SkipLocked) => Err(self.features.refuse("SKIP LOCKED")),
        }
    }
}

/// Whether each member of one array is a member of another.
fn among(a: Sea, b: Sea) -> Sea {
    template(
        ME,
        &[
            "NOT EXISTS (SELECT 1 FROM json_each(",
            ") AS x WHERE NOT EXISTS (SELECT 1 FROM json_each(",
            ") AS y WHERE y.value = x.value))",
        ],
        [a, b],
    )
}

/// `substr(text, length(text) - length(part) + 1) = part`: also right for an
/// empty part, and for one that is longer than the text.
fn ends_with(text: Sea, part: Sea) -> Sea {
    let start = binary(
        binary(
            call("length", [text.clone()]),
            BinOper::Sub,
            call("length", [part.clone()]),
        ),
        BinOper::Add,
        raw("1"),
    );
    binary(call("substr", [text, start]), BinOper::Equal, part)
}
