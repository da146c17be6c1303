from __future__ import annotations

import os
import random
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from oxyde import AsyncDatabase
from oxyde.db import registry

from .harness import kill_the_rest
from .programs.common import prepared, quiet


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


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the test's database file will be."""
    return tmp_path / "faults.db"


@pytest.fixture
async def opened(path: Path) -> AsyncIterator[Callable[..., Any]]:
    """Connects databases with tables; at the end each has to be quiet and to close at once."""
    databases: list[AsyncDatabase] = []

    async def opened(where: str | Path | None = None, **options: Any) -> AsyncDatabase:
        databases.append(await prepared(str(path if where is None else where), **options))
        return databases[-1]

    yield opened
    for database in databases:
        if database.connected:
            await quiet(database)
        await database.disconnect()
