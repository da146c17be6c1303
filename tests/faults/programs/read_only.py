"""Reads and writes a file that this user may only read, in a directory where this user may make nothing."""

from __future__ import annotations

import asyncio
import os

from common import Entry, arguments, database_at, report

from oxyde import OxydeError, atomic

URL, OPTIONS = arguments()
NOBODY = 65534


async def refusal(work: object) -> list[object]:
    try:
        await work  # type: ignore[misc]
    except OxydeError as error:
        return [type(error).__name__, str(error), error.retryable, error.outcome]
    raise AssertionError("it was written")


async def main() -> None:
    if os.geteuid() == 0:  # who may write anything
        os.seteuid(NOBODY)
    database = database_at(URL)
    await database.connect()

    async def block() -> None:
        async with atomic():
            await Entry.objects.create(nonce="never")

    rows = [entry.nonce for entry in await Entry.objects.order_by("id")]
    refused = [
        await refusal(Entry.objects.create(nonce="never")),
        await refusal(Entry.objects.bulk_create([Entry(nonce="never")])),
        await refusal(block()),
        await refusal(Entry.objects.filter(id=1).delete()),
    ]
    async with atomic(read_only=True):
        found = (await Entry.objects.get(id=1)).nonce
    await database.disconnect()
    report(rows=rows, refused=refused, found=found)


asyncio.run(main())
