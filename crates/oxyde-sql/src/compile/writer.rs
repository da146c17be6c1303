//! Writes statements and our own pieces between them into one text with one
//! run of placeholders.
//!
//! A parameter travels through sea-query as a marker: a number that is the
//! place of its [`BindSlot`] in the context. The order in which the markers
//! come back is the order of the placeholders; a marker that was copied comes
//! back twice and is bound twice.

use std::fmt::Write as _;

use sea_query::{
    Expr as Sea, MysqlQueryBuilder, PostgresQueryBuilder, QueryBuilder, QueryStatementWriter,
    SqlWriterValues, SqliteQueryBuilder, Value,
};

use crate::{BindSlot, CompileError, Dialect};

pub(crate) struct Writer {
    dialect: Dialect,
    out: SqlWriterValues,
}

/// The marker that stands for the slot at `position`.
pub(crate) fn marker(position: usize) -> Sea {
    Sea::Value(Value::BigUnsigned(Some(position as u64)))
}

impl Writer {
    pub(crate) fn new(dialect: Dialect) -> Self {
        let (placeholder, numbered) = match dialect {
            Dialect::Postgres => PostgresQueryBuilder.placeholder(),
            Dialect::Mysql | Dialect::MariaDb => MysqlQueryBuilder.placeholder(),
            Dialect::Sqlite => SqliteQueryBuilder.placeholder(),
        };
        Self {
            dialect,
            out: SqlWriterValues::new(placeholder, numbered),
        }
    }

    /// Text as it is.
    pub(crate) fn push(&mut self, text: &str) -> &mut Self {
        // Writing into a String cannot fail.
        let _ = self.out.write_str(text);
        self
    }

    /// A quoted identifier.
    pub(crate) fn ident(&mut self, name: &str) -> &mut Self {
        let quoted = self.dialect.quote(name);
        self.push(&quoted)
    }

    /// Quoted identifiers, comma-separated.
    pub(crate) fn idents<'n>(&mut self, names: impl IntoIterator<Item = &'n str>) -> &mut Self {
        for (i, name) in names.into_iter().enumerate() {
            if i > 0 {
                self.push(", ");
            }
            self.ident(name);
        }
        self
    }

    /// A statement of sea-query.
    pub(crate) fn statement<S: QueryStatementWriter>(&mut self, statement: &S) -> &mut Self {
        match self.dialect {
            Dialect::Postgres => statement.build_collect_into(PostgresQueryBuilder, &mut self.out),
            Dialect::Mysql | Dialect::MariaDb => {
                statement.build_collect_into(MysqlQueryBuilder, &mut self.out);
            }
            Dialect::Sqlite => statement.build_collect_into(SqliteQueryBuilder, &mut self.out),
        }
        self
    }

    /// An expression.
    pub(crate) fn expr(&mut self, expr: &Sea) -> &mut Self {
        match self.dialect {
            Dialect::Postgres => PostgresQueryBuilder.prepare_expr(expr, &mut self.out),
            Dialect::Mysql | Dialect::MariaDb => {
                MysqlQueryBuilder.prepare_expr(expr, &mut self.out);
            }
            Dialect::Sqlite => SqliteQueryBuilder.prepare_expr(expr, &mut self.out),
        }
        self
    }

    /// Expressions, comma-separated.
    pub(crate) fn exprs<'e>(&mut self, exprs: impl IntoIterator<Item = &'e Sea>) -> &mut Self {
        for (i, expr) in exprs.into_iter().enumerate() {
            if i > 0 {
                self.push(", ");
            }
            self.expr(expr);
        }
        self
    }

    /// The text and its slots in placeholder order.
    pub(crate) fn finish(
        self,
        slots: &[BindSlot],
    ) -> Result<(String, Vec<BindSlot>), CompileError> {
        let (sql, values) = self.out.into_parts();
        let binds = values
            .iter()
            .map(|value| match value {
                Value::BigUnsigned(Some(position)) => usize::try_from(*position)
                    .ok()
                    .and_then(|position| slots.get(position))
                    .cloned(),
                _ => None,
            })
            .collect::<Option<Vec<_>>>()
            .ok_or_else(|| CompileError::invalid("a value got into the statement's text"))?;
        let limit = self.dialect.max_binds();
        if binds.len() > limit {
            return Err(CompileError::invalid(format!(
                "the statement has {} parameters, {} takes at most {limit}; split the query or \
                 use `in` with a list",
                binds.len(),
                self.dialect.name(),
            )));
        }
        Ok((sql, binds))
    }
}
