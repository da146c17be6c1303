"""Who is let in by MySQL and MariaDB, by which way, and what a program is told otherwise."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any
from urllib.parse import quote

import pytest

from oxyde import AsyncDatabase, ConnectError, PoolSettings, QueryTimeoutError, execute_raw
from tests.servers import mysql_databases
from tests.servers import mysql_wire as wire
from tests.servers.mysql import MySQLServer
from tests.servers.unavailable import named_in_the_summary

SECRET = "cänary p@ss/w:o%r#d?"


@pytest.fixture(scope="module")
def server() -> Iterator[MySQLServer]:
    """A private server like the one that the run is about, with certificates."""
    flavour = "mariadb" if mysql_databases.mariadb() else "mysql"
    with named_in_the_summary(), MySQLServer({"max_connections": "10"}, flavour=flavour, tls=True) as server:
        yield server


@pytest.fixture
def account(server: MySQLServer, request: pytest.FixtureRequest) -> Iterator[str]:
    """An account; the test's parameter is how it is identified, and what it requires."""
    server.query(f"CREATE USER ada {request.param.format(secret=SECRET)}")
    yield "ada"
    server.query("DROP USER ada")


def at(server: MySQLServer, **options: str) -> str:
    """The URL for that account; `socket` is one of its options."""
    return server.url("", user="ada", password=SECRET, **options)


@contextlib.asynccontextmanager
async def connected(url: str, **settings: Any) -> AsyncIterator[AsyncDatabase]:
    async with AsyncDatabase(url, auto_register=False, settings=PoolSettings(**settings)) as database:
        yield database


async def cipher(url: str) -> str:
    async with connected(url) as database:
        (row,) = await execute_raw("SHOW STATUS LIKE 'Ssl_cipher'", client=database)
        return str(row["Value"])


async def refused(url: str) -> ConnectError:
    with pytest.raises(ConnectError) as caught:
        await cipher(url)
    assert "cänary" not in f"{caught.value!r} {caught.value} {caught.value.hint}"
    assert quote("cänary") not in f"{caught.value!r} {caught.value.hint}"
    return caught.value


PASSWORD = "IDENTIFIED BY '{secret}'"
by_password = pytest.mark.parametrize("account", [PASSWORD], indirect=True, ids=["password"])
insists = pytest.mark.parametrize("account", [f"{PASSWORD} REQUIRE SSL"], indirect=True, ids=["ssl"])


# ----------------------------------------------------------------------------------------------------------- passwords


@by_password
async def test_a_password_by_every_way(server: MySQLServer, account: str) -> None:
    # Twice each: MySQL's cache of passwords that were right has another exchange.
    for _ in range(2):
        assert await cipher(at(server, ssl_mode="require"))
        assert not await cipher(at(server, ssl_mode="disable"))
        assert not await cipher(at(server, socket=str(server.socket)))
    error = await refused(server.url("", user="ada", password="cänary"))
    assert (error.code, error.sqlstate, error.retryable) == (1045, "28000", False)
    assert "Access denied for user 'ada'@" in str(error)


@by_password
async def test_the_first_password_without_tls(server: MySQLServer, account: str) -> None:
    """Nothing is in the server's cache: the password goes out under the server's key."""
    assert not await cipher(at(server, ssl_mode="disable"))


OFFERED = (
    "SELECT plugin_name FROM information_schema.plugins "
    "WHERE plugin_type = 'AUTHENTICATION' AND plugin_status = 'ACTIVE'"
)
# What an account is identified by; of a server those that it has.
PLUGINS = {
    "mysql": {
        "caching_sha2_password": "IDENTIFIED WITH caching_sha2_password BY '{secret}'",
        "sha256_password": "IDENTIFIED WITH sha256_password BY '{secret}'",
        "mysql_native_password": "IDENTIFIED WITH mysql_native_password BY '{secret}'",
    },
    "mariadb": {
        "mysql_native_password": "IDENTIFIED VIA mysql_native_password USING PASSWORD('{secret}')",
        "ed25519": "IDENTIFIED VIA ed25519 USING PASSWORD('{secret}')",
    },
}


async def test_plugins(server: MySQLServer) -> None:
    if server.flavour == "mariadb":
        with contextlib.suppress(wire.ServerError):
            server.query("INSTALL SONAME 'auth_ed25519'")
    offered = {name for (name,) in server.query(OFFERED)}
    tried = {name: how for name, how in PLUGINS[server.flavour].items() if name in offered}
    assert tried
    for how in tried.values():
        server.query(f"CREATE USER ada {how.format(secret=SECRET)}")
        try:
            for mode in ("disable", "require"):
                assert bool(await cipher(at(server, ssl_mode=mode))) == (mode == "require")
                wrong = server.url("", user="ada", password="cänary", ssl_mode=mode)
                assert (await refused(wrong)).code == 1045
        finally:
            server.query("DROP USER ada")


@by_password
async def test_a_password_that_changes(server: MySQLServer, account: str) -> None:
    given: list[None] = []

    async def password() -> str:
        given.append(None)
        return SECRET if len(given) < 3 else "cänary"

    database = AsyncDatabase(server.url("", user="ada"), auto_register=False, password=password)
    await database.connect()
    assert len(given) == 1
    with pytest.raises(QueryTimeoutError):
        # The connection that kills it logs in as well.
        async with asyncio.timeout(10):
            await slept(database, 0.2)
    assert len(given) == 2
    await database.disconnect()
    with pytest.raises(ConnectError, match="Access denied"):
        await database.connect()


async def slept(database: AsyncDatabase, seconds: float) -> None:
    assert database.core is not None
    await database.core.raw("SELECT SLEEP(30)", (), timeout=seconds)


# ----------------------------------------------------------------------------------------------------------------- TLS


async def test_certificates(server: MySQLServer) -> None:
    made = server.certificates
    for mode, root, ok in (
        ("require", None, True),
        ("verify-ca", made.ca, True),
        ("verify-full", made.ca, True),
        ("require", made.other_ca, False),
        ("verify-ca", made.other_ca, False),
        ("verify-full", made.other_ca, False),
        ("verify-full", None, False),
    ):
        options = {"ssl_mode": mode} | ({"ssl_root_cert": str(root)} if root else {})
        if ok:
            assert await cipher(server.url(**options))
        else:
            error = await refused(server.url(**options))
            assert "the certificate of the server was refused" in str(error)
            assert "ssl_root_cert" in (error.hint or "")


@insists
async def test_an_account_that_insists_on_tls(server: MySQLServer, account: str) -> None:
    for mode in ("allow", "prefer", "require"):
        assert await cipher(at(server, ssl_mode=mode)), mode
    assert (await refused(at(server, ssl_mode="disable"))).code == 1045


@pytest.mark.parametrize("account", [f"{PASSWORD} REQUIRE X509"], indirect=True, ids=["x509"])
async def test_an_account_that_wants_a_certificate(server: MySQLServer, account: str) -> None:
    made = server.certificates
    client = {"ssl_client_cert": str(made.client), "ssl_client_key": str(made.client_key)}
    assert await cipher(at(server, ssl_mode="verify-full", ssl_root_cert=str(made.ca), **client))
    assert (await refused(at(server, ssl_mode="require"))).code == 1045


async def test_a_server_that_insists_on_tls(server: MySQLServer) -> None:
    server.query("SET GLOBAL require_secure_transport = ON")
    try:
        for mode in ("allow", "prefer", "require"):
            assert await cipher(server.url(ssl_mode=mode)), mode
        # MariaDB does not say why.
        assert (await refused(server.url(ssl_mode="disable"))).code in (3159, 1045)
    finally:
        server.query("SET GLOBAL require_secure_transport = OFF")


async def test_a_server_without_tls(server: MySQLServer) -> None:
    off = {"mysql": {"tls_version": ""}, "mariadb": {"skip_ssl": "1"}}[server.flavour]
    with MySQLServer(off, flavour=server.flavour) as plain:
        for mode in ("disable", "allow", "prefer"):
            assert not await cipher(plain.url(ssl_mode=mode)), mode
        for mode in ("require", "verify-ca", "verify-full"):
            assert f"does not speak TLS, which ssl_mode={mode} asks for" in str(await refused(plain.url(ssl_mode=mode)))


# ------------------------------------------------------------------------------------------- full, stopped, read-only


async def test_a_server_that_is_full(server: MySQLServer) -> None:
    server.query("CREATE USER crowd")
    held = []
    try:
        with contextlib.suppress(wire.ServerError):
            for _ in range(20):
                held.append(wire.Connection(server.url("", user="crowd")))
        server.query("CREATE USER ada IDENTIFIED BY 'cänary'")
        for mode in ("disable", "prefer", "require"):
            started = time.monotonic()
            error = await refused(server.url("", user="ada", password="cänary", ssl_mode=mode))
            # In place of a greeting there is no SQLSTATE, after a login there is.
            assert (error.code, error.sqlstate) in ((1040, None), (1040, "08004"))
            assert "Too many connections" in str(error)
            assert time.monotonic() - started < 1.0
    finally:
        for connection in held:
            connection.close()
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            with contextlib.suppress(wire.ServerError):
                server.query("DROP USER IF EXISTS crowd, ada")
                break


async def test_which_server_of_several_is_taken(server: MySQLServer) -> None:
    with MySQLServer(flavour=server.flavour) as other:
        other.query("SET GLOBAL read_only = ON")
        hosts = f"127.0.0.1:{server.port},127.0.0.1:{other.port}"
        for listed in (hosts, ",".join(reversed(hosts.split(",")))):
            for wanted, port in (
                ("read-write", server.port),
                ("primary", server.port),
                ("read-only", other.port),
                ("standby", other.port),
                ("prefer-standby", other.port),
            ):
                async with connected(f"mysql://root@{listed}/mysql?target_session_attrs={wanted}") as database:
                    assert await execute_raw("SELECT @@port AS port", client=database) == [{"port": port}]
        error = await refused(f"mysql://root@127.0.0.1:{server.port}/mysql?target_session_attrs=standby")
        assert "the server is no standby" in str(error)


async def test_a_server_that_is_stopped_is_noticed_in_time(server: MySQLServer) -> None:
    server.pause()
    try:
        started = time.monotonic()
        error = await refused(server.url(connect_timeout="0.5"))
        assert "no answer within 0.5 s" in str(error)
        assert time.monotonic() - started < 0.5 + 1.0
    finally:
        server.resume()
