//! Values as SQL literals, for DDL: defaults and the values of constraints.
//!
//! Values arrive as JSON and leave in the spelling in which the column stores
//! them, so that on SQLite a literal equals what a parameter would have
//! written. Whatever does not fit its type exactly is refused.

use serde::Deserialize;
use serde_json::Value;

use crate::{CompileError, Dialect, Features, SqlType};

type Result<T> = std::result::Result<T, CompileError>;

/// A value with its type, as schema documents carry it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Literal {
    /// Type tag.
    #[serde(rename = "type")]
    pub ty: SqlType,
    /// The value: numbers as JSON numbers or texts, bytes as hexadecimal text,
    /// times as ISO texts, durations as microseconds.
    pub value: Value,
}

/// Writes a value of a type as a literal.
pub(crate) fn literal(ty: &SqlType, value: &Value, features: &Features) -> Result<String> {
    let dialect = features.dialect;
    let wrong = || CompileError::invalid(format!("{value} is no value of the type {}", ty.kind()));
    if value.is_null() {
        return Ok("NULL".into());
    }
    let text = || value.as_str().ok_or_else(wrong);
    match ty {
        SqlType::SmallInt | SqlType::Int | SqlType::BigInt | SqlType::Duration => {
            value.as_i64().map(|n| n.to_string()).ok_or_else(wrong)
        }
        SqlType::Real | SqlType::Double => match value.as_f64() {
            Some(n) if n.is_finite() => Ok(value.to_string()),
            _ => Err(wrong()),
        },
        SqlType::Bool => match value.as_bool() {
            Some(true) => Ok("TRUE".into()),
            Some(false) => Ok("FALSE".into()),
            None => Err(wrong()),
        },
        SqlType::Decimal { scale, .. } => {
            let number = match value {
                Value::String(s) => s.clone(),
                Value::Number(n) => n.to_string(),
                _ => return Err(wrong()),
            };
            let number = canonical_decimal(&number, *scale).ok_or_else(wrong)?;
            // SQLite stores decimals as text.
            Ok(if dialect == Dialect::Sqlite {
                dialect.string(&number)
            } else {
                number
            })
        }
        SqlType::Text | SqlType::String(_) => quoted(text()?, dialect),
        SqlType::Enum(e) => {
            let text = text()?;
            if !e.values.iter().any(|v| v == text) {
                return Err(CompileError::invalid(format!(
                    "{text:?} is none of the values of the enum {}",
                    e.name
                )));
            }
            quoted(text, dialect)
        }
        SqlType::Date => Ok(dialect.string(&date(text()?).ok_or_else(wrong)?)),
        SqlType::Time => Ok(dialect.string(&time(text()?).ok_or_else(wrong)?)),
        SqlType::Timestamp => Ok(dialect.string(&timestamp(text()?).ok_or_else(wrong)?)),
        SqlType::TimestampTz => {
            let mut text = timestamp(text()?).ok_or_else(wrong)?;
            if dialect == Dialect::Postgres {
                // Otherwise the session's zone would be taken.
                text.push_str("+00");
            }
            Ok(dialect.string(&text))
        }
        SqlType::Uuid => {
            let text = text()?.to_ascii_lowercase();
            let fits = text.len() == 36
                && text.char_indices().all(|(i, c)| match i {
                    8 | 13 | 18 | 23 => c == '-',
                    _ => c.is_ascii_hexdigit(),
                });
            if fits {
                Ok(dialect.string(&text))
            } else {
                Err(wrong())
            }
        }
        SqlType::Bytes => {
            let hex = text()?.to_ascii_lowercase();
            if hex.len() % 2 != 0 || !hex.chars().all(|c| c.is_ascii_hexdigit()) {
                return Err(wrong());
            }
            Ok(match dialect {
                Dialect::Postgres => format!("decode('{hex}', 'hex')"),
                _ => format!("X'{hex}'"),
            })
        }
        SqlType::Json => quoted(&value.to_string(), dialect),
        SqlType::Array(item) => {
            let list = value.as_array().ok_or_else(wrong)?;
            if dialect != Dialect::Postgres {
                return quoted(&value.to_string(), dialect);
            }
            let items = list
                .iter()
                .map(|v| literal(item, v, features))
                .collect::<Result<Vec<_>>>()?;
            Ok(format!("ARRAY[{}]::{}", items.join(", "), ty.ddl(dialect)))
        }
    }
}

fn quoted(text: &str, dialect: Dialect) -> Result<String> {
    if text.contains('\0') {
        return Err(CompileError::invalid(
            "a text with a NUL character cannot be stored by PostgreSQL and SQLite",
        ));
    }
    Ok(dialect.string(text))
}

/// A decimal without exponent: with exactly `scale` digits after the point, or
/// without trailing zeros. `None` if it is no number or has more digits.
fn canonical_decimal(text: &str, scale: Option<u16>) -> Option<String> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let all_digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || !all_digits(whole) || !all_digits(fraction) {
        return None;
    }
    let whole = whole.trim_start_matches('0');
    let whole = if whole.is_empty() { "0" } else { whole };
    let mut fraction = fraction.trim_end_matches('0').to_owned();
    if let Some(scale) = scale {
        let scale = usize::from(scale);
        if fraction.len() > scale {
            return None;
        }
        fraction.extend(std::iter::repeat_n('0', scale - fraction.len()));
    }
    let zero = whole == "0" && fraction.bytes().all(|b| b == b'0');
    let sign = if negative && !zero { "-" } else { "" };
    let point = if fraction.is_empty() { "" } else { "." };
    Some(format!("{sign}{whole}{point}{fraction}"))
}

/// `YYYY-MM-DD`.
fn date(text: &str) -> Option<String> {
    fits(text, "0000-00-00").then(|| text.to_owned())
}

/// `HH:MM:SS.ffffff`; the fraction may be shorter or absent.
fn time(text: &str) -> Option<String> {
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = fraction.len() <= 6 && fraction.bytes().all(|b| b.is_ascii_digit());
    (digits && fits(seconds, "00:00:00")).then(|| format!("{seconds}.{fraction:0<6}"))
}

/// `YYYY-MM-DD HH:MM:SS.ffffff` of an ISO text in UTC.
fn timestamp(text: &str) -> Option<String> {
    let text = ["Z", "+00:00", "+00"]
        .iter()
        .find_map(|zone| text.strip_suffix(zone))
        .unwrap_or(text);
    let (day, clock) = text.split_once([' ', 'T'])?;
    Some(format!("{} {}", date(day)?, time(clock)?))
}

fn fits(text: &str, pattern: &str) -> bool {
    text.len() == pattern.len()
        && text.bytes().zip(pattern.bytes()).all(|(t, p)| match p {
            b'0' => t.is_ascii_digit(),
            _ => t == p,
        })
}

#[cfg(test)]
mod tests {
    use super::{canonical_decimal, timestamp};

    #[test]
    fn decimals_have_one_spelling() {
        let decimal = |text, scale| canonical_decimal(text, scale);
        assert_eq!(decimal("007.50", None).as_deref(), Some("7.5"));
        assert_eq!(decimal("7", Some(2)).as_deref(), Some("7.00"));
        assert_eq!(decimal("-0.00", Some(2)).as_deref(), Some("0.00"));
        assert_eq!(decimal("1.005", Some(2)), None);
        assert_eq!(decimal("1e5", None), None);
        assert_eq!(decimal("1'; --", None), None);
    }

    #[test]
    fn timestamps_have_one_spelling() {
        let expected = Some("2020-02-03 04:05:06.700000");
        assert_eq!(timestamp("2020-02-03T04:05:06.7Z").as_deref(), expected);
        assert_eq!(
            timestamp("2020-02-03 04:05:06.7+00:00").as_deref(),
            expected
        );
        assert_eq!(timestamp("2020-02-03 04:05:06+02:00"), None);
    }
}
