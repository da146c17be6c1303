//! The frame of a value in a Bind message and in an array: a 32-bit length, then the bytes.

use pyo3::prelude::*;

use super::Target;

/// PostgreSQL takes no message, and so no value, above 1 GiB.
pub const MAX_MESSAGE: usize = 0x3fff_0000;

pub fn null(out: &mut Vec<u8>) {
    out.extend_from_slice(&(-1i32).to_be_bytes());
}

/// Lets `write` append a value and puts its length in front.
pub fn framed(
    py: Python<'_>,
    target: Target<'_>,
    out: &mut Vec<u8>,
    write: impl FnOnce(&mut Vec<u8>) -> PyResult<()>,
) -> PyResult<()> {
    let at = out.len();
    out.extend_from_slice(&[0; 4]);
    write(out)?;
    let length = out.len() - at - 4;
    if length > MAX_MESSAGE {
        return Err(target.refuse(
            py,
            "the value is larger than 1 GiB, which PostgreSQL refuses",
        ));
    }
    patch(out, at, i32::try_from(length).unwrap_or(i32::MAX));
    Ok(())
}

/// Overwrites four bytes that were kept free.
pub fn patch(out: &mut [u8], at: usize, number: i32) {
    if let Some(place) = out.get_mut(at..at + 4) {
        place.copy_from_slice(&number.to_be_bytes());
    }
}
