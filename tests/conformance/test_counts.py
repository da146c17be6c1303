"""Guards of the hot path that count instead of timing: compilations, trips, wake-ups, Python calls, memory blocks."""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from oxyde import AsyncDatabase, F, Field, Model, atomic

from .conftest import Tables
from .lanes import LANES, Lane

FILE = [lane for lane in LANES if lane.name == "sqlite-file"]
"""Look-ups and single writes of a SQLite file stay on the calling thread; other lanes have figures of their own."""
SERVERS = [lane for lane in LANES if lane.family != "sqlite"]


class Counted(Model):
    id: int | None = Field(default=None, db_pk=True)
    name: str
    size: int

    class Meta:
        is_table = True
        table_name = "conf_counted"


@pytest.fixture
async def rows(tables: Tables) -> None:
    await tables(Counted)
    await Counted.objects.bulk_create([Counted(name=f"n{number}", size=number) for number in range(1_000)])


async def compiled(database: AsyncDatabase, work: Callable[[int], Awaitable[Any]], times: int) -> int:
    before = database.stats()["compiled"]
    for number in range(times):
        await work(number)
    return database.stats()["compiled"] - before


async def test_a_shape_is_compiled_once(database: AsyncDatabase, rows: None) -> None:
    async def window(number: int) -> None:
        await Counted.objects.filter(size__gte=number).order_by("-size")[number + 1 : number + 6]

    async def members(number: int) -> None:
        assert await Counted.objects.filter(size__in=range(number)).count() == number

    async def add(number: int) -> None:
        await Counted.objects.filter(id=number).update(size=F("size") + number)

    assert await compiled(database, window, 1_000) == 1
    assert await compiled(database, members, 100) == 1
    assert await compiled(database, add, 100) == 1
    assert await compiled(database, lambda number: Counted.objects.get(id=number + 1), 1_000) == 1
    assert await compiled(database, lambda number: Counted.objects.create(name="new", size=number), 100) == 1


async def trips(database: AsyncDatabase, work: Callable[[], Awaitable[Any]]) -> int:
    """How often a connection was taken. The first time, the engine looks at the plan of a write."""
    await work()
    before = database.stats()["acquired"]
    await work()
    return database.stats()["acquired"] - before


async def test_operations_take_one_connection(database: AsyncDatabase, rows: None) -> None:
    async def transaction() -> None:
        async with atomic():
            await Counted.objects.create(name="a", size=1)
            async with atomic():
                await Counted.objects.filter(name="a").update(size=2)
            assert await Counted.objects.filter(name="a").count() > 0

    async def bulk() -> None:
        # Not so many that they go another way: PostgreSQL's COPY needs keys first, MySQL several statements.
        await Counted.objects.bulk_create([Counted(name="b", size=number) for number in range(400)])

    assert await trips(database, lambda: Counted.objects.filter(size__gte=10).all()) == 1
    assert await trips(database, lambda: Counted.objects.create(name="c", size=1)) == 1
    assert await trips(database, lambda: Counted.objects.filter(size__lt=10).update(size=0)) == 1
    assert await trips(database, lambda: Counted.objects.filter(name="c").delete()) == 1
    assert await trips(database, bulk) == 1
    assert await trips(database, transaction) == 1


async def wake_ups(work: Callable[[], Awaitable[Any]]) -> int:
    """How often a thread or a connection has woken the loop."""
    selector: Any = asyncio.get_running_loop()._selector  # type: ignore[attr-defined]
    original, woken = selector.select, 0

    def select(timeout: float | None = None) -> Any:
        nonlocal woken
        events = original(timeout)
        woken += len(events)
        return events

    selector.select = select
    try:
        await work()
    finally:
        selector.select = original
    return woken


@pytest.mark.standard_loop
@pytest.mark.parametrize("lane", FILE, indirect=True, ids=lambda lane: lane.name)
async def test_wake_ups(lane: Lane, database: AsyncDatabase, rows: None) -> None:
    async def look_up() -> None:
        for number in range(1, 101):
            await Counted.objects.get(id=number)

    async def many() -> None:
        await asyncio.gather(*(Counted.objects.filter(size__gte=number).count() for number in range(200)))

    for _ in range(2):  # the first time, query plans are looked at
        looked_up = await wake_ups(look_up)
        updated = await wake_ups(lambda: Counted.objects.filter(id=5).update(size=5))
    assert (looked_up, updated) == (0, 0)
    assert await wake_ups(lambda: Counted.objects.filter(size__gte=0).all()) == 1
    assert 1 <= await wake_ups(many) <= 200


@pytest.mark.standard_loop
@pytest.mark.parametrize("lane", SERVERS, indirect=True, ids=lambda lane: lane.name)
async def test_only_the_answer_of_a_server_wakes_the_loop(database: AsyncDatabase, rows: None) -> None:
    async def look_up() -> None:
        for _ in range(100):
            await Counted.objects.get(id=1)

    await Counted.objects.get(id=1)
    # No descriptor but the connection's own, once for each answer.
    assert 100 <= await wake_ups(look_up) <= 105


async def test_python_calls_of_a_look_up(database: AsyncDatabase, rows: None) -> None:
    await Counted.objects.get(id=1)
    names: list[str] = []

    def profile(frame: Any, event: str, _: Any) -> None:
        if event == "call" and frame.f_globals.get("__name__", "").startswith("oxyde"):
            names.append(frame.f_code.co_name)

    sys.setprofile(profile)
    try:
        await Counted.objects.get(id=2)
    finally:
        sys.setprofile(None)
    # `get` is called and, where the answer comes from a thread, resumed once.
    assert names in (["get", "resolve"], ["get", "resolve", "get"])


async def test_memory_blocks_of_a_row(database: AsyncDatabase, rows: None, tmp_path: Path) -> None:
    """An instance, its dict with its keys, and one object for each value that Python does not share."""
    await Counted.objects.all()
    gc.collect()
    before = sys.getallocatedblocks()
    found = await Counted.objects.all()
    gc.collect()
    per_row = (sys.getallocatedblocks() - before) / len(found)
    assert len(found) == 1_000
    assert per_row < 3 + 3 + 0.5
