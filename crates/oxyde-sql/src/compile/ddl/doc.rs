//! The schema document: what tables should exist, as Python describes them.
//!
//! Names are database names, except where an expression tree names fields.
//! Everything but a table's name and a field's name and type has a default,
//! so that documents written by hand stay short.

use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::compile::literal::Literal;
use crate::ir::{self, Table};
use crate::{CompileError, EnumType, SqlType};

/// A set of tables and the enum types they use.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct SchemaDoc {
    /// Version of the grammar inside; compared with [`ir::IR_VERSION`].
    pub ir_version: u32,
    /// The tables.
    #[serde(default)]
    pub tables: Vec<TableDoc>,
    /// Enum types. Those that only fields mention are found there.
    #[serde(default)]
    pub enums: Vec<EnumDoc>,
}

/// An enum type.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct EnumDoc {
    /// Name of the type.
    pub name: String,
    /// Its values, in order.
    pub values: Vec<String>,
}

/// A table.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct TableDoc {
    /// Name.
    pub name: String,
    /// Schema.
    #[serde(default)]
    pub schema: Option<String>,
    /// Comment; SQLite has no place for comments.
    #[serde(default)]
    pub comment: Option<String>,
    /// Columns, in order.
    pub fields: Vec<FieldDoc>,
    /// Indexes.
    #[serde(default)]
    pub indexes: Vec<IndexDoc>,
    /// Foreign keys.
    #[serde(default)]
    pub foreign_keys: Vec<ForeignKeyDoc>,
    /// Check constraints.
    #[serde(default)]
    pub checks: Vec<CheckDoc>,
    /// Unique constraints.
    #[serde(default)]
    pub uniques: Vec<UniqueDoc>,
    /// Columns of the primary key; those marked in `fields` when empty.
    #[serde(default)]
    pub primary_key: Vec<String>,
}

/// A column.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct FieldDoc {
    /// Column name.
    pub name: String,
    /// Python name; the column's when absent.
    #[serde(default)]
    pub field: Option<String>,
    /// Type; `None` for the kind `unknown`, which needs a `db_type`.
    #[serde(deserialize_with = "column_type")]
    pub column_type: Option<SqlType>,
    /// Whether NULL is allowed.
    #[serde(default)]
    pub nullable: bool,
    /// Whether it belongs to the primary key.
    #[serde(default)]
    pub primary_key: bool,
    /// Whether values are unique.
    #[serde(default)]
    pub unique: bool,
    /// Type as verbatim SQL.
    #[serde(default)]
    pub db_type: Option<String>,
    /// Default as an expression.
    #[serde(default)]
    pub default: Option<Expression>,
    /// Default as a value of the column's type.
    #[serde(default)]
    pub default_value: Option<Value>,
    /// Whether the database numbers it.
    #[serde(default)]
    pub auto_increment: bool,
    /// Length of a string whose type has none.
    #[serde(default)]
    pub max_length: Option<u32>,
    /// Digits of a decimal whose type has none.
    #[serde(default)]
    pub max_digits: Option<u16>,
    /// Digits after the point of a decimal whose type has none.
    #[serde(default)]
    pub decimal_places: Option<u16>,
    /// Comment.
    #[serde(default)]
    pub comment: Option<String>,
    /// Collation, as the database names it.
    #[serde(default)]
    pub collation: Option<String>,
    /// Expression of a generated column.
    #[serde(default)]
    pub generated: Option<GeneratedDoc>,
}

/// A generated column.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct GeneratedDoc {
    /// The expression.
    pub expression: Expression,
    /// Whether it is stored or computed when read.
    #[serde(default = "yes")]
    pub stored: bool,
}

/// SQL text, or a tree with the values of its parameters.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum Expression {
    /// Trusted text, taken as it is.
    Sql(String),
    /// A tree and its values.
    Tree {
        /// The tree in the shape grammar.
        predicate: Value,
        /// Values of its parameters, in order.
        #[serde(default)]
        values: Vec<Literal>,
    },
    /// A tree without parameters.
    Bare(Value),
}

/// An index.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct IndexDoc {
    /// Name; `{table}_{columns}_idx` when absent.
    #[serde(default)]
    pub name: Option<String>,
    /// Columns and expressions.
    pub fields: Vec<IndexField>,
    /// Whether values are unique.
    #[serde(default)]
    pub unique: bool,
    /// Kind of index: `btree`, `gin`, `fulltext` …
    #[serde(default)]
    pub method: Option<String>,
    /// Only rows that satisfy this.
    #[serde(default, rename = "where")]
    pub condition: Option<Expression>,
    /// Further columns that are stored in it.
    #[serde(default)]
    pub include: Vec<String>,
    /// Operator class per column.
    #[serde(default)]
    pub opclasses: Option<std::collections::BTreeMap<String, String>>,
}

/// What an index is on.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum IndexField {
    /// A column.
    Column(String),
    /// An expression.
    Expression {
        /// Text or tree.
        expression: Expression,
    },
}

/// A foreign key.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct ForeignKeyDoc {
    /// Name; `{table}_{columns}_fkey` when absent.
    #[serde(default)]
    pub name: Option<String>,
    /// Columns of this table.
    pub columns: Vec<String>,
    /// Table referred to.
    pub ref_table: String,
    /// Its schema.
    #[serde(default)]
    pub ref_schema: Option<String>,
    /// Its columns.
    pub ref_columns: Vec<String>,
    /// What happens when the row referred to is deleted.
    #[serde(default)]
    pub on_delete: Option<String>,
    /// What happens when its key changes.
    #[serde(default)]
    pub on_update: Option<String>,
    /// `true` or `"deferred"`: checked at commit; `"immediate"`: can be deferred.
    #[serde(default)]
    pub deferrable: Option<Deferrable>,
}

/// When a constraint is checked.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Deferrable {
    /// At commit, or at once.
    Flag(bool),
    /// `deferred` or `immediate`.
    Mode(String),
}

/// A check constraint: text or a tree.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct CheckDoc {
    /// Name; `chk_{table}_{n}` when absent.
    #[serde(default)]
    pub name: Option<String>,
    /// The condition.
    #[serde(flatten)]
    pub condition: CheckCondition,
}

/// The condition of a check constraint.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum CheckCondition {
    /// Trusted text.
    Sql {
        /// The text.
        expression: String,
    },
    /// A tree and its values.
    Tree {
        /// The tree in the shape grammar.
        predicate: Value,
        /// Values of its parameters, in order.
        #[serde(default)]
        values: Vec<Literal>,
    },
}

/// A unique constraint.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct UniqueDoc {
    /// Name; `{table}_{columns}_key` when absent.
    #[serde(default)]
    pub name: Option<String>,
    /// Columns.
    pub fields: Vec<String>,
    /// Only rows that satisfy this.
    #[serde(default, rename = "where")]
    pub condition: Option<Expression>,
    /// When it is checked.
    #[serde(default)]
    pub deferrable: Option<Deferrable>,
    /// Whether several NULLs are allowed; the database's own way when absent.
    #[serde(default)]
    pub nulls_distinct: Option<bool>,
}

fn yes() -> bool {
    true
}

fn column_type<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<SqlType>, D::Error> {
    let tag = Value::deserialize(deserializer)?;
    let kind = tag.get("kind").unwrap_or(&tag);
    if kind == "unknown" {
        return Ok(None);
    }
    SqlType::from_json(&tag)
        .map(Some)
        .map_err(serde::de::Error::custom)
}

impl SchemaDoc {
    /// Reads a document.
    ///
    /// # Errors
    /// [`CompileError::Invalid`] for a text that is no such document or has
    /// another version.
    pub fn from_json(text: &str) -> Result<Self, CompileError> {
        let doc: Self = serde_json::from_str(text)
            .map_err(|e| CompileError::invalid(format!("the schema document: {e}")))?;
        if doc.ir_version != ir::IR_VERSION {
            return Err(CompileError::invalid(format!(
                "the schema document has version {}, this build reads {}; install matching \
                 versions of oxyde-orm and oxyde-core",
                doc.ir_version,
                ir::IR_VERSION
            )));
        }
        Ok(doc)
    }
}

impl FieldDoc {
    /// The type, with the lengths that the field gives apart from it.
    pub(super) fn sql_type(&self) -> Option<SqlType> {
        Some(match self.column_type.clone()? {
            SqlType::String(None) => SqlType::String(self.max_length),
            SqlType::Decimal {
                precision: None,
                scale: None,
            } => SqlType::Decimal {
                precision: self.max_digits,
                scale: self.decimal_places,
            },
            other => other,
        })
    }
}

impl TableDoc {
    /// The columns of the primary key.
    pub(super) fn key(&self) -> Vec<&str> {
        if self.primary_key.is_empty() {
            let marked = self.fields.iter().filter(|f| f.primary_key);
            marked.map(|f| f.name.as_str()).collect()
        } else {
            self.primary_key.iter().map(String::as_str).collect()
        }
    }

    /// The table as expressions see it.
    pub(super) fn table(&self) -> Table {
        let key = self.key();
        let columns = self.fields.iter().map(|f| ir::Column {
            field: f.field.clone().unwrap_or_else(|| f.name.clone()),
            name: f.name.clone(),
            // Of a column that has only a db_type nothing is known.
            ty: f.sql_type().unwrap_or(SqlType::Text),
            db_type: f.db_type.clone(),
            collation: f.collation.clone(),
            nullable: f.nullable,
            primary_key: key.contains(&f.name.as_str()),
            auto: f.auto_increment,
            generated: f.generated.is_some(),
        });
        Table::new(self.name.clone(), self.schema.clone(), columns.collect())
    }

    /// The enum types of its columns.
    pub(super) fn enums(&self) -> impl Iterator<Item = EnumDoc> {
        fn of(ty: &SqlType) -> Option<&EnumType> {
            match ty {
                SqlType::Enum(e) => Some(e),
                SqlType::Array(item) => of(item),
                _ => None,
            }
        }
        self.fields
            .iter()
            .filter(|f| f.db_type.is_none())
            .filter_map(|f| f.column_type.as_ref().and_then(of))
            .map(|e| EnumDoc {
                name: e.name.clone(),
                values: e.values.clone(),
            })
    }
}
