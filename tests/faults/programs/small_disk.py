"""Fills a file up to a limit of its size: every write past it fails as itself, and what was acknowledged stays."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
from pathlib import Path

from common import Entry, arguments, prepared, quiet, report

from oxyde import OperationalError, atomic

URL, OPTIONS = arguments()
LIMIT = 300_000
LONG = "x" * 60_000


async def fails(work: object) -> str:
    try:
        await work  # type: ignore[misc]
    except OperationalError as error:
        assert not error.retryable and error.outcome == "not_applied", error
        return str(error)
    raise AssertionError("there was room")


async def main() -> None:
    database = await prepared(URL)
    # Past the limit a write fails like one to a broken disk.
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT, resource.RLIM_INFINITY))
    written = 0
    while written < 100:
        try:
            await Entry.objects.create(nonce=LONG[: 20_000 + written])
        except OperationalError:
            break
        written += 1
    messages = [await fails(Entry.objects.bulk_create([Entry(nonce=LONG) for _ in range(20)]))]
    messages.append(await fails(Entry.objects.create(nonce=LONG * 5)))

    async def block() -> None:
        async with atomic():
            await Entry.objects.bulk_create([Entry(nonce=LONG) for _ in range(20)])

    messages.append(await fails(block()))
    kept = await Entry.objects.count()
    await quiet(database)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    await Entry.objects.create(nonce="room again")
    after = await Entry.objects.count()
    await database.disconnect()
    left = sorted(path.name for path in Path(OPTIONS["folder"]).iterdir())
    report(written=written, kept=kept, after=after, messages=messages, left=left, pid=os.getpid())


asyncio.run(main())
