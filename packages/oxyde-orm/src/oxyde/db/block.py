"""Opening and ending a block: the rules that decide between COMMIT and ROLLBACK.

A block that ends without an exception is committed, or raises; one that ends with an exception is not committed. What
ended the block and what the transaction has been through decide::

    ended by         transaction            outermost block                        nested block
    -------------    -------------------    -----------------------------------    -----------------------------
    no exception     whole                  COMMIT                                 RELEASE
                     broken                 rolled back, …RolledBackError          undone, …BrokenError
                     set_rollback(True)     rolled back                            undone
                     a task's block open    rolled back, TransactionTaskError      undone, TransactionTaskError
    exception        any                    rolled back, the exception goes on     undone, the exception goes on
    GeneratorExit    any                    abandoned (nothing can be awaited)     the whole transaction is broken

"Undone" is ROLLBACK TO the block's savepoint. Where that is impossible — no savepoint, an error, a cancellation in
between — the whole transaction is broken: its statements are refused and its outermost block cannot commit.

Whatever the task is doing when it is cancelled, the lease is either answered or abandoned, so the engine never keeps an
open transaction that no block belongs to.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, ParamSpec, TypeAlias, TypeVar

from ..exceptions import (
    DatabaseError,
    TransactionClosedError,
    TransactionError,
    TransactionTaskError,
    TransactionTimeoutError,
)
from .commit import commit, drop_callbacks, roll_back, rolled_back
from .connection import AsyncConnection
from .database import AsyncDatabase, finish
from .features import check_transaction, isolation_level
from .registry import DEFAULT_ALIAS
from .scope import (
    AsyncTransaction,
    Held,
    Marker,
    Outside,
    Transaction,
    current,
    database_of,
    enter,
    leave,
    timeout_error,
)
from .settings import Duration, Option

if TYPE_CHECKING:
    from .retry import Attempts

__all__ = ["AtomicTransactionContext"]

P = ParamSpec("P")
R = TypeVar("R")
AsyncFunction: TypeAlias = "Callable[P, Coroutine[Any, Any, R]]"

_SECONDS = Option("seconds")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The arguments of ``atomic()``, checked."""

    using: str | AsyncDatabase = DEFAULT_ALIAS
    timeout: Duration | None = None
    isolation: str | None = None
    read_only: bool = False
    deferrable: bool = False
    durable: bool = False
    savepoint: bool = True
    retries: int = 0
    connection: AsyncDatabase | AsyncConnection | None = None

    def __post_init__(self) -> None:
        if self.connection is not None:
            if not isinstance(self.connection, AsyncDatabase | AsyncConnection):
                raise TypeError(
                    f"connection must be an AsyncConnection or an AsyncDatabase, not {type(self.connection).__name__}"
                )
            if self.using != DEFAULT_ALIAS:
                raise TypeError("give either using= or connection=, not both")
        if not isinstance(self.using, str | AsyncDatabase):
            raise TypeError(f"using must be an alias or an AsyncDatabase, not {type(self.using).__name__}")
        if self.timeout is not None:
            object.__setattr__(self, "timeout", _SECONDS.check("timeout", self.timeout))
        object.__setattr__(self, "isolation", isolation_level(self.isolation))
        if isinstance(self.retries, bool) or not isinstance(self.retries, int):
            raise TypeError(f"retries must be a whole number, not {type(self.retries).__name__}")
        if self.retries < 0:
            raise ValueError("retries must not be negative")

    def database(self) -> AsyncDatabase:
        """Return the database that is meant; ``KeyError`` for an unknown alias."""
        if isinstance(self.connection, AsyncConnection):
            return self.connection.database
        return database_of(self.using if self.connection is None else self.connection)

    def pinned(self) -> AsyncConnection | None:
        """Return the connection that the transaction is to run on, if it is to run on a certain one."""
        return self.connection if isinstance(self.connection, AsyncConnection) else None

    def around(self) -> Marker | None:
        """Return what a block is opened in: a transaction on another connection is none of its business."""
        block, pinned = current(self.database()), self.pinned()
        if pinned is None or not isinstance(block, AsyncTransaction) or block.transaction.connection is pinned:
            return block
        return None


class AtomicTransactionContext:
    """What ``atomic()`` returns: an async context manager that gives an ``AsyncTransaction``, and a decorator."""

    __slots__ = ("_before", "_block", "_options", "_outer_deadline")

    def __init__(self, options: Options | None = None, **arguments: Any) -> None:
        self._options = Options(**arguments) if options is None else options
        self._block: AsyncTransaction | None = None
        self._before: Marker | None = None
        self._outer_deadline: float | None = None

    def __call__(self, function: AsyncFunction[P, R]) -> AsyncFunction[P, R]:
        """Decorate an async function: each call runs in a block of its own, with ``retries`` if asked for."""
        if not inspect.iscoroutinefunction(function):
            raise TypeError(
                f"atomic() decorates async functions; {getattr(function, '__qualname__', function)!r} is none "
                "(in an async generator, use `async with atomic():`)"
            )
        options = self._options

        @functools.wraps(function)
        async def in_transaction(*args: P.args, **kwargs: P.kwargs) -> R:
            if options.retries:
                return await attempts(options).run(functools.partial(function, *args, **kwargs))
            async with AtomicTransactionContext(options):
                return await function(*args, **kwargs)

        return in_transaction

    async def __aenter__(self) -> AsyncTransaction:
        if self._options.retries:
            raise TypeError(
                "`async with atomic(retries=…)` cannot run its body twice; decorate a function with "
                "@atomic(retries=…), or write `async for attempt in atomic.retrying(retries=…): async with attempt:`"
            )
        return self.enter(await self.open())

    async def open(self) -> AsyncTransaction:
        """Begin the transaction or the savepoint, without making it the one of this context yet."""
        if self._block is not None:
            raise TransactionError("this atomic() block is already open; call atomic() anew for each block")
        database = self._options.database()
        around = self._options.around()
        if isinstance(around, AsyncTransaction):
            return await self._nest(around)
        return await self._begin(database, around)

    def enter(self, block: AsyncTransaction) -> AsyncTransaction:
        """Make an opened block the one of this context."""
        self._block = block
        self._before = enter(block.database, block)
        return block

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        block, self._block = self._block, None
        if block is None:
            raise TransactionError("this atomic() block is not open")
        leave(block.database, block, self._before)
        block.ended = True
        if block.nested:
            await self._end_nested(block, exc)
        else:
            await self._end(block, exc)

    # -- the outermost block

    async def _begin(self, database: AsyncDatabase, outside: Outside | Held | None) -> AsyncTransaction:
        options = self._options
        pinned = options.pinned()
        if pinned is not None:
            # Refuses a connection that cannot be used here, and a transaction that would wait for itself.
            pinned.place()
        elif outside is not None:
            outside.join(write=not options.read_only)
        check_transaction(database, isolation=options.isolation, deferrable=options.deferrable)
        transaction = Transaction(
            database,
            read_only=options.read_only,
            isolation=options.isolation,
            deferrable=options.deferrable,
            connection=pinned,
        )
        timeout = (
            database.transaction_timeout if options.timeout is None else _SECONDS.check("timeout", options.timeout)
        )
        if timeout is not None:
            transaction.expire_at(transaction.loop.time() + timeout)
        try:
            await finish(transaction.lease.begin(timeout))
        except BaseException as error:
            late = transaction.past_deadline()
            transaction.end()
            transaction.lease.abandon()
            # Whichever limit the engine was the first to notice, it was the transaction's time that had run out.
            if late and isinstance(error, DatabaseError):
                raise timeout_error(transaction) from error
            raise
        if transaction.timed_out:
            transaction.end()
            raise timeout_error(transaction)
        transaction.ready = True
        return transaction.top

    async def _end(self, block: AsyncTransaction, exc: BaseException | None) -> None:
        transaction, callbacks = block.transaction, block.callbacks
        transaction.end()
        if transaction.timed_out:
            drop_callbacks(callbacks)
            self._raise_timeout(transaction, exc)
            return
        if isinstance(exc, GeneratorExit):
            drop_callbacks(callbacks)
            transaction.lease.abandon()
            return
        error: BaseException | None = None
        if exc is None:
            if transaction.loop is not asyncio.get_running_loop():
                transaction.lease.abandon()
                raise TransactionTaskError(
                    f"the transaction on {block.using!r} was begun in another event loop, and was rolled back; "
                    "begin and end a block in the same loop"
                )
            if transaction.top is not block:
                error = _left_open(block)
            elif block.rollback_wanted:
                pass
            elif transaction.first_error is not None:
                error = rolled_back(transaction, transaction.first_error)
            else:
                await commit(transaction, callbacks)
                return
        drop_callbacks(callbacks)
        await roll_back(transaction, exc)
        if error is not None:
            raise error

    # -- a block inside another one

    async def _nest(self, parent: AsyncTransaction) -> AsyncTransaction:
        options = self._options
        parent.join()
        transaction = parent.transaction
        self._check_nested(transaction)
        name = None
        if options.savepoint:
            transaction.savepoints += 1
            name = f"oxyde_{transaction.savepoints}"
        block = AsyncTransaction(transaction, parent, name)
        # Before the first await: from here on, statements of other tasks are refused.
        transaction.top = block
        if name is not None:
            try:
                await finish(transaction.lease.savepoint(name))
            except BaseException as error:
                # Nothing refers to the savepoint, should it have been made.
                block.ended = True
                transaction.top = parent
                if transaction.timed_out:
                    self._raise_timeout(transaction, error)
                raise
        if options.timeout is not None:
            self._outer_deadline = transaction.expires_at
            deadline = transaction.loop.time() + _SECONDS.check("timeout", options.timeout)
            transaction.expire_at(min(deadline, self._outer_deadline or deadline))
        return block

    def _check_nested(self, transaction: Transaction) -> None:
        options, alias = self._options, transaction.database.name
        if options.durable:
            raise TransactionError(
                f"atomic(durable=True) must be the outermost block, but a transaction is open on {alias!r}"
            )
        check_transaction(transaction.database, isolation=options.isolation, deferrable=options.deferrable)
        if options.isolation not in (None, transaction.isolation):
            raise TransactionError(
                f"the isolation level is chosen by the outermost block of the transaction on {alias!r}"
            )
        if options.deferrable and not transaction.deferrable:
            raise TransactionError(
                f"atomic(deferrable=True) inside the transaction on {alias!r}: it is chosen by the outermost block"
            )
        if options.read_only and not transaction.read_only:
            raise TransactionError(
                f"atomic(read_only=True) inside the writing transaction on {alias!r}: what is read-only is chosen by "
                "the outermost block"
            )

    async def _end_nested(self, block: AsyncTransaction, exc: BaseException | None) -> None:
        transaction = block.transaction
        if self._options.timeout is not None and not transaction.ended:
            transaction.expire_at(None if transaction.timed_out else self._outer_deadline)
        if transaction.timed_out:
            self._raise_timeout(transaction, exc)
        elif transaction.ended or block.orphaned:
            drop_callbacks(block.callbacks)
            if exc is None:
                raise TransactionClosedError(
                    f"the block around this one on {transaction.database.name!r} ended first; wait for the tasks "
                    "started in a block before it ends"
                )
        elif transaction.first_error is not None:
            self._pop(block)
            if exc is None:
                raise transaction.refusal(block)
        elif exc is not None:
            await self._undo(block, exc)
        elif transaction.top is not block:
            error = _left_open(block)
            await self._undo(block, error)
            raise error
        elif block.rollback_wanted:
            await self._undo(block, None)
        else:
            await self._release(block)

    async def _release(self, block: AsyncTransaction) -> None:
        transaction, name = block.transaction, block.savepoint_name
        if name is not None:
            try:
                await finish(transaction.lease.release(name))
            except TransactionTimeoutError:
                transaction.expire()
                self._pop(block)
                raise
            except Exception as error:
                # An error inside the block was swallowed, and the database refuses everything until it is undone.
                await self._undo(block, error)
                raise rolled_back(transaction, error) from error
            except BaseException as error:
                # Released or not: it cannot be known any more, and what ends with an exception must not be committed.
                transaction.break_off(error)
                self._pop(block)
                raise
        block.hand_over()
        self._pop(block, keep=True)

    async def _undo(self, block: AsyncTransaction, exc: BaseException | None) -> None:
        """Roll back to the block's savepoint, or break the transaction if that cannot be done."""
        transaction, name = block.transaction, block.savepoint_name
        lease = transaction.lease
        try:
            if name is None:
                if exc is None:
                    block.pass_rollback_on()
                else:
                    transaction.break_off(exc)
            elif isinstance(exc, GeneratorExit):
                transaction.break_off(exc)
            else:
                await lease.rollback_to(name)
                await lease.release(name)
        except TransactionTimeoutError:
            transaction.expire()
        except Exception as error:
            transaction.break_off(exc or error)
        except BaseException as error:
            transaction.break_off(error)
            raise
        finally:
            self._pop(block)

    def _pop(self, block: AsyncTransaction, *, keep: bool = False) -> None:
        if block.parent is not None:
            block.transaction.top = block.parent
        if not keep:
            drop_callbacks(block.callbacks)

    def _raise_timeout(self, transaction: Transaction, exc: BaseException | None) -> None:
        # The errors that the rollback caused are the database's; a program's own exception goes on as it is.
        if exc is None or (isinstance(exc, DatabaseError) and not isinstance(exc, TransactionTimeoutError)):
            raise timeout_error(transaction) from exc


def _left_open(block: AsyncTransaction) -> TransactionTaskError:
    return TransactionTaskError(
        f"a block of the transaction on {block.using!r} ended while a task still had a block open inside it, and was "
        "rolled back; wait for the tasks before the block ends"
    )


def attempts(options: Options) -> Attempts:
    """Return the retry loop for these options."""
    from .retry import Attempts

    return Attempts(options)
