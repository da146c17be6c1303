"""Tasks of every kind, cancelled at random moments; each looks whether what it got is its own.

Reports for every write which nonce it used, how many rows it wants there and what its caller was told: "done" and
"committed" (they must be there), "undone" (they must not), "open" (all or none: the caller was not told).
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from typing import Any

from common import Account, Entry, arguments, ask, long, prepared, quiet, report

from oxyde import atomic, get_connection

TOLD: dict[str, tuple[int, str]] = {}
SEEN: Counter[str] = Counter()


async def by_key(nonce: str, number: int) -> None:
    account = await Account.objects.get(id=number)
    assert (account.id, account.owner) == (number, f"owner-{number}"), (nonce, account)


async def by_range(nonce: str, number: int) -> None:
    rows = await Account.objects.filter(id__gte=number, id__lt=number + 20).order_by("id").values("id", "owner")
    assert [row["owner"] for row in rows] == [f"owner-{n}" for n in range(number, number + 20)], (nonce, rows)


async def raw(nonce: str, number: int) -> None:
    rows = await ask("SELECT CAST(? AS TEXT) AS nonce, CAST(? AS BIGINT) AS number", nonce, number)
    assert rows == [{"nonce": nonce, "number": number}], (nonce, rows)


async def counting(nonce: str, number: int) -> None:
    rows = await ask(long(number * 100) + " WHERE ? <> ''", nonce)
    assert rows == [{"total": number * 100}], (nonce, rows)


async def create(nonce: str, number: int) -> None:
    entry = await Entry.objects.create(nonce=nonce, part=number)
    assert (entry.nonce, entry.part) == (nonce, number) and entry.id, (nonce, entry)


async def bulk(nonce: str, number: int) -> None:
    made = await Entry.objects.bulk_create([Entry(nonce=nonce, part=part) for part in range(20)])
    assert [(entry.nonce, entry.part) for entry in made] == [(nonce, part) for part in range(20)], (nonce, made)


async def transaction(nonce: str, number: int) -> None:
    async with atomic():
        await Entry.objects.create(nonce=nonce, part=0)
        await asyncio.sleep(0)
        async with atomic():
            await Entry.objects.create(nonce=nonce, part=1)
        found = await Entry.objects.filter(nonce=nonce).order_by("part").values_list("part", flat=True)
        assert found == [0, 1], (nonce, found)
        assert await Entry.objects.filter(nonce=nonce, part=1).update(part=2) == 1


async def snapshot(nonce: str, number: int) -> None:
    # A transaction of SQLite is a snapshot anyway.
    level = "repeatable_read" if get_connection().backend == "postgres" else None
    async with atomic(read_only=True, isolation=level):
        first = await Entry.objects.count()
        await asyncio.sleep(0)
        assert await Entry.objects.count() == first, nonce


READS = [by_key, by_range, raw, counting, snapshot]
WRITES = {create: 1, bulk: 20, transaction: 2}


async def act(nonce: str, kind: Any, number: int) -> None:
    rows = WRITES.get(kind)
    if rows is not None:
        TOLD[nonce] = (rows, "undone")
    told = "open"
    try:
        await kind(nonce, number)
        told = "done"
        SEEN["done"] += 1
    except asyncio.CancelledError as error:
        SEEN["cancelled"] += 1
        if kind is transaction:
            told = {"committed": "done", "unknown": "open"}.get(getattr(error, "commit_outcome", ""), "undone")
            SEEN[f"commit {getattr(error, 'commit_outcome', None)}"] += 1
        raise
    finally:
        if rows is not None:
            TOLD[nonce] = (rows, told)


async def main() -> None:
    url, options = arguments()
    chance = random.Random(options["seed"])
    database = await prepared(url, accounts=500, max_connections=4)
    loop = asyncio.get_running_loop()
    failures: list[str] = []
    kinds = [*READS, *WRITES]
    for wave in range(0, options["tasks"], 250):
        tasks = []
        for n in range(wave, min(wave + 250, options["tasks"])):
            task = asyncio.create_task(act(f"nonce-{n}", chance.choice(kinds), chance.randrange(1, 400)))
            tasks.append(task)
            # Most within the time that a wave takes, some before the task has begun, some after it has ended.
            loop.call_later(chance.choice((0.0, 0.01, 0.1, 0.3)) * chance.random(), task.cancel)
        _, pending = await asyncio.wait(tasks, timeout=30)
        assert not pending, f"hanging: {pending}"
        failures += [repr(task.exception()) for task in tasks if not task.cancelled() and task.exception() is not None]
    stats = await quiet(database)
    # The pool is whole: it gives all its connections and the writer to new callers.
    await asyncio.gather(*(counting("after", 50) for _ in range(8)), *(create(f"after-{n}", n) for n in range(8)))
    await quiet(database)
    await database.disconnect()
    report(failures=failures, told=TOLD, seen=SEEN, stats=stats)


if arguments()[1].get("loop") == "uvloop":
    import uvloop

    uvloop.run(main())
else:
    asyncio.run(main())
