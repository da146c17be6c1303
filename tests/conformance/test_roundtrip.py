"""What is written is what is read, value and type, whichever way it goes out and comes back."""

from __future__ import annotations

from collections.abc import Callable
from itertools import cycle, islice
from typing import Any

import pytest
from pydantic import TypeAdapter

from oxyde import Model, execute_raw

from .conftest import Tables
from .kinds import KINDS, Kind, same
from .lanes import Lane

NATIVE = {
    "int",
    "str",
    "text",
    "float",
    "bool",
    "decimal",
    "datetime",
    "aware",
    "date",
    "time",
    "timedelta",
    "uuid",
    "bytes",
}
"""Kinds whose values raw SQL takes as parameters."""


def kinds(chosen: Callable[[Kind], bool] = lambda kind: True) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("kind", list(filter(chosen, KINDS)), ids=lambda kind: kind.name)


every = kinds()
# Enums, booleans, JSON and arrays have another order on each database; texts have their collation's.
ordered = kinds(lambda kind: kind.ordered)
native = kinds(lambda kind: kind.name in NATIVE)


@pytest.fixture
async def table(kind: Kind, tables: Tables, lane: Lane) -> type[Model]:
    model = kind.model(lane.types)
    await tables(model)
    return model


def check(kind: Kind, read: Any, written: Any) -> None:
    expected = kind.reads_back(written)
    assert same(read, expected), f"{read!r} ({type(read).__name__}) was read instead of {expected!r}"


@every
async def test_create(kind: Kind, table: Any) -> None:
    for value in kind.values:
        row = await table.objects.create(value=value, maybe=value)
        assert same(row.value, value)
        found = await table.objects.get(id=row.id)
        check(kind, found.value, value)
        check(kind, found.maybe, value)


@every
async def test_null(kind: Kind, table: Any) -> None:
    row = await table.objects.create(value=kind.values[0])
    assert row.maybe is None
    found = await table.objects.filter(maybe=None).get()
    assert found.maybe is None
    await table.objects.filter(id=row.id).update(maybe=kind.values[-1])
    check(kind, (await table.objects.get(id=row.id)).maybe, kind.values[-1])
    assert await table.objects.update(maybe=None) == 1
    assert (await table.objects.filter(maybe__isnull=True).get()).maybe is None


@every
async def test_bulk_create_of_instances(kind: Kind, table: Any) -> None:
    rows = [table(value=value, maybe=value) for value in kind.values]
    stored = await table.objects.bulk_create([*rows, table(value=kind.values[0])])
    found = await table.objects.order_by("id")
    assert [row.id for row in stored] == [row.id for row in found]
    for row, value in zip(found, kind.values, strict=False):
        check(kind, row.value, value)
        check(kind, row.maybe, value)
    assert found[-1].maybe is None


@every
async def test_bulk_create_of_dicts_that_returns(kind: Kind, table: Any) -> None:
    rows = await table.objects.bulk_create([{"value": value} for value in kind.values], returning=True)
    for row, value in zip(rows, kind.values, strict=True):
        check(kind, row.value, value)


@every
async def test_bulk_create_of_many(kind: Kind, table: Any) -> None:
    """More rows than one INSERT is the fastest way for."""
    values = list(islice(cycle(kind.values), 520))
    stored = await table.objects.bulk_create([table(value=value, maybe=value) for value in values])
    found = await table.objects.order_by("id")
    assert [row.id for row in stored] == [row.id for row in found]
    for row, value in zip(found, values, strict=True):
        check(kind, row.value, value)
        check(kind, row.maybe, value)


@every
async def test_update(kind: Kind, table: Any) -> None:
    row = await table.objects.create(value=kind.values[0])
    for value in kind.values:
        assert await table.objects.filter(id=row.id).update(value=value) == 1
        check(kind, (await table.objects.get(id=row.id)).value, value)
        (returned,) = await table.objects.filter(id=row.id).update(value=value, maybe=value, returning=True)
        check(kind, returned.value, value)
        check(kind, returned.maybe, value)


@every
async def test_save(kind: Kind, table: Any) -> None:
    row = table(value=kind.values[0])
    for value in kind.values:
        row.value = value
        await row.save()
        check(kind, (await table.objects.get(id=row.id)).value, value)
    assert await table.objects.count() == 1


@every
async def test_save_of_what_was_loaded_changes_nothing(kind: Kind, table: Any) -> None:
    for value in kind.values:
        row = await table.objects.create(value=value, maybe=value)
        await (await table.objects.get(id=row.id)).save()
        found = await table.objects.get(id=row.id)
        check(kind, found.value, value)
        check(kind, found.maybe, value)


@every
async def test_filter(kind: Kind, table: Any) -> None:
    rows = [await table.objects.create(value=value) for value in kind.values]
    keys = {row.id for row in rows}
    for row, value in zip(rows, kind.values, strict=True):
        equal = set(await table.objects.filter(value=value).values_list("id", flat=True))
        assert row.id in equal
        assert equal == set(await table.objects.filter(value__in=[value]).values_list("id", flat=True))
        assert keys - equal == set(await table.objects.filter(value__ne=value).values_list("id", flat=True))
        assert keys - equal == set(await table.objects.filter(value__not_in=[value]).values_list("id", flat=True))
        assert keys - equal == set(await table.objects.exclude(value=value).values_list("id", flat=True))
    assert await table.objects.filter(value__in=list(kind.values)).count() == len(keys)


@every
async def test_kinds_of_result(kind: Kind, table: Any) -> None:
    for value in kind.values:
        await table.objects.create(value=value)
    for mode in ("models", "dict", "list", "values", "values_list", "flat"):
        query = table.objects.order_by("id")
        if mode == "models":
            read = [row.value for row in await query.validate("full")]
        elif mode == "dict":
            read = [row["value"] for row in await query.all(mode="dict")]
        elif mode == "list":
            read = [row[1] for row in await query.all(mode="list")]
        elif mode == "values":
            read = [row["value"] for row in await query.values("value")]
        elif mode == "values_list":
            read = [row[0] for row in await query.values_list("value", "id")]
        else:
            read = await query.values_list("value", flat=True)
        for found, value in zip(read, kind.values, strict=True):
            check(kind, found, value)


@ordered
async def test_order(kind: Kind, table: Any) -> None:
    await table.objects.bulk_create([{"value": value} for value in kind.values])
    ascending = sorted(map(kind.reads_back, kind.values))
    assert await table.objects.order_by("value").values_list("value", flat=True) == ascending
    assert await table.objects.order_by("-value").values_list("value", flat=True) == ascending[::-1]
    for position, value in enumerate(ascending):
        assert await table.objects.filter(value__lt=value).count() == position
        assert await table.objects.filter(value__gte=value).count() == len(ascending) - position
    between = await table.objects.filter(value__between=(ascending[0], ascending[1])).order_by("value")
    assert [row.value for row in between] == ascending[:2]


@native
async def test_raw_parameters(kind: Kind, table: Any, lane: Lane) -> None:
    """A native value as a parameter of raw SQL is stored as the column stores it."""
    for value in kind.values:
        row = await table.objects.create(value=kind.values[0])
        await execute_raw(lane.sql(f"UPDATE {table.get_table_name()} SET value = ? WHERE id = ?"), [value, row.id])
        check(kind, (await table.objects.get(id=row.id)).value, value)
        stored = await execute_raw(lane.sql(f"SELECT id FROM {table.get_table_name()} WHERE value = ?"), [value])
        assert row.id in [found["id"] for found in stored]


@every
async def test_json_mode(kind: Kind, table: Any) -> None:
    for value in kind.values:
        try:
            table(value=value).model_dump_json()
        except ValueError:
            continue  # Pydantic has no JSON form for it either: bytes that are no UTF-8, an arbitrary class
        await table.objects.create(value=value)
    rows = await table.objects.order_by("id")
    assert await table.objects.order_by("id").all(mode="json") == TypeAdapter(list[table]).dump_json(rows)
