"""Running a transaction again when the database says that this may help.

An attempt is repeated only for an error that is ``retryable`` (a serialization failure, a deadlock, a busy database)
and whose ``outcome`` is known: after a lost COMMIT the work may be there already. The pause grows with each attempt and
is random, so that transactions that met once do not meet again. Inside a transaction there is one attempt only: what
has to run again is the whole transaction, and its outermost block decides that.

The decorator repeats everything. The loop form holds back what BEGIN and the body raise, but not what COMMIT raises:
its body may have been left by ``return`` or ``break``, which an ``async with`` cannot tell from reaching its end, and
to hold the error back then would let the program go on as if its work were committed.
"""

from __future__ import annotations

import asyncio
import dataclasses
import random
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from ..exceptions import OxydeError
from .scope import AsyncTransaction

if TYPE_CHECKING:
    from .block import AtomicTransactionContext, Options

__all__ = ["Attempt", "Attempts"]

R = TypeVar("R")

FIRST_PAUSE = 0.02
LONGEST_PAUSE = 1.0


def may_retry(error: BaseException | None) -> bool:
    """Whether the same work may succeed when run again, and was certainly not applied."""
    return isinstance(error, OxydeError) and error.retryable and error.outcome != "unknown"


class Attempts:
    """The loop of ``atomic.retrying()``: gives one ``Attempt`` after the other until one succeeds."""

    def __init__(self, options: Options) -> None:
        self._options = dataclasses.replace(options, retries=0)
        inside = isinstance(options.around(), AsyncTransaction)
        self._left = 1 if inside else options.retries + 1
        self._number = 0
        self._last: Attempt | None = None

    def __aiter__(self) -> Attempts:
        return self

    async def __anext__(self) -> Attempt:
        if self._last is not None:
            if not self._last.entered:
                self._last.give_up()
                raise TypeError("the body of `async for attempt in atomic.retrying(…)` must be `async with attempt:`")
            if not self._last.failed:
                raise StopAsyncIteration
        self._last = await self._begin()
        return self._last

    async def run(self, function: Callable[[], Coroutine[Any, Any, R]]) -> R:
        """Call ``function`` in one attempt after the other and return the result of the one that is committed."""
        while True:
            attempt = await self._begin()
            attempt.holds_back = False
            try:
                async with attempt:
                    return await function()
            except OxydeError as error:
                if not self._left or not may_retry(error):
                    raise

    async def _begin(self) -> Attempt:
        # BEGIN itself may fail in a way that another attempt can mend; the `async with` of the caller could not.
        from .block import AtomicTransactionContext

        while True:
            if self._number:
                pause = min(FIRST_PAUSE * 2.0 ** (self._number - 1), LONGEST_PAUSE)
                await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - no secret depends on it
            self._number += 1
            self._left -= 1
            context = AtomicTransactionContext(self._options)
            try:
                block = await context.open()
            except OxydeError as error:
                if not self._left or not may_retry(error):
                    raise
            else:
                return Attempt(context, block, holds_back=bool(self._left))


class Attempt:
    """One attempt: ``async with attempt as tx`` is one ``atomic()`` block that holds back a retryable error."""

    __slots__ = ("_block", "_context", "entered", "failed", "holds_back")

    def __init__(self, context: AtomicTransactionContext, block: AsyncTransaction, *, holds_back: bool) -> None:
        self._context = context
        self._block = block
        self.holds_back = holds_back
        self.entered = False
        self.failed = False

    def give_up(self) -> None:
        """End the transaction of an attempt that nobody entered."""
        self._block.transaction.end()
        self._block.transaction.lease.abandon()

    async def __aenter__(self) -> AsyncTransaction:
        if self.entered:
            raise TypeError("an attempt of atomic.retrying() is entered once; the loop gives the next one")
        self.entered = True
        return self._context.enter(self._block)

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> bool:
        await self._context.__aexit__(exc_type, exc, tb)
        self.failed = self.holds_back and may_retry(exc)
        return self.failed
