//! Pieces of SQL that sea-query's tree has no node for.
//!
//! Every function here gives a sea-query expression, so that parameters inside
//! stay parameters and are numbered by the one writer at the end. Only text
//! that is fixed in this crate, or quoted by [`Dialect::quote`], ever becomes
//! part of a template.

use sea_query::{BinOper, CaseStatement, DynIden, Expr as Sea, Func, IntoIden, Keyword};

use crate::Dialect;

/// `name(a, b)`. An empty name gives plain parentheses.
pub(crate) fn call(name: &'static str, args: impl IntoIterator<Item = Sea>) -> Sea {
    Sea::FunctionCall(Func::cust(name).args(args))
}

/// `(a)`.
pub(crate) fn paren(inner: Sea) -> Sea {
    call("", [inner])
}

/// Parentheses around anything that an operator beside it could tear apart.
pub(crate) fn atom(value: Sea) -> Sea {
    match value {
        Sea::Column(_) | Sea::Value(_) | Sea::FunctionCall(_) | Sea::Keyword(_) => value,
        other => paren(other),
    }
}

/// Text as it is, taken to bind tighter than any operator.
pub(crate) fn raw(text: impl Into<String>) -> Sea {
    let text: DynIden = text.into().into_iden();
    Sea::Keyword(Keyword::Custom(text))
}

/// `a op b`.
pub(crate) fn binary(a: Sea, op: BinOper, b: Sea) -> Sea {
    Sea::Binary(Box::new(a), op, Box::new(b))
}

/// `a op b` for an operator that sea-query does not know.
pub(crate) fn operator(a: Sea, op: &'static str, b: Sea) -> Sea {
    binary(a, BinOper::Custom(op), b)
}

/// `CASE WHEN condition THEN yes ELSE no END`.
pub(crate) fn case(condition: Sea, yes: Sea, no: Sea) -> Sea {
    Sea::Case(Box::new(
        CaseStatement::new().case(condition, yes).finally(no),
    ))
}

/// `CAST(a AS type)`.
pub(crate) fn cast(dialect: Dialect, a: Sea, ty: &str) -> Sea {
    call(
        "CAST",
        [template(dialect, &["", &format!(" AS {ty}")], [a])],
    )
}

/// Fixed text with expressions in the gaps: `texts` has one more item than `args`.
pub(crate) fn template<const N: usize>(dialect: Dialect, texts: &[&str], args: [Sea; N]) -> Sea {
    debug_assert_eq!(texts.len(), N + 1, "one text around and between all gaps");
    join_template(dialect, texts.iter().copied(), args.into())
}

/// `a sep b sep c`, flat: neither deep recursion here nor parentheses.
pub(crate) fn chain(dialect: Dialect, separator: &str, args: Vec<Sea>) -> Sea {
    let gaps = args.len().saturating_sub(1);
    let texts = std::iter::once("").chain(std::iter::repeat_n(separator, gaps));
    join_template(dialect, texts.chain(std::iter::once("")), args)
}

fn join_template<'t>(
    dialect: Dialect,
    texts: impl Iterator<Item = &'t str>,
    args: Vec<Sea>,
) -> Sea {
    let mut text = String::new();
    for (i, piece) in texts.enumerate() {
        if i > 0 {
            dialect.template_mark(i, &mut text);
        }
        text.push_str(piece);
    }
    Sea::CustomWithExpr(text.into(), args)
}
