//! `oxyde_decimal_*`: arithmetic, ordering and aggregates on decimals stored as text.
//!
//! With a scale as last argument the result has exactly that many digits behind the point, which is how a column with
//! a declared scale is stored; without one it is canonical. NULL gives NULL; aggregates skip it.

use std::cmp::Ordering;

use rusqlite::functions::{Aggregate, Context};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Result};

use crate::sqlite::decimal::{self, Decimal};
use crate::sqlite::functions::{FLAGS, refuse};

/// Two numbers and the scale asked for; `None` is a division by zero.
type Binary = fn(&Decimal, &Decimal, Option<usize>) -> Option<Decimal>;

const BINARY: [(&str, Binary); 6] = [
    ("oxyde_decimal_add", |a, b, _| Some(a.add(b))),
    ("oxyde_decimal_sub", |a, b, _| Some(a.sub(b))),
    ("oxyde_decimal_mul", |a, b, _| Some(a.mul(b))),
    ("oxyde_decimal_div", Decimal::div),
    ("oxyde_decimal_floordiv", |a, b, _| a.floordiv(b)),
    ("oxyde_decimal_mod", |a, b, _| a.rem(b)),
];

type Unary = fn(&Decimal) -> Decimal;

const UNARY: [(&str, Unary); 2] = [
    ("oxyde_decimal_neg", Decimal::neg),
    ("oxyde_decimal_abs", Decimal::abs),
];

pub(super) fn register(db: &Connection) -> Result<()> {
    for (name, compute) in BINARY {
        for arguments in [2, 3] {
            db.create_scalar_function(name, arguments, FLAGS, move |ctx| {
                binary(ctx, name, compute)
            })?;
        }
    }
    for (name, compute) in UNARY {
        for arguments in [1, 2] {
            db.create_scalar_function(name, arguments, FLAGS, move |ctx| {
                let Some(number) = number(ctx, 0, name)? else {
                    return Ok(None);
                };
                Ok(Some(spell(&compute(&number), scale(ctx, 1, name)?)))
            })?;
        }
    }
    for arguments in [1, 2] {
        db.create_scalar_function("oxyde_decimal_round", arguments, FLAGS, round)?;
    }
    db.create_scalar_function("oxyde_decimal_fit", 3, FLAGS, fit)?;
    db.create_scalar_function("oxyde_decimal_key", 1, FLAGS, key)?;
    db.create_aggregate_function("oxyde_decimal_sum", 1, FLAGS, Sum)?;
    db.create_aggregate_function("oxyde_decimal_avg", 1, FLAGS, Average)?;
    db.create_aggregate_function(
        "oxyde_decimal_min",
        1,
        FLAGS,
        Extreme("oxyde_decimal_min", Ordering::Less),
    )?;
    db.create_aggregate_function(
        "oxyde_decimal_max",
        1,
        FLAGS,
        Extreme("oxyde_decimal_max", Ordering::Greater),
    )
}

fn binary(ctx: &Context<'_>, name: &str, compute: Binary) -> Result<Option<String>> {
    let (Some(left), Some(right)) = (number(ctx, 0, name)?, number(ctx, 1, name)?) else {
        return Ok(None);
    };
    let scale = scale(ctx, 2, name)?;
    match compute(&left, &right, scale) {
        Some(result) => Ok(Some(spell(&result, scale))),
        None => Err(refuse(format!("{name}: division by zero"))),
    }
}

fn round(ctx: &mut Context<'_>) -> Result<Option<String>> {
    let name = "oxyde_decimal_round";
    let Some(number) = number(ctx, 0, name)? else {
        return Ok(None);
    };
    let digits = if ctx.len() > 1 {
        match ctx.get_raw(1) {
            ValueRef::Null => return Ok(None),
            ValueRef::Integer(digits) => digits,
            _ => {
                return Err(refuse(format!(
                    "{name}: the number of digits must be an integer"
                )));
            }
        }
    } else {
        0
    };
    Ok(Some(number.round(digits).to_text()))
}

/// For a column that holds `precision` digits, `scale` of them behind the point: rounded to it as other databases do on
/// assignment, and refused as they do where the number does not fit.
fn fit(ctx: &mut Context<'_>) -> Result<Option<String>> {
    let name = "oxyde_decimal_fit";
    let Some(number) = number(ctx, 0, name)? else {
        return Ok(None);
    };
    let (Some(precision), Some(scale)) = (scale(ctx, 1, name)?, scale(ctx, 2, name)?) else {
        return Ok(None);
    };
    let text = number.to_scaled_text(scale);
    let whole = text.trim_start_matches('-').split('.').next().unwrap_or("");
    if whole.trim_start_matches('0').len() > precision.saturating_sub(scale) {
        return Err(refuse(format!(
            "{name}: the number has more than {precision} digits, {scale} of them behind the point"
        )));
    }
    Ok(Some(text))
}

fn key(ctx: &mut Context<'_>) -> Result<Option<Vec<u8>>> {
    let unreadable =
        || refuse("oxyde_decimal_key: the value is not a finite decimal number".to_owned());
    let key = match ctx.get_raw(0) {
        ValueRef::Null => return Ok(None),
        ValueRef::Integer(value) => decimal::key(&value.to_string()),
        ValueRef::Real(value) => decimal::key(&value.to_string()),
        ValueRef::Text(text) => std::str::from_utf8(text).ok().and_then(decimal::key),
        ValueRef::Blob(_) => None,
    };
    key.map(Some).ok_or_else(unreadable)
}

/// An argument as a number; NULL is `None`.
fn number(ctx: &Context<'_>, index: usize, name: &str) -> Result<Option<Decimal>> {
    let number = match ctx.get_raw(index) {
        ValueRef::Null => return Ok(None),
        ValueRef::Integer(value) => Some(Decimal::from_int(value)),
        ValueRef::Real(value) => Decimal::from_real(value),
        ValueRef::Text(text) => std::str::from_utf8(text).ok().and_then(Decimal::parse),
        ValueRef::Blob(_) => None,
    };
    match number {
        Some(number) => Ok(Some(number)),
        None => Err(refuse(format!(
            "{name}: the value is not a finite decimal number"
        ))),
    }
}

fn scale(ctx: &Context<'_>, index: usize, name: &str) -> Result<Option<usize>> {
    if ctx.len() <= index {
        return Ok(None);
    }
    match ctx.get_raw(index) {
        ValueRef::Null => Ok(None),
        ValueRef::Integer(value) => match usize::try_from(value) {
            Ok(scale) => Ok(Some(scale.min(16_383))),
            Err(_) => Err(refuse(format!("{name}: the scale must not be negative"))),
        },
        _ => Err(refuse(format!("{name}: the scale must be an integer"))),
    }
}

fn spell(number: &Decimal, scale: Option<usize>) -> String {
    match scale {
        Some(scale) => number.to_scaled_text(scale),
        None => number.to_text(),
    }
}

struct Sum;

impl Aggregate<Option<Decimal>, Option<String>> for Sum {
    fn init(&self, _: &mut Context<'_>) -> Result<Option<Decimal>> {
        Ok(None)
    }

    fn step(&self, ctx: &mut Context<'_>, sum: &mut Option<Decimal>) -> Result<()> {
        if let Some(next) = number(ctx, 0, "oxyde_decimal_sum")? {
            *sum = Some(match sum {
                Some(sum) => sum.add(&next),
                None => next,
            });
        }
        Ok(())
    }

    fn finalize(
        &self,
        _: &mut Context<'_>,
        sum: Option<Option<Decimal>>,
    ) -> Result<Option<String>> {
        Ok(sum.flatten().map(|sum| sum.to_text()))
    }
}

struct Average;

impl Aggregate<(Decimal, i64), Option<String>> for Average {
    fn init(&self, _: &mut Context<'_>) -> Result<(Decimal, i64)> {
        Ok((Decimal::zero(), 0))
    }

    fn step(&self, ctx: &mut Context<'_>, (sum, count): &mut (Decimal, i64)) -> Result<()> {
        if let Some(next) = number(ctx, 0, "oxyde_decimal_avg")? {
            *sum = sum.add(&next);
            *count = count.saturating_add(1);
        }
        Ok(())
    }

    fn finalize(
        &self,
        _: &mut Context<'_>,
        total: Option<(Decimal, i64)>,
    ) -> Result<Option<String>> {
        let Some((sum, count)) = total else {
            return Ok(None);
        };
        Ok(sum
            .div(&Decimal::from_int(count), None)
            .map(|average| average.to_text()))
    }
}

/// Keeps the value as it is stored: "1.50" of a column with two digits stays "1.50".
struct Extreme(&'static str, Ordering);

impl Aggregate<Option<(Decimal, String)>, Option<String>> for Extreme {
    fn init(&self, _: &mut Context<'_>) -> Result<Option<(Decimal, String)>> {
        Ok(None)
    }

    fn step(&self, ctx: &mut Context<'_>, best: &mut Option<(Decimal, String)>) -> Result<()> {
        let Some(next) = number(ctx, 0, self.0)? else {
            return Ok(());
        };
        if best
            .as_ref()
            .is_none_or(|(best, _)| next.compare(best) == self.1)
        {
            let text = match ctx.get_raw(0) {
                ValueRef::Text(text) => String::from_utf8_lossy(text).into_owned(),
                _ => next.to_text(),
            };
            *best = Some((next, text));
        }
        Ok(())
    }

    fn finalize(
        &self,
        _: &mut Context<'_>,
        best: Option<Option<(Decimal, String)>>,
    ) -> Result<Option<String>> {
        Ok(best.flatten().map(|(_, text)| text))
    }
}
