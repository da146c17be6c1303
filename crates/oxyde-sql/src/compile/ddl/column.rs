//! One column of CREATE TABLE.

use super::TableDdl;
use super::doc::{FieldDoc, SchemaDoc, TableDoc};
use crate::compile::literal::literal;
use crate::{CompileError, SqlType};

type Result<T> = std::result::Result<T, CompileError>;

impl TableDdl<'_> {
    /// `"name" TYPE NOT NULL DEFAULT … UNIQUE`.
    pub(super) fn column(&self, field: &FieldDoc) -> Result<String> {
        let dialect = self.dialect();
        let ty = field.sql_type();
        if field.db_type.is_none() {
            self.check_members(field, ty.as_ref())?;
        }
        let in_key = self.table.key().contains(&field.name.as_str());
        if self.is_inline_key(field) {
            // The only spelling for which SQLite numbers rows and never uses a number twice.
            return Ok(format!(
                "{} INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT",
                dialect.quote(&field.name)
            ));
        }
        let mut sql = format!("{} {}", dialect.quote(&field.name), self.type_name(field)?);
        if let Some(collation) = self.collation(field)? {
            sql.push_str(" COLLATE ");
            sql.push_str(&collation);
        }
        if let Some(generated) = &field.generated {
            if !generated.stored {
                self.features.require(
                    self.features.virtual_generated,
                    "generated columns that are not stored",
                )?;
            }
            sql.push_str(" GENERATED ALWAYS AS (");
            sql.push_str(&self.expression(&generated.expression, ty.as_ref())?);
            sql.push_str(if generated.stored {
                ") STORED"
            } else {
                ") VIRTUAL"
            });
        }
        if (!field.nullable || in_key)
            && (field.generated.is_none() || self.features.generated_not_null)
        {
            sql.push_str(" NOT NULL");
        }
        if let Some(default) = self.default(field, ty.as_ref())? {
            sql.push_str(" DEFAULT ");
            sql.push_str(&default);
        }
        if field.auto_increment || serial(field).is_some() {
            sql.push_str(self.hints().auto_increment);
        }
        if field.unique && self.table.key() != [field.name.as_str()] {
            self.check_unique(&[&field.name])?;
            sql.push_str(" UNIQUE");
        }
        if let (Some(SqlType::Enum(e)), true) = (&ty, self.hints().enum_checks)
            && field.db_type.is_none()
        {
            let values: Vec<_> = e.values.iter().map(|v| dialect.string(v)).collect();
            sql.push_str(&format!(
                " CHECK ({} IN ({}))",
                dialect.quote(&field.name),
                values.join(", ")
            ));
        }
        if let (Some(comment), true) = (&field.comment, self.hints().inline_comments) {
            sql.push_str(" COMMENT ");
            sql.push_str(&dialect.string(comment));
        }
        Ok(sql)
    }

    /// Refuses members of an enum that the database would change.
    fn check_members(&self, field: &FieldDoc, ty: Option<&SqlType>) -> Result<()> {
        let Some(SqlType::Enum(e)) = ty else {
            return Ok(());
        };
        match e.values.iter().find(|v| v.ends_with(' ')) {
            Some(value) => self.features.require(
                self.features.padded_enums,
                &format!(
                    "the member {value:?} of {}.{}: spaces at the end",
                    self.table.name, field.name
                ),
            ),
            None => Ok(()),
        }
    }

    /// `PRIMARY KEY (a, b)`, unless the column says it itself.
    pub(super) fn primary_key(&self) -> Result<Option<String>> {
        let key = self.table.key();
        let inline = self.table.fields.iter().any(|f| self.is_inline_key(f));
        if key.is_empty() || inline {
            return Ok(None);
        }
        self.check_primary(&key)?;
        Ok(Some(format!("PRIMARY KEY ({})", self.column_list(&key)?)))
    }

    /// An index of its own for a numbered column that no key begins with, where
    /// the database demands one.
    pub(super) fn key_of_numbers(&self) -> Result<Option<String>> {
        if !self.hints().numbers_need_key {
            return Ok(None);
        }
        let numbered: Vec<&FieldDoc> = self
            .table
            .fields
            .iter()
            .filter(|f| f.auto_increment || serial(f).is_some())
            .collect();
        let field = match numbered.as_slice() {
            [] => return Ok(None),
            [field] => *field,
            several => {
                let names: Vec<&str> = several.iter().map(|f| f.name.as_str()).collect();
                return Err(self.features.refuse(format!(
                    "two auto-increment columns in one table: {} of {}",
                    names.join(" and "),
                    self.table.name
                )));
            }
        };
        let first = |columns: &[String]| columns.first() == Some(&field.name);
        let begins = self.table.key().first() == Some(&field.name.as_str())
            || field.unique
            || self.table.uniques.iter().any(|u| first(&u.fields));
        if begins {
            return Ok(None);
        }
        let name = self.name_or(None, &[&field.name], "auto_idx")?;
        Ok(Some(format!(
            "KEY {} ({})",
            self.dialect().quote(&name),
            self.dialect().quote(&field.name)
        )))
    }

    /// Whether the column is SQLite's kind of numbered key.
    fn is_inline_key(&self, field: &FieldDoc) -> bool {
        self.hints().inline_auto_key
            && (field.auto_increment || serial(field).is_some())
            && self.table.key() == [field.name.as_str()]
    }

    fn type_name(&self, field: &FieldDoc) -> Result<String> {
        let dialect = self.dialect();
        let auto = field.auto_increment || serial(field).is_some();
        if auto && self.hints().inline_auto_key {
            // It is not the whole key: that case was taken before.
            self.features.require(
                self.features.auto_in_composite_key,
                "an auto-increment column that is not the whole primary key",
            )?;
        }
        if let Some(size) = serial(field) {
            return Ok(dialect.serial(size).to_owned());
        }
        if let Some(db_type) = &field.db_type {
            return Ok(if field.auto_increment {
                format!("{db_type}{}", self.hints().identity)
            } else {
                db_type.clone()
            });
        }
        let ty = field.sql_type().ok_or_else(|| {
            CompileError::invalid(format!(
                "the type of {}.{} is unknown; give it a db_type",
                self.table.name, field.name
            ))
        })?;
        if !field.auto_increment {
            return Ok(ty.ddl(dialect));
        }
        let size = match ty {
            SqlType::SmallInt => Serial::Small,
            SqlType::Int => Serial::Normal,
            SqlType::BigInt => Serial::Big,
            other => {
                return Err(CompileError::invalid(format!(
                    "{}.{} has the type {} and cannot be numbered by the database",
                    self.table.name,
                    field.name,
                    other.kind()
                )));
            }
        };
        Ok(dialect.serial(size).to_owned())
    }

    /// The column's collation, or that of the column which it refers to.
    fn collation(&self, field: &FieldDoc) -> Result<Option<String>> {
        match collation_of(self.doc, self.table, field, 0) {
            Some(name) => self.dialect().collation_name(name).map(Some),
            None => Ok(None),
        }
    }

    fn default(&self, field: &FieldDoc, ty: Option<&SqlType>) -> Result<Option<String>> {
        if let Some(expression) = &field.default {
            // Parentheses make an expression of anything, on every database.
            let declared = ty.map(|ty| self.dialect().declared(field.db_type.as_deref(), ty));
            let text = self.expression(expression, declared.as_ref())?;
            return Ok(Some(format!("({text})")));
        }
        let Some(value) = field.default_value.as_ref().filter(|v| !v.is_null()) else {
            return Ok(None);
        };
        let ty = ty.ok_or_else(|| {
            CompileError::invalid(format!(
                "the type of {}.{} is unknown; give its default as SQL",
                self.table.name, field.name
            ))
        })?;
        let text = literal(ty, value, self.features)?;
        let expression = field.db_type.is_some() || self.dialect().default_is_expression(ty);
        Ok(Some(if expression {
            format!("({text})")
        } else {
            text
        }))
    }
}

/// A collation that is named, here or by the column that this one refers to.
fn collation_of<'d>(
    doc: &'d SchemaDoc,
    table: &'d TableDoc,
    field: &'d FieldDoc,
    depth: usize,
) -> Option<&'d str> {
    if let Some(name) = &field.collation {
        return Some(name);
    }
    // A key may refer to a key; one that refers to itself has no answer.
    if depth > doc.tables.len() {
        return None;
    }
    table.foreign_keys.iter().find_map(|key| {
        let at = key.columns.iter().position(|c| *c == field.name)?;
        let schema = key.ref_schema.as_ref().or(table.schema.as_ref());
        let target = doc
            .tables
            .iter()
            .find(|t| t.name == key.ref_table && t.schema.as_ref() == schema)?;
        let column = key.ref_columns.get(at)?;
        let column = target.fields.iter().find(|f| f.name == *column)?;
        collation_of(doc, target, column, depth + 1)
    })
}

/// How large a numbered column is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Serial {
    Small,
    Normal,
    Big,
}

/// PostgreSQL's pseudo-types, understood everywhere.
fn serial(field: &FieldDoc) -> Option<Serial> {
    let db_type = field.db_type.as_ref()?.trim().to_ascii_uppercase();
    match db_type.as_str() {
        "SMALLSERIAL" => Some(Serial::Small),
        "SERIAL" => Some(Serial::Normal),
        "BIGSERIAL" => Some(Serial::Big),
        _ => None,
    }
}
