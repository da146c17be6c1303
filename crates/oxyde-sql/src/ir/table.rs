//! What the compiler knows about a model: its table and columns.

use std::collections::HashMap;

use crate::SqlType;

/// A table and its columns, in model order.
#[derive(Clone, Debug)]
pub struct Table {
    /// Name in the database.
    pub name: String,
    /// Schema (PostgreSQL), database (MySQL) or attached database (SQLite).
    pub schema: Option<String>,
    /// Columns in model order. Look one up with [`Table::column`].
    pub columns: Vec<Column>,
    /// Its unique keys beside the primary key.
    pub uniques: Vec<UniqueKey>,
    by_field: HashMap<String, usize>,
}

/// A stored column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Name of the Python field.
    pub field: String,
    /// Name in the database.
    pub name: String,
    /// Type.
    pub ty: SqlType,
    /// The type in the program's own words, which stands in CREATE TABLE as it is.
    pub db_type: Option<String>,
    /// The collation that the program names for it, or for the column it refers to.
    pub collation: Option<String>,
    /// Whether it may hold NULL.
    pub nullable: bool,
    /// Whether it belongs to the primary key.
    pub primary_key: bool,
    /// Whether the database numbers it when it is left out.
    pub auto: bool,
    /// Whether the database computes it; such a column is never written.
    pub generated: bool,
}

/// A unique key: a constraint or a unique index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UniqueKey {
    /// Name in the database.
    pub name: String,
    /// Its fields; none for an index on expressions.
    pub fields: Vec<String>,
}

impl Table {
    /// A table with these columns. Of two columns for one field the first counts.
    #[must_use]
    pub fn new(name: impl Into<String>, schema: Option<String>, columns: Vec<Column>) -> Self {
        let mut by_field = HashMap::with_capacity(columns.len());
        for (i, column) in columns.iter().enumerate() {
            by_field.entry(column.field.clone()).or_insert(i);
        }
        Self {
            name: name.into(),
            schema,
            columns,
            uniques: Vec::new(),
            by_field,
        }
    }

    /// The same table with these unique keys beside the primary key.
    #[must_use]
    pub fn with_uniques(mut self, uniques: Vec<UniqueKey>) -> Self {
        self.uniques = uniques;
        self
    }

    /// The column of a field.
    #[must_use]
    pub fn column(&self, field: &str) -> Option<&Column> {
        self.by_field.get(field).and_then(|&i| self.columns.get(i))
    }

    /// The columns of the primary key, in model order.
    pub fn primary_key(&self) -> impl Iterator<Item = &Column> {
        self.columns.iter().filter(|c| c.primary_key)
    }
}

impl PartialEq for Table {
    fn eq(&self, other: &Self) -> bool {
        (&self.name, &self.schema, &self.columns, &self.uniques)
            == (&other.name, &other.schema, &other.columns, &other.uniques)
    }
}
