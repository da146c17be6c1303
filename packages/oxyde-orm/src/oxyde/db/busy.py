"""What has a kept connection for itself: a COPY, or a stream outside of a transaction.

Whoever else wants the connection waits, as behind any statement. But the loop that reads the stream, and the source
that makes the data of the COPY, would wait for themselves. They, and the tasks that are started there, are known by
their context: it holds what they are in the middle of, one behind the other.
"""

from __future__ import annotations

import weakref
from contextvars import ContextVar
from types import TracebackType
from typing import TYPE_CHECKING, Any

from ..exceptions import TransactionTaskError

if TYPE_CHECKING:
    from .connection import AsyncConnection

__all__ = ["Busy", "check_free"]

_busy: ContextVar[Busy | None] = ContextVar("oxyde_busy", default=None)


class Busy:
    """One use of a connection that takes all of it."""

    __slots__ = ("_before", "_rows", "_what", "connection", "over")

    def __init__(self, connection: AsyncConnection, what: str) -> None:
        self.connection = weakref.ref(connection)
        self.over = False
        self._what = what
        self._rows: weakref.ref[Any] | None = None
        self._before: Busy | None = None

    def read_by(self, rows: object) -> None:
        """It is over when nobody has ``rows`` any more: a loop that was left by ``break`` is closed only later."""
        self._rows = weakref.ref(rows)

    @property
    def goes_on(self) -> bool:
        return not self.over and (self._rows is None or self._rows() is not None)

    def enter(self) -> None:
        """From here on this context is in the middle of it."""
        before = _busy.get()
        while before is not None and not before.goes_on:
            before = before._before
        self._before = before
        _busy.set(self)

    def leave(self) -> None:
        """It is over; in whichever context."""
        self.over = True
        if _busy.get() is self:
            _busy.set(self._before)

    def __enter__(self) -> None:
        self.enter()

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.leave()

    def refusal(self, name: str) -> TransactionTaskError:
        """Make the error for a statement that would wait for this."""
        return TransactionTaskError(
            f"a statement beside {self._what} on the pinned connection of {name!r} would wait for that to end, and so "
            f"for itself; {_INSTEAD[self._what]}"
        )


STREAM = "a stream outside of a transaction"
COPY = "a COPY whose data are being made"

_INSTEAD = {
    STREAM: "put both into atomic(connection=…), where statements go between its rows, read the stream to its end "
    "first, or use another connection",
    COPY: "ask the database before the COPY, or on another connection",
}


def check_free(connection: AsyncConnection) -> None:
    """Raise a ``TransactionTaskError`` in a context that is in the middle of what has the connection."""
    busy = _busy.get()
    while busy is not None:
        if busy.goes_on and busy.connection() is connection:
            raise busy.refusal(connection.database.name)
        busy = busy._before
