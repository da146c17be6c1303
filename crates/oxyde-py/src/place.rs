//! Where a call runs: on any connection, in a transaction, or on a connection that is kept.

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;

use crate::lease::Lease;
use crate::pin::Pin;

#[derive(Clone, Copy)]
pub enum Place<'a, 'py> {
    Pool,
    Lease(&'a Bound<'py, Lease>),
    Pin(&'a Bound<'py, Pin>),
}

impl<'a, 'py> Place<'a, 'py> {
    /// What a program has named: None, a lease or a pin.
    pub fn of(object: Option<&'a Bound<'py, PyAny>>) -> PyResult<Self> {
        let Some(object) = object.filter(|object| !object.is_none()) else {
            return Ok(Self::Pool);
        };
        if let Ok(lease) = object.cast() {
            Ok(Self::Lease(lease))
        } else if let Ok(pin) = object.cast() {
            Ok(Self::Pin(pin))
        } else {
            Err(PyTypeError::new_err("a lease is a Lease or a Pin"))
        }
    }

    /// A transaction answers for what is done in it.
    pub fn is_transaction(self) -> bool {
        matches!(self, Self::Lease(_))
    }
}

/// A place that is kept for later calls.
pub enum Kept {
    Pool,
    Lease(Py<Lease>),
    Pin(Py<Pin>),
}

impl Kept {
    pub fn of(place: Place<'_, '_>) -> Self {
        match place {
            Place::Pool => Self::Pool,
            Place::Lease(lease) => Self::Lease(lease.clone().unbind()),
            Place::Pin(pin) => Self::Pin(pin.clone().unbind()),
        }
    }
}

impl<'a, 'py> From<Option<&'a Bound<'py, Lease>>> for Place<'a, 'py> {
    fn from(lease: Option<&'a Bound<'py, Lease>>) -> Self {
        lease.map_or(Self::Pool, Self::Lease)
    }
}
