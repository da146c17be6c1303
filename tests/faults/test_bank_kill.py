"""Transfers while sessions are killed, tasks cancelled and locks held by others: no money is made or lost."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections import Counter
from typing import Any

from oxyde import AsyncDatabase, F, OxydeError, atomic, execute_raw
from tests.servers.mysql_wire import ServerError

from .figures import figure
from .harness import SERVERS, Holder, Where, check_pool, outside, scaled
from .programs.common import Account, Entry, quiet

ACCOUNTS, BALANCE = 20, 1000
AT_ONCE = 8


class Bank:
    """``told`` says of every transfer what its caller was told: "done", "undone", or "open" when nobody knows."""

    def __init__(self, seed: int, pause: float) -> None:
        self.pause = pause
        self.chance = random.Random(seed)
        self.told: dict[str, str] = {}
        self.seen: Counter[str] = Counter()
        self.sums: Counter[int] = Counter()

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

    async def transfer(self, nonce: str) -> None:
        """Try until the answer is definite; a lost answer to COMMIT is the end, too."""
        self.told[nonce] = "undone"
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
                self.seen[type(error).__name__] += 1
                assert error.outcome in ("not_applied", "unknown"), error
                assert isinstance(error.retryable, bool), error
                if error.outcome == "unknown":
                    assert not error.retryable, error
                    if type(error).__name__ == "CommitUnknownError":
                        self.told[nonce] = "open"
                        return
                # Without COMMIT nothing of the transaction can be there.
                await asyncio.sleep(0.01)
            else:
                self.told[nonce] = "done"
                return

    async def audit(self) -> None:
        while True:
            with contextlib.suppress(OxydeError):
                (row,) = await execute_raw("SELECT sum(balance) AS total FROM faults_account")
                self.sums[int(row["total"])] += 1
            await asyncio.sleep(0.002)

    async def work(self, transfers: int) -> None:
        """``AT_ONCE`` at a time; each tenth is cancelled somewhere on its way."""
        turns = asyncio.Semaphore(AT_ONCE)
        loop = asyncio.get_running_loop()

        async def turn(number: int) -> None:
            async with turns:
                await asyncio.sleep(self.pause * self.chance.random())
                task = asyncio.create_task(self.transfer(f"transfer-{number}"))
                if self.chance.random() < 0.1:
                    loop.call_later(0.03 * self.chance.random(), task.cancel)
                await asyncio.wait((task,))
                if not task.cancelled():
                    task.result()

        async with asyncio.timeout(60 + transfers):
            await asyncio.gather(*(turn(number) for number in range(transfers)))


def kill_one(where: Where, chance: random.Random) -> int:
    """End some session of the database, or on MySQL every other time what it runs."""
    sessions = SERVERS[where.kind].sessions("faults")
    if not sessions:
        return 0
    session = chance.choice(sessions)[0]
    observer = SERVERS[where.kind].observer("faults")
    if where.kind == "postgres":
        observer.query(f"SELECT pg_terminate_backend({session})")
    else:
        with contextlib.suppress(ServerError):  # it has ended by itself
            observer.query(f"KILL {chance.choice(('QUERY', ''))} {session}")
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
    settings = {} if where.kind in SERVERS else {"sqlite_busy_timeout": 100}
    database: AsyncDatabase = await opened(accounts=ACCOUNTS, balance=BALANCE, max_connections=AT_ONCE, **settings)
    # Another process waits for a file's lock without a queue: there have to be gaps between the writers.
    bank, done = Bank(seed, 0.0 if where.kind in SERVERS else 0.15), Counter[str]()
    auditor = asyncio.create_task(bank.audit())
    killer = asyncio.create_task(disturb(where, seed, done))
    transfers = scaled(400)
    await bank.work(transfers)
    done["over"] = 1
    # What it has begun in a thread is done to the end.
    await asyncio.wait_for(killer, 30)
    await stopped(auditor)
    await quiet(database)
    figure("transfers", where, transfers)
    figure("kills", where, done["kills"])
    print(f"{transfers} transfers, {done['kills']} kills, {Counter(bank.told.values())}, {bank.seen}, {bank.sums}")

    # The sum is the same at every read, ours and somebody else's.
    assert set(bank.sums) == {ACCOUNTS * BALANCE}
    (total,), stored = outside(where, "SELECT sum(balance) FROM faults_account", "SELECT nonce FROM faults_entry")
    assert total == [ACCOUNTS * BALANCE]
    # What was acknowledged is there once, what failed is not.
    counts = Counter(nonce for (nonce,) in stored)
    for nonce, told in bank.told.items():
        assert counts[nonce] in {"done": {1}, "undone": {0}, "open": {0, 1}}[told], (nonce, told, counts[nonce])
    assert counts.keys() <= bank.told.keys()
    await check_pool(database, where)
    # There was something to survive.
    assert done["kills"] > 5
    assert sum(bank.seen.values()) > done["kills"] // 10
    assert Counter(bank.told.values())["done"] > transfers // 2
