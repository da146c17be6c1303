//! Tables from a schema document: the statements that create and drop them.
//!
//! Written by hand and not by sea-query's table builder, which has no place
//! for most of what a document can say. A table is one CREATE TABLE followed
//! by its indexes and comments; tables come after those they refer to, and
//! where they refer to each other in a circle the last foreign key is added at
//! the end. Everything stored in the schema is plain SQL of the database, so
//! that other programs can use it.

mod column;
mod constraint;
mod doc;
mod enums;
mod index;
mod key;
mod name;
mod order;

pub use doc::{
    CheckCondition, CheckDoc, Deferrable, EnumDoc, Expression, FieldDoc, ForeignKeyDoc,
    GeneratedDoc, IndexDoc, IndexField, SchemaDoc, TableDoc, UniqueDoc,
};

pub(crate) use column::Serial;
pub(crate) use index::is_word;

use super::context::Context;
use super::literal::Literal;
use crate::dialect::Hints;
use crate::ir::{self, Table};
use crate::{CompileError, Dialect, Features, SqlType, Target};

type Result<T> = std::result::Result<T, CompileError>;

/// The statements that create everything a document describes, in order.
///
/// They are meant for an empty place: none says IF NOT EXISTS, so that an
/// existing table of another shape is noticed.
///
/// # Errors
/// [`CompileError::NotSupported`] for what the database cannot do,
/// [`CompileError::Invalid`] for a document that contradicts itself.
pub fn create_statements(doc: &SchemaDoc, target: impl Into<Target>) -> Result<Vec<String>> {
    let features = Features::of(target);
    let dialect = features.dialect;
    let mut statements = Vec::new();
    for e in order::enums(doc)? {
        if dialect.hints().enum_types {
            statements.push(enums::create(&e, dialect));
        }
    }
    let mut later = Vec::new();
    for placed in order::tables(doc) {
        let ddl = TableDdl::new(doc, placed.table, &features)?;
        let mut now = Vec::new();
        for (n, key) in placed.table.foreign_keys.iter().enumerate() {
            if placed.circular.contains(&n) && features.add_constraint {
                later.push(format!(
                    "ALTER TABLE {} ADD {}",
                    ddl.name(),
                    ddl.foreign_key(key)?
                ));
            } else {
                now.push(ddl.foreign_key(key)?);
            }
        }
        statements.push(ddl.create_table(now)?);
        statements.extend(ddl.unique_indexes()?);
        for index in &placed.table.indexes {
            statements.push(ddl.index(index)?);
        }
        statements.extend(ddl.comments());
    }
    statements.extend(later);
    Ok(statements)
}

/// The statements that drop everything a document describes, in order. What
/// does not exist is passed over.
///
/// On SQLite they belong into one transaction when tables refer to each other
/// in a circle.
///
/// # Errors
/// [`CompileError::Invalid`] for a document that contradicts itself.
pub fn drop_statements(doc: &SchemaDoc, target: impl Into<Target>) -> Result<Vec<String>> {
    let features = Features::of(target);
    let dialect = features.dialect;
    let placed = order::tables(doc);
    for place in &placed {
        // What cannot be created is not dropped either.
        TableDdl::new(doc, place.table, &features)?;
    }
    let circular = placed.iter().any(|p| !p.circular.is_empty());
    let names: Vec<String> = placed
        .iter()
        .rev()
        .map(|p| dialect.qualified(p.table.schema.as_deref(), &p.table.name))
        .collect();
    let mut statements = Vec::new();
    if circular && features.drop_circle {
        statements.push(format!("DROP TABLE IF EXISTS {}", names.join(", ")));
    } else {
        if circular && features.add_constraint {
            for place in &placed {
                let ddl = TableDdl::new(doc, place.table, &features)?;
                for key in place.circular() {
                    statements.push(format!(
                        "ALTER TABLE IF EXISTS {} DROP FOREIGN KEY IF EXISTS {}",
                        ddl.name(),
                        dialect.quote(&ddl.foreign_key_name(key)?)
                    ));
                }
            }
        } else if circular {
            // Rows may refer to a dropped table until the transaction ends.
            statements.push("PRAGMA defer_foreign_keys = ON".into());
        }
        statements.extend(names.iter().map(|n| format!("DROP TABLE IF EXISTS {n}")));
    }
    if dialect.hints().enum_types {
        for e in order::enums(doc)? {
            statements.push(enums::drop(&e.name, dialect));
        }
    }
    Ok(statements)
}

/// What the parts of one table's statements share.
struct TableDdl<'a> {
    doc: &'a SchemaDoc,
    table: &'a TableDoc,
    columns: Table,
    features: &'a Features,
}

impl<'a> TableDdl<'a> {
    fn new(doc: &'a SchemaDoc, table: &'a TableDoc, features: &'a Features) -> Result<Self> {
        if table.fields.is_empty() {
            return Err(CompileError::invalid(format!(
                "the table {} has no columns",
                table.name
            )));
        }
        let this = Self {
            doc,
            table,
            columns: table.table(),
            features,
        };
        for name in [&table.name]
            .into_iter()
            .chain(&table.schema)
            .chain(table.fields.iter().map(|f| &f.name))
        {
            this.check_name(name)?;
        }
        for column in table.key() {
            this.field(column)?;
        }
        Ok(this)
    }

    fn dialect(&self) -> Dialect {
        self.features.dialect
    }

    fn hints(&self) -> Hints {
        self.dialect().hints()
    }

    /// The table's name as it is written.
    fn name(&self) -> String {
        self.dialect()
            .qualified(self.table.schema.as_deref(), &self.table.name)
    }

    /// A column, or an error that names the table.
    fn field(&self, column: &str) -> Result<&'a FieldDoc> {
        let found = self.table.fields.iter().find(|f| f.name == column);
        found.ok_or_else(|| {
            CompileError::invalid(format!(
                "the table {} has no column {column:?}",
                self.table.name
            ))
        })
    }

    /// Column names as they are written, comma-separated.
    fn column_list<S: AsRef<str>>(&self, columns: &[S]) -> Result<String> {
        let quoted = columns
            .iter()
            .map(|c| Ok(self.dialect().quote(&self.field(c.as_ref())?.name)))
            .collect::<Result<Vec<_>>>()?;
        if quoted.is_empty() {
            return Err(CompileError::invalid(format!(
                "a constraint or index of {} names no column",
                self.table.name
            )));
        }
        Ok(quoted.join(", "))
    }

    fn create_table(&self, foreign_keys: Vec<String>) -> Result<String> {
        let mut parts = Vec::new();
        for field in &self.table.fields {
            parts.push(self.column(field)?);
        }
        parts.extend(self.primary_key()?);
        parts.extend(self.key_of_numbers()?);
        parts.extend(self.unique_constraints()?);
        for (n, check) in self.table.checks.iter().enumerate() {
            parts.push(self.check(check, n + 1)?);
        }
        parts.extend(foreign_keys);
        let mut sql = format!(
            "CREATE TABLE {} (\n  {}\n)",
            self.name(),
            parts.join(",\n  ")
        );
        sql.push_str(&self.dialect().table_options());
        if let (Some(comment), true) = (&self.table.comment, self.hints().inline_comments) {
            sql.push_str(" COMMENT=");
            sql.push_str(&self.dialect().string(comment));
        }
        Ok(sql)
    }

    /// Comments that are statements of their own.
    fn comments(&self) -> Vec<String> {
        if !self.hints().comment_statements {
            return Vec::new();
        }
        let dialect = self.dialect();
        let table = self.table.comment.iter().map(|comment| {
            format!(
                "COMMENT ON TABLE {} IS {}",
                self.name(),
                dialect.string(comment)
            )
        });
        let columns = self.table.fields.iter().filter_map(|field| {
            let comment = field.comment.as_ref()?;
            Some(format!(
                "COMMENT ON COLUMN {}.{} IS {}",
                self.name(),
                dialect.quote(&field.name),
                dialect.string(comment)
            ))
        });
        table.chain(columns).collect()
    }

    /// Text or a tree as SQL; `hint` is the type that is wanted.
    fn expression(&self, expression: &Expression, hint: Option<&SqlType>) -> Result<String> {
        match expression {
            Expression::Sql(text) => Ok(text.clone()),
            Expression::Tree { predicate, values } => self.tree(predicate, values, hint),
            Expression::Bare(tree) => self.tree(tree, &[], hint),
        }
    }

    fn tree(
        &self,
        tree: &serde_json::Value,
        values: &[Literal],
        hint: Option<&SqlType>,
    ) -> Result<String> {
        let expr = ir::json::expr(tree)?;
        let mut ctx = Context::for_ddl(&self.columns, self.features.clone(), values);
        let sql = ctx.root(&expr, hint)?;
        let mut writer = ctx.writer();
        writer.expr(&sql);
        Ok(ctx.finish(writer)?.0)
    }
}
