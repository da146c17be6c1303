"""What upserts give back on MySQL and MariaDB: the rows as they are stored, whatever their keys look like."""

from __future__ import annotations

from typing import Any

import pytest

from oxyde import Field, Model, atomic, execute_raw, outside_transaction

from .conftest import Tables
from .lanes import mysql

pytestmark = mysql


class Held(Model):
    id: int | None = Field(default=None, db_pk=True)
    name: str = Field(db_unique=True, max_length=50)
    count: int = 0
    note: str | None = None

    class Meta:
        is_table = True
        table_name = "conf_held"


@pytest.fixture(autouse=True)
async def rows(tables: Tables) -> None:
    await tables(Held)
    await Held.objects.bulk_create([{"name": "a", "count": 1}, {"name": "b", "count": 2}])


async def upsert(rows: list[dict[str, Any]]) -> list[tuple[int | None, str, int, str | None]]:
    found = await Held.objects.bulk_create(
        rows, on_conflict="update", conflict_fields=["name"], update_fields=["count"], returning=True
    )
    assert len({id(row) for row in found}) == len(found)
    return [(row.id, row.name, row.count, row.note) for row in found]


async def test_nothing_changed_in_a_transaction_that_has_read_before() -> None:
    """Others have changed the rows since, to just what is written: a plain SELECT would show what they were."""
    async with atomic():
        assert (await Held.objects.get(name="a")).count == 1
        async with outside_transaction():
            await Held.objects.filter(name="a").update(count=10, note="theirs")
            await Held.objects.create(name="c", count=30, note="theirs")
        found = await upsert([{"name": "a", "count": 10}, {"name": "c", "count": 30}])
        assert [row[1:] for row in found] == [("a", 10, "theirs"), ("c", 30, "theirs")]


async def test_keys_that_only_the_database_takes_for_equal() -> None:
    await execute_raw("ALTER TABLE conf_held MODIFY name VARCHAR(50) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci")
    found = await upsert([{"name": "A", "count": 10}, {"name": "ü", "count": 3}, {"name": "b", "count": 20}])
    assert [row[1:] for row in found] == [("a", 10, None), ("ü", 3, None), ("b", 20, None)]
    assert [row[0] for row in found][::2] == [1, 2]
    found = await upsert([{"name": "U", "count": 4}, {"name": "B", "count": 21}])
    assert [row[1:] for row in found] == [("ü", 4, None), ("b", 21, None)]


async def test_a_key_that_is_given_twice() -> None:
    """The last one is the row that is there in the end."""
    found = await upsert([{"name": "a", "count": 10}, {"name": "c", "count": 3}, {"name": "a", "count": 11}])
    stored = [(row.id, row.name, row.count, row.note) for row in await Held.objects.order_by("name")]
    assert stored == [(1, "a", 11, None), (2, "b", 2, None), found[1]]
    assert [row[:2] for row in found][::2] == [(1, "a"), (1, "a")]
    assert found[2] == stored[0]


async def test_numbers_that_were_left_out() -> None:
    """Without `returning` the instances get the keys of the rows that were there."""
    given = [Held(name=name, count=count) for count, name in enumerate(["b", "c", "a", "d"])]
    kept = await Held.objects.bulk_create(given, on_conflict="update", conflict_fields=["name"])
    assert kept == given
    assert {row.name: row.id for row in given} == {row.name: row.id for row in await Held.objects.all()}
    assert (given[2].id, given[0].id) == (1, 2)
