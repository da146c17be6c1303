"""Guards that count what goes over the wire: flights, preparations, what is sent together, and what wakes the loop."""

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

from .conftest import Tables
from .lanes import postgres

pytestmark = postgres


class Flown(Model):
    id: int | None = Field(default=None, db_pk=True)
    name: str
    size: int

    class Meta:
        is_table = True
        table_name = "conf_flown"


class Relay:
    """Passes everything on and counts the client's messages by their type, and how often the client has written."""

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
        try:
            length = int.from_bytes(await reader.readexactly(4))
            back.write(length.to_bytes(4) + await reader.readexactly(length - 4))
            rest = b""
            while piece := await reader.read(1 << 20):
                self.writes += 1
                rest += piece
                while len(rest) >= 5 and len(rest) > int.from_bytes(rest[1:5]):
                    self.sent[chr(rest[0])] += 1
                    rest = rest[1 + int.from_bytes(rest[1:5]) :]
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
    """The lane's database as "default", but through a relay."""
    await tables(Flown)
    await Flown.objects.bulk_create([Flown(name=f"n{number}", size=number) for number in range(200)])
    url = urlsplit(database._url)
    assert url.hostname is not None
    async with Relay(url.hostname, url.port or 5432) as relay:
        place = f"{url.username}@127.0.0.1:{relay.own_port}"
        address = urlunsplit(url._replace(netloc=place, query="sslmode=disable"))
        settings = PoolSettings(max_connections=4, min_connections=4)
        through = AsyncDatabase(address, name="default", settings=settings, overwrite=True)
        async with through:
            await asyncio.gather(*(Flown.objects.filter(size=number).all() for number in range(20)))
            while through.stats()["idle"] < 4:
                await asyncio.sleep(0.01)
            yield relay
        # What is dropped in the end is dropped directly.
        registry.connections["default"] = database


KNOWN = {"B": 1, "E": 1, "S": 1}
NEW = {"P": 1, "D": 1, **KNOWN}


async def test_one_flight_for_a_statement(relay: Relay) -> None:
    """The first time it is prepared in the same flight; after that it is bound, on each connection."""
    work: dict[str, Callable[[], Awaitable[Any]]] = {
        "get": lambda: Flown.objects.get(id=5),
        "rows": lambda: Flown.objects.filter(size__gte=10).all(),
        "count": lambda: Flown.objects.count(),
        "create": lambda: Flown.objects.create(name="new", size=1),
        "update": lambda: Flown.objects.filter(id=5).update(size=F("size") + 1),
        "delete": lambda: Flown.objects.filter(id=6).delete(),
        "bulk": lambda: Flown.objects.bulk_create([Flown(name="b", size=number) for number in range(400)]),
    }
    for name, one in work.items():
        assert await relay.count(one) == NEW, name
        if name != "bulk":
            assert relay.last_writes == 1, name
    for name, one in work.items():
        assert await relay.count(one) == KNOWN, name


async def test_many_rows_are_two_flights(relay: Relay) -> None:
    """Keys for all, then one COPY."""

    def copied() -> Awaitable[Any]:
        return Flown.objects.bulk_create([Flown(name="b", size=number) for number in range(2_000)])

    assert await relay.count(copied) == {**NEW, "Q": 1, "d": 1, "c": 1}
    assert await relay.count(copied) == {**KNOWN, "Q": 1, "d": 1, "c": 1}


async def test_a_transaction_is_a_flight_for_each_of_its_statements(relay: Relay) -> None:
    async def transaction() -> None:
        async with atomic():
            await Flown.objects.get(id=1)
            async with atomic():
                await Flown.objects.get(id=1)

    await transaction()
    # BEGIN, SAVEPOINT, RELEASE and COMMIT are simple queries.
    assert await relay.count(transaction) == {"Q": 4, "B": 2, "E": 2, "S": 2}


async def test_reads_at_once_are_sent_together(relay: Relay) -> None:
    async def at_once() -> None:
        await asyncio.gather(*(Flown.objects.get(id=number) for number in range(1, 101)))

    await at_once()
    assert await relay.count(at_once) == {"B": 100, "E": 100, "S": 100}
    # Four go out at once; the others are collected behind them.
    assert relay.last_writes <= 50, relay.last_writes


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
