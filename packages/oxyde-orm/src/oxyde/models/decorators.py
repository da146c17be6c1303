"""Indexes and constraints of a table, for `class Meta`.

    class Meta:
        is_table = True
        indexes = [Index(["last_name", "first_name"]), Index(["email"], unique=True, where=Q(deleted=False))]
        constraints = [Check(Q(age__gte=18)), Unique(["owner", "slug"])]

Fields are Python field names, columns (`User.email`) or expressions; they and every predicate are resolved when the
schema is described, so that an unknown name is an error that names the model.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

__all__ = ["Check", "Index", "Unique"]


def _fields_of(fields: Any, owner: str) -> tuple[Any, ...]:
    if isinstance(fields, str) or not isinstance(fields, Iterable):
        fields = (fields,)
    found = tuple(fields)
    if not found:
        raise ValueError(f"{owner} needs at least one field")
    return found


def _text_or_none(value: object, what: str) -> None:
    if value is not None and not (isinstance(value, str) and value):
        raise TypeError(f"{what} takes a non-empty string, not {value!r}")


class Index:
    """An index over one or more fields.

    `where` makes it partial (a predicate, or SQL text), `include` adds columns that are only stored, `opclasses` names
    operator classes by field.  Without `name` it is called `{table}_{columns}_idx`.  What a database does not have is
    an error when the table is created, never left out.
    """

    __slots__ = ("fields", "include", "method", "name", "opclasses", "unique", "where")

    def __init__(
        self,
        fields: Any,
        *,
        method: str | None = None,
        name: str | None = None,
        unique: bool = False,
        where: Any = None,
        include: Iterable[Any] = (),
        opclasses: Mapping[str, str] | None = None,
    ) -> None:
        _text_or_none(name, "Index(name=…)")
        _text_or_none(method, "Index(method=…)")
        self.fields = _fields_of(fields, "an Index")
        self.method = method
        self.name = name
        self.unique = unique
        self.where = where
        self.include = tuple(include) if not isinstance(include, str) else (include,)
        self.opclasses = dict(opclasses) if opclasses else None

    def __repr__(self) -> str:
        return f"Index({list(self.fields)!r}, name={self.name!r}, unique={self.unique})"


class Check:
    """A condition that every row meets: a predicate (`Q(age__gte=18)`, `User.age >= 18`) or SQL text.

    Without `name` it is called `chk_{table}_{n}`, n counting the table's unnamed checks from 1.
    """

    __slots__ = ("condition", "name")

    def __init__(self, condition: Any, name: str | None = None) -> None:
        _text_or_none(name, "Check(name=…)")
        if isinstance(condition, bool):
            # `Check(User.age is not None)`, or a comparison that Python answered itself.
            raise TypeError("Check takes a predicate such as Q(age__gte=18), or SQL text; this condition is a bool")
        self.condition = condition
        self.name = name

    def __repr__(self) -> str:
        return f"Check({self.condition!r}, name={self.name!r})"


class Unique:
    """A unique constraint over one or more fields; `where` makes it partial.

    `nulls_distinct=False` lets NULL equal NULL, `deferrable` (True, "immediate", "deferred") delays the check to the
    end of the transaction.  Without `name` it is called `{table}_{columns}_key`.
    """

    __slots__ = ("deferrable", "fields", "name", "nulls_distinct", "where")

    def __init__(
        self,
        fields: Any,
        *,
        name: str | None = None,
        where: Any = None,
        deferrable: bool | Literal["immediate", "deferred"] | None = None,
        nulls_distinct: bool | None = None,
    ) -> None:
        _text_or_none(name, "Unique(name=…)")
        if deferrable not in (None, True, False, "immediate", "deferred"):
            raise ValueError(f"deferrable is True, False, 'immediate' or 'deferred', not {deferrable!r}")
        self.fields = _fields_of(fields, "a Unique")
        self.name = name
        self.where = where
        self.deferrable = deferrable
        self.nulls_distinct = nulls_distinct

    def __repr__(self) -> str:
        return f"Unique({list(self.fields)!r}, name={self.name!r})"
