//! `//` and `%` of floats as Python has them, which PostgreSQL lacks.
//!
//! The quotient of two doubles is rounded before it can be cut off, so that
//! `1.0 // 0.1` would be 10 where Python says 9. Exact is the remainder: it is
//! computed with integers of any size from the bits of both doubles, and the
//! rest follows CPython's steps, which are the same machine operations here.

use sea_query::Expr as Sea;

use super::ME;
use crate::dialect::fragment::{call, template};
use crate::ir::ArithOp;

/// Each query names what the next one needs. OFFSET 0 keeps the planner from
/// putting the expressions in the places of their names, of which there are many.
const HEAD: &str = "SELECT ";
const FLOOR_DIVISION: &str = "floor(d) + CASE WHEN d - floor(d) > 0.5 THEN 1 ELSE 0 END \
FROM (SELECT (a - r) / b - CASE WHEN r <> 0 AND (r < 0) <> (b < 0) THEN 1 ELSE 0 END AS d FROM ";
const MODULO: &str = "CASE WHEN r <> 0 AND (r < 0) <> (b < 0) THEN r + b ELSE r END FROM ";
/// The remainder with the sign of the dividend: C's `fmod`.
const REMAINDER: &str = "(SELECT a, b, CASE \
WHEN b = 0 THEN a / b WHEN a = 'NaN' OR b = 'NaN' OR abs(a) = 'Infinity' THEN 'NaN' \
WHEN abs(a) < abs(b) THEN a \
ELSE sign(a) * CAST(mod(m * power(2::NUMERIC, e - least(e, f)), n * power(2::NUMERIC, f - least(e, f))) \
AS DOUBLE PRECISION) * power(2::DOUBLE PRECISION, least(e, f) - 1075) END AS r \
FROM (SELECT a, b, \
(x & 4503599627370495) + CASE WHEN x >> 52 = 0 THEN 0 ELSE 4503599627370496 END AS m, \
greatest(x >> 52, 1) AS e, \
(y & 4503599627370495) + CASE WHEN y >> 52 = 0 THEN 0 ELSE 4503599627370496 END AS n, \
greatest(y >> 52, 1) AS f \
FROM (SELECT a, b, \
CAST(CAST('x' || encode(float8send(abs(a)), 'hex') AS BIT(64)) AS BIGINT) AS x, \
CAST(CAST('x' || encode(float8send(abs(b)), 'hex') AS BIT(64)) AS BIGINT) AS y \
FROM (SELECT ";
const TAIL: &str =
    " AS b OFFSET 0) AS given OFFSET 0) AS bits OFFSET 0) AS parts OFFSET 0) AS divided";

/// The quotient or the remainder of two doubles.
pub(super) fn division(op: ArithOp, a: Sea, b: Sea) -> Sea {
    let (result, end) = match op {
        ArithOp::FloorDiv => (FLOOR_DIVISION, " OFFSET 0) AS quotient"),
        _ => (MODULO, ""),
    };
    let before = [HEAD, result, REMAINDER].concat();
    let after = [TAIL, end].concat();
    call("", [template(ME, &[&before, " AS a, ", &after], [a, b])])
}
