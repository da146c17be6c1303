"""A process that ends with queries in flight, in one of many ways (``how``)."""

from __future__ import annotations

import asyncio
import atexit
import json
import os
import signal
import sys
import threading
import time

URL, OPTIONS = sys.argv[1], json.loads(sys.argv[2])
HOW = OPTIONS["how"]


def late() -> None:
    """An exit handler older than oxyde runs when the engine has stopped: its calls fail, they do not hang."""
    try:
        asyncio.run(execute_raw("SELECT 1"))
    except OperationalError:
        asyncio.run(db.close())
    else:
        os._exit(98)


if HOW == "handler that uses it":
    atexit.register(late)

from common import ENDLESS, Account, Entry, long, long_write, prepared  # noqa: E402

from oxyde import atomic, db, execute_raw  # noqa: E402
from oxyde.exceptions import OperationalError  # noqa: E402


async def endless(nonce: str) -> None:
    """Reads, look-ups and transactions; none of those that are not acknowledged may be found later."""
    n = 0
    while True:
        n += 1
        await Account.objects.get(id=1)
        async with atomic():
            await Entry.objects.create(nonce=f"{nonce} {n}", part=0)
            await asyncio.sleep(0)
            await Entry.objects.create(nonce=f"{nonce} {n}", part=1)
        with open(OPTIONS["told"], "a") as told:
            told.write(f"{nonce} {n}\n")


async def busy() -> list[asyncio.Task[object]]:
    """Everything that can be under way: readers and the writer at work, others in their queues, a transaction open."""
    await prepared(URL, accounts=5)
    texts = [long, long, long, long_write] if OPTIONS.get("long", True) else []
    tasks: list[asyncio.Task[object]] = [asyncio.create_task(execute_raw(text(ENDLESS))) for text in texts]
    tasks += [asyncio.create_task(endless(f"task {n}")) for n in range(4)]
    tasks += [asyncio.create_task(Entry.objects.create(nonce="queued")) for _ in range(20)]
    await asyncio.sleep(OPTIONS.get("seconds", 0.05))
    return tasks


async def main() -> None:
    tasks = await busy()
    if HOW == "return":
        return
    if HOW == "exit":
        sys.exit(7)
    if HOW == "exception":
        raise LookupError("the program's own")
    if HOW == "exit handler":
        # Younger than oxyde: the database still works.
        atexit.register(lambda: asyncio.run(execute_raw("INSERT INTO faults_entry (nonce, part) VALUES ('bye', 0)")))
        sys.exit(7)
    if HOW == "handler that uses it":
        sys.exit(7)
    if HOW == "SIGTERM handled":
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, tasks[0].cancel)
    if HOW in ("SIGINT", "SIGTERM", "SIGTERM handled", "SIGKILL"):
        print("ready", flush=True)
        try:
            await tasks[0]
        except asyncio.CancelledError:
            if HOW != "SIGTERM handled":
                raise
            return
    raise AssertionError(HOW)


def in_a_thread(daemon: bool) -> None:
    """The loop runs in another thread when the main thread ends."""
    started = threading.Event()

    async def work() -> None:
        tasks = await busy()
        started.set()
        await asyncio.wait(tasks, timeout=3600 if daemon else 0.2)

    thread = threading.Thread(target=lambda: asyncio.run(work()), daemon=daemon)
    thread.start()
    started.wait()
    time.sleep(0.02)


def never_closed() -> None:
    """A loop that is neither run to its end nor closed."""
    loop = asyncio.new_event_loop()
    kept.append((loop, loop.run_until_complete(busy())))


kept: list[object] = []

if HOW == "thread":
    in_a_thread(daemon=False)
elif HOW == "daemon thread":
    in_a_thread(daemon=True)
elif HOW == "never closed":
    never_closed()
elif OPTIONS.get("loop") == "uvloop":
    import uvloop

    uvloop.run(main())
else:
    asyncio.run(main())
