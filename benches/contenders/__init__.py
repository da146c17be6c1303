"""The contenders, each in a module of its own, all with the same methods.

A contender opens one database file with the settings it is told, and gives for every row of the benchmark an operation:
a function of one number that does the work once. `asynchronous` says whether the operation must be awaited. What a
contender cannot do it declares in `cannot`, with the reason; nothing is left out silently.

Fairness: every contender uses the fastest form that its documentation offers and a careful person would write, on a
connection that stays open, with the same pragmas; statements are autocommitted except where a row is one transaction.
"""

from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar, Protocol

NAMES = {
    "oxyde": ("contenders.oxyde_orm", "Oxyde"),
    "aiosqlite-cursor": ("contenders.aiosqlite_driver", "CursorForm"),
    "aiosqlite-fetchall": ("contenders.aiosqlite_driver", "FetchallForm"),
    "sqlite3": ("contenders.sqlite3_driver", "Inline"),
}
TITLES = {
    "oxyde": "Oxyde",
    "aiosqlite-cursor": "aiosqlite, cursors",
    "aiosqlite-fetchall": "aiosqlite, execute_fetchall",
    "sqlite3": "sqlite3, inline",
}


class Contender(Protocol):
    asynchronous: bool
    cannot: ClassVar[dict[str, str]]

    async def open(self, path: Path, pragmas: dict[str, Any], row: str) -> None: ...
    async def close(self) -> None: ...
    async def execute(self, sql: str) -> None: ...
    async def pragma(self, name: str) -> Any: ...
    def versions(self) -> dict[str, str]: ...

    def operation(self, row: str, shape: str) -> Any:
        """The function that does the row's work once; its argument is what `inputs` made for it."""

    def instances(self, people: list[dict[str, Any]]) -> list[Any]:
        """The people as objects of the contender's model, for the rows that insert ready objects."""


def make(name: str) -> Contender:
    module, cls = NAMES[name]
    return getattr(import_module(module), cls)()
