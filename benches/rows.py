"""The rows of the benchmark and what is asked of Oxyde in each.

A target is "times faster than". On SQLite: than aiosqlite in one of its two forms (`aiosqlite` means each of them), or
than `sqlite3`, the synchronous driver called inline. On PostgreSQL: than asyncpg with its pool, and at its fastest. On
MySQL: than asyncmy with its pool.

Writing is measured twice. The targets are about what the library costs, so those rows do without the disk
(`synchronous = OFF`, `synchronous_commit = off`, `innodb_flush_log_at_trx_commit = 0`, for everybody); the rows called
"durable" repeat them as databases are configured by default, where every contender waits for the same disk.
"""

from dataclasses import dataclass, field
from typing import Any


def aiosqlite(times: float) -> dict[str, float]:
    return {"aiosqlite": times}


def asyncpg(pool: float, tuned: float) -> dict[str, float]:
    return {"asyncpg-pool": pool, "asyncpg-tuned": tuned}


def asyncmy(times: float) -> dict[str, float]:
    return {"asyncmy": times}


@dataclass(frozen=True)
class Row:
    name: str
    title: str
    shapes: tuple[str, ...] = ("model",)
    per_operation: int = 1  # rows or queries in one operation, to show the cost of each
    sqlite: dict[str, float] = field(default_factory=dict)  # the targets
    postgres: dict[str, float] = field(default_factory=dict)
    postgres_uvloop: dict[str, float] = field(default_factory=dict)  # where they differ on uvloop
    mysql: dict[str, float] = field(default_factory=dict)
    durable: bool | None = None  # of the rows that write; None: as the database is by default

    @property
    def operation(self) -> str:
        """The name of the row without its variant and its number: what a contender has a method for."""
        return self.name.removesuffix("-durable").rstrip("0123456789")

    @property
    def long(self) -> bool:
        """Seconds long: one operation is a round."""
        return self.operation == "stream"

    def targets(self, database: str, loop: str) -> dict[str, float]:
        if database == "postgres":
            return self.postgres | (self.postgres_uvloop if loop == "uvloop" else {})
        return self.mysql if database == "mysql" else self.sqlite


ALL = ("tuple", "dict", "model")
PK = {"aiosqlite-cursor": 8, "aiosqlite-fetchall": 4, "sqlite3": 1}
WRITE: dict[str, Any] = {
    "sqlite": aiosqlite(2.5),
    "postgres": asyncpg(1.5, 1.1),
    "mysql": asyncmy(1.1),
    "durable": False,
}
BULK: dict[str, Any] = {"sqlite": aiosqlite(4), "postgres": asyncpg(2, 1.2), "mysql": asyncmy(1.5), "durable": False}

ROWS = {
    row.name: row
    for row in (
        Row("pk", "one row by primary key", ALL, sqlite=PK, postgres=asyncpg(3, 1.4), mysql=asyncmy(1.4)),
        Row(
            "rows", "949 of 1,000 rows × 10 columns", ALL, 949,
            sqlite=aiosqlite(4.5), postgres=asyncpg(3.2, 3.2), postgres_uvloop=asyncpg(2.8, 2.8),
            mysql=asyncmy(1.7),
        ),
        Row(
            "concurrent", "100 concurrent reads by primary key", ("model",), 100,
            sqlite=aiosqlite(1.6), postgres=asyncpg(4, 2), mysql=asyncmy(1.2),
        ),
        Row("count", "count(*)", ("value",), sqlite=aiosqlite(1.1), postgres=asyncpg(2, 1.2), mysql=asyncmy(1.15)),
        Row("stream", "stream 1,000,000 rows × 10 columns, one by one", ("model",), 1_000_000),
        Row("insert", "insert one", ("model",), **WRITE),
        Row("update", "update one by primary key", ("value",), **WRITE),
        Row("delete", "delete one by primary key", ("value",), **WRITE),
        Row("bulk100", "insert 100 at once", ("model", "dict"), 100, **BULK),
        Row("bulk10000", "insert 10,000 at once", ("model", "dict"), 10_000, **BULK),
        Row("insert-durable", "insert one, durable", ("model",), durable=True),
        Row("update-durable", "update one by primary key, durable", ("value",), durable=True),
        Row("delete-durable", "delete one by primary key, durable", ("value",), durable=True),
        Row("bulk100-durable", "insert 100 at once, durable", ("model",), 100, durable=True),
        Row("bulk10000-durable", "insert 10,000 at once, durable", ("model",), 10_000, durable=True),
    )
}  # fmt: skip

# The shape whose figures the targets are about.
HEADLINE = {name: "model" if "model" in row.shapes else row.shapes[0] for name, row in ROWS.items()}
