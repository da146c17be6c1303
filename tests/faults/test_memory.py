"""Nothing grows and nothing is freed too early: objects, references, memory, with the collector at its busiest."""

from __future__ import annotations

import asyncio
import gc
import sys
import tracemalloc
import weakref
from collections.abc import Awaitable, Callable, Iterator
from itertools import pairwise
from typing import Any

import pytest

from oxyde import Field, Model, atomic, execute_raw
from oxyde.exceptions import NotFoundError, UniqueViolationError
from oxyde.models import unregister_table

from .harness import Where, on, run_program, scaled
from .programs.common import Account, Entry, ask, long, quiet


@pytest.fixture
def busy_collector() -> Iterator[None]:
    """Garbage is collected after every few allocations."""
    before = gc.get_threshold()
    gc.set_threshold(5, 2, 2)
    yield
    gc.set_threshold(*before)


async def mix(n: int) -> None:
    """Every kind of operation once, with its failures."""
    assert (await Account.objects.get(id=n % 40 + 1)).owner
    with pytest.raises(NotFoundError):
        await Account.objects.get(id=-1)
    assert len(await Account.objects.filter(id__gte=1, id__lt=6).order_by("id")) == 5
    assert await Account.objects.values("id", "owner").limit(2)
    entry = await Entry.objects.create(nonce="x", part=n)
    entry.part = n + 1
    await entry.save()
    await entry.delete()
    with pytest.raises(UniqueViolationError):
        await Account.objects.create(owner="owner-1")
    await pass_through()
    assert await ask("SELECT CAST(? AS BIGINT) AS n", n) == [{"n": n}]
    task = asyncio.ensure_future(Entry.objects.create(nonce="cancelled"))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait((task,))


# MySQL and MariaDB read all rows of a small table for a list of keys, and lock what they read.
@atomic(retries=10)
async def pass_through() -> None:
    made = await Entry.objects.bulk_create([Entry(nonce="y", part=part) for part in range(3)])
    async with atomic():
        assert await Entry.objects.filter(id__in=[entry.id for entry in made]).delete() == 3


async def steady(work: Callable[[int], Awaitable[None]], rounds: int) -> dict[str, float]:
    """By how much things grow in a third of the work, and in each of the three.

    What one round leaves behind is seen in every third; a connection that is replaced, or a list that
    gets more room, only in one. The smallest of the three counts.
    """

    def measure() -> dict[str, float]:
        gc.collect()
        return {
            "objects": len(gc.get_objects()),
            "bytes": tracemalloc.get_traced_memory()[0],
            "None": sys.getrefcount(None),
            "True": sys.getrefcount(True),
            "class": sys.getrefcount(Account),
            "empty": sys.getrefcount(()),
        }

    tracemalloc.start()
    try:
        for n in range(rounds // 4):
            await work(n)
        measures = [measure()]
        for _ in range(3):
            for n in range(rounds // 3):
                await work(n)
            measures.append(measure())
    finally:
        tracemalloc.stop()
    return {
        name: min((after[name] - before[name] for before, after in pairwise(measures)), key=abs) for name in measures[0]
    }


async def test_ten_thousand_operations(opened: Any) -> None:
    """14 operations a round."""
    # Few connections, which are soon all there: each has buffers and Python's objects around its socket.
    await opened(accounts=40, max_connections=2)
    grown = await steady(mix, scaled(720))
    assert grown["objects"] < 100, grown
    assert grown["bytes"] < 30_000, grown
    for name in ("None", "True", "class", "empty"):
        # One per round would be 240.
        assert abs(grown[name]) < 200, (name, grown)


async def test_ten_thousand_look_ups(opened: Any) -> None:
    await opened(accounts=40)

    async def look(n: int) -> None:
        await Account.objects.get(id=n % 40 + 1)
        await Account.objects.filter(id=n % 40 + 1).values_list("owner", "balance")

    grown = await steady(look, scaled(5000))
    assert grown["objects"] < 50, grown
    assert grown["bytes"] < 20_000, grown
    for name in ("None", "True", "class", "empty"):
        assert abs(grown[name]) < 50, (name, grown)


def test_resident_memory(where: Where) -> None:
    """What neither tracemalloc nor the collector sees: the engine's own memory."""
    found = run_program("grow", where, seconds=150, rounds=scaled(2000)).report
    assert found["kib"] < 4096, found


async def test_results_are_freed(opened: Any, busy_collector: None) -> None:
    """Loaded instances live as long as somebody has them and not longer, whatever the collector does meanwhile."""
    await opened(accounts=40)
    for _ in range(20):
        accounts = await Account.objects.order_by("id")
        kept = accounts[3]
        witnesses = [weakref.ref(account) for account in accounts]
        del accounts
        # asyncio itself holds a result until the task that waited for it waits again.
        await asyncio.sleep(0)
        # Reference counts alone: no instance is in a cycle.
        assert [n for n, witness in enumerate(witnesses) if witness() is not None] == [3]
        assert kept.owner == "owner-4"
        await asyncio.gather(*(mix(n) for n in range(2)))
        assert kept.owner == "owner-4"


async def test_a_model_that_goes_while_its_query_runs(opened: Any) -> None:
    """A query keeps what it needs; afterwards the class and its results can be collected."""
    database = await opened()
    await execute_raw("CREATE TABLE faults_passing (id INTEGER PRIMARY KEY, owner TEXT NOT NULL)")
    for n in range(1, 6):
        await ask("INSERT INTO faults_passing VALUES (?, ?)", n, f"owner-{n}")

    def define() -> Any:
        class Passing(Model):
            id: int = Field(db_pk=True)
            owner: str

            class Meta:
                is_table = True
                table_name = "faults_passing"

        return Passing

    for _ in range(5):
        model = define()
        witness = weakref.ref(model)
        block = asyncio.create_task(execute_raw(long(100_000)))
        query = asyncio.ensure_future(model.objects.filter(id__lte=5).order_by("id").all())
        await asyncio.sleep(0)
        unregister_table(model)
        del model
        gc.collect()
        rows = await query
        assert [row.owner for row in rows] == [f"owner-{n}" for n in range(1, 6)]
        await block
        del rows, query, block
        await asyncio.sleep(0)
        gc.collect()
        assert witness() is None
    await quiet(database)


async def test_a_task_that_is_lost(opened: Any, busy_collector: None) -> None:
    """Nobody holds the task of a statement: the loop does, until it is done."""
    await opened()
    for n in range(scaled(50)):
        # ruff: noqa: RUF006
        asyncio.ensure_future(Entry.objects.create(nonce="lost", part=n))
        gc.collect()
    for _ in range(200):
        if await Entry.objects.count() == scaled(50):
            break
        await asyncio.sleep(0.01)
    assert await Entry.objects.count() == scaled(50)


async def test_an_unfinished_transaction_that_is_dropped(opened: Any) -> None:
    """A block that is never left, and that nobody has any more, is rolled back when it is collected."""
    database = await opened()

    async def begin() -> None:
        context = atomic()
        await context.__aenter__()
        await Entry.objects.create(nonce="dropped")

    await asyncio.create_task(begin())
    await asyncio.sleep(0)
    with pytest.warns(ResourceWarning, match="never closed"):
        gc.collect()
    await quiet(database)
    assert await Entry.objects.count() == 0


@on("memory")
async def test_memory_database_under_concurrency(opened: Any) -> None:
    """One connection for everybody: transactions wait for each other, nobody sees half of one."""
    database = await opened(accounts=10)

    async def move(n: int) -> None:
        async with atomic():
            one, other = await Account.objects.get(id=n % 10 + 1), await Account.objects.get(id=(n + 3) % 10 + 1)
            await Account.objects.filter(id=one.id).update(balance=one.balance - 1)
            await asyncio.sleep(0)
            await Account.objects.filter(id=other.id).update(balance=other.balance + 1)

    async def audit() -> None:
        for _ in range(50):
            assert (await execute_raw("SELECT sum(balance) AS total FROM faults_account"))[0]["total"] == 1000

    await asyncio.gather(*(move(n) for n in range(100)), audit(), audit())
    stats = await quiet(database)
    assert (stats["size"], stats["max_connections"]) == (1, 1)
