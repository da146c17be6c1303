//! `interval`: months, days and microseconds, which no other unit can stand for.

use std::fmt;

use crate::calendar::DAY;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Interval {
    pub months: i32,
    pub days: i32,
    pub micros: i64,
}

impl Interval {
    pub fn from_binary(bytes: &[u8]) -> Option<Self> {
        let (micros, rest) = bytes.split_first_chunk()?;
        let (days, rest) = rest.split_first_chunk()?;
        Some(Self {
            micros: i64::from_be_bytes(*micros),
            days: i32::from_be_bytes(*days),
            months: i32::from_be_bytes(rest.try_into().ok()?),
        })
    }

    /// The server's own style: `1 year 2 mons -3 days +04:05:06.7`.
    pub fn from_text(text: &str) -> Option<Self> {
        let mut interval = Self::default();
        let mut words = text.split(' ').peekable();
        words.peek().filter(|word| !word.is_empty())?;
        while let Some(word) = words.next() {
            if word.contains(':') {
                interval.micros = clock(word)?;
                return words.next().is_none().then_some(interval);
            }
            let number: i32 = word.parse().ok()?;
            match words.next()? {
                "year" | "years" => {
                    interval.months = interval.months.checked_add(number.checked_mul(12)?)?;
                }
                "mon" | "mons" => interval.months = interval.months.checked_add(number)?,
                "day" | "days" => interval.days = number,
                _ => return None,
            }
        }
        Some(interval)
    }

    /// A length that is the same always: days of 24 hours, no months.
    pub fn exact_micros(&self) -> Option<i128> {
        let micros = i128::from(self.days) * i128::from(DAY) + i128::from(self.micros);
        (self.months == 0).then_some(micros)
    }
}

/// `[-+]H…:MM:SS[.ffffff]`.
fn clock(word: &str) -> Option<i64> {
    let (sign, digits) = match word.strip_prefix(['-', '+']) {
        Some(digits) if word.starts_with('-') => (-1, digits),
        Some(digits) => (1, digits),
        None => (1, word),
    };
    let mut parts = digits.split(':');
    let (hours, minutes, seconds) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None;
    }
    let (seconds, fraction) = seconds.split_once('.').unwrap_or((seconds, "0"));
    let number = |digits: &str| {
        let plain = digits.bytes().all(|digit| digit.is_ascii_digit());
        digits.parse::<i64>().ok().filter(|_| plain)
    };
    let mut micros = number(fraction).filter(|_| fraction.len() <= 6)?;
    for _ in fraction.len()..6 {
        micros *= 10;
    }
    let minutes = number(hours)?
        .checked_mul(60)?
        .checked_add(number(minutes)?)?;
    let seconds = minutes.checked_mul(60)?.checked_add(number(seconds)?)?;
    Some(sign * seconds.checked_mul(1_000_000)?.checked_add(micros)?)
}

impl fmt::Display for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} months {} days {} µs",
            self.months, self.days, self.micros
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_texts_of_the_server() {
        for (text, months, days, micros) in [
            ("1 year 2 mons -3 days +04:05:06.7", 14, -3, 14_706_700_000),
            ("-1 days +00:00:00.000001", 0, -1, 1),
            ("-1 mons -00:00:01", -1, 0, -1_000_000),
            ("00:00:00", 0, 0, 0),
            ("100:00:00", 0, 0, 360_000_000_000),
            ("1 mon", 1, 0, 0),
        ] {
            let expected = Interval {
                months,
                days,
                micros,
            };
            assert_eq!(Interval::from_text(text), Some(expected), "{text}");
        }
        for text in [
            "",
            "P1D",
            "1",
            "@ 1 day",
            "1 day ",
            "1:2",
            "00:00:00.1234567",
        ] {
            assert_eq!(Interval::from_text(text), None, "{text}");
        }
    }

    #[test]
    fn months_have_no_length() {
        let day = Interval {
            days: 1,
            micros: 1,
            ..Interval::default()
        };
        assert_eq!(day.exact_micros(), Some(i128::from(DAY) + 1));
        assert_eq!(Interval { months: 1, ..day }.exact_micros(), None);
    }
}
