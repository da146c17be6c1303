"""Every wait has an end: for a connection, for a lock, for a statement; and being stopped hits nobody else."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Any

import pytest

from oxyde import atomic, execute_raw
from oxyde.exceptions import (
    LockTimeoutError,
    PoolTimeoutError,
    QueryTimeoutError,
    TransactionRolledBackError,
    TransactionTimeoutError,
)

from .harness import SERVERS, Holder, Where, check, lasts, on
from .programs.common import ENDLESS, Account, Entry, long, long_write, quiet


async def held(until: asyncio.Event, holding: asyncio.Event) -> None:
    async with atomic():
        holding.set()
        await until.wait()


@on("file", "memory", *SERVERS)
async def test_acquire_timeout(opened: Any, where: Where) -> None:
    # Whose writer is the only one, or who has only one connection.
    database = await opened(acquire_timeout=0.3, max_connections=1 if where.kind in SERVERS else 10)
    until, holding = asyncio.Event(), asyncio.Event()
    holder = asyncio.create_task(held(until, holding))
    await holding.wait()

    async def begin() -> None:
        async with atomic():
            raise AssertionError("there is one connection")

    attempts = {
        "autocommit": lambda: Entry.objects.create(nonce="never"),
        "bulk": lambda: Entry.objects.bulk_create([Entry(nonce="never")]),
        "raw": lambda: execute_raw("DELETE FROM faults_entry"),
        "transaction": begin,
    }
    for name, attempt in attempts.items():
        with lasts(0.3, 0.8), pytest.raises(PoolTimeoutError) as caught:
            await attempt()
        assert isinstance(caught.value, TimeoutError), name
        assert caught.value.outcome == "not_applied"
        assert "in_use 1 of 1, waiting 1, the longest holder for" in str(caught.value), name
    # Many at once: each after its own time, none left in the queue.
    with lasts(0.3, 0.9):
        results = await asyncio.gather(*(attempts["autocommit"]() for _ in range(50)), return_exceptions=True)
    assert {type(result) for result in results} == {PoolTimeoutError}
    assert database.stats()["waiting"] == 0
    until.set()
    await holder
    assert (await Entry.objects.create(nonce="after")).nonce == "after"
    assert await Entry.objects.count() == 1


@on("file")
async def test_a_lock_of_another_process(opened: Any, where: Where) -> None:
    database = await opened(accounts=3, sqlite_busy_timeout=300)
    with Holder(where, "BEGIN IMMEDIATE") as holder:
        with lasts(0.25, 0.9), pytest.raises(LockTimeoutError) as caught:
            await Entry.objects.create(nonce="never")
        assert caught.value.retryable
        with lasts(0.25, 0.9), pytest.raises(LockTimeoutError):
            async with atomic():
                raise AssertionError("the file is locked")
        # Readers do not care.
        assert (await Account.objects.get(id=2)).owner == "owner-2"
        # Who waits for the lock can be cancelled at once.
        task = asyncio.create_task(Entry.objects.create(nonce="never"))
        await asyncio.sleep(0.05)
        with lasts(0.0, 0.3):
            task.cancel()
            await asyncio.wait((task,))
            await quiet(database)
        assert task.cancelled()
        # And gets it as soon as it is free.
        task = asyncio.create_task(Entry.objects.create(nonce="now"))
        await asyncio.sleep(0.1)
        holder.let_go()
        await task
    assert await Entry.objects.values_list("nonce", flat=True) == ["now"]


@on("file")
async def test_who_waits_for_a_lock_can_be_cancelled(opened: Any, where: Where) -> None:
    """Not after the time that a lock may take, but at once; and so can who has a limit of their own."""
    database = await opened(sqlite_busy_timeout=20_000)
    with Holder(where, "BEGIN IMMEDIATE"):
        task = asyncio.create_task(Entry.objects.create(nonce="never"))
        await asyncio.sleep(0.1)
        with lasts(0.0, 2.0):
            task.cancel()
            await asyncio.wait((task,))
            await quiet(database)
        with lasts(0.2, 2.0), pytest.raises(TransactionTimeoutError):
            async with atomic(timeout=0.2):
                raise AssertionError("the file is locked")
        await quiet(database)
    assert await Entry.objects.count() == 0


@on("file", "memory", *SERVERS)
async def test_statement_timeout(opened: Any, where: Where) -> None:
    database = await opened(accounts=3, statement_timeout=0.3)
    with lasts(0.3, 0.8), pytest.raises(QueryTimeoutError) as caught:
        await execute_raw(long(ENDLESS))
    assert isinstance(caught.value, TimeoutError)
    await quiet(database, 0.2)
    # A statement that waits for its connection all that time is over as well.
    slow = [asyncio.create_task(execute_raw(long(ENDLESS))) for _ in range(12)]
    with lasts(0.25, 0.9):
        results = await asyncio.gather(*slow, return_exceptions=True)
    assert {type(result) for result in results} == {QueryTimeoutError}, results
    # In a transaction, a read that is stopped spoils nothing (on PostgreSQL: in a block of its own); a write takes the
    # transaction with it, but on MySQL, which undoes no more than the statement.
    async with atomic():
        await Entry.objects.create(nonce="kept")
        with lasts(0.3, 0.9), pytest.raises(QueryTimeoutError):
            if where.kind == "postgres":
                async with atomic():
                    await execute_raw(long(ENDLESS))
            await execute_raw(long(ENDLESS))
        assert await Entry.objects.count() == 1
    with contextlib.nullcontext() if where.kind == "mysql" else pytest.raises(TransactionRolledBackError):
        async with atomic():
            await Entry.objects.create(nonce="before")
            with pytest.raises(QueryTimeoutError):
                await execute_raw(long_write(ENDLESS))
    kept = ["kept", "before"] if where.kind == "mysql" else ["kept"]
    assert await Entry.objects.order_by("id").values_list("nonce", flat=True) == kept


async def test_cancel_stops_the_work_and_nobody_else_s(opened: Any, where: Where) -> None:
    database = await opened(accounts=40, max_connections=8)
    # Two threads serve the readers, so bystanders and victims take turns on them.
    bystanders = [asyncio.create_task(execute_raw(long(300_000))) for _ in range(8)]
    stop = asyncio.Event()
    seen = 0

    async def look() -> None:
        nonlocal seen
        while not stop.is_set():
            seen += 1
            nonce, number = str(seen), seen % 40 + 1
            assert (await Account.objects.get(id=number)).owner == f"owner-{number}"
            rows = await Account.objects.filter(balance=100).order_by("id").limit(3).values_list("id", flat=True)
            assert rows == [1, 2, 3]
            assert (await Entry.objects.create(nonce=nonce)).nonce == nonce

    lookers = [asyncio.create_task(look()) for _ in range(3)]
    for _ in range(60):
        victims = [asyncio.create_task(execute_raw(text(ENDLESS))) for text in (long, long, long_write)]
        await asyncio.sleep(0.01)
        started = time.monotonic()
        for victim in victims:
            victim.cancel()
        await asyncio.wait(victims)
        # The caller goes on at once, the engine's thread soon after.
        assert time.monotonic() - started < 0.25
        assert all(victim.cancelled() for victim in victims)
    await asyncio.wait(bystanders, timeout=20)
    assert [task.result() for task in bystanders] == [[{"total": 300_000}]] * 8
    stop.set()
    await asyncio.gather(*lookers)
    assert seen > 10
    await quiet(database, 1.0)


async def test_cancelled_write_in_a_transaction(opened: Any, where: Where) -> None:
    """A long write that is cancelled is stopped within a second, and its transaction with it."""
    database = await opened()

    async def write() -> None:
        async with atomic():
            await Entry.objects.create(nonce="before")
            await execute_raw(long_write(ENDLESS))

    task = asyncio.create_task(write())
    await asyncio.sleep(0.2)
    with lasts(0.0, 1.0):
        task.cancel()
        await asyncio.wait((task,))
        await quiet(database)
    assert task.cancelled()
    assert await Entry.objects.count() == 0
    await database.disconnect()
    check(where)


async def test_transaction_timeout(opened: Any, where: Where) -> None:
    """At its deadline a transaction is rolled back and its connection free, whatever the program does."""
    database = await opened()
    with pytest.raises(TransactionTimeoutError):
        async with atomic(timeout=0.2):
            await Entry.objects.create(nonce="never")
            await asyncio.sleep(0.35)
            assert database.stats()["in_use"] == 0
            with lasts(0.0, 0.3):
                async with asyncio.timeout(1):
                    await asyncio.create_task(_outside("others"))
    with lasts(0.2, 0.7), pytest.raises(TransactionTimeoutError):
        async with atomic(timeout=0.2):
            await execute_raw(long(ENDLESS))
    assert await Entry.objects.values_list("nonce", flat=True) == ["others"]


async def _outside(nonce: str) -> None:
    from oxyde import outside_transaction

    with outside_transaction():
        await Entry.objects.create(nonce=nonce)
