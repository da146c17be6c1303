"""Look-ups that are answered on the spot leave time to everybody else."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from .harness import on, scaled
from .programs.common import Account

pytestmark = on("file")

LOOK_UPS = scaled(100_000)


async def look_up(times: int = LOOK_UPS) -> None:
    for n in range(times):
        await Account.objects.get(id=n % 40 + 1)


async def test_a_second_task_progresses(opened: Any) -> None:
    database = await opened(accounts=40)
    gaps: list[float] = []

    async def tick() -> None:
        # The loop's own time: what other programs make it wait is not what is asked.
        before = time.thread_time()
        while True:
            await asyncio.sleep(0)
            now = time.thread_time()
            gaps.append(now - before)
            before = now

    ticking = asyncio.create_task(tick())
    acquired = database.stats()["acquired"]
    await look_up()
    ticking.cancel()
    # Really answered on the spot: they needed no connection of the pool.
    assert database.stats()["acquired"] - acquired < LOOK_UPS / 100
    assert len(gaps) >= LOOK_UPS / 20
    gaps.sort()
    assert gaps[len(gaps) * 99 // 100] < 0.005
    assert gaps[-1] < 0.5


@pytest.mark.parametrize("tasks", [1, 10])
async def test_a_timeout_fires(opened: Any, tasks: int) -> None:
    await opened(accounts=40)
    started = time.monotonic()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await asyncio.gather(*(look_up() for _ in range(tasks)))
    assert 0.1 <= time.monotonic() - started < 0.4


async def test_a_cancellation_arrives(opened: Any) -> None:
    await opened(accounts=40)
    task = asyncio.create_task(look_up())
    await asyncio.sleep(0.02)
    task.cancel()
    started = time.monotonic()
    await asyncio.wait((task,))
    assert task.cancelled()
    assert time.monotonic() - started < 0.2


async def test_writers_and_readers_are_served_beside_look_ups(opened: Any) -> None:
    """Answers that come from the engine's threads are taken in between."""
    database = await opened(accounts=40)
    looking = asyncio.create_task(look_up(LOOK_UPS * 20))
    await asyncio.sleep(0)
    done = 0
    while not looking.done() and done < 200:
        await Account.objects.filter(id=1).update(balance=-done)
        assert await Account.objects.filter(balance=100).count() == 39
        done += 1
    assert done == 200
    looking.cancel()
    await asyncio.wait((looking,))
    assert database.stats()["in_use"] == 0


async def test_inline_can_be_switched_off(opened: Any) -> None:
    database = await opened(accounts=40, sqlite_inline=False)
    acquired = database.stats()["acquired"]
    await look_up(100)
    assert database.stats()["acquired"] - acquired == 100
