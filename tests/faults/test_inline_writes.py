"""Writes of single rows on the calling thread: what they do beside other writers, other threads and the exit."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from typing import Any

import pytest

from oxyde import F, atomic
from oxyde.exceptions import CheckViolationError, IntegrityError, PoolTimeoutError, UniqueViolationError

from .harness import (
    Holder,
    Where,
    check,
    finish_program,
    on,
    outside,
    run_program,
    scaled,
    start_program,
)
from .programs.common import Account, Entry, prepared
from .suspensions import cancelled_at

pytestmark = on("file")

WRITES = scaled(20_000)


async def suspensions(operation: Coroutine[Any, Any, Any]) -> int:
    count, _, error = await cancelled_at(operation, 0, late=False)
    assert error is None
    return count


async def at_once() -> dict[str, bool]:
    """Which writes were answered without a suspension, the second time."""
    found: dict[str, int] = {}
    for _ in range(2):
        entry = Entry(nonce="one")
        found = {
            "save": await suspensions(entry.save()),
            "create": await suspensions(Entry.objects.create(nonce="two")),
            "update": await suspensions(Entry.objects.filter(id=entry.id).update(part=F("part") + 1)),
            "save again": await suspensions(entry.save()),
            "delete": await suspensions(entry.delete()),
            "update many": await suspensions(Entry.objects.filter(nonce="two").update(part=3)),
            "delete none": await suspensions(Entry.objects.filter(id=-1).delete()),
        }
    return {name: count == 0 for name, count in found.items()}


async def test_which(opened: Any) -> None:
    await opened(accounts=1)
    # One that meets the writer's own work (a checkpoint) goes to its thread, this once.
    found = await at_once()
    for _ in range(3):
        again = await at_once()
        found = {name: found[name] or again[name] for name in found}
    assert found.pop("update many") is False
    assert all(found.values()), found
    assert await Entry.objects.filter(nonce="one").count() == 0


@pytest.mark.parametrize(
    "settings",
    [{"sqlite_inline": False}, {"sqlite_synchronous": "FULL"}, {"sqlite_journal_mode": "DELETE"}],
    ids=["off", "synced", "no log"],
)
async def test_which_not(opened: Any, settings: dict[str, Any]) -> None:
    await opened(**settings)
    assert not any((await at_once()).values())


async def test_not_in_memory(where: Where) -> None:
    async with await prepared("sqlite://:memory:"):
        assert not any((await at_once()).values())


async def test_others_see_it_at_once(opened: Any, where: Where) -> None:
    await opened(accounts=3)
    for n in range(1, 6):
        entry = await Entry.objects.create(nonce=f"entry {n}")
        assert await Account.objects.filter(id=2).update(balance=n) == 1
        assert (await Account.objects.get(id=2)).balance == n
        assert outside(where, "SELECT nonce FROM faults_entry", "SELECT balance FROM faults_account WHERE id = 2") == [
            [[f"entry {n}"]],
            [[n]],
        ]
        assert await Entry.objects.filter(id=entry.id).delete() == 1


async def test_errors(opened: Any) -> None:
    database = await opened(accounts=3)
    for _ in range(20):
        with pytest.raises(UniqueViolationError) as caught:
            await Account.objects.create(owner="owner-1")
        assert (caught.value.table, caught.value.column) == ("faults_account", "owner")
        assert not isinstance(caught.value, CheckViolationError)
        await Account.objects.filter(id=1).update(balance=F("balance") + 1)
    assert (await Account.objects.get(id=1)).balance == 120
    assert await Account.objects.count() == 3
    assert database.stats()["lost"] == 0


@pytest.mark.parametrize("fails", [False, True])
async def test_a_second_task_progresses(opened: Any, fails: bool) -> None:
    """Neither a stream of results nor one of errors starves the loop."""
    await opened(accounts=1)
    turns = 0

    async def tick() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    ticking = asyncio.create_task(tick())
    for n in range(WRITES):
        try:
            await Account.objects.create(owner="owner-1" if fails else f"new {n}")
        except IntegrityError:
            assert fails
    ticking.cancel()
    assert turns >= WRITES / 20
    assert await Account.objects.count() == (1 if fails else WRITES + 1)


async def test_a_timeout_fires(opened: Any) -> None:
    await opened(accounts=1)
    started = time.monotonic()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            while True:
                await Account.objects.filter(id=1).update(balance=F("balance") + 1)
    assert 0.1 <= time.monotonic() - started < 0.5


async def test_another_process_has_the_lock(opened: Any, where: Where) -> None:
    await opened(accounts=3)
    await Account.objects.filter(id=1).update(balance=0)
    held = "UPDATE faults_account SET balance = 7 WHERE id = 2"
    with Holder(where, "BEGIN IMMEDIATE", held) as holder:
        write = asyncio.create_task(Account.objects.filter(id=1).update(balance=1))
        started = time.perf_counter()
        await asyncio.sleep(0.1)
        # The loop lives, and reads are not held up.
        assert (await Account.objects.get(id=1)).balance == 0
        assert time.perf_counter() - started < 0.5
        assert not write.done()
        await asyncio.to_thread(holder.let_go)
        assert await write == 1
    assert (await Account.objects.get(id=1)).balance == 1
    # The other one did not commit.
    assert (await Account.objects.get(id=2)).balance == 100


async def test_its_own_transaction_is_waited_for(opened: Any) -> None:
    """A write of another task queues behind a transaction, as ever."""
    await opened(accounts=1, acquire_timeout=0.1)
    inside, leave = asyncio.Event(), asyncio.Event()

    async def block() -> None:
        async with atomic():
            account = await Account.objects.get(id=1)
            inside.set()
            await leave.wait()
            account.balance += 1
            await account.save()

    task = asyncio.create_task(block())
    await inside.wait()
    with pytest.raises(PoolTimeoutError):
        await Account.objects.filter(id=1).update(balance=0)
    write = asyncio.create_task(Account.objects.filter(id=1).update(balance=F("balance") * 2))
    await asyncio.sleep(0.01)
    leave.set()
    await asyncio.gather(task, write)
    assert (await Account.objects.get(id=1)).balance == 202


@pytest.mark.parametrize(("threads", "tasks"), [(2, 1), (4, 3)])
def test_threads(where: Where, threads: int, tasks: int) -> None:
    """Threads with loops hammer one database: no deadlock with the GIL, nothing lost, and the main loop lives."""
    rounds = scaled(600) // tasks
    found = run_program("hammer", where, how="joined", threads=threads, tasks=tasks, rounds=rounds).report
    workers = threads * tasks
    assert list(found["written"].values()) == [rounds] * workers
    assert found["balance"] == workers * (rounds + rounds // 10)
    assert found["entries"] == workers * (rounds - rounds // 3)
    assert found["lost"] == 0
    assert found["longest"] < 2
    check(where)


@pytest.mark.parametrize("attempt", range(scaled(5)))
def test_exit(where: Where, attempt: int) -> None:
    """The process ends while daemon threads write: its status, a silent stderr, and nothing acknowledged is lost."""
    seconds = 0.1 + 0.01 * attempt
    process = start_program("hammer", where, how="left", threads=3, tasks=2, seconds=seconds, status=7)
    finished = finish_program(process, 20)
    assert (finished.code, finished.err) == (7, ""), finished
    (balance,) = check(where, "SELECT balance FROM faults_account WHERE id = 1")
    assert balance[0][0] > 0
