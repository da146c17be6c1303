"""Which transaction a piece of code is in, and whether it may use it.

One ``ContextVar`` maps databases to the innermost open block of the current context. Tasks inherit the mapping when
they are made, so ``gather``, ``create_task`` and ``wait_for`` inside a block run in its transaction. The mapping is
never changed in place: entering and leaving a block sets a new one, and a task keeps the one it was born with. A task
that outlives its block therefore still finds the block here, sees that it has ended, and is refused: the other
possibility, to run its statement in autocommit, would let it escape the transaction unseen.

Two objects describe a transaction::

    Transaction          one BEGIN … COMMIT: its lease (the engine's connection), event loop, deadline, first error
    AsyncTransaction     one block in it: the outermost one or a savepoint; what ``async with atomic() as tx`` gives

``Transaction.top`` is the innermost block. A statement or a new block is only taken from a context whose own block is
the top one: work that another task did inside a foreign savepoint would vanish when that savepoint rolls back.
"""

from __future__ import annotations

import asyncio
import inspect
import weakref
from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from ..exceptions import (
    ManagerError,
    OxydeError,
    TransactionBrokenError,
    TransactionClosedError,
    TransactionError,
    TransactionTaskError,
    TransactionTimeoutError,
)
from .busy import check_free
from .features import blocked_by_transaction
from .origin import caller, warn_unclosed
from .registry import DEFAULT_ALIAS, get_connection

if TYPE_CHECKING:
    from oxyde_core import Database, Lease

    from .block import AtomicTransactionContext
    from .connection import AsyncConnection
    from .database import AsyncDatabase

__all__ = ["AsyncTransaction", "Held", "Outside", "Transaction", "get_active_transaction", "outside_transaction"]

# Seconds after a deadline at which Python steps in, should the engine not have done so.
ENGINE_FIRST = 0.01

Callback: TypeAlias = "Callable[[], Any] | Awaitable[Any]"


class Transaction:
    """One database transaction: the engine's lease and what the blocks in it share."""

    __slots__ = (
        "connection",
        "core",
        "database",
        "deferrable",
        "ended",
        "expires_at",
        "first_error",
        "isolation",
        "lease",
        "loop",
        "opened",
        "read_only",
        "ready",
        "savepoints",
        "timed_out",
        "timer",
        "top",
    )

    def __init__(
        self,
        database: AsyncDatabase,
        *,
        read_only: bool,
        isolation: str | None,
        deferrable: bool = False,
        connection: AsyncConnection | None = None,
    ) -> None:
        self.ended = False
        self.database = database
        self.core: Database = database.engine()
        # The connection that the program keeps, if it runs on one.
        self.connection = connection
        self.loop = asyncio.get_running_loop()
        self.read_only = read_only
        self.isolation = isolation
        self.deferrable = deferrable
        # AtomicTransactionContext.open, ._begin and this.
        frame = caller(4)
        self.opened = None if frame is None else (frame.f_code, frame.f_lasti)
        mode: Literal["write", "read"] = "read" if read_only else "write"
        if connection is None:
            begun_at = None if frame is None else (frame.f_code.co_filename, frame.f_lineno)
            self.lease: Lease = self.core.lease(mode, isolation, deferrable, begun_at)
        else:
            self.lease = connection.pin.lease(mode, isolation, deferrable)
        # True while statements may be sent: begun, not ended, not broken as far as Python knows.
        self.ready = False
        self.timed_out = False
        self.first_error: BaseException | None = None
        self.savepoints = 0
        self.expires_at: float | None = None
        self.timer: asyncio.TimerHandle | None = None
        self.top = AsyncTransaction(self, None, None)

    def expire_at(self, when: float | None) -> None:
        """Set the deadline (loop time); at that moment the transaction is rolled back, whatever is running in it."""
        self._stop_timer()
        self.expires_at = when
        # The engine stops the running statement with a TransactionTimeoutError. It looks at its deadlines when
        # something is handed to it; the timer is for the block that waits for something else.
        self.lease.set_deadline(None if when is None else max(when - self.loop.time(), 0.0))
        if when is not None:
            self.timer = self.loop.call_at(when + ENGINE_FIRST, self.expire)

    def expire(self) -> None:
        """The deadline has passed: nothing but the end of the blocks remains."""
        self.timer = None
        if not self.ended:
            self.timed_out = True
            self.ready = False
            self.lease.abandon()

    def past_deadline(self) -> bool:
        """Whether the deadline has come, give or take the resolution of the timers."""
        return self.expires_at is not None and self.loop.time() >= self.expires_at - ENGINE_FIRST

    def end(self) -> None:
        """From here on, no statement of this transaction is taken, and its deadline has no meaning any more."""
        self.ended = True
        self.ready = False
        if self.timer is not None:
            self._stop_timer()
            self.lease.set_deadline(None)

    def __del__(self) -> None:
        if getattr(self, "ready", False):
            # First: whoever collects warnings may keep what they are about.
            self.end()
            self.lease.abandon()
            warn_unclosed(f"a transaction on {self.database.name!r}", self.opened, self)

    def _stop_timer(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None

    def break_off(self, error: BaseException) -> None:
        """Nothing but a rollback is left: what ``error`` stopped cannot be undone on its own."""
        self.ready = False
        if self.first_error is None:
            self.first_error = error

    def refusal(self, block: AsyncTransaction) -> TransactionError:
        """Make the error for a use of ``block`` that is not allowed now."""
        alias = self.database.name
        if self.timed_out:
            return timeout_error(self)
        if self.loop is not running_loop():
            return TransactionTaskError(
                f"the transaction on {alias!r} belongs to another event loop; to work beside it, use "
                "outside_transaction()"
            )
        if self.ended:
            return TransactionClosedError(
                f"the transaction on {alias!r} has ended; wait for the tasks started in it before its block ends, "
                "or use outside_transaction() in them"
            )
        if self.first_error is not None:
            return TransactionBrokenError(
                f"the transaction on {alias!r} was broken by {describe(self.first_error)}; only leaving its block "
                "remains"
            )
        if block.ended or block.orphaned:
            return TransactionClosedError(
                f"the nested block on {alias!r} in which this task was started has ended; wait for the task in it"
            )
        if not self.ready:
            return TransactionClosedError(f"the transaction on {alias!r} has not begun")
        return TransactionTaskError(
            f"another task has a nested block open in the transaction on {alias!r}, and what is done beside it would "
            "be lost if that block rolls back; run the two one after the other, or use outside_transaction()"
        )


class AsyncTransaction:
    """One open block of a transaction: what ``async with atomic() as tx`` gives.

    It can be passed as ``using=tx`` or ``client=tx`` to run a query in this transaction from a task that did not
    inherit it.
    """

    __slots__ = ("callbacks", "ended", "parent", "rollback_wanted", "savepoint_name", "transaction")

    def __init__(self, transaction: Transaction, parent: AsyncTransaction | None, savepoint_name: str | None) -> None:
        self.transaction = transaction
        self.parent = parent
        self.savepoint_name = savepoint_name
        self.rollback_wanted = False
        self.callbacks: list[Callback] = []
        self.ended = False

    @property
    def database(self) -> AsyncDatabase:
        """The database that the transaction runs on."""
        return self.transaction.database

    @property
    def using(self) -> str:
        """The name of that database."""
        return self.transaction.database.name

    @property
    def active(self) -> bool:
        """Whether the block is open and statements can still be sent in it."""
        return self.transaction.ready and not self.ended

    @property
    def nested(self) -> bool:
        """Whether the block lies inside another one."""
        return self.parent is not None

    @property
    def read_only(self) -> bool:
        """Whether the transaction was opened with ``read_only=True``."""
        return self.transaction.read_only

    @property
    def orphaned(self) -> bool:
        """Whether a block around this one has ended before it."""
        parent = self.parent
        while parent is not None:
            if parent.ended:
                return True
            parent = parent.parent
        return False

    def set_rollback(self, rollback: bool = True) -> None:
        """Make the block roll back when it ends without an exception; ``False`` takes that back.

        >>> async with atomic() as tx:
        ...     tx.set_rollback(True)  # a dry run
        """
        self._check_open()
        self.rollback_wanted = bool(rollback)

    def on_commit(self, callback: Callback) -> None:
        """Call ``callback`` (a function, an async function or a coroutine) once after the transaction is committed.

        Callbacks run in the order of registration, outside the transaction, before the block returns. One that was
        registered in a nested block that rolled back is dropped. An error in one is logged and given to the event
        loop's exception handler; it never leaves the block and does not stop the others.

        >>> async with atomic() as tx:
        ...     tx.on_commit(lambda: queue.put_nowait("welcome"))
        """
        self._check_open()
        if not callable(callback) and not inspect.isawaitable(callback):
            raise TypeError(f"on_commit takes a function or a coroutine, not {type(callback).__name__}")
        self.callbacks.append(callback)

    def savepoint(self) -> AtomicTransactionContext:
        """Open a nested block: ``async with tx.savepoint() as inner`` rolls back alone if it fails."""
        from .block import AtomicTransactionContext

        return AtomicTransactionContext(using=self.database)

    def hand_over(self) -> None:
        """Give the callbacks of a nested block that ended well to the block around it."""
        if self.parent is not None:
            self.parent.callbacks.extend(self.callbacks)

    def pass_rollback_on(self) -> None:
        """A block without a savepoint cannot roll back alone: the block around it has to."""
        if self.parent is not None:
            self.parent.rollback_wanted = True

    def join(self, write: bool = False) -> tuple[Database, Lease]:
        """Return engine and lease for a statement of the context that is in this block, or raise why not."""
        transaction = self.transaction
        if transaction.ready and transaction.top is self and transaction.loop is running_loop():
            if transaction.connection is not None:
                check_free(transaction.connection)
            return transaction.core, transaction.lease
        raise transaction.refusal(self)

    def join_explicitly(self) -> tuple[Database, Lease]:
        """As ``join``, for a query that was handed this transaction: its context may also be in a block inside it."""
        blocks = _blocks.get()
        inner = None if blocks is None else blocks.get(self.database)
        if isinstance(inner, AsyncTransaction) and inner.transaction is self.transaction and not self.ended:
            return inner.join()
        return self.join()

    def _check_open(self) -> None:
        if not self.active:
            raise self.transaction.refusal(self)

    def __repr__(self) -> str:
        kind = "savepoint" if self.nested else "transaction"
        return f"<AsyncTransaction {kind} on {self.using!r}, {'open' if self.active else 'ended'}>"


class Outside:
    """Marks a database on which the context has stepped out of its transaction."""

    __slots__ = ("block",)

    def __init__(self, block: AsyncTransaction) -> None:
        self.block = block

    def join(self, write: bool = False) -> tuple[Database, None]:
        """Return the engine for a statement beside the transaction, or raise if it would wait for itself."""
        transaction = self.block.transaction
        database = transaction.database
        # One that ran into its deadline is rolled back already: there is nothing to wait for.
        waits = not transaction.ended and not transaction.timed_out
        if waits and transaction.loop is running_loop():
            blocked = blocked_by_transaction(database, read_only=transaction.read_only)
            if blocked == "everything" or (blocked == "writes" and write):
                what = "a statement" if blocked == "everything" else "a write"
                raise TransactionTaskError(
                    f"{what} outside the transaction on {database.name!r} would wait for that transaction, and so for "
                    "itself, because the database has one writer; run it inside the block or after it"
                )
        return database.engine(), None


class Held:
    """Marks a database whose only writing connection this context keeps."""

    __slots__ = ("connection", "database", "loop")

    def __init__(self, connection: AsyncConnection) -> None:
        # One that the program forgot keeps nobody waiting.
        self.connection = weakref.ref(connection)
        self.database = connection.database
        self.loop = asyncio.get_running_loop()

    def join(self, write: bool = False) -> tuple[Database, None]:
        """Return the engine for a statement beside the connection, or raise if it would wait for it."""
        connection = self.connection()
        if connection is not None and connection.active and self.loop is running_loop():
            blocked = blocked_by_transaction(self.database, read_only=False)
            if blocked == "everything" or (blocked == "writes" and write):
                what = "a statement" if blocked == "everything" else "a write"
                raise TransactionTaskError(
                    f"{what} beside the pinned connection of {self.database.name!r} would wait for that connection, "
                    "and so for itself, because the database has one writer; run it on the connection, or inside "
                    "atomic(connection=…)"
                )
        return self.database.engine(), None


Marker: TypeAlias = "AsyncTransaction | Outside | Held"
"""What a context may have open on a database."""

_blocks: ContextVar[Mapping[AsyncDatabase, Marker] | None] = ContextVar("oxyde_blocks", default=None)

current_blocks = _blocks.get


def current(database: AsyncDatabase) -> Marker | None:
    """Return what this context has open on a database."""
    blocks = _blocks.get()
    return None if blocks is None else blocks.get(database)


def enter(database: AsyncDatabase, block: Marker) -> Marker | None:
    """Make ``block`` the one of this context and return what it replaces."""
    blocks = _blocks.get() or {}
    _blocks.set({**blocks, database: block})
    return blocks.get(database)


def leave(database: AsyncDatabase, block: Marker, before: Marker | None) -> None:
    """Put back what ``block`` replaced; nothing happens in a context where it is not the current one.

    A token's ``reset`` would raise there: an async generator may be closed from another context than it was begun in.
    """
    blocks = _blocks.get()
    if blocks is None or blocks.get(database) is not block:
        return
    rest = {key: value for key, value in blocks.items() if key is not database}
    if before is not None:
        rest[database] = before
    _blocks.set(rest or None)


def running_loop() -> asyncio.AbstractEventLoop | None:
    """Return the loop that runs this code; None in a thread without one."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def describe(error: BaseException) -> str:
    """Name an error in the message of another one. The text of a foreign exception may hold values: only its type."""
    name = type(error).__name__
    return f"{name}: {error}" if isinstance(error, OxydeError) else name


def timeout_error(transaction: Transaction) -> TransactionTimeoutError:
    """Make the error for a transaction whose deadline has passed."""
    return TransactionTimeoutError(
        f"the transaction on {transaction.database.name!r} ran longer than its timeout and was rolled back"
    )


def database_of(target: object) -> AsyncDatabase:
    """Return the database that an alias, a database or a transaction stands for."""
    from .database import AsyncDatabase

    if isinstance(target, str):
        return get_connection(target)
    if isinstance(target, AsyncDatabase):
        return target
    if isinstance(target, AsyncTransaction):
        return target.database
    raise ManagerError(
        f"a database is named by an alias, an AsyncDatabase or a transaction, not by {type(target).__name__}"
    )


def get_active_transaction(using: str | AsyncDatabase = DEFAULT_ALIAS) -> AsyncTransaction | None:
    """Return the innermost open block of this context on a database, or None.

    Raises ``KeyError`` for an alias that is not registered.

    >>> async with atomic() as tx:
    ...     assert get_active_transaction() is tx
    """
    block = current(database_of(using))
    return block if isinstance(block, AsyncTransaction) and block.active else None


class outside_transaction:  # noqa: N801 - used like a function
    """Run statements beside the open transactions of this context, each committed by itself.

    ``using`` limits it to one database. Works with ``with`` and ``async with``, and for tasks started inside. On a
    database with one writer (SQLite) a write beside an open write transaction raises ``TransactionTaskError``: it could
    only wait for itself.

    >>> with outside_transaction():
    ...     await AuditEntry.objects.create(text="tried")  # stays if the transaction rolls back
    """

    __slots__ = ("_before", "_markers", "_using")

    def __init__(self, using: str | AsyncDatabase | None = None) -> None:
        self._using = using
        self._markers: list[tuple[AsyncDatabase, Outside, AsyncTransaction]] = []

    def __enter__(self) -> None:
        if self._markers:
            raise TransactionError("this outside_transaction() is already entered; make a new one")
        only = None if self._using is None else database_of(self._using)
        for database, block in (_blocks.get() or {}).items():
            if isinstance(block, AsyncTransaction) and (only is None or database is only):
                marker = Outside(block)
                enter(database, marker)
                self._markers.append((database, marker, block))

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        while self._markers:
            database, marker, block = self._markers.pop()
            leave(database, marker, block)

    async def __aenter__(self) -> None:
        self.__enter__()

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.__exit__(exc_type, exc, tb)
