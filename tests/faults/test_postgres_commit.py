"""A cancelled COMMIT on PostgreSQL.

A deferred trigger runs inside COMMIT; here it waits for an advisory lock, so that somebody else decides how long a
COMMIT takes.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from oxyde import execute_raw
from oxyde.exceptions import LockTimeoutError

from .commits import cancelled_in_commit, rolled_back_while_cancelled, stored, write
from .harness import HeldSession, Where, check, on
from .programs.common import quiet

pytestmark = on("postgres")

HELD = "SELECT pg_advisory_lock(4711)"


async def slow_commits(limit: str = "0") -> None:
    await execute_raw(
        "CREATE FUNCTION wait_in_commit() RETURNS trigger LANGUAGE plpgsql "
        f"SET lock_timeout = '{limit}' AS $$ BEGIN PERFORM pg_advisory_xact_lock_shared(4711); RETURN NULL; END $$"
    )
    await execute_raw(
        "CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON faults_entry DEFERRABLE INITIALLY DEFERRED "
        "FOR EACH ROW EXECUTE FUNCTION wait_in_commit()"
    )


async def test_committed(opened: Any, where: Where) -> None:
    database = await opened()
    await slow_commits()
    calls: list[str] = []
    with HeldSession(HELD) as holder:
        started = time.monotonic()
        error = await cancelled_in_commit(calls, holder.let_go, 0.4)
        assert time.monotonic() - started >= 0.4
        assert error.commit_outcome == "committed"  # type: ignore[attr-defined]
        assert calls == ["shielded"]
        assert stored(where) == 1
    await quiet(database)
    check(where)


async def test_unknown_after_commit_timeout(opened: Any, where: Where) -> None:
    """Nobody waits for the answer any longer: what the server does then is not known, so no callback runs."""
    database = await opened(commit_timeout=0.2)
    await slow_commits()
    calls: list[str] = []
    with HeldSession(HELD) as holder:
        started = time.monotonic()
        error = await cancelled_in_commit(calls, lambda: None, 0.0)
        assert 0.2 <= time.monotonic() - started < 2
        assert error.commit_outcome == "unknown"  # type: ignore[attr-defined]
        assert calls == []
        holder.let_go()
        await quiet(database)
        check(where)
        assert calls == []
        assert stored(where) == 1
    await write("after", calls, asyncio.Event())
    assert calls == ["after"]


async def test_rolled_back(opened: Any, where: Where) -> None:
    database = await opened()
    await slow_commits("300ms")
    await rolled_back_while_cancelled(where, database, HeldSession(HELD))


async def test_an_error_of_commit(opened: Any, where: Where) -> None:
    database = await opened()
    await slow_commits("100ms")
    calls: list[str] = []
    with HeldSession(HELD):
        with pytest.raises(LockTimeoutError) as caught:
            await write("refused", calls, asyncio.Event())
        assert caught.value.outcome == "not_applied"
        await quiet(database)
    assert calls == []
    assert stored(where) == 0
    check(where)


async def test_a_statement_timeout_does_not_stop_a_commit(opened: Any, where: Where) -> None:
    """What is handed over for COMMIT gets its answer; the deadline of statements is not its own."""
    database = await opened(statement_timeout=0.3)
    await slow_commits()
    calls: list[str] = []
    with HeldSession(HELD) as holder:
        task = asyncio.create_task(write("slow", calls, asyncio.Event()))
        await asyncio.sleep(0.6)
        assert not task.done()
        holder.let_go()
        await task
    assert (calls, stored(where)) == (["slow"], 1)
    await quiet(database)


async def test_closing_does_not_stop_a_commit(opened: Any, where: Where) -> None:
    """Everything else is stopped when a database is closed without patience; a COMMIT gets its answer."""
    database = await opened()
    await slow_commits()
    calls: list[str] = []
    committing = asyncio.Event()
    with HeldSession(HELD) as holder:
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
