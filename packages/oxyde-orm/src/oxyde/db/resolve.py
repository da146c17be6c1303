"""Where a query runs: which engine, and in which transaction.

This is on the way of every query. The common case — an alias, no transaction open in this context — costs one dict
look-up and one ``ContextVar`` get; everything else is behind a branch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from ..exceptions import ManagerError
from .registry import DEFAULT_ALIAS, connections
from .scope import AsyncTransaction, current_blocks, database_of

if TYPE_CHECKING:
    from oxyde_core import Database, Lease

    from .database import AsyncDatabase

__all__ = ["Target", "resolve"]

Target: TypeAlias = "str | AsyncDatabase | AsyncTransaction | None"


def resolve(
    using: Target = None, client: Target = None, alias: Target = None, write: bool = False
) -> tuple[Database, Lease | None]:
    """Return the engine and, inside a transaction, its lease.

    ``client`` wins over ``using``, that over ``alias`` (what the query or its model chose), that over ``"default"``.
    ``write`` says that the statement may write: beside an open SQLite transaction (``outside_transaction()``) it is
    refused, since it would wait for its own task.

    Raises ``ManagerError`` for both ``client`` and ``using``, ``KeyError`` for an unknown alias, ``OperationalError``
    for a database that is not connected and ``TransactionError`` for a transaction that cannot be used here.
    """
    if client is not None:
        if using is not None:
            raise ManagerError("give either client= or using=, not both")
        target = client
    else:
        target = using if using is not None else alias if alias is not None else DEFAULT_ALIAS
    if type(target) is str:
        database = connections.get(target)
        if database is None:
            database = database_of(target)
    elif isinstance(target, AsyncTransaction):
        return target.join_explicitly()
    else:
        database = database_of(target)
    blocks = current_blocks()
    if blocks is not None:
        block = blocks.get(database)
        if block is not None:
            return block.join(write)
    core = database.core
    if core is None:
        core = database.engine()
    return core, None
