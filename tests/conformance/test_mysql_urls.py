"""What a URL says arrives at the server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

import pytest

from oxyde import AsyncDatabase, ConnectError, PoolSettings, execute_raw
from tests.servers import mysql_databases as databases
from tests.servers.databases import with_database
from tests.servers.mysql_wire import Connection

from .lanes import LANES

NAME = f"{databases.PREFIX} ü/%?#@:"
ADDRESSES = [lane for lane in LANES if lane.family == "mysql"]


@pytest.fixture
def odd() -> Iterator[str]:
    """A database whose name is made of what URLs are made of."""
    with Connection(databases.server()) as connection:
        connection.query(f"CREATE DATABASE `{NAME}`")
        yield quote(NAME, safe="")
        connection.query(f"DROP DATABASE `{NAME}`")


def with_options(url: str, **options: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(query="&".join([*filter(None, [parts.query]), *map("=".join, options.items())])))


async def asked(url: str, **options: Any) -> dict[str, Any]:
    async with AsyncDatabase(url, name="asked", auto_register=False, **options) as database:
        (row,) = await execute_raw(
            "SELECT DATABASE() AS `database`, @@time_zone AS zone, @@autocommit AS autocommit, "
            "@@character_set_client AS client, @@character_set_results AS results, "
            "@@collation_connection AS collation, @@innodb_lock_wait_timeout AS rows_wait, "
            "@@lock_wait_timeout AS tables_wait",
            client=database,
        )
        (status,) = await execute_raw("SHOW STATUS LIKE 'Ssl_cipher'", client=database)
        return row | {"secure": bool(status["Value"])}


@pytest.mark.parametrize("lane", ADDRESSES, ids=lambda lane: lane.name)
async def test_every_way_to_the_server(lane: Any, tmp_path: Any) -> None:
    row = await asked(lane.url(tmp_path, "default"))
    assert row["database"] == f"{databases.PREFIX}_default"
    assert (row["zone"], row["autocommit"]) == ("+00:00", 1)
    assert row["client"] == row["results"] == "utf8mb4"
    assert row["secure"] or not lane.name.endswith("-tls")


@pytest.mark.parametrize("scheme", ["mysql", "mariadb"])
async def test_mysql_or_mariadb_is_what_the_server_says(scheme: str) -> None:
    url = urlunsplit(urlsplit(databases.database_url("default"))._replace(scheme=scheme))
    database = AsyncDatabase(url, name="asked", auto_register=False)
    assert database.backend == scheme
    async with database:
        assert database.backend == ("mariadb" if databases.mariadb() else "mysql")
        assert database.core is not None
        assert database.core.version == databases.version()
    assert database.backend == scheme


async def test_names_are_decoded(odd: str) -> None:
    assert (await asked(with_database(databases.server(), odd)))["database"] == NAME


async def test_a_server_is_enough() -> None:
    assert (await asked(with_database(databases.server(), "")))["database"] is None


async def test_settings_of_a_session() -> None:
    url = with_options(databases.database_url("default"), collation="utf8mb4_general_ci", lock_timeout="1.2")
    row = await asked(url, settings=PoolSettings(on_connect=["SET SESSION max_sort_length = 77"]))
    assert row["collation"] == "utf8mb4_general_ci"
    assert (row["rows_wait"], row["tables_wait"]) == (2, 2)
    row = await asked(databases.database_url("default"))
    assert row["collation"] == ("utf8mb4_nopad_bin" if databases.mariadb() else "utf8mb4_0900_bin")


async def test_what_the_server_refuses_at_the_start() -> None:
    url = databases.database_url("default")
    with pytest.raises(ConnectError, match="latin1_swedish_ci") as caught:
        await asked(with_options(url, collation="latin1_swedish_ci"))
    assert caught.value.code == 1253
    with pytest.raises(ConnectError, match="no_such_thing") as caught:
        await asked(url, settings=PoolSettings(on_connect=["SET no_such_thing = 1"]))
    assert caught.value.code == 1193
    with pytest.raises(ConnectError, match="Unknown database") as caught:
        await asked(with_database(databases.server(), f"{databases.PREFIX}_nowhere"))
    assert (caught.value.code, caught.value.sqlstate) == (1049, "42000")


@pytest.mark.parametrize(("option", "file"), [("socket=/nowhere/s", "/nowhere/s"), ("host=/tmp", "/tmp/mysqld.sock")])
async def test_a_socket_that_is_not_there(option: str, file: str) -> None:
    with pytest.raises(ConnectError, match=f"{file}: No such file or directory"):
        await asked(f"mysql://canary:canary@/x?{option}")


async def test_a_name_that_nobody_has() -> None:
    with pytest.raises(ConnectError, match="host name cannot be resolved") as caught:
        await asked("mysql://ada:canary@nobody.invalid/x")
    assert "canary" not in f"{caught.value!r}"
