//! What the compilation of one statement carries along: table, server,
//! parameter slots, and where columns must be qualified.

use std::borrow::Cow;

use sea_query::{ColumnName, ColumnRef, Expr as Sea, IntoIden, SchemaName, TableName, TableRef};

use super::literal::{Literal, literal};
use super::writer::{Writer, marker};
use crate::dialect::{Spelling, fragment, spelling};
use crate::ir::{Column, Slot, Table};
use crate::{BindSlot, CompileError, Dialect, Features, SqlType, Target, Transform};

type Result<T> = std::result::Result<T, CompileError>;

/// How many nodes an expression may expand to. Operators that must name an
/// operand twice could otherwise grow without bounds when nested.
const MAX_WEIGHT: usize = 1_000_000;

pub(crate) struct Context<'a> {
    pub(crate) table: &'a Table,
    pub(crate) features: Features,
    pub(crate) spell: Box<dyn Spelling>,
    /// Write `table.column`: needed where another row is in scope.
    pub(crate) qualify: bool,
    /// Another name for the row that columns are read from.
    pub(crate) alias: Option<&'static str>,
    /// The name of the proposed row while an upsert's assignments are compiled.
    pub(crate) row_alias: Option<&'static str>,
    /// Whether there is a row whose columns can be read.
    pub(crate) columns_allowed: bool,
    /// Whether what is compiled holds for every row of the result: see [`InList::conjunct`](crate::dialect::InList).
    pub(super) conjunct: bool,
    /// What is added to the index of parameters: the row's fields of a bulk
    /// insert come before them.
    pub(crate) first_param: usize,
    slots: Vec<BindSlot>,
    /// For DDL: the values that stand in the place of parameters.
    literals: Option<&'a [Literal]>,
}

impl<'a> Context<'a> {
    pub(crate) fn new(table: &'a Table, target: Target) -> Self {
        Self::with(table, Features::of(target), None)
    }

    /// For text that is stored in the schema: literals, no functions of ours.
    pub(crate) fn for_ddl(table: &'a Table, features: Features, values: &'a [Literal]) -> Self {
        Self::with(table, features.for_ddl(), Some(values))
    }

    fn with(table: &'a Table, features: Features, literals: Option<&'a [Literal]>) -> Self {
        Self {
            table,
            spell: spelling(&features),
            features,
            qualify: false,
            alias: None,
            row_alias: None,
            columns_allowed: true,
            conjunct: false,
            first_param: 0,
            slots: Vec::new(),
            literals,
        }
    }

    pub(crate) fn dialect(&self) -> Dialect {
        self.features.dialect
    }

    pub(crate) fn writer(&self) -> Writer {
        Writer::new(self.dialect())
    }

    pub(crate) fn finish(&self, writer: Writer) -> Result<(String, Vec<BindSlot>)> {
        writer.finish(&self.slots)
    }

    /// The column of a field, or an error that names the table's fields.
    pub(crate) fn column(&self, field: &str) -> Result<&'a Column> {
        self.table.column(field).ok_or_else(|| {
            let fields: Vec<_> = self
                .table
                .columns
                .iter()
                .map(|c| c.field.as_str())
                .collect();
            CompileError::invalid(format!(
                "{} has no field {field:?}; its fields are {}",
                self.table.name,
                fields.join(", ")
            ))
        })
    }

    /// The columns of several fields.
    pub(crate) fn columns(&self, fields: &[String]) -> Result<Vec<&'a Column>> {
        fields.iter().map(|f| self.column(f)).collect()
    }

    /// A column that a statement may write.
    pub(crate) fn writable(&self, field: &str) -> Result<&'a Column> {
        let column = self.column(field)?;
        if column.generated {
            return Err(CompileError::invalid(format!(
                "{}.{} is computed by the database and cannot be written",
                self.table.name, column.name
            )));
        }
        Ok(column)
    }

    /// A reference to a column.
    pub(crate) fn column_ref(&self, column: &Column) -> Sea {
        let table = match self.alias {
            Some(alias) => Some(TableName(None, alias.into_iden())),
            None => self.qualify.then(|| self.bare_table_name()),
        };
        Sea::Column(ColumnRef::Column(ColumnName(
            table,
            column.name.clone().into_iden(),
        )))
    }

    /// The table's name, qualified by its schema.
    pub(crate) fn table_name(&self) -> TableName {
        let schema = self.table.schema.clone();
        TableName(
            schema.map(|s| SchemaName(None, s.into_iden())),
            self.table.name.clone().into_iden(),
        )
    }

    /// The table's name alone: what a column is qualified by.
    fn bare_table_name(&self) -> TableName {
        TableName(None, self.table.name.clone().into_iden())
    }

    /// The table's quoted name, qualified by its schema.
    pub(crate) fn quoted_table(&self) -> String {
        self.dialect()
            .qualified(self.table.schema.as_deref(), &self.table.name)
    }

    pub(crate) fn table_ref(&self) -> TableRef {
        TableRef::Table(self.table_name(), None)
    }

    /// A place for a parameter, or the literal that stands for it in DDL.
    pub(crate) fn bind(&mut self, slot: &Slot, transform: Transform) -> Result<Sea> {
        if let Some(values) = self.literals {
            let value = values.get(slot.index).ok_or_else(|| {
                CompileError::invalid(format!("the predicate lacks its value {}", slot.index))
            })?;
            let value = match (transform, value.value.as_str()) {
                (Transform::None, _) | (_, None) => Cow::Borrowed(&value.value),
                (transform, Some(text)) => Cow::Owned(transform.apply(text).into_owned().into()),
            };
            return Ok(fragment::raw(literal(&slot.ty, &value, &self.features)?));
        }
        Ok(self.place(slot, transform, false, false))
    }

    /// A place for a value of a column whose type only the server knows.
    pub(crate) fn bind_verbatim(&mut self, slot: &Slot) -> Result<Sea> {
        if self.literals.is_some() {
            return self.bind(slot, Transform::None);
        }
        Ok(self.place(slot, Transform::None, true, false))
    }

    /// A place for a list whose items are sent as texts.
    pub(crate) fn bind_texts(&mut self, slot: &Slot) -> Sea {
        self.place(slot, Transform::None, false, true)
    }

    fn place(&mut self, slot: &Slot, transform: Transform, verbatim: bool, texts: bool) -> Sea {
        self.slots.push(BindSlot {
            param: slot.index + self.first_param,
            ty: slot.ty.clone(),
            transform,
            verbatim,
            texts,
        });
        marker(self.slots.len() - 1)
    }

    /// The values of an array parameter, in DDL.
    pub(crate) fn literal_list(&self, slot: &Slot, item: &SqlType) -> Result<Option<Vec<Sea>>> {
        let Some(values) = self.literals else {
            return Ok(None);
        };
        let list = values
            .get(slot.index)
            .and_then(|v| v.value.as_array())
            .ok_or_else(|| {
                CompileError::invalid(format!("value {} of the predicate is no list", slot.index))
            })?;
        list.iter()
            .map(|v| literal(item, v, &self.features).map(fragment::raw))
            .collect::<Result<Vec<_>>>()
            .map(Some)
    }

    /// Refuses an expression that would expand beyond all reason.
    pub(crate) fn check_weight(&self, weight: usize) -> Result<()> {
        if weight > MAX_WEIGHT {
            return Err(CompileError::invalid(format!(
                "the expression expands to more than {MAX_WEIGHT} parts; nest // and % less \
                 deeply or split the query"
            )));
        }
        Ok(())
    }
}
