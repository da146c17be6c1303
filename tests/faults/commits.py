"""A COMMIT that takes its time while its task is cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from oxyde import AsyncDatabase, atomic
from oxyde.exceptions import LockTimeoutError

from .harness import Where, check, outside
from .programs.common import Entry, quiet


def stored(where: Where) -> int:
    """How many entries there are, for somebody else."""
    (count,) = outside(where, "SELECT count(*) FROM faults_entry")[0]
    return int(count[0])


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


async def rolled_back_while_cancelled(
    where: Where, database: AsyncDatabase, holder: AbstractContextManager[Any]
) -> None:
    """Cancel a task whose COMMIT waits for what ``holder`` holds, until the database gives it up."""
    calls: list[str] = []
    with holder:
        error = await cancelled_in_commit(calls, lambda: None, 0.0)
        assert error.commit_outcome == "rolled_back"  # type: ignore[attr-defined]
        assert isinstance(error.__cause__, LockTimeoutError)
        await quiet(database)
    assert calls == []
    assert stored(where) == 0
    check(where)
    await write("after", calls, asyncio.Event())
    assert calls == ["after"]
