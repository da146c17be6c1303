"""How much later than its limit every wait ends, on databases that work and on servers that have fallen silent."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from statistics import median
from typing import Any

from oxyde import AsyncDatabase, OxydeError, PoolSettings, atomic, execute_raw
from oxyde.exceptions import (
    CommitUnknownError,
    ConnectError,
    LockTimeoutError,
    PoolTimeoutError,
    QueryTimeoutError,
    TransactionTimeoutError,
)
from tests.servers.proxy import Proxy

from .figures import figure
from .harness import SERVERS, Where, on, scaled
from .programs.common import ENDLESS, Account, database_at, long

LIMIT = 0.1
PROMISED = 0.2


async def late(wanted: type[OxydeError], wait: Callable[[], Awaitable[object]]) -> float:
    started = time.monotonic()
    try:
        await wait()
    except wanted:
        return time.monotonic() - started - LIMIT
    raise AssertionError(f"{wanted.__name__} was not raised")


def told(where: Where, name: str, overshoots: list[float]) -> None:
    print(name, sorted(overshoots))
    figure("overshoot", where, *overshoots)
    assert min(overshoots) > -0.01
    # One may be late because the machine had no time for us.
    assert median(overshoots) < PROMISED, (name, overshoots)


async def updated() -> None:
    await Account.objects.filter(id=1).update(balance=1)


async def in_block(work: Callable[[], Awaitable[object]], **options: Any) -> None:
    async with atomic(**options):
        await work()


@on("file", *SERVERS)
async def test_statements_and_transactions(opened: Any, where: Where) -> None:
    await opened(accounts=3)
    async with AsyncDatabase(where.url, name="limited", settings=PoolSettings(statement_timeout=LIMIT)):
        overshoots = [
            await late(QueryTimeoutError, lambda: execute_raw(long(ENDLESS), using="limited"))
            for _ in range(scaled(10))
        ]
    told(where, "statement", overshoots)
    overshoots = [
        await late(TransactionTimeoutError, lambda: in_block(lambda: execute_raw(long(ENDLESS)), timeout=LIMIT))
        for _ in range(scaled(10))
    ]
    told(where, "transaction", overshoots)


@on("file", *SERVERS)
async def test_connections_and_locks(opened: Any, where: Where) -> None:
    await (await opened(accounts=3)).disconnect()
    # The writer of a file is one anyway.
    database = database_at(where.url, acquire_timeout=LIMIT, max_connections=1 if where.kind in SERVERS else 2)
    other = AsyncDatabase(where.url, name="other", auto_register=False)
    async with database, other:
        holding, until = asyncio.Event(), asyncio.Event()

        async def hold() -> None:
            async with atomic(using=other if where.kind in SERVERS else database):
                await Account.objects.using(other if where.kind in SERVERS else database).filter(id=1).update(balance=2)
                holding.set()
                await until.wait()

        holder = asyncio.create_task(hold())
        await holding.wait()
        if where.kind in SERVERS:
            limited = database_at(where.url, name="limited", lock_timeout=LIMIT)
            async with limited:
                update = Account.objects.using("limited").filter(id=1)
                overshoots = [await late(LockTimeoutError, lambda: update.update(balance=3)) for _ in range(scaled(10))]
            # InnoDB counts in seconds.
            if where.kind == "postgres":
                told(where, "lock", overshoots)
            waiting = asyncio.create_task(in_block(until.wait))
            while database.stats()["in_use"] < 1:
                await asyncio.sleep(0.001)
        else:
            waiting = holder
        told(where, "acquire", [await late(PoolTimeoutError, updated) for _ in range(scaled(10))])
        until.set()
        await asyncio.gather(holder, waiting)


@on(*SERVERS)
async def test_silent_servers(opened: Any, where: Where) -> None:
    await (await opened(accounts=3)).disconnect()
    overshoots: dict[str, list[float]] = {"connect": [], "statement": [], "transaction": [], "commit": []}
    for _ in range(scaled(5)):
        with Proxy(where.url) as proxy:
            settings: dict[str, Any] = {"ssl_mode": "disable", "connect_timeout": LIMIT}
            async with database_at(proxy.url, statement_timeout=LIMIT, **settings):
                await Account.objects.count()
                proxy.blackhole()
                overshoots["statement"].append(await late(QueryTimeoutError, updated))
                proxy.reset()
            async with database_at(proxy.url, **settings):

                async def silenced(proxy: Proxy = proxy) -> None:
                    proxy.blackhole()
                    await updated()

                told_off = await late(TransactionTimeoutError, lambda work=silenced: in_block(work, timeout=LIMIT))
                overshoots["transaction"].append(told_off)
                proxy.reset()
            async with database_at(proxy.url, commit_timeout=LIMIT, **settings):
                block = atomic()
                await block.__aenter__()
                await updated()
                proxy.blackhole()
                overshoots["commit"].append(
                    await late(CommitUnknownError, lambda block=block: block.__aexit__(None, None, None))
                )
            overshoots["connect"].append(await late(ConnectError, database_at(proxy.url, **settings).connect))
    for name, found in overshoots.items():
        told(where, name, found)
