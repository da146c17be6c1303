//! The messages that we send, appended to an output buffer.
//!
//! Texts and sizes are checked before the first byte of a flight is written ([`text`], [`bind_fits`]), so that a
//! refused request leaves nothing behind.

use crate::error::{ErrorKind, ExecError};
use crate::query::{Encoded, Formats};

/// The server takes no message of 1 GiB or more; some room is left for what is not values.
const LONGEST: usize = 0x3fff_ffff - 0x1_0000;

/// The unnamed portal or statement.
pub(crate) const UNNAMED: &[u8] = &[0];

/// Execute of the unnamed portal without a limit, and Sync.
const EXECUTE_SYNC: &[u8] = b"E\0\0\0\x09\0\0\0\0\0S\0\0\0\x04";

/// A text ends at its first zero byte on the wire: what follows would be read as something else.
pub(crate) fn text(text: &str, what: &str) -> Result<(), ExecError> {
    if text.as_bytes().contains(&0) {
        return Err(ExecError::new(
            ErrorKind::Programming,
            format!("{what} contains a zero byte, which PostgreSQL cannot take"),
        ));
    }
    fits(text.len(), what)
}

pub(crate) fn bind_fits(params: &Encoded, results: &Formats) -> Result<(), ExecError> {
    for formats in [&params.formats, results] {
        if let Formats::Each(each) = formats
            && u16::try_from(each.len()).is_err()
        {
            return Err(ExecError::new(
                ErrorKind::NotSupported,
                "more than 65535 parameters or columns in one statement",
            ));
        }
    }
    fits(params.values.len(), "the parameters of one statement")
}

fn fits(length: usize, what: &str) -> Result<(), ExecError> {
    if length > LONGEST {
        return Err(ExecError::new(
            ErrorKind::Data,
            format!("{what}: {length} bytes, but a message to PostgreSQL holds less than 1 GiB"),
        ));
    }
    Ok(())
}

pub(crate) fn startup(out: &mut Vec<u8>, parameters: &[(&str, &str)]) {
    body(out, |out| {
        out.extend_from_slice(&0x0003_0000_i32.to_be_bytes());
        for (name, value) in parameters {
            cstr(out, name.as_bytes());
            cstr(out, value.as_bytes());
        }
        out.push(0);
    });
}

/// `types` are at most 65535: the caller has checked.
pub(crate) fn parse(out: &mut Vec<u8>, name: &[u8], sql: &str, types: &[u32]) {
    message(out, b'P', |out| {
        out.extend_from_slice(name);
        cstr(out, sql.as_bytes());
        count(out, types.len());
        for oid in types {
            out.extend_from_slice(&oid.to_be_bytes());
        }
    });
}

pub(crate) fn describe_statement(out: &mut Vec<u8>, name: &[u8]) {
    message(out, b'D', |out| {
        out.push(b'S');
        out.extend_from_slice(name);
    });
}

pub(crate) fn bind(
    out: &mut Vec<u8>,
    portal: &[u8],
    name: &[u8],
    params: &Encoded,
    results: &Formats,
) {
    message(out, b'B', |out| {
        out.extend_from_slice(portal);
        out.extend_from_slice(name);
        formats(out, &params.formats);
        out.extend_from_slice(&params.count.to_be_bytes());
        out.extend_from_slice(&params.values);
        formats(out, results);
    });
}

/// `max_rows` 0: all.
pub(crate) fn execute(out: &mut Vec<u8>, portal: &[u8], max_rows: u32) {
    message(out, b'E', |out| {
        out.extend_from_slice(portal);
        let max_rows = i32::try_from(max_rows).unwrap_or(i32::MAX);
        out.extend_from_slice(&max_rows.to_be_bytes());
    });
}

pub(crate) fn execute_sync(out: &mut Vec<u8>) {
    out.extend_from_slice(EXECUTE_SYNC);
}

/// `what`: `S` a statement, `P` a portal.
pub(crate) fn close(out: &mut Vec<u8>, what: u8, name: &[u8]) {
    message(out, b'C', |out| {
        out.push(what);
        out.extend_from_slice(name);
    });
}

pub(crate) fn sync(out: &mut Vec<u8>) {
    out.extend_from_slice(b"S\0\0\0\x04");
}

pub(crate) fn flush(out: &mut Vec<u8>) {
    out.extend_from_slice(b"H\0\0\0\x04");
}

pub(crate) const TERMINATE: &[u8] = b"X\0\0\0\x04";

pub(crate) fn terminate(out: &mut Vec<u8>) {
    out.extend_from_slice(TERMINATE);
}

pub(crate) fn query(out: &mut Vec<u8>, sql: &str) {
    message(out, b'Q', |out| cstr(out, sql.as_bytes()));
}

pub(crate) fn copy_data(out: &mut Vec<u8>, data: &[u8]) {
    message(out, b'd', |out| out.extend_from_slice(data));
}

pub(crate) fn copy_done(out: &mut Vec<u8>) {
    out.extend_from_slice(b"c\0\0\0\x04");
}

pub(crate) fn copy_fail(out: &mut Vec<u8>, why: &str) {
    // A reason is only text to read: a zero byte in it must not end the message early.
    let why: String = why.chars().filter(|c| *c != '\0').take(1000).collect();
    message(out, b'f', |out| cstr(out, why.as_bytes()));
}

/// Password, or a SASL response (`terminated` false).
pub(crate) fn password(out: &mut Vec<u8>, secret: &[u8], terminated: bool) {
    message(out, b'p', |out| {
        out.extend_from_slice(secret);
        if terminated {
            out.push(0);
        }
    });
}

pub(crate) fn sasl_initial(out: &mut Vec<u8>, mechanism: &str, first: &[u8]) {
    message(out, b'p', |out| {
        cstr(out, mechanism.as_bytes());
        let length = i32::try_from(first.len()).unwrap_or(i32::MAX);
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(first);
    });
}

pub(crate) fn cancel(pid: i32, key: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(key.len().saturating_add(12));
    body(&mut out, |out| {
        out.extend_from_slice(&80_877_102_i32.to_be_bytes());
        out.extend_from_slice(&pid.to_be_bytes());
        out.extend_from_slice(key);
    });
    out
}

fn cstr(out: &mut Vec<u8>, text: &[u8]) {
    out.extend_from_slice(text);
    out.push(0);
}

fn count(out: &mut Vec<u8>, count: usize) {
    let count = u16::try_from(count).unwrap_or(u16::MAX);
    out.extend_from_slice(&count.to_be_bytes());
}

#[inline]
fn formats(out: &mut Vec<u8>, formats: &Formats) {
    match formats {
        Formats::Text => out.extend_from_slice(&[0, 0]),
        Formats::Binary => out.extend_from_slice(&[0, 1, 0, 1]),
        Formats::Each(each) => {
            count(out, each.len());
            for binary in each {
                out.extend_from_slice(&[0, u8::from(*binary)]);
            }
        }
    }
}

#[inline]
fn message(out: &mut Vec<u8>, kind: u8, write: impl FnOnce(&mut Vec<u8>)) {
    out.push(kind);
    body(out, write);
}

#[inline]
fn body(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    write(out);
    let length = i32::try_from(out.len().saturating_sub(start)).unwrap_or(i32::MAX);
    if let Some(slot) = out.get_mut(start..).and_then(<[u8]>::first_chunk_mut) {
        *slot = length.to_be_bytes();
    }
}
