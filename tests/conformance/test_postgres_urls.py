"""What a URL says arrives at the server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

import pytest

from oxyde import AsyncDatabase, ConnectError, execute_raw
from tests.servers.wire import Connection

from .lanes import LANES, databases

NAME = f"{databases.PREFIX} ü/%?#@:"
ADDRESSES = [lane for lane in LANES if lane.family == "postgres"]


@pytest.fixture
def odd() -> Iterator[str]:
    """A database whose name is made of what URLs are made of."""
    with Connection(databases.server()) as connection:
        connection.query(f'CREATE DATABASE "{NAME}" TEMPLATE template0')
        yield quote(NAME, safe="")
        connection.query(f'DROP DATABASE "{NAME}"')


async def asked(url: str, **options: Any) -> dict[str, Any]:
    async with AsyncDatabase(url, name="asked", auto_register=False, **options) as database:
        (row,) = await execute_raw(
            "SELECT current_database()::text AS database, current_user::text AS user, "
            "current_setting('application_name') AS application, current_setting('TimeZone') AS zone, "
            "(SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()) AS secure",
            client=database,
        )
        return row


@pytest.mark.parametrize("lane", ADDRESSES, ids=lambda lane: lane.name)
async def test_every_way_to_the_server(lane: Any, tmp_path: Any) -> None:
    row = await asked(lane.url(tmp_path, "default"))
    assert row["database"] == f"{databases.PREFIX}_default"
    assert row["zone"] == "UTC"


async def test_names_are_decoded(odd: str) -> None:
    url = databases.with_database(databases.server(), odd)
    parts = urlsplit(url)
    row = await asked(urlunsplit(parts._replace(query="application_name=a%20b%26c&sslmode=disable")))
    assert (row["database"], row["application"], row["secure"]) == (NAME, "a b&c", False)


async def test_the_database_of_the_user() -> None:
    parts = urlsplit(databases.server())
    user = parts.username or "postgres"
    with Connection(databases.server()) as connection:
        there = connection.query(f"SELECT FROM pg_database WHERE datname = '{user}'")
    url = urlunsplit(parts._replace(path=""))
    if there:
        assert (await asked(url))["database"] == user
    else:
        with pytest.raises(ConnectError, match=user):
            await asked(url)


@pytest.mark.parametrize("where", ["/nowhere", "/tmp"])
async def test_a_socket_that_is_not_there(where: str) -> None:
    with pytest.raises(ConnectError, match=rf"{where}/\.s\.PGSQL\.1\b"):
        await asked(f"postgres://canary:canary@:1/x?host={where}")


async def test_a_name_that_nobody_has() -> None:
    with pytest.raises(ConnectError, match="host name cannot be resolved") as caught:
        await asked("postgres://ada:canary@nobody.invalid/x")
    assert "canary" not in f"{caught.value!r}"
