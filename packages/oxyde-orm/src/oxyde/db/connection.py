"""A connection of one's own: ``async with database.connection() as conn``.

Statements on it run one after the other on one session of the server, outside of a transaction unless
``atomic(connection=conn)`` opens one. What they set — ``SET``, temporary tables, locks, ``LISTEN`` — stays for the next
one and ends with the block: the engine rolls back what is open and resets the session before the connection goes to
anybody else, whatever became of the task. A connection that is lost is not replaced, because its session is lost, too.

A SQLite database has one connection that writes. Whoever keeps it keeps all other writers waiting, so that the code in
the block would wait for itself if it wrote past the connection: that is refused.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

from ..exceptions import NotSupportedError, OperationalError, TransactionTaskError
from .busy import COPY, STREAM, Busy, check_free
from .copying import CopySource, check_source, send
from .database import finish
from .features import blocked_by_transaction, features
from .origin import called_from, origin, warn_unclosed
from .scope import AsyncTransaction, Held, Marker, Outside, current, enter, leave, running_loop
from .stream import CHUNK_SIZE, Opened, chunk_rows, stream

if TYPE_CHECKING:
    from oxyde_core import Database, Lease, Pin

    from .database import AsyncDatabase
    from .notifications import Notifications

__all__ = ["AsyncConnection", "ConnectionContext"]


class AsyncConnection:
    """One connection of a database, kept for the length of a block: what ``database.connection()`` gives.

    Statements of several tasks run one after the other. Used after its block, or from another event loop or thread, it
    raises ``OperationalError``; if the connection was lost, ``ConnectionLostError``: it is not replaced.
    """

    __slots__ = ("__weakref__", "_core", "_database", "_listening", "_loop", "_opened", "_state", "pin")

    def __init__(self, database: AsyncDatabase) -> None:
        self._database = database
        self._core: Database = database.engine()
        self._loop = asyncio.get_running_loop()
        self._opened = origin()
        self._state = "new"
        self._listening = False
        self.pin: Pin = self._core.pin(called_from())

    @property
    def database(self) -> AsyncDatabase:
        """The database that the connection belongs to."""
        return self._database

    @property
    def active(self) -> bool:
        """Whether statements can be sent."""
        return self._state == "open" and self.pin.is_open

    async def execute(self, sql: str, params: Sequence[Any] | None = None) -> int:
        """Run one SQL statement and return how many rows it changed.

        Placeholders are those of the database (``$1`` on PostgreSQL, ``?`` elsewhere). The number means something for
        INSERT, UPDATE and DELETE only.

        >>> await conn.execute("SET search_path TO reports")
        """
        changed: int = await self._run(sql, params, counted=True)
        return changed

    async def fetch(self, sql: str, params: Sequence[Any] | None = None) -> list[dict[str, Any]]:
        """Run one SQL statement and return its rows as dicts of native Python values.

        Arguments are those of ``execute``. Raises ``ProgrammingError`` for two columns of one name.

        >>> await conn.fetch("SELECT id, name FROM users WHERE age > $1", [18])
        """
        rows: list[dict[str, Any]] = await self._run(sql, params, counted=False)
        return rows

    async def _run(self, sql: str, params: Sequence[Any] | None, *, counted: bool) -> Any:
        values = _values(sql, params)
        core, place = self.place()
        return await finish(core.raw(sql, values, place, None, counted))

    def iterate(
        self, sql: str, params: Sequence[Any] | None = None, *, chunk_size: int = CHUNK_SIZE
    ) -> AsyncGenerator[dict[str, Any], None]:
        """Run one SQL statement and give its rows one by one, as dicts, while the database holds the rest.

        ``sql`` and ``params`` are those of ``fetch``; ``chunk_size`` is how many rows are fetched at a time. Inside a
        transaction (``atomic(connection=conn)``, or one begun by raw SQL) other statements may run in the loop. Outside
        of one the stream begins a transaction of its own, which only reads: it has the connection until its last chunk
        has come or the loop is left. Other tasks wait for that; a statement in the loop, which would wait for itself,
        raises ``TransactionTaskError``.

        Raises ``TypeError`` or ``ValueError`` for a ``chunk_size`` that is no number of rows, and while it is read what
        ``fetch`` raises, after the rows that came before the error.

        >>> async for row in conn.iterate("SELECT id, name FROM users WHERE age > $1", [18]):
        ...     print(row["name"])
        """
        values, size = _values(sql, params), chunk_rows(chunk_size)
        busy = Busy(self, STREAM)

        def opened() -> Opened:
            core, place = self.place()
            own = None
            if place is self.pin and not self.pin.in_transaction:
                own = place = self.pin.lease("read")
            cursor = core.raw_cursor(sql, values, size, place)
            if own is not None:
                busy.enter()
            return cursor, own

        rows = stream(opened, busy.leave)
        busy.read_by(rows)
        return rows

    async def copy_in(self, sql: str, source: CopySource) -> int:
        """Store rows by PostgreSQL's ``COPY … FROM STDIN`` and return how many.

        ``source`` is the data in the format that the statement names: bytes, a file that is open in binary mode, or an
        iterable or async iterable of bytes, cut anywhere. It is asked for more when the server has taken what came
        before, so that data of any size need the memory of a few pieces. Until it has ended, the connection does
        nothing else; if it raises, or this call is cancelled, nothing is stored and the connection goes on.

        ``statement_timeout`` is the time of the whole, the source's included. Raises ``NotSupportedError`` on other
        databases, ``TransactionTaskError`` for a statement of the source's on this connection, what the source raises,
        and what the server reports; nothing is stored then.

        >>> await conn.copy_in("COPY users (id, name) FROM STDIN (FORMAT csv)", b"1,Ada\\n2,Grace\\n")
        """
        self._check_copy("copy_in")
        check_source(source)
        core, place = self.place()
        with Busy(self, COPY):
            return await send(core, sql, place, source)

    async def copy_out(self, sql: str) -> AsyncIterator[bytes]:
        """Read what PostgreSQL's ``COPY … TO STDOUT`` gives, piece by piece.

        Pieces are cut anywhere. About 1 MiB is read ahead: a slow reader slows down the server. Leaving the loop early
        stops the statement. Raises ``NotSupportedError`` on other databases, and what the server reports.

        >>> async for piece in conn.copy_out("COPY users TO STDOUT (FORMAT csv)"):
        ...     file.write(piece)
        """
        self._check_copy("copy_out")
        core, place = self.place()
        flow = core.copy_out(sql, place)
        try:
            while piece := await flow.read():
                yield piece
        finally:
            flow.stop()

    def listen(self, *channels: str) -> Notifications:
        """Hear what is sent to PostgreSQL's channels: ``async with conn.listen("orders") as notifications``.

        Inside the block ``async for`` gives one ``Notification`` after the other (``channel``, ``payload``, ``pid`` of
        the sender's server process), in the order in which they were sent; other statements may run on the connection
        meanwhile. The loop ends when the block is left by another task, and raises ``ConnectionLostError`` if the
        connection is lost: what was sent meanwhile is lost, too. Up to 65,536 notifications wait to be taken.

        Raises ``NotSupportedError`` on other databases and behind a pooler, ``OperationalError`` if the connection
        listens already.

        >>> async with conn.listen("orders") as notifications:
        ...     async for notification in notifications:
        ...         print(notification.payload)
        """
        from .notifications import Notifications

        self._check_messages("listen")
        return Notifications(self, channels)

    async def notify(self, channel: str, payload: str = "") -> None:
        """Send a notification to everybody who listens on one of PostgreSQL's channels.

        Inside a transaction it is sent with its commit. ``payload`` is a text of less than 8,000 bytes.

        Raises ``NotSupportedError`` on other databases.
        """
        self._check_messages("notify")
        await self.execute("SELECT pg_catalog.pg_notify($1, $2)", [channel, payload])

    def place(self) -> tuple[Database, Pin | Lease]:
        """Return the engine and where a statement of this context runs: the connection or the transaction on it."""
        self.check()
        check_free(self)
        block = current(self._database)
        if isinstance(block, AsyncTransaction) and block.transaction.connection is self:
            return block.join()
        outside = block.block.transaction if isinstance(block, Outside) else None
        if outside is not None and outside.connection is self and not outside.ended:
            raise TransactionTaskError(
                f"a statement outside the transaction on the pinned connection of {self._database.name!r} would wait "
                "for that transaction, and so for itself; use another connection"
            )
        return self._core, self.pin

    def check(self) -> None:
        """Raise an ``OperationalError`` unless statements can be sent from here."""
        if self._state == "open" and self._loop is running_loop():
            return
        name = self._database.name
        if self._state == "new":
            raise OperationalError(
                f"the connection of {name!r} is not open: `async with database.connection() as conn`"
            )
        if self._state == "closed":
            raise OperationalError(
                f"the pinned connection of {name!r} was given back when its block ended; wait for the tasks that use "
                "it before that"
            )
        raise OperationalError(
            f"the pinned connection of {name!r} belongs to another event loop; open one in each loop and thread"
        )

    def _check_copy(self, what: str) -> None:
        if not features(self._database).copy:
            raise NotSupportedError(f"{what}() is PostgreSQL's COPY; {self._database.backend} has none")

    def _check_messages(self, what: str) -> None:
        if not features(self._database).notifications:
            raise NotSupportedError(f"{what}() is PostgreSQL's; {self._database.backend} sends no notifications")

    def start_listening(self) -> None:
        """One ``listen()`` at a time: whoever takes a notification takes it from all others."""
        if self._listening:
            raise OperationalError(
                f"the pinned connection of {self._database.name!r} listens already; name all channels in one listen(), "
                "or use another connection"
            )
        self._listening = True

    def stop_listening(self) -> None:
        """Whoever waits for a notification waits no longer."""
        self._listening = False
        self.pin.wake()

    # -- for the context manager

    async def open(self) -> None:
        """Wait for the connection."""
        try:
            await finish(self.pin.open())
        except BaseException:
            self.abandon()
            raise
        self._state = "open"

    async def close(self) -> None:
        """Give the connection back, and wait until it is as good as new."""
        if self._state != "open":
            return
        self._state = "closed"
        if self._loop is not running_loop():
            self.pin.abandon()
            raise OperationalError(
                f"the pinned connection of {self._database.name!r} was opened in another event loop, and was given "
                "back; open and close it in the same loop"
            )
        # Whoever does not wait any longer changes nothing: the engine finishes it.
        await self.pin.close()

    def abandon(self) -> None:
        """Give the connection back without waiting."""
        self._state = "closed"
        self.pin.abandon()

    def __del__(self) -> None:
        if getattr(self, "_state", None) == "open":
            # First: whoever collects warnings may keep what they are about.
            self.abandon()
            warn_unclosed(f"a connection of the database {self._database.name!r}", self._opened, self)

    def __repr__(self) -> str:
        return f"<AsyncConnection of {self._database.name!r}, {'open' if self.active else 'not open'}>"


class ConnectionContext:
    """What ``database.connection()`` returns: an async context manager that gives an ``AsyncConnection``."""

    __slots__ = ("_before", "_connection", "_database", "_held")

    def __init__(self, database: AsyncDatabase) -> None:
        self._database = database
        self._connection: AsyncConnection | None = None
        self._held: Held | None = None
        self._before: Marker | None = None

    async def __aenter__(self) -> AsyncConnection:
        if self._connection is not None:
            raise OperationalError("this connection() is open already; call connection() anew for each block")
        database = self._database
        one_writer = blocked_by_transaction(database, read_only=False) != "nothing"
        around = current(database)
        if one_writer and around is not None:
            self._check_waits(around)
        connection = AsyncConnection(database)
        await connection.open()
        self._connection = connection
        if one_writer:
            self._held = Held(connection)
            self._before = enter(database, self._held)
        return connection

    def _check_waits(self, around: Marker) -> None:
        if isinstance(around, AsyncTransaction):
            around = Outside(around)
        around.join(write=True)

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        connection, self._connection = self._connection, None
        if connection is None:
            raise OperationalError("this connection() is not open")
        if self._held is not None:
            leave(self._database, self._held, self._before)
            self._held = None
        if isinstance(exc, GeneratorExit):
            # Nothing can be awaited any more.
            connection.abandon()
        else:
            await connection.close()


def _values(sql: object, params: object) -> tuple[Any, ...]:
    """Return the parameters of raw SQL, checked."""
    if not isinstance(sql, str):
        raise TypeError(f"SQL is given as a str, not as {type(sql).__name__}")
    if params is None:
        return ()
    if isinstance(params, (str, bytes, Mapping)) or not isinstance(params, Sequence):
        raise TypeError(f"params must be a list or tuple of values, not {type(params).__name__}")
    return tuple(params)
