"""What each isolation level prevents is the same through Oxyde as through a driver without it.

Each of the ten anomalies is played at every level of the database by ``atomic(isolation=…)`` and by plain
connections. The transcripts have to be equal step by step: what was read, which step failed with which code.
``pytest -rP`` shows the table.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from oxyde import AsyncDatabase, DatabaseError, F, Field, Model, NotSupportedError, atomic, create_tables
from tests.servers.mysql_databases import THREAD

from .harness import CONNECTIONS, SERVERS, Where
from .hermitage import ANOMALIES, ROWS, Refused, Transcript, play
from .programs.common import database_at, quiet

GUIDE = Path(__file__).parents[2] / "docs" / "guide" / "transactions.md"
LEVELS = ("read_uncommitted", "read_committed", "repeatable_read", "serializable")
OFFERED = {"file": ("serializable",), "postgres": LEVELS, "mysql": LEVELS}


class Row(Model):
    id: int = Field(db_pk=True)
    value: int

    class Meta:
        is_table = True
        table_name = "faults_hermitage"


WAITING = {
    "postgres": "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
    "AND cardinality(pg_blocking_pids(pid)) > 0",
    "mysql": "SELECT count(DISTINCT thread_id) FROM performance_schema.data_lock_waits "
    "JOIN performance_schema.threads ON thread_id = requesting_thread_id WHERE processlist_db = database()",
}


def waiting(kind: str) -> int:
    """How many sessions of the database wait for a lock, as the server says (information_schema.innodb_trx is old)."""
    observer = SERVERS[kind].observer("faults")
    if kind == "mysql" and SERVERS[kind].mariadb():
        # Which has no such tables, but writes every transaction down there.
        there = {session for session, *_ in SERVERS[kind].sessions("faults")}
        ((_, _, status),) = observer.query("SHOW ENGINE INNODB STATUS")
        listed = (status or "").partition("LIST OF TRANSACTIONS FOR EACH SESSION:")[2].split("---TRANSACTION ")
        found = [THREAD.search(transaction) for transaction in listed if "\nLOCK WAIT " in transaction]
        return len(there.intersection(thread[1] for thread in found if thread is not None))
    ((count,),) = observer.query(WAITING[kind])
    return int(count)


# ---------------------------------------------------------------------------------------------------------------- Oxyde


class OxydeSession:
    async def do(self, kind: str, argument: Any) -> Any:
        try:
            return await self._do(kind, argument)
        except DatabaseError as error:
            raise Refused(code_of(error)) from error

    async def _do(self, kind: str, argument: Any) -> Any:
        match kind:
            case "read":
                rows = Row.objects.all() if argument is None else Row.objects.filter(id__in=argument).all()
            case "read multiples of":
                rows = Row.objects.filter((F("value") % argument) == 0).all()
            case "write":
                return await Row.objects.filter(id=argument[0]).update(value=argument[1])
            case "insert":
                await Row.objects.create(id=argument[0], value=argument[1])
                return 1
        return tuple(sorted((row.id, row.value) for row in await rows))


def code_of(error: DatabaseError) -> object:
    """PostgreSQL's SQLSTATE, the number of MySQL's error, SQLite's primary code."""
    return error.code if error.sqlstate is None or error.code is not None else error.sqlstate


class ThroughOxyde:
    def __init__(self, database: AsyncDatabase, kind: str) -> None:
        self.database, self.kind = database, kind

    @contextlib.asynccontextmanager
    async def transaction(self, session: int, level: str, *, read_only: bool) -> AsyncIterator[OxydeSession]:
        try:
            async with atomic(isolation=level, read_only=read_only):
                yield OxydeSession()
        except DatabaseError as error:
            raise Refused(code_of(error)) from error

    async def reset(self) -> None:
        async with atomic():
            await Row.objects.delete()
            await Row.objects.bulk_create([Row(id=number, value=value) for number, value in ROWS.items()])

    async def rows(self) -> dict[int, int]:
        return {row.id: row.value for row in await Row.objects.all()}

    async def waiting(self, busy: int) -> bool:
        if self.kind in SERVERS:
            return waiting(self.kind) == busy
        return int(self.database.stats()["waiting"]) == busy


# -------------------------------------------------------------------------------------------------------- plain drivers


def statement(kind: str, argument: Any) -> str:
    match kind:
        case "read":
            where = "" if argument is None else f" WHERE id IN ({', '.join(map(str, argument))})"
            return f"SELECT id, value FROM faults_hermitage{where}"
        case "read multiples of":
            return f"SELECT id, value FROM faults_hermitage WHERE value % {argument} = 0"
        case "write":
            return f"UPDATE faults_hermitage SET value = {argument[1]} WHERE id = {argument[0]}"
        case "insert":
            return f"INSERT INTO faults_hermitage (id, value) VALUES ({argument[0]}, {argument[1]})"
    raise AssertionError(kind)


class PlainSession:
    def __init__(self, run: Any) -> None:
        self.run = run

    async def do(self, kind: str, argument: Any) -> Any:
        rows = await self.run(statement(kind, argument))
        return tuple(sorted((int(number), int(value)) for number, value in rows)) if "read" in kind else 1


class PlainServer:
    """The tests' own connections, one for each session."""

    def __init__(self, where: Where) -> None:
        self.kind = where.kind
        self.connections = {session: CONNECTIONS[where.kind](where.url) for session in (0, 1, 2, 3)}

    def close(self) -> None:
        for connection in self.connections.values():
            connection.close()

    async def ask(self, session: int, text: str) -> Any:
        try:
            return await asyncio.to_thread(self.connections[session].query, text)
        except Exception as error:
            code = getattr(error, "number", None) or getattr(error, "code", None)
            if code is None:
                raise
            raise Refused(code) from error

    @contextlib.asynccontextmanager
    async def transaction(self, session: int, level: str, *, read_only: bool) -> AsyncIterator[PlainSession]:
        name, access = level.replace("_", " ").upper(), "READ ONLY" if read_only else "READ WRITE"
        if self.kind == "postgres":
            await self.ask(session, f"BEGIN ISOLATION LEVEL {name} {access}")
        else:
            await self.ask(session, f"SET TRANSACTION ISOLATION LEVEL {name}")
            await self.ask(session, f"START TRANSACTION {access}")
        try:
            yield PlainSession(lambda text: self.ask(session, text))
        except BaseException:
            await self.ask(session, "ROLLBACK")
            raise
        await self.ask(session, "COMMIT")

    async def reset(self) -> None:
        await self.ask(0, "DELETE FROM faults_hermitage")
        for number, value in ROWS.items():
            await self.ask(0, statement("insert", (number, value)))

    async def rows(self) -> dict[int, int]:
        return {int(number): int(value) for number, value in await self.ask(0, statement("read", None))}

    async def waiting(self, busy: int) -> bool:
        return waiting(self.kind) == busy


class PlainFile:
    """Python's sqlite3 on a file of its own, with the guide's transactions: BEGIN IMMEDIATE for writers."""

    def __init__(self, path: Path) -> None:
        self.connections = {
            session: sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
            for session in (0, 1, 2, 3)
        }
        self.refused: set[int] = set()
        self.connections[0].execute("PRAGMA journal_mode = WAL")
        self.connections[0].execute("CREATE TABLE faults_hermitage (id INTEGER PRIMARY KEY, value INTEGER NOT NULL)")

    def close(self) -> None:
        for connection in self.connections.values():
            connection.close()

    async def ask(self, session: int, text: str) -> Any:
        while True:
            try:
                rows = self.connections[session].execute(text).fetchall()
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode != sqlite3.SQLITE_BUSY:
                    raise Refused(error.sqlite_errorcode) from error
                # Asked again for as long as the other one has the lock.
                self.refused.add(session)
                await asyncio.sleep(0.001)
            else:
                self.refused.discard(session)
                return rows

    @contextlib.asynccontextmanager
    async def transaction(self, session: int, level: str, *, read_only: bool) -> AsyncIterator[PlainSession]:
        await self.ask(session, "BEGIN" if read_only else "BEGIN IMMEDIATE")
        try:
            yield PlainSession(lambda text: self.ask(session, text))
        except BaseException:
            await self.ask(session, "ROLLBACK")
            raise
        await self.ask(session, "COMMIT")

    async def reset(self) -> None:
        self.refused.clear()
        await self.ask(0, "DELETE FROM faults_hermitage")
        for number, value in ROWS.items():
            await self.ask(0, statement("insert", (number, value)))

    async def rows(self) -> dict[int, int]:
        return dict(await self.ask(0, statement("read", None)))

    async def waiting(self, busy: int) -> bool:
        if len(self.refused) != busy:
            return False
        # The lock may have been given up since: ask once more.
        self.refused.clear()
        await asyncio.sleep(0.005)
        return len(self.refused) == busy


# ------------------------------------------------------------------------------------------------------------ the tests


async def transcripts(way: Any, levels: tuple[str, ...]) -> dict[tuple[str, str], Transcript]:
    return {(anomaly.name, level): await play(way, level, anomaly) for level in levels for anomaly in ANOMALIES}


def table(found: dict[tuple[str, str], Transcript], levels: tuple[str, ...]) -> str:
    """As Markdown, as the documentation has it."""
    names = [level.replace("_", " ") for level in levels]
    lines = [f"| | {' | '.join(names)} |", "|---" * (len(levels) + 1) + "|"]
    for anomaly in ANOMALIES:
        cells = ["occurs" if anomaly.occurred(found[anomaly.name, level]) else "prevented" for level in levels]
        lines.append(f"| {anomaly.name} | {' | '.join(cells)} |")
    return "\n".join(lines)


async def test_every_anomaly_at_every_level(where: Where, tmp_path: Path) -> None:
    levels = OFFERED[where.kind]
    database = database_at(where.url)
    await database.connect()
    await create_tables(models=[Row])
    try:
        ours = await transcripts(ThroughOxyde(database, where.kind), levels)
        await quiet(database)
    finally:
        await database.disconnect()
    plain: Any = PlainServer(where) if where.kind in SERVERS else PlainFile(tmp_path / "plain.db")
    try:
        theirs = await transcripts(plain, levels)
    finally:
        plain.close()
    print(f"{where.kind}, through Oxyde:\n{table(ours, levels)}\n\nthrough a plain driver:\n{table(theirs, levels)}")
    assert table(ours, levels) == table(theirs, levels)
    for cell, transcript in theirs.items():
        assert ours[cell] == transcript, cell
    # The scripts can tell one level from another.
    occurred = {level: {a.name for a in ANOMALIES if a.occurred(theirs[a.name, level])} for level in levels}
    assert occurred["serializable"] == set()
    if where.kind in SERVERS:
        assert occurred["read_committed"] == {"PMP", "P4", "G-single", "G2-item", "G2"}
    if not of_another_kind(where):
        assert table(ours, levels) in GUIDE.read_text("utf-8")


def of_another_kind(where: Where) -> bool:
    """MariaDB's innodb_snapshot_isolation, which is on since 11.6.2, prevents P4 at "repeatable read"."""
    asked = "SHOW VARIABLES LIKE 'innodb_snapshot_isolation'"
    return where.kind == "mysql" and ("innodb_snapshot_isolation", "ON") in SERVERS["mysql"].observer("faults").query(
        asked
    )


async def test_levels_that_sqlite_lacks(where: Where) -> None:
    """They are refused, never another level in their place."""
    async with database_at(where.url):
        for level in LEVELS:
            if level in OFFERED[where.kind]:
                async with atomic(isolation=level):
                    pass
            else:
                with pytest.raises(NotSupportedError, match="serializable"):
                    async with atomic(isolation=level):
                        pass
