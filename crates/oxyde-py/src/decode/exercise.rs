//! Any bytes in the place of a stored value, for the fuzz targets and their replay (`crates/oxyde-fuzz`).
//!
//! They need an interpreter, since what decoders make are Python's own objects. What must hold for every input:
//!
//! * a value is read as an object of the field's Python type, or refused in a few words as `expected …`; no other
//!   exception gets out, and nothing becomes None that is not NULL;
//! * where a pair of types has a quick way, it gives what the general way gives;
//! * what was read, when it is written and read again, is the same value.

use std::sync::{Once, OnceLock};

use oxyde_exec::cells::{CellRef, Cells};
use oxyde_exec::query::RawRows;
use oxyde_sql::{SqlType, Transform};
use pyo3::prelude::*;
use pyo3::types::PyList;
use serde_json::json;

use super::wire::{Decode, Wanted};
use super::{Decoded, Unreadable};
use crate::bind::{self, Target};
use crate::layout;

/// Where the values go when they are written again.
pub const PLACE: Target<'static> = Target {
    label: "table.column",
    stored: false,
    declared: None,
};

/// The longest refusal: a shortened value, of which each character may be escaped, and what was expected.
const LONGEST: usize = 1_200;

/// Runs `body` with the interpreter, which is started by the first call.
pub fn with_python(body: impl FnOnce(Python<'_>)) {
    static STARTED: Once = Once::new();
    STARTED.call_once(|| {
        Python::initialize();
        let ready = Python::attach(layout::init);
        assert!(ready.is_ok(), "{ready:?}");
    });
    Python::attach(body);
}

/// What a column's values may become: nothing but the server's type, or a field's type. Inputs name one by its place,
/// so new ones belong at the end.
pub fn wanted(number: u8) -> &'static Wanted {
    static ALL: OnceLock<Vec<Wanted>> = OnceLock::new();
    let all = ALL.get_or_init(|| {
        let tags = [
            json!("small_integer"),
            json!("integer"),
            json!("big_integer"),
            json!("real"),
            json!("double"),
            json!("boolean"),
            json!("text"),
            json!(["string", 20]),
            json!("decimal"),
            json!(["decimal", 10, 2]),
            json!("date_time"),
            json!("date_time_utc"),
            json!("date"),
            json!("time"),
            json!("timedelta"),
            json!("uuid"),
            json!("blob"),
            json!("json"),
            json!(["enum", "mood", ["glad", "sad"]]),
            json!(["array", "integer"]),
            json!(["array", ["array", "text"]]),
            json!(["array", "uuid"]),
            json!(["array", "date_time_utc"]),
            json!(["array", "json"]),
            json!(["array", ["decimal", 10, 2]]),
            json!(["array", "blob"]),
        ];
        let types = tags.iter().flat_map(SqlType::from_json).map(Wanted::Field);
        let all: Vec<_> = std::iter::once(Wanted::Natural).chain(types).collect();
        assert_eq!(all.len(), tags.len() + 1);
        all
    });
    let place = usize::from(number) % all.len();
    all.get(place).unwrap_or(&Wanted::Natural)
}

/// The value, if it was one; its type is the field's.
pub fn checked<'py>(decoded: Decoded<'py>, wanted: &Wanted) -> Option<Bound<'py, PyAny>> {
    match decoded {
        Ok(value) => {
            if let Wanted::Field(ty) = wanted {
                check_type(&value, ty);
            }
            Some(value)
        }
        Err(Unreadable::Value(why)) => {
            assert!(!why.is_empty() && why.chars().count() < LONGEST, "{why}");
            None
        }
        Err(Unreadable::Python(error)) => {
            // The exception of a value must name its column, which only the other kind does.
            assert!(error.to_string().is_empty(), "{error}");
            None
        }
    }
}

fn check_type(value: &Bound<'_, PyAny>, ty: &SqlType) {
    let name = value.get_type().to_string();
    let expected = match ty {
        SqlType::SmallInt | SqlType::Int | SqlType::BigInt => "<class 'int'>",
        SqlType::Real | SqlType::Double => "<class 'float'>",
        SqlType::Bool => "<class 'bool'>",
        SqlType::Text | SqlType::String(_) | SqlType::Enum(_) | SqlType::Json => "<class 'str'>",
        SqlType::Decimal { .. } => "<class 'decimal.Decimal'>",
        SqlType::Timestamp | SqlType::TimestampTz => "<class 'datetime.datetime'>",
        SqlType::Date => "<class 'datetime.date'>",
        SqlType::Time => "<class 'datetime.time'>",
        SqlType::Duration => "<class 'datetime.timedelta'>",
        SqlType::Uuid => "<class 'uuid.UUID'>",
        SqlType::Bytes => "<class 'bytes'>",
        SqlType::Array(item) => {
            for member in value.cast::<PyList>().iter().flat_map(|list| list.iter()) {
                if !member.is_none() {
                    check_type(&member, item);
                }
            }
            "<class 'list'>"
        }
    };
    assert_eq!(name, expected, "{value:?}");
}

/// The same as `repr` shows it, or refused by both.
pub fn assert_same(quick: &Decoded<'_>, general: &Decoded<'_>) {
    let shown = |decoded: &Decoded<'_>| decoded.as_ref().ok().map(|value| format!("{value:?}"));
    assert_eq!(shown(quick), shown(general));
}

/// Whether values of the type are written by encoders as they were read. A document is read as text, which is written as
/// a string; and floats beyond single precision are refused by a `real`.
pub fn comes_back(ty: &SqlType) -> bool {
    match ty {
        SqlType::Json | SqlType::Real => false,
        SqlType::Array(item) => comes_back(item),
        _ => true,
    }
}

/// What was read is read again after `write`, which may refuse a value that a field of this type cannot hold.
pub fn assert_kept<'py>(
    value: &Bound<'py, PyAny>,
    again: impl FnOnce(&Bound<'py, PyAny>) -> Option<Decoded<'py>>,
) {
    match again(value) {
        Some(Ok(second)) => {
            let same = value.eq(&second).unwrap_or(false);
            // NaN is not equal to itself.
            assert!(
                same || format!("{value:?}") == format!("{second:?}"),
                "{value:?} is written and read as {second:?}"
            );
        }
        unreadable => assert!(
            unreadable.is_none(),
            "{value:?} is written and then unreadable: {unreadable:?}"
        ),
    }
}

/// A field's type, the storage class, the value.
pub fn sqlite(input: &[u8]) {
    let Some(([kind, class], bytes)) = input.split_first_chunk::<2>() else {
        return;
    };
    let mut number = [0; 8];
    for (to, from) in number.iter_mut().zip(bytes) {
        *to = *from;
    }
    let cell = match class % 4 {
        0 => CellRef::Int(i64::from_le_bytes(number)),
        // SQLite has no NaN: it stores NULL in its place.
        1 if f64::from_le_bytes(number).is_nan() => CellRef::Null,
        1 => CellRef::Real(f64::from_le_bytes(number)),
        2 => CellRef::Text(bytes),
        _ => CellRef::Blob(bytes),
    };
    with_python(|py| match wanted(*kind) {
        natural @ Wanted::Natural => {
            checked(super::natural::sqlite(py, cell), natural);
        }
        wanted @ Wanted::Field(ty) => {
            if matches!(cell, CellRef::Null) {
                return;
            }
            let Some(value) = checked(super::decode(py, cell, ty), wanted) else {
                return;
            };
            if comes_back(ty) {
                assert_kept(&value, |value| {
                    let mut cells = Cells::new();
                    bind::encode(value, ty, Transform::None, PLACE, &mut cells).ok()?;
                    Some(super::decode(py, cells.get(0)?, ty))
                });
            }
        }
    });
}

/// The rows of a server: all their lengths are checked before a value is read.
pub fn rows<D: Decode + Clone>(py: Python<'_>, bytes: &[u8], columns: &[(D, &Wanted)]) {
    let decoders: Vec<D> = columns.iter().map(|(decoder, _)| decoder.clone()).collect();
    for row in D::rows(RawRows { bytes, count: 0 }) {
        let mut fields = vec![None; decoders.len()];
        let split = row.and_then(|row| D::split(row, &decoders, &mut fields));
        if split.is_err() {
            return;
        }
        for ((decoder, wanted), field) in columns.iter().zip(fields) {
            let Some(field) = field else { continue };
            checked(decoder.decode(py, field), wanted);
            let brief = decoder.brief(field);
            assert!(brief.is_none_or(|brief| brief.len() < LONGEST));
        }
    }
}
