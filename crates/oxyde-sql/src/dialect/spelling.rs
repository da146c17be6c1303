//! What each database says in its own way. One implementation per file beside
//! this one, in the same order, so that they can be read side by side.

use sea_query::{BinOper, Expr as Sea};

use super::fragment::{atom, binary, call, chain, paren, raw};
use super::mysql::Mysql;
use super::postgres::Postgres;
use super::sqlite::Sqlite;
use crate::compile::Number;
use crate::ir::{ArithOp, ArrayOp, Column, CompareOp, Lock, MatchOp};
use crate::{CompileError, Dialect, Features, SqlType, Transform};

type Result<T> = std::result::Result<T, CompileError>;

/// A compiled expression and what is known of its type.
#[derive(Clone, Debug)]
pub(crate) struct Typed {
    pub(crate) sql: Sea,
    /// `None` where nothing is known, or only by the server.
    pub(crate) ty: Option<SqlType>,
}

/// The right side of a string search: a parameter, whose text may be changed
/// before it is bound, or any other expression.
pub(crate) trait Needle {
    /// Whether it is a parameter.
    fn is_param(&self) -> bool;
    /// The parameter with its text changed. Only after [`Needle::is_param`].
    fn changed(&mut self, transform: Transform) -> Result<Sea>;
    /// The value itself.
    fn plain(&mut self) -> Result<Sea>;
}

/// A comparison: what is known of its sides.
#[derive(Clone, Copy)]
pub(crate) struct Compared<'a> {
    /// The type in which they are compared.
    pub(crate) ty: Option<&'a SqlType>,
    /// Both are stored values of exactly this type.
    pub(crate) same: bool,
    /// The columns among them.
    pub(crate) columns: [Option<&'a Column>; 2],
}

/// `value IN list` for a list that is one parameter.
pub(crate) struct InList<'a> {
    pub(crate) value: Sea,
    pub(crate) list: Sea,
    /// The type of the list's items.
    pub(crate) item: &'a SqlType,
    /// NOT IN.
    pub(crate) negated: bool,
    /// The value is a stored one of exactly the items' type.
    pub(crate) same: bool,
    /// The column, if the value is one.
    pub(crate) column: Option<&'a Column>,
    /// The condition holds for every row of the result: it is not part of an OR
    /// or a NOT, where a database cannot look rows up.
    pub(crate) conjunct: bool,
}

/// How a database says things.
pub(crate) trait Spelling {
    /// The server's capabilities.
    fn features(&self) -> &Features;

    fn dialect(&self) -> Dialect {
        self.features().dialect
    }

    /// Whether only the server knows the type of a column's values.
    fn verbatim(&self, column: &Column) -> bool {
        let _ = column;
        false
    }

    /// What the items of a list are cast to where they have to be sent as texts;
    /// `column` is the one whose values they are, if only the server knows its type.
    fn text_items(&self, item: &SqlType, column: Option<&Column>) -> Option<String> {
        let _ = (item, column);
        None
    }

    /// `value IN list` for a list of texts, its items cast to `target`.
    fn in_texts(&self, value: Sea, list: Sea, target: &str, negated: bool) -> Result<Sea> {
        let _ = (value, list, target, negated);
        Err(self.features().refuse("lists of texts"))
    }

    /// A parameter that stands beside a column, as precise as the column is.
    fn beside(&self, value: Sea, column: &Column) -> Sea {
        let _ = column;
        value
    }

    // Text ------------------------------------------------------------------

    /// A column's text such that only the same text is equal to it.
    fn exact(&self, value: Sea, column: &Column) -> Sea {
        let _ = column;
        value
    }

    /// A value that only the server knows the type of, for functions of texts.
    fn text(&self, value: Sea) -> Sea {
        value
    }

    fn lower(&self, text: Sea) -> Result<Sea>;
    fn upper(&self, text: Sea) -> Result<Sea>;
    fn length(&self, value: Typed) -> Sea;
    fn concat(&self, parts: Vec<Typed>) -> Sea;
    /// A string search; `text` is what is searched in.
    fn matches(&self, op: MatchOp, text: Typed, needle: &mut dyn Needle) -> Result<Sea>;

    // Conditions ------------------------------------------------------------

    fn compare(&self, op: CompareOp, a: Sea, b: Sea, with: Compared<'_>) -> Result<Sea>;

    fn between(&self, a: Sea, low: Sea, high: Sea, ty: Option<&SqlType>) -> Result<Sea> {
        let _ = ty;
        Ok(binary(a, BinOper::Between, binary(low, BinOper::And, high)))
    }

    fn in_list(&self, list: InList<'_>) -> Result<Sea>;

    /// A comparison of the members of two arrays; `item` is their type, where it is known.
    fn array(&self, op: ArrayOp, a: Sea, b: Sea, item: Option<&SqlType>) -> Result<Sea>;

    /// The member of an array at a place, counted from 0.
    fn item(&self, array: Sea, index: Sea, item: &SqlType) -> Result<Sea>;

    fn xor(&self, a: Sea, b: Sea) -> Sea;

    // Numbers ---------------------------------------------------------------

    /// Arithmetic with Python's meaning.
    fn arith(&self, op: ArithOp, a: Sea, b: Sea, number: Number) -> Result<Sea>;

    fn neg(&self, a: Sea, number: Number) -> Sea;

    fn abs(&self, a: Sea, number: Number) -> Sea {
        let _ = number;
        call("abs", [a])
    }

    // Time ------------------------------------------------------------------

    /// A time of the type `from` where one of the type `to` is needed. Columns
    /// without a zone hold UTC, whatever the session's zone is.
    fn in_utc(&self, value: Sea, from: &SqlType, to: &SqlType) -> Sea {
        let _ = (from, to);
        value
    }

    // The rest --------------------------------------------------------------

    /// The current time as the given type.
    fn now(&self, ty: Option<&SqlType>) -> Sea;

    /// The value of a column in the row that an upsert proposes, which has the
    /// name `alias` where it needs one.
    fn excluded(&self, column: &str, alias: &str) -> Sea;

    /// A sort key for a value.
    fn order_key(&self, value: Sea, ty: Option<&SqlType>) -> Sea {
        let _ = ty;
        value
    }

    /// A computed value on its way into a column.
    fn stored(&self, value: Sea, column: &SqlType, computed: Number) -> Sea {
        let _ = (column, computed);
        value
    }

    /// What is put before the parameter of a LIMIT or OFFSET.
    fn before_count(&self) -> &'static str {
        ""
    }

    /// What stands for "no limit" where an offset needs one.
    fn no_limit(&self) -> &'static str;

    /// The clause that locks rows; `None` where the statement needs none.
    fn lock(&self, lock: Lock) -> Result<Option<String>>;
}

/// The implementation for a server.
pub(crate) fn spelling(features: &Features) -> Box<dyn Spelling> {
    let features = features.clone();
    match features.dialect {
        Dialect::Postgres => Box::new(Postgres { features }),
        Dialect::Mysql | Dialect::MariaDb => Box::new(Mysql { features }),
        Dialect::Sqlite => Box::new(Sqlite { features }),
    }
}

/// The operator of a comparison.
pub(crate) fn compare_oper(op: CompareOp) -> BinOper {
    match op {
        CompareOp::Eq => BinOper::Equal,
        CompareOp::Ne => BinOper::NotEqual,
        CompareOp::Lt => BinOper::SmallerThan,
        CompareOp::Lte => BinOper::SmallerThanOrEqual,
        CompareOp::Gt => BinOper::GreaterThan,
        CompareOp::Gte => BinOper::GreaterThanOrEqual,
    }
}

/// Whether a comparison asks for an order.
pub(crate) fn orders(op: CompareOp) -> bool {
    !matches!(op, CompareOp::Eq | CompareOp::Ne)
}

/// `a + b` and its like, for the operators that need nothing else.
pub(crate) fn plain_arith(op: ArithOp, a: Sea, b: Sea) -> Option<Sea> {
    let oper = match op {
        ArithOp::Add => BinOper::Add,
        ArithOp::Sub => BinOper::Sub,
        ArithOp::Mul => BinOper::Mul,
        ArithOp::Div | ArithOp::FloorDiv | ArithOp::Mod | ArithOp::Pow => return None,
    };
    Some(binary(a, oper, b))
}

/// The correction from a truncating division to one that rounds down, for
/// databases with `sign()`: `remainder` is that of the truncating division, and
/// has the wrong sign when it and the divisor point in opposite directions.
pub(crate) fn if_rounded_up(remainder: Sea, divisor: Sea, then: Sea, dialect: Dialect) -> Sea {
    let wrong = binary(
        call("sign", [remainder]),
        BinOper::Equal,
        negative(dialect, call("sign", [divisor])),
    );
    super::fragment::case(wrong, then, raw("0"))
}

/// `-a`.
pub(crate) fn negative(dialect: Dialect, a: Sea) -> Sea {
    // A literal may be negative itself, and "--" would begin a comment.
    let inner = match a {
        Sea::Keyword(_) => paren(a),
        other => atom(other),
    };
    super::fragment::template(dialect, &["-", ""], [inner])
}

/// `a || b || c`.
pub(crate) fn pipes(dialect: Dialect, parts: Vec<Sea>) -> Sea {
    chain(dialect, " || ", parts.into_iter().map(atom).collect())
}
