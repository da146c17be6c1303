"""Expressions: what may stand for a value in a query.

Nothing is looked up while an expression is written; names are resolved against the model of the query that uses
it.  Comparisons make conditions, and conditions combine with `&`, `|`, `^` and `~` into `Q`.

    >>> User.objects.filter((User.age >= 18) & ~col(User.name).startswith("x")).order_by("-age")   # doctest: +SKIP
    >>> User.objects.update(views=F("views") + 1)                                                  # doctest: +SKIP

This module only gathers the names; `expr` has the operators, `columns` fields and values, `functions` functions.
"""

from __future__ import annotations

from oxyde.queries.columns import ColumnRef, F, Value, col, not_
from oxyde.queries.expr import Arithmetic, Condition, Expr, Negative, Ordering
from oxyde.queries.functions import Abs, Coalesce, Concat, Length, Lower, Now, Upper

__all__ = [
    "Abs",
    "Arithmetic",
    "Coalesce",
    "ColumnRef",
    "Concat",
    "Condition",
    "Expr",
    "F",
    "Length",
    "Lower",
    "Negative",
    "Now",
    "Ordering",
    "Upper",
    "Value",
    "col",
    "not_",
]
