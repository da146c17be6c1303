"""The databases that the conformance suite runs on, and what each of them cannot do.

To add a server: one row here.  ``url`` gets a directory of the test's own and the name of one of its databases; a
server's row reads its address from the environment instead, and is not there without one.  ``lacks`` maps a capability
to the reason why the database has not got it; it is written from the database's manual and deliberately knows nothing
of the core's own feature flags.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from urllib.parse import quote, urlsplit

import pytest

from oxyde import NotSupportedError
from tests.servers import databases, mysql_databases

CAPABILITIES = {
    "transactional_ddl": "tables that come and go with a transaction",
    "returning": "INSERT … RETURNING",
    "conflict_target": "an INSERT that passes over the conflicts of one key and reports those of others",
    "new_rows": "an INSERT that passes over conflicts and tells which rows are new",
    "set_default": "ON DELETE SET DEFAULT",
    "deferrable_foreign_key": "a foreign key that is only checked at commit",
    "deferrable_unique": "a UNIQUE constraint that is only checked at commit",
    "nulls_not_distinct": "a UNIQUE constraint under which two NULLs are equal",
    "partial_index": "an index on some of the rows",
    "index_include": "an index that carries further columns",
    "index_method": "a choice of index methods",
    "infinite_floats": "NaN and infinity in a float column",
    "every_letter_in_names": "names with characters outside of the basic plane of Unicode",
    "unbounded_decimals": "decimals with any number of digits",
    "final_sigma": "lower case that knows where in a word a letter stands",
    "negative_zero": "-0.0 in a float column that keeps its sign",
}


@dataclass(frozen=True)
class Lane:
    """One database to run on."""

    name: str
    family: str
    """Lanes of one family share the storage forms that a test writes by hand, and the SQL of its raw statements."""
    url: Callable[[Path, str], str]
    lacks: Mapping[str, str] = field(default_factory=dict)
    json_negative_zero: bool = True
    """Whether it does inside JSON."""
    types: Mapping[str, str] = field(default_factory=dict)
    """What a type that a test names is called here."""

    def has(self, capability: str) -> bool:
        assert capability in CAPABILITIES, f"unknown capability {capability!r}"
        return capability not in self.lacks

    @contextmanager
    def can(self, *capabilities: str) -> Iterator[None]:
        """The block works if the database has all of the capabilities, else it raises NotSupportedError."""
        if all(self.has(capability) for capability in capabilities):
            yield
            return
        with pytest.raises(NotSupportedError):
            yield

    def sql(self, text: str) -> str:
        """A raw statement that is written with ``?``, with the database's own placeholders."""
        if self.family == "postgres":
            first, *rest = text.split("?")
            return first + "".join(f"${n}{part}" for n, part in enumerate(rest, 1))
        return text

    def cast(self, value: object) -> str:
        """A placeholder for a value in a place that does not say which type it wants."""
        name = NATIVE.get(self.family, {}).get(type(value))
        return "?" if name is None else f"CAST(? AS {name})"

    def empty(self, name: str) -> None:
        """After a test: the database has nothing left of it, and nobody is connected."""
        if self.family == "postgres":
            databases.empty(name)
        elif self.family == "mysql":
            mysql_databases.empty(name)


NATIVE: dict[str, dict[type, str]] = {
    "postgres": {
        bool: "boolean",
        bytes: "bytea",
        datetime: "timestamp",
        float: "double precision",
        int: "bigint",
        str: "text",
        timedelta: "interval",
        type(None): "text",
    },
    "mysql": {bytes: "BINARY", datetime: "DATETIME(6)"},
}
"""What databases call the types of Python, where they have to be told."""

SQLITE_LACKS = MappingProxyType(
    {
        "deferrable_unique": "the manual of CREATE TABLE knows DEFERRABLE for foreign keys only",
        "nulls_not_distinct": "NULLs are distinct in every UNIQUE index",
        "index_include": "CREATE INDEX has no INCLUDE",
        "index_method": "every index is a b-tree",
        "infinite_floats": "NaN is stored as NULL; infinity is refused everywhere but on PostgreSQL",
        "negative_zero": "a REAL that is a whole number is stored as an integer",
    }
)


MYSQL_LACKS = MappingProxyType(
    {
        "transactional_ddl": "statements of DDL commit by themselves",
        "returning": "there is no RETURNING",
        "conflict_target": "ON DUPLICATE KEY UPDATE takes a conflict with any key",
        "new_rows": "a row that was passed over is like one that was updated",
        "set_default": "InnoDB accepts it and does nothing of the kind",
        "deferrable_foreign_key": "there is no DEFERRABLE",
        "deferrable_unique": "there is no DEFERRABLE",
        "nulls_not_distinct": "NULLs are distinct in every UNIQUE index",
        "partial_index": "CREATE INDEX has no WHERE",
        "index_include": "CREATE INDEX has no INCLUDE",
        "index_method": "InnoDB makes a b-tree of whatever it is asked for",
        "infinite_floats": "FLOAT and DOUBLE have neither NaN nor infinity",
        "every_letter_in_names": "names are stored in the three-byte form of UTF-8",
        "unbounded_decimals": "DECIMAL holds 65 digits, 30 of them behind the point",
        "final_sigma": "LOWER maps letter by letter, so searches know only one sigma",
    }
)
# INSERT … RETURNING came with MariaDB 10.5.
MARIADB_LACKS = MappingProxyType(
    {name: reason for name, reason in MYSQL_LACKS.items() if name != "returning"}
    | {"negative_zero": "its DOUBLE has only one zero"}
)


def postgres_lacks() -> Mapping[str, str]:
    """What the server is too old for."""
    (number,) = databases.observer("default").query("SHOW server_version_num")[0]
    return {} if int(number or 0) >= 150000 else {"nulls_not_distinct": "NULLS NOT DISTINCT came with version 15"}


def mysql_lacks() -> Mapping[str, str]:
    return MARIADB_LACKS if mysql_databases.mariadb() else MYSQL_LACKS


class Asked(Mapping[str, str]):
    """Asks the server's version when it is first looked at, which is not while tests are collected."""

    def __init__(self, ask: Callable[[], Mapping[str, str]]) -> None:
        self.ask = ask

    def __getitem__(self, name: str) -> str:
        return self.ask()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.ask())

    def __len__(self) -> int:
        return len(self.ask())


def postgres_lanes() -> Iterator[Lane]:
    """One for each way to the server that the environment names."""
    if databases.SERVER is None:
        return
    ways = {
        "postgres": databases.SERVER,
        "postgres-socket": through_socket(os.environ.get("OXYDE_TEST_POSTGRES_SOCKET")),
        "postgres-tls": os.environ.get("OXYDE_TEST_POSTGRES_TLS_URL"),
    }
    for name, address in ways.items():
        if address:
            yield Lane(
                name,
                "postgres",
                lambda directory, database, address=address: databases.database_url(database, address),  # type: ignore[misc]
                Asked(postgres_lacks),
                # The numbers of JSONB are NUMERIC, which has none.
                json_negative_zero=False,
            )


def through_socket(where: str | None) -> str | None:
    """The URL of the same server for the directory of its socket (or a URL that already says so)."""
    if not where or "://" in where:
        return where
    parts = urlsplit(databases.server())
    user = parts.netloc.rpartition("@")[0]
    return f"{parts.scheme}://{user}@:{parts.port or 5432}/?host={quote(where)}"


def mysql_lanes() -> Iterator[Lane]:
    """The same for MySQL, called by the scheme of its URL: mysql or mariadb."""
    if mysql_databases.SERVER is None:
        return
    brand = urlsplit(mysql_databases.SERVER).scheme
    ways = {
        brand: mysql_databases.SERVER,
        f"{brand}-socket": os.environ.get("OXYDE_TEST_MYSQL_SOCKET"),
        f"{brand}-tls": os.environ.get("OXYDE_TEST_MYSQL_TLS_URL"),
    }
    for name, address in ways.items():
        if address:
            yield Lane(
                name,
                "mysql",
                lambda directory, database, address=address: mysql_databases.database_url(database, address),  # type: ignore[misc]
                Asked(mysql_lacks),
                # Its TEXT ends at 64 KiB.
                types=MappingProxyType({"TEXT": "LONGTEXT"}),
            )


LANES = (
    Lane(
        "sqlite-file",
        "sqlite",
        lambda directory, database: f"sqlite:///{directory / database}.db",
        SQLITE_LACKS,
    ),
    Lane("sqlite-memory", "sqlite", lambda directory, database: "sqlite://:memory:", SQLITE_LACKS),
    *postgres_lanes(),
    *mysql_lanes(),
)

sqlite = pytest.mark.parametrize(
    "lane", [lane for lane in LANES if lane.family == "sqlite"], indirect=True, ids=lambda lane: lane.name
)
"""For what only a file format without column types brings up."""

postgres = pytest.mark.parametrize(
    "lane", [lane for lane in LANES if lane.name == "postgres"], indirect=True, ids=lambda lane: lane.name
)
"""For what the way to the server has nothing to do with."""

mysql = pytest.mark.parametrize(
    "lane", [lane for lane in LANES if lane.name in ("mysql", "mariadb")], indirect=True, ids=lambda lane: lane.name
)
"""The same for MySQL and MariaDB."""
