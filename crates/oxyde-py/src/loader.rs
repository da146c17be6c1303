//! How rows become Python objects: instances, dicts, tuples or single values.
//!
//! A `Loader` is made once per model, column set and result mode and is owned by the model class, so that a
//! cached plan never keeps a class alive. Everything a row needs is looked up here when the loader is made;
//! per row there is one allocation, one copied dict, and one decoded value per column (see [`crate::hydrate`]).

use std::sync::{Arc, Mutex};

use oxyde_exec::query::Column;
use oxyde_sql::SqlType;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::ffi;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyFrozenSet, PyString, PyTuple, PyType};

use crate::completion::lock;
use crate::contract;
use crate::decode::wire::{Decode, Wanted};
use crate::decode::{mysql, postgres};
use crate::errors;

/// Results whose decoders are kept: one statement has a list of columns on each connection.
const KEPT: usize = 16;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Model,
    Dict,
    Tuple,
    Scalar,
}

/// What happens to a decoded value before it is stored.
#[derive(Debug)]
pub enum Convert {
    /// The decoder's value is the result.
    None,
    /// A Python callable: a field's own validator, or the reading half of a `db_converter`.
    Call(Py<PyAny>),
    /// Stored value → member (enums); anything else is unreadable.
    Map(Py<PyDict>),
}

/// What NULL becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NullRule {
    /// None, without asking anybody.
    Pass,
    /// What the converter makes of None: the field's validator has an opinion.
    Convert,
    /// An error: the field has no None.
    Refuse,
}

#[derive(Debug)]
pub struct Output {
    pub name: Py<PyString>,
    pub ty: SqlType,
    pub convert: Convert,
    pub null: NullRule,
    /// `table.column`, for errors.
    pub label: String,
}

/// What it takes to make an instance without `__init__`.
pub struct Model {
    pub cls: Py<PyType>,
    pub alloc: ffi::allocfunc,
    pub set: ffi::descrsetfunc,
    pub state: Py<PyAny>,
    pub state_slot: Option<Py<PyAny>>,
    pub extra_slot: Py<PyAny>,
    pub private_slot: Py<PyAny>,
    pub extra_dict: bool,
    /// Full validation by the whole model: called with the dict of values, answers the instance.
    pub validate: Option<Py<PyAny>>,
    /// Private attributes and `model_post_init`: called with the finished instance.
    pub after: Option<Py<PyAny>>,
}

#[pyclass(frozen, module = "oxyde_core._core")]
pub struct Loader {
    pub kind: Kind,
    pub outputs: Vec<Output>,
    /// A dict with every key already in place; copying it is cheaper than inserting keys.
    pub template: Py<PyDict>,
    pub model: Option<Model>,
    /// Makes the error for a row that was refused: called with the decoded row, the field's name or None, and the
    /// exception or None (NULL where there is none).
    pub explain: Option<Py<PyAny>>,
    /// How the columns of a server's results are read.
    pub postgres: Decoders<postgres::Decoder>,
    pub mysql: Decoders<mysql::Decoder>,
}

/// The columns of results and how they are read, latest last.
pub struct Decoders<D>(Mutex<Vec<Known<D>>>);

type Known<D> = (Arc<[Column]>, Arc<[D]>);

impl<D> Default for Decoders<D> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<D: Decode> Decoders<D> {
    /// How these columns are read. Chosen once; afterwards found by the list that the engine keeps of them.
    pub fn get(
        &self,
        py: Python<'_>,
        outputs: &[Output],
        columns: &Arc<[Column]>,
    ) -> PyResult<Arc<[D]>> {
        let mut known = lock(&self.0);
        if let Some((_, found)) = known.iter().find(|(list, _)| Arc::ptr_eq(list, columns)) {
            return Ok(Arc::clone(found));
        }
        if columns.len() != outputs.len() {
            return Err(errors::internal(
                py,
                &format!(
                    "{} columns came back where {} were asked for",
                    columns.len(),
                    outputs.len()
                ),
            ));
        }
        let same = |decoders: &[D]| {
            let mut pairs = decoders.iter().zip(columns.iter());
            pairs.all(|(decoder, column)| decoder.is_for(column))
        };
        let alike = known.iter().find(|(_, decoders)| same(decoders));
        let decoders = match alike {
            Some((_, decoders)) => Arc::clone(decoders),
            None => outputs
                .iter()
                .zip(columns.iter())
                .map(|(output, column)| D::new(column, Wanted::Field(output.ty.clone())))
                .collect(),
        };
        if known.len() >= KEPT {
            known.remove(0);
        }
        known.push((Arc::clone(columns), Arc::clone(&decoders)));
        Ok(decoders)
    }
}

#[pymethods]
impl Loader {
    #[new]
    #[pyo3(signature = (kind, outputs, *, model=None, null_converted=None, null_refused=None, explain=None))]
    fn new(
        kind: &str,
        outputs: &Bound<'_, PyTuple>,
        model: Option<&Bound<'_, PyTuple>>,
        null_converted: Option<&Bound<'_, PyFrozenSet>>,
        null_refused: Option<&Bound<'_, PyFrozenSet>>,
        explain: Option<Py<PyAny>>,
    ) -> PyResult<Self> {
        let py = outputs.py();
        let kind = match kind {
            "model" => Kind::Model,
            "dict" => Kind::Dict,
            "tuple" => Kind::Tuple,
            "scalar" => Kind::Scalar,
            other => {
                return Err(PyValueError::new_err(format!(
                    "unknown loader kind {other:?}"
                )));
            }
        };
        let has = |set: Option<&Bound<'_, PyFrozenSet>>, name: &Bound<'_, PyString>| {
            set.map_or(Ok(false), |set| set.contains(name))
        };
        let mut list = Vec::with_capacity(outputs.len());
        let template = PyDict::new(py);
        for output in outputs.iter() {
            let mut output = Output::extract_from(&output)?;
            let name = output.name.clone_ref(py).into_bound(py);
            template.set_item(&name, py.None())?;
            output.null = match (has(null_converted, &name)?, has(null_refused, &name)?) {
                (true, _) => NullRule::Convert,
                (_, true) => NullRule::Refuse,
                _ => NullRule::Pass,
            };
            list.push(output);
        }
        let model = model.map(Model::extract_from).transpose()?;
        if (kind == Kind::Model) != model.is_some() {
            return Err(PyValueError::new_err(
                "a model loader, and only it, takes the model's description",
            ));
        }
        Ok(Self {
            kind,
            outputs: list,
            template: template.unbind(),
            model,
            explain,
            postgres: Decoders::default(),
            mysql: Decoders::default(),
        })
    }

    /// Lets the cycle class → loader → class be collected.
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        for output in &self.outputs {
            match &output.convert {
                Convert::None => {}
                Convert::Call(callable) => visit.call(callable)?,
                Convert::Map(map) => visit.call(map)?,
            }
        }
        if let Some(model) = &self.model {
            visit.call(&model.cls)?;
            visit.call(&model.state)?;
            if let Some(validate) = &model.validate {
                visit.call(validate)?;
            }
            if let Some(after) = &model.after {
                visit.call(after)?;
            }
        }
        if let Some(explain) = &self.explain {
            visit.call(explain)?;
        }
        visit.call(&self.template)
    }
}

impl Output {
    fn extract_from(value: &Bound<'_, PyAny>) -> PyResult<Self> {
        let (name, ty, convert, label): (
            Bound<'_, PyString>,
            Bound<'_, PyAny>,
            Bound<'_, PyAny>,
            String,
        ) = value.extract()?;
        let convert = if convert.is_none() {
            Convert::None
        } else if let Ok(map) = convert.cast::<PyDict>() {
            Convert::Map(map.clone().unbind())
        } else if convert.is_callable() {
            Convert::Call(convert.unbind())
        } else {
            return Err(PyTypeError::new_err(
                "a converter is None, a dict or a callable",
            ));
        };
        let name = intern(&name);
        Ok(Self {
            name,
            ty: contract::sql_type(&ty)?,
            convert,
            null: NullRule::Pass,
            label,
        })
    }
}

/// Interned keys make dict look-ups in user code compare by pointer.
fn intern(name: &Bound<'_, PyString>) -> Py<PyString> {
    let mut pointer = name.clone().into_ptr();
    // SAFETY: takes over our reference and answers one to the interned object of the same text.
    unsafe {
        ffi::PyUnicode_InternInPlace(&raw mut pointer);
        Bound::from_owned_ptr(name.py(), pointer)
            .cast_into_unchecked::<PyString>()
            .unbind()
    }
}

impl Model {
    fn extract_from(spec: &Bound<'_, PyTuple>) -> PyResult<Self> {
        type Spec<'py> = (
            Bound<'py, PyType>,
            Bound<'py, PyAny>,
            Option<Bound<'py, PyAny>>,
            Option<Bound<'py, PyAny>>,
            Option<Bound<'py, PyAny>>,
            bool,
        );
        let py = spec.py();
        let (cls, state, state_slot, validate, after, extra_dict): Spec<'_> = spec.extract()?;
        let base = py.import("pydantic")?.getattr("BaseModel")?;
        let slots = base.getattr("__dict__")?;
        let extra_slot = slots.get_item("__pydantic_extra__")?;
        let private_slot = slots.get_item("__pydantic_private__")?;
        let descriptors = [Some(&extra_slot), Some(&private_slot), state_slot.as_ref()];
        let kind = extra_slot.get_type();
        if descriptors
            .iter()
            .flatten()
            .any(|d| !d.get_type().is(&kind))
        {
            return Err(PyTypeError::new_err(
                "slots of a model are member descriptors",
            ));
        }
        // SAFETY: both slots are asked for from live types, checked for NULL, and have these C signatures.
        let (alloc, set) = unsafe {
            let alloc = ffi::PyType_GetSlot(cls.as_type_ptr(), ffi::Py_tp_alloc);
            let set = ffi::PyType_GetSlot(kind.as_type_ptr(), ffi::Py_tp_descr_set);
            if alloc.is_null() || set.is_null() {
                return Err(PyTypeError::new_err(
                    "the model's class cannot be allocated",
                ));
            }
            (
                std::mem::transmute::<*mut std::ffi::c_void, ffi::allocfunc>(alloc),
                std::mem::transmute::<*mut std::ffi::c_void, ffi::descrsetfunc>(set),
            )
        };
        Ok(Self {
            cls: cls.unbind(),
            alloc,
            set,
            state: state.unbind(),
            state_slot: state_slot.map(Bound::unbind),
            extra_slot: extra_slot.unbind(),
            private_slot: private_slot.unbind(),
            extra_dict,
            validate: validate.map(Bound::unbind),
            after: after.map(Bound::unbind),
        })
    }
}
