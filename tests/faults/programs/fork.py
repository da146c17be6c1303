"""``os.fork()`` with an open database. A child tells its parent through a pipe what it saw.

``when``: "idle" (between two runs of a loop), "in a task" (from inside a coroutine), "reading" and "writing" (with a
long statement under way), "transaction", "under load", "connecting", "in a thread".
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable
from typing import Any

from common import Account, Entry, arguments, database_at, long, long_write, prepared, quiet, report

from oxyde import AsyncDatabase, atomic, execute_raw
from oxyde.exceptions import OxydeError

URL, OPTIONS = arguments()


def forked(child: Callable[[], Any]) -> Callable[[], Any]:
    """Fork; the returned function waits for the child and gives what it returned."""
    # A child that left the parent's loop by an exception would close it, and with it the epoll that both share.
    leave = "exit" if asyncio._get_running_loop() is None else "_exit"
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        try:
            answer = json.dumps(child())
            os.write(writing, answer.encode())
            os.close(writing)
            if leave == "_exit":
                os._exit(0)
            # Through the exit handlers, as a child that returns from its main program.
            sys.exit(0)
        except SystemExit:
            raise
        except BaseException:
            traceback.print_exc()
            os._exit(99)
    os.close(writing)

    def result() -> Any:
        with os.fdopen(reading) as pipe:
            text = pipe.read()
        _, status = os.waitpid(pid, 0)
        assert os.waitstatus_to_exitcode(status) == 0, status
        return json.loads(text)

    return result


async def attempt() -> dict[str, Any]:
    """One look-up, one write and one transaction in a child."""
    account = await Account.objects.get(id=3)
    assert account.owner == "owner-3"
    entry = await Entry.objects.create(nonce=f"child {os.getpid()}")
    assert entry.nonce == f"child {os.getpid()}"
    async with atomic():
        rows = await Entry.objects.filter(nonce=f"child {os.getpid()}").count()
    return {"rows": rows}


def in_child() -> dict[str, Any]:
    """What a child can do with the inherited database, and how long it took to know."""
    started = time.perf_counter()
    try:
        found = asyncio.run(attempt())
    except OxydeError as error:
        found = {"error": type(error).__name__, "message": str(error)}
    found["seconds"] = time.perf_counter() - started
    # Nothing that was inherited breaks when it goes.
    gc.collect()
    return found


async def in_parent(database: AsyncDatabase) -> None:
    """The parent goes on as if nothing had happened."""
    assert (await Account.objects.get(id=3)).owner == "owner-3"
    assert (await Entry.objects.create(nonce="parent")).nonce == "parent"
    async with atomic():
        await Entry.objects.create(nonce="parent")
    assert (await quiet(database))["lost"] == 0


def idle() -> Any:
    async def first() -> AsyncDatabase:
        return await prepared(URL, accounts=5)

    database = asyncio.run(first())
    children = [forked(in_child)() for _ in range(2)]
    asyncio.run(in_parent(database))
    children.append(forked(in_child)())

    async def last() -> None:
        await in_parent(database)
        await database.disconnect()

    asyncio.run(last())
    return children


def grandchild() -> Any:
    """A child that forks again, after it has used the database and before."""
    asyncio.run(prepared(URL, accounts=5))

    def child() -> Any:
        first = forked(in_child)()
        own = in_child()
        return [first, own, forked(in_child)()]

    return forked(child)()


async def in_a_task() -> Any:
    database = await prepared(URL, accounts=5)
    await Account.objects.get(id=1)
    children = [forked(in_child)() for _ in range(3)]
    await in_parent(database)
    await database.disconnect()
    return children


async def busy(statement: Callable[[int], str]) -> Any:
    database = await prepared(URL, accounts=5)
    await execute_raw("SELECT 1 AS one")
    work = asyncio.create_task(execute_raw(statement(3_000_000)))
    await asyncio.sleep(0.05)
    started = time.perf_counter()
    result = forked(in_child)
    stood_still = time.perf_counter() - started
    children = [result()]
    rows = await work
    await in_parent(database)
    children.append(forked(in_child)())
    await database.disconnect()
    return {"children": children, "rows": rows, "stood_still": stood_still}


async def transaction() -> Any:
    database = await prepared(URL, accounts=5)
    async with atomic():
        await Entry.objects.create(nonce="before the fork")
        children = [forked(in_child)()]
        await Entry.objects.create(nonce="after the fork")
    await in_parent(database)
    children.append(forked(in_child)())
    await database.disconnect()
    return children


async def memory() -> Any:
    database = await prepared(URL, accounts=5)
    children = [forked(in_child)()]
    await in_parent(database)
    await database.disconnect()
    return children


async def connecting() -> Any:
    database = database_at(URL)
    opening = asyncio.create_task(database.connect())
    await asyncio.sleep(0)

    def child() -> Any:
        async def run() -> Any:
            async with asyncio.timeout(2):
                await database.connect()
                return await execute_raw("SELECT 1 AS one")

        return asyncio.run(run())

    children = [forked(child)()]
    await opening
    assert await execute_raw("SELECT 1 AS one") == [{"one": 1}]
    await database.disconnect()
    return children


async def under_load() -> Any:
    """Forks in the middle of everything; half of the children use the database."""
    database = await prepared(URL, accounts=40)
    stop = False
    done = 0

    async def work(n: int) -> None:
        nonlocal done
        while not stop:
            nonce = f"{n}-{done}"
            assert (await Account.objects.get(id=n + 1)).owner == f"owner-{n + 1}"
            async with atomic():
                assert (await Entry.objects.create(nonce=nonce)).nonce == nonce
            assert await Account.objects.filter(balance=100).count() == 40
            done += 1

    tasks = [asyncio.create_task(work(n)) for n in range(6)]
    children = []
    for n in range(OPTIONS["forks"]):
        await asyncio.sleep(0.005)
        children.append(forked(in_child if n % 2 else dict))
    # In threads: the children may have to wait for a transaction of this loop.
    children = await asyncio.gather(*(asyncio.to_thread(child) for child in children))
    stop = True
    await asyncio.gather(*tasks)
    await in_parent(database)
    await database.disconnect()
    return {"children": children, "done": done}


def in_a_thread() -> Any:
    """The main thread forks while a loop in another thread is in the middle of its work."""
    stop = threading.Event()
    started = threading.Event()
    failures = []

    async def work() -> None:
        database = await prepared(URL, accounts=40)
        started.set()
        while not stop.is_set():
            await Account.objects.get(id=5)
            await Entry.objects.create(nonce="thread")
        await database.disconnect()

    def run() -> None:
        try:
            asyncio.run(work())
        except BaseException as error:
            failures.append(repr(error))

    thread = threading.Thread(target=run)
    thread.start()
    started.wait()
    children = [forked(in_child)() for _ in range(OPTIONS["forks"])]
    stop.set()
    thread.join()
    assert not failures, failures
    return children


def main() -> None:
    kinds: dict[str, Callable[[], Any]] = {
        "idle": idle,
        "grandchild": grandchild,
        "in a task": lambda: asyncio.run(in_a_task()),
        "reading": lambda: asyncio.run(busy(long)),
        "writing": lambda: asyncio.run(busy(long_write)),
        "transaction": lambda: asyncio.run(transaction()),
        "memory": lambda: asyncio.run(memory()),
        "connecting": lambda: asyncio.run(connecting()),
        "under load": lambda: asyncio.run(under_load()),
        "in a thread": in_a_thread,
    }
    parent = os.getpid()
    result = kinds[OPTIONS["when"]]()
    if os.getpid() == parent:
        report(result=result)


main()
