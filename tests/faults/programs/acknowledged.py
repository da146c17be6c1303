"""Writes in every way as fast as it can, and says on stdout which rows the database has, until it is killed."""

from __future__ import annotations

import asyncio

from common import Entry, arguments, prepared

from oxyde import atomic

URL, OPTIONS = arguments()
WRITERS = 3


async def write(writer: int) -> None:
    n = 0
    while True:
        n += 1
        name = f"{OPTIONS['life']} {writer} {n}"
        match (n + writer) % 3:
            case 0:
                await Entry.objects.create(nonce=name, part=0)
                say(name, 1)
            case 1:
                await Entry.objects.bulk_create([Entry(nonce=name, part=part) for part in range(50)])
                say(name, 50)
            case 2:
                async with atomic():
                    for part in range(3):
                        await Entry.objects.create(nonce=name, part=part)
                say(name, 3)


def say(name: str, rows: int) -> None:
    print(name, rows, sep=",", flush=True)


async def main() -> None:
    await prepared(URL)
    await asyncio.gather(*(write(n) for n in range(WRITERS)))


asyncio.run(main())
