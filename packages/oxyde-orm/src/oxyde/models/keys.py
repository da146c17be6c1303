"""The unique keys of a table, as its model declares them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from oxyde.models.decorators import Unique
from oxyde.models.naming import shorten
from oxyde.models.tableoptions import table_options

if TYPE_CHECKING:
    from oxyde.models.info import ModelInfo


def unique_keys(info: ModelInfo) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """The unique keys of all rows beside the primary key: the name in the database, and the fields (none: expressions).

    A key on a single column that says so itself is called like the column on MySQL and MariaDB, which ask for this.
    """
    options = table_options(info.cls)
    alone = [column for column in info.columns if column.options.unique and info.pk != (column,)]
    found: list[tuple[str, tuple[str, ...]]] = [(column.column, (column.name,)) for column in alone]
    items: list[tuple[Any, str]] = [(Unique(group), "key") for group in options.unique_together]
    items += [(item, "key") for item in options.constraints if isinstance(item, Unique)]
    items += [(index, "idx") for index in options.indexes if index.unique]
    by_column = {column.column: column for column in info.columns}
    for item, suffix in items:
        if item.where is not None:
            continue
        names = [field_name(field) for field in item.fields]
        columns = [info.by_name.get(name) or by_column.get(name) for name in names if name is not None]
        known = [column for column in columns if column is not None]
        fields = tuple(column.name for column in known) if len(known) == len(names) else ()
        default = "_".join([info.table, *(column.column for column in known), suffix])
        found.append((shorten(item.name or default), fields))
    return tuple(found)


def field_name(item: Any) -> str | None:
    """The field that an index item names: a string, a class attribute or `F("…")`."""
    if isinstance(item, str):
        return item
    return getattr(item, "name", None) if type(item).__name__ in {"ColumnRef", "F"} else None
