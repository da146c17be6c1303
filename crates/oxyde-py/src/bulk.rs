//! Many rows → one buffer of parameters, read straight from the instances' `__dict__`.

use oxyde_exec::Cells;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyString, PyTuple};

use crate::bind;
use crate::cache::Statement;
use crate::errors;

/// One field of the insert: where its value is found and what is done to it first.
struct Field<'py> {
    name: Bound<'py, PyString>,
    converter: Option<Bound<'py, PyAny>>,
}

/// Encodes all rows, row by row, in placeholder order. A field that an instance does not have is NULL.
pub fn encode(
    statement: &Statement,
    rows: &Bound<'_, PyList>,
    fields: &Bound<'_, PyTuple>,
    converters: &Bound<'_, PyTuple>,
    params: Option<&Bound<'_, PyTuple>>,
) -> PyResult<Cells> {
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
    let width = statement.plan.binds.len();
    let mut cells = Cells::with_capacity(rows.len().saturating_mul(width), 0);
    for row in rows.iter() {
        let row = Row::of(&row)?;
        for (position, slot) in statement.plan.binds.iter().enumerate() {
            let value = if position < statement.plan.row_binds {
                let Some(field) = fields.get(slot.param) else {
                    return Err(errors::internal(
                        py,
                        "a bulk insert has more columns than fields",
                    ));
                };
                row.value(slot.param, field)?
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
    Ok(cells)
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
        // SAFETY: a new reference to the instance's dict, or NULL with an exception set.
        let dict = unsafe {
            Bound::from_owned_ptr_or_err(
                row.py(),
                ffi::PyObject_GenericGetDict(row.as_ptr(), std::ptr::null_mut()),
            )?
        };
        Ok(Self::Dict(dict.cast_into::<PyDict>()?))
    }

    fn value(&self, position: usize, field: &Field<'py>) -> PyResult<Bound<'py, PyAny>> {
        let found = match self {
            Self::Values(values) => Some(values.get_item(position)?),
            Self::Dict(dict) => dict.get_item(&field.name)?,
        };
        let value = found.unwrap_or_else(|| field.name.py().None().into_bound(field.name.py()));
        match &field.converter {
            Some(converter) if !value.is_none() => converter.call1((value,)),
            _ => Ok(value),
        }
    }
}
