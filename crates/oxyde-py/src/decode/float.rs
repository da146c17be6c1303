//! REAL → `float`. An INTEGER cell in a float column (a table made without REAL affinity) is read if exact.

use oxyde_exec::cells::CellRef;
use pyo3::prelude::*;
use pyo3::types::PyFloat;

use super::{Decoded, unreadable};

pub fn sqlite<'py>(py: Python<'py>, cell: CellRef<'_>) -> Decoded<'py> {
    let number = match cell {
        CellRef::Real(number) => number,
        CellRef::Int(number) => {
            let high = i32::try_from(number >> 32).unwrap_or(0);
            let low = u32::try_from(number & 0xffff_ffff).unwrap_or(0);
            // Two exact halves; beyond 53 bits their sum is exact only for some integers.
            let float = f64::from(high) * 4_294_967_296.0 + f64::from(low);
            if number.unsigned_abs() > 1 << 53 && format!("{float:.0}") != number.to_string() {
                return Err(unreadable(cell, "a float"));
            }
            float
        }
        other => return Err(unreadable(other, "a float")),
    };
    Ok(PyFloat::new(py, number).into_any())
}
