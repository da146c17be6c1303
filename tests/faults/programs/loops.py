"""Event loops: many one after another, several beside each other, closed in the middle of things, none at all.

``how``: "runs" (asyncio.run many times with one database), "reopened" (a database for each), "threads", "abandoned"
(loops that are closed with operations and a transaction under way), "no loop".
"""

from __future__ import annotations

import asyncio
import gc
import os
import random
import threading
import time
import warnings
import weakref
from typing import Any

from common import ENDLESS, Account, Entry, arguments, ask, database_at, long, prepared, quiet, report

from oxyde import AsyncDatabase, atomic, execute_raw
from oxyde.exceptions import TransactionTaskError

URL, OPTIONS = arguments()


def new_runner() -> Any:
    """``asyncio.run``, or uvloop's."""
    if OPTIONS.get("loop") == "uvloop":
        import uvloop

        return uvloop.run
    return asyncio.run


run = new_runner()


def resources() -> dict[str, int]:
    gc.collect()

    def threads() -> int:
        return len(os.listdir("/proc/self/task"))

    # The system shows a thread for a moment after its last instruction.
    end = time.monotonic() + 0.5
    while threads() > 1 and time.monotonic() < end:
        time.sleep(0.01)
    return {"fds": len(os.listdir("/proc/self/fd")), "threads": threads()}


async def use(nonce: str, number: int = 3) -> None:
    """A bit of everything, each checked."""
    assert (await Account.objects.get(id=number)).owner == f"owner-{number}"
    assert await Account.objects.filter(balance=100).count() == 5
    async with atomic():
        assert (await Entry.objects.create(nonce=nonce)).nonce == nonce
        assert await Entry.objects.filter(nonce=nonce).count() == 1
    assert await ask("SELECT CAST(? AS TEXT) AS nonce", nonce) == [{"nonce": nonce}]


def runs() -> dict[str, Any]:
    """Some runs are cancelled by their end: a task is still at work when the main coroutine returns."""
    database = run(prepared(URL, accounts=5, max_connections=2))

    async def main(n: int) -> None:
        task = asyncio.create_task(execute_raw(long(ENDLESS))) if n % 5 == 0 else None
        await asyncio.sleep(0)
        await asyncio.gather(*(use(f"{n}-{part}") for part in range(4)))
        if task is not None:
            assert not task.done()

    seen = []
    for n in range(OPTIONS["times"]):
        run(main(n))
        if n in (9, OPTIONS["times"] - 1):
            run(quiet(database))
            seen.append(resources())
    run(database.disconnect())
    return {"early": seen[0], "late": seen[1], "end": resources(), "entries": OPTIONS["times"] * 4}


def reopened() -> dict[str, Any]:
    async def main(n: int) -> None:
        database = database_at(URL)
        async with database:
            await use(f"{n}")

    async def first() -> None:
        await (await prepared(URL, accounts=5)).disconnect()

    run(first())
    seen = []
    for n in range(OPTIONS["times"]):
        run(main(n))
        if n in (9, OPTIONS["times"] - 1):
            seen.append(resources())
    return {"early": seen[0], "late": seen[1], "end": seen[1], "entries": OPTIONS["times"]}


def threads() -> dict[str, Any]:
    """Loops in threads of their own share one database; a transaction belongs to one loop."""
    database = run(prepared(URL, accounts=5, max_connections=4))
    failures: list[BaseException] = []
    shared: list[Any] = []
    done: list[int] = []
    ready, go_on = threading.Event(), threading.Event()

    async def work(name: int) -> None:
        chance = random.Random(OPTIONS["seed"] + name)
        loop = asyncio.get_running_loop()

        async def one(n: int) -> None:
            try:
                await use(f"{name}-{n}", n % 5 + 1)
            except asyncio.CancelledError:
                cancelled.append(n)
                raise

        cancelled: list[int] = []
        for wave in range(OPTIONS["waves"]):
            tasks = [asyncio.create_task(one(wave * 20 + n)) for n in range(20)]
            for task in chance.sample(tasks, 3):
                loop.call_later(0.01 * chance.random(), task.cancel)
            results = await asyncio.gather(*tasks, return_exceptions=True)
            errors = [error for error in results if error is not None and not isinstance(error, asyncio.CancelledError)]
            assert not errors, errors
        done.append(name)
        if name == 0:
            # The transaction keeps the writer until another loop has tried to use it: nobody else may need it then.
            while len(done) < 3:
                await asyncio.sleep(0.001)
            async with atomic() as transaction:
                shared.append(transaction)
                ready.set()
                while not go_on.is_set():
                    await asyncio.sleep(0.001)
        elif name == 1:
            while not ready.is_set():
                await asyncio.sleep(0.001)
            try:
                await Entry.objects.create(nonce="wrong loop", client=shared[0])
            except TransactionTaskError as error:
                assert "another event loop" in str(error)
            else:
                raise AssertionError("a transaction was used in another loop")
            finally:
                go_on.set()

    def thread(name: int) -> None:
        try:
            run(work(name))
        except BaseException as error:
            failures.append(error)
            done.extend(range(3))
            ready.set()
            go_on.set()

    crew = [threading.Thread(target=thread, args=(name,)) for name in range(3)]
    for member in crew:
        member.start()
    for member in crew:
        member.join(60)
    assert not any(member.is_alive() for member in crew)
    assert not failures, failures
    stats = run(quiet(database))
    run(database.disconnect())
    return {"stats": stats}


def abandoned() -> dict[str, Any]:
    """A loop that is closed without cancelling its tasks: they are lost, the database is not."""
    database = run(prepared(URL, accounts=5))
    # The forgotten transactions are what this is about; when they are collected is the interpreter's affair.
    warnings.filterwarnings("ignore", "a transaction on", ResourceWarning)
    witnesses = []

    async def endless() -> None:
        await execute_raw(long(ENDLESS))

    async def writer() -> None:
        async with atomic():
            await Entry.objects.create(nonce="lost")
            await asyncio.sleep(3600)

    async def waiter() -> None:
        await Entry.objects.create(nonce="waits for the writer")

    async def reader() -> None:
        async for _ in Account.objects.iterate(2):
            await asyncio.sleep(3600)

    for n in range(3):
        loop = asyncio.new_event_loop()
        # The default handler would say "Task was destroyed but it is pending!".
        loop.set_exception_handler(lambda *_: None)
        tasks = [loop.create_task(kind()) for kind in (endless, writer, waiter, reader)]
        loop.run_until_complete(asyncio.sleep(0.05))
        loop.close()
        witnesses += [weakref.ref(task) for task in tasks]
        del tasks, loop

        async def main() -> None:
            async with asyncio.timeout(5):
                await use(f"after {n}")  # noqa: B023 - runs before the next turn

        run(main())
    gc.collect()
    alive = sum(witness() is not None for witness in witnesses)
    stats = run(quiet(database))
    run(database.disconnect())
    return {"alive": alive, "stats": stats}


def no_loop() -> dict[str, Any]:
    """Called by hand, without a loop: a clear error, and nothing stays behind."""
    database: AsyncDatabase = run(prepared(URL, accounts=5))
    messages = []

    async def block() -> None:
        async with atomic():
            raise AssertionError("never")

    for make in (
        lambda: Entry.objects.create(nonce="never"),
        lambda: Entry.objects.bulk_create([Entry(nonce="never")]),
        lambda: Account.objects.filter(balance=1).count(),
        lambda: execute_raw("SELECT 1"),
        block,
        database.ping,
        database.disconnect,
    ):
        coroutine = make()
        try:
            coroutine.send(None)
        except RuntimeError as error:
            messages.append(str(error))
        else:
            messages.append("no error")
    if not database.connected:
        run(database.connect())
    stats = run(quiet(database))
    run(use("after"))
    run(database.disconnect())
    return {"messages": messages, "stats": stats}


kinds = {"runs": runs, "reopened": reopened, "threads": threads, "abandoned": abandoned, "no loop": no_loop}
report(**kinds[OPTIONS["how"]]())
