"""Threads with loops of their own that write and read single rows as fast as they can, until told or for ever."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from typing import Any

from common import Account, Entry, arguments, prepared, quiet, report

from oxyde import F, atomic

URL, OPTIONS = arguments()
STOP = threading.Event()
ROUNDS: int = OPTIONS.get("rounds", 0)
written: dict[str, int] = {}


async def hammer(name: str) -> None:
    n = 0
    while not STOP.is_set() and (not ROUNDS or n < ROUNDS):
        n += 1
        entry = await Entry.objects.create(nonce=f"{name} {n}")
        await Account.objects.filter(id=1).update(balance=F("balance") + 1)
        assert (await Entry.objects.get(id=entry.id)).nonce == entry.nonce
        if n % 3 == 0:
            await Entry.objects.filter(id=entry.id).delete()
        if n % 10 == 0:
            async with atomic():
                account = await Account.objects.get(id=1)
                account.balance += 1
                await account.save(update_fields=["balance"])
        written[name] = n


async def several(name: str, tasks: int) -> None:
    await asyncio.gather(*(hammer(f"{name} {task}") for task in range(tasks)))


def start(daemon: bool) -> list[threading.Thread]:
    threads = [
        threading.Thread(target=asyncio.run, args=(several(f"thread {n}", OPTIONS["tasks"]),), daemon=daemon)
        for n in range(OPTIONS["threads"])
    ]
    for thread in threads:
        thread.start()
    return threads


async def main() -> dict[str, Any]:
    database = await prepared(URL, accounts=1, balance=0)
    threads = start(OPTIONS["how"] == "left")
    if OPTIONS["how"] == "left":
        time.sleep(OPTIONS["seconds"])
        return {"written": sum(written.values())}
    longest, before = 0.0, time.perf_counter()
    while any(thread.is_alive() for thread in threads):
        await asyncio.sleep(0.001)
        now = time.perf_counter()
        longest, before = max(longest, now - before), now
    balance = (await Account.objects.get(id=1)).balance
    entries = await Entry.objects.count()
    stats = await quiet(database)
    await database.disconnect()
    return {"written": written, "balance": balance, "entries": entries, "lost": stats["lost"], "longest": longest}


if OPTIONS["how"] == "left":
    # The interpreter leaves while the daemon threads go on.
    loop = asyncio.new_event_loop()
    result = loop.run_until_complete(main())
    report(**result)
    loop.close()
    sys.exit(OPTIONS["status"])
report(**asyncio.run(main()))
