"""Queries: managers, the immutable Query, conditions and expressions, raw SQL.

adults = await User.objects.filter(User.age >= 18).order_by("-age")[:10]
either = await User.objects.filter(Q(name="Anna") | Q(age__lt=18)).count()
"""

from __future__ import annotations

from oxyde.queries.columns import ColumnRef, F, Value, col, not_
from oxyde.queries.expr import Condition, Expr, Ordering
from oxyde.queries.functions import Abs, Coalesce, Concat, Length, Lower, Now, Upper
from oxyde.queries.manager import QueryManager
from oxyde.queries.q import Q
from oxyde.queries.query import Query
from oxyde.queries.raw import RawSQL, execute_raw, iterate_raw, sql
from oxyde.queries.values import ValuesQuery

__all__ = [
    "Abs",
    "Coalesce",
    "ColumnRef",
    "Concat",
    "Condition",
    "Expr",
    "F",
    "Length",
    "Lower",
    "Now",
    "Ordering",
    "Q",
    "Query",
    "QueryManager",
    "RawSQL",
    "Upper",
    "Value",
    "ValuesQuery",
    "col",
    "execute_raw",
    "iterate_raw",
    "not_",
    "sql",
]
