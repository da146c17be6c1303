"""The lookup tables: which `field__lookup` names exist and which column types have them.

A lookup is a name after the last double underscore of a filter keyword.  Each belongs to one family, and the
family decides what value it takes and which contract node it becomes (`oxyde.queries.lookups`):

    compare   one value of the field's own type           exact ne gt gte lt lte
    member    any iterable of such values                 in not_in
    bounds    two of them                                 between range
    null      a bool                                      isnull
    array     a list of such values                     contains contained_by overlap, of fields with a list
    match     a string, whatever string type the field has   contains … iregex

To add a lookup: a row here, its node in `oxyde_core.ir`, its SQL in the compiler, one conformance case.
"""

from __future__ import annotations

from typing import Final

from oxyde_core.types import TypeTag, kind_of

__all__ = [
    "ARRAY",
    "BOUNDS",
    "COMPARE",
    "EQUALITY",
    "LOOKUPS",
    "MATCH",
    "MEMBER",
    "ORDERED",
    "ORDERED_KINDS",
    "RANGE",
    "TEXT_KINDS",
    "is_ordered",
    "is_text",
    "lookups_for",
]

COMPARE: Final[dict[str, str]] = {"exact": "eq", "ne": "ne", "gt": "gt", "gte": "gte", "lt": "lt", "lte": "lte"}
"""Comparison lookups and their contract operators."""

MEMBER: Final[tuple[str, ...]] = ("in", "not_in")
"""Lookups that take an iterable."""

BOUNDS: Final[tuple[str, ...]] = ("between", "range")
"""Lookups that take a pair; two names for one meaning."""

EQUALITY: Final[tuple[str, ...]] = ("exact", "ne", "in", "not_in", "isnull")
"""What every field has."""

ORDERED: Final[tuple[str, ...]] = ("gt", "gte", "lt", "lte", "between", "range")
"""What a field has besides where its type is ordered."""

MATCH: Final[tuple[str, ...]] = (
    "contains",
    "icontains",
    "startswith",
    "istartswith",
    "endswith",
    "iendswith",
    "iexact",
    "like",
    "ilike",
    "regex",
    "iregex",
)
"""What a string field has besides.  Case-sensitive on every database, the `i…` twins case-insensitive for all of
Unicode; `%`, `_` and a backslash are literal except in `like` and `ilike`."""

ORDERED_KINDS: Final[frozenset[str]] = frozenset(
    {
        "big_integer",
        "integer",
        "small_integer",
        "double",
        "real",
        "decimal",
        "text",
        "string",
        "date_time",
        "date_time_utc",
        "date",
        "time",
        "timedelta",
        "uuid",
        "blob",
    }
)
"""Types whose order is the same on every database.  Not enums (declaration order on one database, text order on
another), booleans, JSON and arrays."""

TEXT_KINDS: Final[frozenset[str]] = frozenset({"text", "string"})
"""Types that have the string lookups."""

ARRAY: Final[tuple[str, ...]] = ("contains", "contained_by", "overlap", "length")
"""What a field with a list of plain values has besides.  `length` is that of the list, `tags__0` its first item; both
take the lookups of what they are (`tags__length__gt`, `tags__0__startswith`)."""

RANGE: Final[tuple[str, ...]] = EQUALITY + ORDERED + ARRAY[:3]
"""What a field with a range has; the other side is a range or one value."""

LOOKUPS: Final[tuple[str, ...]] = EQUALITY + ORDERED + MATCH + ARRAY[1:]
"""Every lookup name."""


def is_ordered(tag: TypeTag) -> bool:
    """Whether `<` and ORDER BY mean the same on every database for this type."""
    return kind_of(tag) in ORDERED_KINDS


def is_text(tag: TypeTag) -> bool:
    """Whether the type is a string."""
    return kind_of(tag) in TEXT_KINDS


def lookups_for(tag: TypeTag) -> tuple[str, ...]:
    """The lookups of a column type, in the order in which error messages list them.

    >>> lookups_for("boolean")
    ('exact', 'ne', 'in', 'not_in', 'isnull')
    """
    more = ARRAY if kind_of(tag) == "array" else MATCH if is_text(tag) else ()
    return EQUALITY + (ORDERED if is_ordered(tag) else ()) + more
