"""Workers of ``multiprocessing`` that use the database that their parent has open."""

from __future__ import annotations

import asyncio
import multiprocessing
import os

from common import Account, Entry, arguments, database_at, prepared, report

from oxyde import atomic
from oxyde.db import registry


async def use(url: str, number: int) -> int:
    # A worker that was spawned has nothing; one that was forked has its parent's database.
    if "default" not in registry.connections:
        await database_at(url).connect()
    account = await Account.objects.get(id=number + 1)
    assert account.owner == f"owner-{number + 1}"
    async with atomic():
        await Entry.objects.create(nonce=f"{os.getpid()} {number}")
    return number


def work(url: str, number: int) -> int:
    return asyncio.run(use(url, number))


async def main() -> None:
    url, options = arguments()
    database = await prepared(url, accounts=options["tasks"])
    context = multiprocessing.get_context(options["method"])
    with context.Pool(options["workers"]) as pool:
        pending = pool.starmap_async(work, [(url, number) for number in range(options["tasks"])])
        while not pending.ready():
            assert (await Account.objects.get(id=1)).owner == "owner-1"
            await asyncio.sleep(0.001)
        answers = pending.get()
        pool.close()
        pool.join()
    await database.disconnect()
    report(answers=answers)


if __name__ == "__main__":
    asyncio.run(main())
