//! See [`crate::decode::exercise`].

use oxyde_exec::query::Column;
use oxyde_sql::{SqlType, Transform};
use pyo3::prelude::*;

use super::{Decoder, general, oid};
use crate::bind;
use crate::decode::exercise::{
    PLACE, assert_kept, assert_same, checked, comes_back, rows, wanted, with_python,
};
use crate::decode::wire::{Decode, Wanted};

/// Inputs name one by its place, so new ones belong at the end.
pub const OIDS: &[u32] = &[
    16, 17, 18, 19, 20, 21, 23, 25, 26, 114, 142, 700, 701, 1042, 1043, 1082, 1083, 1114, 1184,
    1186, 1266, 1700, 2950, 3802, 1000, 1001, 1002, 1003, 1016, 1005, 1007, 1009, 1028, 199, 143,
    1021, 1022, 1014, 1015, 1182, 1183, 1115, 1185, 1187, 1270, 1231, 2951, 3807, 600, 1017, 790,
    791, 869, 1041, 650, 829, 1560, 1562, 3614, 3904, 3905, 3910, 4072, 22, 30, 2249, 0, 99_999,
];

const BINARY: u8 = 0x80;

/// How many columns and whether they are binary; for each column its type and what it becomes; the rows. With no column:
/// one value, its type and what it becomes in front.
pub fn exercise(input: &[u8]) {
    let Some((how, rest)) = input.split_first() else {
        return;
    };
    let binary = how & BINARY != 0;
    let width = usize::from(how & 7);
    let Some((described, bytes)) = rest.split_at_checked(2 * width.max(1)) else {
        return;
    };
    let columns: Vec<(Decoder, &Wanted)> = described
        .chunks_exact(2)
        .filter_map(|pair| {
            let place = usize::from(*pair.first()?) % OIDS.len();
            let wanted = wanted(*pair.get(1)?);
            Some((decoder(*OIDS.get(place)?, binary, wanted), wanted))
        })
        .collect();
    with_python(|py| match columns.first() {
        Some((decoder, wanted)) if width == 0 => value(py, bytes, decoder, wanted),
        _ => rows(py, bytes, &columns),
    });
}

fn decoder(type_oid: u32, binary: bool, wanted: &Wanted) -> Decoder {
    let column = Column {
        name: "v".to_owned(),
        type_oid,
        modifier: -1,
        binary,
        flags: 0,
        charset: 0,
    };
    Decoder::new(&column, wanted.clone())
}

/// Lists have a reader of their own; and what comes as text, a `str` takes in the quick way only.
fn is_list_or_text(ty: &SqlType, binary: bool) -> bool {
    match ty {
        SqlType::Array(_) => true,
        SqlType::Text | SqlType::String(_) | SqlType::Enum(_) => !binary,
        _ => false,
    }
}

fn value(py: Python<'_>, bytes: &[u8], decoder: &Decoder, wanted: &Wanted) {
    let decoded = decoder.decode(py, bytes);
    if let Wanted::Field(ty) = wanted
        && !is_list_or_text(ty, decoder.binary)
    {
        assert_same(&decoded, &general(py, bytes, decoder));
    }
    let value = checked(decoded, wanted);
    if let (Some(value), Wanted::Field(ty)) = (value, wanted)
        && let Some(own) = ty.pg_oid()
        && comes_back(ty)
    {
        assert_kept(&value, |value| {
            let mut out = Vec::new();
            bind::value_of(value, ty, Transform::None, false, PLACE, &mut out).ok()?;
            let (length, value) = out.split_first_chunk()?;
            assert_eq!(
                usize::try_from(i32::from_be_bytes(*length)),
                Ok(value.len())
            );
            let again = self::decoder(own, true, wanted);
            Some(again.decode(py, value))
        });
    }
    assert!(!oid::name(decoder.oid).is_empty());
}
