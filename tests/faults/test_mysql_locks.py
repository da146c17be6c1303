"""Deadlocks and locks that are not given, on MySQL and MariaDB.

A deadlock (1213) rolls back the whole transaction and takes its savepoints away; a lock wait (1205) undoes its
statement only, unless the server has innodb_rollback_on_timeout. Neither says so in a way that a program could not
overlook: what is swallowed has to be told again.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from oxyde import F, atomic, execute_raw
from oxyde.exceptions import (
    DeadlockError,
    LockTimeoutError,
    TransactionBrokenError,
    TransactionRolledBackError,
)
from tests.servers import mysql_wire
from tests.servers.mysql import MySQLServer

from .harness import HeldSession, Where, check, lasts, on, outside, scaled
from .programs.common import Account, Entry, quiet

pytestmark = on("mysql")


class Opponent:
    """Somebody who holds accounts 2 to 20 and then wants account 1.

    Of two transactions in a deadlock the servers give up the one that has changed less: never this one.
    """

    def __init__(self, session: HeldSession) -> None:
        self.session = session

    def strikes(self) -> asyncio.Future[Any]:
        text = "UPDATE faults_account SET balance = 0 WHERE id = 1"
        return asyncio.get_running_loop().run_in_executor(None, self.session.connection.query, text)


@contextmanager
def opponent() -> Iterator[Opponent]:
    with HeldSession("BEGIN", "UPDATE faults_account SET balance = 0 WHERE id > 1", kind="mysql") as session:
        yield Opponent(session)


@pytest.mark.parametrize("depth", [0, 1, 2])
async def test_a_deadlock_that_is_swallowed(opened: Any, where: Where, depth: int) -> None:
    """In a block, or in blocks within it: nothing of the transaction is left, and each later call says so."""
    database = await opened(accounts=20)

    async def lose(depth: int) -> None:
        if depth:
            async with atomic():
                await Entry.objects.create(nonce="nested")
                await lose(depth - 1)
        else:
            await Account.objects.filter(id=2).update(balance=2)

    called: list[str] = []
    with opponent() as other:
        with pytest.raises(TransactionRolledBackError) as ended:
            async with atomic() as tx:
                tx.on_commit(lambda: called.append("committed"))
                await Entry.objects.create(nonce="first")
                assert await Account.objects.filter(id=1).update(balance=1) == 1
                struck = other.strikes()
                with pytest.raises(DeadlockError) as caught:
                    await lose(depth)
                assert (caught.value.code, caught.value.sqlstate) == (1213, "40001")
                assert (caught.value.retryable, caught.value.outcome) == (True, "not_applied")
                await struck
                # In autocommit each of them would have worked.
                for statement in (Entry.objects.create(nonce="later"), Account.objects.count(), nested()):
                    with pytest.raises(TransactionBrokenError, match="Deadlock found"):
                        await statement
        assert ended.value.retryable
        assert ended.value.outcome == "not_applied"
        assert database.stats()["in_use"] == 0
    assert called == []
    await quiet(database)
    assert check(where, "SELECT sum(balance) FROM faults_account", "SELECT count(*) FROM faults_entry") == [
        [[2000]],
        [[0]],
    ]


async def nested() -> None:
    async with atomic():
        await Entry.objects.create(nonce="later")


async def test_a_deadlock_is_retried(opened: Any, where: Where) -> None:
    await opened(accounts=20)
    runs = 0
    with opponent() as other:

        @atomic(retries=2)
        async def work() -> None:
            nonlocal runs
            runs += 1
            await Entry.objects.create(nonce=f"run {runs}")
            await Account.objects.filter(id=1).update(balance=1)
            struck = other.strikes() if runs == 1 else None
            try:
                await Account.objects.filter(id=2).update(balance=2)
            finally:
                if struck is not None:
                    await struck
                    other.session.connection.query("ROLLBACK")

        await work()
    assert runs == 2
    assert outside(where, "SELECT nonce FROM faults_entry") == [[["run 2"]]]


async def test_a_lock_that_is_not_given(opened: Any) -> None:
    """It undoes its statement; the transaction goes on, in a nested block as well."""
    database = await opened(accounts=3, lock_timeout=0.3)
    with HeldSession("BEGIN", "SELECT * FROM faults_account WHERE id = 2 FOR UPDATE", kind="mysql") as holder:
        # The servers count in whole seconds.
        with lasts(0.9, 2.5), pytest.raises(LockTimeoutError) as caught:
            await Account.objects.filter(id=2).update(balance=1)
        assert (caught.value.code, caught.value.retryable, caught.value.outcome) == (1205, True, "not_applied")
        async with atomic():
            await Entry.objects.create(nonce="before")
            with pytest.raises(LockTimeoutError):
                # It has changed the first account when it waits for the second.
                await Account.objects.filter(id__gte=1, id__lt=4).update(balance=1)
            with pytest.raises(LockTimeoutError):
                async with atomic():
                    await Entry.objects.create(nonce="nested")
                    await Account.objects.filter(id=2).update(balance=1)
            await Entry.objects.create(nonce="after")
        holder.let_go()
    assert await Entry.objects.order_by("id").values_list("nonce", flat=True) == ["before", "after"]
    assert await Account.objects.filter(balance=100).count() == 3
    await quiet(database)


@pytest.mark.parametrize("depth", [0, 1])
async def test_a_server_that_rolls_back_on_lock_waits(elsewhere: Any, unusual: MySQLServer, depth: int) -> None:
    database = await elsewhere(accounts=3, lock_timeout=1)
    with mysql_wire.Connection(unusual.url("elsewhere")) as holder:
        holder.query("BEGIN")
        holder.query("SELECT * FROM faults_account WHERE id = 2 FOR UPDATE")
        with pytest.raises(TransactionRolledBackError) as ended:
            async with atomic():
                await Entry.objects.create(nonce="before")
                with pytest.raises(LockTimeoutError) as caught:
                    if depth:
                        async with atomic():
                            await Account.objects.filter(id=2).update(balance=1)
                    await Account.objects.filter(id=2).update(balance=1)
                assert caught.value.code == 1205
                with pytest.raises(TransactionBrokenError, match="Lock wait timeout"):
                    await Entry.objects.create(nonce="later")
        assert ended.value.retryable
    await quiet(database)
    assert await Entry.objects.count() == 0


async def test_bank_under_deadlocks(opened: Any, where: Where, seed: int) -> None:
    """Transfers that take their rows in any order, again and again until they succeed: no money is made or lost."""
    chance = random.Random(seed)
    database = await opened(accounts=5, balance=1000, max_connections=8)
    runs: list[str] = []
    told: list[str] = []
    sums: set[int] = set()
    done = asyncio.Event()

    @atomic(retries=100)
    async def transfer(nonce: str, source: int, target: int, amount: int, swallow: bool) -> None:
        runs.append(nonce)
        await Entry.objects.create(nonce=nonce, part=amount)
        await Account.objects.filter(id=source).update(balance=F("balance") - amount)
        await asyncio.sleep(0)
        try:
            async with atomic():
                await Account.objects.filter(id=target).update(balance=F("balance") + amount)
        except DeadlockError:
            # A program that believes it has failed in the nested block only.
            if not swallow:
                raise

    async def run(nonce: str) -> None:
        source, target = chance.sample(range(1, 6), 2)
        try:
            await transfer(nonce, source, target, chance.randrange(1, 50), chance.random() < 0.5)
            told.append(nonce)
        except (DeadlockError, TransactionRolledBackError) as error:
            assert error.retryable

    async def audit() -> None:
        while not done.is_set():
            (row,) = await execute_raw("SELECT SUM(balance) AS total FROM faults_account")
            sums.add(int(row["total"]))
            await asyncio.sleep(0.002)

    auditor = asyncio.create_task(audit())
    for wave in range(scaled(5)):
        await asyncio.gather(*(run(f"{wave}-{n}") for n in range(40)))
    done.set()
    await auditor
    assert len(runs) > len(told) > scaled(100), "nobody met"
    assert sums == {5000}
    await quiet(database)
    await database.disconnect()
    total, stored = check(where, "SELECT SUM(balance) FROM faults_account", "SELECT nonce FROM faults_entry")
    assert total == [[5000]]
    assert sorted(nonce for (nonce,) in stored) == sorted(told)
