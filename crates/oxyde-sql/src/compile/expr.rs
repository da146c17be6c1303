//! Expressions: conditions, comparisons and arithmetic.

use sea_query::{BinOper, Expr as Sea};

use super::context::Context;
use super::infer::{Number, weight};
use crate::dialect::{Compared, InList, Needle, Typed, fragment};
use crate::ir::{ArithOp, ArrayOp, Column, CompareOp, Expr, Func, MatchOp, Slot};
use crate::{CompileError, SqlType, Transform};

type Result<T> = std::result::Result<T, CompileError>;

/// How many conditions stand in one row of ANDs or ORs before they are grouped
/// by parentheses. SQLite's parser makes a chain of n a tree n deep and stops
/// at 1000.
const CHAIN: usize = 250;

impl<'t> Context<'t> {
    /// Compiles an expression that stands by itself: a condition, an output, a
    /// sort key. `hint` is the type that is wanted, for what has none of its own.
    pub(crate) fn root(&mut self, expr: &Expr, hint: Option<&SqlType>) -> Result<Sea> {
        self.check_weight(weight(expr, 0)?)?;
        self.expr(expr, hint)
    }

    /// Compiles the condition of a statement.
    pub(crate) fn condition(&mut self, expr: &Expr) -> Result<Sea> {
        self.conjunct = true;
        let compiled = self.root(expr, Some(&SqlType::Bool));
        self.conjunct = false;
        compiled
    }

    /// Compiles the new value of a column.
    pub(crate) fn assigned(&mut self, expr: &Expr, column: &Column) -> Result<Sea> {
        let ty = &column.ty;
        if self.spell.verbatim(column) {
            self.check_weight(weight(expr, 0)?)?;
            let declared = self.dialect().declared(column.db_type.as_deref(), ty);
            return self.operand(expr, Some(&declared), true);
        }
        let sql = self.root(expr, Some(ty))?;
        let sql = self.in_utc(sql, expr, Some(ty));
        let computed = match expr {
            Expr::Arith(..) | Expr::Neg(_) | Expr::Func(Func::Abs | Func::Coalesce, _) => {
                Number::of(self.type_of(expr).as_ref())
            }
            // Another column may have another scale.
            Expr::Column(_) | Expr::Excluded(_)
                if ty.is_decimal() && self.type_of(expr).as_ref() != Some(ty) =>
            {
                Number::of(self.type_of(expr).as_ref())
            }
            _ => Number::Unknown,
        };
        Ok(self.spell.stored(sql, ty, computed))
    }

    /// Compiles what stands beside a value; `inferred`: the server finds out the
    /// type of a parameter.
    pub(super) fn operand(
        &mut self,
        expr: &Expr,
        hint: Option<&SqlType>,
        inferred: bool,
    ) -> Result<Sea> {
        match expr {
            Expr::Param(slot) if inferred => self.bind_verbatim(slot),
            _ => self.expr(expr, hint),
        }
    }

    /// Compiles a text for a function of texts.
    pub(super) fn text(&mut self, expr: &Expr, hint: Option<&SqlType>) -> Result<Typed> {
        let ty = self.type_of(expr);
        let mut sql = self.expr(expr, hint)?;
        if let Some(column) = self.column_of(expr) {
            sql = self.spell.exact(sql, column);
        }
        Ok(match ty {
            Some(ty) if self.is_verbatim(expr) && !matches!(ty, SqlType::Array(_)) => Typed {
                sql: self.spell.text(sql),
                ty: Some(SqlType::Text),
            },
            ty => Typed { sql, ty },
        })
    }

    pub(super) fn expr(&mut self, expr: &Expr, hint: Option<&SqlType>) -> Result<Sea> {
        let conjunct = std::mem::take(&mut self.conjunct);
        Ok(match expr {
            Expr::Column(field) => {
                if !self.columns_allowed {
                    return Err(CompileError::invalid(format!(
                        "the values of an INSERT cannot refer to the field {field:?}: there is no row yet"
                    )));
                }
                let column = self.column(field)?;
                self.column_ref(column)
            }
            Expr::Excluded(field) => {
                let column = self.column(field)?;
                let alias = self.row_alias.ok_or_else(|| {
                    CompileError::invalid("`excluded` is only known inside on_conflict=\"update\"")
                })?;
                self.spell.excluded(&column.name, alias)
            }
            Expr::Param(slot) => self.bind(slot, Transform::None)?,
            Expr::Null => fragment::raw("NULL"),
            Expr::True => fragment::raw("TRUE"),
            Expr::False => fragment::raw("FALSE"),
            Expr::Star => {
                return Err(CompileError::invalid("`*` is only known inside count()"));
            }
            Expr::Sql(text) => fragment::paren(Sea::Custom(text.clone().into())),
            Expr::Now => self.spell.now(hint),
            Expr::Compare(op, a, b) => self.compare(*op, a, b)?,
            Expr::IsNull(a) => {
                let a = self.expr(a, None)?;
                fragment::binary(a, BinOper::Is, fragment::raw("NULL"))
            }
            Expr::IsNotNull(a) => {
                let a = self.expr(a, None)?;
                fragment::binary(a, BinOper::IsNot, fragment::raw("NULL"))
            }
            Expr::Between(a, low, high) => {
                let ty = self.common_type(&[a, low, high]);
                let common = self.common(&[a, low, high], ty.as_ref());
                let a = self.one_of(a, &common)?;
                let low = self.one_of(low, &common)?;
                let high = self.one_of(high, &common)?;
                self.spell.between(a, low, high, ty.as_ref())?
            }
            Expr::In(a, list) => self.in_list(a, list, false, conjunct)?,
            Expr::NotIn(a, list) => self.in_list(a, list, true, conjunct)?,
            Expr::Match(op, a, b) => self.matches(*op, a, b)?,
            Expr::Array(op, a, b) => self.array(*op, a, b)?,
            Expr::Item(a, index) => self.item(a, index)?,
            Expr::And(list) => self.chain(list, " AND ", "TRUE", conjunct)?,
            Expr::Or(list) => self.chain(list, " OR ", "FALSE", false)?,
            Expr::Not(a) => {
                let a = self.expr(a, Some(&SqlType::Bool))?;
                fragment::template(self.dialect(), &["NOT ", ""], [fragment::atom(a)])
            }
            Expr::Xor(a, b) => {
                let a = self.expr(a, Some(&SqlType::Bool))?;
                let b = self.expr(b, Some(&SqlType::Bool))?;
                self.spell.xor(a, b)
            }
            Expr::Arith(op, a, b) => self.arith(*op, a, b)?,
            Expr::Neg(a) => {
                let ty = self.type_of(a);
                let a = self.expr(a, hint)?;
                self.spell.neg(a, Number::of(ty.as_ref()))
            }
            Expr::Func(func, args) => self.function(*func, args, hint)?,
        })
    }

    /// The column that an expression is.
    fn column_of(&self, expr: &Expr) -> Option<&'t Column> {
        match expr {
            Expr::Column(field) => self.table.column(field),
            _ => None,
        }
    }

    /// The type in which expressions are compared: the most demanding of theirs.
    fn common_type(&self, exprs: &[&Expr]) -> Option<SqlType> {
        let types: Vec<_> = exprs.iter().filter_map(|e| self.type_of(e)).collect();
        types
            .iter()
            .find(|t| t.is_decimal() || matches!(t, SqlType::Json))
            .or_else(|| types.first())
            .cloned()
    }

    /// What expressions that are compared with each other have in common.
    fn common(&self, exprs: &[&Expr], ty: Option<&SqlType>) -> Common<'t> {
        let verbatim = exprs.iter().find_map(|e| self.verbatim_column(e));
        let declared = verbatim.map(|c| self.dialect().declared(c.db_type.as_deref(), &c.ty));
        // Not the column is converted, or no index of it could be used.
        let column = exprs.iter().find(|e| matches!(e, Expr::Column(_)));
        let time = column.and_then(|e| self.type_of(e));
        Common {
            inferred: exprs.iter().any(|e| !is_param(e) && self.is_inferred(e)),
            hint: declared.or(ty.cloned()),
            time: time.or(ty.cloned()),
            column: column.and_then(|e| self.column_of(e)),
        }
    }

    /// One of them.
    fn one_of(&mut self, expr: &Expr, common: &Common<'_>) -> Result<Sea> {
        let sql = self.operand(expr, common.hint.as_ref(), common.inferred)?;
        let sql = match common.column {
            Some(column) if is_param(expr) => self.spell.beside(sql, column),
            _ => sql,
        };
        Ok(self.in_utc(sql, expr, common.time.as_ref()))
    }

    /// A time as it is needed, if an expression is one of another kind.
    pub(super) fn in_utc(&self, sql: Sea, expr: &Expr, wanted: Option<&SqlType>) -> Sea {
        match (self.type_of(expr), wanted) {
            (Some(from), Some(to)) if !self.is_verbatim(expr) => self.spell.in_utc(sql, &from, to),
            _ => sql,
        }
    }

    fn compare(&mut self, op: CompareOp, a: &Expr, b: &Expr) -> Result<Sea> {
        let ty = self.common_type(&[a, b]);
        let same = stored(a) && stored(b) && self.type_of(a) == self.type_of(b);
        let common = self.common(&[a, b], ty.as_ref());
        let with = Compared {
            ty: ty.as_ref(),
            same,
            columns: [self.column_of(a), self.column_of(b)],
        };
        let a = self.one_of(a, &common)?;
        let b = self.one_of(b, &common)?;
        self.spell.compare(op, a, b, with)
    }

    /// A comparison of members: of arrays, or of what the server has these operators for.
    fn array(&mut self, op: ArrayOp, a: &Expr, b: &Expr) -> Result<Sea> {
        for side in [a, b] {
            match self.type_of(side) {
                _ if self.is_verbatim(side) => {}
                Some(SqlType::Array(item)) if !matches!(*item, SqlType::Array(_)) => {}
                // Beside a declared type it is what that is.
                _ if self.is_verbatim(a) || self.is_verbatim(b) => {}
                _ => {
                    let declared = [a, b].into_iter().find_map(|side| match side {
                        Expr::Column(field) => self.table.column(field)?.db_type.as_deref(),
                        _ => None,
                    });
                    if let Some(db_type) = declared {
                        return Err(self
                            .features
                            .refuse(format!("{:?} of values of the type {db_type}", op.tag())));
                    }
                    return Err(CompileError::invalid(format!(
                        "{:?} compares lists of plain values",
                        op.tag()
                    )));
                }
            }
        }
        let common = self.common(&[a, b], None);
        let item = [a, b]
            .into_iter()
            .find_map(|side| match self.type_of(side) {
                Some(SqlType::Array(item)) => Some(*item),
                _ => None,
            });
        let (a, b) = self.qualified(!self.features.exact_arrays, |ctx| {
            Ok((ctx.one_of(a, &common)?, ctx.one_of(b, &common)?))
        })?;
        self.spell.array(op, a, b, item.as_ref())
    }

    fn item(&mut self, array: &Expr, index: &Expr) -> Result<Sea> {
        let Some(SqlType::Array(item)) = self.type_of(array) else {
            return Err(CompileError::invalid("only lists have items"));
        };
        let (array, index) = self.qualified(self.features.json_tables, |ctx| {
            let array = ctx.expr(array, None)?;
            Ok((array, ctx.expr(index, Some(&SqlType::BigInt))?))
        })?;
        self.spell.item(array, index, &item)
    }

    /// Compiles what will stand inside a query of its own, `when` there is one:
    /// that may have columns of the same names.
    fn qualified<T>(
        &mut self,
        when: bool,
        compile: impl FnOnce(&mut Self) -> Result<T>,
    ) -> Result<T> {
        let before = self.qualify;
        self.qualify |= when;
        let compiled = compile(self);
        self.qualify = before;
        compiled
    }

    fn in_list(&mut self, value: &Expr, list: &Expr, negated: bool, conjunct: bool) -> Result<Sea> {
        let (slot, item) = match list {
            Expr::Param(slot) => match &slot.ty {
                SqlType::Array(item) => (slot, item.as_ref()),
                other => {
                    return Err(CompileError::invalid(format!(
                        "the list of `in` has an array type, not {}",
                        other.kind()
                    )));
                }
            },
            _ => {
                return Err(CompileError::invalid(
                    "the list of `in` is one array parameter",
                ));
            }
        };
        let same = stored(value) && self.type_of(value).as_ref() == Some(item);
        let target = self.spell.text_items(item, self.verbatim_column(value));
        let column = self.column_of(value);
        let value = self.expr(value, Some(item))?;
        if let Some(literals) = self.literal_list(slot, item)? {
            if literals.is_empty() {
                return Ok(fragment::raw(if negated { "TRUE" } else { "FALSE" }));
            }
            let value = match column {
                Some(column) => self.spell.exact(value, column),
                None => value,
            };
            let oper = if negated { BinOper::NotIn } else { BinOper::In };
            return Ok(fragment::binary(value, oper, Sea::Tuple(literals)));
        }
        if let Some(target) = target {
            let list = self.bind_texts(slot);
            return self.spell.in_texts(value, list, &target, negated);
        }
        let list = self.bind(slot, Transform::None)?;
        self.spell.in_list(InList {
            value,
            list,
            item,
            negated,
            same,
            column,
            conjunct,
        })
    }

    fn matches(&mut self, op: MatchOp, text: &Expr, needle: &Expr) -> Result<Sea> {
        let text = self.text(text, Some(&SqlType::Text))?;
        // The needle binds parameters while the spelling is being asked, so the
        // spelling leaves the context for that time.
        let spell = crate::dialect::spelling(&self.features);
        spell.matches(
            op,
            text,
            &mut MatchNeedle {
                ctx: self,
                expr: needle,
            },
        )
    }

    fn chain(
        &mut self,
        list: &[Expr],
        separator: &str,
        empty: &str,
        conjunct: bool,
    ) -> Result<Sea> {
        let mut parts = list
            .iter()
            .map(|e| {
                self.conjunct = conjunct;
                let sql = self.expr(e, Some(&SqlType::Bool))?;
                Ok(if binds_tightly(e) {
                    sql
                } else {
                    fragment::atom(sql)
                })
            })
            .collect::<Result<Vec<_>>>()?;
        let dialect = self.dialect();
        while parts.len() > CHAIN {
            let mut groups = Vec::with_capacity(parts.len() / CHAIN + 1);
            let mut rest = parts.into_iter().peekable();
            while rest.peek().is_some() {
                let group: Vec<_> = rest.by_ref().take(CHAIN).collect();
                groups.push(fragment::paren(fragment::chain(dialect, separator, group)));
            }
            parts = groups;
        }
        Ok(match parts.len() {
            0 => fragment::raw(empty),
            _ => fragment::chain(dialect, separator, parts),
        })
    }

    fn arith(&mut self, op: ArithOp, a: &Expr, b: &Expr) -> Result<Sea> {
        if self.is_verbatim(a) || self.is_verbatim(b) {
            // The database's own operator: what it means, only the database knows.
            let a = self.operand(a, None, true)?;
            let b = self.operand(b, None, true)?;
            return self.spell.arith(op, a, b, Number::Unknown);
        }
        let (ta, tb) = (self.type_of(a), self.type_of(b));
        for ty in [&ta, &tb].into_iter().flatten() {
            let text_sum = op == ArithOp::Add && ty.is_text();
            if Number::of(Some(ty)) == Number::Unknown && !text_sum {
                return Err(CompileError::invalid(format!(
                    "the operator {:?} needs numbers, not {}",
                    op.tag(),
                    ty.kind()
                )));
            }
        }
        let sa = self.expr(a, tb.as_ref())?;
        let sb = self.expr(b, ta.as_ref())?;
        if ta.as_ref().or(tb.as_ref()).is_some_and(SqlType::is_text) {
            // Python's + joins texts.
            let parts = vec![Typed { sql: sa, ty: ta }, Typed { sql: sb, ty: tb }];
            return Ok(self.spell.concat(parts));
        }
        let number = Number::of_both(ta.as_ref(), tb.as_ref());
        self.spell.arith(op, sa, sb, number)
    }
}

struct Common<'t> {
    /// The server infers the types of parameters.
    inferred: bool,
    /// The type for what has none of its own.
    hint: Option<SqlType>,
    /// The kind of time that all of them become.
    time: Option<SqlType>,
    /// The first column among them.
    column: Option<&'t Column>,
}

/// Whether an expression is a value in the spelling in which its column stores it.
fn stored(expr: &Expr) -> bool {
    matches!(expr, Expr::Column(_) | Expr::Param(_) | Expr::Excluded(_))
}

fn is_param(expr: &Expr) -> bool {
    matches!(expr, Expr::Param(_))
}

/// Whether an expression stands between ANDs or ORs without parentheses.
fn binds_tightly(expr: &Expr) -> bool {
    match expr {
        Expr::And(list) | Expr::Or(list) => list.is_empty(),
        Expr::Between(..) | Expr::Xor(..) => false,
        _ => true,
    }
}

/// The right side of a string search, compiled when the spelling asks for it.
struct MatchNeedle<'c, 't> {
    ctx: &'c mut Context<'t>,
    expr: &'c Expr,
}

impl MatchNeedle<'_, '_> {
    /// The parameter, as plain text: a part of a value, or a pattern, is no
    /// value of the column's own type.
    fn slot(&self) -> Option<Slot> {
        match self.expr {
            Expr::Param(slot) => Some(Slot {
                index: slot.index,
                ty: SqlType::Text,
            }),
            _ => None,
        }
    }
}

impl Needle for MatchNeedle<'_, '_> {
    fn is_param(&self) -> bool {
        self.slot().is_some()
    }

    fn changed(&mut self, transform: Transform) -> Result<Sea> {
        let slot = self.slot().ok_or_else(|| {
            CompileError::invalid("only a parameter's text can be changed before it is bound")
        })?;
        self.ctx.bind(&slot, transform)
    }

    fn plain(&mut self) -> Result<Sea> {
        match self.slot() {
            Some(slot) => self.ctx.bind(&slot, Transform::None),
            None => self.ctx.expr(self.expr, Some(&SqlType::Text)),
        }
    }
}
