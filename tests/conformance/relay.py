"""A relay between the client and a server that counts what the client sends."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any, Protocol
from urllib.parse import urlsplit, urlunsplit

from oxyde import AsyncDatabase, Field, Model, PoolSettings
from oxyde.db import registry

from .conftest import Tables


class Flown(Model):
    id: int | None = Field(default=None, db_pk=True)
    name: str
    size: int

    class Meta:
        is_table = True
        table_name = "conf_flown"


class Kinds(Protocol):
    """Reads what a client sends on one connection."""

    def feed(self, piece: bytes) -> Iterator[str]:
        """The kind of each message that ends in the next piece."""


class Relay:
    """Passes everything on and counts the client's messages by their kind, and how often the client has written."""

    def __init__(self, host: str, port: int, kinds: Callable[[], Kinds]) -> None:
        self.host, self.port, self.kinds = host, port, kinds
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
        kinds = self.kinds()
        try:
            while piece := await reader.read(1 << 20):
                self.writes += 1
                self.sent.update(kinds.feed(piece))
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


@contextlib.asynccontextmanager
async def through(
    database: AsyncDatabase, kinds: Callable[[], Kinds], *, connections: int, port: int
) -> AsyncIterator[Relay]:
    """The database as "default", but through a relay; ``port`` is the one that its URL need not name."""
    url = urlsplit(database._url)
    assert url.hostname is not None
    async with Relay(url.hostname, url.port or port, kinds) as relay:
        place = f"{url.username}@127.0.0.1:{relay.own_port}" if url.username else f"127.0.0.1:{relay.own_port}"
        address = urlunsplit(url._replace(netloc=place, query="ssl_mode=disable"))
        settings = PoolSettings(max_connections=connections, min_connections=connections)
        async with AsyncDatabase(address, name="default", settings=settings, overwrite=True) as relayed:
            await asyncio.gather(*(Flown.objects.filter(size=number).all() for number in range(20)))
            while relayed.stats()["idle"] < connections:
                await asyncio.sleep(0.01)
            yield relay
        # What is dropped in the end is dropped directly.
        registry.connections["default"] = database


async def flown(tables: Tables, *others: type[Model]) -> None:
    """The tables, and 200 rows of the first."""
    await tables(Flown, *others)
    await Flown.objects.bulk_create([Flown(name=f"n{number}", size=number) for number in range(200)])
