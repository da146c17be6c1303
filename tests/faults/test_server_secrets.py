"""A password never shows, of servers that ask for a password: what is refused, and what fails behind the right one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any
from urllib.parse import quote

import pytest

from oxyde import AsyncDatabase, execute_raw
from tests.servers import mysql_databases
from tests.servers.mysql import MySQLServer
from tests.servers.postgres import PostgresServer
from tests.servers.proxy import Proxy
from tests.servers.unavailable import named_in_the_summary

from .canary import CANARY, PASSWORDS, attempt, check_silent, shown, told
from .harness import SERVERS, Where, on

pytestmark = on(*SERVERS)


@contextmanager
def asking(kind: str) -> Iterator[Any]:
    """A server that asks for passwords; ada's is the canary with everything in it that is special."""
    with named_in_the_summary():
        if kind == "postgres":
            server: Any = PostgresServer(hba=["host all ada 127.0.0.1/32 scram-sha-256"])
        else:
            server = MySQLServer(flavour="mariadb" if mysql_databases.mariadb() else "mysql", tls=True)
        server.__enter__()
    try:
        yield server
    finally:
        server.__exit__(None, None, None)


SECRET = f"ä {CANARY}@'/{CANARY}:%?#"


async def test_refused_by_a_server(where: Where, overheard: None) -> None:
    """Wrong passwords, unknown users and databases, TLS that is not there, a server that says nothing."""
    seen: Counter[str] = Counter()
    with asking(where.kind) as server:
        made = SECRET.replace("'", "''")
        if where.kind == "postgres":
            server.query(f"CREATE ROLE ada LOGIN PASSWORD '{made}'")
        else:
            server.query(f"CREATE USER ada IDENTIFIED BY '{made}'")
        scheme = "postgres" if where.kind == "postgres" else "mysql"
        address = f"127.0.0.1:{server.port}"
        attempts = []
        for password in (*PASSWORDS, SECRET + " "):
            secret = quote(password, safe="")
            for url in (
                f"{scheme}://ada:{secret}@{address}/postgres?ssl_mode=disable",
                f"{scheme}://ada:{secret}@{address}/",
                f"{scheme}://nobody:{secret}@{address}/none?connect_timeout=2",
                f"{scheme}://ada:{secret}@{address}/none?ssl_mode=verify-full&ssl_root_cert={__file__}",
                f"{scheme}://ada:{secret}@127.0.0.1:1,{address}/postgres",
            ):
                attempts.append(partial(attempt, url, seen))
            for source in (password, lambda password=password: password):
                attempts.append(partial(attempt, f"{scheme}://ada@{address}/", seen, password=source))
        # The right password, but nothing else.
        secret = quote(SECRET, safe="")
        for rest in (
            "/no_such_database",
            f"/?ssl_mode=verify-full&ssl_root_cert={__file__}",
            "/no_such_database?target_session_attrs=standby",
        ):
            attempts.append(partial(attempt, f"{scheme}://ada:{secret}@{address}{rest}", seen))
        with Proxy(f"{scheme}://ada:{secret}@{address}/postgres") as proxy:
            proxy.blackhole()
            attempts.append(partial(attempt, f"{scheme}://ada:{secret}@127.0.0.1:{proxy.port}/postgres", seen))
            # MySQL's servers count refusals; one after the other is what a program does anyway.
            for one in attempts:
                await one()
        assert "connected" not in seen, seen
        assert seen["ConnectError"] > 100, seen
        await right(f"{scheme}://ada:{secret}@{address}/" + ("postgres" if scheme == "postgres" else ""))


async def right(url: str) -> None:
    """It is the right password: what works with it, and fails later, says as little."""
    async with AsyncDatabase(url, auto_register=False) as database:
        check_silent(shown(database), "connected")
        for text in ("SELECT nothing FROM nowhere", "SELECT 1 +", "SELECT 1/"):
            with pytest.raises(Exception) as caught:
                await execute_raw(text, client=database)
            check_silent(told(caught.value), text)
        check_silent(shown(database), "connected")
    check_silent(shown(database), "disconnected")
