"""A COMMIT that takes its time while its task is cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from oxyde import atomic

from .programs.common import Entry


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
