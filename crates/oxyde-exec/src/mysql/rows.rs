//! The packets of a result's rows, one by one (see [`RawRows`]).

use crate::mysql::backend::{FULL, HEADER, Reader};
use crate::query::{Malformed, RawRows};

/// Each row without its header. Ends after the first error.
#[derive(Clone, Debug)]
pub struct Rows<'a> {
    bytes: &'a [u8],
}

impl<'a> Rows<'a> {
    #[inline]
    pub fn of(rows: RawRows<'a>) -> Self {
        Self { bytes: rows.bytes }
    }
}

impl<'a> Iterator for Rows<'a> {
    type Item = Result<&'a [u8], Malformed>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.bytes.is_empty() {
            return None;
        }
        let bytes = std::mem::take(&mut self.bytes);
        let Some(([a, b, c, _], rest)) = bytes.split_first_chunk::<HEADER>() else {
            return Some(Err(Malformed("a row without its length")));
        };
        match usize::try_from(u32::from_le_bytes([*a, *b, *c, 0])) {
            Ok(FULL) => Some(Ok(rest)),
            Ok(length) if length <= rest.len() => {
                let (row, rest) = rest.split_at(length);
                self.bytes = rest;
                Some(Ok(row))
            }
            _ => Some(Err(Malformed("a row beyond the end of its packet"))),
        }
    }
}

/// The fields of a row of texts: `None` for NULL. Ends after the first error.
#[derive(Clone, Debug)]
pub struct TextFields<'a> {
    bytes: &'a [u8],
}

impl<'a> TextFields<'a> {
    #[inline]
    pub fn of(row: &'a [u8]) -> Self {
        Self { bytes: row }
    }
}

impl<'a> Iterator for TextFields<'a> {
    type Item = Result<Option<&'a [u8]>, Malformed>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let bytes = std::mem::take(&mut self.bytes);
        let (first, rest) = bytes.split_first()?;
        if *first == 0xfb {
            self.bytes = rest;
            return Some(Ok(None));
        }
        let mut reader = Reader::new(bytes);
        let field = reader.string();
        if field.is_ok() {
            self.bytes = reader.rest();
        }
        Some(field.map(Some))
    }
}
