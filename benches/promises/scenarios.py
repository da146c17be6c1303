"""The faults, each provoked once, and what the program and somebody who looks at the server see.

A scenario answers a line for the table. ``!`` in front marks what a program cannot notice or has to wait for: data
that are gone after a clean end, statements outside of their transaction, servers that go on working.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from typing import Any

from asked import Contender, Run

from tests.servers import mysql_wire, wire
from tests.servers.proxy import Proxy

PATIENCE = 8.0
LIMIT = 2.0
SLEEP = {"postgres": "SELECT pg_sleep(30)", "mysql": "SELECT SLEEP(30)"}
BUSY = {
    "postgres": "SELECT count(*) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(30)' AND state = 'active'",
    "mysql": "SELECT count(*) FROM information_schema.processlist WHERE info = 'SELECT SLEEP(30)'",
}


class Outside:
    """Somebody who looks at the database and has nothing to do with the contender."""

    def __init__(self, family: str, url: str) -> None:
        self.family, self.url = family, url
        self.connection: Any = (wire if family == "postgres" else mysql_wire).Connection(url)

    def number(self, sql: str) -> int:
        return int(self.connection.query(sql)[0][0])

    def kept(self, name: str) -> bool:
        return self.number(f"SELECT count(*) FROM promise WHERE name = '{name}'") > 0

    async def stopped(self) -> float | None:
        """Seconds until the server no longer works on the statement."""
        began = time.monotonic()
        while self.number(BUSY[self.family]):
            if time.monotonic() - began > PATIENCE:
                return None
            await asyncio.sleep(0.01)
        return time.monotonic() - began


def called(error: BaseException | None) -> str:
    return f"`{type(error).__name__}`" if error is not None else "no error"


async def outcome(work: Awaitable[Any], patience: float = PATIENCE) -> tuple[BaseException | None, float]:
    """What it raises, and how long that takes; `TimeoutError` after our patience is a wait without end."""
    began = time.monotonic()
    task = asyncio.ensure_future(work)
    done, _ = await asyncio.wait((task,), timeout=patience)
    if not done:
        task.cancel()
        return EndlessWaitError(), patience
    return task.exception(), time.monotonic() - began


class EndlessWaitError(Exception):
    """Not raised: what `outcome` answers for a wait without end."""


async def swallowed_error(it: Contender, outside: Outside, proxy: Proxy) -> str:
    """An error that the block catches has broken the transaction; the block ends without an exception."""

    async def block() -> None:
        async with it.transaction() as run:
            await run("INSERT INTO promise (name) VALUES ('before')")
            with contextlib.suppress(Exception):
                await run("INSERT INTO promise (name) VALUES ('there')")
            with contextlib.suppress(Exception):
                await run("INSERT INTO promise (name) VALUES ('after')")

    error, _ = await outcome(block())
    kept = outside.kept("before")
    if error is None:
        return "ends well, all is committed" if kept and outside.kept("after") else "! ends well, and the rows are gone"
    return f"{called(error)}, nothing is committed" if not kept else f"! {called(error)}, and rows are there"


async def swallowed_deadlock(it: Contender, outside: Outside, proxy: Proxy) -> str:
    """A deadlock in a nested block that is caught there: the server has rolled everything back."""
    other = Outside(it.family, outside.url)

    async def block() -> None:
        async with it.transaction() as run:
            await run("INSERT INTO promise (name) VALUES ('before')")
            await run("UPDATE promise SET number = 1 WHERE name = 'a'")
            # The one with the smaller transaction is given up; theirs is made the larger one.
            other.connection.query("BEGIN")
            for n in range(20):
                other.connection.query(f"INSERT INTO promise (name) VALUES ('other {n}')")
            other.connection.query("UPDATE promise SET number = 2 WHERE name = 'b'")
            waiting = asyncio.get_running_loop().run_in_executor(
                None, other.connection.query, "UPDATE promise SET number = 2 WHERE name = 'a'"
            )
            await asyncio.sleep(0.3)
            with contextlib.suppress(Exception):
                async with it.nested(run):
                    await run("UPDATE promise SET number = 1 WHERE name = 'b'")
            await waiting
            other.connection.query("ROLLBACK")
            await run("INSERT INTO promise (name) VALUES ('after')")

    error, _ = await outcome(block())
    before, after = outside.kept("before"), outside.kept("after")
    if error is None:
        return "ends well, all is committed" if before and after else "! ends well with half of it committed"
    return f"{called(error)}, nothing is committed" if not (before or after) else f"! {called(error)}, half is there"


async def lost_answer(it: Contender, outside: Outside, proxy: Proxy) -> str:
    """COMMIT is carried out, its answer is lost with the connection."""

    async def block() -> None:
        async with it.transaction() as run:
            await run("INSERT INTO promise (name) VALUES ('lost')")
            proxy.drop_reply(b"COMMIT", then="cut")

    error, _ = await outcome(block())
    proxy.reset()
    if error is None:
        return "! ends well"
    unknown = getattr(error, "outcome", None) == "unknown"
    told = "says that the outcome is unknown" if unknown else "like any lost connection"
    return f"{'' if unknown else '! '}{called(error)}: {told}"


async def gathered(it: Contender, outside: Outside, proxy: Proxy) -> str:
    """Two statements at once in one transaction, which is then rolled back."""
    said: list[str] = []

    async def block() -> None:
        async with it.transaction() as run:
            answers = await asyncio.gather(
                *(run(f"INSERT INTO promise (name) VALUES ('gathered {n}')") for n in range(2)), return_exceptions=True
            )
            said.extend(called(answer) for answer in answers if isinstance(answer, BaseException))
            raise KeyError("roll back")

    await outcome(block())
    left = sum(outside.kept(f"gathered {n}") for n in range(2))
    if left:
        return f"! {left} escaped the transaction"
    return f"refused: {said[0]}" if said else "both run in the transaction, both are rolled back"


async def outlived(it: Contender, outside: Outside, proxy: Proxy) -> str:
    """A task that was started in the block writes after its end."""
    late: list[asyncio.Task[Any]] = []

    async def straggler(run: Run) -> None:
        await asyncio.sleep(0.2)
        await run("INSERT INTO promise (name) VALUES ('late')")

    async def block() -> None:
        async with it.transaction() as run:
            late.append(asyncio.ensure_future(straggler(run)))
            await run("SELECT 1")

    await outcome(block())
    error, _ = await outcome(late[0])
    await asyncio.sleep(0.1)
    if outside.kept("late"):
        return "! written outside of the transaction, unseen"
    return f"refused: {called(error)}" if error is not None else "! no error, and not written"


async def cancelled(it: Contender, outside: Outside, proxy: Proxy) -> str:
    """A task that waits for a long statement is cancelled."""
    task = asyncio.ensure_future(it.execute(SLEEP[it.family]))
    while not outside.number(BUSY[it.family]):
        await asyncio.sleep(0.01)
    began = time.monotonic()
    task.cancel()
    done, _ = await asyncio.wait((task,), timeout=PATIENCE)
    resumed = time.monotonic() - began
    stopped = await outside.stopped()
    caller = f"resumes after {resumed * 1000:.0f} ms" if done else "! never resumes"
    server = f"the server stops after {stopped * 1000:.0f} ms" if stopped is not None else "! the server goes on"
    return f"{caller}; {server}"


async def black_hole(it: Contender, outside: Outside, proxy: Proxy) -> str:
    """The network swallows everything; a statement has a limit of 2 s."""
    await it.execute("SELECT 1")
    proxy.blackhole()
    error, took = await outcome(it.limited("SELECT 2"))
    proxy.reset()
    if isinstance(error, EndlessWaitError):
        return f"! still waiting after {PATIENCE:.0f} s"
    mark = "! " if took > LIMIT + 0.5 else ""
    return f"{mark}{called(error)} after {took:.1f} s"


SCENARIOS: dict[str, tuple[str, Callable[[Contender, Outside, Proxy], Awaitable[str]]]] = {
    "swallowed": ("An error is caught inside the block", swallowed_error),
    "deadlock": ("A deadlock is caught in a nested block", swallowed_deadlock),
    "lost": ("The answer to COMMIT is lost", lost_answer),
    "gather": ("`gather` inside a block that is rolled back", gathered),
    "outlived": ("A task writes after its block has ended", outlived),
    "cancel": ("A task is cancelled during a long statement", cancelled),
    "blackhole": (f"A black hole, with a limit of {LIMIT:.0f} s for the statement", black_hole),
}
