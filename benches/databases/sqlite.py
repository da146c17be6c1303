"""SQLite: every copy is a file."""

import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any, ClassVar

import people

WORKER = Path(__file__).resolve().parent.parent / "worker.py"
PRAGMAS = ("journal_mode", "synchronous", "foreign_keys", "cache_size", "mmap_size", "temp_store", "busy_timeout")


class Sqlite:
    name, title = "sqlite", "SQLite"
    settings: ClassVar = {name: f"PRAGMA {name}" for name in PRAGMAS}

    def __init__(self, folder: Path) -> None:
        self.folder, self.template, self.copies = folder, folder / "template.db", 0

    def prepare(self) -> None:
        subprocess.run([sys.executable, WORKER, "oxyde", self.template, "--create"], check=True)
        connection = sqlite3.connect(self.template)
        with connection:
            connection.executemany(people.INSERT, map(people.stored, people.everybody()))
        connection.execute("ANALYZE")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.close()

    def copy(self, durable: bool | None) -> str:
        self.copies += 1
        return str(shutil.copy2(self.template, self.folder / f"copy{self.copies}.db"))

    def options(self, contender: str, durable: bool | None, learned: dict[str, Any]) -> dict[str, Any]:
        """Oxyde is told only what differs from its defaults, the others get all of its pragmas."""
        differs = {} if durable is None else {"synchronous": "NORMAL" if durable else "OFF"}
        return differs if contender == "oxyde" else learned | differs

    def drop(self, place: str) -> None:
        """The files go with their folder."""

    def contents(self, place: str) -> list[tuple[Any, ...]]:
        connection = sqlite3.connect(place)
        try:
            return connection.execute(f"{people.SELECT} ORDER BY id").fetchall()
        finally:
            connection.close()

    def close(self) -> None:
        """Nothing is open between two calls."""
