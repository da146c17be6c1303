"""Creating and dropping tables from the models, without migrations.

Models become one schema document, the core turns it into the statements of the database, and these run as one script:
all of them or none, where the database's DDL is transactional, as SQLite's and PostgreSQL's is. On MySQL and MariaDB
each statement is committed by itself: what was made before an error stays.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from ..exceptions import ProgrammingError
from .database import finish
from .features import TABLE_NAMES, check_ddl_in_transaction
from .resolve import resolve
from .scope import AsyncTransaction, database_of

if TYPE_CHECKING:
    from oxyde_core import Database, Lease

    from ..models import Model
    from .database import AsyncDatabase

__all__ = ["create_tables", "drop_tables"]


async def create_tables(
    using: str | AsyncDatabase | AsyncTransaction = "default",
    *,
    models: Iterable[type[Model]] | None = None,
    if_not_exists: bool = False,
) -> None:
    """Create the tables of ``models`` with their indexes and constraints; referenced tables come first.

    Without ``models``: every registered table whose ``Meta.database`` is this one or not given. ``if_not_exists``
    leaves tables that exist as they are, whatever their columns.

    Raises ``ProgrammingError`` if a table exists, ``NotSupportedError`` for what the database does not have (on MySQL
    and MariaDB: tables made inside a transaction) and ``RuntimeError`` if a model refers to one that is not defined
    yet.

    >>> await create_tables()
    >>> await create_tables("reports", models=[Sale, Region], if_not_exists=True)
    """
    database, chosen = database_of(using), _models(using, models)
    core, lease = resolve(using, write=True)
    if lease is not None:
        check_ddl_in_transaction(database)
    if if_not_exists:
        exists = await _existing(database, core, lease)
        chosen = [model for model in chosen if not exists(model)]
    if chosen:
        statements = core.create_ddl(_document(chosen))
        await finish(core.script(statements, lease))


async def drop_tables(
    using: str | AsyncDatabase | AsyncTransaction = "default",
    *,
    models: Iterable[type[Model]] | None = None,
    if_exists: bool = True,
) -> None:
    """Drop the tables of ``models`` with all their rows; referring tables go first.

    Without ``models``: every registered table whose ``Meta.database`` is this one or not given. Tables that are not
    there are passed over.

    Raises ``ProgrammingError`` for them with ``if_exists=False``, ``NotSupportedError`` inside a transaction on MySQL
    and MariaDB and ``RuntimeError`` if a model refers to one that is not defined yet.

    >>> await drop_tables(models=[Sale])
    """
    database, chosen = database_of(using), _models(using, models)
    core, lease = resolve(using, write=True)
    if lease is not None:
        check_ddl_in_transaction(database)
    if not if_exists:
        exists = await _existing(database, core, lease)
        missing = [model.__oxyde__.table for model in chosen if not exists(model)]
        if missing:
            raise ProgrammingError(f"no such table: {', '.join(missing)}", table=missing[0])
    if chosen:
        statements = core.drop_ddl(_document(chosen))
        await finish(core.script(statements, lease))


def _models(using: object, models: Iterable[type[Model]] | None) -> list[type[Model]]:
    # The models know the database room, so it cannot import them before they are loaded.
    from ..models import iter_tables
    from ..models.registry import assert_no_pending_models

    assert_no_pending_models()
    if models is not None:
        return list(models)
    alias = using if isinstance(using, str) else database_of(using).name
    return [model for model in iter_tables() if model.__oxyde__.database in (None, alias)]


def _document(models: list[type[Model]]) -> str:
    from ..schema import describe

    return json.dumps(describe(models))


async def _existing(database: AsyncDatabase, core: Database, lease: Lease | None) -> Callable[[type[Model]], bool]:
    rows: list[dict[str, Any]] = await finish(core.raw(TABLE_NAMES[database.backend], (), lease))
    folded = any(row.get("folded") for row in rows)

    def key(schema: str | None, name: str) -> tuple[str | None, str]:
        return (schema and schema.lower(), name.lower()) if folded else (schema, name)

    existing = {key(row["schema"], row["name"]) for row in rows}
    return lambda model: key(model.__oxyde__.schema, model.__oxyde__.table) in existing
