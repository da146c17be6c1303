//! Many rows → one buffer of parameters, read straight from the instances' `__dict__`.

use oxyde_exec::{Cells, Rows};
use pyo3::ffi;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PySet, PyString, PyTuple, PyType};

use crate::bind;
use crate::cache::Statement;
use crate::errors;
use crate::hydrate;
use crate::layout;
use crate::loader::Loader;

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

/// Encodes all rows, row by row, in placeholder order. A field that a row does not have is NULL.
///
/// With `uniform` every row must be such an instance and have all fields; `None` if one is not.
pub fn encode(
    statement: &Statement,
    rows: &Bound<'_, PyList>,
    fields: &Bound<'_, PyTuple>,
    converters: &Bound<'_, PyTuple>,
    params: Option<&Bound<'_, PyTuple>>,
    uniform: Option<&Uniform<'_>>,
) -> PyResult<Option<Cells>> {
    let py = rows.py();
    let fields = fields
        .iter()
        .zip(converters.iter())
        .map(|(name, converter)| {
            let name = name.cast_into::<PyString>()?;
            Ok(Field {
                name,
                converter: Some(converter).filter(|c| !c.is_none()),
            })
        })
        .collect::<PyResult<Vec<_>>>()?;
    let binds = &statement.plan.binds;
    let mut cells = Cells::with_capacity(rows.len().saturating_mul(binds.len()), 0);
    for item in rows.iter() {
        let row = Row::of(&item)?;
        if let (Some(uniform), Row::Dict(dict)) = (uniform, &row)
            && !uniform.holds(&item, dict, fields.len())?
        {
            return Ok(None);
        }
        for (position, slot) in binds.iter().enumerate() {
            let value = if position < statement.plan.row_binds {
                let Some(field) = fields.get(slot.param) else {
                    return Err(errors::internal(
                        py,
                        "a bulk insert has more columns than fields",
                    ));
                };
                match row.value(slot.param, field)? {
                    Some(value) => value,
                    None if uniform.is_some() => return Ok(None),
                    None => py.None().into_bound(py),
                }
            } else {
                // Parameters of the conflict clause are the same for every row.
                let index = slot.param.saturating_sub(fields.len());
                params
                    .and_then(|params| params.get_item(index).ok())
                    .unwrap_or_else(|| py.None().into_bound(py))
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

/// Instances that were inserted and are told so: what the database filled in, and their load state.
#[derive(Debug)]
pub struct Fill {
    pub instances: Py<PyList>,
    pub loader: Option<Py<Loader>>,
    pub state: Py<PyAny>,
    pub state_slot: Py<PyAny>,
}

impl Fill {
    pub fn apply(self, py: Python<'_>, rows: &Rows) -> PyResult<()> {
        let instances = self.instances.bind(py);
        let loader = self.loader.as_ref().map(Py::get);
        if loader.is_some() && rows.rows() != instances.len() {
            return Err(errors::internal(
                py,
                &format!(
                    "{} rows were inserted but {} came back",
                    instances.len(),
                    rows.rows()
                ),
            ));
        }
        let (state, state_slot) = (self.state.bind(py), self.state_slot.bind(py));
        for (index, instance) in instances.iter().enumerate() {
            if let Some(loader) = loader {
                let dict = dict_of(&instance)?;
                let set = instance.getattr(intern!(py, "__pydantic_fields_set__"))?;
                let set = set.cast::<PySet>()?;
                let base = index * rows.width;
                for (column, output) in loader.outputs.iter().enumerate() {
                    let value =
                        hydrate::value(py, loader, output, &rows.cells, base, base + column)?;
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
