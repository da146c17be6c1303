"""How a query meets its database.

`Database.run` answers at once (SQLite, small statements) or gives a `Pending`.  The hot terminals repeat these few
lines instead of calling `execute`, so that awaiting them stays one coroutine deep:

    rows = database.run(shape, params, loader, lease)
    if type(rows) is Pending:
        pending = rows
        try:
            rows = await pending
        except BaseException:
            pending.cancel()        # whatever stops the wait also asks the engine to stop
            raise
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from oxyde.db.resolve import resolve
from oxyde_core import Pending, ir

if TYPE_CHECKING:
    from oxyde.db import AsyncDatabase, AsyncTransaction
    from oxyde.db.resolve import Target
    from oxyde_core import Database, Lease, Loader

__all__ = ["alias_of", "execute", "finish", "resolve"]


async def finish(answer: Any) -> Any:
    """The result of an operation that may still be under way."""
    if type(answer) is Pending:
        try:
            return await answer
        except BaseException:
            answer.cancel()
            raise
    return answer


async def execute(
    database: Database, lease: Lease | None, shape: ir.Node, params: tuple[object, ...], loader: Loader | None = None
) -> Any:
    """Run one statement: loaded rows with a loader, else the number of affected rows."""
    answer: Any = database.run(shape, params, loader, lease)
    if type(answer) is Pending:
        try:
            return await answer
        except BaseException:
            answer.cancel()
            raise
    return answer


def alias_of(using: Target, client: AsyncDatabase | AsyncTransaction | None, alias: Target) -> str:
    """The name of the database that a statement ran on."""
    from oxyde.db.scope import database_of

    target = client if client is not None else using or alias or "default"
    return target if isinstance(target, str) else database_of(target).name
