"""What all suites share: the event loop of the run, and the choice of databases."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping
from typing import TypeAlias

import pytest

from tests.servers import databases, mysql_databases

LOOP = os.environ.get("OXYDE_TEST_LOOP", "asyncio")
assert LOOP in ("asyncio", "uvloop"), f"OXYDE_TEST_LOOP must be asyncio or uvloop, not {LOOP}"

# Some of these with commas: only the tests that run on them ("sqlite": and those that need none).
SERVERS = {"sqlite": "", "postgres": databases.SERVER, "mysql": mysql_databases.SERVER}
FAMILIES = set(filter(None, os.environ.get("OXYDE_TEST_LANES", "").split(",")))
assert SERVERS.keys() >= FAMILIES, f"OXYDE_TEST_LANES names {', '.join(SERVERS)}, not {FAMILIES}"
for family in FAMILIES:
    assert SERVERS[family] is not None, f"OXYDE_TEST_LANES names {family}, OXYDE_TEST_{family.upper()}_URL no server"

Factories: TypeAlias = Mapping[str, Callable[[], asyncio.AbstractEventLoop]]


def pytest_asyncio_loop_factories(config: pytest.Config, item: pytest.Item) -> Factories:
    """OXYDE_TEST_LOOP=uvloop runs everything on uvloop, but for what looks into asyncio's own loop."""
    if LOOP == "uvloop" and item.get_closest_marker("standard_loop") is None:
        import uvloop

        return {"uvloop": uvloop.new_event_loop}
    return {"asyncio": asyncio.new_event_loop}


def pytest_sessionfinish(session: pytest.Session) -> None:
    databases.drop_all()
    mysql_databases.drop_all()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not FAMILIES:
        return
    chosen, others = [], []
    for item in items:
        (chosen if _family(item) in FAMILIES else others).append(item)
    items[:] = chosen
    config.hook.pytest_deselected(items=others)


def _family(item: pytest.Item) -> str:
    """Of the database that a test runs on."""
    call = getattr(item, "callspec", None)
    database = call and (call.params.get("lane") or call.params.get("where"))
    name = getattr(database, "family", database)
    if item.path.parent.name == "servers":
        return "mysql" if "mysql" in item.path.name else "postgres"
    return name if name in ("postgres", "mysql") else "sqlite"
