"""Transfers while sessions are killed, tasks cancelled and locks held by others: no money is made or lost.

Beside them single statements outside of transactions, and reads that say whose answer they are.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections import Counter
from typing import Any

from oxyde import AsyncDatabase, F, OxydeError, atomic
from oxyde.exceptions import CommitUnknownError, ConnectError, ConnectionLostError, InternalError
from tests.servers.mysql_wire import ServerError

from .figures import figure
from .harness import SERVERS, Holder, Where, check_pool, outside, scaled
from .programs.common import Account, Entry, ask, quiet

ACCOUNTS, BALANCE = 20, 1000
CONNECTIONS = 8
# What KILL QUERY does to a statement, on MySQL and on MariaDB.
QUERY_KILLED = (1317, 1969)


class Bank:
    """``told`` says of every operation what its caller was told: "done", "undone", or "open" when nobody knows."""

    def __init__(self, seed: int, *, at_once: int, pause: float) -> None:
        self.at_once, self.pause = at_once, pause
        self.chance = random.Random(seed)
        self.told: dict[str, str] = {}
        self.seen: Counter[str] = Counter()
        self.sums: Counter[int] = Counter()
        self.reads = 0

    async def attempt(self, nonce: str) -> None:
        source, target = self.chance.sample(range(1, ACCOUNTS + 1), 2)
        amount = self.chance.randrange(1, 50)
        changes = [(source, -amount), (target, amount)]
        if self.chance.random() < 0.9:
            # The others may meet in a deadlock.
            changes.sort()
        async with atomic():
            await Entry.objects.create(nonce=nonce, part=amount)
            for number, change in changes:
                assert await Account.objects.filter(id=number).update(balance=F("balance") + change) == 1
                await asyncio.sleep(0.005 * self.chance.random())
                if self.chance.random() < 0.02:
                    raise LookupError(nonce)

    async def transfer(self, nonce: str, *, again: bool) -> None:
        """``again``: try until the answer is definite; a lost answer to COMMIT is the end, too."""
        while True:
            try:
                await self.attempt(nonce)
            except LookupError:
                return
            except asyncio.CancelledError as error:
                outcome = getattr(error, "commit_outcome", None)
                self.told[nonce] = {"committed": "done", "unknown": "open"}.get(outcome or "", "undone")
                self.seen[f"cancelled, {outcome}"] += 1
                raise
            except OxydeError as error:
                self.failed(error)
                if isinstance(error, CommitUnknownError):
                    self.told[nonce] = "open"
                    return
                # Without COMMIT nothing of the transaction can be there.
                if not again:
                    return
                await asyncio.sleep(0.01)
            else:
                self.told[nonce] = "done"
                return

    async def single(self, nonce: str) -> None:
        """One statement outside of a transaction: whether it was done is known, or said to be unknown."""
        try:
            await Entry.objects.create(nonce=nonce)
        except asyncio.CancelledError:
            self.told[nonce] = "open"
            raise
        except OxydeError as error:
            self.failed(error)
            self.told[nonce] = "open" if error.outcome == "unknown" else "undone"
        else:
            self.told[nonce] = "done"

    def failed(self, error: OxydeError) -> None:
        assert not isinstance(error, InternalError), error
        self.seen[type(error).__name__] += 1
        assert error.outcome in ("not_applied", "unknown"), error
        assert isinstance(error.retryable, bool), error
        assert not (error.outcome == "unknown" and error.retryable), error

    async def audit(self) -> None:
        while True:
            self.reads += 1
            nonce = f"read {self.reads}"
            try:
                (row,) = await ask("SELECT CAST(? AS TEXT) AS nonce, sum(balance) AS total FROM faults_account", nonce)
            except OxydeError as error:
                # A read takes no locks: its connection or its statement was killed.
                killed = isinstance(error, ConnectionLostError | ConnectError) or error.code in QUERY_KILLED
                assert killed, error
            else:
                assert row["nonce"] == nonce
                self.sums[int(row["total"])] += 1
            await asyncio.sleep(0.002)

    async def work(self, operations: int) -> None:
        """``at_once`` at a time; four in five are transfers, each tenth is cancelled somewhere on its way."""
        turns = asyncio.Semaphore(self.at_once)
        loop = asyncio.get_running_loop()

        async def turn(number: int) -> None:
            async with turns:
                await asyncio.sleep(self.pause * self.chance.random())
                nonce = f"operation-{number}"
                self.told[nonce] = "undone"
                operation = self.single(nonce) if number % 5 == 0 else self.transfer(nonce, again=number % 5 > 1)
                task = asyncio.create_task(operation)
                if self.chance.random() < 0.1:
                    loop.call_later(0.03 * self.chance.random(), task.cancel)
                await asyncio.wait((task,))
                if not task.cancelled():
                    task.result()

        async with asyncio.timeout(60 + operations):
            await asyncio.gather(*(turn(number) for number in range(operations)))


def kill_one(where: Where, chance: random.Random) -> int:
    """End some session of the database, or on MySQL every other time what it runs."""
    sessions = SERVERS[where.kind].sessions("faults")
    if not sessions:
        return 0
    session = chance.choice(sessions)[0]
    if where.kind == "mysql" and chance.random() < 0.5:
        with contextlib.suppress(ServerError):  # it has ended by itself
            SERVERS[where.kind].observer("faults").query(f"KILL QUERY {session}")
    else:
        SERVERS[where.kind].end_session("faults", session)
    return 1


async def disturb(where: Where, seed: int, done: Counter[str]) -> None:
    """Kill sessions of a server; on a file take the lock of its writers in another process."""
    chance = random.Random(seed)
    while not done["over"]:
        if where.kind in SERVERS:
            done["kills"] += await asyncio.to_thread(kill_one, where, chance)
            await asyncio.sleep(0.03 * chance.random())
        else:
            await asyncio.to_thread(hold_lock, where, 0.3 * chance.random())
            done["kills"] += 1
            await asyncio.sleep(0.1 * chance.random())


def hold_lock(where: Where, seconds: float) -> None:
    with Holder(where, "BEGIN IMMEDIATE"):
        time.sleep(seconds)


async def stopped(task: asyncio.Task[Any]) -> None:
    """It was at work until now, and had no error."""
    assert not task.done(), task
    task.cancel()
    await asyncio.wait((task,))
    assert task.cancelled(), task


async def test_transfers_under_kills(opened: Any, where: Where, seed: int) -> None:
    server = where.kind in SERVERS
    settings = {} if server else {"sqlite_busy_timeout": 100}
    database: AsyncDatabase = await opened(accounts=ACCOUNTS, balance=BALANCE, max_connections=CONNECTIONS, **settings)
    # On a server others wait for a connection meanwhile. For a file's lock another process waits without a queue: there
    # have to be gaps between the writers.
    bank = Bank(seed, at_once=24, pause=0.0) if server else Bank(seed, at_once=CONNECTIONS, pause=0.15)
    done = Counter[str]()
    auditors = [asyncio.create_task(bank.audit()) for _ in range(2)]
    killer = asyncio.create_task(disturb(where, seed, done))
    transfers = scaled(400)
    operations = transfers * 5 // 4
    await bank.work(operations)
    done["over"] = 1
    # What it has begun in a thread is done to the end.
    await asyncio.wait_for(killer, 30)
    for auditor in auditors:
        await stopped(auditor)
    stats = await quiet(database)
    told = Counter(bank.told.values())
    figure("transfers", where, transfers)
    figure("kills", where, done["kills"])
    print(f"{operations} operations, {done['kills']} kills, {stats['lost']} lost, {told}, {bank.seen}, {bank.sums}")

    # The sum is the same at every read, ours and somebody else's.
    assert set(bank.sums) == {ACCOUNTS * BALANCE}
    (total,), stored = outside(where, "SELECT sum(balance) FROM faults_account", "SELECT nonce FROM faults_entry")
    assert total == [ACCOUNTS * BALANCE]
    # What was acknowledged is there once, what failed is not.
    counts = Counter(nonce for (nonce,) in stored)
    for nonce, how in bank.told.items():
        assert counts[nonce] in {"done": {1}, "undone": {0}, "open": {0, 1}}[how], (nonce, how, counts[nonce])
    assert counts.keys() <= bank.told.keys()
    await check_pool(database, where)
    # There was something to survive.
    assert done["kills"] > 5
    assert sum(bank.seen.values()) > done["kills"] // 10
    assert told["done"] > operations // 2
    if server:
        assert stats["lost"] > 3
        assert bank.seen["ConnectionLostError"] + bank.seen["TransactionBrokenError"] > 0
