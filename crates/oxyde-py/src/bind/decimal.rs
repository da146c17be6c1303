//! `Decimal` → SQLite: TEXT; PostgreSQL: numeric, digits to the base of 10,000; MySQL: DECIMAL, text. One canonical form per value, so that `=`, IN, UNIQUE and GROUP BY are plain text:
//! no exponent, no trailing zeros — or exactly the declared scale (`1.5` in NUMERIC(10, 2) is `1.50`).

use oxyde_exec::cells::Cells;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyInt, PyString};

use super::Target;
use super::parameters::Parameters;
use crate::contract::Declared;
use crate::layout;

/// More digits than any supported database can hold (PostgreSQL: 131,072 before the point, 16,383 after).
const MAX_DIGITS: usize = 131_072 + 16_383;

/// MySQL: of any number, and of a bare DECIMAL(65,30).
const MYSQL_DIGITS: usize = 65;
const MYSQL_PLACES: usize = 30;

pub fn sqlite(
    value: &Bound<'_, PyAny>,
    precision: Option<u16>,
    scale: Option<u16>,
    target: Target<'_>,
    out: &mut Cells,
) -> PyResult<()> {
    out.push_text(&checked(value, precision, scale, target)?);
    Ok(())
}

pub fn postgres(
    value: &Bound<'_, PyAny>,
    precision: Option<u16>,
    scale: Option<u16>,
    target: Target<'_>,
    out: &mut Vec<u8>,
) -> PyResult<()> {
    let text = checked(value, precision, scale, target)?;
    write_numeric(&text, out).map_err(|why| target.refuse(value.py(), why))
}

/// What does not fit its column MySQL rounds without a word, and what has more digits than it knows, it takes for
/// another number: both are refused.
pub fn mysql(
    value: &Bound<'_, PyAny>,
    precision: Option<u16>,
    scale: Option<u16>,
    target: Target<'_>,
    out: &mut Parameters,
) -> PyResult<()> {
    let (precision, scale) = match target.declared {
        None => (precision, scale),
        Some(declared) => mysql_declared(declared),
    };
    let text = checked(value, precision, scale, target)?;
    let bare = precision.is_none() && target.declared.is_none();
    mysql_fits(&text, bare && target.stored).map_err(|why| target.refuse(value.py(), &why))?;
    out.decimal(&text);
    Ok(())
}

/// Digits and digits after the point of a type in the program's own words. MySQL's other types take any decimal.
fn mysql_declared(declared: &Declared) -> (Option<u16>, Option<u16>) {
    match declared.name.as_str() {
        "decimal" | "numeric" | "dec" | "fixed" => {
            let small = |number: Option<u32>, other| {
                Some(number.map_or(other, |n| u16::try_from(n).unwrap_or(u16::MAX)))
            };
            (small(declared.length, 10), small(declared.scale, 0))
        }
        _ => (None, None),
    }
}

fn mysql_fits(canonical: &str, stored_bare: bool) -> Result<(), String> {
    let digits = canonical.strip_prefix('-').unwrap_or(canonical);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let room = MYSQL_DIGITS - MYSQL_PLACES;
    if stored_bare && fraction.len() > MYSQL_PLACES {
        Err(format!(
            "the decimal has more than {MYSQL_PLACES} digits after the point"
        ))
    } else if stored_bare && whole.len() > room {
        Err(format!(
            "the decimal has more than {room} digits before the point"
        ))
    } else if whole.len() + fraction.len() > MYSQL_DIGITS {
        Err(format!("the decimal has more than {MYSQL_DIGITS} digits"))
    } else {
        Ok(())
    }
}

/// An item of a list, which the statement reads as a bare DECIMAL(65,30): more digits would be rounded off.
pub fn mysql_item(value: &Bound<'_, PyAny>, target: Target<'_>) -> PyResult<String> {
    let text = checked(value, None, None, target)?;
    mysql_fits(&text, true).map_err(|why| target.refuse(value.py(), &why))?;
    Ok(text)
}

/// The canonical text of a value, which is a Decimal or an int.
pub fn checked(
    value: &Bound<'_, PyAny>,
    precision: Option<u16>,
    scale: Option<u16>,
    target: Target<'_>,
) -> PyResult<String> {
    let py = value.py();
    let plain_int = value.is_instance_of::<PyInt>() && !value.is_instance_of::<PyBool>();
    if !plain_int && !value.is_instance(layout::decimal_type(py)?)? {
        return Err(target.wrong_type(value, "Decimal"));
    }
    let text = value.call_method0(intern!(py, "__str__"))?;
    let text = text.cast::<PyString>()?.to_str()?;
    canonical(text, precision, scale, target.stored).map_err(|why| target.refuse(py, &why))
}

/// PostgreSQL's numeric: number of digits, weight of the first one, sign, digits after the point, digits.
pub fn write_numeric(canonical: &str, out: &mut Vec<u8>) -> Result<(), &'static str> {
    const TOO_LONG: &str =
        "the decimal has more than 131,072 digits before the point or 16,383 after it";
    let (sign, digits) = match canonical.strip_prefix('-') {
        Some(rest) => (0x4000u16, rest),
        None => (0, canonical),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let whole = whole.trim_start_matches('0');
    let places = u16::try_from(fraction.len())
        .ok()
        .filter(|places| *places <= 16_383)
        .ok_or(TOO_LONG)?;
    if whole.len() > 131_072 {
        return Err(TOO_LONG);
    }
    // Groups of four, counted from the point in both directions.
    let head = whole.len() % 4;
    let groups = whole.len().div_ceil(4);
    let mut numbers: Vec<u16> = Vec::with_capacity(groups + fraction.len().div_ceil(4));
    let (first, rest) = whole.as_bytes().split_at(head);
    if head > 0 {
        numbers.push(group(first, head));
    }
    numbers.extend(rest.chunks(4).map(|four| group(four, 4)));
    numbers.extend(fraction.as_bytes().chunks(4).map(|four| group(four, 4)));
    let leading = numbers.iter().take_while(|number| **number == 0).count();
    while numbers.last() == Some(&0) {
        numbers.pop();
    }
    let numbers = numbers.get(leading..).unwrap_or_default();
    let weight = match numbers {
        [] => 0,
        _ => i64::try_from(groups).unwrap_or(i64::MAX) - 1 - i64::try_from(leading).unwrap_or(0),
    };
    let count = u16::try_from(numbers.len()).map_err(|_| TOO_LONG)?;
    let weight = i16::try_from(weight).map_err(|_| TOO_LONG)?;
    out.extend_from_slice(&count.to_be_bytes());
    out.extend_from_slice(&weight.to_be_bytes());
    out.extend_from_slice(&sign.to_be_bytes());
    out.extend_from_slice(&places.to_be_bytes());
    for number in numbers {
        out.extend_from_slice(&number.to_be_bytes());
    }
    Ok(())
}

/// Up to four digits as one; what is missing behind them are zeros.
fn group(digits: &[u8], width: usize) -> u16 {
    let number = digits
        .iter()
        .fold(0u16, |number, digit| number * 10 + u16::from(digit & 15));
    (digits.len()..width).fold(number, |number, _| number * 10)
}

/// The canonical text of Python's `str(Decimal)`; the error says what does not fit.
pub fn canonical(
    text: &str,
    precision: Option<u16>,
    scale: Option<u16>,
    stored: bool,
) -> Result<String, String> {
    let parts = Parts::parse(text)
        .ok_or_else(|| "NaN and infinity cannot be stored in a decimal column".to_owned())?;
    let (whole, mut fraction) = parts.plain()?;
    while fraction.ends_with('0') {
        fraction.pop();
    }
    let digits_before = whole.len();
    if let Some(scale) = scale.map(usize::from) {
        if fraction.len() > scale {
            if stored {
                return Err(format!(
                    "the decimal has more than {scale} digits after the point"
                ));
            }
        } else {
            fraction.push_str(&"0".repeat(scale - fraction.len()));
        }
    }
    if let (true, Some(precision)) = (stored, precision.map(usize::from)) {
        let room = precision.saturating_sub(scale.map_or(fraction.len(), usize::from));
        if digits_before > room {
            return Err(format!(
                "the decimal has more than {room} digits before the point"
            ));
        }
    }
    let zero = digits_before == 0 && fraction.bytes().all(|b| b == b'0');
    let mut out = String::with_capacity(whole.len() + fraction.len() + 3);
    if parts.negative && !zero {
        out.push('-');
    }
    out.push_str(if whole.is_empty() { "0" } else { &whole });
    if !fraction.is_empty() {
        out.push('.');
        out.push_str(&fraction);
    }
    Ok(out)
}

/// A decimal number taken apart: sign, digits, and where the point is.
struct Parts<'a> {
    negative: bool,
    whole: &'a str,
    fraction: &'a str,
    exponent: i64,
}

impl<'a> Parts<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let (negative, text) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let (mantissa, exponent) = match text.split_once(['E', 'e']) {
            Some((mantissa, exponent)) => (mantissa, exponent.parse::<i64>().ok()?),
            None => (text, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
        (digits(whole) && digits(fraction) && !(whole.is_empty() && fraction.is_empty())).then_some(
            Self {
                negative,
                whole,
                fraction,
                exponent,
            },
        )
    }

    /// Digits before (without leading zeros) and after the point, the exponent applied.
    fn plain(&self) -> Result<(String, String), String> {
        let shift = usize::try_from(self.exponent.unsigned_abs()).unwrap_or(usize::MAX);
        let nonzero = self
            .whole
            .bytes()
            .chain(self.fraction.bytes())
            .any(|b| b != b'0');
        if !nonzero {
            return Ok((String::new(), String::new()));
        }
        if shift
            .saturating_add(self.whole.len())
            .saturating_add(self.fraction.len())
            > MAX_DIGITS
        {
            return Err(format!("the decimal has more than {MAX_DIGITS} digits"));
        }
        let (whole, fraction) = if self.exponent >= 0 {
            let take = shift.min(self.fraction.len());
            let (moved, rest) = self.fraction.split_at(take);
            (
                format!("{}{moved}{}", self.whole, "0".repeat(shift - take)),
                rest.to_owned(),
            )
        } else {
            let padded = format!("{}{}", "0".repeat(shift), self.whole);
            let (whole, moved) = padded.split_at(padded.len() - shift);
            (whole.to_owned(), format!("{moved}{}", self.fraction))
        };
        Ok((whole.trim_start_matches('0').to_owned(), fraction))
    }
}

#[cfg(test)]
pub mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::{canonical, mysql_fits, write_numeric};

    /// `SELECT encode(numeric_send(text::numeric), 'hex')`
    pub const NUMERICS: &[(&str, &str)] = &[
        ("0", "0000000000000000"),
        ("0.00", "0000000000000002"),
        ("1", "00010000000000000001"),
        ("-1", "00010000400000000001"),
        ("9999", "0001000000000000270f"),
        ("10000", "00010001000000000001"),
        ("10001", "000200010000000000010001"),
        ("1.50", "000200000000000200011388"),
        ("-0.5", "0001ffff400000011388"),
        ("0.0001", "0001ffff000000040001"),
        ("0.00001", "0001fffe0000000503e8"),
        ("0.00000001", "0001fffe000000080001"),
        (
            "123456789.987654321",
            "0006000200000009000109291a852694153803e8",
        ),
        ("100000000", "00010002000000000001"),
        ("10000.0001", "0003000100000004000100000001"),
        ("-0.00012", "0002ffff40000005000107d0"),
        (
            "99999999999999999999999999999.9999999999",
            "000b00070000000a0009270f270f270f270f270f270f270f270f270f26ac",
        ),
        ("40000000", "00010001000000000fa0"),
    ];

    #[test]
    fn one_text_per_value() {
        let bare = |s| canonical(s, None, None, true).unwrap();
        assert_eq!(bare("1.50"), "1.5");
        assert_eq!(bare("-0.00"), "0");
        assert_eq!(bare("0E+30"), "0");
        assert_eq!(bare("1E+3"), "1000");
        assert_eq!(bare("1.25E-4"), "0.000125");
        assert_eq!(bare("12.5E+1"), "125");
        assert_eq!(bare("-00012"), "-12");
        assert_eq!(
            bare("99999999999999999999999999999999999999"),
            "99999999999999999999999999999999999999"
        );
    }

    #[test]
    fn the_declared_scale_is_kept_and_never_rounded() {
        assert_eq!(canonical("1.5", Some(10), Some(2), true).unwrap(), "1.50");
        assert_eq!(canonical("0", Some(10), Some(2), true).unwrap(), "0.00");
        assert_eq!(canonical("-0", Some(10), Some(2), true).unwrap(), "0.00");
        assert!(canonical("1.555", Some(10), Some(2), true).is_err());
        assert_eq!(
            canonical("1.555", Some(10), Some(2), false).unwrap(),
            "1.555"
        );
        assert!(canonical("123456789", Some(10), Some(2), true).is_err());
        assert_eq!(
            canonical("12345678", Some(10), Some(2), true).unwrap(),
            "12345678.00"
        );
        assert_eq!(canonical("0.5", Some(2), Some(2), true).unwrap(), "0.50");
    }

    #[test]
    fn the_bytes_of_the_server() {
        let hex = |text: &str| {
            let mut out = Vec::new();
            write_numeric(text, &mut out).unwrap();
            out.iter().map(|b| format!("{b:02x}")).collect::<String>()
        };
        for (text, bytes) in NUMERICS {
            assert_eq!(hex(text), *bytes, "{text}");
        }
        let longest = format!("{}.{}", "9".repeat(131_072), "9".repeat(16_383));
        assert!(write_numeric(&longest, &mut Vec::new()).is_ok());
        assert!(write_numeric(&format!("9{longest}"), &mut Vec::new()).is_err());
        assert!(write_numeric(&format!("{longest}9"), &mut Vec::new()).is_err());
    }

    #[test]
    fn no_more_digits_than_mysql_has() {
        let (nines, places) = ("9".repeat(35), "1".repeat(30));
        for (text, stored, compared) in [
            ("0", true, true),
            (&*format!("-{nines}.{places}"), true, true),
            (&*format!("9{nines}"), false, true),
            (&*format!("0.{places}1"), false, true),
            (&*"9".repeat(65), false, true),
            (&*"9".repeat(66), false, false),
            (&*format!("0.{}", "1".repeat(65)), false, false),
        ] {
            assert_eq!(mysql_fits(text, true).is_ok(), stored, "{text}");
            assert_eq!(mysql_fits(text, false).is_ok(), compared, "{text}");
        }
    }

    #[test]
    fn what_no_database_holds_is_refused() {
        for text in ["NaN", "Infinity", "-Infinity", "sNaN", "1E+999999", "", "."] {
            assert!(canonical(text, None, None, true).is_err(), "{text}");
        }
    }
}
