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

use crate::decode::wire::Decode;
use crate::decode::{self, Decoded, Unreadable};
use crate::errors;
use crate::loader::{Convert, Kind, Loader, Model, NullRule, Output};

/// Below this many rows the garbage collector is left alone.
const GC_ROWS: usize = 50;

/// One row as its engine holds it; hydrating is compiled once for each.
pub trait Row: Copy {
    fn is_null(self, index: usize) -> bool;
    /// The value of a column, which belongs to `output`; None for NULL.
    fn decode<'py>(self, py: Python<'py>, index: usize, output: &Output) -> Decoded<'py>;
    /// The value of a column as text if it is short, to find the row again.
    fn brief(self, index: usize) -> Option<String>;
}

/// A row of packed cells: where its first one is.
#[derive(Clone, Copy)]
pub struct CellRow<'a> {
    pub cells: &'a Cells,
    pub base: usize,
}

impl CellRow<'_> {
    fn cell(&self, index: usize) -> CellRef<'_> {
        self.cells.get(self.base + index).unwrap_or(CellRef::Null)
    }
}

impl Row for CellRow<'_> {
    fn is_null(self, index: usize) -> bool {
        matches!(self.cell(index), CellRef::Null)
    }

    fn decode<'py>(self, py: Python<'py>, index: usize, output: &Output) -> Decoded<'py> {
        decode::decode(py, self.cell(index), &output.ty)
    }

    fn brief(self, index: usize) -> Option<String> {
        match self.cell(index) {
            CellRef::Int(number) => Some(number.to_string()),
            CellRef::Text(bytes) if bytes.len() <= 64 => {
                Some(format!("{:?}", String::from_utf8_lossy(bytes)))
            }
            _ => None,
        }
    }
}

/// A row in a server's wire format: the fields, and how each is read.
pub struct WireRow<'a, D> {
    pub fields: &'a [Option<&'a [u8]>],
    pub decoders: &'a [D],
}

impl<D> Clone for WireRow<'_, D> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<D> Copy for WireRow<'_, D> {}

impl<D> WireRow<'_, D> {
    fn field(&self, index: usize) -> Option<(&[u8], &D)> {
        let bytes = (*self.fields.get(index)?)?;
        Some((bytes, self.decoders.get(index)?))
    }
}

impl<D: Decode> Row for WireRow<'_, D> {
    fn is_null(self, index: usize) -> bool {
        self.field(index).is_none()
    }

    fn decode<'py>(self, py: Python<'py>, index: usize, _: &Output) -> Decoded<'py> {
        match self.field(index) {
            Some((bytes, decoder)) => decoder.decode(py, bytes),
            None => Ok(py.None().into_bound(py)),
        }
    }

    fn brief(self, index: usize) -> Option<String> {
        let (bytes, decoder) = self.field(index)?;
        decoder.brief(bytes)
    }
}

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
    let _pause = GcPause::for_rows(count);
    let Ok(length) = ffi::Py_ssize_t::try_from(count) else {
        return Err(errors::internal(py, "too many rows"));
    };
    // SAFETY: a new list (or NULL with an exception set); every item is set below before anyone sees it. On
    // an error the list is dropped with its unset items as NULL, which its deallocator allows.
    let list = unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyList_New(length))? };
    for index in 0..count {
        let cells = CellRow {
            cells: &rows.cells,
            base: index * rows.width,
        };
        let item = row(py, loader, cells)?;
        let Ok(position) = ffi::Py_ssize_t::try_from(index) else {
            break;
        };
        // SAFETY: `position` is inside the list; the reference to `item` is handed over.
        unsafe { ffi::PyList_SetItem(list.as_ptr(), position, item.into_ptr()) };
    }
    Ok(list)
}

/// One row in the loader's form.
pub fn row<'py, R: Row>(py: Python<'py>, loader: &Loader, row: R) -> PyResult<Bound<'py, PyAny>> {
    match (&loader.model, loader.kind) {
        (Some(model), _) => instance(py, loader, model, row),
        (None, Kind::Scalar) => match loader.outputs.first() {
            Some(output) => value(py, loader, output, row, 0),
            None => Ok(py.None().into_bound(py)),
        },
        (None, Kind::Tuple) => tuple(py, loader, row),
        (None, _) => Ok(dict(py, loader, row)?.into_any()),
    }
}

/// All values of a row, also where the loader makes something else of it.
pub fn tuple<'py, R: Row>(py: Python<'py>, loader: &Loader, row: R) -> PyResult<Bound<'py, PyAny>> {
    let Ok(width) = ffi::Py_ssize_t::try_from(loader.outputs.len()) else {
        return Err(errors::internal(py, "too many columns"));
    };
    // SAFETY: a new tuple (or NULL with an exception set) that nobody else sees before all its items are set; on
    // an error it is dropped with the rest as NULL, which its deallocator allows.
    let tuple = unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyTuple_New(width))? };
    for ((index, output), position) in loader.outputs.iter().enumerate().zip(0..) {
        let item = value(py, loader, output, row, index)?;
        // SAFETY: `position` is inside the tuple; the reference to `item` is handed over.
        unsafe { ffi::PyTuple_SetItem(tuple.as_ptr(), position, item.into_ptr()) };
    }
    Ok(tuple)
}

fn dict<'py, R: Row>(py: Python<'py>, loader: &Loader, row: R) -> PyResult<Bound<'py, PyDict>> {
    // SAFETY: copying a live dict: a new reference or NULL with an exception set.
    let dict =
        unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyDict_Copy(loader.template.as_ptr()))? };
    for (index, output) in loader.outputs.iter().enumerate() {
        let value = value(py, loader, output, row, index)?;
        // SAFETY: live dict, key and value; the dict takes its own references.
        if unsafe { ffi::PyDict_SetItem(dict.as_ptr(), output.name.as_ptr(), value.as_ptr()) } != 0
        {
            return Err(PyErr::fetch(py));
        }
    }
    // SAFETY: made by `PyDict_Copy`.
    Ok(unsafe { dict.cast_into_unchecked() })
}

fn instance<'py, R: Row>(
    py: Python<'py>,
    loader: &Loader,
    model: &Model,
    row: R,
) -> PyResult<Bound<'py, PyAny>> {
    let values = dict(py, loader, row)?;
    if let Some(validate) = &model.validate {
        let made = validate
            .bind(py)
            .call1((values,))
            .map_err(|error| explained(py, loader, None, row, Some(error)))?;
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

/// The value at `index`, decoded and converted.
pub fn value<'py, R: Row>(
    py: Python<'py>,
    loader: &Loader,
    output: &Output,
    row: R,
    index: usize,
) -> PyResult<Bound<'py, PyAny>> {
    let decoded = match row.decode(py, index, output) {
        Ok(decoded) => decoded,
        Err(Unreadable::Python(error)) => return Err(error),
        Err(Unreadable::Value(why)) => return Err(refuse(py, loader, output, row, &why)),
    };
    let null = row.is_null(index);
    if null && output.null == NullRule::Refuse {
        return Err(explained(py, loader, Some(output), row, None));
    }
    match &output.convert {
        Convert::None => Ok(decoded),
        _ if null && output.null == NullRule::Pass => Ok(decoded),
        Convert::Call(callable) => callable
            .bind(py)
            .call1((decoded,))
            .map_err(|error| explained(py, loader, Some(output), row, Some(error))),
        Convert::Map(members) => match members.bind(py).get_item(&decoded)? {
            Some(member) => Ok(member),
            None => {
                let error = PyKeyError::new_err((decoded.unbind(),));
                Err(explained(py, loader, Some(output), row, Some(error)))
            }
        },
    }
}

/// The error for a row that a validator, a converter or the null rule refused.
///
/// What it says is the model's business (`explain`): table, key and field, and Pydantic's account of the whole
/// row as the cause. Interrupts and exits are passed on as they are.
fn explained<R: Row>(
    py: Python<'_>,
    loader: &Loader,
    output: Option<&Output>,
    row: R,
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
        let refused = refuse(py, loader, output, row, "it was refused by its converter");
        refused.set_cause(py, error);
        return refused;
    };
    let account = || {
        let values = PyDict::new(py);
        for (index, output) in loader.outputs.iter().enumerate() {
            match row.decode(py, index, output) {
                Ok(value) => values.set_item(output.name.bind(py), value)?,
                Err(Unreadable::Python(error)) => return Err(error),
                Err(Unreadable::Value(_)) => {}
            }
        }
        let name = output.map(|output| output.name.bind(py));
        explain
            .bind(py)
            .call1((values, name, error.map(|error| error.into_value(py))))
    };
    account().map_or_else(|error| error, PyErr::from_value)
}

fn refuse<R: Row>(py: Python<'_>, loader: &Loader, output: &Output, row: R, why: &str) -> PyErr {
    let at = identity(loader, row);
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
fn identity<R: Row>(loader: &Loader, row: R) -> String {
    match (loader.outputs.first(), row.brief(0)) {
        (Some(first), Some(value)) => format!(" ({}={value})", first.name),
        _ => String::new(),
    }
}

/// Keeps the cyclic garbage collector from walking over thousands of young objects again and again.
///
/// Counted per process, because a converter may let another thread run: the first pause stops the collector
/// if it was running, the last one starts it again. Never held across an await.
pub struct GcPause;

static PAUSES: AtomicUsize = AtomicUsize::new(0);
static RESUME: AtomicUsize = AtomicUsize::new(0);

impl GcPause {
    pub fn for_rows(count: usize) -> Option<Self> {
        (count > GC_ROWS).then(Self::start)
    }

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
