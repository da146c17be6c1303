//! The commands that we send, appended to an output buffer.
//!
//! Sizes are checked before the first byte is written ([`params_fit`], [`fits`]), so that a refused request leaves
//! nothing behind. A command that is longer than a packet can be is cut into several.

use crate::error::{ErrorKind, ExecError};
use crate::mysql::backend::{FULL, HEADER, StatementId};
use crate::query::Encoded;

/// A whole packet: the bytes that say goodbye at any time.
pub(crate) const GOODBYE: &[u8] = &[1, 0, 0, 0, 1];

pub(super) const QUERY: u8 = 0x03;
pub(super) const PING: u8 = 0x0e;
pub(super) const PREPARE: u8 = 0x16;
pub(super) const EXECUTE: u8 = 0x17;
pub(super) const CLOSE: u8 = 0x19;
pub(super) const FETCH: u8 = 0x1c;
pub(super) const RESET: u8 = 0x1f;

/// What becomes of a statement's rows: they are sent, or kept until they are fetched.
pub(super) const NO_CURSOR: u8 = 0;
pub(super) const READ_ONLY_CURSOR: u8 = 1;

/// Behind its first byte: the statement's id, the cursor, once.
const EXECUTE_HEAD: usize = 10;

/// No server takes more, whatever its max_allowed_packet says.
pub(super) const LONGEST: usize = 1 << 30;

/// Whether the server takes a command of `length` bytes, the one that names it included.
pub(super) fn fits(length: usize, limit: usize, what: &str) -> Result<(), ExecError> {
    if length >= limit {
        return Err(ExecError::new(
            ErrorKind::Data,
            format!("{what}: {length} bytes, but the server takes less than {limit} at once"),
        )
        .with_hint("raise max_allowed_packet on the server, or send less at once"));
    }
    Ok(())
}

pub(super) fn params_fit(params: &Encoded, limit: usize) -> Result<(), ExecError> {
    let count = usize::from(params.count);
    // Nulls, a flag, the types: without them the values would be taken for something else.
    let head = count
        .div_ceil(8)
        .saturating_add(1)
        .saturating_add(count.saturating_mul(2));
    if count > 0 && params.values.len() < head {
        return Err(ExecError::new(
            ErrorKind::Internal,
            "parameters that end too early",
        ));
    }
    fits(
        params.values.len().saturating_add(EXECUTE_HEAD),
        limit,
        "the parameters of one statement",
    )
}

/// A command; answers how many packets it takes, modulo 256: the number that the answer starts with.
#[inline]
pub(super) fn command(out: &mut Vec<u8>, head: &[u8], body: &[u8]) -> u8 {
    let length = head.len().saturating_add(body.len());
    if length < FULL {
        header(out, length, 0);
        out.extend_from_slice(head);
        out.extend_from_slice(body);
        return 1;
    }
    let mut number = 0_u8;
    let mut pieces = [head, body];
    let mut left = length;
    loop {
        let size = left.min(FULL);
        header(out, size, number);
        number = number.wrapping_add(1);
        let mut room = size;
        for piece in &mut pieces {
            let (now, later) = piece.split_at(room.min(piece.len()));
            out.extend_from_slice(now);
            room = room.saturating_sub(now.len());
            *piece = later;
        }
        left = left.saturating_sub(size);
        // A full packet has another one behind it, be it empty.
        if size < FULL {
            return number;
        }
    }
}

/// What stands in front of the parameters.
pub(super) fn execute_head(id: StatementId, cursor: u8) -> [u8; EXECUTE_HEAD] {
    let [a, b, c, d] = id.to_le_bytes();
    [EXECUTE, a, b, c, d, cursor, 1, 0, 0, 0]
}

#[inline]
pub(super) fn execute(out: &mut Vec<u8>, id: StatementId, cursor: u8, params: &Encoded) -> u8 {
    let values: &[u8] = if params.count > 0 {
        &params.values
    } else {
        &[]
    };
    command(out, &execute_head(id, cursor), values)
}

/// Puts the id into a command of [`execute`] that was written before the server gave one.
pub(super) fn set_id(command: &mut [u8], id: StatementId) {
    let at = HEADER.saturating_add(1);
    if let Some(slot) = command.get_mut(at..).and_then(<[u8]>::first_chunk_mut) {
        *slot = id.to_le_bytes();
    }
}

/// The next rows of a cursor.
pub(super) fn fetch(out: &mut Vec<u8>, id: StatementId, rows: u32) -> u8 {
    let [a, b, c, d] = id.to_le_bytes();
    command(out, &[FETCH, a, b, c, d], &rows.to_le_bytes())
}

/// The server says nothing to it.
pub(super) fn close(out: &mut Vec<u8>, id: StatementId) {
    let [a, b, c, d] = id.to_le_bytes();
    command(out, &[CLOSE, a, b, c, d], &[]);
}

/// A packet of the login, far shorter than a packet can be.
pub(super) fn packet(out: &mut Vec<u8>, number: u8, payload: &[u8]) {
    header(out, payload.len(), number);
    out.extend_from_slice(payload);
}

#[inline]
fn header(out: &mut Vec<u8>, length: usize, number: u8) {
    let [a, b, c, _] = u32::try_from(length).unwrap_or_default().to_le_bytes();
    out.extend_from_slice(&[a, b, c, number]);
}

pub(super) fn cstr(out: &mut Vec<u8>, text: &[u8]) {
    out.extend_from_slice(text);
    out.push(0);
}

/// Bytes with their length in front.
pub(super) fn string(out: &mut Vec<u8>, bytes: &[u8]) {
    let length = u32::try_from(bytes.len()).unwrap_or_default();
    match length {
        0..=0xfa => out.extend(u8::try_from(length)),
        0xfb..=0xffff => {
            let [a, b, ..] = length.to_le_bytes();
            out.extend_from_slice(&[0xfc, a, b]);
        }
        _ => {
            let [a, b, c, _] = length.to_le_bytes();
            out.extend_from_slice(&[0xfd, a, b, c]);
        }
    }
    out.extend_from_slice(bytes);
}

/// Up to its first zero byte the server would read another name.
pub(super) fn name(text: &str, what: &str) -> Result<(), ExecError> {
    if text.as_bytes().contains(&0) {
        return Err(ExecError::new(
            ErrorKind::Connect,
            format!("{what} contains a zero byte, which MySQL cannot take"),
        ));
    }
    if text.len() > 1 << 12 {
        return Err(ExecError::new(
            ErrorKind::Connect,
            format!("{what} is longer than any that MySQL has"),
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::indexing_slicing,
        reason = "a test fails by panicking"
    )]

    use super::*;

    #[test]
    fn long_commands_are_cut_where_packets_end() {
        for (length, sizes) in [
            (FULL - 2, &[FULL - 1][..]),
            (FULL - 1, &[FULL, 0]),
            (FULL, &[FULL, 1]),
            (2 * FULL + 5, &[FULL, FULL, 6]),
        ] {
            let body: Vec<u8> = (0..length).map(|at| at.to_le_bytes()[0]).collect();
            let mut out = Vec::new();
            let count = command(&mut out, &[QUERY], &body);
            assert_eq!(usize::from(count), sizes.len());
            let mut joined = Vec::new();
            let mut rest = out.as_slice();
            for (number, size) in sizes.iter().enumerate() {
                let [a, b, c, _] = u32::try_from(*size).unwrap().to_le_bytes();
                assert_eq!(rest[..4], [a, b, c, u8::try_from(number).unwrap()]);
                joined.extend_from_slice(&rest[4..4 + size]);
                rest = &rest[4 + size..];
            }
            assert!(rest.is_empty());
            assert_eq!(joined[0], QUERY);
            assert!(joined[1..] == body);
        }
    }

    #[test]
    fn the_id_can_be_put_in_later() {
        let params = Encoded {
            count: 1,
            values: vec![0, 1, 8, 0, 1, 2, 3, 4, 5, 6, 7, 8],
            ..Encoded::empty()
        };
        let (mut early, mut late) = (Vec::new(), Vec::new());
        execute(&mut early, 0, NO_CURSOR, &params);
        set_id(&mut early, 0x0102_0304);
        execute(&mut late, 0x0102_0304, NO_CURSOR, &params);
        assert_eq!(early, late);
        assert_eq!(early[..14], [22, 0, 0, 0, 23, 4, 3, 2, 1, 0, 1, 0, 0, 0]);
    }

    #[test]
    fn strings_of_each_length() {
        for (length, head) in [
            (250, &[250][..]),
            (251, &[0xfc, 251, 0]),
            (65535, &[0xfc, 255, 255]),
            (65536, &[0xfd, 0, 0, 1]),
        ] {
            let mut out = Vec::new();
            string(&mut out, &vec![7; length]);
            assert_eq!(out[..head.len()], *head);
            assert_eq!(out.len(), head.len() + length);
        }
    }
}
