"""Advisory locks: ``async with advisory_lock("reports")`` runs one at a time, on every machine that uses the database.

What is locked is a key that means something to the program and nothing to the database. Where the lock lives::

    inside atomic()               in that transaction's session, until the transaction ends: whoever gets the lock next
                                  sees what was committed under it
    elsewhere                     in a session of its own, until the block ends
    elsewhere, behind a pooler    in a transaction of its own, which keeps a session behind a pooler

A session's locks end with the session: a connection that is lost while the block runs has let somebody else in. That
cannot be undone, but it is told, by a ``ConnectionLostError`` at the end of the block. And no lock outlives its block
on a connection that somebody else gets: the engine resets the session first, whatever became of the task.
"""

from __future__ import annotations

import hashlib
import math
import re
from types import TracebackType
from typing import TYPE_CHECKING, Any

from ..exceptions import (
    ConnectionLostError,
    DatabaseError,
    LockTimeoutError,
    NotSupportedError,
    OperationalError,
    QueryTimeoutError,
)
from .database import AsyncDatabase, finish
from .features import features
from .registry import DEFAULT_ALIAS
from .scope import AsyncTransaction, current, database_of
from .settings import Duration, Option

if TYPE_CHECKING:
    from oxyde_core import Database, Lease, Pin

    from .connection import ConnectionContext

__all__ = ["advisory_lock"]

_SECONDS = Option("seconds")
# Longer than any program waits: "no limit" has no spelling that MySQL and MariaDB share, nor has it one for the engine.
_FOR_EVER = 100 * 24 * 3600
_LONGEST_NAME = 64
# What every server takes for the same name: MySQL takes upper and lower case for the same, MariaDB does not.
_PLAIN_NAME = re.compile(r"[!-@\[-~][ -@\[-~]{0,62}[!-@\[-~]|[!-@\[-~]")


class advisory_lock:  # noqa: N801 - used like a function
    """Hold a lock of the program's own for the length of a block; whoever wants the same key waits.

    ``key`` is an integer of 64 bits or a text. ``shared=True`` holds it together with others who share it (PostgreSQL).
    ``wait`` is how long to wait, in seconds or as a timedelta: ``None`` for ever, ``0`` not at all. ``using`` is an
    alias or an ``AsyncDatabase``.

    Inside ``atomic()`` the lock belongs to the transaction and is held until that ends. Elsewhere it takes a connection
    of its own for the length of the block. A task that takes the same lock twice waits for itself, except in one
    transaction.

    On PostgreSQL a key is a number within the current database; a text stands for the first eight bytes of its SHA-256,
    as a signed big-endian number. On MySQL and MariaDB it is a name on the whole server: a text of at most 64
    characters, all of them printable ASCII, no capital letter among them and no blank at its ends, names itself; any
    other text is called ``oxyde_`` and the first 58 digits of its SHA-256; a number ``n`` is called ``oxyde_n``.

    Raises ``TypeError`` or ``ValueError`` for a key or a ``wait`` that is none, ``LockTimeoutError`` if the lock was
    not obtained in time, ``NotSupportedError`` on SQLite, in ``atomic(connection=…)`` on MySQL and MariaDB, and for
    ``shared=True`` where locks cannot be shared, ``ConnectionLostError`` at the end of the block if the lock was lost
    with its connection: what the block did may have been done beside another holder of the lock.

    >>> async with advisory_lock("nightly report", wait=0):
    ...     await write_report()
    """

    __slots__ = ("_context", "_database", "_key", "_lease", "_place", "_shared", "_state", "_using", "_wait")

    def __init__(
        self,
        key: int | str,
        *,
        shared: bool = False,
        wait: Duration | None = None,
        using: str | AsyncDatabase = DEFAULT_ALIAS,
    ) -> None:
        if isinstance(key, bool) or not isinstance(key, (int, str)):
            raise TypeError(f"the key of a lock is an int or a str, not {type(key).__name__}")
        if key == "":
            raise ValueError("the key of a lock must not be empty")
        if isinstance(key, int) and not -(2**63) <= key < 2**63:
            raise ValueError(f"the key of a lock has 64 bits at most: {key}")
        self._key = key
        self._shared = bool(shared)
        self._wait: float | None = None if wait is None else _SECONDS.check("wait", wait)
        self._using = using
        self._state = "new"
        self._context: ConnectionContext | None = None
        self._lease: Lease | None = None

    async def __aenter__(self) -> None:
        if self._state == "held":
            raise OperationalError("this advisory_lock() is held already; make a new one for each block")
        database = self._database = database_of(self._using)
        self._check(database)
        block = current(database)
        if isinstance(block, AsyncTransaction):
            await self._join(block)
        else:
            await self._hold(database)
        self._state = "held"

    def _check(self, database: AsyncDatabase) -> None:
        can = features(database)
        if can.advisory_lock is None:
            raise NotSupportedError(
                f"advisory_lock() is not supported on {database.backend}: its only lock is that of the writer, which "
                "atomic() takes"
            )
        if self._shared and not can.shared_lock:
            raise NotSupportedError(f"advisory_lock(shared=True) is not supported on {database.backend}")

    async def _join(self, block: AsyncTransaction) -> None:
        core, lease = block.join()
        if features(block.database).advisory_lock == "name":
            await self._get_lock_until_the_end(core, lease, block.transaction.connection is not None)
            return
        # An error in a transaction of PostgreSQL is undone with the savepoint, and so is a lock that came too late.
        async with block.savepoint() as inner:
            core, lease = inner.join()
            await self._lock(core, lease, "xact_")

    async def _hold(self, database: AsyncDatabase) -> None:
        context = self._context = database.connection()
        connection = await context.__aenter__()
        try:
            core, place = connection.place()
            if features(database).advisory_lock == "name":
                await self._get_lock(core, place)
            elif connection.pin.pooled:
                place = self._lease = connection.pin.lease("write")
                await finish(self._lease.begin())
                await self._lock(core, place, "xact_")
            else:
                await self._lock(core, place, "")
        except BaseException as error:
            # The connection goes back by way of a reset, which unlocks what may have been locked meanwhile.
            await self._leave(context, error)
            raise
        self._place = place

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        if self._state != "held":
            raise OperationalError("this advisory_lock() is not held")
        self._state = "over"
        context, self._context = self._context, None
        if context is None:
            # The transaction's end is the lock's.
            return
        try:
            if exc is None:
                await self._unlock()
        except BaseException as error:
            await self._leave(context, error)
            raise
        await self._leave(context, exc)

    async def _leave(self, context: ConnectionContext, exc: BaseException | None) -> None:
        self._lease = None
        await context.__aexit__(None if exc is None else type(exc), exc, None)

    async def _unlock(self) -> None:
        core = self._database.engine()
        lost: DatabaseError | None = None
        held: Any = None
        try:
            if self._lease is not None:
                await self._lease.commit()
                held = True
            elif features(self._database).advisory_lock == "name":
                held = await _value(core.raw("SELECT RELEASE_LOCK(?) AS held", (self._name(),), self._place))
            else:
                sql = f"SELECT pg_catalog.pg_advisory_unlock{self._suffix()}($1) AS held"
                held = await _value(core.raw(sql, (self._number(),), self._place))
        except DatabaseError as error:
            lost = error
        if not held:
            raise ConnectionLostError(
                f"the connection that held the lock {self._key!r} on {self._database.name!r} was lost while the block "
                "ran: somebody else may have held the lock at the same time",
                outcome="unknown",
            ) from lost

    # -- PostgreSQL

    async def _lock(self, core: Database, place: Pin | Lease, level: str) -> None:
        function = f"advisory_{level}lock{self._suffix()}"
        if self._wait == 0:
            sql = f"SELECT pg_catalog.pg_try_{function}($1) AS locked"
            if not await _value(core.raw(sql, (self._number(),), place)):
                raise self._too_late()
            return
        limit = await _value(core.raw("SELECT pg_catalog.current_setting('lock_timeout') AS old", (), place))
        # Ours is the limit that counts.
        local = level != ""
        if limit != "0":
            await finish(core.raw("SELECT pg_catalog.set_config('lock_timeout', '0', $1)", (local,), place))
        await self._within(
            core.raw(f"SELECT pg_catalog.pg_{function}($1)::text", (self._number(),), place, self._limit())
        )
        if limit != "0":
            await finish(core.raw("SELECT pg_catalog.set_config('lock_timeout', $2, $1)", (local, limit), place))

    def _suffix(self) -> str:
        return "_shared" if self._shared else ""

    def _number(self) -> int:
        if isinstance(self._key, int):
            return self._key
        return int.from_bytes(hashlib.sha256(self._key.encode()).digest()[:8], "big", signed=True)

    # -- MySQL and MariaDB

    async def _get_lock_until_the_end(self, core: Database, lease: Lease, kept: bool) -> None:
        """A lock of the session ends with it, and that of a kept connection goes on after the transaction."""
        obtained = True
        try:
            obtained = await self._try_lock(core, lease)
        finally:
            # Also when it is not known: releasing what is not held does nothing.
            if kept and obtained:
                lease.afterwards(f"DO RELEASE_LOCK(CONVERT(X'{self._name().encode().hex()}' USING utf8mb4))")
        if not obtained:
            raise self._too_late()

    async def _get_lock(self, core: Database, place: Pin | Lease) -> None:
        if not await self._try_lock(core, place):
            raise self._too_late()

    async def _try_lock(self, core: Database, place: Pin | Lease) -> bool:
        # Whole seconds, and a little more than ours.
        seconds = 0 if self._wait == 0 else math.ceil(self._limit()) + 1
        limit = None if self._wait == 0 else self._limit()
        rows = await self._within(core.raw("SELECT GET_LOCK(?, ?) AS locked", (self._name(), seconds), place, limit))
        locked: int | None = rows[0]["locked"]
        if locked is None:
            raise OperationalError(f"the database could not take the lock {self._key!r}")
        return locked == 1

    def _name(self) -> str:
        if isinstance(self._key, int):
            return f"oxyde_{self._key}"
        if _PLAIN_NAME.fullmatch(self._key):
            return self._key
        return "oxyde_" + hashlib.sha256(self._key.encode()).hexdigest()[: _LONGEST_NAME - len("oxyde_")]

    # -- both

    def _limit(self) -> float:
        return _FOR_EVER if self._wait is None else self._wait

    async def _within(self, pending: Any) -> Any:
        try:
            return await finish(pending)
        except QueryTimeoutError as error:
            raise self._too_late() from error

    def _too_late(self) -> LockTimeoutError:
        waited = "" if not self._wait else f" within {self._wait:g} s"
        return LockTimeoutError(
            f"the lock {self._key!r} on {self._database.name!r} is held by somebody else and was not obtained{waited}",
            retryable=True,
        )


async def _value(pending: Any) -> Any:
    rows = await finish(pending)
    (value,) = rows[0].values()
    return value
