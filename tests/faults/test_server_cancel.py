"""Cancelling on a server: it stops, nobody else is hit, and connections come back whole."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from typing import Any

import pytest

from oxyde import atomic, execute_raw
from oxyde.exceptions import QueryTimeoutError
from tests.servers.proxy import Proxy

from .figures import figure
from .harness import SERVERS, WIRE, Where, check, no_transactions, on, scaled
from .programs.common import ENDLESS, Entry, ask, database_at, long, quiet, sleep

pytestmark = on(*WIRE)


NUMBERS = "n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500)"
MANY_ROWS = f"WITH RECURSIVE {NUMBERS} SELECT repeat('x', 1000) AS x FROM n, n AS m"


def counting(where: Where) -> int:
    """How many sessions are at the work of `long()`."""
    at_work = {"active", "Query", "Execute"}
    sessions = SERVERS[where.kind].sessions("faults")
    return sum(state in at_work and "AS counted" in (query or "") for _, state, query in sessions)


async def gone(where: Where, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while counting(where):
        assert time.monotonic() < deadline, SERVERS[where.kind].sessions("faults")
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("inside", [False, True], ids=["autocommit", "transaction"])
async def test_the_server_stops(opened: Any, where: Where, inside: bool) -> None:
    # Work, not sleep: MariaDB needs seconds for a SLEEP() that is killed at the same time as another.
    database = await opened()

    async def victim() -> None:
        if inside:
            async with atomic():
                await Entry.objects.create(nonce="lost")
                await execute_raw(long(ENDLESS))
        else:
            await execute_raw(long(ENDLESS))

    tasks = [asyncio.create_task(victim()) for _ in range(5)]
    while counting(where) < 5:
        await asyncio.sleep(0.01)
    started = time.monotonic()
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    # The callers go on at once.
    assert time.monotonic() - started < 0.5
    await gone(where, 1.0)
    figure("stopped", where, time.monotonic() - started)
    await quiet(database)
    no_transactions(where.kind)
    assert await Entry.objects.count() == 0
    # Drained and used again, not thrown away.
    assert database.stats()["lost"] == 0


async def test_a_timeout_around_a_query(opened: Any) -> None:
    database = await opened(max_connections=1)
    for _ in range(5):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await execute_raw(f"SELECT {sleep(60)}")
        # The only connection is there for the next one soon.
        async with asyncio.timeout(2):
            assert await execute_raw("SELECT 1 AS one") == [{"one": 1}]
    assert database.stats()["size"] == 1


async def test_no_bystander_is_hit(opened: Any, where: Where, seed: int) -> None:
    """Thousands of cancellations, many of them too late: everybody else gets an answer, and their own."""
    database = await opened(max_connections=5)
    chance = random.Random(seed)
    seen: Counter[str] = Counter()
    stop = asyncio.Event()

    async def bystander(name: int) -> None:
        while not stop.is_set():
            seen["bystander"] += 1
            nonce = f"{name}-{seen['bystander']}"
            (row,) = await ask(f"SELECT CAST(? AS TEXT) AS nonce, {sleep()}", nonce, chance.random() / 500)
            assert row["nonce"] == nonce
            assert (await Entry.objects.create(nonce=nonce)).nonce == nonce

    async def victim() -> None:
        try:
            await ask(f"SELECT {sleep()}", chance.random() / 200)
            seen["done"] += 1
        except asyncio.CancelledError:
            seen["cancelled"] += 1
            raise

    bystanders = [asyncio.create_task(bystander(n)) for n in range(3)]
    for _ in range(scaled(20)):
        victims = [asyncio.create_task(victim()) for _ in range(50)]
        for task in victims:
            asyncio.get_running_loop().call_later(chance.random() / 20, task.cancel)
        _, pending = await asyncio.wait(victims, timeout=30)
        assert not pending
        errors = [task.exception() for task in victims if not task.cancelled() and task.exception()]
        assert not errors, errors
        assert not any(task.done() for task in bystanders), bystanders
    stop.set()
    await asyncio.gather(*bystanders)
    assert seen["cancelled"] > scaled(100), seen
    assert seen["bystander"] > 20, seen
    figure("cancelled", where, seen["cancelled"])
    figure("nonces", where, seen["bystander"])
    await quiet(database)
    no_transactions(where.kind)


async def test_a_request_that_comes_too_late(opened: Any, proxy: Proxy) -> None:
    """The statement has ended by itself before the server hears that it is to be stopped: the next one is not hit."""
    await (await opened()).disconnect()
    database = database_at(proxy.url, ssl_mode="disable", max_connections=1)
    await database.connect()
    for n in range(2):
        victim = asyncio.create_task(execute_raw(f"SELECT {sleep(0.3)}"))
        await asyncio.sleep(0.1)
        connections = proxy.stats()["accepted"]
        proxy.delay(600, "up")
        victim.cancel()
        await asyncio.to_thread(proxy.wait, "accepted", connections + 1)
        await asyncio.sleep(0.1)
        # What has been read keeps its delay: the request is on its way until the victim is long over.
        proxy.reset()
        (row,) = await ask(f"SELECT CAST(? AS TEXT) AS nonce, {sleep(0.8)} AS slept", f"{n}")
        # MySQL's function answers 1 when it is interrupted.
        assert (row["nonce"], row["slept"] or None) == (f"{n}", None)
        assert (await Entry.objects.create(nonce=f"{n}")).nonce == f"{n}"
    assert victim.cancelled()
    assert database.stats()["lost"] == 0
    await quiet(database)
    await database.disconnect()


async def test_a_request_that_comes_too_early(opened: Any, proxy: Proxy) -> None:
    """The server hears that it is to stop a statement before it hears of the statement: it is told once more."""
    await (await opened()).disconnect()
    database = database_at(proxy.url, ssl_mode="disable", max_connections=1)
    await database.connect()
    assert await execute_raw("SELECT 1 AS one") == [{"one": 1}]
    proxy.delay(500, "up")
    victim = asyncio.create_task(execute_raw(f"SELECT {sleep(60)}"))
    await asyncio.sleep(0.1)
    proxy.reset()
    victim.cancel()
    await asyncio.wait((victim,))
    await quiet(database, 3)
    # Stopped, not given up.
    assert database.stats()["lost"] == 0
    assert await execute_raw("SELECT 1 AS one") == [{"one": 1}]
    await database.disconnect()


async def test_a_function_that_answers_when_it_is_stopped(opened: Any) -> None:
    """MySQL's SLEEP() has a result for that; whoever ran into a limit is not given it."""
    database = await opened(statement_timeout=0.3)
    for inside in (False, True):
        with pytest.raises(QueryTimeoutError):
            if inside:
                async with atomic():
                    await execute_raw(f"SELECT {sleep(60)}")
            else:
                await execute_raw(f"SELECT {sleep(60)}")
    await quiet(database)


async def test_a_cancelled_reader_of_many_rows(opened: Any, where: Where) -> None:
    """The rest of a large answer is thrown away or the connection is; the next query is not held up by it."""
    database = await opened(max_connections=2)
    for _ in range(5):
        task = asyncio.create_task(execute_raw(MANY_ROWS))
        await asyncio.sleep(0.05)
        task.cancel()
        await asyncio.wait((task,))
        assert task.cancelled()
        async with asyncio.timeout(3):
            assert await execute_raw("SELECT 'own' AS answer") == [{"answer": "own"}]
    await quiet(database, 3)
    check(where)
