"""The k-loop: every operation cancelled at each of its suspensions.

"Early" cancels what is waited for, "late" cancels when it has happened and the task has not gone on yet. After each,
the pool is whole, nothing is locked, the next operation gets its own result, and the rows are all there or all not: as
the exception says where it says so.
"""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import pytest

from oxyde import AsyncDatabase, atomic
from oxyde.db import get_active_transaction

from .harness import SERVERS, Where, check, no_transactions, on
from .programs.common import Account, Entry, ask, quiet
from .suspensions import Operations, cancelled_at, thrown_away

OPERATIONS = Operations()


TRANSACTIONS = ("transaction", "nested", "stream_in_transaction")


@OPERATIONS.leaves(rows=0)
async def get(nonce: str) -> None:
    # More look-ups than are answered without a turn of the loop.
    for number in [*range(1, 41), 7]:
        account = await Account.objects.get(id=number)
        assert account.owner == f"owner-{number}"


@OPERATIONS.leaves(rows=0)
async def scan(nonce: str) -> None:
    assert await Account.objects.filter(balance=100).count() == 40


@OPERATIONS.leaves(rows=1)
async def create(nonce: str) -> None:
    assert (await Entry.objects.create(nonce=nonce, part=5)).part == 5


@OPERATIONS.leaves(rows=200)
async def bulk_create(nonce: str) -> None:
    made = await Entry.objects.bulk_create([Entry(nonce=nonce, part=part) for part in range(200)])
    assert [entry.part for entry in made] == list(range(200))


@OPERATIONS.leaves(rows=0)
async def update(nonce: str) -> None:
    assert await Account.objects.filter(id=3).update(balance=100) == 1


@OPERATIONS.leaves(rows=1)
async def save(nonce: str) -> None:
    entry = Entry(nonce=nonce)
    await entry.save()
    await entry.refresh()
    assert entry.nonce == nonce


@OPERATIONS.leaves(rows=1)
async def raw(nonce: str) -> None:
    await ask("INSERT INTO faults_entry (nonce, part) VALUES (?, 0)", nonce)
    assert await ask("SELECT CAST(? AS TEXT) AS nonce", nonce) == [{"nonce": nonce}]


@OPERATIONS.leaves(rows=0)
async def empty_transaction(nonce: str) -> None:
    async with atomic():
        pass


@OPERATIONS.leaves(rows=2)
async def transaction(nonce: str) -> None:
    async with atomic():
        await Entry.objects.create(nonce=nonce, part=0)
        await Entry.objects.create(nonce=nonce, part=1)


@OPERATIONS.leaves(rows=3)
async def nested(nonce: str) -> None:
    async with atomic():
        await Entry.objects.create(nonce=nonce, part=0)
        async with atomic():
            await Entry.objects.create(nonce=nonce, part=1)
        try:
            async with atomic():
                await Entry.objects.create(nonce=nonce, part=-1)
                raise LookupError
        except LookupError:
            pass
        async with atomic():
            await Entry.objects.filter(nonce=nonce, part=1).update(part=2)
            await Entry.objects.create(nonce=nonce, part=3)


@OPERATIONS.leaves(rows=0)
async def reading_transaction(nonce: str) -> None:
    async with atomic(read_only=True):
        assert await Account.objects.count() == 40
        assert (await Account.objects.get(id=4)).owner == "owner-4"


@OPERATIONS.leaves(rows=0)
async def stream(nonce: str) -> None:
    assert [account.id async for account in Account.objects.order_by("id").iterate(7)] == list(range(1, 41))


@OPERATIONS.leaves(rows=1)
async def stream_in_transaction(nonce: str) -> None:
    async with atomic():
        numbers = []
        async for account in Account.objects.order_by("id").iterate(15):
            if account.id == 20:
                await Entry.objects.create(nonce=nonce)
            numbers.append(account.id)
        assert numbers == list(range(1, 41))


async def look_whole(where: Where, database: AsyncDatabase, nonce: str) -> int:
    """Check that everything works and return how many rows the operation left."""
    await quiet(database)
    no_transactions(where.kind)
    assert get_active_transaction() is None
    after = f"after {nonce}"
    async with asyncio.timeout(2):
        async with atomic():
            assert (await Entry.objects.create(nonce=after)).nonce == after
        assert (await Account.objects.get(id=9)).owner == "owner-9"
        assert await ask("SELECT CAST(? AS TEXT) AS nonce", after) == [{"nonce": after}]
        assert await Entry.objects.filter(nonce=after).count() == 1
        assert await Entry.objects.filter(part=-1).count() == 0
        return await Entry.objects.filter(nonce=nonce).count()


@pytest.mark.parametrize("late", [False, True], ids=["early", "late"])
@on("file", "threads", "memory", *SERVERS)
@pytest.mark.parametrize("name", OPERATIONS)
async def test_every_suspension(opened: Any, where: Where, name: str, late: bool) -> None:
    run, rows = OPERATIONS[name]
    database = await opened(accounts=40, sqlite_inline=where.kind != "threads")
    await run("warm")
    outcomes = set()
    for k in itertools.count(1):
        nonce = f"{name} {k}"
        suspensions, _, error = await cancelled_at(run(nonce), k, late=late)
        left = await look_whole(where, database, nonce)
        if suspensions < k:
            assert error is None
            assert left == rows
            break
        assert isinstance(error, asyncio.CancelledError), (k, error)
        outcome = getattr(error, "commit_outcome", None)
        outcomes.add(outcome)
        if name in TRANSACTIONS:
            assert left == (rows if outcome == "committed" else 0), (k, outcome, left)
        else:
            assert left in (0, rows), (k, left)
    # On the calling thread, a single row takes no suspension.
    assert k > 1 or where.kind == "file"
    if name in TRANSACTIONS:
        assert outcomes == {None, "committed"}
    if where.kind != "memory":
        await database.disconnect()
        check(where)


@pytest.mark.parametrize("fails", [False, True], ids=["kept", "undone"])
async def test_a_savepoint_cancelled_alone(opened: Any, where: Where, fails: bool) -> None:
    """A program that swallows the cancellation of a nested block goes on, or is told that it cannot."""
    from oxyde.exceptions import TransactionRolledBackError

    database = await opened(accounts=40)

    async def inner(nonce: str) -> None:
        async with atomic():
            await Entry.objects.create(nonce=nonce, part=1)
            await Entry.objects.create(nonce=nonce, part=2)
            if fails:
                raise LookupError

    committed = refused = 0
    for late in (False, True):
        for k in itertools.count(1):
            nonce = f"{late} {k}"
            undisturbed = False
            try:
                async with atomic():
                    await Entry.objects.create(nonce=nonce, part=0)
                    _, _, error = await cancelled_at(inner(nonce), k, late=late)
                    undisturbed = not isinstance(error, asyncio.CancelledError)
            except TransactionRolledBackError:
                refused += 1
                expected = 0
            else:
                committed += 1
                expected = 3 if undisturbed and not fails else 1
            assert await look_whole(where, database, nonce) == expected, (late, k)
            if undisturbed:
                break
    assert committed > 2
    assert refused > 0


async def test_thrown_away(opened: Any, where: Where) -> None:
    """A coroutine that is closed while its operation runs: nobody waits, and the engine tidies up."""
    database = await opened(accounts=40, sqlite_inline=False)
    for name, (run, rows) in OPERATIONS.items():
        for k in range(1, 30):
            if not await thrown_away(run(nonce := f"{name} {k}"), k):
                break
            assert await look_whole(where, database, nonce) in (0, rows)
        assert k > 1
    await database.disconnect()
    check(where)
