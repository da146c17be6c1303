//! Cells → Python objects, row by row, straight into the result's shape.
//!
//! Instances are made as Pydantic's own validator makes them — allocate, set `__dict__`, set the slots — but
//! without running a validator where the model's walker has proved that it would change nothing.
//! `__pydantic_fields_set__` stays unset: the model class makes it on first use.

use std::sync::atomic::{AtomicUsize, Ordering};

use oxyde_exec::cells::{CellRef, Cells, Rows};
use pyo3::exceptions::{PyException, PyKeyError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use crate::decode::{self, Unreadable};
use crate::errors;
use crate::loader::{Convert, Kind, Loader, Model, NullRule, Output};

/// Below this many rows the garbage collector is left alone.
const GC_ROWS: usize = 50;

/// All rows as a list.
pub fn rows<'py>(py: Python<'py>, loader: &Loader, rows: &Rows) -> PyResult<Bound<'py, PyAny>> {
    let count = rows.rows();
    if rows.width != loader.outputs.len() && count > 0 {
        return Err(errors::internal(
            py,
            &format!(
                "{} columns came back where {} were asked for",
                rows.width,
                loader.outputs.len()
            ),
        ));
    }
    let _pause = (count > GC_ROWS).then(GcPause::start);
    let Ok(length) = ffi::Py_ssize_t::try_from(count) else {
        return Err(errors::internal(py, "too many rows"));
    };
    // SAFETY: a new list (or NULL with an exception set); every item is set below before anyone sees it. On
    // an error the list is dropped with its unset items as NULL, which its deallocator allows.
    let list = unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyList_New(length))? };
    for index in 0..count {
        let item = row(py, loader, &rows.cells, index * rows.width)?;
        let Ok(position) = ffi::Py_ssize_t::try_from(index) else {
            break;
        };
        // SAFETY: `position` is inside the list; the reference to `item` is handed over.
        unsafe { ffi::PyList_SetItem(list.as_ptr(), position, item.into_ptr()) };
    }
    Ok(list)
}

/// One row, whose first cell is at `base`.
fn row<'py>(
    py: Python<'py>,
    loader: &Loader,
    cells: &Cells,
    base: usize,
) -> PyResult<Bound<'py, PyAny>> {
    match (&loader.model, loader.kind) {
        (Some(model), _) => instance(py, loader, model, cells, base),
        (None, Kind::Scalar) => match loader.outputs.first() {
            Some(output) => value(py, loader, output, cells, base, base),
            None => Ok(py.None().into_bound(py)),
        },
        (None, Kind::Tuple) => tuple(py, loader, cells, base),
        (None, _) => Ok(dict(py, loader, cells, base)?.into_any()),
    }
}

fn tuple<'py>(
    py: Python<'py>,
    loader: &Loader,
    cells: &Cells,
    base: usize,
) -> PyResult<Bound<'py, PyAny>> {
    let Ok(width) = ffi::Py_ssize_t::try_from(loader.outputs.len()) else {
        return Err(errors::internal(py, "too many columns"));
    };
    // SAFETY: a new tuple (or NULL with an exception set) that nobody else sees before all its items are set; on
    // an error it is dropped with the rest as NULL, which its deallocator allows.
    let tuple = unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyTuple_New(width))? };
    for ((index, output), position) in loader.outputs.iter().enumerate().zip(0..) {
        let item = value(py, loader, output, cells, base, base + index)?;
        // SAFETY: `position` is inside the tuple; the reference to `item` is handed over.
        unsafe { ffi::PyTuple_SetItem(tuple.as_ptr(), position, item.into_ptr()) };
    }
    Ok(tuple)
}

fn dict<'py>(
    py: Python<'py>,
    loader: &Loader,
    cells: &Cells,
    base: usize,
) -> PyResult<Bound<'py, PyDict>> {
    // SAFETY: copying a live dict: a new reference or NULL with an exception set.
    let dict =
        unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyDict_Copy(loader.template.as_ptr()))? };
    for (index, output) in loader.outputs.iter().enumerate() {
        let value = value(py, loader, output, cells, base, base + index)?;
        // SAFETY: live dict, key and value; the dict takes its own references.
        if unsafe { ffi::PyDict_SetItem(dict.as_ptr(), output.name.as_ptr(), value.as_ptr()) } != 0
        {
            return Err(PyErr::fetch(py));
        }
    }
    // SAFETY: made by `PyDict_Copy`.
    Ok(unsafe { dict.cast_into_unchecked() })
}

fn instance<'py>(
    py: Python<'py>,
    loader: &Loader,
    model: &Model,
    cells: &Cells,
    base: usize,
) -> PyResult<Bound<'py, PyAny>> {
    let values = dict(py, loader, cells, base)?;
    if let Some(validate) = &model.validate {
        let made = validate
            .bind(py)
            .call1((values,))
            .map_err(|error| explained(py, loader, None, cells, base, Some(error)))?;
        set_slot(
            py,
            model,
            made.as_ptr(),
            model.state_slot.as_ref(),
            model.state.as_ptr(),
        )?;
        return Ok(made);
    }
    // SAFETY: `alloc` is the class's own `tp_alloc`; the dict is handed to the object's dict slot; the slots
    // belong to `BaseModel` and `Model`, of which the class is a subclass.
    let object = unsafe {
        let object =
            Bound::from_owned_ptr_or_err(py, (model.alloc)(model.cls.bind(py).as_type_ptr(), 0))?;
        if ffi::PyObject_GenericSetDict(object.as_ptr(), values.as_ptr(), std::ptr::null_mut()) != 0
        {
            return Err(PyErr::fetch(py));
        }
        object
    };
    let none = py.None();
    if model.extra_dict {
        let extra = PyDict::new(py);
        set_slot(
            py,
            model,
            object.as_ptr(),
            Some(&model.extra_slot),
            extra.as_ptr(),
        )?;
    } else {
        set_slot(
            py,
            model,
            object.as_ptr(),
            Some(&model.extra_slot),
            none.as_ptr(),
        )?;
    }
    set_slot(
        py,
        model,
        object.as_ptr(),
        Some(&model.private_slot),
        none.as_ptr(),
    )?;
    set_slot(
        py,
        model,
        object.as_ptr(),
        model.state_slot.as_ref(),
        model.state.as_ptr(),
    )?;
    if let Some(after) = &model.after {
        after.bind(py).call1((&object,))?;
    }
    Ok(object)
}

fn set_slot(
    py: Python<'_>,
    model: &Model,
    object: *mut ffi::PyObject,
    slot: Option<&Py<PyAny>>,
    value: *mut ffi::PyObject,
) -> PyResult<()> {
    let Some(slot) = slot else { return Ok(()) };
    // SAFETY: all slots were checked to be member descriptors when the loader was made; `set` is their setter.
    if unsafe { (model.set)(slot.as_ptr(), object, value) } != 0 {
        return Err(PyErr::fetch(py));
    }
    Ok(())
}

/// The value at `index`, decoded and converted; `base` is where its row begins.
pub fn value<'py>(
    py: Python<'py>,
    loader: &Loader,
    output: &Output,
    cells: &Cells,
    base: usize,
    index: usize,
) -> PyResult<Bound<'py, PyAny>> {
    let cell = cells.get(index).unwrap_or(CellRef::Null);
    let decoded = match decode::decode(py, cell, &output.ty) {
        Ok(decoded) => decoded,
        Err(Unreadable::Python(error)) => return Err(error),
        Err(Unreadable::Value(why)) => return Err(refuse(py, loader, output, cells, base, &why)),
    };
    let null = matches!(cell, CellRef::Null);
    if null && output.null == NullRule::Refuse {
        return Err(explained(py, loader, Some(output), cells, base, None));
    }
    match &output.convert {
        Convert::None => Ok(decoded),
        _ if null && output.null == NullRule::Pass => Ok(decoded),
        Convert::Call(callable) => callable
            .bind(py)
            .call1((decoded,))
            .map_err(|error| explained(py, loader, Some(output), cells, base, Some(error))),
        Convert::Map(members) => match members.bind(py).get_item(&decoded)? {
            Some(member) => Ok(member),
            None => {
                let error = PyKeyError::new_err((decoded.unbind(),));
                Err(explained(
                    py,
                    loader,
                    Some(output),
                    cells,
                    base,
                    Some(error),
                ))
            }
        },
    }
}

/// The error for a row that a validator, a converter or the null rule refused.
///
/// What it says is the model's business (`explain`): table, key and field, and Pydantic's account of the whole
/// row as the cause. Interrupts and exits are passed on as they are.
fn explained(
    py: Python<'_>,
    loader: &Loader,
    output: Option<&Output>,
    cells: &Cells,
    base: usize,
    error: Option<PyErr>,
) -> PyErr {
    let error = match error {
        Some(error) if !error.is_instance_of::<PyException>(py) => return error,
        error => error,
    };
    let Some(explain) = &loader.explain else {
        let Some(output) = output.or(loader.outputs.first()) else {
            return errors::internal(py, "a row without columns was refused");
        };
        // The exception's own text may quote the stored value.
        let refused = refuse(
            py,
            loader,
            output,
            cells,
            base,
            "it was refused by its converter",
        );
        refused.set_cause(py, error);
        return refused;
    };
    let account = || {
        let row = PyDict::new(py);
        for (index, output) in loader.outputs.iter().enumerate() {
            let cell = cells.get(base + index).unwrap_or(CellRef::Null);
            match decode::decode(py, cell, &output.ty) {
                Ok(value) => row.set_item(output.name.bind(py), value)?,
                Err(Unreadable::Python(error)) => return Err(error),
                Err(Unreadable::Value(_)) => {}
            }
        }
        let name = output.map(|output| output.name.bind(py));
        explain
            .bind(py)
            .call1((row, name, error.map(|error| error.into_value(py))))
    };
    account().map_or_else(|error| error, PyErr::from_value)
}

fn refuse(
    py: Python<'_>,
    loader: &Loader,
    output: &Output,
    cells: &Cells,
    base: usize,
    why: &str,
) -> PyErr {
    let at = identity(py, loader, cells, base);
    errors::data_error(
        py,
        &format!(
            "the stored value of {}{at} cannot be read: {why}",
            output.label
        ),
        &output.label,
    )
}

/// ` (id=5)`: the first column of the row when it is a short value, to find the row again.
fn identity(_py: Python<'_>, loader: &Loader, cells: &Cells, base: usize) -> String {
    let Some(first) = loader.outputs.first() else {
        return String::new();
    };
    match cells.get(base) {
        Some(CellRef::Int(number)) => format!(" ({}={number})", first.name),
        Some(CellRef::Text(bytes)) if bytes.len() <= 64 => {
            format!(" ({}={:?})", first.name, String::from_utf8_lossy(bytes))
        }
        _ => String::new(),
    }
}

/// Keeps the cyclic garbage collector from walking over thousands of young objects again and again.
///
/// Counted per process, because a converter may let another thread run: the first pause stops the collector
/// if it was running, the last one starts it again. Never held across an await.
struct GcPause;

static PAUSES: AtomicUsize = AtomicUsize::new(0);
static RESUME: AtomicUsize = AtomicUsize::new(0);

impl GcPause {
    fn start() -> Self {
        if PAUSES.fetch_add(1, Ordering::SeqCst) == 0 {
            // SAFETY: called with the GIL held; answers whether the collector was enabled.
            let enabled = unsafe { ffi::PyGC_Disable() } != 0;
            RESUME.store(usize::from(enabled), Ordering::SeqCst);
        }
        Self
    }
}

impl Drop for GcPause {
    fn drop(&mut self) {
        if PAUSES.fetch_sub(1, Ordering::SeqCst) == 1 && RESUME.swap(0, Ordering::SeqCst) == 1 {
            // SAFETY: called with the GIL held.
            unsafe { ffi::PyGC_Enable() };
        }
    }
}

/// Rows of raw SQL as dicts: names from the statement, values by storage class.
pub fn natural<'py>(
    py: Python<'py>,
    names: &[String],
    rows: &Rows,
) -> PyResult<Bound<'py, PyList>> {
    let list = PyList::empty(py);
    for index in 0..rows.rows() {
        let dict = PyDict::new(py);
        for (column, name) in names.iter().enumerate() {
            let cell = rows
                .cells
                .get(index * rows.width + column)
                .unwrap_or(CellRef::Null);
            match decode::natural::sqlite(py, cell) {
                Ok(value) => dict.set_item(name, value)?,
                Err(Unreadable::Python(error)) => return Err(error),
                Err(Unreadable::Value(why)) => {
                    return Err(errors::data_error(
                        py,
                        &format!("column {name}: {why}"),
                        name,
                    ));
                }
            }
        }
        list.append(dict)?;
    }
    Ok(list)
}
