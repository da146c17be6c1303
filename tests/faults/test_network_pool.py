"""A pool of connections to a server: who holds them, and what becomes of it when the server is silent."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from oxyde import AsyncDatabase, atomic, execute_raw
from oxyde.exceptions import ConnectError, OperationalError, PoolTimeoutError
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


async def test_nobody_is_there(where: Where) -> None:
    with Proxy(where.url) as proxy:
        proxy.refuse()
        with lasts(0, 1), pytest.raises(ConnectError):
            await database_at(proxy.url).connect()
