"""The contenders, each in a module of its own, all with the same methods.

A contender opens one copy of the table with the settings it is told, and gives for every row of the benchmark an
operation: a function of one value that does the work once. `asynchronous` says whether the operation must be awaited.
What a contender cannot do it declares in `cannot`, with the reason; nothing is left out silently.

Fairness: every contender uses the fastest form that its documentation offers and a careful person would write, with the
same settings; statements are autocommitted except where a row is one transaction. On SQLite a contender keeps one
connection open, on a server a pool of ten, except "asyncpg, tuned", which is whatever is fastest for the row.
"""

from importlib import import_module
from typing import Any, ClassVar, Protocol

NAMES = {
    "oxyde": ("contenders.oxyde_orm", "Oxyde"),
    "aiosqlite-cursor": ("contenders.aiosqlite_driver", "CursorForm"),
    "aiosqlite-fetchall": ("contenders.aiosqlite_driver", "FetchallForm"),
    "sqlite3": ("contenders.sqlite3_driver", "Inline"),
    "asyncpg-pool": ("contenders.asyncpg_driver", "AsUsersWriteIt"),
    "asyncpg-tuned": ("contenders.asyncpg_tuned", "Tuned"),
    "asyncpg-queue": ("contenders.asyncpg_tuned", "Queue"),
    "psycopg": ("contenders.psycopg_driver", "Pool"),
    "asyncmy": ("contenders.mysql_drivers", "Asyncmy"),
    "aiomysql": ("contenders.mysql_drivers", "Aiomysql"),
}
TITLES = {
    "oxyde": "Oxyde",
    "aiosqlite-cursor": "aiosqlite, cursors",
    "aiosqlite-fetchall": "aiosqlite, execute_fetchall",
    "sqlite3": "sqlite3, inline",
    "asyncpg-pool": "asyncpg, pool",
    "asyncpg-tuned": "asyncpg, tuned",
    "asyncpg-queue": "asyncpg, queue",
    "psycopg": "psycopg, pool",
    "asyncmy": "asyncmy, pool",
    "aiomysql": "aiomysql, pool",
}
OF = {
    "sqlite": ("oxyde", "aiosqlite-cursor", "aiosqlite-fetchall", "sqlite3"),
    "postgres": ("oxyde", "asyncpg-pool", "asyncpg-tuned", "asyncpg-queue", "psycopg"),
    "mysql": ("oxyde", "asyncmy", "aiomysql"),
}


class Contender(Protocol):
    asynchronous: bool
    cannot: ClassVar[dict[str, str]]

    async def open(self, place: str, settings: dict[str, Any], row: str) -> None: ...
    async def close(self) -> None: ...
    async def execute(self, sql: str) -> None: ...
    async def value(self, sql: str) -> Any:
        """The one value that this SQL gives."""

    def versions(self) -> dict[str, str]: ...

    def operation(self, row: str, shape: str) -> Any:
        """The function that does the row's work once; its argument is what `inputs` made for it."""

    def instances(self, people: list[dict[str, Any]]) -> list[Any]:
        """The people as objects of the contender's model, for the rows that insert ready objects."""


def make(name: str) -> Contender:
    module, cls = NAMES[name]
    return getattr(import_module(module), cls)()
