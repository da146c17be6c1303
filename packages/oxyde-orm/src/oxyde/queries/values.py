"""Queries whose rows are dicts, tuples or single values."""

from __future__ import annotations

from oxyde.queries.builder import ModelT, RowT
from oxyde.queries.terminals import Terminals


class ValuesQuery(Terminals[ModelT, RowT]):
    """What `values()` and `values_list()` give: the query of before with another kind of row.

    rows = await User.objects.filter(age__gte=18).values("id", "name").all()
    """

    __slots__ = ()
