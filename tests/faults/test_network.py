"""Servers that vanish, fall silent, restart or are the wrong ones, and what a program sees of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import pytest

from oxyde import AsyncDatabase, atomic, execute_raw
from oxyde.exceptions import (
    ConnectError,
    ConnectionLostError,
    DatabaseError,
    OperationalError,
    PoolTimeoutError,
    QueryTimeoutError,
    TransactionRolledBackError,
    TransactionTimeoutError,
)
from tests.servers import mysql_databases
from tests.servers.mysql import MySQLServer
from tests.servers.postgres import PostgresServer
from tests.servers.proxy import Proxy
from tests.servers.unavailable import named_in_the_summary

from .figures import figure
from .harness import SERVERS, WIRE, Where, lasts, no_transactions, on, scaled
from .programs.common import Account, Entry, database_at, prepared, quiet, sleep

pytestmark = on(*WIRE)


NUMBERS = "n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000)"


async def connected(url: str, **settings: Any) -> AsyncDatabase:
    database = database_at(url, ssl_mode="disable", **settings)
    await database.connect()
    return database


# -- deadlines


async def test_a_server_that_accepts_and_says_nothing(proxy: Proxy) -> None:
    proxy.blackhole()
    with lasts(0.4, 1.5), pytest.raises(ConnectError) as caught:
        await connected(proxy.url, connect_timeout=0.5)
    assert isinstance(caught.value, OperationalError)
    assert "secret" not in str(caught.value)


async def test_nobody_listens(proxy: Proxy) -> None:
    proxy.refuse()
    with lasts(0, 1), pytest.raises(ConnectError):
        await connected(proxy.url)


async def test_a_silent_server_in_the_middle(opened: Any, proxy: Proxy) -> None:
    """Each wait ends by its own limit, although the server never answers the request to cancel either."""
    await (await opened(accounts=3)).disconnect()
    database = await connected(proxy.url, statement_timeout=0.5, acquire_timeout=0.5, connect_timeout=0.5)
    try:
        assert (await Account.objects.get(id=1)).owner == "owner-1"
        proxy.blackhole()
        with lasts(0.4, 2), pytest.raises((QueryTimeoutError, ConnectionLostError)):
            await Account.objects.get(id=1)
        with lasts(0, 2), pytest.raises((QueryTimeoutError, ConnectError, PoolTimeoutError)):
            await Entry.objects.create(nonce="never")
        with lasts(0, 2.5), pytest.raises((TransactionTimeoutError, ConnectError, PoolTimeoutError)):
            async with atomic(timeout=0.5):
                await Entry.objects.create(nonce="never")
        proxy.reset()
        deadline = time.monotonic() + 5
        while True:
            try:
                assert (await Account.objects.get(id=2)).owner == "owner-2"
                break
            except OperationalError:
                assert time.monotonic() < deadline
                await asyncio.sleep(0.05)
        assert await Entry.objects.count() == 0
    finally:
        await database.disconnect()


async def test_a_silent_server_inside_a_transaction(opened: Any, proxy: Proxy) -> None:
    await (await opened(accounts=3)).disconnect()
    database = await connected(proxy.url)
    try:
        with lasts(0.4, 2), pytest.raises(TransactionTimeoutError):
            async with atomic(timeout=0.5):
                await Entry.objects.create(nonce="never")
                proxy.blackhole()
                await Account.objects.count()
        proxy.reset()
        assert await asyncio.wait_for(Entry.objects.count(), 5) == 0
    finally:
        await database.disconnect()


async def test_a_rollback_that_is_never_answered(opened: Any, proxy: Proxy) -> None:
    """Neither the program nor the pool waits for it: the connection is given up."""
    await (await opened(accounts=3)).disconnect()
    database = await connected(proxy.url, commit_timeout=0.3)
    try:
        with lasts(0, 2), pytest.raises(LookupError):
            async with atomic():
                await Entry.objects.create(nonce="never")
                proxy.blackhole()
                raise LookupError
        await quiet(database, 8)
        assert database.stats()["lost"] == 1
    finally:
        proxy.reset()
        await database.disconnect()


@pytest.mark.parametrize("where_it_falls_silent", ["statement", "savepoint", "begin"])
async def test_limits_of_statements_hold_for_whole_blocks(
    opened: Any, proxy: Proxy, where_it_falls_silent: str
) -> None:
    """Neither the beginning of a block nor its ROLLBACK waits for a server that says nothing."""
    await (await opened(accounts=3)).disconnect()
    database = await connected(proxy.url, statement_timeout=0.5, acquire_timeout=0.5)

    def silence(place: str) -> None:
        if place == where_it_falls_silent:
            proxy.blackhole()

    try:
        with lasts(0.4, 2.5), pytest.raises(QueryTimeoutError):
            silence("begin")
            async with atomic():
                await Entry.objects.create(nonce="never")
                silence("savepoint")
                async with atomic():
                    silence("statement")
                    await Entry.objects.create(nonce="never")
        proxy.reset()
        assert await asyncio.wait_for(Entry.objects.count(), 5) == 0
    finally:
        await database.disconnect()


# -- connections that die


async def test_idle_connections_killed_by_the_server_cost_nothing(opened: Any, where: Where) -> None:
    database = await opened(accounts=3, max_connections=5)
    for _ in range(scaled(5)):
        await asyncio.gather(*(execute_raw(f"SELECT {sleep(0.02)}") for _ in range(5)))
        assert len(SERVERS[where.kind].sessions("faults")) >= 2
        SERVERS[where.kind].end_sessions("faults")
        # The news has to have arrived: the pool knows.
        deadline = time.monotonic() + 2
        while database.stats()["size"]:
            assert time.monotonic() < deadline, database.stats()
            await asyncio.sleep(0.01)
        results = await asyncio.gather(*(Account.objects.get(id=n % 3 + 1) for n in range(20)), return_exceptions=True)
        assert [result for result in results if isinstance(result, BaseException)] == []
    await quiet(database)


async def test_a_connection_that_dies_at_work(opened: Any, where: Where) -> None:
    database = await opened(accounts=3)
    task = asyncio.create_task(execute_raw(f"SELECT {sleep(60)}"))
    block_entered = asyncio.Event()

    async def block() -> None:
        async with atomic():
            await Entry.objects.create(nonce="lost")
            block_entered.set()
            await asyncio.sleep(0.3)
            await Entry.objects.create(nonce="lost")

    blocked = asyncio.create_task(block())
    await block_entered.wait()
    await asyncio.sleep(0.1)
    SERVERS[where.kind].end_sessions("faults")
    with lasts(0, 1), pytest.raises(ConnectionLostError):
        await task
    with pytest.raises(DatabaseError):
        await blocked
    assert await Entry.objects.count() == 0
    await quiet(database)
    no_transactions(where.kind)


async def test_killed_while_the_loop_did_something_else(opened: Any, where: Where) -> None:
    """The loop has read nothing of it when the next statement comes: the socket is looked at, so writes do not fail."""
    database = await opened(accounts=3, max_connections=1)
    for n in range(3):
        assert (await Account.objects.get(id=1)).owner == "owner-1"
        SERVERS[where.kind].end_sessions("faults")
        # Not asyncio's: the news arrives meanwhile, and nobody reads it.
        time.sleep(0.1)
        match n:
            case 0:
                await Entry.objects.create(nonce="single")
            case 1:
                async with atomic():
                    await Entry.objects.create(nonce="block")
            case 2:
                await execute_raw("INSERT INTO faults_entry (nonce, part) VALUES ('raw', 1)")
    assert await Entry.objects.order_by("id").values_list("nonce", flat=True) == ["single", "block", "raw"]
    await quiet(database)


async def test_killed_before_the_end_of_a_block(opened: Any, where: Where) -> None:
    """COMMIT was never sent: nothing is committed, and that is known."""
    database = await opened()
    with pytest.raises(TransactionRolledBackError) as caught:
        async with atomic():
            await Entry.objects.create(nonce="lost")
            SERVERS[where.kind].end_sessions("faults")
            # The news has to have arrived.
            await asyncio.sleep(0.1)
    assert caught.value.outcome == "not_applied"
    assert await Entry.objects.count() == 0
    await quiet(database)


async def test_cut_in_the_middle_of_an_answer(opened: Any, proxy: Proxy) -> None:
    await (await opened(accounts=3)).disconnect()
    database = await connected(proxy.url)
    try:
        for size in (1, 5, 100, 5_000):
            await execute_raw("SELECT 1 AS warm")
            proxy.cut_after(size)
            with pytest.raises(ConnectionLostError):
                await execute_raw(f"WITH RECURSIVE {NUMBERS} SELECT repeat('x', 1000) AS x FROM n")
            proxy.reset()
            # One that the pool began to open in its place was cut as well.
            async with asyncio.timeout(2):
                while True:
                    with suppress(ConnectError):
                        assert await execute_raw("SELECT 1 AS one") == [{"one": 1}]
                        break
        await quiet(database)
    finally:
        await database.disconnect()


async def test_slow_and_sliced(opened: Any, proxy: Proxy) -> None:
    """Answers in pieces of any size are the same answers."""
    await (await opened(accounts=30)).disconnect()
    database = await connected(proxy.url)
    try:
        for size in (1, 7, 100):
            proxy.slice(size, "down")
            rows = await asyncio.gather(*(Account.objects.order_by("id").all() for _ in range(3)))
            for found in rows:
                assert [row.owner for row in found] == [f"owner-{n}" for n in range(1, 31)]
            proxy.reset()
    finally:
        await database.disconnect()


# -- restarts


@pytest.fixture
def private(where: Where) -> Iterator[PostgresServer | MySQLServer]:
    """A server of the test's own."""
    with named_in_the_summary(), private_server(where.kind) as server:
        yield server


def private_server(kind: str) -> PostgresServer | MySQLServer:
    if kind == "postgres":
        # What is committed survives a crash.
        return PostgresServer({"synchronous_commit": "on"})
    return MySQLServer(flavour="mariadb" if mysql_databases.mariadb() else "mysql")


@pytest.mark.parametrize("how", ["stop", "kill"])
async def test_recovery_after_a_restart(where: Where, private: PostgresServer | MySQLServer, how: str) -> None:
    """Orderly, and by SIGKILL."""
    database = await prepared(private.url(), accounts=3)
    stop = asyncio.Event()
    errors: list[BaseException] = []
    answered = 0.0

    async def work() -> None:
        nonlocal answered
        while not stop.is_set():
            try:
                async with asyncio.timeout(10):
                    assert (await Account.objects.get(id=2)).owner == "owner-2"
                answered = time.monotonic()
            except OperationalError as error:
                errors.append(error)
            await asyncio.sleep(0.01)

    tasks = [asyncio.create_task(work()) for _ in range(4)]
    await asyncio.sleep(0.2)
    await asyncio.to_thread(getattr(private, how))
    await asyncio.sleep(0.3)
    await asyncio.to_thread(private.start)
    back = time.monotonic()
    while answered < back:
        assert time.monotonic() - back < 2.5, errors[-3:]
        assert not any(task.done() for task in tasks), tasks
        await asyncio.sleep(0.01)
    stop.set()
    figure("recovery", where, answered - back)
    await asyncio.gather(*tasks)
    assert errors, "nobody noticed"
    await quiet(database)
    await database.disconnect()


async def test_a_stopped_server(private: PostgresServer | MySQLServer) -> None:
    """SIGSTOP: sockets stay open, nothing answers."""
    database = await prepared(private.url(), accounts=3, statement_timeout=0.5, connect_timeout=1, acquire_timeout=1)
    await asyncio.to_thread(private.pause)
    try:
        with lasts(0.4, 2), pytest.raises((QueryTimeoutError, ConnectionLostError)):
            await Account.objects.get(id=1)
        with lasts(0, 3), pytest.raises(OperationalError):
            await Account.objects.get(id=1)
    finally:
        await asyncio.to_thread(private.resume)
    assert (await asyncio.wait_for(Account.objects.get(id=1), 5)).owner == "owner-1"
    await quiet(database, 3)
    await database.disconnect()


# -- several hosts


def address(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.hostname}:{parts.port or PORTS[parts.scheme]}"


PORTS = {"postgres": 5432, "mysql": 3306, "mariadb": 3306}


async def test_the_first_host_that_answers(opened: Any, where: Where, proxy: Proxy) -> None:
    await (await opened(accounts=3)).disconnect()
    parts = urlsplit(where.url)
    user = parts.netloc.rpartition("@")[0]
    dead, here, through = "127.0.0.1:1", address(where.url), address(proxy.url)

    def url(*hosts: str, attrs: str = "any") -> str:
        return f"{parts.scheme}://{user}@{','.join(hosts)}{parts.path}?target_session_attrs={attrs}"

    async def answers(url: str, **settings: Any) -> None:
        database = await connected(url, **settings)
        assert (await Account.objects.get(id=1)).owner == "owner-1"
        await database.disconnect()

    for hosts in ((dead, here), (here, dead), (through, here)):
        await answers(url(*hosts))
    for attrs in ("read-write", "primary", "prefer-standby"):
        await answers(url(dead, here, attrs=attrs))
    for attrs in ("read-only", "standby"):
        with lasts(0, 3), pytest.raises(ConnectError):
            await connected(url(dead, here, attrs=attrs))
    with lasts(0, 3), pytest.raises(ConnectError):
        await connected(url(dead, "127.0.0.1:2"))
    # One that accepts and says nothing has its share of the time.
    proxy.blackhole()
    with lasts(0, 2.5):
        await answers(url(through, here), connect_timeout=1)
    proxy.refuse()
    await answers(url(through, here))


# -- who is let in


@pytest.fixture
def ada(where: Where) -> Iterator[str]:
    """A role that has to give a password; the URL of the database with her name and the wrong one."""
    if where.kind == "postgres":
        # Whether a password is asked for is decided by the server's configuration.
        yield _as(where.url, "oxyde_nobody:canary")
        return
    observer = mysql_databases.observer("faults")
    name = f"ada_{mysql_databases.PREFIX[-20:]}"
    observer.query(f"CREATE USER {name} IDENTIFIED BY 'p''ä ss'")
    yield _as(where.url, f"{name}:canary")
    observer.query(f"DROP USER {name}")


def _as(url: str, user: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=f"{user}@{address(url)}"))


async def test_refusals_as_themselves(where: Where, ada: str, proxy: Proxy) -> None:
    """Unknown database, wrong password, refused port: at once, with the server's own code, and without the password."""
    parts = urlsplit(where.url)
    unknown = urlunsplit(parts._replace(path="/oxyde_no_such_database"))
    codes = {"postgres": ("3D000", "28"), "mysql": ("42000", "28000")}[where.kind]
    for url, code in zip((unknown, ada), codes, strict=True):
        with lasts(0, 1), pytest.raises(ConnectError) as caught:
            await connected(url)
        assert (caught.value.sqlstate or "").startswith(code), caught.value
        assert (caught.value.retryable, caught.value.outcome) == (False, "not_applied")
        assert "canary" not in f"{caught.value!r} {caught.value} {caught.value.hint}"
    proxy.refuse()
    with lasts(0, 1), pytest.raises(ConnectError, match=f"127.0.0.1:{proxy.port}"):
        await connected(_as(proxy.url, "ada:canary"))
