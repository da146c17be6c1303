"""A cancelled COMMIT: its answer is waited for, and the CancelledError says what became of it.

With a rollback journal a COMMIT has to wait until other processes have stopped reading: so another process decides here
how long a COMMIT takes, and whether it succeeds.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from oxyde import atomic
from oxyde.exceptions import LockTimeoutError

from .harness import Holder, check_file, outside
from .programs.common import Entry, quiet

READING = ("BEGIN", "SELECT count(*) FROM faults_entry")


async def write(nonce: str, calls: list[str], committing: asyncio.Event) -> None:
    async with atomic() as tx:
        tx.on_commit(lambda: calls.append(nonce))
        await Entry.objects.create(nonce=nonce)
        committing.set()


async def cancelled_in_commit(calls: list[str], after: Callable[[], None], delay: float) -> asyncio.CancelledError:
    """Cancel a task that waits for its COMMIT, let ``after`` happen ``delay`` seconds later, return what it raises."""
    committing = asyncio.Event()
    task = asyncio.create_task(write("shielded", calls, committing))
    await committing.wait()
    await asyncio.sleep(0.1)
    assert not task.done()
    task.cancel()
    # A second cancellation does not end the wait either.
    asyncio.get_running_loop().call_later(0.05, task.cancel)
    asyncio.get_running_loop().call_later(delay, after)
    try:
        await task
    except asyncio.CancelledError as error:
        return error
    raise AssertionError("the task was not cancelled")


def stored(path: Path) -> int:
    (count,) = outside(path, "SELECT count(*) FROM faults_entry")[0]
    return int(count[0])


async def test_committed(opened: Any, path: Path) -> None:
    database = await opened(sqlite_journal_mode="DELETE")
    calls: list[str] = []
    with Holder(path, *READING) as holder:
        started = time.monotonic()
        error = await cancelled_in_commit(calls, holder.let_go, 0.4)
        assert time.monotonic() - started >= 0.4
        assert error.commit_outcome == "committed"  # type: ignore[attr-defined]
        assert calls == ["shielded"]
        assert stored(path) == 1
    await quiet(database)
    check_file(path)


async def test_unknown_after_commit_timeout(opened: Any, path: Path) -> None:
    """The callbacks still run, once, when the answer comes."""
    database = await opened(sqlite_journal_mode="DELETE", commit_timeout=0.2)
    calls: list[str] = []
    with Holder(path, *READING) as holder:
        started = time.monotonic()
        error = await cancelled_in_commit(calls, lambda: None, 0.0)
        assert 0.25 < time.monotonic() - started < 0.9
        assert error.commit_outcome == "unknown"  # type: ignore[attr-defined]
        assert calls == []
        holder.let_go()
        await quiet(database)
        await asyncio.sleep(0.05)
        assert calls == ["shielded"]
        assert stored(path) == 1
    check_file(path)


async def test_rolled_back(opened: Any, path: Path) -> None:
    """SQLite keeps the transaction when COMMIT finds the file locked; we do not."""
    database = await opened(sqlite_journal_mode="DELETE", sqlite_busy_timeout=300)
    calls: list[str] = []
    with Holder(path, *READING):
        error = await cancelled_in_commit(calls, lambda: None, 0.0)
        assert error.commit_outcome == "rolled_back"  # type: ignore[attr-defined]
        assert isinstance(error.__cause__, LockTimeoutError)
        await quiet(database)
    assert calls == []
    assert stored(path) == 0
    check_file(path)
    await write("after", calls, asyncio.Event())
    assert calls == ["after"]


async def test_an_error_of_commit(opened: Any, path: Path) -> None:
    database = await opened(sqlite_journal_mode="DELETE", sqlite_busy_timeout=100)
    calls: list[str] = []
    with Holder(path, *READING):
        with pytest.raises(LockTimeoutError) as caught:
            await write("refused", calls, asyncio.Event())
        assert caught.value.retryable
        assert caught.value.outcome == "not_applied"
        await quiet(database)
        # The writer holds no lock: another process gets it at once.
        outside(path, "BEGIN IMMEDIATE", "ROLLBACK", timeout=0.0)
    assert calls == []
    assert stored(path) == 0


async def test_closing_does_not_stop_a_commit(opened: Any, path: Path) -> None:
    """Everything else is stopped when a database is closed without patience; a COMMIT gets its answer."""
    database = await opened(sqlite_journal_mode="DELETE")
    calls: list[str] = []
    committing = asyncio.Event()
    with Holder(path, *READING) as holder:
        task = asyncio.create_task(write("closing", calls, committing))
        await committing.wait()
        await asyncio.sleep(0.05)
        closing = database.engine().close(0.0)
        await asyncio.sleep(0.1)
        assert not task.done()
        holder.let_go()
        await task
        await closing
    assert calls == ["closing"]
    assert stored(path) == 1
