from __future__ import annotations

import os
import random
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from oxyde import AsyncDatabase
from oxyde.db import registry

from .harness import KINDS, SERVERS, Where, kill_the_rest
from .programs.common import prepared, quiet

# What only one server has needs it.
collect_ignore_glob = [f"test_{name}_*.py" for name, server in SERVERS.items() if not server.SERVER]
if not any(server.SERVER for server in SERVERS.values()):
    collect_ignore_glob.append("test_network_*.py")


@pytest.fixture(autouse=True)
def clean_registry() -> Iterator[None]:
    before = dict(registry.connections)
    registry.connections.clear()
    yield
    registry.connections.clear()
    registry.connections.update(before)


@pytest.fixture(autouse=True)
def nothing_left_running() -> Iterator[None]:
    yield
    kill_the_rest()


@pytest.fixture
def seed() -> int:
    """A new one for every run; shown when the test fails."""
    seed = int(os.environ.get("OXYDE_FAULTS_SEED") or random.SystemRandom().randrange(2**32))
    print(f"OXYDE_FAULTS_SEED={seed}")
    return seed


@pytest.fixture(params=KINDS)
def where(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Where]:
    """The test's database; at the end nobody may be connected to it any more."""
    yield Where.of(request.param, tmp_path)
    if request.param in SERVERS:
        SERVERS[request.param].empty("faults")


@pytest.fixture
async def opened(where: Where) -> AsyncIterator[Callable[..., Any]]:
    """Connects databases with tables; at the end each has to be quiet and to close at once."""
    made: list[AsyncDatabase] = []

    async def opened(**options: Any) -> AsyncDatabase:
        made.append(await prepared(where.url, **options))
        return made[-1]

    yield opened
    for database in made:
        if database.connected:
            await quiet(database)
        await database.disconnect()
