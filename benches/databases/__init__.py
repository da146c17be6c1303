"""Where the contenders' copies of the table live: one module per database, all with the same methods."""

import argparse
from pathlib import Path
from typing import Any, Protocol

from .mysql import Mysql
from .postgres import Postgres
from .sqlite import Sqlite


class Database(Protocol):
    name: str
    title: str
    settings: dict[str, str]  # what must be the same for all contenders, and the SQL that shows it

    def prepare(self) -> None:
        """Make what all copies come from: the table as Oxyde makes it, filled and analysed."""

    def copy(self, durable: bool | None) -> str:
        """A copy for one contender; what opens it. None: durable as the database is by default."""

    def options(self, contender: str, durable: bool | None, learned: dict[str, Any]) -> dict[str, Any]:
        """What a contender sets on its connections. Learned are the settings of Oxyde's own."""

    def drop(self, place: str) -> None: ...
    def contents(self, place: str) -> list[tuple[Any, ...]]:
        """What the table holds, read past every contender, to compare what writes have left."""

    def close(self) -> None: ...


SERVERS = {"postgres": Postgres, "mysql": Mysql}
SCHEMES = {"postgresql": "postgres", "mariadb": "mysql"}


def family(place: str) -> str:
    """Whose database a URL or a file is."""
    scheme, separator, _ = place.partition("://")
    return SCHEMES.get(scheme, scheme) if separator else "sqlite"


def database(options: argparse.Namespace, folder: Path) -> Database:
    return SERVERS[options.database](options.url) if options.database in SERVERS else Sqlite(folder)


__all__ = ["SERVERS", "Database", "Mysql", "Postgres", "Sqlite", "database", "family"]
