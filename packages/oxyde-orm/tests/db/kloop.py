"""The k-loop: run a coroutine and disturb it at its k-th suspension, for every k until it completes undisturbed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Generator
from typing import Any

from oxyde.db import atomic

EXPECTED = ["a", "b", "d"]
"""What `nested_blocks` leaves when nothing disturbs it."""


async def nested_blocks(calls: list[str], insert: Callable[[str], Awaitable[None]]) -> None:
    """A transaction with a callback, a block that succeeds and one that fails in it."""
    async with atomic() as tx:
        tx.on_commit(lambda: calls.append("called"))
        await insert("a")
        async with atomic():
            await insert("b")
        try:
            async with atomic():
                await insert("c")
                raise LookupError
        except LookupError:
            pass
        await insert("d")


class Driven:
    """Awaits a coroutine and calls ``disturb(future)`` at the suspensions whose numbers are given."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any], at: set[int], disturb: Callable[[Any], None]) -> None:
        self.coroutine, self.at, self.disturb = coroutine, at, disturb
        self.suspensions = 0

    def __await__(self) -> Generator[Any, Any, Any]:
        iterator = self.coroutine.__await__()
        step, argument = iterator.send, None
        while True:
            try:
                future = step(argument)
            except StopIteration as stop:
                return stop.value
            self.suspensions += 1
            if self.suspensions in self.at:
                self.disturb(future)
            try:
                yield future
            except BaseException as error:
                step, argument = iterator.throw, error
            else:
                step, argument = iterator.send, None


async def cancelled_at(
    coroutine: Coroutine[Any, Any, Any], at: set[int], *, late: bool
) -> tuple[int, BaseException | None]:
    """Run as a task that is cancelled at these suspensions; return how many there were, and the exception.

    ``late`` cancels in the moment in which the awaited future has its result but the task has not gone on yet.
    """

    def disturb(future: Any) -> None:
        if late and future is not None:
            # The task's own callback is added after this one, when the yield reaches it.
            future.add_done_callback(lambda _: task.cancel())
        else:
            task.cancel()

    driven = Driven(coroutine, at, disturb)

    async def run() -> None:
        await driven

    task = asyncio.get_running_loop().create_task(run())
    try:
        # Not gather(): it would make a CancelledError of its own, without the attributes of the task's.
        await task
    except BaseException as error:
        return driven.suspensions, error
    return driven.suspensions, None


async def closed_at(coroutine: Coroutine[Any, Any, Any], k: int) -> bool:
    """Drive by hand and throw the coroutine away at its k-th suspension; return whether it completed before."""
    for _ in range(k):
        try:
            future = coroutine.send(None)
        except StopIteration:
            return True
        if future is not None:
            future._asyncio_future_blocking = False
            await asyncio.wait((future,))
        else:
            await asyncio.sleep(0)
    coroutine.close()
    return False


async def thrown_at(coroutine: Coroutine[Any, Any, Any], k: int, error: BaseException) -> bool:
    """Drive by hand and throw ``error`` at the k-th suspension; return whether the coroutine completed before."""
    throw_next = False
    number = 0
    while True:
        try:
            if throw_next:
                throw_next = False
                future = coroutine.throw(error)
            else:
                future = coroutine.send(None)
        except StopIteration:
            return number < k
        number += 1
        throw_next = number == k
        if future is not None:
            future._asyncio_future_blocking = False
            if not throw_next:
                await asyncio.wait((future,))
        else:
            await asyncio.sleep(0)
