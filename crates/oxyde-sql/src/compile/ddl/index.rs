//! CREATE INDEX.

use super::TableDdl;
use super::doc::{IndexDoc, IndexField};
use crate::{CompileError, SqlType};

type Result<T> = std::result::Result<T, CompileError>;

impl TableDdl<'_> {
    pub(super) fn index(&self, index: &IndexDoc) -> Result<String> {
        let dialect = self.dialect();
        let named: Vec<&str> = index
            .fields
            .iter()
            .map(|f| match f {
                IndexField::Column(name) => name.as_str(),
                IndexField::Expression { .. } => "expr",
            })
            .collect();
        let name = self.name_or(index.name.as_ref(), &named, "idx")?;
        if index.unique {
            let named: Vec<&String> = index.fields.iter().filter_map(column_of).collect();
            self.check_unique(&named)?;
        }
        let keys = index
            .fields
            .iter()
            .map(|f| self.index_key(index, f))
            .collect::<Result<Vec<_>>>()?;
        if keys.is_empty() {
            return Err(CompileError::invalid(format!(
                "the index {name} is on nothing"
            )));
        }
        let method = match &index.method {
            Some(method) => dialect.index_method(method, self.features)?,
            None => Default::default(),
        };
        let (quoted, table) = self.index_target(&name);
        let mut sql = format!(
            "CREATE {}{}INDEX {quoted} ON {table}{} ({}){}",
            if index.unique { "UNIQUE " } else { "" },
            method.prefix,
            method.before_keys,
            keys.join(", "),
            method.after_keys,
        );
        if !index.include.is_empty() {
            self.features
                .require(self.features.index_include, "indexes with include=")?;
            sql.push_str(&format!(" INCLUDE ({})", self.column_list(&index.include)?));
        }
        if let Some(condition) = &index.condition {
            self.features
                .require(self.features.partial_index, "indexes with a condition")?;
            sql.push_str(" WHERE ");
            sql.push_str(&self.expression(condition, Some(&SqlType::Bool))?);
        }
        Ok(sql)
    }

    fn index_key(&self, index: &IndexDoc, field: &IndexField) -> Result<String> {
        let (mut sql, name) = match field {
            IndexField::Column(column) => {
                let column_name = self.column_list(&[column])?;
                (column_name + &self.key_length(index, column)?, Some(column))
            }
            IndexField::Expression { expression } => {
                self.features
                    .require(self.features.expression_index, "indexes on expressions")?;
                (format!("({})", self.expression(expression, None)?), None)
            }
        };
        let class = index
            .opclasses
            .as_ref()
            .zip(name)
            .and_then(|(c, n)| c.get(n));
        if let Some(class) = class {
            self.features
                .require(self.features.index_opclass, "operator classes")?;
            if !class.split('.').all(is_word) {
                return Err(CompileError::invalid(format!(
                    "{class:?} is no name of an operator class"
                )));
            }
            sql.push(' ');
            sql.push_str(class);
        }
        Ok(sql)
    }

    /// The index's name and the table's as CREATE INDEX writes them: where the
    /// schema goes differs.
    pub(super) fn index_target(&self, name: &str) -> (String, String) {
        let dialect = self.dialect();
        let schema = self.table.schema.as_deref();
        if self.hints().index_has_schema {
            (
                dialect.qualified(schema, name),
                dialect.quote(&self.table.name),
            )
        } else {
            (
                dialect.quote(name),
                dialect.qualified(schema, &self.table.name),
            )
        }
    }
}

fn column_of(field: &IndexField) -> Option<&String> {
    match field {
        IndexField::Column(name) => Some(name),
        IndexField::Expression { .. } => None,
    }
}

/// Whether a text is a plain word, which may stand in SQL unquoted.
pub(crate) fn is_word(text: &str) -> bool {
    let mut chars = text.chars();
    chars
        .next()
        .is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && chars.all(|c| c.is_ascii_alphanumeric() || c == '_')
}
