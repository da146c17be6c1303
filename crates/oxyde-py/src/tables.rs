//! The tables that shapes refer to by number.
//!
//! A model registers its table under a process-unique number and takes it back when the class is collected,
//! so that neither shapes nor plans keep a class alive, and a redefined class never meets its predecessor's plans.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use oxyde_sql::ir::{Column, Table, UniqueKey};
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::completion::lock;
use crate::contract;

static TABLES: Mutex<Option<HashMap<u64, Arc<Table>>>> = Mutex::new(None);

pub fn get(id: u64) -> Option<Arc<Table>> {
    lock(&TABLES)
        .as_ref()
        .and_then(|tables| tables.get(&id).cloned())
}

/// The only column of a key of a registered table, by the names that the server has for both.
pub fn column_of_key(table: &str, key: &str) -> Option<String> {
    let tables = lock(&TABLES);
    let table = tables
        .as_ref()?
        .values()
        .find(|known| known.name == table)?;
    let name = |field: &String| table.column(field).map(|column| column.name.clone());
    if key == "PRIMARY" {
        let mut columns = table.primary_key();
        let first = columns.next()?;
        return columns.next().is_none().then(|| first.name.clone());
    }
    let unique = table.uniques.iter().find(|unique| unique.name == key)?;
    match unique.fields.as_slice() {
        [field] => name(field),
        _ => None,
    }
}

#[pyfunction]
#[pyo3(signature = (model_id, name, schema, columns, uniques=Vec::new()))]
pub fn register_table(
    model_id: u64,
    name: String,
    schema: Option<String>,
    columns: &Bound<'_, PyTuple>,
    uniques: Vec<(String, Vec<String>)>,
) -> PyResult<()> {
    type Row<'py> = (
        String,
        String,
        Bound<'py, PyAny>,
        bool,
        bool,
        bool,
        bool,
        Option<String>,
        Option<String>,
    );
    let mut list = Vec::with_capacity(columns.len());
    for column in columns {
        let (field, name, ty, nullable, primary_key, auto, generated, db_type, collation): Row<'_> =
            column.extract()?;
        let ty = contract::sql_type(&ty)?;
        list.push(Column {
            field,
            name,
            ty,
            db_type,
            collation,
            nullable,
            primary_key,
            auto,
            generated,
        });
    }
    let uniques = uniques
        .into_iter()
        .map(|(name, fields)| UniqueKey { name, fields })
        .collect();
    let table = Arc::new(Table::new(name, schema, list).with_uniques(uniques));
    lock(&TABLES)
        .get_or_insert_with(HashMap::new)
        .insert(model_id, table);
    Ok(())
}

#[pyfunction]
pub fn forget_table(model_id: u64) {
    if let Some(tables) = lock(&TABLES).as_mut() {
        tables.remove(&model_id);
    }
}
