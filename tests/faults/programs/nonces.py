"""Statements of every kind through a pooler; each answer has to be the statement's own."""

from __future__ import annotations

import asyncio
import os
import random

from common import Account, Entry, arguments, database_at, quiet, report

from oxyde import atomic, execute_raw


async def work(name: str, times: int, chance: random.Random) -> int:
    done = 0
    while done < times:
        nonce, number = f"{name}-{done}", chance.randrange(1, 100)
        match chance.randrange(6):
            case 0:
                assert (await Account.objects.get(id=number)).owner == f"owner-{number}"
            case 1:
                rows = await Account.objects.filter(id__gte=number).order_by("id").limit(3).values("id", "owner")
                assert [row["owner"] for row in rows] == [f"owner-{n}" for n in range(number, number + 3)], rows
            case 2:
                # A text of its own for every statement: nothing may be taken for another's.
                (row,) = await execute_raw(f"SELECT $1::text AS nonce, {number} AS n{number}", [nonce])
                assert row == {"nonce": nonce, f"n{number}": number}
            case 3:
                assert (await Entry.objects.create(nonce=nonce, part=number)).nonce == nonce
                done += 1
                (entry,) = await Entry.objects.filter(nonce=nonce)
                assert entry.part == number
            case 4:
                async with atomic():
                    await Entry.objects.create(nonce=nonce, part=number)
                    assert await Entry.objects.filter(nonce=nonce).count() == 1
                    assert await Account.objects.filter(id=number).exists()
                done += 2
            case _:
                made = await Entry.objects.bulk_create([Entry(nonce=nonce, part=part) for part in range(3)])
                assert [entry.part for entry in made] == [0, 1, 2]
        done += 1
    return done


async def main() -> None:
    url, options = arguments()
    database = database_at(url, max_connections=20, pgbouncer=options.get("pgbouncer", "auto"))
    await database.connect()
    chance = random.Random(options["seed"])
    times = options["statements"] // 20 + 1
    done = await asyncio.gather(*(work(f"{os.getpid()}-{n}", times, chance) for n in range(20)))
    stats = await quiet(database)
    await database.disconnect()
    report(done=sum(done), stats=stats)


asyncio.run(main())
