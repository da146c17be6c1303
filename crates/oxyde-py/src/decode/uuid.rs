//! TEXT (32 hexadecimal digits, with or without hyphens), a BLOB of 16 bytes or a uuid → `UUID`.

use oxyde_exec::cells::CellRef;
use pyo3::prelude::*;

use super::mysql;
use super::postgres::Value;
use super::{Decoded, unreadable};
use crate::layout;

pub fn sqlite<'py>(py: Python<'py>, cell: CellRef<'_>) -> Decoded<'py> {
    let hex = match cell {
        CellRef::Text(bytes) => digits(bytes),
        CellRef::Blob(bytes) if bytes.len() == 16 => digits(hexadecimal(bytes).as_bytes()),
        _ => None,
    };
    match hex {
        Some(hex) => Ok(layout::new_uuid(py, hex)?),
        None => Err(unreadable(cell, "a UUID")),
    }
}

pub fn digits(bytes: &[u8]) -> Option<[u8; 32]> {
    let mut out = [0u8; 32];
    match bytes.len() {
        32 => out.copy_from_slice(bytes),
        36 => {
            let mut places = out.as_mut_slice();
            for (index, group) in bytes.split(|byte| *byte == b'-').enumerate() {
                let length = *[8, 4, 4, 4, 12].get(index)?;
                let (place, rest) = places.split_at_mut_checked(length)?;
                if group.len() != length {
                    return None;
                }
                place.copy_from_slice(group);
                places = rest;
            }
        }
        _ => return None,
    }
    out.iter().all(u8::is_ascii_hexdigit).then_some(out)
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

pub fn postgres<'py>(py: Python<'py>, value: &Value<'_>) -> Decoded<'py> {
    let hex = match value {
        Value::Uuid(number) => Some(hex(*number)),
        Value::Text(bytes, _) => digits(bytes),
        _ => None,
    };
    match hex {
        Some(hex) => Ok(layout::new_uuid(py, hex)?),
        None => Err(value.instead_of("a UUID")),
    }
}

pub fn mysql<'py>(
    py: Python<'py>,
    value: &mysql::Value<'_>,
    decoder: &mysql::Decoder,
) -> Decoded<'py> {
    let hex = match value {
        mysql::Value::Text(bytes) => digits(bytes),
        mysql::Value::Blob(bytes) => match (*bytes).try_into() {
            Ok(bytes) => Some(hex(u128::from_be_bytes(bytes))),
            Err(_) => None,
        },
        _ => None,
    };
    match hex {
        Some(hex) => Ok(layout::new_uuid(py, hex)?),
        None => Err(decoder.refuse(value, "a UUID")),
    }
}

pub fn hex(number: u128) -> [u8; 32] {
    let mut out = [b'0'; 32];
    for (byte, pair) in number
        .to_be_bytes()
        .into_iter()
        .zip(out.chunks_exact_mut(2))
    {
        for (nibble, digit) in [byte >> 4, byte & 15].into_iter().zip(pair) {
            *digit = nibble + if nibble < 10 { b'0' } else { b'a' - 10 };
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::digits;

    #[test]
    fn only_the_usual_forms() {
        let plain = b"0123456789abcdefABCDEF0123456789";
        for text in [
            "0123456789abcdefABCDEF0123456789",
            "01234567-89ab-cdef-ABCD-EF0123456789",
        ] {
            assert_eq!(digits(text.as_bytes()).as_ref(), Some(plain), "{text}");
        }
        for text in [
            "",
            "0123456789abcdefABCDEF012345678g",
            "01234567-89ab-cdef-ABCD-EF012345678",
            "0123456789ab-cdef-ABCD-EF0123-456789",
            "01234567-89ab-cdef-ABCDEF0123456789-",
            "01234567-89ab-cdef-ABCD-EF01234-5678",
            "------------------------------------",
            "{1234567-89ab-cdef-ABCD-EF012345678}",
        ] {
            assert_eq!(digits(text.as_bytes()), None, "{text}");
        }
    }
}
