"""Reading a result row by row while the database holds the rest.

A stream is a cursor of the engine in a transaction: the one that is open in this context, or, outside of one, a reading
transaction on a connection of its own, which the stream holds until its last piece has come or it is left.  Pieces are
ordinary calls of the engine, so deadlines, cancellation and lost connections are those of any statement.

On a connection of its own the next piece is asked for when half of the present one is used up: the database works
while the program does, and a loop that is left early has asked for nothing in vain.  In a transaction nothing runs
ahead: other statements of the block go between two pieces, and an error belongs to whoever asked.

A SQLite memory database has no other connection, so there a cursor stands on the one that all share, outside of any
transaction, and other statements go between its pieces as well.

The generator frees what it holds when it ends, fails, is closed or cancelled.  Left by `break` it is closed by the
event loop, which does so for every asynchronous generator that nobody refers to any more; without a loop, dropping the
engine's objects does it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from oxyde.exceptions import DatabaseError, TransactionTaskError
from oxyde.queries.run import finish, resolve

if TYPE_CHECKING:
    from oxyde.db import AsyncDatabase, AsyncTransaction
    from oxyde.db.resolve import Target
    from oxyde_core import Loader, ir

CHUNK_SIZE: Final = 2000
"""A piece of such rows with ten columns takes a few milliseconds and as many megabytes."""
_LARGEST: Final = 2**31 - 1


def chunk_rows(chunk_size: object) -> int:
    """The argument `chunk_size`, checked."""
    if isinstance(chunk_size, bool) or not isinstance(chunk_size, int):
        raise TypeError(f"chunk_size must be an int, not {type(chunk_size).__name__}")
    if not 1 <= chunk_size <= _LARGEST:
        raise ValueError(f"chunk_size must be a number of rows from 1 to {_LARGEST}, not {chunk_size}")
    return chunk_size


async def stream(
    shape: ir.Node,
    params: tuple[object, ...],
    loader: Loader,
    size: int,
    using: str | None,
    client: AsyncDatabase | AsyncTransaction | None,
    alias: Target,
) -> AsyncGenerator[Any, None]:
    """The rows of a statement, `size` of them in a piece."""
    # When the first row is wanted, not before: that is where the transaction is open, or is not.
    database, lease = resolve(using, client, alias)
    own = None
    if lease is None and not database.single_connection:
        own = lease = database.lease("read")
    loop = asyncio.get_running_loop()
    cursor = database.cursor(shape, params, loader, size, lease)
    fetched = None
    try:
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


def _check_loop(loop: asyncio.AbstractEventLoop) -> None:
    if asyncio.get_running_loop() is not loop:
        raise TransactionTaskError(
            "a stream is read in the event loop in which its first row was read, because its connection belongs to "
            "that; begin another one here"
        )
