"""A mixed load for some time, and what the process and the server have at its quiet moments.

Every round is reads, writes, transactions, errors and cancellations by several tasks, while sessions are killed. After
each, when the pool is quiet, it takes a sample: resident memory, descriptors besides connections, threads, tasks,
objects and references, and the server's sessions.
"""

from __future__ import annotations

import asyncio
import gc
import os
import random
import sys
import threading
import time
from collections import Counter
from typing import Any

from common import MYSQL, Account, Entry, arguments, ask, long, prepared, quiet, report
from grow import resident

from oxyde import AsyncDatabase, F, OxydeError, PoolSettings, atomic, execute_raw
from oxyde.exceptions import UniqueViolationError

WORKERS = 8
ROUND = 0.4

SESSIONS = {
    "postgres": "SELECT pid AS id FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()",
    # Its older list fails over letters beyond the basic plane in anybody's statement.
    "mysql": "SELECT id FROM performance_schema.processlist WHERE db = database() AND id <> connection_id()",
    "mariadb": "SELECT id FROM information_schema.processlist WHERE db = database() AND id <> connection_id()",
}


class Soak:
    def __init__(self, database: AsyncDatabase, aside: AsyncDatabase, options: dict[str, Any]) -> None:
        self.database, self.aside = database, aside
        self.chance = random.Random(options["seed"])
        self.seen: Counter[str] = Counter()
        self.observer = options["observer"]
        """The test's own session."""

    # -- the load

    async def act(self, nonce: str) -> None:
        number = self.chance.randrange(1, 101)
        match self.chance.randrange(10):
            case 0:
                assert (await Account.objects.get(id=number)).id == number
            case 1:
                assert len(await Account.objects.filter(id__lte=number).order_by("-id")) == number
            case 2:
                assert await Account.objects.filter(id=number).values_list("id", flat=True) == [number]
            case 3:
                await Entry.objects.create(nonce=nonce, part=number)
            case 4:
                await Entry.objects.bulk_create([Entry(nonce=nonce, part=part) for part in range(20)])
            case 5:
                try:
                    async with atomic():
                        await Account.objects.filter(id=number).update(balance=F("balance") + 1)
                        async with atomic():
                            await Entry.objects.create(nonce=nonce, part=number)
                        raise LookupError
                except LookupError:
                    pass
            case 6:
                async with atomic(retries=0):
                    await Account.objects.filter(id=number).update(balance=F("balance") + 1)
            case 7:
                try:
                    await Account.objects.create(owner="owner-1")
                except UniqueViolationError:
                    pass
                else:
                    raise AssertionError("two owners of one name")
            case 8:
                # More texts than are remembered.
                assert await ask(f"SELECT {self.chance.randrange(10_000)} AS n, CAST(? AS BIGINT) AS m", number)
            case _:
                await ask(long(20_000))

    async def worker(self, name: str, until: float) -> None:
        n = 0
        while time.monotonic() < until:
            n += 1
            task = asyncio.create_task(self.act(f"{name}-{n}"))
            if self.chance.random() < 0.15:
                asyncio.get_running_loop().call_later(0.005 * self.chance.random(), task.cancel)
            await asyncio.wait((task,))
            if task.cancelled():
                self.seen["cancelled"] += 1
            elif (error := task.exception()) is None:
                self.seen["done"] += 1
            elif isinstance(error, OxydeError):
                self.seen[type(error).__name__] += 1
            else:
                raise error

    async def sessions(self) -> list[int]:
        """Those of the pool, as the server sees them."""
        if self.aside.backend not in SESSIONS:
            return []
        rows = await execute_raw(SESSIONS[self.aside.backend], client=self.aside)
        return [row["id"] for row in rows if row["id"] != self.observer]

    async def killer(self, until: float) -> None:
        while time.monotonic() < until:
            if found := await self.sessions():
                session = self.chance.choice(found)
                text = f"KILL {session}" if self.aside.backend in MYSQL else f"SELECT pg_terminate_backend({session})"
                try:
                    await execute_raw(text, client=self.aside)
                    self.seen["kills"] += 1
                except OxydeError:
                    self.seen["gone already"] += 1
            await asyncio.sleep(0.2 * self.chance.random())

    # -- the samples

    async def sample(self) -> dict[str, Any]:
        stats = await quiet(self.database)
        await Entry.objects.delete()
        await quiet(self.database)
        deadline = time.monotonic() + 2
        while len(await self.sessions()) > self.database.stats()["size"]:
            assert time.monotonic() < deadline, (await self.sessions(), self.database.stats())
            await asyncio.sleep(0.01)
        for _ in range(3):
            await asyncio.sleep(0)
        gc.collect()
        stats = self.database.stats()
        assert not stats["in_use"], stats
        return {
            "kib": resident(),
            "descriptors": len(os.listdir("/proc/self/fd")) - stats["size"],
            "threads": threading.active_count(),
            "tasks": len(asyncio.all_tasks()),
            "objects": len(gc.get_objects()),
            "references": sys.getrefcount(Account) + sys.getrefcount(type(self)) + sys.getrefcount(OxydeError),
        }

    async def run(self, seconds: float) -> list[dict[str, Any]]:
        samples = []
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            until = time.monotonic() + ROUND
            work = [self.worker(f"{len(samples)}-{n}", until) for n in range(WORKERS)]
            await asyncio.gather(*work, self.killer(until))
            while True:
                try:
                    samples.append(await self.sample())
                    break
                except OxydeError as error:
                    # A connection that was killed a moment ago.
                    self.seen[type(error).__name__] += 1
        return samples


async def main() -> None:
    url, options = arguments()
    database = await prepared(url, accounts=100, max_connections=WORKERS)
    async with AsyncDatabase(url, name="aside", auto_register=False, settings=PoolSettings(max_connections=1)) as aside:
        soak = Soak(database, aside, options)
        samples = await soak.run(options["lasts"])
        await database.disconnect()
    report(samples=samples, seen=soak.seen)


if __name__ == "__main__":
    asyncio.run(main())
