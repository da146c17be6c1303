"""Reading a result row by row while the database holds the rest.

A stream is a cursor of the engine in a transaction: the one that is open in this context, or, outside of one, a reading
transaction on a connection of its own, which the stream holds until its last piece has come or it is left.  Pieces are
ordinary calls of the engine, so deadlines, cancellation and lost connections are those of any statement.

On a connection of its own the next piece is asked for when half of the present one is used up: the database works
while the program does, and a loop that is left early has asked for nothing in vain.  In a transaction nothing runs
ahead: other statements of the block go between two pieces, and an error belongs to whoever asked.

A SQLite memory database has no other connection, so there a cursor stands on the one that all share, outside of any
transaction, and other statements go between its pieces as well.

On a connection that the program keeps, a stream outside of a transaction begins a reading one there, too: it has the
connection until it ends.

The generator frees what it holds when it ends, fails, is closed or cancelled.  Left by `break` it is closed by the
event loop, which does so for every asynchronous generator that nobody refers to any more; without a loop, dropping the
engine's objects does it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from ..exceptions import DatabaseError, TransactionTaskError
from .database import finish
from .origin import called_from

if TYPE_CHECKING:
    from oxyde_core import Cursor, Database, Lease

__all__ = ["CHUNK_SIZE", "Opened", "chunk_rows", "reading", "stream"]

CHUNK_SIZE: Final = 2000
"""A piece of such rows with ten columns takes a few milliseconds and as many megabytes."""
_LARGEST: Final = 2**31 - 1

Opened: TypeAlias = "tuple[Cursor, Lease | None]"
"""A cursor, and the transaction that it has for itself, which has not begun yet."""


def chunk_rows(chunk_size: object) -> int:
    """Return the argument ``chunk_size``, checked."""
    if isinstance(chunk_size, bool) or not isinstance(chunk_size, int):
        raise TypeError(f"chunk_size must be an int, not {type(chunk_size).__name__}")
    if not 1 <= chunk_size <= _LARGEST:
        raise ValueError(f"chunk_size must be a number of rows from 1 to {_LARGEST}, not {chunk_size}")
    return chunk_size


def reading(database: Database, lease: Lease | None) -> Lease | None:
    """Return the transaction of its own that a stream needs outside of ``lease``, if it needs one."""
    if lease is not None or database.single_connection:
        return None
    return database.lease("read", None, False, called_from())


async def stream(open_: Callable[[], Opened], left: Callable[[], None] | None = None) -> AsyncGenerator[Any, None]:
    """Give the rows of a cursor; ``left`` is called when nothing is held any more."""
    # When the first row is wanted, not before: that is where the transaction is open, or is not.
    cursor, own = open_()
    fetched = None
    try:
        loop = asyncio.get_running_loop()
        if own is not None:
            await finish(own.begin())
        fetched = cursor.fetch()
        rows: list[Any] = await fetched
        while cursor.more:
            first = len(rows) // 2 if own is not None else len(rows)
            for row in rows[:first]:
                yield row
            _check_loop(loop)
            fetched = cursor.fetch()
            for row in rows[first:]:
                yield row
            rows = await fetched
        if own is not None:
            # There is nothing left to read: whoever waits for a connection can have this one.  The rows are all there,
            # whatever becomes of it.
            with suppress(DatabaseError):
                await finish(own.rollback())
        if left is not None:
            left()
        for row in rows:
            yield row
    except BaseException:
        # With a connection of its own the stream ends what runs on it, too.
        if own is None and fetched is not None:
            fetched.cancel()
        raise
    finally:
        cursor.close(own is None)
        if own is not None:
            own.end()
        if left is not None:
            left()


def _check_loop(loop: asyncio.AbstractEventLoop) -> None:
    if asyncio.get_running_loop() is not loop:
        raise TransactionTaskError(
            "a stream is read in the event loop in which its first row was read, because its connection belongs to "
            "that; begin another one here"
        )
