from __future__ import annotations

import asyncio
import logging
import os
import random
import time
import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from oxyde import AsyncDatabase
from oxyde.db import registry
from tests.servers import mysql_databases
from tests.servers.mysql import MySQLServer
from tests.servers.proxy import Proxy
from tests.servers.unavailable import named_in_the_summary

from .canary import check_silent
from .harness import KINDS, SERVERS, Where, kill_the_rest
from .programs.common import prepared, quiet

# What only one server has needs it, and what servers have one of them.
collect_ignore_glob = [f"test_{name}_*.py" for name, server in SERVERS.items() if not server.SERVER]
if not any(server.SERVER for server in SERVERS.values()):
    collect_ignore_glob.append("test_server_*.py")


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
def overheard(caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> Iterator[None]:
    """Nothing of the canary in logs of any level, warnings, or what is written to standard output and error."""
    caplog.set_level(logging.DEBUG)
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        yield
    logged = caplog.get_records("call")
    check_silent((f"{record.getMessage()} {record.__dict__}" for record in logged), "logs")
    check_silent(iter(capfd.readouterr()), "standard output and error")
    check_silent((str(warning.message) for warning in found), "warnings")


@pytest.fixture(params=KINDS)
def where(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Where]:
    """The test's database; at the end nobody may be connected to it any more."""
    yield Where.of(request.param, tmp_path)
    if request.param in SERVERS:
        SERVERS[request.param].empty("faults")


@pytest.fixture
def proxy(where: Where) -> Iterator[Proxy]:
    with Proxy(where.url) as proxy:
        yield proxy


@pytest.fixture(scope="session")
def unusual() -> Iterator[MySQLServer]:
    """A private server of the kind that the run is about, as other people have set it up.

    It takes commands of 1 MB, believes that everybody writes Latin-1, turns what it cannot store into something else,
    and rolls back a whole transaction when a lock is not given in time.
    """
    settings = {
        "max_allowed_packet": "1M",
        "character_set_server": "latin1",
        "collation_server": "latin1_swedish_ci",
        "innodb_rollback_on_timeout": "ON",
        "sql_mode": "",
    }
    flavour = "mariadb" if mysql_databases.mariadb() else "mysql"
    with named_in_the_summary(), MySQLServer(settings, flavour=flavour) as server:
        yield server


@pytest.fixture
async def elsewhere(where: Where, unusual: MySQLServer) -> AsyncIterator[Callable[..., Any]]:
    """As `opened`, in a database of that server, which is dropped; nobody may be connected to it any more."""
    unusual.query("CREATE DATABASE elsewhere")
    made: list[AsyncDatabase] = []

    async def opened(**options: Any) -> AsyncDatabase:
        made.append(await prepared(unusual.url("elsewhere"), **options))
        return made[-1]

    try:
        yield opened
        for database in made:
            if database.connected:
                await quiet(database)
            await database.disconnect()
        deadline = time.monotonic() + 2
        while left := unusual.query("SELECT * FROM information_schema.processlist WHERE db = 'elsewhere'"):
            assert time.monotonic() < deadline, left
            await asyncio.sleep(0.01)
    finally:
        unusual.query("DROP DATABASE elsewhere")


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
