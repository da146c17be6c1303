from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace

import pytest

from oxyde.db import AsyncDatabase, registry
from oxyde.db.resolve import resolve

from .fake_core import Server, database_class


@pytest.fixture(autouse=True)
def clean_registry() -> object:
    before = dict(registry.connections)
    registry.connections.clear()
    yield
    registry.connections.clear()
    registry.connections.update(before)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    """The fake engine in place of the compiled one."""
    server = Server()
    monkeypatch.setattr("oxyde.db.database.oxyde_core", SimpleNamespace(Database=database_class(server)))
    return server


@pytest.fixture
async def database(server: Server) -> AsyncIterator[AsyncDatabase]:
    """A connected database on the fake engine, registered as "default"."""
    database = AsyncDatabase("sqlite:///fake.db")
    await database.connect()
    yield database
    for _ in range(5):
        await asyncio.sleep(0)
    assert not server.open, "a transaction was left open"


async def insert(row: str, *, using: object = None, client: object = None) -> None:
    """What a query does: resolve, run, await."""
    core, lease = resolve(using, client, None, True)
    await (core if lease is None else lease).insert(row)
