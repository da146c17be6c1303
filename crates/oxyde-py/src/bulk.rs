//! Many rows → one buffer of parameters, read straight from the instances' `__dict__`.

use oxyde_exec::Cells;
use oxyde_exec::query::Encoded;
use oxyde_sql::{BindSlot, BulkForm, SqlType};
use pyo3::ffi;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PySet, PyString, PyTuple, PyType};

use crate::bind;
use crate::bind::growing::Growing;
use crate::bind::parameters::Parameters;
use crate::cache::{Statement, Wire};
use crate::copying::{CopyStatement, Lines};
use crate::errors;
use crate::hydrate::{self, CellRow};
use crate::layout;
use crate::loader::{Loader, Output};
use crate::parts::ManyRows;

/// One field of the insert: where its value is found and what is done to it first.
struct Field<'py> {
    name: Bound<'py, PyString>,
    converter: Option<Bound<'py, PyAny>>,
}

/// What the rows of a bulk insert have in common when they are new instances of one model.
#[derive(Debug)]
pub struct Uniform<'py> {
    pub cls: Bound<'py, PyType>,
    /// The key that the database makes; no instance may have one.
    pub automatic: Option<Bound<'py, PyString>>,
    /// Of the first instance; all others have the same keys.
    keys: Vec<Bound<'py, PyAny>>,
}

impl<'py> Uniform<'py> {
    pub fn new(
        cls: Bound<'py, PyType>,
        automatic: Option<Bound<'py, PyString>>,
        rows: &Bound<'py, PyList>,
        fields: &Bound<'py, PyTuple>,
    ) -> PyResult<Self> {
        let mut keys = Vec::new();
        if let Ok(first) = rows.get_item(0)
            && first.get_type().is(&cls)
        {
            for key in dict_of(&first)?.keys() {
                // The fields are looked up anyway.
                if !fields.contains(&key)? {
                    keys.push(key);
                }
            }
        }
        Ok(Self {
            cls,
            automatic,
            keys,
        })
    }

    fn holds(
        &self,
        row: &Bound<'py, PyAny>,
        dict: &Bound<'py, PyDict>,
        fields: usize,
    ) -> PyResult<bool> {
        if !row.get_type().is(&self.cls) || dict.len() != fields + self.keys.len() {
            return Ok(false);
        }
        for key in &self.keys {
            if !dict.contains(key)? {
                return Ok(false);
            }
        }
        match &self.automatic {
            Some(name) => Ok(dict.get_item(name)?.is_none_or(|value| value.is_none())),
            None => Ok(true),
        }
    }
}

/// The rows of one bulk insert, and what else their statement takes.
pub struct Rows<'a, 'py> {
    pub statement: &'a Statement,
    pub rows: &'a Bound<'py, PyList>,
    pub fields: &'a Bound<'py, PyTuple>,
    pub converters: &'a Bound<'py, PyTuple>,
    /// Of the conflict clause: the same for every row.
    pub params: Option<&'a Bound<'py, PyTuple>>,
    /// Every row must be such an instance and have all fields.
    pub uniform: Option<&'a Uniform<'py>>,
}

impl<'py> Rows<'_, 'py> {
    fn named(&self) -> PyResult<Vec<Field<'py>>> {
        self.fields
            .iter()
            .zip(self.converters.iter())
            .map(|(name, converter)| {
                Ok(Field {
                    name: name.cast_into::<PyString>()?,
                    converter: Some(converter).filter(|c| !c.is_none()),
                })
            })
            .collect()
    }

    /// `None` if the row is not like the others.
    fn row(&self, item: &Bound<'py, PyAny>) -> PyResult<Option<Row<'py>>> {
        let row = Row::of(item)?;
        if let (Some(uniform), Row::Dict(dict)) = (self.uniform, &row)
            && !uniform.holds(item, dict, self.fields.len())?
        {
            return Ok(None);
        }
        Ok(Some(row))
    }

    /// The value of a field; one that the row does not have is NULL. `None` if the rows were to be alike.
    fn value(
        &self,
        row: &Row<'py>,
        fields: &[Field<'py>],
        slot: &BindSlot,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let py = self.rows.py();
        let Some(field) = fields.get(slot.param) else {
            return Err(errors::internal(
                py,
                "a bulk insert has more columns than fields",
            ));
        };
        match row.value(slot.param, field)? {
            Some(value) => Ok(Some(value)),
            None if self.uniform.is_some() => Ok(None),
            None => Ok(Some(py.None().into_bound(py))),
        }
    }

    /// A parameter of the conflict clause.
    fn shared(&self, slot: &BindSlot) -> Bound<'py, PyAny> {
        let index = slot.param.saturating_sub(self.fields.len());
        self.params
            .and_then(|params| params.get_item(index).ok())
            .unwrap_or_else(|| self.rows.py().None().into_bound(self.rows.py()))
    }

    /// Encodes all rows for SQLite, row by row, in placeholder order; `None` if the rows were to be alike and are not.
    pub fn encode(&self) -> PyResult<Option<Cells>> {
        let fields = self.named()?;
        let statement = self.statement;
        let binds = &statement.plan.binds;
        let mut cells = Cells::with_capacity(self.rows.len().saturating_mul(binds.len()), 0);
        for item in self.rows.iter() {
            let Some(row) = self.row(&item)? else {
                return Ok(None);
            };
            for (position, slot) in binds.iter().enumerate() {
                let value = if position < statement.plan.row_binds {
                    match self.value(&row, &fields, slot)? {
                        Some(value) => value,
                        None => return Ok(None),
                    }
                } else {
                    self.shared(slot)
                };
                bind::encode(
                    &value,
                    &slot.ty,
                    slot.transform,
                    statement.target(slot.param),
                    &mut cells,
                )?;
            }
        }
        Ok(Some(cells))
    }

    /// Encodes all rows for PostgreSQL, one array per field. The rows are gone through once, because each is a dict of
    /// its own somewhere in memory; the arrays grow side by side.
    pub fn encode_arrays(&self, wire: &Wire) -> PyResult<Option<Encoded>> {
        let py = self.rows.py();
        let fields = self.named()?;
        let statement = self.statement;
        let binds = &statement.plan.binds;
        if statement.plan.bulk == Some(BulkForm::Count) {
            return self.encode_count(wire);
        }
        let (row_binds, shared) = binds.split_at(statement.plan.row_binds.min(binds.len()));
        let mut arrays = row_binds
            .iter()
            .map(|slot| Growing::new(slot, self.rows.len()))
            .collect::<Option<Vec<_>>>()
            .ok_or_else(|| errors::internal(py, "a bulk insert takes lists of values"))?;
        let mut count = 0usize;
        for item in self.rows.iter() {
            let Some(row) = self.row(&item)? else {
                return Ok(None);
            };
            for (slot, array) in row_binds.iter().zip(&mut arrays) {
                let Some(value) = self.value(&row, &fields, slot)? else {
                    return Ok(None);
                };
                array.push(&value, statement.target(slot.param))?;
            }
            count += 1;
        }
        let total: usize = arrays.iter().map(Growing::len).sum();
        let mut values = Vec::with_capacity(total);
        for (slot, array) in row_binds.iter().zip(arrays) {
            array.finish(py, count, statement.target(slot.param), &mut values)?;
        }
        for slot in shared {
            let value = self.shared(slot);
            bind::postgres(&value, slot, statement.target(slot.param), &mut values)?;
        }
        wire.encoded(py, binds.len(), values).map(Some)
    }
}

impl Rows<'_, '_> {
    /// Encodes all rows for INSERTs of many rows each, as few as the server's limits allow: how many rows each has, and
    /// its parameters. `None` if the rows were to be alike and are not.
    pub fn encode_parts(
        &self,
        server: &oxyde_sql::Target,
    ) -> PyResult<Option<Vec<(usize, Encoded)>>> {
        let py = self.rows.py();
        let name = server.dialect.name();
        let fields = self.named()?;
        let statement = self.statement;
        let (row_binds, shared) = statement
            .plan
            .binds
            .split_at(statement.plan.row_binds.min(statement.plan.binds.len()));
        let (most_rows, most_bytes) = ManyRows::limits(row_binds.len(), &server.mysql);
        let room = most_rows
            .min(self.rows.len())
            .saturating_mul(row_binds.len())
            + shared.len();
        let mut parts = Vec::new();
        let mut values = Parameters::new(room);
        let mut count = 0usize;
        let finish = |mut values: Parameters| -> PyResult<Encoded> {
            for slot in shared {
                let value = self.shared(slot);
                bind::mysql(&value, slot, statement.target(slot.param), &mut values)?;
            }
            values.finish(py, name)
        };
        for item in self.rows.iter() {
            let Some(row) = self.row(&item)? else {
                return Ok(None);
            };
            if count == most_rows {
                let full = std::mem::replace(&mut values, Parameters::new(room));
                parts.push((count, finish(full)?));
                count = 0;
            }
            // Twice if the row is one too many for the packet.
            loop {
                let mark = values.mark();
                for slot in row_binds {
                    let Some(value) = self.value(&row, &fields, slot)? else {
                        return Ok(None);
                    };
                    bind::mysql(&value, slot, statement.target(slot.param), &mut values)?;
                }
                if count == 0 || values.size() <= most_bytes {
                    break;
                }
                values.rewind(mark);
                let full = std::mem::replace(&mut values, Parameters::new(room));
                parts.push((count, finish(full)?));
                count = 0;
            }
            count += 1;
        }
        parts.push((count, finish(values)?));
        Ok(Some(parts))
    }

    /// Writes all rows for COPY; `None` if the rows were to be alike and are not.
    pub fn encode_lines(&self, copy: &CopyStatement) -> PyResult<Option<Lines>> {
        let fields = self.named()?;
        let binds = &self.statement.plan.binds;
        let mut lines = Lines::new(copy, self.rows.len(), binds.len());
        for item in self.rows.iter() {
            let Some(row) = self.row(&item)? else {
                return Ok(None);
            };
            for slot in binds {
                let SqlType::Array(ty) = &slot.ty else {
                    return Ok(None);
                };
                let Some(value) = self.value(&row, &fields, slot)? else {
                    return Ok(None);
                };
                lines.push(&value, ty, self.statement.target(slot.param))?;
            }
            lines.end_row();
        }
        Ok(Some(lines))
    }

    /// Rows without a value of their own: only how many there are.
    fn encode_count(&self, wire: &Wire) -> PyResult<Option<Encoded>> {
        for item in self.rows.iter() {
            if self.row(&item)?.is_none() {
                return Ok(None);
            }
        }
        let count = i64::try_from(self.rows.len()).unwrap_or(i64::MAX);
        let mut values = 8i32.to_be_bytes().to_vec();
        values.extend_from_slice(&count.to_be_bytes());
        wire.encoded(self.rows.py(), 1, values).map(Some)
    }
}

/// Instances that were inserted and are told so: what the database filled in, and their load state.
#[derive(Debug)]
pub struct Fill {
    pub instances: Py<PyList>,
    pub loader: Option<Py<Loader>>,
    pub state: Py<PyAny>,
    pub state_slot: Py<PyAny>,
    /// The column that the database numbered in the order of the rows, if one tells that order.
    pub numbered: Option<usize>,
}

impl Fill {
    /// From packed cells.
    pub fn apply(self, py: Python<'_>, rows: &oxyde_exec::Rows) -> PyResult<()> {
        let width = rows.width;
        self.fill(py, rows.rows(), |loader, index, column, output| {
            let row = CellRow {
                cells: &rows.cells,
                base: index * width,
            };
            hydrate::value(py, loader, output, row, column)
        })
    }

    /// From tuples of values that have been read already.
    pub fn apply_values(self, py: Python<'_>, rows: &Bound<'_, PyList>) -> PyResult<()> {
        if let Some(column) = self.numbered
            && !are_in_order(rows, column)?
        {
            return Err(errors::internal(
                py,
                "the rows were inserted, but came back in another order: the instances do not know their keys",
            ));
        }
        self.fill(py, rows.len(), |_, index, column, _| {
            rows.get_item(index)?
                .cast_into::<PyTuple>()?
                .get_item(column)
        })
    }

    fn fill<'py>(
        self,
        py: Python<'py>,
        returned: usize,
        mut value: impl FnMut(&Loader, usize, usize, &Output) -> PyResult<Bound<'py, PyAny>>,
    ) -> PyResult<()> {
        let instances = self.instances.bind(py);
        let loader = self.loader.as_ref().map(Py::get);
        if loader.is_some() && returned != instances.len() {
            return Err(errors::internal(
                py,
                &format!(
                    "{} rows were inserted but {returned} came back",
                    instances.len()
                ),
            ));
        }
        let (state, state_slot) = (self.state.bind(py), self.state_slot.bind(py));
        for (index, instance) in instances.iter().enumerate() {
            if let Some(loader) = loader {
                let dict = dict_of(&instance)?;
                let set = instance.getattr(intern!(py, "__pydantic_fields_set__"))?;
                let set = set.cast::<PySet>()?;
                for (column, output) in loader.outputs.iter().enumerate() {
                    let value = value(loader, index, column, output)?;
                    let name = output.name.bind(py);
                    dict.set_item(name, value)?;
                    set.add(name)?;
                }
            }
            layout::set_slot(&instance, state_slot, state)?;
        }
        Ok(())
    }
}

/// Whether the numbers grow from row to row, or shrink, as those of a sequence do. Anything but integers says nothing.
fn are_in_order(rows: &Bound<'_, PyList>, column: usize) -> PyResult<bool> {
    let mut numbers = Vec::with_capacity(rows.len());
    for row in rows.iter() {
        match row.cast::<PyTuple>()?.get_item(column)?.extract::<i64>() {
            Ok(number) => numbers.push(number),
            Err(_) => return Ok(true),
        }
    }
    let ascending = numbers.is_sorted_by(|a, b| a < b);
    Ok(ascending || numbers.is_sorted_by(|a, b| a > b))
}

fn dict_of<'py>(instance: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyDict>> {
    // SAFETY: a new reference to the instance's dict, or NULL with an exception set.
    let dict = unsafe {
        let dict = ffi::PyObject_GenericGetDict(instance.as_ptr(), std::ptr::null_mut());
        Bound::from_owned_ptr_or_err(instance.py(), dict)?
    };
    Ok(dict.cast_into::<PyDict>()?)
}

enum Row<'py> {
    Values(Bound<'py, PyTuple>),
    Dict(Bound<'py, PyDict>),
}

impl<'py> Row<'py> {
    fn of(row: &Bound<'py, PyAny>) -> PyResult<Self> {
        if let Ok(values) = row.cast::<PyTuple>() {
            return Ok(Self::Values(values.clone()));
        }
        if let Ok(dict) = row.cast::<PyDict>() {
            return Ok(Self::Dict(dict.clone()));
        }
        Ok(Self::Dict(dict_of(row)?))
    }

    fn value(&self, position: usize, field: &Field<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let found = match self {
            Self::Values(values) => Some(values.get_item(position)?),
            Self::Dict(dict) => dict.get_item(&field.name)?,
        };
        match (found, &field.converter) {
            (Some(value), Some(converter)) if !value.is_none() => {
                converter.call1((value,)).map(Some)
            }
            (found, _) => Ok(found),
        }
    }
}
