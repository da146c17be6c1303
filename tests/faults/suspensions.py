"""Stepping through the suspensions of a coroutine: cancelled by hand, or thrown away, at any of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Generator
from typing import Any, TypeAlias

Operation: TypeAlias = Callable[[str], Coroutine[Any, Any, Any]]
"""What is stepped through. Its argument is the nonce of the rows that it writes."""


class Operations(dict[str, tuple[Operation, int]]):
    """By their names, with the number of rows that each leaves when nothing disturbs it."""

    def leaves(self, rows: int) -> Callable[[Operation], Operation]:
        """Decorate one."""

        def add(operation: Operation) -> Operation:
            self[operation.__name__] = (operation, rows)
            return operation

        return add


class Stepped:
    """Awaits a coroutine and cancels it by hand at its k-th suspension.

    ``late`` lets what it waits for happen first: that is a task cancelled after its future is done and before it runs
    on, when a result is there that nobody will take.
    """

    def __init__(self, coroutine: Coroutine[Any, Any, Any], k: int, *, late: bool) -> None:
        self.coroutine, self.k, self.late = coroutine, k, late
        self.suspensions = 0

    def __await__(self) -> Generator[Any, Any, Any]:
        step: Callable[[Any], Any] = self.coroutine.send
        argument: Any = None
        while True:
            try:
                waited_for = step(argument)
            except StopIteration as stop:
                return stop.value
            self.suspensions += 1
            cancelled = self.suspensions == self.k
            if cancelled and not self.late:
                if waited_for is not None:
                    waited_for._asyncio_future_blocking = False
                    waited_for.cancel()
                # As in a task: the cancellation arrives with a later turn of the loop.
                waited_for = None
            try:
                yield waited_for
            except BaseException as error:
                step, argument = self.coroutine.throw, error
            else:
                step, argument = self.coroutine.send, None
            if cancelled:
                step, argument = self.coroutine.throw, asyncio.CancelledError("by hand")


async def cancelled_at(
    coroutine: Coroutine[Any, Any, Any], k: int, *, late: bool
) -> tuple[int, Any, BaseException | None]:
    """The number of suspensions, the result and the exception of a coroutine that is cancelled at its k-th."""
    stepped = Stepped(coroutine, k, late=late)
    try:
        result = await stepped
    except BaseException as error:
        return stepped.suspensions, None, error
    return stepped.suspensions, result, None


async def thrown_away(coroutine: Coroutine[Any, Any, Any], k: int) -> bool:
    """Close a coroutine at its k-th suspension, when what it waits for has happened; False if it ends before."""
    for _ in range(k):
        try:
            waited_for = coroutine.send(None)
        except StopIteration:
            return False
        if waited_for is not None:
            waited_for._asyncio_future_blocking = False
            await asyncio.wait((waited_for,))
        else:
            await asyncio.sleep(0)
    coroutine.close()
    return True
