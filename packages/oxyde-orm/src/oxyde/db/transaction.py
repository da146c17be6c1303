"""Transactions: ``async with atomic():`` and ``@atomic()``.

The rules are told where they are kept: which code is in which transaction in :mod:`oxyde.db.scope`, how a block ends in
:mod:`oxyde.db.block`, what COMMIT guarantees in :mod:`oxyde.db.commit`, retries in :mod:`oxyde.db.retry`.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec, TypeVar, overload

from ..exceptions import TransactionTimeoutError
from .block import AtomicTransactionContext, Options
from .connection import AsyncConnection
from .database import AsyncDatabase
from .registry import DEFAULT_ALIAS
from .retry import Attempts
from .scope import AsyncTransaction, get_active_transaction, outside_transaction
from .settings import Duration

__all__ = [
    "AsyncTransaction",
    "AtomicTransactionContext",
    "TransactionTimeoutError",
    "atomic",
    "get_active_transaction",
    "outside_transaction",
]

P = ParamSpec("P")
R = TypeVar("R")


_PLAIN = Options()


class _Atomic:
    """Run a block or an async function in a transaction; inside an open one, in a savepoint of it.

    A block that ends without an exception is committed when it returns; with an exception it is rolled back and the
    exception goes on. Tasks started inside run in the same transaction and must end before the block does.

    ``using`` is an alias or an ``AsyncDatabase``. ``connection`` is what ``database.connection()`` gave: the
    transaction runs on that connection, after what was asked of it before (a database that is not registered is taken,
    too). ``timeout`` (seconds or timedelta; default ``PoolSettings.transaction_timeout``) rolls the transaction back at
    once when it passes; the next database call and the end of the block raise ``TransactionTimeoutError``.
    ``isolation`` is one of "read_uncommitted", "read_committed", "repeatable_read", "serializable".
    ``read_only=True`` refuses writes and, on SQLite, does not wait for the writer. ``deferrable=True`` lets a
    serializable reader on PostgreSQL wait for a snapshot that nobody disturbs. ``durable=True`` insists on being the
    outermost block. ``savepoint=False`` makes a nested block part of the one around it: its failure breaks the whole
    transaction. ``retries`` runs a decorated function again after a retryable error (see ``atomic.retrying`` for a
    block).

    Raises ``KeyError`` for an unknown alias, ``TypeError`` or ``ValueError`` for arguments that make no sense,
    ``NotSupportedError`` for what the database cannot do, ``TransactionError`` for a nested block that asks for what
    only the outermost one decides, ``TransactionTaskError`` if a task still has a block open at the end of this one,
    ``TransactionBrokenError`` if a statement has ended the transaction in a way that may have been a commit,
    ``TransactionRolledBackError`` if the database had rolled back what the block believes done,
    ``CommitUnknownError`` if the answer to COMMIT was lost. A task cancelled during COMMIT waits up to
    ``commit_timeout`` seconds for the answer and raises its ``CancelledError`` with ``commit_outcome`` "committed",
    "rolled_back" or "unknown".

    >>> async with atomic() as tx:
    ...     await Account.objects.filter(id=1).update(balance=F("balance") - 10)
    """

    @overload
    def __call__(self, function: Callable[P, Coroutine[Any, Any, R]], /) -> Callable[P, Coroutine[Any, Any, R]]: ...

    @overload
    def __call__(
        self,
        *,
        using: str | AsyncDatabase = DEFAULT_ALIAS,
        timeout: Duration | None = None,
        isolation: str | None = None,
        read_only: bool = False,
        deferrable: bool = False,
        durable: bool = False,
        savepoint: bool = True,
        retries: int = 0,
        connection: AsyncDatabase | AsyncConnection | None = None,
    ) -> AtomicTransactionContext: ...

    def __call__(self, *function: Callable[..., Any], **arguments: Any) -> Any:
        context = AtomicTransactionContext(Options(**arguments) if arguments else _PLAIN)
        return context(*function) if function else context

    def retrying(
        self,
        *,
        retries: int = 3,
        using: str | AsyncDatabase = DEFAULT_ALIAS,
        timeout: Duration | None = None,
        isolation: str | None = None,
        read_only: bool = False,
        deferrable: bool = False,
        durable: bool = False,
        connection: AsyncDatabase | AsyncConnection | None = None,
    ) -> Attempts:
        """Run a block again, up to ``retries`` times, after an error that is ``retryable`` and left nothing behind.

        An error of COMMIT itself is raised, because a body that was left by ``return`` could not run again; the
        decorator ``@atomic(retries=3)`` repeats that too. Inside an open transaction there is one attempt: only the
        outermost block can be run again.

        >>> async for attempt in atomic.retrying(retries=3, isolation="serializable"):
        ...     async with attempt:
        ...         await Account.objects.filter(id=1).update(balance=F("balance") - 10)
        """
        return Attempts(
            Options(
                retries=retries,
                using=using,
                timeout=timeout,
                isolation=isolation,
                read_only=read_only,
                deferrable=deferrable,
                durable=durable,
                connection=connection,
            )
        )

    def __repr__(self) -> str:
        return "oxyde.db.atomic"


atomic = _Atomic()
# help() and the reference show an instance's own docstring.
atomic.__doc__ = _Atomic.__doc__
