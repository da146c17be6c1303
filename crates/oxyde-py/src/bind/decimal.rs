//! `Decimal` → TEXT in one canonical form per value, so that `=`, IN, UNIQUE and GROUP BY are plain text:
//! no exponent, no trailing zeros — or exactly the declared scale (`1.5` in NUMERIC(10, 2) is `1.50`).

use oxyde_exec::cells::Cells;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyInt, PyString};

use super::Target;
use crate::layout;

/// More digits than any supported database can hold (PostgreSQL: 131,072 before the point, 16,383 after).
const MAX_DIGITS: usize = 131_072 + 16_383;

pub fn sqlite(
    value: &Bound<'_, PyAny>,
    precision: Option<u16>,
    scale: Option<u16>,
    target: Target<'_>,
    out: &mut Cells,
) -> PyResult<()> {
    let py = value.py();
    let plain_int = value.is_instance_of::<PyInt>() && !value.is_instance_of::<PyBool>();
    if !plain_int && !value.is_instance(layout::decimal_type(py)?)? {
        return Err(target.wrong_type(value, "Decimal"));
    }
    let text = value.call_method0(intern!(py, "__str__"))?;
    let text = text.cast::<PyString>()?.to_str()?;
    match canonical(text, precision, scale, target.stored) {
        Ok(canonical) => {
            out.push_text(&canonical);
            Ok(())
        }
        Err(why) => Err(target.refuse(py, &why)),
    }
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
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::canonical;

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
    fn what_no_database_holds_is_refused() {
        for text in ["NaN", "Infinity", "-Infinity", "sNaN", "1E+999999", "", "."] {
            assert!(canonical(text, None, None, true).is_err(), "{text}");
        }
    }
}
