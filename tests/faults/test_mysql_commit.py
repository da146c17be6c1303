"""A COMMIT of MySQL or MariaDB that takes its time.

Somebody else holds the global read lock: statements that write wait for it, and so does COMMIT. That stops the whole
server, so it is a private one.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from oxyde import atomic
from oxyde.exceptions import LockTimeoutError
from tests.servers import mysql_wire
from tests.servers.mysql import MySQLServer

from .harness import on
from .programs.common import Entry, quiet

pytestmark = on("mysql")


class Gate:
    """Lets no COMMIT through while it is shut."""

    def __init__(self, server: MySQLServer) -> None:
        self.server = server
        self.session: mysql_wire.Connection | None = None

    def shut(self) -> None:
        self.session = mysql_wire.Connection(self.server.url("elsewhere"))
        self.session.query("FLUSH TABLES WITH READ LOCK")

    def open(self) -> None:
        if self.session is not None:
            self.session.close()
            self.session = None


@pytest.fixture
def gate(unusual: MySQLServer, elsewhere: Any) -> Iterator[Gate]:
    gate = Gate(unusual)
    yield gate
    gate.open()


@pytest.fixture
def stored(unusual: MySQLServer) -> Callable[[], int]:
    def stored() -> int:
        ((count,),) = unusual.query("SELECT count(*) FROM faults_entry", "elsewhere")
        return int(count or 0)

    return stored


async def write(nonce: str, calls: list[str], gate: Gate | None, committing: asyncio.Event) -> None:
    async with atomic() as tx:
        tx.on_commit(lambda: calls.append(nonce))
        await Entry.objects.create(nonce=nonce)
        if gate is not None:
            await asyncio.to_thread(gate.shut)
        committing.set()


async def begun(nonce: str, calls: list[str], gate: Gate) -> asyncio.Task[None]:
    """A task whose COMMIT waits at the gate."""
    committing = asyncio.Event()
    task = asyncio.create_task(write(nonce, calls, gate, committing))
    await committing.wait()
    await asyncio.sleep(0.1)
    assert not task.done()
    return task


async def cancelled(task: asyncio.Task[None]) -> asyncio.CancelledError:
    """Cancel it, twice, and return what it raises."""
    task.cancel()
    asyncio.get_running_loop().call_later(0.05, task.cancel)
    with pytest.raises(asyncio.CancelledError) as caught:
        await task
    return caught.value


async def test_committed(elsewhere: Any, gate: Gate, stored: Callable[[], int]) -> None:
    database = await elsewhere()
    calls: list[str] = []
    task = await begun("shielded", calls, gate)
    started = time.monotonic()
    asyncio.get_running_loop().call_later(0.4, gate.open)
    error = await cancelled(task)
    assert time.monotonic() - started >= 0.35
    assert error.commit_outcome == "committed"  # type: ignore[attr-defined]
    assert calls == ["shielded"]
    assert stored() == 1
    assert (await quiet(database))["lost"] == 0


async def test_unknown_after_commit_timeout(elsewhere: Any, gate: Gate, stored: Callable[[], int]) -> None:
    """Nobody waits for the answer any longer: what the server does then is not known, so no callback runs."""
    database = await elsewhere(commit_timeout=0.2)
    calls: list[str] = []
    task = await begun("unheard", calls, gate)
    started = time.monotonic()
    error = await cancelled(task)
    assert time.monotonic() - started < 2
    assert error.commit_outcome == "unknown"  # type: ignore[attr-defined]
    assert calls == []
    gate.open()
    await quiet(database)
    await write("after", calls, None, asyncio.Event())
    assert calls == ["after"]
    assert stored() in (1, 2)


async def test_an_error_of_commit(elsewhere: Any, gate: Gate, stored: Callable[[], int]) -> None:
    """The server gives up by itself: a definite answer, so the work may be done again."""
    database = await elsewhere(on_connect=["SET lock_wait_timeout = 1"])
    calls: list[str] = []
    task = await begun("refused", calls, gate)
    with pytest.raises(LockTimeoutError) as caught:
        await task
    assert (caught.value.outcome, caught.value.retryable) == ("not_applied", True)
    gate.open()
    await quiet(database)
    assert (calls, stored()) == ([], 0)
    await write("after", calls, None, asyncio.Event())
    assert (calls, stored()) == (["after"], 1)


async def test_rolled_back(elsewhere: Any, gate: Gate, stored: Callable[[], int]) -> None:
    database = await elsewhere(on_connect=["SET lock_wait_timeout = 1"])
    calls: list[str] = []
    error = await cancelled(await begun("refused", calls, gate))
    assert error.commit_outcome == "rolled_back"  # type: ignore[attr-defined]
    assert isinstance(error.__cause__, LockTimeoutError)
    gate.open()
    await quiet(database)
    assert (calls, stored()) == ([], 0)


async def test_a_statement_timeout_does_not_stop_a_commit(
    elsewhere: Any, gate: Gate, stored: Callable[[], int]
) -> None:
    database = await elsewhere(statement_timeout=0.3)
    calls: list[str] = []
    task = await begun("slow", calls, gate)
    await asyncio.sleep(0.5)
    assert not task.done()
    gate.open()
    await task
    assert (calls, stored()) == (["slow"], 1)
    await quiet(database)


async def test_closing_does_not_stop_a_commit(elsewhere: Any, gate: Gate, stored: Callable[[], int]) -> None:
    """Everything else is stopped when a database is closed without patience; a COMMIT gets its answer."""
    database = await elsewhere()
    calls: list[str] = []
    task = await begun("closing", calls, gate)
    closing = database.engine().close(0.0)
    await asyncio.sleep(0.1)
    assert not task.done()
    gate.open()
    await task
    await closing
    assert (calls, stored()) == (["closing"], 1)
