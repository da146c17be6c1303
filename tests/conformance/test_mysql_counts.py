"""Guards that count what goes over the wire to MySQL and MariaDB: commands, flights, preparations, wake-ups."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import pytest

from oxyde import AsyncDatabase, F, Field, Model, PoolSettings, atomic
from oxyde.db import registry
from tests.servers import mysql_databases

from .conftest import Tables
from .lanes import mysql

pytestmark = mysql

COMMANDS = {1: "quit", 3: "query", 0x0E: "ping", 0x16: "prepare", 0x17: "execute", 0x19: "close", 0x1F: "reset"}
FULL = 0xFFFFFF


class Flown(Model):
    id: int | None = Field(default=None, db_pk=True)
    name: str
    size: int

    class Meta:
        is_table = True
        table_name = "conf_flown"


class Kept(Model):
    id: int | None = Field(default=None, db_pk=True)
    name: str = Field(db_unique=True)
    size: int
    colour: str = Field(db_default="'red'")

    class Meta:
        is_table = True
        table_name = "conf_kept"


class Relay:
    """Passes everything on and counts the client's commands by their kind, and how often the client has written."""

    def __init__(self, host: str, port: int) -> None:
        self.host, self.port = host, port
        self.sent: Counter[str] = Counter()
        self.writes = 0
        self.links: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Relay:
        self.server = await asyncio.start_server(self.link, "127.0.0.1", 0)
        self.own_port = self.server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self.server.close()
        for task in list(self.links):
            task.cancel()
        await asyncio.gather(*self.links, return_exceptions=True)

    async def link(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.links.add(task)
        task.add_done_callback(self.links.discard)
        there, back = await asyncio.open_connection(self.host, self.port)
        answers = asyncio.create_task(self.copy(there, writer))
        rest, goes_on = b"", False
        try:
            while piece := await reader.read(1 << 20):
                self.writes += 1
                rest += piece
                while len(rest) >= 4 and len(rest) >= 4 + (length := int.from_bytes(rest[:3], "little")):
                    # A command begins with number 0; what is behind a full packet, or part of the login, does not.
                    if rest[3] == 0 and not goes_on:
                        self.sent[COMMANDS[rest[4]]] += 1
                    goes_on = length == FULL
                    rest = rest[4 + length :]
                back.write(piece)
        finally:
            answers.cancel()
            for stream in (back, writer):
                stream.close()

    async def copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while piece := await reader.read(1 << 20):
                writer.write(piece)

    async def count(self, work: Callable[[], Awaitable[Any]]) -> dict[str, int]:
        before, writes = self.sent.copy(), self.writes
        await work()
        self.last_writes = self.writes - writes
        return dict(self.sent - before)


@pytest.fixture
async def relay(database: AsyncDatabase, tables: Tables) -> AsyncIterator[Relay]:
    """The lane's database as "default", but through a relay, on one connection."""
    async with through(database, tables, 1) as relay:
        yield relay


@pytest.fixture
async def four(database: AsyncDatabase, tables: Tables) -> AsyncIterator[Relay]:
    """The same with four connections."""
    async with through(database, tables, 4) as relay:
        yield relay


@contextlib.asynccontextmanager
async def through(database: AsyncDatabase, tables: Tables, connections: int) -> AsyncIterator[Relay]:
    await tables(Flown, Kept)
    await Flown.objects.bulk_create([Flown(name=f"n{number}", size=number) for number in range(200)])
    url = urlsplit(database._url)
    assert url.hostname is not None
    async with Relay(url.hostname, url.port or 3306) as relay:
        login = url.netloc.rpartition("@")[0] or "root"
        address = urlunsplit(url._replace(netloc=f"{login}@127.0.0.1:{relay.own_port}", query="ssl_mode=disable"))
        settings = PoolSettings(max_connections=connections, min_connections=connections)
        async with AsyncDatabase(address, name="default", settings=settings, overwrite=True) as proxied:
            await asyncio.gather(*(Flown.objects.filter(size=number).all() for number in range(20)))
            while proxied.stats()["idle"] < connections:
                await asyncio.sleep(0.01)
            yield relay
        # What is dropped in the end is dropped directly.
        registry.connections["default"] = database


KNOWN = {"execute": 1}
NEW = {"prepare": 1, "execute": 1}


async def test_one_flight_for_a_statement(relay: Relay) -> None:
    """The first time it is prepared before it is run; after that it is only run."""
    work: dict[str, Callable[[], Awaitable[Any]]] = {
        "get": lambda: Flown.objects.get(id=5),
        "rows": lambda: Flown.objects.filter(size__gte=10).all(),
        "count": lambda: Flown.objects.count(),
        "in": lambda: Flown.objects.filter(id__in=[1, 2, 3]).all(),
        "create": lambda: Flown.objects.create(name="new", size=1),
        "update": lambda: Flown.objects.filter(id=5).update(size=F("size") + 1),
        "delete": lambda: Flown.objects.filter(id=6).delete(),
        "bulk": lambda: Flown.objects.bulk_create([Flown(name="b", size=number) for number in range(400)]),
    }
    for name, one in work.items():
        assert await relay.count(one) == NEW, name
    for name, one in work.items():
        assert await relay.count(one) == KNOWN, name
        assert relay.last_writes == 1, name


async def test_a_shape_is_prepared_once_on_a_connection(relay: Relay) -> None:
    async def different() -> None:
        for number in range(1, 51):
            await Flown.objects.filter(size__gte=number, name__in=[f"n{number}"] * number).order_by("-size")[:number]

    assert await relay.count(different) == {"prepare": 1, "execute": 50}
    assert await relay.count(different) == {"execute": 50}


async def test_many_rows_are_few_statements_in_one_transaction(relay: Relay) -> None:
    async def many() -> None:
        rows = await Flown.objects.bulk_create([Flown(name="b", size=number) for number in range(5_000)])
        assert len({row.id for row in rows}) == 5_000

    # 10,000 values: two statements of 4,096 and one of the rest, between BEGIN and COMMIT.
    assert await relay.count(many) == {"query": 2, "prepare": 2, "execute": 3}
    assert await relay.count(many) == {"query": 2, "execute": 3}


async def test_a_transaction_is_a_flight_for_each_of_its_statements(relay: Relay) -> None:
    async def transaction() -> None:
        async with atomic():
            await Flown.objects.get(id=1)
            async with atomic():
                await Flown.objects.get(id=1)

    await transaction()
    # BEGIN, SAVEPOINT, RELEASE and COMMIT are texts.
    assert await relay.count(transaction) == {"query": 4, "execute": 2}
    assert relay.last_writes == 6


async def test_reads_at_once_are_sent_together(four: Relay) -> None:
    async def at_once() -> None:
        await asyncio.gather(*(Flown.objects.get(id=number) for number in range(1, 101)))

    await at_once()
    assert await four.count(at_once) == {"execute": 100}
    # Four go out at once; the others are collected behind them.
    assert four.last_writes <= 50, four.last_writes


class TestWhatComesBack:
    """Rows are written together and read together, where the database does not return them with the write."""

    @pytest.fixture
    def returns(self, relay: Relay) -> bool:
        return mysql_databases.mariadb()

    async def test_of_upserts(self, relay: Relay, returns: bool) -> None:
        async def upserts() -> None:
            rows = [{"name": f"n{number}", "size": number} for number in range(300)]
            found = await Kept.objects.bulk_create(rows, on_conflict="update", conflict_fields=["name"], returning=True)
            assert [(row.name, row.size, row.colour) for row in found] == [(f"n{n}", n, "red") for n in range(300)]

        await upserts()
        assert await relay.count(upserts) == (KNOWN if returns else {"query": 2, "execute": 2})

    async def test_of_inserts(self, relay: Relay, returns: bool) -> None:
        first = 0

        async def inserts() -> None:
            nonlocal first
            first += 300
            rows = [{"name": f"n{number}", "size": number} for number in range(first, first + 300)]
            found = await Kept.objects.bulk_create(rows, returning=True)
            assert [row.name for row in found] == [row["name"] for row in rows]

        await inserts()
        assert await relay.count(inserts) == (KNOWN if returns else {"query": 2, "execute": 2})

    async def test_of_upserts_in_a_transaction(self, relay: Relay, returns: bool) -> None:
        """What was read in it before may be what a plain SELECT shows, so each row is read under its lock."""

        async def upserts() -> None:
            async with atomic():
                await Kept.objects.bulk_create(
                    [{"name": f"n{number}", "size": number} for number in range(10)],
                    on_conflict="update",
                    conflict_fields=["name"],
                    returning=True,
                )

        await upserts()
        # BEGIN, SAVEPOINT, RELEASE, COMMIT.
        counted = {"query": 2, "execute": 1} if returns else {"query": 4, "execute": 11}
        assert await relay.count(upserts) == counted


@pytest.mark.standard_loop
async def test_only_the_answer_wakes_the_loop(database: AsyncDatabase, tables: Tables) -> None:
    await tables(Flown)
    await Flown.objects.create(id=1, name="a", size=1)
    selector: Any = asyncio.get_running_loop()._selector  # type: ignore[attr-defined]
    original, woken = selector.select, 0

    def select(timeout: float | None = None) -> Any:
        nonlocal woken
        events = original(timeout)
        woken += len(events)
        return events

    await Flown.objects.get(id=1)
    selector.select = select
    try:
        for _ in range(100):
            await Flown.objects.get(id=1)
    finally:
        selector.select = original
    # No descriptor but the connection's own, once for each answer.
    assert 100 <= woken <= 105
