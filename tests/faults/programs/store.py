"""How much memory a COPY of ``megabytes`` takes over what the process had before, at its peak, in KiB."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

from common import arguments, peak_from_now, prepared, quiet, report

URL, OPTIONS = arguments()
ROWS = 1024
"""In a megabyte."""
LINE = "x" * 1018
SQL = "COPY faults_store (number, text) FROM STDIN"


def megabyte(number: int) -> bytes:
    return "".join(f"{row % 1000:03}\t{LINE}\n" for row in range(number, number + ROWS)).encode()


def plain(megabytes: int) -> Iterator[bytes]:
    for number in range(megabytes):
        yield megabyte(number)


async def asynchronous(megabytes: int) -> AsyncIterator[bytes]:
    for piece in plain(megabytes):
        await asyncio.sleep(0)
        yield piece


async def main() -> dict[str, Any]:
    database = await prepared(URL)
    async with database.connection() as conn:
        await conn.execute("CREATE UNLOGGED TABLE faults_store (number int, text text)")
        assert await conn.copy_in(SQL, plain(2)) == 2 * ROWS
        grown = peak_from_now()
        source = asynchronous if OPTIONS["kind"] == "async" else plain
        rows = await conn.copy_in(SQL, source(OPTIONS["megabytes"]))
        kib = grown()
        (stored,) = await conn.fetch("SELECT count(*) AS n FROM faults_store")
    await quiet(database)
    await database.disconnect()
    return {"rows": rows, "stored": stored["n"], "kib": kib}


report(**asyncio.run(main()))
