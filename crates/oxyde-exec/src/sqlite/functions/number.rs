//! `oxyde_int`, `oxyde_div`, `oxyde_floordiv`, `oxyde_mod`, `oxyde_pow`: numbers as Python has them.

use rusqlite::functions::Context;
use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, Result};

use crate::sqlite::functions::{FLAGS, refuse};

pub(super) fn register(db: &Connection) -> Result<()> {
    // SQLite turns an integer sum that is too large into a float without a word.
    db.create_scalar_function("oxyde_int", 1, FLAGS, |ctx| match ctx.get_raw(0) {
        ValueRef::Null => Ok(None),
        ValueRef::Integer(value) => Ok(Some(value)),
        _ => Err(refuse("oxyde_int: integer overflow".to_owned())),
    })?;
    for (name, compute, whole) in [
        ("oxyde_div", (|a, b| a / b) as fn(f64, f64) -> f64, None),
        ("oxyde_floordiv", floordiv, Some(int_floordiv as Whole)),
        ("oxyde_mod", modulo, Some(int_modulo as Whole)),
        ("oxyde_pow", f64::powf, None),
    ] {
        db.create_scalar_function(name, 2, FLAGS, move |ctx| binary(ctx, name, compute, whole))?;
    }
    Ok(())
}

/// An operation on integers; `None` is an overflow.
type Whole = fn(i64, i64) -> Option<i64>;

fn binary(
    ctx: &Context<'_>,
    name: &str,
    compute: fn(f64, f64) -> f64,
    whole: Option<Whole>,
) -> Result<Value> {
    let (Some(a), Some(b)) = (float(ctx, 0, name)?, float(ctx, 1, name)?) else {
        return Ok(Value::Null);
    };
    if b == 0.0 && name != "oxyde_pow" {
        return Err(refuse(format!("{name}: division by zero")));
    }
    if let (Some(whole), ValueRef::Integer(a), ValueRef::Integer(b)) =
        (whole, ctx.get_raw(0), ctx.get_raw(1))
    {
        return whole(a, b)
            .map(Value::Integer)
            .ok_or_else(|| refuse(format!("{name}: integer overflow")));
    }
    let result = compute(a, b);
    if result.is_finite() {
        Ok(Value::Real(result))
    } else {
        Err(refuse(format!("{name}: the result is out of range")))
    }
}

fn int_floordiv(a: i64, b: i64) -> Option<i64> {
    let quotient = a.checked_div(b)?;
    let rest = a.checked_rem(b)?;
    if rest != 0 && (rest < 0) != (b < 0) {
        quotient.checked_sub(1)
    } else {
        Some(quotient)
    }
}

fn int_modulo(a: i64, b: i64) -> Option<i64> {
    // The least integer by -1 is an overflow to the processor only.
    let rest = a.wrapping_rem(b);
    if rest != 0 && (rest < 0) != (b < 0) {
        rest.checked_add(b)
    } else {
        Some(rest)
    }
}

fn float(ctx: &Context<'_>, index: usize, name: &str) -> Result<Option<f64>> {
    match ctx.get_raw(index) {
        ValueRef::Null => Ok(None),
        // What Python's float() of the other operand does, too.
        ValueRef::Integer(value) => Ok(Some(value as f64)),
        ValueRef::Real(value) => Ok(Some(value)),
        _ => Err(refuse(format!("{name}: the value is not a number"))),
    }
}

/// The sign of the divisor, as Python's `%`.
fn modulo(a: f64, b: f64) -> f64 {
    let rest = a % b;
    if rest != 0.0 && (rest < 0.0) != (b < 0.0) {
        rest + b
    } else {
        rest
    }
}

/// Python's `//`: exact with `modulo`, unlike `(a / b).floor()`.
fn floordiv(a: f64, b: f64) -> f64 {
    let quotient = (a - modulo(a, b)) / b;
    let floor = quotient.floor();
    if quotient - floor > 0.5 {
        floor + 1.0
    } else {
        floor
    }
}
