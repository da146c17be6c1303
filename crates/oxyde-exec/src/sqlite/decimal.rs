//! Exact decimal arithmetic on canonical text, and keys that sort like the numbers.
//!
//! SQLite has no decimal type: Oxyde stores plain text without exponent. The numbers here are an integer and a count
//! of digits behind the point; nothing passes through a float. Division that does not end is rounded half away from
//! zero at 38 significant digits, `//` and `%` truncate as Python's `Decimal` does.

use std::cmp::Ordering;

use num_bigint::{BigInt, BigUint, Sign};

/// PostgreSQL's own limits for NUMERIC: far beyond any use, small enough that hostile exponents cost nothing.
const MOST_DIGITS: usize = 131_072;
const LARGEST_SCALE: usize = 16_383;
/// Significant digits of a quotient that does not end.
const PRECISION: usize = 38;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Decimal {
    value: BigInt,
    scale: usize,
}

/// The parts of a decimal number's text: `0.digits × 10^exponent`, without leading or trailing zeros.
struct Parts<'a> {
    negative: bool,
    whole: &'a str,
    fraction: &'a str,
    exponent: i64,
}

fn split(text: &str) -> Option<Parts<'_>> {
    let text = text.trim();
    let (negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i64>().ok()?),
        None => (text, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if (whole.is_empty() && fraction.is_empty()) || !digits(whole) || !digits(fraction) {
        return None;
    }
    Some(Parts {
        negative,
        whole,
        fraction,
        exponent,
    })
}

impl Decimal {
    pub(crate) fn zero() -> Self {
        Self {
            value: BigInt::ZERO,
            scale: 0,
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        let parts = split(text)?;
        if parts.whole.len().saturating_add(parts.fraction.len())
            > MOST_DIGITS.saturating_add(LARGEST_SCALE)
        {
            return None;
        }
        let mut digits =
            String::with_capacity(parts.whole.len().saturating_add(parts.fraction.len()));
        digits.push_str(parts.whole);
        digits.push_str(parts.fraction);
        let magnitude = BigUint::parse_bytes(digits.as_bytes(), 10)?;
        let sign = if parts.negative {
            Sign::Minus
        } else {
            Sign::Plus
        };
        let value = BigInt::from_biguint(sign, magnitude);
        let scale = i64::try_from(parts.fraction.len())
            .ok()?
            .checked_sub(parts.exponent)?;
        match usize::try_from(scale) {
            Ok(scale) if scale <= LARGEST_SCALE => Some(Self { value, scale }),
            Ok(_) => (value == BigInt::ZERO).then(Self::zero),
            Err(_) => {
                let zeros = usize::try_from(scale.checked_neg()?).ok()?;
                (zeros <= MOST_DIGITS).then(|| Self {
                    value: value * power(zeros),
                    scale: 0,
                })
            }
        }
    }

    pub(crate) fn from_int(value: i64) -> Self {
        Self {
            value: BigInt::from(value),
            scale: 0,
        }
    }

    /// The shortest text that reads back as the same float, as Python's `Decimal(str(x))`.
    pub(crate) fn from_real(value: f64) -> Option<Self> {
        if value.is_finite() {
            Self::parse(&value.to_string())
        } else {
            None
        }
    }

    pub(crate) fn is_zero(&self) -> bool {
        self.value == BigInt::ZERO
    }

    pub(crate) fn add(&self, other: &Self) -> Self {
        let (left, right, scale) = self.align(other);
        Self {
            value: left + right,
            scale,
        }
    }

    pub(crate) fn sub(&self, other: &Self) -> Self {
        self.add(&other.neg())
    }

    pub(crate) fn mul(&self, other: &Self) -> Self {
        Self {
            value: &self.value * &other.value,
            scale: self.scale.saturating_add(other.scale),
        }
    }

    /// `scale` digits behind the point, or 38 significant ones (and no fewer than the operands have behind the
    /// point). `None`: division by zero.
    pub(crate) fn div(&self, other: &Self, scale: Option<usize>) -> Option<Self> {
        if other.is_zero() {
            return None;
        }
        if let Some(scale) = scale {
            return Some(self.quotient(other, scale));
        }
        // The first digit stands where the difference of the magnitudes says, or one further left.
        let digits = i64::try_from(PRECISION).unwrap_or(i64::MAX);
        let behind = other.magnitude().saturating_sub(self.magnitude());
        let wanted = usize::try_from(digits.saturating_add(behind)).unwrap_or_default();
        let least = self.scale.max(other.scale);
        let short = self.quotient(
            other,
            wanted.saturating_sub(1).max(least).min(LARGEST_SCALE),
        );
        if short.digits() < PRECISION {
            return Some(self.quotient(other, wanted.max(least).min(LARGEST_SCALE)));
        }
        Some(short)
    }

    fn quotient(&self, other: &Self, scale: usize) -> Self {
        // (value × 10^(scale + other.scale − self.scale)) / other.value, in units of 10^−scale
        let up = scale.saturating_add(other.scale);
        let (numerator, denominator) = if up >= self.scale {
            (
                &self.value * power(up.saturating_sub(self.scale)),
                other.value.clone(),
            )
        } else {
            (
                self.value.clone(),
                &other.value * power(self.scale.saturating_sub(up)),
            )
        };
        Self {
            value: divide_rounding(&numerator, &denominator),
            scale,
        }
    }

    /// The integer part of the quotient, towards zero.
    pub(crate) fn floordiv(&self, other: &Self) -> Option<Self> {
        if other.is_zero() {
            return None;
        }
        let (left, right, _) = self.align(other);
        Some(Self {
            value: left / right,
            scale: 0,
        })
    }

    /// What `floordiv` leaves; has the sign of `self`.
    pub(crate) fn rem(&self, other: &Self) -> Option<Self> {
        if other.is_zero() {
            return None;
        }
        let (left, right, scale) = self.align(other);
        Some(Self {
            value: left % right,
            scale,
        })
    }

    pub(crate) fn neg(&self) -> Self {
        Self {
            value: -&self.value,
            scale: self.scale,
        }
    }

    pub(crate) fn abs(&self) -> Self {
        if self.value.sign() == Sign::Minus {
            self.neg()
        } else {
            self.clone()
        }
    }

    /// Half away from zero; negative `digits` round in front of the point.
    pub(crate) fn round(&self, digits: i64) -> Self {
        let scale = i64::try_from(self.scale).unwrap_or(i64::MAX);
        if digits >= scale {
            return self.clone();
        }
        let drop = usize::try_from(scale.saturating_sub(digits)).unwrap_or(usize::MAX);
        if drop > MOST_DIGITS.saturating_add(LARGEST_SCALE) {
            return Self::zero();
        }
        let value = divide_rounding(&self.value, &power(drop));
        match usize::try_from(digits) {
            Ok(scale) => Self { value, scale },
            Err(_) => {
                let zeros = usize::try_from(digits.unsigned_abs()).unwrap_or_default();
                Self {
                    value: value * power(zeros),
                    scale: 0,
                }
            }
        }
    }

    pub(crate) fn compare(&self, other: &Self) -> Ordering {
        let (left, right, _) = self.align(other);
        left.cmp(&right)
    }

    /// Without exponent, trailing zeros and negative zero.
    pub(crate) fn to_text(&self) -> String {
        let mut text = self.plain(self.scale);
        if text.contains('.') {
            text.truncate(text.trim_end_matches('0').trim_end_matches('.').len());
        }
        if text == "-0" || text.is_empty() {
            "0".to_owned()
        } else {
            text
        }
    }

    /// With exactly `scale` digits behind the point: how a column with a declared scale is stored.
    pub(crate) fn to_scaled_text(&self, scale: usize) -> String {
        let scale = scale.min(LARGEST_SCALE);
        let rounded = self.round(i64::try_from(scale).unwrap_or(i64::MAX));
        let padded = Self {
            value: rounded.value * power(scale.saturating_sub(rounded.scale)),
            scale,
        };
        padded.plain(scale)
    }

    fn plain(&self, scale: usize) -> String {
        let digits = self.value.magnitude().to_string();
        let mut text = String::with_capacity(digits.len().saturating_add(3));
        if self.value.sign() == Sign::Minus {
            text.push('-');
        }
        if scale == 0 {
            text.push_str(&digits);
            return text;
        }
        match digits.len().checked_sub(scale).filter(|whole| *whole > 0) {
            Some(whole) => {
                let (whole, fraction) = digits.split_at(whole);
                text.push_str(whole);
                text.push('.');
                text.push_str(fraction);
            }
            None => {
                text.push_str("0.");
                text.extend(std::iter::repeat_n('0', scale.saturating_sub(digits.len())));
                text.push_str(&digits);
            }
        }
        text
    }

    /// The position of the first digit: 12.3 → 2, 0.05 → −1.
    fn magnitude(&self) -> i64 {
        let digits = i64::try_from(self.digits()).unwrap_or(i64::MAX);
        digits.saturating_sub(i64::try_from(self.scale).unwrap_or(i64::MAX))
    }

    fn digits(&self) -> usize {
        self.value.magnitude().to_string().len()
    }

    fn align(&self, other: &Self) -> (BigInt, BigInt, usize) {
        let scale = self.scale.max(other.scale);
        let lift = |number: &Self| &number.value * power(scale.saturating_sub(number.scale));
        (lift(self), lift(other), scale)
    }
}

fn power(exponent: usize) -> BigInt {
    BigInt::from(10).pow(u32::try_from(exponent).unwrap_or(u32::MAX))
}

fn divide_rounding(numerator: &BigInt, denominator: &BigInt) -> BigInt {
    let quotient = numerator / denominator;
    let rest: BigInt = numerator % denominator;
    let twice = rest.magnitude() * 2u32;
    if &twice < denominator.magnitude() {
        return quotient;
    }
    let negative = (numerator.sign() == Sign::Minus) != (denominator.sign() == Sign::Minus);
    if negative { quotient - 1 } else { quotient + 1 }
}

/// A BLOB that compares (`memcmp`, then length) like the number. `None`: not a finite decimal number.
///
/// ```text
/// zero       80
/// positive   81  exponent  digits in pairs, each pair + 1
/// negative   7f  the same bytes inverted, then ff: a longer magnitude is a smaller number
/// ```
/// The number is 0.d₁d₂d₃… × 10^exponent with d₁ ≠ 0; the exponent is a biased big-endian u64.
pub(crate) fn key(text: &str) -> Option<Vec<u8>> {
    let parts = split(text)?;
    let fraction = parts.fraction.trim_end_matches('0');
    let whole = parts.whole.trim_start_matches('0');
    let (digits_in_front, leading) = if whole.is_empty() {
        (
            0,
            fraction
                .len()
                .saturating_sub(fraction.trim_start_matches('0').len()),
        )
    } else {
        (whole.len(), 0)
    };
    let mut digits = whole
        .bytes()
        .chain(fraction.bytes().skip(leading))
        .map(|byte| byte.saturating_sub(b'0'));
    let exponent = i64::try_from(digits_in_front)
        .ok()?
        .checked_sub(i64::try_from(leading).ok()?)?
        .checked_add(parts.exponent)?;
    let mut key = Vec::with_capacity(
        whole
            .len()
            .saturating_add(fraction.len())
            .saturating_add(20)
            / 2
            + 1,
    );
    let mask = if parts.negative { 0xff } else { 0x00 };
    key.push(if parts.negative { 0x7f } else { 0x81 });
    let biased = exponent.cast_unsigned() ^ (1 << 63);
    key.extend(biased.to_be_bytes().iter().map(|byte| byte ^ mask));
    let head = key.len();
    while let Some(high) = digits.next() {
        let pair = high
            .saturating_mul(10)
            .saturating_add(digits.next().unwrap_or_default());
        key.push(pair.saturating_add(1) ^ mask);
    }
    // Zeros at the end of a whole number are no digits of the fraction form.
    while key.len() > head && key.last() == Some(&(1 ^ mask)) {
        key.pop();
    }
    if key.len() == head {
        return Some(vec![0x80]);
    }
    if parts.negative {
        key.push(0xff);
    }
    Some(key)
}
