"""Type tags: how the Python side names a column or parameter type to the core.

A tag is a plain string for types without arguments and a tuple for the others.  Tags are part of the
query contract (`oxyde_core.ir`) and, written as dicts, of the schema document.

    "big_integer"  "integer"  "small_integer"  "double"  "real"  "boolean"  "text"
    "date_time"  "date_time_utc"  "date"  "time"  "timedelta"  "uuid"  "blob"  "json"
    ("string", max_length)      ("decimal", precision | None, scale | None)
    ("enum", name, (value, …))  ("array", item tag)
"""

from __future__ import annotations

from typing import Final, TypeAlias

TypeTag: TypeAlias = "str | tuple[object, ...]"
"""One type: a name, or a tuple whose first item is the name."""

SIMPLE_KINDS: Final[frozenset[str]] = frozenset(
    {
        "big_integer",
        "integer",
        "small_integer",
        "double",
        "real",
        "boolean",
        "text",
        "date_time",
        "date_time_utc",
        "date",
        "time",
        "timedelta",
        "uuid",
        "blob",
        "json",
    }
)
"""The kinds written as a plain string."""

COMPOUND_KINDS: Final[frozenset[str]] = frozenset({"string", "decimal", "enum", "array"})
"""The kinds written as a tuple."""


def kind_of(tag: TypeTag) -> str:
    """The kind of a type: its name without arguments.

    >>> kind_of(("decimal", 10, 2))
    'decimal'
    """
    return tag if isinstance(tag, str) else str(tag[0])


def array_of(item: TypeTag) -> TypeTag:
    """The type of a list of `item` (also the type of an `in` parameter).

    >>> array_of("uuid")
    ('array', 'uuid')
    """
    return ("array", item)
