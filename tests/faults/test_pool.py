"""What a pool says of itself when it is full, how long waits take, and how it ends."""

from __future__ import annotations

import asyncio
import contextlib
import math
import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from oxyde import AsyncDatabase, atomic, db, execute_raw, iterate_raw
from oxyde.db import register_connection
from oxyde.exceptions import OperationalError, OxydeError, PoolTimeoutError

from .harness import SERVERS, Where, no_transactions
from .programs.common import ENDLESS, Account, Entry, long, quiet

BOUNDS = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, math.inf]


@contextmanager
def lasts(at_least: float, at_most: float) -> Iterator[None]:
    started = time.monotonic()
    yield
    assert at_least <= time.monotonic() - started <= at_most


class Holder:
    """A transaction that holds a connection for writing until it is let go."""

    def __init__(self) -> None:
        self._held, self._enough = asyncio.Event(), asyncio.Event()
        self.line = 0
        self._task = asyncio.create_task(self._hold())

    async def _hold(self) -> None:
        self.line = sys._getframe().f_lineno + 1
        async with atomic():
            self._held.set()
            await self._enough.wait()

    async def __aenter__(self) -> Holder:
        await self._held.wait()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._enough.set()
        await self._task


async def test_numbers_of_a_pool(opened: Any) -> None:
    database: AsyncDatabase = await opened(accounts=3, max_connections=1, acquire_timeout=0.3)
    before = database.stats()
    assert list(before["waits"]) == BOUNDS
    assert sum(before["waits"].values()) == before["acquired"]
    assert (before["in_use"], before["longest_hold"], before["longest_holder"]) == (0, None, None)
    async with Holder() as holder:
        waiting = asyncio.create_task(Account.objects.filter(id=1).update(balance=7))
        while database.stats()["waiting"] != 1:
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.06)
        now = database.stats()
        assert (now["in_use"], now["waiting"]) == (1, 1)
        assert now["longest_hold"] >= 0.06
        assert now["longest_holder"] == f"{__file__}:{holder.line}"
    assert await waiting == 1
    after = database.stats()
    # The transaction and the update, of which one has waited.
    assert after["acquired"] - before["acquired"] == 2
    waited = {bound: after["waits"][bound] - before["waits"][bound] for bound in BOUNDS}
    assert sum(waited.values()) == 2
    assert sum(waited[bound] for bound in BOUNDS if bound > 0.05) == 1
    assert after["waited"] - before["waited"] >= 0.06
    assert after["size"] == after["idle"]
    assert (after["lost"], after["timeouts"]) == (before["lost"], before["timeouts"])


async def test_who_has_held_a_connection_for_the_longest_time(opened: Any) -> None:
    database: AsyncDatabase = await opened(accounts=3, max_connections=1, acquire_timeout=0.1)
    async with Holder() as holder:
        with pytest.raises(PoolTimeoutError) as caught:
            await Account.objects.filter(id=1).update(balance=7)
    message = str(caught.value)
    assert "in_use 1 of 1, waiting 1" in message
    assert re.search(r"the longest holder for \d+\.\d s is the transaction begun at ", message)
    assert f"{__file__}:{holder.line}" in message
    assert database.stats()["timeouts"] == 1
    await quiet(database)


@pytest.mark.parametrize("observed", [False, True], ids=["unobserved", "observed"])
@pytest.mark.parametrize("how", ["kept", "kept with a transaction", "stream of a query", "stream of raw SQL"])
async def test_what_else_holds_a_connection_is_named(opened: Any, where: Where, how: str, observed: bool) -> None:
    if "stream" in how and where.kind not in SERVERS:
        pytest.skip("streams and writes take different connections")
    settings = {"slow_query_threshold": 60} if observed else {}
    database: AsyncDatabase = await opened(accounts=30, max_connections=1, acquire_timeout=0.1, **settings)
    held, enough, line = asyncio.Event(), asyncio.Event(), 0

    async def hold() -> None:
        nonlocal line
        if how == "stream of a query":
            line = sys._getframe().f_lineno + 1
            async for _ in Account.objects.order_by("id").iterate(10):
                held.set()
                await enough.wait()
        elif how == "stream of raw SQL":
            line = sys._getframe().f_lineno + 1
            async for _ in iterate_raw("SELECT id FROM faults_account", chunk_size=10):
                held.set()
                await enough.wait()
        else:
            line = sys._getframe().f_lineno + 1
            async with database.connection() as conn, contextlib.AsyncExitStack() as stack:
                if how != "kept":
                    await stack.enter_async_context(atomic(connection=conn))
                held.set()
                await enough.wait()

    holder = asyncio.create_task(hold())
    await held.wait()
    with pytest.raises(PoolTimeoutError) as caught:
        await Account.objects.filter(id=1).update(balance=7)
    what = "transaction begun" if "stream" in how else "kept connection asked for"
    assert re.search(r"the longest holder for [0-9.]+ s is the ", str(caught.value))
    assert f" s is the {what} at {__file__}:{line}" in str(caught.value)
    assert database.stats()["longest_holder"] == f"{__file__}:{line}"
    enough.set()
    await holder
    await quiet(database)
    assert database.stats()["longest_holder"] is None


async def test_no_more_than_so_many_wait(opened: Any) -> None:
    database: AsyncDatabase = await opened(accounts=3, max_connections=1, max_waiting=2)
    async with Holder():
        waiting = [asyncio.create_task(Account.objects.filter(id=n).update(balance=7)) for n in (1, 2)]
        while database.stats()["waiting"] != 2:
            await asyncio.sleep(0.001)
        with lasts(0, 0.1), pytest.raises(PoolTimeoutError, match="too many callers wait") as caught:
            await Account.objects.filter(id=3).update(balance=7)
        assert (caught.value.retryable, caught.value.outcome) == (True, "not_applied")
        assert "waiting 2" in str(caught.value)
    assert await asyncio.gather(*waiting) == [1, 1]
    assert (await Account.objects.get(id=3)).balance == 100
    await quiet(database)


async def test_first_come_first_served(opened: Any) -> None:
    """Statements and blocks alike."""
    await opened(accounts=1, max_connections=1)
    order: list[int] = []

    async def wait(number: int) -> None:
        if number % 2:
            async with atomic():
                order.append(number)
                await asyncio.sleep(0)
        else:
            await Account.objects.filter(id=1).update(balance=number)
            order.append(number)

    async with Holder():
        waiting = []
        for number in range(20):
            waiting.append(asyncio.create_task(wait(number)))
            await asyncio.sleep(0)
    await asyncio.gather(*waiting)
    assert order == list(range(20))


async def test_who_is_cancelled_leaves_the_queue(opened: Any) -> None:
    """At once, and what they asked for never happens."""
    database: AsyncDatabase = await opened(accounts=3, max_connections=1)
    async with Holder():
        waiting = [asyncio.create_task(Account.objects.filter(id=n).update(balance=7)) for n in (1, 2)]
        while database.stats()["waiting"] != 2:
            await asyncio.sleep(0.001)
        waiting[0].cancel()
        await asyncio.wait(waiting[:1])
        assert database.stats()["waiting"] == 1
    assert await waiting[1] == 1
    assert await Account.objects.order_by("id").values_list("balance", flat=True) == [100, 7, 100]
    await quiet(database)


# -- the end


async def test_closing_waits_for_what_runs(opened: Any) -> None:
    database: AsyncDatabase = await opened(accounts=3)
    async with Holder():
        closing = asyncio.create_task(database.disconnect(timeout=5))
        await asyncio.sleep(0.05)
        assert not closing.done()
        with pytest.raises(OperationalError, match="not connected"):
            await Account.objects.count()
    with lasts(0, 1):
        await closing


async def test_closing_stops_what_goes_on(opened: Any, where: Where) -> None:
    database: AsyncDatabase = await opened(accounts=3, max_connections=3)
    running = asyncio.create_task(execute_raw(long(ENDLESS)))
    written = asyncio.Event()

    async def block() -> None:
        async with atomic():
            await Entry.objects.create(nonce="closed")
            written.set()
            await asyncio.sleep(3600)

    blocked = asyncio.create_task(block())
    await written.wait()
    while database.stats()["in_use"] != 2:
        await asyncio.sleep(0.001)
    with lasts(0.2, 1.5):
        await database.disconnect(timeout=0.2)
    with pytest.raises(OperationalError):
        await running
    blocked.cancel()
    await asyncio.gather(blocked, return_exceptions=True)
    if where.kind == "postgres":
        no_transactions()
    await database.connect()
    assert await Entry.objects.count() == 0


async def test_all_databases_are_closed_in_the_time_of_one(opened: Any, where: Where) -> None:
    first: AsyncDatabase = await opened(accounts=1)
    other = await AsyncDatabase("sqlite://:memory:", name="other", auto_register=False)
    register_connection(other)
    blocks = [atomic(using=name) for name in ("default", "other")]
    for block in blocks:
        await block.__aenter__()
    with lasts(0.3, 1.0):
        await db.close(timeout=0.3)
    assert not first.connected
    assert not other.connected
    for block in reversed(blocks):
        with pytest.raises(OxydeError):
            await block.__aexit__(None, None, None)
