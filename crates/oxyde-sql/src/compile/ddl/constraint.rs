//! Uniques, checks and foreign keys.

use super::TableDdl;
use super::doc::{CheckCondition, CheckDoc, Deferrable, ForeignKeyDoc, UniqueDoc};
use super::name::shorten;
use crate::{CompileError, SqlType};

type Result<T> = std::result::Result<T, CompileError>;

impl TableDdl<'_> {
    /// Unique constraints; those on some rows only are indexes.
    pub(super) fn unique_constraints(&self) -> Result<Vec<String>> {
        let whole = self.table.uniques.iter().filter(|u| u.condition.is_none());
        whole.map(|unique| self.unique(unique)).collect()
    }

    fn unique(&self, unique: &UniqueDoc) -> Result<String> {
        let name = self.name_or(unique.name.as_ref(), &unique.fields, "key")?;
        self.check_unique(&unique.fields)?;
        let deferrable = deferrable(unique.deferrable.as_ref())?;
        if !deferrable.is_empty() {
            self.features.require(
                self.features.deferrable_unique,
                "deferrable unique constraints",
            )?;
        }
        Ok(format!(
            "CONSTRAINT {} UNIQUE{} ({}){deferrable}",
            self.dialect().quote(&name),
            self.nulls_distinct(unique)?,
            self.column_list(&unique.fields)?,
        ))
    }

    fn nulls_distinct(&self, unique: &UniqueDoc) -> Result<&'static str> {
        // That NULLs differ is the rule on every database.
        if unique.nulls_distinct != Some(false) {
            return Ok("");
        }
        self.features.require(
            self.features.nulls_not_distinct,
            "unique constraints with nulls_distinct=False",
        )?;
        Ok(" NULLS NOT DISTINCT")
    }

    /// Unique constraints on some rows.
    pub(super) fn unique_indexes(&self) -> Result<Vec<String>> {
        let mut statements = Vec::new();
        for unique in &self.table.uniques {
            let Some(condition) = &unique.condition else {
                continue;
            };
            self.features.require(
                self.features.partial_index,
                "unique constraints with a condition",
            )?;
            if !deferrable(unique.deferrable.as_ref())?.is_empty() {
                return Err(CompileError::invalid(format!(
                    "a unique constraint of {} has a condition and is deferrable; no database has both",
                    self.table.name
                )));
            }
            let name = self.name_or(unique.name.as_ref(), &unique.fields, "key")?;
            let (index, table) = self.index_target(&name);
            statements.push(format!(
                "CREATE UNIQUE INDEX {index} ON {table} ({}){} WHERE {}",
                self.column_list(&unique.fields)?,
                self.nulls_distinct(unique)?,
                self.expression(condition, Some(&SqlType::Bool))?,
            ));
        }
        Ok(statements)
    }

    pub(super) fn check(&self, check: &CheckDoc, n: usize) -> Result<String> {
        let name = match &check.name {
            Some(name) => {
                self.check_name(name)?;
                name.clone()
            }
            None => shorten(&format!("chk_{}_{n}", self.table.name)),
        };
        let condition = match &check.condition {
            CheckCondition::Sql { expression } => expression.clone(),
            CheckCondition::Tree { predicate, values } => {
                self.tree(predicate, values, Some(&SqlType::Bool))?
            }
        };
        Ok(format!(
            "CONSTRAINT {} CHECK ({condition})",
            self.dialect().quote(&name)
        ))
    }

    pub(super) fn foreign_key_name(&self, key: &ForeignKeyDoc) -> Result<String> {
        self.name_or(key.name.as_ref(), &key.columns, "fkey")
    }

    pub(super) fn foreign_key(&self, key: &ForeignKeyDoc) -> Result<String> {
        let dialect = self.dialect();
        if key.columns.len() != key.ref_columns.len() {
            return Err(CompileError::invalid(format!(
                "a foreign key of {} has {} columns and refers to {}",
                self.table.name,
                key.columns.len(),
                key.ref_columns.len()
            )));
        }
        let name = self.foreign_key_name(key)?;
        let schema = key.ref_schema.as_deref().or(self.table.schema.as_deref());
        let target = if self.hints().qualified_references {
            dialect.qualified(schema, &key.ref_table)
        } else {
            if schema != self.table.schema.as_deref() {
                return Err(self
                    .features
                    .refuse("foreign keys to a table of another schema"));
            }
            dialect.quote(&key.ref_table)
        };
        let ref_columns: Vec<_> = key.ref_columns.iter().map(|c| dialect.quote(c)).collect();
        let mut sql = format!(
            "CONSTRAINT {} FOREIGN KEY ({}) REFERENCES {target} ({})",
            dialect.quote(&name),
            self.column_list(&key.columns)?,
            ref_columns.join(", "),
        );
        for (event, action) in [("DELETE", &key.on_delete), ("UPDATE", &key.on_update)] {
            if let Some(action) = action {
                sql.push_str(&format!(" ON {event} {}", self.action(action)?));
            }
        }
        let deferrable = deferrable(key.deferrable.as_ref())?;
        if !deferrable.is_empty() {
            self.features.require(
                self.features.deferrable_foreign_key,
                "deferrable foreign keys",
            )?;
        }
        sql.push_str(deferrable);
        Ok(sql)
    }

    fn action(&self, action: &str) -> Result<&'static str> {
        Ok(match action.to_ascii_uppercase().as_str() {
            "CASCADE" => "CASCADE",
            "RESTRICT" => "RESTRICT",
            "NO ACTION" => "NO ACTION",
            "SET NULL" => "SET NULL",
            "SET DEFAULT" => {
                self.features
                    .require(self.features.set_default, "the action SET DEFAULT")?;
                "SET DEFAULT"
            }
            _ => {
                return Err(CompileError::invalid(format!(
                    "{action:?} is no action of a foreign key; there are CASCADE, RESTRICT, \
                     NO ACTION, SET NULL and SET DEFAULT"
                )));
            }
        })
    }
}

/// The clause, with a leading space unless empty.
fn deferrable(deferrable: Option<&Deferrable>) -> Result<&'static str> {
    Ok(match deferrable {
        None | Some(Deferrable::Flag(false)) => "",
        Some(Deferrable::Flag(true)) => " DEFERRABLE INITIALLY DEFERRED",
        Some(Deferrable::Mode(mode)) => match mode.to_ascii_lowercase().as_str() {
            "deferred" => " DEFERRABLE INITIALLY DEFERRED",
            "immediate" => " DEFERRABLE INITIALLY IMMEDIATE",
            _ => {
                return Err(CompileError::invalid(format!(
                    "deferrable is True, False, \"deferred\" or \"immediate\", not {mode:?}"
                )));
            }
        },
    })
}
