"""What SQL a query becomes, without running it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from oxyde.db.url import DIALECTS
from oxyde.exceptions import ManagerError
from oxyde.queries.run import resolve
from oxyde_core import compile_sql, ir

if TYPE_CHECKING:
    from oxyde.db.resolve import Target
    from oxyde.queries.scope import Scope


def compile_query(
    target: Target,
    scope: Scope,
    shape: ir.Node,
    params: tuple[object, ...],
    dialect: str | None,
    version: tuple[int, ...] | None,
) -> tuple[str, list[Any]]:
    """Text and wire parameters of a statement; raises ValueError for an unknown dialect."""
    if dialect is None:
        try:
            database, _ = resolve(None, None, target or scope.info.database)
        except (ManagerError, KeyError) as error:
            raise ManagerError(
                "There is no connected database whose dialect could be taken: name one, for example "
                'query.sql(dialect="sqlite")'
            ) from error
        dialect = database.backend
        version = version or database.version
    known = DIALECTS.get(dialect)
    if known is None:
        raise ValueError(f"Unknown dialect {dialect!r}; known are postgres, mysql, mariadb and sqlite")
    if version is None:
        return compile_sql(shape, params, known, None)
    if not version or len(version) > 3 or not all(type(part) is int and part >= 0 for part in version):
        raise ValueError(f"version must be one to three numbers such as (15, 4), not {version!r}")
    major, minor, patch = (*version, 0, 0)[:3]
    return compile_sql(shape, params, known, (major, minor, patch))
