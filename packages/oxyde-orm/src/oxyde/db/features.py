"""What each database can do beyond plain statements, one flag each.

Asked by name instead of by brand, so that a new database is a new row here and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from ..exceptions import NotSupportedError

if TYPE_CHECKING:
    from .database import AsyncDatabase

__all__ = ["blocked_by_transaction", "check_ddl_in_transaction", "check_transaction", "features", "isolation_level"]

ISOLATION_LEVELS = ("read_uncommitted", "read_committed", "repeatable_read", "serializable")


@dataclass(frozen=True, slots=True)
class TransactionFeatures:
    """One row of the table."""

    isolation: frozenset[str]
    """The levels that it can be asked for."""
    deferrable: bool
    """A serializable reader can wait for a snapshot that nobody disturbs."""
    one_writer: bool
    """One connection writes at a time; who wants to write beside it waits."""
    ddl: bool
    """Tables are made and dropped in a transaction like rows; elsewhere that would end it."""
    copy: bool = False
    """``COPY … FROM STDIN`` and ``COPY … TO STDOUT``."""
    notifications: bool = False
    """``LISTEN`` and ``NOTIFY``."""
    advisory_lock: Literal["integer", "name"] | None = None
    """What a lock that protects no table is called: 64 bits, a name of 64 characters; ``None``: there are none."""
    shared_lock: bool = False
    """Such a lock can be held by several at once."""


FEATURES = {
    # SQLite's transactions are always serializable; "deferrable" is PostgreSQL's; one connection writes at a time.
    "sqlite": TransactionFeatures(isolation=frozenset({"serializable"}), deferrable=False, one_writer=True, ddl=True),
    # All four are taken; its "read uncommitted" is its "read committed".
    "postgres": TransactionFeatures(
        isolation=frozenset(ISOLATION_LEVELS),
        deferrable=True,
        one_writer=False,
        ddl=True,
        copy=True,
        notifications=True,
        advisory_lock="integer",
        shared_lock=True,
    ),
    "mysql": TransactionFeatures(
        isolation=frozenset(ISOLATION_LEVELS), deferrable=False, one_writer=False, ddl=False, advisory_lock="name"
    ),
    "mariadb": TransactionFeatures(
        isolation=frozenset(ISOLATION_LEVELS), deferrable=False, one_writer=False, ddl=False, advisory_lock="name"
    ),
}

# A schema is a database; an unqualified name is one of the database that the connection is in. Servers on Windows and
# macOS compare names without regard to case.
_MYSQL_TABLE_NAMES = """
    SELECT t.table_schema AS `schema`, t.table_name AS name, @@lower_case_table_names <> 0 AS folded
    FROM information_schema.tables t
    UNION ALL
    SELECT NULL, t.table_name, @@lower_case_table_names <> 0
    FROM information_schema.tables t WHERE t.table_schema = DATABASE()
"""

# The tables that exist: the schema (NULL for the one in which a table without a schema would be made) and the name.
TABLE_NAMES = {
    "sqlite": "SELECT NULL AS \"schema\", name FROM sqlite_master WHERE type = 'table'",
    # Views, sequences and types take their names from the tables; the first schema of the search path that exists is
    # where CREATE TABLE puts an unqualified name.
    "postgres": """
        SELECT place.schema AS "schema", c.relname::text AS name
        FROM pg_catalog.pg_class c
        JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
        CROSS JOIN LATERAL (
            SELECT n.nspname::text AS schema UNION ALL SELECT NULL WHERE n.nspname = pg_catalog.current_schema()
        ) place
        WHERE c.relkind IN ('r', 'p', 'f', 'v', 'm')
    """,
    "mysql": _MYSQL_TABLE_NAMES,
    "mariadb": _MYSQL_TABLE_NAMES,
}


def features(database: AsyncDatabase) -> TransactionFeatures:
    """Return what a database can do; while it is connected, the server that answers."""
    return FEATURES[database.backend]


def isolation_level(level: str | None) -> str | None:
    """Return the level as written in ``ISOLATION_LEVELS``; "READ COMMITTED" and "read-committed" are taken too."""
    if level is None:
        return None
    if not isinstance(level, str):
        raise TypeError(f"isolation must be a string, not {type(level).__name__}")
    name = "_".join(level.lower().replace("-", " ").replace("_", " ").split())
    if name not in ISOLATION_LEVELS:
        raise ValueError(f"unknown isolation level {level!r}; known are {', '.join(ISOLATION_LEVELS)}")
    return name


def check_transaction(database: AsyncDatabase, *, isolation: str | None, deferrable: bool) -> None:
    """Raise ``NotSupportedError`` for what the database's transactions cannot be asked for."""
    features = FEATURES[database.backend]
    if isolation is not None and isolation not in features.isolation:
        offered = ", ".join(sorted(features.isolation))
        raise NotSupportedError(
            f"the isolation level {isolation!r} is not supported on {database.backend}; its transactions are {offered}"
        )
    if deferrable and not features.deferrable:
        raise NotSupportedError(f"deferrable transactions are not supported on {database.backend}")


def check_ddl_in_transaction(database: AsyncDatabase) -> None:
    """Raise ``NotSupportedError`` where the first CREATE or DROP would commit what the transaction has done so far."""
    if not FEATURES[database.backend].ddl:
        raise NotSupportedError(
            f"{database.backend} commits a transaction when a table is created or dropped: "
            "do that before or after the atomic() block"
        )


def blocked_by_transaction(database: AsyncDatabase, *, read_only: bool) -> Literal["everything", "writes", "nothing"]:
    """Return what has to wait on this database while a transaction is open on it."""
    if database.in_memory:
        return "everything"
    return "writes" if FEATURES[database.backend].one_writer and not read_only else "nothing"
