"""A cancelled COMMIT: its answer is waited for, and the CancelledError says what became of it.

With a rollback journal a COMMIT has to wait until other processes have stopped reading: so another process decides here
how long a COMMIT takes, and whether it succeeds.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from oxyde.exceptions import LockTimeoutError

from .commits import cancelled_in_commit, rolled_back_while_cancelled, stored, write
from .harness import Holder, Where, check, on, outside
from .programs.common import quiet

pytestmark = on("file")

READING = ("BEGIN", "SELECT count(*) FROM faults_entry")


async def test_committed(opened: Any, where: Where) -> None:
    database = await opened(sqlite_journal_mode="DELETE")
    calls: list[str] = []
    with Holder(where, *READING) as holder:
        started = time.monotonic()
        error = await cancelled_in_commit(calls, holder.let_go, 0.4)
        assert time.monotonic() - started >= 0.4
        assert error.commit_outcome == "committed"  # type: ignore[attr-defined]
        assert calls == ["shielded"]
        assert stored(where) == 1
    await quiet(database)
    check(where)


async def test_unknown_after_commit_timeout(opened: Any, where: Where) -> None:
    """The callbacks still run, once, when the answer comes."""
    database = await opened(sqlite_journal_mode="DELETE", commit_timeout=0.2)
    calls: list[str] = []
    with Holder(where, *READING) as holder:
        started = time.monotonic()
        error = await cancelled_in_commit(calls, lambda: None, 0.0)
        assert 0.25 < time.monotonic() - started < 0.9
        assert error.commit_outcome == "unknown"  # type: ignore[attr-defined]
        assert calls == []
        holder.let_go()
        await quiet(database)
        await asyncio.sleep(0.05)
        assert calls == ["shielded"]
        assert stored(where) == 1
    check(where)


async def test_unknown_and_then_refused(opened: Any, where: Where) -> None:
    """The answer comes when nobody waits any more, and is no: nothing is left open, and no callback runs."""
    database = await opened(sqlite_journal_mode="DELETE", commit_timeout=0.1, sqlite_busy_timeout=600)
    calls: list[str] = []
    with Holder(where, *READING):
        error = await cancelled_in_commit(calls, lambda: None, 0.0)
        assert error.commit_outcome == "unknown"  # type: ignore[attr-defined]
        await quiet(database)
        await asyncio.sleep(0.05)
        # The writer holds no lock: another process gets it at once.
        outside(where, "BEGIN IMMEDIATE", "ROLLBACK", timeout=0.0)
    assert calls == []
    assert stored(where) == 0


async def test_rolled_back(opened: Any, where: Where) -> None:
    """SQLite keeps the transaction when COMMIT finds the file locked; we do not."""
    database = await opened(sqlite_journal_mode="DELETE", sqlite_busy_timeout=300)
    await rolled_back_while_cancelled(where, database, Holder(where, *READING))


async def test_an_error_of_commit(opened: Any, where: Where) -> None:
    database = await opened(sqlite_journal_mode="DELETE", sqlite_busy_timeout=100)
    calls: list[str] = []
    with Holder(where, *READING):
        with pytest.raises(LockTimeoutError) as caught:
            await write("refused", calls, asyncio.Event())
        assert caught.value.retryable
        assert caught.value.outcome == "not_applied"
        await quiet(database)
        # The writer holds no lock: another process gets it at once.
        outside(where, "BEGIN IMMEDIATE", "ROLLBACK", timeout=0.0)
    assert calls == []
    assert stored(where) == 0


async def test_closing_does_not_stop_a_commit(opened: Any, where: Where) -> None:
    """Everything else is stopped when a database is closed without patience; a COMMIT gets its answer."""
    database = await opened(sqlite_journal_mode="DELETE")
    calls: list[str] = []
    committing = asyncio.Event()
    with Holder(where, *READING) as holder:
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
    assert stored(where) == 1
