"""A connection and a lock that nobody closes, in an event loop that ends; the next loop uses the database."""

from __future__ import annotations

import asyncio
import warnings
from typing import Any

from common import arguments, database_at, report

from oxyde import AsyncDatabase, advisory_lock, execute_raw

warnings.simplefilter("ignore", ResourceWarning)
kept: list[Any] = []


async def keep(database: AsyncDatabase) -> None:
    await database.connect()
    kept.append(database.connection())
    await kept[-1].__aenter__()
    if database.backend != "sqlite":
        kept.append(advisory_lock("kept"))
        await kept[-1].__aenter__()


async def use(database: AsyncDatabase) -> None:
    async with asyncio.timeout(5):
        async with database.connection() as conn:
            [row] = await conn.fetch("SELECT 1 AS value")
        if database.backend != "sqlite":
            async with advisory_lock("kept"):
                pass
        assert await execute_raw("SELECT 1 AS value") == [row]
    report(value=row["value"], in_use=database.stats()["in_use"])
    await database.disconnect()


if __name__ == "__main__":
    database = database_at(arguments()[0], max_connections=2)
    asyncio.run(keep(database))
    asyncio.run(use(database))
