//! In which order things are created.

use super::doc::{EnumDoc, ForeignKeyDoc, SchemaDoc, TableDoc};
use crate::CompileError;

/// A table in its place, and which of its foreign keys refer to later ones.
pub(super) struct Placed<'a> {
    pub(super) table: &'a TableDoc,
    pub(super) circular: Vec<usize>,
}

impl<'a> Placed<'a> {
    /// The foreign keys that refer to later tables.
    pub(super) fn circular(&self) -> impl Iterator<Item = &'a ForeignKeyDoc> {
        let keys = &self.table.foreign_keys;
        self.circular.iter().filter_map(|n| keys.get(*n))
    }
}

/// The tables, each after those it refers to as far as that is possible, else
/// in the document's order.
pub(super) fn tables(doc: &SchemaDoc) -> Vec<Placed<'_>> {
    let mut waiting: Vec<&TableDoc> = doc.tables.iter().collect();
    let mut placed = Vec::with_capacity(waiting.len());
    while !waiting.is_empty() {
        let free = waiting.iter().position(|t| later(t, &waiting).is_empty());
        // In a circle, the first goes ahead without its key.
        let table = waiting.remove(free.unwrap_or(0));
        let circular = later(table, &waiting);
        placed.push(Placed { table, circular });
    }
    placed
}

/// The foreign keys of a table that refer to tables still waiting, other than itself.
fn later(table: &TableDoc, waiting: &[&TableDoc]) -> Vec<usize> {
    let id = |t: &TableDoc| (t.schema.clone(), t.name.clone());
    let keys = table.foreign_keys.iter().enumerate();
    keys.filter(|(_, key)| {
        let target = (
            key.ref_schema.clone().or_else(|| table.schema.clone()),
            key.ref_table.clone(),
        );
        target != id(table) && waiting.iter().any(|t| id(t) == target)
    })
    .map(|(n, _)| n)
    .collect()
}

/// All enum types: those listed, then those only fields mention.
pub(super) fn enums(doc: &SchemaDoc) -> Result<Vec<EnumDoc>, CompileError> {
    let mut all: Vec<EnumDoc> = Vec::new();
    let mentioned = doc.tables.iter().flat_map(TableDoc::enums);
    for e in doc.enums.iter().cloned().chain(mentioned) {
        match all.iter().find(|other| other.name == e.name) {
            None => all.push(e),
            Some(other) if *other == e => {}
            Some(_) => {
                return Err(CompileError::invalid(format!(
                    "two enums are called {:?} but have different values",
                    e.name
                )));
            }
        }
    }
    Ok(all)
}
