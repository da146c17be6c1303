"""A pool of connections to a server: who holds them, and what becomes of it when the server is silent."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from oxyde import AsyncDatabase, atomic, execute_raw
from oxyde.exceptions import (
    ConnectError,
    ConnectionLostError,
    OperationalError,
    PoolTimeoutError,
    QueryTimeoutError,
)
from tests.servers.proxy import Proxy

from .harness import SERVERS, Where, on
from .programs.common import ENDLESS, Account, Entry, database_at, long, quiet

pytestmark = on(*SERVERS)


@contextmanager
def lasts(at_least: float, at_most: float) -> Iterator[None]:
    started = time.monotonic()
    yield
    assert at_least <= time.monotonic() - started <= at_most


async def test_a_statement_that_holds_the_connection(opened: Any) -> None:
    database: AsyncDatabase = await opened(accounts=3, max_connections=1, acquire_timeout=0.1)
    task = asyncio.create_task(execute_raw(long(ENDLESS)))
    while database.stats()["in_use"] != 1:
        assert not task.done(), task
        await asyncio.sleep(0.001)
    with pytest.raises(PoolTimeoutError, match="is a statement outside of a transaction"):
        await Account.objects.filter(id=1).update(balance=7)
    assert database.stats()["longest_holder"] is None
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await quiet(database)


async def test_closing_a_server_that_is_silent(opened: Any, where: Where) -> None:
    """Nothing answers any more, not even the requests to stop."""
    await (await opened(accounts=3)).disconnect()
    with Proxy(where.url) as proxy:
        database = database_at(proxy.url, ssl_mode="disable")
        await database.connect()
        await asyncio.gather(*(Account.objects.count() for _ in range(3)))
        proxy.blackhole()
        tasks = [asyncio.create_task(Account.objects.count()) for _ in range(3)]

        async def block() -> None:
            async with atomic():
                await Entry.objects.create(nonce="never")

        tasks.append(asyncio.create_task(block()))
        await asyncio.sleep(0.05)
        with lasts(0.3, 2.5):
            await database.disconnect(timeout=0.3)
        done, late = await asyncio.wait(tasks, timeout=1)
        assert not late
        assert all(isinstance(task.exception(), OperationalError) for task in done)


async def is_refused() -> bool:
    try:
        await Account.objects.count()
    except QueryTimeoutError:
        return True
    return False


async def test_closing_what_nobody_else_knows(opened: Any, where: Where, caplog: pytest.LogCaptureFixture) -> None:
    """The limits hold although all statements have been answered, and nobody holds what has to watch over them."""
    await (await opened(accounts=3)).disconnect()
    with Proxy(where.url) as proxy:
        database = database_at(proxy.url, ssl_mode="disable", statement_timeout=0.1)
        await database.connect()
        await asyncio.gather(*(Account.objects.count() for _ in range(3)))
        proxy.blackhole()
        refused = [await is_refused() for _ in range(3)]
        assert refused == [True] * 3
        # The error's traceback knows the call, which knows the database; and the loop knows it until its next turn.
        await asyncio.sleep(0.01)
        gc.collect()
        with lasts(0.3, 2.2):
            await database.disconnect(timeout=0.3)
    assert not caplog.records


async def test_a_database_that_is_forgotten(opened: Any, where: Where) -> None:
    """Nobody disconnects it: its connections go when the object does, what runs ends first."""
    await (await opened(accounts=3)).disconnect()
    with Proxy(where.url) as proxy:
        database = AsyncDatabase(proxy.url, auto_register=False)
        await database.connect()
        running = [asyncio.create_task(Account.objects.using(database).count()) for _ in range(4)]
        await asyncio.sleep(0)
        assert proxy.stats()["open"] > 0
        del database
        assert await asyncio.gather(*running) == [3] * 4
        del running
        gc.collect()
        async with asyncio.timeout(2):
            while proxy.stats()["open"]:
                await asyncio.sleep(0.01)


async def test_nobody_is_there(where: Where) -> None:
    with Proxy(where.url) as proxy:
        proxy.refuse()
        with lasts(0, 1), pytest.raises(ConnectError):
            await database_at(proxy.url).connect()


async def test_a_server_that_refuses_is_not_overrun(opened: Any, where: Where) -> None:
    """After a failed attempt nobody tries for a while, however many would; and everybody is told."""
    await (await opened()).disconnect()
    with Proxy(where.url) as proxy:
        database = database_at(proxy.url, ssl_mode="disable", max_connections=4)
        await database.connect()
        # Whoever comes is let in and thrown out.
        proxy.cut_after(1, "up")
        proxy.cut_after(1, "down")
        proxy.cut()
        before = proxy.stats()["accepted"]
        started = time.monotonic()
        while time.monotonic() - started < 2:
            with pytest.raises((ConnectError, ConnectionLostError)):
                await Entry.objects.create(nonce="never")
        # At first after 50 ms, then ever less often, twice a second at most.
        assert 3 <= proxy.stats()["accepted"] - before < 30
        proxy.reset()
        async with asyncio.timeout(2):
            await Entry.objects.create(nonce="after")
        assert await Entry.objects.values_list("nonce", flat=True) == ["after"]
        await database.disconnect()
