//! See [`crate::decode::exercise`].

use oxyde_exec::query::Column;
use oxyde_sql::{BindSlot, SqlType, Transform};
use pyo3::prelude::*;

use super::kind::Width;
use super::{Decoder, general};
use crate::bind;
use crate::bind::parameters::{Parameters, types};
use crate::decode::exercise::{
    PLACE, assert_kept, assert_same, checked, comes_back, rows, wanted, with_python,
};
use crate::decode::wire::{Decode, Wanted};

/// Inputs name one by its place, so new ones belong at the end.
pub const KINDS: &[u8] = &[
    0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 15, 16, 242, 245, 246, 247, 248, 249, 250, 251,
    252, 253, 254, 255, 14, 100,
];

const BINARY: u8 = 0x80;
/// What the session talks.
const UTF8MB4: u16 = 255;
const BYTES: u16 = 63;

/// How many columns and whether they are binary; for each column its type, its attributes and what it becomes; the rows.
/// With no column: one value, the same three in front.
pub fn exercise(input: &[u8]) {
    let Some((how, rest)) = input.split_first() else {
        return;
    };
    let binary = how & BINARY != 0;
    let width = usize::from(how & 7);
    let Some((described, bytes)) = rest.split_at_checked(3 * width.max(1)) else {
        return;
    };
    let columns: Vec<(Decoder, &Wanted)> = described
        .chunks_exact(3)
        .filter_map(|three| {
            let place = usize::from(*three.first()?) % KINDS.len();
            let wanted = wanted(*three.get(2)?);
            let column = column(*KINDS.get(place)?, *three.get(1)?, binary);
            Some((Decoder::new(&column, wanted.clone()), wanted))
        })
        .collect();
    with_python(|py| match columns.first() {
        Some((decoder, wanted)) if width == 0 => value(py, bytes, decoder, wanted),
        _ => rows(py, bytes, &columns),
    });
}

fn column(kind: u8, attributes: u8, binary: bool) -> Column {
    let flag = |bit: u8, flag: u16| if attributes & bit == 0 { 0 } else { flag };
    Column {
        name: "v".to_owned(),
        type_oid: kind.into(),
        modifier: if attributes & 16 == 0 { 2 } else { 30 },
        binary,
        flags: flag(1, 1 << 5) | flag(2, 1 << 8) | flag(4, 1 << 11),
        charset: if attributes & 8 == 0 { UTF8MB4 } else { BYTES },
    }
}

fn value(py: Python<'_>, bytes: &[u8], decoder: &Decoder, wanted: &Wanted) {
    // Rows give values of fixed width only in that width.
    if let (true, Width::Fixed(width)) = (decoder.binary, decoder.width)
        && usize::from(width) != bytes.len()
    {
        return;
    }
    let decoded = decoder.decode(py, bytes);
    if let Wanted::Field(_) = wanted {
        assert_same(&decoded, &general(py, bytes, decoder));
    }
    let value = checked(decoded, wanted);
    if let (Some(value), Wanted::Field(ty)) = (value, wanted)
        && comes_back(ty)
    {
        assert_kept(&value, |value| again(py, value, ty, wanted));
    }
}

/// Writes a value and makes a row of what is sent.
fn again<'py>(
    py: Python<'py>,
    value: &Bound<'py, PyAny>,
    ty: &SqlType,
    wanted: &Wanted,
) -> Option<crate::decode::Decoded<'py>> {
    let slot = BindSlot {
        param: 0,
        ty: ty.clone(),
        transform: Transform::None,
        verbatim: false,
        texts: false,
    };
    let mut out = Parameters::new(1);
    bind::mysql(value, &slot, PLACE, &mut out).ok()?;
    let sent = out.finish(py, "MySQL").ok()?;
    let [kind, _] = types(&sent) else {
        return None;
    };
    let charset = if matches!(ty, SqlType::Bytes) { 8 } else { 0 };
    let decoder = Decoder::new(&column(*kind, charset, true), wanted.clone());
    let row = [&[0, 0], sent.values.get(4..)?].concat();
    let decoders = [decoder];
    let mut fields = [None];
    let split = Decoder::split(&row, &decoders, &mut fields);
    assert!(split.is_ok(), "{split:?}");
    let ([decoder], [Some(bytes)]) = (&decoders, fields) else {
        return None;
    };
    Some(decoder.decode(py, bytes))
}
