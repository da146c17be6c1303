//! `numeric`: digits to the base of 10,000 → the decimal text that the server itself would write.

/// Base 10,000: a digit's value.
const BASE: u16 = 10_000;

/// `None` for bytes that are no numeric.
pub fn read(bytes: &[u8]) -> Option<String> {
    let (header, digits) = bytes.split_at_checked(8)?;
    let mut header = header
        .chunks_exact(2)
        .filter_map(|pair| pair.try_into().ok());
    let count = usize::from(u16::from_be_bytes(header.next()?));
    let weight = i16::from_be_bytes(header.next()?);
    let sign = u16::from_be_bytes(header.next()?);
    let places = usize::from(u16::from_be_bytes(header.next()?));
    match sign {
        0xc000 => return Some("NaN".to_owned()),
        0xd000 => return Some("Infinity".to_owned()),
        0xf000 => return Some("-Infinity".to_owned()),
        0 | 0x4000 => {}
        _ => return None,
    }
    if digits.len() != count * 2 || places > 16_383 {
        return None;
    }
    let mut groups = digits
        .chunks_exact(2)
        .filter_map(|pair| pair.try_into().ok())
        .map(u16::from_be_bytes);
    if groups.clone().any(|group| group >= BASE) {
        return None;
    }
    let mut out = String::with_capacity(count * 4 + places + 3);
    if sign == 0x4000 {
        out.push('-');
    }
    let before = usize::try_from(i32::from(weight) + 1).unwrap_or(0);
    if before == 0 {
        out.push('0');
    }
    for index in 0..before {
        let group = groups.next().unwrap_or(0);
        if index == 0 {
            out.push_str(&group.to_string());
        } else {
            push_four(group, &mut out);
        }
    }
    if places > 0 {
        out.push('.');
        let end = out.len() + places;
        // Groups of zeros that are left out between the point and the first digit.
        let skipped = usize::try_from(-1 - i32::from(weight)).unwrap_or(0);
        for _ in 0..skipped {
            if out.len() >= end {
                break;
            }
            out.push_str("0000");
        }
        while out.len() < end {
            push_four(groups.next().unwrap_or(0), &mut out);
        }
        out.truncate(end);
    }
    Some(out)
}

fn push_four(group: u16, out: &mut String) {
    for power in [1_000, 100, 10, 1] {
        out.push(char::from_digit(u32::from(group / power % 10), 10).unwrap_or('0'));
    }
}

/// A number as servers write it: with digits, without an exponent.
pub fn plain(bytes: &[u8]) -> Option<&str> {
    let (mut digits, mut points) = (0usize, 0usize);
    for byte in bytes.strip_prefix(b"-").unwrap_or(bytes) {
        match byte {
            b'0'..=b'9' => digits += 1,
            b'.' => points += 1,
            _ => return None,
        }
    }
    if digits == 0 || points > 1 {
        return None;
    }
    str::from_utf8(bytes).ok()
}

/// Digits without the zeros that say nothing: `1.50` and `1.5` are one value. `None` for NaN and infinity.
pub fn trimmed(text: &str) -> Option<&str> {
    if text.ends_with(|c: char| c.is_ascii_alphabetic()) {
        return None;
    }
    if !text.contains('.') {
        return Some(text);
    }
    Some(match text.trim_end_matches('0').trim_end_matches('.') {
        // Of `.0`, which no server writes, nothing would be left.
        "" => "0",
        "-" => "-0",
        digits => digits,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use crate::bind::decimal::tests::NUMERICS;

    fn bytes(hex: &str) -> Vec<u8> {
        let digits: Vec<u32> = hex.chars().map(|c| c.to_digit(16).unwrap()).collect();
        digits
            .chunks(2)
            .map(|pair| u8::try_from(pair.iter().fold(0, |byte, digit| byte * 16 + digit)).unwrap())
            .collect()
    }

    #[test]
    fn the_text_of_the_server() {
        for (text, hex) in NUMERICS {
            assert_eq!(read(&bytes(hex)).unwrap(), *text);
        }
        assert_eq!(read(&bytes("00000000c0000000")).unwrap(), "NaN");
        assert_eq!(read(&bytes("00000000f0000000")).unwrap(), "-Infinity");
        // Made by division: digits that are no longer counted by the scale, and zeros that are not sent.
        assert_eq!(read(&bytes("0000000000000004")).unwrap(), "0.0000");
        assert_eq!(
            read(&bytes("00010002000000020001")).unwrap(),
            "100000000.00"
        );
    }

    #[test]
    fn other_bytes_are_refused() {
        for hex in [
            "",
            "0001000000000000",
            "000100000000000000010001",
            "00010000000000002710",
            "00010000123400000001",
            "0001000000007fff0001",
        ] {
            assert_eq!(read(&bytes(hex)), None, "{hex}");
        }
    }

    #[test]
    fn zeros_that_say_nothing() {
        assert_eq!(trimmed("1.50"), Some("1.5"));
        assert_eq!(trimmed("100"), Some("100"));
        assert_eq!(trimmed("100.000"), Some("100"));
        assert_eq!(trimmed("NaN"), None);
        assert_eq!(trimmed("-Infinity"), None);
    }
}
