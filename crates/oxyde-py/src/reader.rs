//! Rows of a server → Python objects, while they arrive.
//!
//! The engine shows a [`Reader`] the server's bytes on the thread of the event loop, a few hundred rows at a time; each
//! becomes an object at once and nothing else is kept of it. The list belongs to the operation's `Finish` as well,
//! which hands it out when the statement has ended well.
//!
//! The first row that cannot be read ends the reading: the rows behind it are passed over, the statement runs to its
//! end, and its caller gets the error.

use std::sync::{Arc, Mutex};

use oxyde_exec::query::{Column, Encode, Encoded, Formats, Malformed, RawRows, RowReader};
use oxyde_exec::{CancelFlag, CancelReason, ErrorKind, ExecError};
use oxyde_sql::Dialect;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyString, PyTuple};

use crate::bind;
use crate::completion::lock;
use crate::decode::wire::{Decode, Wanted};
use crate::decode::{Unreadable, mysql, postgres};
use crate::errors;
use crate::hydrate::{self, GcPause, WireRow};
use crate::loader::Loader;

/// Fields of a row that are found without an allocation.
const FEW: usize = 32;

/// What came of it: shared by the reader and the one who waits for the result.
pub struct Collected {
    list: Py<PyList>,
    kept: Arc<Kept>,
}

/// What is kept of a Python exception or a cancellation until the statement has ended.
#[derive(Default)]
struct Kept {
    /// From encoding parameters: nothing was sent.
    encoding: Mutex<Option<PyErr>>,
    /// From reading rows.
    reading: Mutex<Option<Refusal>>,
}

enum Refusal {
    Error(PyErr),
    /// Nobody wanted the rows any more.
    Skipped,
}

impl Collected {
    /// Whether the reason of a failed statement is an exception of our own.
    pub fn encoding_error(&self) -> Option<PyErr> {
        lock(&self.kept.encoding).take()
    }

    /// The rows of a statement that has ended well.
    pub fn take<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        match lock(&self.kept.reading).take() {
            None => Ok(self.list.bind(py).clone()),
            Some(Refusal::Error(error)) => Err(error),
            Some(Refusal::Skipped) => {
                let error = ExecError::new(ErrorKind::Cancelled, "the statement was cancelled");
                Err(errors::from_exec(py, &error, None))
            }
        }
    }

    /// The rows that have come since the last time.
    pub fn take_piece<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let list = self.take(py)?;
        let length = list.len();
        let piece = list.get_slice(0, length);
        list.del_slice(0, length)?;
        Ok(piece)
    }

    /// Encodes the parameters of raw SQL as soon as the server has said what they are.
    pub fn encoder(&self, params: Py<PyTuple>) -> Encode {
        self.once_described(move |py, types, columns| {
            bind::natural::postgres(params.bind(py), types, columns)
        })
    }

    /// Hands parameters over if they are those of the statement.
    pub fn encoded(&self, params: Encoded) -> Encode {
        self.once_described(move |py, types, columns| {
            bind::natural::fits(py, usize::from(params.count), types.len(), columns)?;
            Ok((params.clone(), Formats::Binary))
        })
    }

    fn once_described(
        &self,
        encode: impl Fn(Python<'_>, &[u32], &[Column]) -> PyResult<(Encoded, Formats)> + Send + 'static,
    ) -> Encode {
        let kept = Arc::clone(&self.kept);
        Box::new(move |types, columns| {
            Python::attach(|py| {
                encode(py, types, columns).map_err(|error| {
                    *lock(&kept.encoding) = Some(error);
                    ExecError::new(ErrorKind::Data, "a parameter was refused")
                })
            })
        })
    }
}

/// Reads what one kind of server sends.
struct Reader<D> {
    into: RowsInto,
    list: Py<PyList>,
    kept: Arc<Kept>,
    cancel: Arc<CancelFlag>,
    decoders: Arc<[D]>,
    /// The rest of the rows is passed over.
    over: bool,
}

/// A reader for statements that are run one after the other: a cursor's, whose server describes its rows once.
#[derive(Clone)]
pub struct Shared(Arc<Mutex<Box<dyn RowReader>>>);

impl Shared {
    pub fn new(reader: Box<dyn RowReader>) -> Self {
        Self(Arc::new(Mutex::new(reader)))
    }
}

impl RowReader for Shared {
    fn columns(&mut self, columns: &Arc<[Column]>) {
        lock(&self.0).columns(columns);
    }

    fn rows(&mut self, rows: RawRows<'_>) -> Result<(), Malformed> {
        lock(&self.0).rows(rows)
    }
}

/// What rows become.
pub enum RowsInto {
    /// The loader's form.
    Loader(Py<Loader>),
    /// Tuples in the loader's order, whatever form it has.
    Values(Py<Loader>),
    /// Raw SQL: dicts by the server's names, which are kept here, and types.
    Dicts(Vec<Py<PyString>>),
}

/// A reader for the rows that such a server sends, and what will come of it.
pub fn reader(
    py: Python<'_>,
    server: Dialect,
    into: RowsInto,
    cancel: &Arc<CancelFlag>,
) -> (Box<dyn RowReader>, Collected) {
    let collected = Collected {
        list: PyList::empty(py).unbind(),
        kept: Arc::default(),
    };
    let reader: Box<dyn RowReader> = match server {
        Dialect::Postgres => Box::new(Reader::<postgres::Decoder>::new(
            py, into, &collected, cancel,
        )),
        _ => Box::new(Reader::<mysql::Decoder>::new(py, into, &collected, cancel)),
    };
    (reader, collected)
}

impl<D: Decode> Reader<D> {
    fn new(
        py: Python<'_>,
        into: RowsInto,
        collected: &Collected,
        cancel: &Arc<CancelFlag>,
    ) -> Self {
        Self {
            into,
            list: collected.list.clone_ref(py),
            kept: Arc::clone(&collected.kept),
            cancel: Arc::clone(cancel),
            decoders: Arc::from([]),
            over: false,
        }
    }

    fn keep(&mut self, refusal: Refusal) {
        *lock(&self.kept.reading) = Some(refusal);
        self.over = true;
    }

    /// The decoders for these columns.
    fn choose(&mut self, py: Python<'_>, columns: &Arc<[Column]>) -> PyResult<()> {
        match &mut self.into {
            RowsInto::Loader(loader) | RowsInto::Values(loader) => {
                let loader = loader.get();
                self.decoders = D::kept(loader).get(py, &loader.outputs, columns)?;
            }
            RowsInto::Dicts(names) => {
                // Not all servers tell the columns before the statement runs.
                bind::natural::distinct(py, columns)?;
                names.clear();
                for column in columns.iter() {
                    names.push(PyString::intern(py, &column.name).unbind());
                }
                self.decoders = columns
                    .iter()
                    .map(|column| D::new(column, Wanted::Natural))
                    .collect();
            }
        }
        Ok(())
    }

    fn read(&mut self, py: Python<'_>, rows: RawRows<'_>) -> Result<PyResult<()>, Malformed> {
        let _pause = GcPause::for_rows(rows.count);
        let mut few = [None; FEW];
        let mut many = Vec::new();
        let width = self.decoders.len();
        let list = self.list.bind(py);
        for row in D::rows(rows) {
            let row = row?;
            let fields = match few.get_mut(..width) {
                Some(few) => {
                    D::split(row, &self.decoders, few)?;
                    &*few
                }
                None => {
                    many.resize(width, None);
                    D::split(row, &self.decoders, &mut many)?;
                    &*many
                }
            };
            let row = WireRow {
                fields,
                decoders: &self.decoders,
            };
            let made = match &self.into {
                RowsInto::Loader(loader) => hydrate::row(py, loader.get(), row),
                RowsInto::Values(loader) => hydrate::tuple(py, loader.get(), row),
                RowsInto::Dicts(names) => dict(py, names, row),
            };
            let added = made.and_then(|item| {
                // SAFETY: a live list and a live item, of which the list takes a reference of its own.
                match unsafe { ffi::PyList_Append(list.as_ptr(), item.as_ptr()) } {
                    0 => Ok(()),
                    _ => Err(PyErr::fetch(py)),
                }
            });
            if let Err(error) = added {
                return Ok(Err(error));
            }
        }
        Ok(Ok(()))
    }
}

impl<D: Decode> RowReader for Reader<D> {
    fn columns(&mut self, columns: &Arc<[Column]>) {
        Python::attach(|py| {
            let list = self.list.bind(py);
            if !list.is_empty() {
                // A statement that is safe to repeat was sent once more.
                let emptied = list.del_slice(0, list.len());
                if let Err(error) = emptied {
                    self.keep(Refusal::Error(error));
                }
            }
            if let Err(error) = self.choose(py, columns) {
                self.keep(Refusal::Error(error));
            }
        });
    }

    fn rows(&mut self, rows: RawRows<'_>) -> Result<(), Malformed> {
        if self.over {
            return Ok(());
        }
        let wanted = self.cancel.reason() != Some(CancelReason::Cancelled);
        if !wanted && !matches!(self.into, RowsInto::Values(_)) {
            self.keep(Refusal::Skipped);
            return Ok(());
        }
        Python::attach(|py| {
            if let Err(error) = self.read(py, rows)? {
                self.keep(Refusal::Error(error));
            }
            Ok(())
        })
    }
}

fn dict<'py, D: Decode>(
    py: Python<'py>,
    names: &[Py<PyString>],
    row: WireRow<'_, D>,
) -> PyResult<Bound<'py, PyAny>> {
    let dict = PyDict::new(py);
    for ((name, field), decoder) in names.iter().zip(row.fields).zip(row.decoders) {
        let name = name.bind(py);
        let value = match field {
            None => Ok(py.None().into_bound(py)),
            Some(bytes) => decoder.decode(py, bytes),
        };
        match value {
            Ok(value) => dict.set_item(name, value)?,
            Err(Unreadable::Python(error)) => return Err(error),
            Err(Unreadable::Value(why)) => {
                let name = name.to_str()?;
                return Err(errors::data_error(
                    py,
                    &format!("column {name}: {why}"),
                    name,
                ));
            }
        }
    }
    Ok(dict.into_any())
}
