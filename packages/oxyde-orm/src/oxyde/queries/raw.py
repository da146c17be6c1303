"""SQL written by hand."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from oxyde.db.stream import CHUNK_SIZE, Opened, chunk_rows, reading, stream
from oxyde.queries.encode import UNKNOWN
from oxyde.queries.expr import Expr
from oxyde.queries.lookups import Operand
from oxyde.queries.run import finish, resolve
from oxyde_core import ir

if TYPE_CHECKING:
    from oxyde.db import AsyncDatabase, AsyncTransaction
    from oxyde.queries.scope import Scope

__all__ = ["RawSQL", "execute_raw", "iterate_raw", "sql"]

T_co = TypeVar("T_co", covariant=True)


class RawSQL(Expr[T_co]):
    """Trusted SQL text as an expression, as `sql()` makes it.  Never build it from input."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        if not isinstance(text, str):
            raise TypeError(f"SQL text must be a str, not {type(text).__name__}")
        if not text.strip():
            raise ValueError("SQL text is empty")
        self.text = text

    def build(self, scope: Scope) -> Operand:
        """The text verbatim; its type is known to the database only."""
        return Operand(ir.sql(self.text), (), UNKNOWN, repr(self))

    def __repr__(self) -> str:
        return f"sql({self.text!r})"


def sql(text: str) -> RawSQL[Any]:
    """Trusted SQL text where an expression may stand: `Field(default=sql("now()"))`.

    Raises TypeError for anything but a str, ValueError for an empty one.
    """
    return RawSQL(text)


async def execute_raw(
    sql: str,
    params: Sequence[Any] | None = None,
    *,
    using: str | None = None,
    client: AsyncDatabase | AsyncTransaction | None = None,
) -> list[dict[str, Any]]:
    """Run one SQL statement and return its rows as dicts of native Python values (an empty list without rows).

    Placeholders are those of the database (`$1` on PostgreSQL, `?` elsewhere).  Runs in the active transaction.
    Raises ProgrammingError for duplicate column names and whatever the database reports.

        rows = await execute_raw("SELECT id FROM users WHERE age > ?", [18])
    """
    values = _values("execute_raw", sql, params)
    # Only a plain SELECT is known not to write.
    writes = not sql.lstrip()[:6].upper().startswith("SELECT")
    database, lease = resolve(using, client, None, writes)
    rows: list[dict[str, Any]] = await finish(database.raw(sql, values, lease))
    return rows


def iterate_raw(
    sql: str,
    params: Sequence[Any] | None = None,
    *,
    chunk_size: int = CHUNK_SIZE,
    using: str | None = None,
    client: AsyncDatabase | AsyncTransaction | None = None,
) -> AsyncGenerator[dict[str, Any], None]:
    """Run one SQL statement and give its rows one by one, as dicts, while the database holds the rest.

    `sql` and `params` are those of `execute_raw`, everything else is as for the stream of a query: `chunk_size` is the
    number of rows that are fetched at a time.  Inside a transaction the stream is part of it, and other statements can
    run in its loop; outside of one it holds a connection until its last chunk has come, in a transaction that only
    reads.  Leaving the loop in whatever way frees it.

    Raises TypeError or ValueError for a `chunk_size` that is no number of rows, and while it is read what `execute_raw`
    raises, after the rows that came before the error.

        async for row in iterate_raw("SELECT id, name FROM users WHERE age > ?", [18]):
            print(row["name"])
    """
    values, size = _values("iterate_raw", sql, params), chunk_rows(chunk_size)

    def opened() -> Opened:
        database, lease = resolve(using, client)
        own = reading(database, lease)
        return database.raw_cursor(sql, values, size, lease if own is None else own), own

    return stream(opened)


def _values(function: str, sql: object, params: object) -> tuple[Any, ...]:
    """The parameters of raw SQL, checked."""
    if not isinstance(sql, str):
        raise TypeError(f"{function}() takes the SQL text as a str, not {type(sql).__name__}")
    if params is None:
        return ()
    if isinstance(params, (str, bytes, Mapping)) or not isinstance(params, Sequence):
        raise TypeError(f"params must be a list or tuple of values, not {type(params).__name__}")
    return tuple(params)
