//! Rows → their fields, without looking into any value.

use oxyde_exec::query::Malformed;

use super::Decoder;
use super::kind::Width;

const SHORT: Malformed = Malformed("a field beyond the end of its row");

/// A row that answers a prepared statement: 0, a bitmap of NULLs that begins with its third bit, the values.
pub fn binary<'a>(
    row: &'a [u8],
    decoders: &[Decoder],
    fields: &mut [Option<&'a [u8]>],
) -> Result<(), Malformed> {
    let Some((nulls, mut rest)) = row
        .split_first()
        .filter(|(head, _)| **head == 0)
        .and_then(|(_, rest)| rest.split_at_checked((decoders.len() + 9) / 8))
    else {
        return Err(Malformed("a row without its bitmap of NULLs"));
    };
    let mut nulls = nulls.iter();
    let mut bits = u16::from(nulls.next().copied().unwrap_or(0)) >> 2 | 1 << 6;
    for (decoder, field) in decoders.iter().zip(fields) {
        // Above the bits of the byte stands a mark that says when they are used up.
        if bits == 1 {
            bits = u16::from(nulls.next().copied().unwrap_or(0)) | 1 << 8;
        }
        let null = bits & 1 != 0;
        bits >>= 1;
        *field = if null {
            None
        } else {
            let length = match decoder.width {
                Width::Fixed(width) => usize::from(width),
                Width::Counted => {
                    let (count, behind) = rest.split_first().ok_or(SHORT)?;
                    rest = behind;
                    usize::from(*count)
                }
                Width::Told => {
                    let (length, behind) = told(rest)?;
                    rest = behind;
                    length.ok_or(Malformed("NULL in the place of a length"))?
                }
            };
            let (value, behind) = rest.split_at_checked(length).ok_or(SHORT)?;
            rest = behind;
            Some(value)
        };
    }
    end(rest)
}

/// A row that answers a plain query: texts, each with its length.
pub fn text<'a>(row: &'a [u8], fields: &mut [Option<&'a [u8]>]) -> Result<(), Malformed> {
    let mut rest = row;
    for field in fields {
        let (length, behind) = told(rest)?;
        rest = behind;
        *field = match length {
            None => None,
            Some(length) => {
                let (value, behind) = rest.split_at_checked(length).ok_or(SHORT)?;
                rest = behind;
                Some(value)
            }
        };
    }
    end(rest)
}

fn end(rest: &[u8]) -> Result<(), Malformed> {
    if rest.is_empty() {
        Ok(())
    } else {
        Err(Malformed("bytes behind the last field of a row"))
    }
}

/// A length-encoded integer, or `None` for NULL.
#[inline]
fn told(bytes: &[u8]) -> Result<(Option<usize>, &[u8]), Malformed> {
    let (first, rest) = bytes.split_first().ok_or(SHORT)?;
    let width = match first {
        0..=250 => return Ok((Some(usize::from(*first)), rest)),
        251 => return Ok((None, rest)),
        252 => 2,
        253 => 3,
        254 => 8,
        255 => return Err(Malformed("a length that begins with 255")),
    };
    let (bytes, rest) = rest.split_at_checked(width).ok_or(SHORT)?;
    let length = bytes
        .iter()
        .rev()
        .fold(0u64, |length, byte| length << 8 | u64::from(*byte));
    let length = usize::try_from(length).map_err(|_| SHORT)?;
    Ok((Some(length), rest))
}
