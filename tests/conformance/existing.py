"""Columns that somebody else has made: what is read from them, and what cannot be."""

from __future__ import annotations

from typing import Any

import pytest

from oxyde import execute_raw
from oxyde.exceptions import DataError

from .kinds import Kind, same


async def check_read(model: Any, stored: str, value: Any) -> None:
    """In every way to read it, a value that was stored as SQL is this one, type included."""
    await execute_raw(f"INSERT INTO {model.get_table_name()} (value) VALUES ({stored})")
    for read in (
        (await model.objects.get()).value,
        (await model.objects.filter().validate("full").get()).value,
        (await model.objects.values("value").first())["value"],
        (await model.objects.all(mode="dict"))[0]["value"],
    ):
        assert same(read, value), (read, type(read))
    assert (await model.objects.get()).maybe is None


async def check_unreadable(annotation: Any, key: str, column: str, stored: str, words: str) -> None:
    """A value of a column of another type is an error that says where it is and what was found."""
    model: Any = Kind("mismatch", annotation, (None,)).model()
    table = model.get_table_name()
    await execute_raw(f"CREATE TABLE {table} (id {key} PRIMARY KEY, value {column}, maybe {column})")
    await execute_raw(f"INSERT INTO {table} (id, value) VALUES (7, {stored})")
    with pytest.raises(DataError, match=rf"{table}\.value \(id=7\) cannot be read: .*{words}") as caught:
        await model.objects.all()
    assert (caught.value.table, caught.value.column) == (table, "value")
    # The first row that cannot be read ends the reading, and nothing else.
    await model.objects.filter(id=7).delete()
    assert await model.objects.all() == []
