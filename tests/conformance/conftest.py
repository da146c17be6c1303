from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from oxyde import AsyncDatabase, Model, create_tables, drop_tables
from oxyde.db import registry

from .lanes import LANES, Lane, databases, mysql_databases

# What only one server has needs it.
SERVERS = {"postgres": databases.SERVER, "mysql": mysql_databases.SERVER}
collect_ignore_glob = [f"test_{name}_*.py" for name, server in SERVERS.items() if not server]

Tables = Callable[..., Awaitable[None]]


@pytest.fixture(params=LANES, ids=lambda lane: lane.name)
def lane(request: pytest.FixtureRequest) -> Lane:
    """The database of this run."""
    return request.param


@pytest.fixture
def clean_connections() -> Iterator[None]:
    before = dict(registry.connections)
    registry.connections.clear()
    yield
    registry.connections.clear()
    registry.connections.update(before)


@pytest.fixture
async def database(lane: Lane, tmp_path: Path, clean_connections: None) -> AsyncIterator[AsyncDatabase]:
    """The lane's database, connected and registered as "default"."""
    database = AsyncDatabase(lane.url(tmp_path, "default"), name="default")
    await database.connect()
    yield database
    await database.disconnect()
    lane.empty("default")


@pytest.fixture
async def other(lane: Lane, tmp_path: Path, database: AsyncDatabase) -> AsyncIterator[AsyncDatabase]:
    """A second database of the same kind, registered as "other"."""
    database = AsyncDatabase(lane.url(tmp_path, "other"), name="other")
    await database.connect()
    yield database
    await database.disconnect()
    lane.empty("other")


@pytest.fixture
async def tables(database: AsyncDatabase) -> AsyncIterator[Tables]:
    """``await tables(User, Post)`` creates the tables of these models; they are dropped after the test."""
    created: list[type[Model]] = []

    async def tables(*models: type[Model], using: str = "default") -> None:
        await create_tables(using, models=models)
        if using == "default":
            created.extend(models)

    yield tables
    if created:
        await drop_tables(models=created)
