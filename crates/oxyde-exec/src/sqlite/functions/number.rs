//! `oxyde_int`, `oxyde_floordiv`, `oxyde_mod`, `oxyde_pow`: numbers as Python has them.

use rusqlite::functions::Context;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Result};

use crate::sqlite::functions::{FLAGS, refuse};

pub(super) fn register(db: &Connection) -> Result<()> {
    // SQLite turns an integer sum that is too large into a float without a word.
    db.create_scalar_function("oxyde_int", 1, FLAGS, |ctx| match ctx.get_raw(0) {
        ValueRef::Null => Ok(None),
        ValueRef::Integer(value) => Ok(Some(value)),
        _ => Err(refuse("oxyde_int: integer overflow".to_owned())),
    })?;
    for (name, compute) in [
        ("oxyde_floordiv", floordiv as fn(f64, f64) -> f64),
        ("oxyde_mod", modulo),
        ("oxyde_pow", f64::powf),
    ] {
        db.create_scalar_function(name, 2, FLAGS, move |ctx| {
            let (Some(a), Some(b)) = (float(ctx, 0, name)?, float(ctx, 1, name)?) else {
                return Ok(None);
            };
            if b == 0.0 && name != "oxyde_pow" {
                return Err(refuse(format!("{name}: division by zero")));
            }
            let result = compute(a, b);
            if result.is_finite() {
                Ok(Some(result))
            } else {
                Err(refuse(format!("{name}: the result is out of range")))
            }
        })?;
    }
    Ok(())
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
