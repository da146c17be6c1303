"""Tasks that read, think and write the balance of one account, beside another process that does the same."""

from __future__ import annotations

import asyncio

from common import Account, arguments, database_at, report

from oxyde import atomic


async def main() -> None:
    url, options = arguments()
    database = database_at(url)
    await database.connect()
    added = 0

    async def add() -> None:
        nonlocal added
        for _ in range(options["times"]):
            async with atomic():
                account = await Account.objects.get(id=1)
                await asyncio.sleep(0)
                await Account.objects.filter(id=1).update(balance=account.balance + 1)
            added += 1

    await asyncio.gather(*(add() for _ in range(options["tasks"])))
    await database.disconnect()
    report(added=added)


asyncio.run(main())
