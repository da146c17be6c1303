"""`class Meta`: what a model says about its table.

The options belong to one class and are not inherited: a subclass of a table is another table or none.  They are read
before Pydantic generates the schema, because only a table has foreign keys and lists of related rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from oxyde.models.decorators import Check, Index, Unique
from oxyde.models.naming import nearest, shorten

__all__ = ["TableOptions", "table_options"]


@dataclass(frozen=True, slots=True)
class TableOptions:
    """The checked options of one class."""

    is_table: bool = False
    table_name: str = ""
    schema: str | None = None
    comment: str | None = None
    indexes: tuple[Index, ...] = ()
    constraints: tuple[Check | Unique, ...] = ()
    unique_together: tuple[tuple[str, ...], ...] = ()
    ordering: tuple[Any, ...] = ()
    database: str | None = None


_KNOWN: Final = tuple(TableOptions.__dataclass_fields__)
_TEXTS: Final = ("table_name", "schema", "comment", "database")


def table_options(cls: type) -> TableOptions:
    """The options of exactly this class.

    Raises TypeError for an unknown option, naming the nearest one, or a value of the wrong type.
    """
    found: TableOptions | None = cls.__dict__.get("__oxyde_options__")
    if found is None:
        found = _parse(cls)
        type.__setattr__(cls, "__oxyde_options__", found)
    return found


def _parse(cls: type) -> TableOptions:
    meta = cls.__dict__.get("Meta")
    given: dict[str, Any] = {}
    # `class Meta(Base.Meta)` inherits because the program says so.
    for base in reversed(meta.__mro__[:-1]) if isinstance(meta, type) else ():
        given.update({name: value for name, value in vars(base).items() if not name.startswith("__")})
    owner = f"{cls.__qualname__}.Meta"
    for name in given:
        if name not in _KNOWN:
            raise TypeError(f"{owner} has no option {name!r}{nearest(name, _KNOWN)} (known: {', '.join(_KNOWN)})")
    if not isinstance(given.setdefault("is_table", False), bool):
        raise TypeError(f"{owner}.is_table is True or False, not {given['is_table']!r}")
    for name in _TEXTS:
        value = given.get(name)
        if value is not None and not (isinstance(value, str) and value and "\0" not in value):
            raise TypeError(f"{owner}.{name} is a non-empty string, not {value!r}")
    given["table_name"] = shorten(given.get("table_name") or cls.__name__.lower())
    given["indexes"] = _items(owner, "indexes", given.get("indexes"), (Index,))
    given["constraints"] = _items(owner, "constraints", given.get("constraints"), (Check, Unique))
    given["unique_together"] = _together(owner, given.get("unique_together"))
    ordering = given.get("ordering") or ()
    given["ordering"] = (ordering,) if isinstance(ordering, str) else tuple(ordering)
    return TableOptions(**given)


def _items(owner: str, name: str, value: Any, kinds: tuple[type, ...]) -> tuple[Any, ...]:
    items = tuple(value or ())
    for item in items:
        if not isinstance(item, kinds):
            expected = " or ".join(kind.__name__ for kind in kinds)
            raise TypeError(f"{owner}.{name} holds {expected} objects, not {item!r}")
    return items


def _together(owner: str, value: Any) -> tuple[tuple[str, ...], ...]:
    groups: tuple[Any, ...] = tuple(value or ())
    if groups and all(isinstance(item, str) for item in groups):
        groups = (groups,)
    checked = []
    for group in groups:
        if isinstance(group, str) or not all(isinstance(name, str) for name in group) or not group:
            raise TypeError(f"{owner}.unique_together is a list of tuples of field names, not {value!r}")
        checked.append(tuple(group))
    return tuple(checked)
