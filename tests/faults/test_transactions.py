"""Transactions under load and cancellation: nothing is lost, nothing is done twice, nothing escapes."""

from __future__ import annotations

import asyncio
import random
import time
from typing import Any

import pytest

from oxyde import F, atomic, execute_raw
from oxyde.exceptions import TransactionClosedError, TransactionTaskError

from .harness import Where, check, finish_program, on, outside, scaled, start_program
from .programs.common import Account, Entry, quiet

ACCOUNTS, BALANCE = 10, 1000


async def transfer(nonce: str, chance: random.Random) -> None:
    source, target = chance.sample(range(1, ACCOUNTS + 1), 2)
    amount = chance.randrange(1, 50)
    async with atomic():
        await Entry.objects.create(nonce=nonce, part=amount)
        await asyncio.sleep(0)
        # The smaller number first: no two of them wait for each other.
        changes = sorted([(source, -amount), (target, amount)])
        for number, change in changes:
            assert await Account.objects.filter(id=number).update(balance=F("balance") + change) == 1
            if chance.random() < 0.05:
                raise LookupError(nonce)


async def test_bank(opened: Any, where: Where, seed: int) -> None:
    """The sum is constant at every read; transfers that were acknowledged are there, failed ones are not."""
    database = await opened(accounts=ACCOUNTS, balance=BALANCE)
    chance = random.Random(seed)
    loop = asyncio.get_running_loop()
    told: dict[str, str] = {}
    sums: list[int] = []

    async def run(nonce: str) -> None:
        try:
            await transfer(nonce, chance)
            told[nonce] = "done"
        except LookupError:
            told[nonce] = "undone"
        except asyncio.CancelledError as error:
            told[nonce] = {"committed": "done"}.get(getattr(error, "commit_outcome", ""), "undone")
            raise

    async def audit() -> None:
        while True:
            rows = await execute_raw("SELECT sum(balance) AS total FROM faults_account")
            sums.append(rows[0]["total"])
            await asyncio.sleep(0)

    auditor = asyncio.create_task(audit())
    for wave in range(scaled(10)):
        tasks = [asyncio.create_task(run(f"{wave}-{n}")) for n in range(100)]
        for task in chance.sample(tasks, 60):
            loop.call_later(0.15 * chance.random(), task.cancel)
        _, pending = await asyncio.wait(tasks, timeout=30)
        assert not pending
    auditor.cancel()
    await asyncio.wait((auditor,))
    await quiet(database)
    await database.disconnect()
    assert len(sums) > 20
    assert set(sums) == {ACCOUNTS * BALANCE}
    (total,), stored = outside(where, "SELECT sum(balance) FROM faults_account", "SELECT nonce FROM faults_entry")
    assert total == [ACCOUNTS * BALANCE]
    done = {nonce for nonce, how in told.items() if how == "done"}
    assert 50 < len(done) < len(told) - 50
    # A task that was cancelled before it began said nothing and did nothing.
    assert {nonce for (nonce,) in stored} == done
    check(where)


@on("file", "memory")
async def test_read_modify_write(opened: Any, where: Where) -> None:
    """8 tasks × 20 transactions that read, think and write: all succeed and none is lost."""
    await opened(accounts=1, balance=0)

    async def add() -> None:
        for _ in range(20):
            async with atomic():
                account = await Account.objects.get(id=1)
                await asyncio.sleep(0)
                assert await Account.objects.filter(id=1).update(balance=account.balance + 1) == 1

    await asyncio.gather(*(add() for _ in range(8)))
    assert (await Account.objects.get(id=1)).balance == 160


@on("file")
async def test_read_modify_write_in_two_processes(opened: Any, where: Where) -> None:
    """The same with 4 tasks in each of two processes."""
    await (await opened(accounts=1, balance=0)).disconnect()
    processes = [start_program("add", where, tasks=4, times=20, seed=n) for n in range(2)]
    assert [finish_program(process).report["added"] for process in processes] == [80, 80]
    assert outside(where, "SELECT sum(balance) FROM faults_account") == [[[160]]]
    check(where)


async def test_child_tasks_join(opened: Any, where: Where) -> None:
    """gather, TaskGroup, create_task and wait_for inside a block are in its transaction."""
    database = await opened(accounts=1)

    async def child(part: int) -> None:
        await Entry.objects.create(nonce="child", part=part)

    with pytest.raises(LookupError):
        async with atomic():
            await asyncio.gather(*(child(part) for part in range(10)))
            async with asyncio.TaskGroup() as group:
                for part in range(10, 20):
                    group.create_task(child(part))
            await asyncio.create_task(child(20))
            await asyncio.wait_for(child(21), 5)
            async with asyncio.timeout(5):
                await child(22)
            assert await Entry.objects.filter(nonce="child").count() == 23
            assert outside(where, "SELECT count(*) FROM faults_entry") == [[[0]]]
            assert database.stats()["in_use"] == 1
            raise LookupError
    await quiet(database)
    assert await Entry.objects.count() == 0


async def test_a_child_that_outlives_its_block(opened: Any) -> None:
    """It is refused, however it sends its statement; nothing runs in autocommit."""
    await opened(accounts=1)
    ended = asyncio.Event()

    async def late(kind: str) -> None:
        await ended.wait()
        match kind:
            case "create":
                await Entry.objects.create(nonce="late")
            case "get":
                await Account.objects.get(id=1)
            case "raw":
                await execute_raw("INSERT INTO faults_entry (nonce, part) VALUES ('late', 1)")
            case "atomic":
                async with atomic():
                    await Entry.objects.create(nonce="late")
            case "bulk":
                await Entry.objects.bulk_create([Entry(nonce="late")])

    kinds = ["create", "get", "raw", "atomic", "bulk"]
    async with atomic():
        await Entry.objects.create(nonce="in time")
        tasks = [asyncio.create_task(late(kind)) for kind in kinds]
    ended.set()
    for kind, task in zip(kinds, tasks, strict=True):
        with pytest.raises(TransactionClosedError):
            await task
        assert await Entry.objects.filter(nonce="late").count() == 0, kind
    assert await Entry.objects.count() == 1


async def test_a_child_in_flight_at_the_end(opened: Any) -> None:
    """A statement that was sent before the block ended is in the transaction or refused, never beside it."""
    database = await opened(accounts=1)
    inside = 0
    for n in range(scaled(50)):
        tasks = []
        with pytest.raises(LookupError):
            async with atomic():
                tasks = [asyncio.create_task(Entry.objects.create(nonce=f"{n}-{part}")) for part in range(5)]
                for _ in range(n % 4):
                    await asyncio.sleep(0)
                raise LookupError
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            assert isinstance(result, Entry | TransactionClosedError), result
            inside += isinstance(result, Entry)
    await quiet(database)
    assert inside
    assert await Entry.objects.count() == 0


async def test_two_children_with_nested_blocks(opened: Any) -> None:
    await opened()

    async def nested(part: int) -> None:
        async with atomic():
            await Entry.objects.create(nonce="nested", part=part)
            await asyncio.sleep(0.01)

    with pytest.raises(TransactionTaskError):
        async with atomic():
            await asyncio.gather(nested(1), nested(2))
    assert await Entry.objects.count() == 0


@on("file")
async def test_a_writer_waits_no_longer_than_the_one_before(opened: Any) -> None:
    """FIFO: writers are served in the order in which they asked."""
    await opened()
    order: list[int] = []

    async def write(n: int) -> None:
        async with atomic():
            order.append(n)
            await asyncio.sleep(0.001)

    started = time.monotonic()
    await asyncio.gather(*(write(n) for n in range(50)))
    assert order == list(range(50))
    assert time.monotonic() - started < 5
