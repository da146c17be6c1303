//! Arrays → `list`, of more dimensions → lists of lists.
//!
//! A list cannot say that its first index is another than 1: a field refuses such an array, raw SQL passes over it.

use oxyde_sql::SqlType;
use pyo3::prelude::*;
use pyo3::types::PyList;

use super::{Decoder, oid};
use crate::decode::wire::{Decode, Wanted};
use crate::decode::{Decoded, Unreadable};

/// PostgreSQL's own limit.
const MAX_DIMENSIONS: usize = 6;

/// The type of the innermost items.
pub fn leaf(item: &SqlType) -> &SqlType {
    match item {
        SqlType::Array(inner) => leaf(inner),
        other => other,
    }
}

/// How many lists are inside each other; `None` if the value decides.
pub fn depth(wanted: &Wanted) -> Option<usize> {
    let Wanted::Field(ty) = wanted else {
        return None;
    };
    let (mut ty, mut depth) = (ty, 0);
    while let SqlType::Array(item) = ty {
        ty = item;
        depth += 1;
    }
    Some(depth)
}

fn wrong(decoder: &Decoder, expected: &str) -> Unreadable {
    Unreadable::Value(format!(
        "expected {expected}, found another value of type {}",
        oid::name(decoder.oid)
    ))
}

pub fn read<'py>(py: Python<'py>, bytes: &[u8], decoder: &Decoder) -> Decoded<'py> {
    if decoder.binary {
        if oid::element(decoder.oid).is_none() {
            return Err(decoder.unreadable(bytes, "a list"));
        }
        binary(py, bytes, decoder)
    } else {
        text(py, bytes, decoder)
    }
}

fn number(bytes: &mut &[u8]) -> Option<i32> {
    let (first, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(i32::from_be_bytes(*first))
}

fn binary<'py>(py: Python<'py>, bytes: &[u8], decoder: &Decoder) -> Decoded<'py> {
    let mut rest = bytes;
    let Some(Header {
        lengths,
        element,
        shifted,
    }) = header(&mut rest)
    else {
        return Err(wrong(decoder, "an array"));
    };
    check_depth(lengths.len(), decoder)?;
    check_start(shifted, decoder)?;
    if lengths.is_empty() {
        return Ok(PyList::empty(py).into_any());
    }
    let other;
    let item = match &decoder.item {
        Some(item) if item.oid == element => &**item,
        known => {
            let wanted = known
                .as_ref()
                .map_or(Wanted::Natural, |item| item.wanted.clone());
            other = Decoder::of(element, true, wanted);
            &other
        }
    };
    let list = nested(py, &lengths, &mut |py| {
        let Some(length) = number(&mut rest) else {
            return Err(wrong(decoder, "an array"));
        };
        let Ok(length) = usize::try_from(length) else {
            return Ok(py.None().into_bound(py));
        };
        let Some((value, after)) = rest.split_at_checked(length) else {
            return Err(wrong(decoder, "an array"));
        };
        rest = after;
        item.decode(py, value)
    })?;
    if !rest.is_empty() {
        return Err(wrong(decoder, "an array"));
    }
    Ok(list)
}

struct Header {
    /// Of the dimensions.
    lengths: Vec<usize>,
    /// OID of the items.
    element: u32,
    /// The first index of a dimension is not 1.
    shifted: bool,
}

/// An item has at least the four bytes of its length, so no more items are believed in than can be there.
fn header(rest: &mut &[u8]) -> Option<Header> {
    let dimensions = usize::try_from(number(rest)?).ok()?;
    let _nulls = number(rest)?;
    let element = number(rest)?.cast_unsigned();
    if dimensions > MAX_DIMENSIONS {
        return None;
    }
    let mut lengths = Vec::with_capacity(dimensions);
    let mut items = 1usize;
    let mut shifted = false;
    for _ in 0..dimensions {
        let length = usize::try_from(number(rest)?).ok()?;
        shifted |= number(rest)? != 1;
        items = items.checked_mul(length)?;
        lengths.push(length);
    }
    let room = rest.len() / 4;
    if items == 0 {
        lengths.clear();
    }
    (lengths.is_empty() || items <= room).then_some(Header {
        lengths,
        element,
        shifted,
    })
}

fn check_start(shifted: bool, decoder: &Decoder) -> Result<(), Unreadable> {
    if shifted && decoder.depth.is_some() {
        return Err(Unreadable::Value(
            "expected an array whose first index is 1, found one that begins elsewhere".to_owned(),
        ));
    }
    Ok(())
}

fn check_depth(found: usize, decoder: &Decoder) -> Result<(), Unreadable> {
    match decoder.depth {
        Some(depth) if found != 0 && found != depth => Err(Unreadable::Value(format!(
            "expected an array of {depth} dimensions, found one of {found}"
        ))),
        _ => Ok(()),
    }
}

fn nested<'py>(
    py: Python<'py>,
    lengths: &[usize],
    next: &mut dyn FnMut(Python<'py>) -> Decoded<'py>,
) -> Decoded<'py> {
    let Some((length, inner)) = lengths.split_first() else {
        return next(py);
    };
    let list = PyList::empty(py);
    for _ in 0..*length {
        list.append(nested(py, inner, next)?)?;
    }
    Ok(list.into_any())
}

/// `{1,NULL,"a \"b\""}`, and `[0:1]={1,2}` where the first index is another than 1.
fn text<'py>(py: Python<'py>, bytes: &[u8], decoder: &Decoder) -> Decoded<'py> {
    let own;
    let item = match &decoder.item {
        Some(item) => &**item,
        None => {
            let wanted = match &decoder.wanted {
                Wanted::Field(ty) => Wanted::Field(leaf(ty).clone()),
                Wanted::Natural => Wanted::Natural,
            };
            let element = match &wanted {
                Wanted::Field(ty) => ty.pg_oid().unwrap_or(oid::TEXT),
                Wanted::Natural => oid::TEXT,
            };
            own = Decoder::of(element, false, wanted);
            &own
        }
    };
    let body = match bytes {
        [b'[', ..] => match bytes.windows(2).position(|pair| pair == b"]=") {
            Some(at) => {
                check_start(true, decoder)?;
                bytes.get(at + 2..).unwrap_or_default()
            }
            None => bytes,
        },
        _ => bytes,
    };
    let mut scan = Scan {
        rest: body,
        depth: 0,
    };
    let list = scan.list(py, item, 1);
    let list = list?.filter(|_| scan.rest.is_empty());
    let Some(list) = list else {
        return Err(decoder.unreadable(bytes, "an array"));
    };
    if list.len() > 0 {
        check_depth(scan.depth, decoder)?;
    }
    Ok(list.into_any())
}

struct Scan<'a> {
    rest: &'a [u8],
    /// The deepest list so far.
    depth: usize,
}

impl Scan<'_> {
    /// `None`: this is no array.
    fn list<'py>(
        &mut self,
        py: Python<'py>,
        item: &Decoder,
        level: usize,
    ) -> Result<Option<Bound<'py, PyList>>, Unreadable> {
        if level > MAX_DIMENSIONS {
            return Ok(None);
        }
        self.depth = self.depth.max(level);
        if self.take() != Some(b'{') {
            return Ok(None);
        }
        let list = PyList::empty(py);
        if self.rest.first() == Some(&b'}') {
            self.take();
            return Ok(Some(list));
        }
        loop {
            match self.rest.first() {
                Some(b'{') => match self.list(py, item, level + 1)? {
                    Some(inner) => list.append(inner)?,
                    None => return Ok(None),
                },
                _ => match self.element() {
                    Some((text, quoted)) if !quoted && text.eq_ignore_ascii_case(b"NULL") => {
                        list.append(py.None())?;
                    }
                    Some((text, _)) => list.append(item.decode(py, &text)?)?,
                    None => return Ok(None),
                },
            }
            match self.take() {
                Some(b',') => {}
                Some(b'}') => return Ok(Some(list)),
                _ => return Ok(None),
            }
        }
    }

    fn take(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }

    /// The text of an item, and whether it was quoted.
    fn element(&mut self) -> Option<(Vec<u8>, bool)> {
        let mut out = Vec::new();
        if self.rest.first() == Some(&b'"') {
            self.take();
            loop {
                match self.take()? {
                    b'"' => return Some((out, true)),
                    b'\\' => out.push(self.take()?),
                    byte => out.push(byte),
                }
            }
        }
        while let Some(byte) = self.rest.first() {
            if matches!(byte, b',' | b'}') {
                break;
            }
            out.push(self.take()?);
        }
        (!out.is_empty()).then_some((out, false))
    }
}
