//! Direct access to `datetime` and `uuid` objects under the limited API.
//!
//! The stable ABI has no datetime functions, and going through attributes costs 40 ns for each of up to
//! seven numbers. `datetime` publishes its constructors in a capsule (`datetime.datetime_CAPI`) and keeps
//! its numbers in a packed byte array; both have had one layout since Python 3.7. [`init`] checks the layout
//! against known objects when the module is imported. If a future Python differs, every function here falls
//! back to attributes and constructor calls: slower, never wrong.

use std::ffi::{c_char, c_int, c_void};
use std::sync::OnceLock;

use pyo3::exceptions::{PyOverflowError, PyRuntimeError};
use pyo3::ffi;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyType};

/// The start of CPython's `PyDateTime_CAPI` (Include/datetime.h), as far as it is used here.
#[repr(C)]
struct Capi {
    date_type: *mut ffi::PyTypeObject,
    datetime_type: *mut ffi::PyTypeObject,
    time_type: *mut ffi::PyTypeObject,
    delta_type: *mut ffi::PyTypeObject,
    tzinfo_type: *mut ffi::PyTypeObject,
    utc: *mut ffi::PyObject,
    date: unsafe extern "C" fn(c_int, c_int, c_int, *mut ffi::PyTypeObject) -> *mut ffi::PyObject,
    datetime: unsafe extern "C" fn(
        c_int,
        c_int,
        c_int,
        c_int,
        c_int,
        c_int,
        c_int,
        *mut ffi::PyObject,
        *mut ffi::PyTypeObject,
    ) -> *mut ffi::PyObject,
    time: unsafe extern "C" fn(
        c_int,
        c_int,
        c_int,
        c_int,
        *mut ffi::PyObject,
        *mut ffi::PyTypeObject,
    ) -> *mut ffi::PyObject,
    delta: unsafe extern "C" fn(
        c_int,
        c_int,
        c_int,
        c_int,
        *mut ffi::PyTypeObject,
    ) -> *mut ffi::PyObject,
}

/// Offsets inside the objects (64-bit and 32-bit alike: header, hash, then bytes).
const DATA: usize = size_of::<ffi::PyObject>() + size_of::<isize>() + 1;
const HAS_TZ: usize = DATA - 1;
const DELTA: usize = size_of::<ffi::PyObject>() + size_of::<isize>();

struct Layout {
    capi: *const Capi,
    /// Whether the packed numbers may be read from memory.
    packed: bool,
    decimal: Py<PyType>,
    uuid: Py<PyType>,
    member: Py<PyType>,
    uuid_int: Py<PyAny>,
    uuid_safe: Py<PyAny>,
    uuid_unknown: Py<PyAny>,
}

// SAFETY: the capsule's table is immutable for the life of the process; the other members are `Py` handles.
unsafe impl Send for Layout {}
// SAFETY: as above; every use happens with the GIL held.
unsafe impl Sync for Layout {}

static LAYOUT: OnceLock<Layout> = OnceLock::new();

fn layout() -> PyResult<&'static Layout> {
    LAYOUT
        .get()
        .ok_or_else(|| PyRuntimeError::new_err("oxyde_core is not initialised"))
}

/// Loads the capsule and checks the layouts; called once when the module is imported.
pub fn init(py: Python<'_>) -> PyResult<()> {
    if LAYOUT.get().is_some() {
        return Ok(());
    }
    // Importing `datetime` first makes the capsule available.
    py.import("datetime")?;
    // SAFETY: a NUL-terminated static name; the returned pointer is checked for NULL.
    let capi =
        unsafe { ffi::PyCapsule_Import(c"datetime.datetime_CAPI".as_ptr().cast::<c_char>(), 0) };
    if capi.is_null() {
        return Err(PyErr::fetch(py));
    }
    let uuid = py.import("uuid")?;
    let uuid_type = uuid.getattr("UUID")?.cast_into::<PyType>()?;
    let value = Layout {
        capi: capi.cast::<Capi>(),
        packed: false,
        decimal: py
            .import("decimal")?
            .getattr("Decimal")?
            .cast_into::<PyType>()?
            .unbind(),
        uuid_int: uuid_type.getattr("int")?.unbind(),
        uuid_safe: uuid_type.getattr("is_safe")?.unbind(),
        uuid_unknown: uuid.getattr("SafeUUID")?.getattr("unknown")?.unbind(),
        uuid: uuid_type.unbind(),
        member: py
            .import("enum")?
            .getattr("Enum")?
            .cast_into::<PyType>()?
            .unbind(),
    };
    let packed = check(py, &value).unwrap_or(false);
    let _ = LAYOUT.set(Layout { packed, ..value });
    Ok(())
}

/// Builds known objects through Python and compares what the memory says.
fn check(py: Python<'_>, layout: &Layout) -> PyResult<bool> {
    let module = py.import("datetime")?;
    let stamp = module
        .getattr("datetime")?
        .call1((2024, 2, 29, 23, 58, 57, 654_321))?;
    let aware = stamp.call_method1("astimezone", (module.getattr("timezone")?.getattr("utc")?,))?;
    let date = module.getattr("date")?.call1((9999, 12, 31))?;
    let time = module.getattr("time")?.call1((1, 2, 3, 4))?;
    let delta = module.getattr("timedelta")?.call1((-3, 7, 11))?;
    // SAFETY: the objects are of exactly the types that the offsets are meant for; the reads stay inside
    // their smallest size (the packed array of the type), whatever the layout turns out to be.
    unsafe {
        Ok(
            bytes::<10>(&stamp, DATA) == [7, 232, 2, 29, 23, 58, 57, 9, 251, 241]
                && bytes::<1>(&stamp, HAS_TZ) == [0]
                && bytes::<1>(&aware, HAS_TZ) == [1]
                && bytes::<4>(&date, DATA) == [39, 15, 12, 31]
                && bytes::<6>(&time, DATA) == [1, 2, 3, 0, 0, 4]
                && ints::<3>(&delta, DELTA) == [-3, 7, 11]
                && (*layout.capi).datetime_type == stamp.get_type().as_type_ptr()
                && (*layout.capi).delta_type == delta.get_type().as_type_ptr(),
        )
    }
}

/// # Safety
/// `object` must be at least `offset + N` bytes long.
unsafe fn bytes<const N: usize>(object: &Bound<'_, PyAny>, offset: usize) -> [u8; N] {
    // SAFETY: promised by the caller.
    unsafe {
        object
            .as_ptr()
            .cast::<u8>()
            .add(offset)
            .cast::<[u8; N]>()
            .read_unaligned()
    }
}

/// # Safety
/// `object` must be at least `offset + 4 * N` bytes long.
unsafe fn ints<const N: usize>(object: &Bound<'_, PyAny>, offset: usize) -> [c_int; N] {
    // SAFETY: promised by the caller.
    unsafe {
        object
            .as_ptr()
            .cast::<u8>()
            .add(offset)
            .cast::<[c_int; N]>()
            .read_unaligned()
    }
}

/// A point in time without a zone, as the wire formats need it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Stamp {
    pub year: u16,
    pub month: u8,
    pub day: u8,
    pub hour: u8,
    pub minute: u8,
    pub second: u8,
    pub micros: u32,
}

fn own<'py>(py: Python<'py>, object: *mut ffi::PyObject) -> PyResult<Bound<'py, PyAny>> {
    // SAFETY: the callers pass a new reference or NULL with an exception set.
    unsafe { Bound::from_owned_ptr_or_err(py, object) }
}

pub fn new_datetime<'py>(py: Python<'py>, s: &Stamp, utc: bool) -> PyResult<Bound<'py, PyAny>> {
    let capi = layout()?.capi;
    // SAFETY: the capsule's functions check their arguments and answer NULL with an exception set.
    own(py, unsafe {
        let zone = if utc { (*capi).utc } else { ffi::Py_None() };
        ((*capi).datetime)(
            s.year.into(),
            s.month.into(),
            s.day.into(),
            s.hour.into(),
            s.minute.into(),
            s.second.into(),
            c_int::try_from(s.micros).unwrap_or(-1),
            zone,
            (*capi).datetime_type,
        )
    })
}

pub fn new_date<'py>(py: Python<'py>, s: &Stamp) -> PyResult<Bound<'py, PyAny>> {
    let capi = layout()?.capi;
    // SAFETY: as in `new_datetime`.
    own(py, unsafe {
        ((*capi).date)(
            s.year.into(),
            s.month.into(),
            s.day.into(),
            (*capi).date_type,
        )
    })
}

pub fn new_time<'py>(py: Python<'py>, s: &Stamp) -> PyResult<Bound<'py, PyAny>> {
    let capi = layout()?.capi;
    // SAFETY: as in `new_datetime`.
    own(py, unsafe {
        ((*capi).time)(
            s.hour.into(),
            s.minute.into(),
            s.second.into(),
            c_int::try_from(s.micros).unwrap_or(-1),
            ffi::Py_None(),
            (*capi).time_type,
        )
    })
}

/// A time of day so many seconds east of UTC.
pub fn new_time_at<'py>(py: Python<'py>, s: &Stamp, east: i64) -> PyResult<Bound<'py, PyAny>> {
    let module = py.import(intern!(py, "datetime"))?;
    let shift = new_timedelta(py, east.saturating_mul(1_000_000))?;
    let zone = module.getattr(intern!(py, "timezone"))?.call1((shift,))?;
    let clock = new_time(py, s)?;
    let kwargs = PyDict::new(py);
    kwargs.set_item(intern!(py, "tzinfo"), zone)?;
    clock.call_method(intern!(py, "replace"), (), Some(&kwargs))
}

/// Longer than 64 bits of microseconds, as an interval may be, is still no more than Python has days for.
pub fn new_timedelta<'py>(py: Python<'py>, micros: impl Into<i128>) -> PyResult<Bound<'py, PyAny>> {
    const DAY: i128 = 86_400_000_000;
    let micros = micros.into();
    let capi = layout()?.capi;
    let rest = micros.rem_euclid(DAY);
    let part = |v: i128| {
        c_int::try_from(v).map_err(|_| PyOverflowError::new_err("timedelta out of range"))
    };
    let (days, seconds, micros) = (
        part(micros.div_euclid(DAY))?,
        part(rest / 1_000_000)?,
        part(rest % 1_000_000)?,
    );
    // SAFETY: as in `new_datetime`.
    own(py, unsafe {
        ((*capi).delta)(days, seconds, micros, 0, (*capi).delta_type)
    })
}

/// Whether `value` is a datetime (or a subclass), a date, a time, a timedelta.
pub fn is_datetime(value: &Bound<'_, PyAny>) -> bool {
    instance(value, |c| c.datetime_type)
}
pub fn is_date(value: &Bound<'_, PyAny>) -> bool {
    instance(value, |c| c.date_type)
}
pub fn is_time(value: &Bound<'_, PyAny>) -> bool {
    instance(value, |c| c.time_type)
}
pub fn is_timedelta(value: &Bound<'_, PyAny>) -> bool {
    instance(value, |c| c.delta_type)
}

/// Whether `value` is a member of an enum.
pub fn is_member(value: &Bound<'_, PyAny>) -> bool {
    let Some(layout) = LAYOUT.get() else {
        return false;
    };
    let class = layout.member.bind(value.py());
    // SAFETY: a live object and a live type.
    unsafe { ffi::PyObject_TypeCheck(value.as_ptr(), class.as_type_ptr()) != 0 }
}

fn instance(value: &Bound<'_, PyAny>, of: impl Fn(&Capi) -> *mut ffi::PyTypeObject) -> bool {
    let Some(layout) = LAYOUT.get() else {
        return false;
    };
    // SAFETY: the capsule's table and its types live as long as the process; `value` is a live object.
    unsafe { ffi::PyObject_TypeCheck(value.as_ptr(), of(&*layout.capi)) != 0 }
}

fn attr<T>(value: &Bound<'_, PyAny>, name: &str) -> PyResult<T>
where
    T: for<'a> FromPyObject<'a, 'a, Error = PyErr>,
{
    value.getattr(name)?.extract::<T>()
}

/// The numbers of a datetime; `None` for the zone of a naive one.
pub fn read_datetime<'py>(
    value: &Bound<'py, PyAny>,
) -> PyResult<(Stamp, Option<Bound<'py, PyAny>>)> {
    let layout = layout()?;
    if layout.packed {
        // SAFETY: `is_datetime` was checked by the caller and `init` proved the layout.
        let d = unsafe { bytes::<10>(value, DATA) };
        let aware = unsafe { bytes::<1>(value, HAS_TZ) } != [0];
        let [y1, y2, month, day, hour, minute, second, m1, m2, m3] = d;
        let stamp = Stamp {
            year: u16::from_be_bytes([y1, y2]),
            month,
            day,
            hour,
            minute,
            second,
            micros: u32::from_be_bytes([0, m1, m2, m3]),
        };
        let zone = if aware {
            Some(value.getattr(intern!(value.py(), "tzinfo"))?)
        } else {
            None
        };
        return Ok((stamp, zone.filter(|z| !z.is_none())));
    }
    let date = read_date(value)?;
    let time = read_clock(value)?;
    let zone = value.getattr(intern!(value.py(), "tzinfo"))?;
    Ok((
        Stamp {
            year: date.year,
            month: date.month,
            day: date.day,
            ..time
        },
        Some(zone).filter(|z| !z.is_none()),
    ))
}

pub fn read_date(value: &Bound<'_, PyAny>) -> PyResult<Stamp> {
    if layout()?.packed {
        // SAFETY: `is_date` was checked by the caller and `init` proved the layout.
        let [y1, y2, month, day] = unsafe { bytes::<4>(value, DATA) };
        return Ok(Stamp {
            year: u16::from_be_bytes([y1, y2]),
            month,
            day,
            ..Stamp::default()
        });
    }
    Ok(Stamp {
        year: attr(value, "year")?,
        month: attr(value, "month")?,
        day: attr(value, "day")?,
        ..Stamp::default()
    })
}

/// The numbers of a time of day, and whether it carries a zone.
pub fn read_time(value: &Bound<'_, PyAny>) -> PyResult<(Stamp, bool)> {
    if layout()?.packed {
        // SAFETY: `is_time` was checked by the caller and `init` proved the layout.
        let [hour, minute, second, m1, m2, m3] = unsafe { bytes::<6>(value, DATA) };
        let aware = unsafe { bytes::<1>(value, HAS_TZ) } != [0];
        let micros = u32::from_be_bytes([0, m1, m2, m3]);
        return Ok((
            Stamp {
                hour,
                minute,
                second,
                micros,
                ..Stamp::default()
            },
            aware,
        ));
    }
    let zone = value.getattr(intern!(value.py(), "tzinfo"))?;
    Ok((read_clock(value)?, !zone.is_none()))
}

fn read_clock(value: &Bound<'_, PyAny>) -> PyResult<Stamp> {
    Ok(Stamp {
        hour: attr(value, "hour")?,
        minute: attr(value, "minute")?,
        second: attr(value, "second")?,
        micros: attr(value, "microsecond")?,
        ..Stamp::default()
    })
}

/// A timedelta in microseconds (up to 8.64e19, which is more than 64 bits hold).
pub fn read_timedelta(value: &Bound<'_, PyAny>) -> PyResult<i128> {
    let [days, seconds, micros] = if layout()?.packed {
        // SAFETY: `is_timedelta` was checked by the caller and `init` proved the layout.
        unsafe { ints::<3>(value, DELTA) }
    } else {
        [
            attr(value, "days")?,
            attr(value, "seconds")?,
            attr(value, "microseconds")?,
        ]
    };
    Ok((i128::from(days) * 86_400 + i128::from(seconds)) * 1_000_000 + i128::from(micros))
}

/// The same instant in UTC, as numbers.
pub fn to_utc(value: &Bound<'_, PyAny>, stamp: Stamp, zone: &Bound<'_, PyAny>) -> PyResult<Stamp> {
    let py = value.py();
    // SAFETY: comparing a borrowed pointer of the capsule.
    let utc = unsafe { (*layout()?.capi).utc };
    if zone.as_ptr() == utc {
        return Ok(stamp);
    }
    // SAFETY: a borrowed pointer that lives as long as the process.
    let utc = unsafe { Bound::from_borrowed_ptr(py, utc) };
    let moved = value.call_method1(intern!(py, "astimezone"), (utc,))?;
    Ok(read_datetime(&moved)?.0)
}

pub fn decimal_type<'py>(py: Python<'py>) -> PyResult<&'py Bound<'py, PyType>> {
    Ok(layout()?.decimal.bind(py))
}

pub fn uuid_type<'py>(py: Python<'py>) -> PyResult<&'py Bound<'py, PyType>> {
    Ok(layout()?.uuid.bind(py))
}

/// A UUID from 32 hexadecimal digits (already checked), without going through its Python constructor.
pub fn new_uuid<'py>(py: Python<'py>, hex: [u8; 32]) -> PyResult<Bound<'py, PyAny>> {
    let layout = layout()?;
    let mut text = [0u8; 33];
    for (to, from) in text.iter_mut().zip(hex) {
        *to = from;
    }
    // SAFETY: `text` is NUL-terminated; a new reference or NULL with an exception set comes back.
    let number = own(py, unsafe {
        ffi::PyLong_FromString(text.as_ptr().cast(), std::ptr::null_mut(), 16)
    })?;
    let class = layout.uuid.bind(py);
    // SAFETY: `PyType_GenericAlloc` is what `object.__new__` calls for this plain heap type.
    let object = own(py, unsafe {
        ffi::PyType_GenericAlloc(class.as_type_ptr(), 0)
    })?;
    set_slot(&object, layout.uuid_int.bind(py), &number)?;
    set_slot(
        &object,
        layout.uuid_safe.bind(py),
        layout.uuid_unknown.bind(py),
    )?;
    Ok(object)
}

/// Sets a `__slots__` member through its descriptor, past any `__setattr__` of the class.
pub fn set_slot(
    object: &Bound<'_, PyAny>,
    descriptor: &Bound<'_, PyAny>,
    value: &Bound<'_, PyAny>,
) -> PyResult<()> {
    // SAFETY: the slot of the descriptor's own type is asked for, and is checked for NULL; the call follows
    // the C signature of `descrsetfunc`.
    unsafe {
        let slot: *mut c_void =
            ffi::PyType_GetSlot(ffi::Py_TYPE(descriptor.as_ptr()), ffi::Py_tp_descr_set);
        if slot.is_null() {
            return Err(PyRuntimeError::new_err("a slot descriptor cannot be set"));
        }
        let set: ffi::descrsetfunc = std::mem::transmute::<*mut c_void, ffi::descrsetfunc>(slot);
        if set(descriptor.as_ptr(), object.as_ptr(), value.as_ptr()) != 0 {
            return Err(PyErr::fetch(object.py()));
        }
    }
    Ok(())
}
