"""SQL written by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from oxyde.queries.encode import UNKNOWN
from oxyde.queries.expr import Expr
from oxyde.queries.lookups import Operand
from oxyde.queries.run import finish, resolve
from oxyde_core import ir

if TYPE_CHECKING:
    from oxyde.db import AsyncDatabase, AsyncTransaction
    from oxyde.queries.scope import Scope

__all__ = ["RawSQL", "execute_raw", "sql"]

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
    if not isinstance(sql, str):
        raise TypeError(f"execute_raw() takes the SQL text as a str, not {type(sql).__name__}")
    if params is None:
        params = ()
    elif isinstance(params, (str, bytes, Mapping)) or not isinstance(params, Sequence):
        raise TypeError(f"params must be a list or tuple of values, not {type(params).__name__}")
    # Only a plain SELECT is known not to write.
    writes = not sql.lstrip()[:6].upper().startswith("SELECT")
    database, lease = resolve(using, client, None, writes)
    rows: list[dict[str, Any]] = await finish(database.raw(sql, tuple(params), lease))
    return rows
