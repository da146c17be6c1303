"""How much the process grows over many operations, as the kernel sees it."""

from __future__ import annotations

import asyncio
import gc
import os

from common import Account, Entry, arguments, prepared, report

from oxyde import AsyncDatabase, atomic, execute_raw


def resident() -> int:
    with open("/proc/self/statm") as numbers:
        return int(numbers.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024


REPEATED = "SELECT CAST(repeat('x', 100000) AS BINARY) AS big"
BIG = {
    "sqlite": "SELECT zeroblob(100000) AS big",
    "postgres": "SELECT decode(repeat('00', 100000), 'hex') AS big",
    "mysql": REPEATED,
    "mariadb": REPEATED,
}


async def work(database: AsyncDatabase, rounds: int) -> None:
    for n in range(rounds):
        await Account.objects.get(id=n % 100 + 1)
        rows = await Account.objects.filter(id__gt=0).all()
        assert len(rows) == 100
        async with atomic():
            await Entry.objects.bulk_create([Entry(nonce="x" * 100, part=part) for part in range(20)])
            await Entry.objects.filter(nonce="x" * 100).delete()
        await execute_raw(BIG[database.backend])
        task = asyncio.ensure_future(Account.objects.filter(balance__gt=n).count())
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait((task,))


async def main() -> None:
    url, options = arguments()
    database = await prepared(url, accounts=100)
    await work(database, options["rounds"] // 4)
    gc.collect()
    before = resident()
    await work(database, options["rounds"])
    gc.collect()
    grown = resident() - before
    await database.disconnect()
    report(kib=grown)


if __name__ == "__main__":
    asyncio.run(main())
