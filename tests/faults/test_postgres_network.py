"""Servers that vanish, fall silent, restart or are the wrong ones, and what a program sees of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest

from oxyde import AsyncDatabase, atomic, execute_raw
from oxyde.exceptions import (
    ConnectError,
    ConnectionLostError,
    DatabaseError,
    LockTimeoutError,
    OperationalError,
    PoolTimeoutError,
    QueryTimeoutError,
    TransactionTimeoutError,
)
from tests.servers import databases
from tests.servers.postgres import PostgresServer
from tests.servers.proxy import Proxy
from tests.servers.unavailable import named_in_the_summary

from .harness import HeldSession, Where, no_transactions, on, scaled
from .programs.common import Account, Entry, database_at, prepared, quiet

pytestmark = on("postgres")


@contextmanager
def lasts(at_least: float, at_most: float) -> Iterator[None]:
    started = time.monotonic()
    yield
    assert at_least <= time.monotonic() - started <= at_most


@pytest.fixture
def proxy(where: Where) -> Iterator[Proxy]:
    with Proxy(where.url) as proxy:
        yield proxy


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


async def test_a_lock_that_is_not_given(opened: Any) -> None:
    database = await opened(accounts=3, lock_timeout=0.3)
    with HeldSession("BEGIN", "SELECT * FROM faults_account WHERE id = 2 FOR UPDATE") as holder:
        with lasts(0.25, 1.5), pytest.raises(LockTimeoutError) as caught:
            await Account.objects.filter(id=2).update(balance=1)
        assert (caught.value.retryable, caught.value.outcome) == (True, "not_applied")
        with pytest.raises(LockTimeoutError):
            async with atomic():
                await Account.objects.filter(id=2).update(balance=1)
        assert (await Account.objects.get(id=2)).balance == 100
        holder.let_go()
    assert await Account.objects.filter(id=2).update(balance=1) == 1
    await quiet(database)


# -- connections that die


async def test_idle_connections_killed_by_the_server_cost_nothing(opened: Any) -> None:
    database = await opened(accounts=3, max_connections=5)
    for _ in range(scaled(5)):
        await asyncio.gather(*(execute_raw("SELECT pg_sleep(0.02)") for _ in range(5)))
        assert len(databases.sessions("faults")) >= 2
        databases.end_sessions("faults")
        # The news has to have arrived.
        await asyncio.sleep(0.1)
        results = await asyncio.gather(*(Account.objects.get(id=n % 3 + 1) for n in range(20)), return_exceptions=True)
        assert [result for result in results if isinstance(result, BaseException)] == []
    await quiet(database)


async def test_a_connection_that_dies_at_work(opened: Any) -> None:
    database = await opened(accounts=3)
    task = asyncio.create_task(execute_raw("SELECT pg_sleep(60)"))
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
    databases.end_sessions("faults")
    with lasts(0, 1), pytest.raises(ConnectionLostError):
        await task
    with pytest.raises(DatabaseError):
        await blocked
    assert await Entry.objects.count() == 0
    await quiet(database)
    no_transactions()


async def test_cut_in_the_middle_of_an_answer(opened: Any, proxy: Proxy) -> None:
    await (await opened(accounts=3)).disconnect()
    database = await connected(proxy.url)
    try:
        for size in (1, 5, 100, 5_000):
            await execute_raw("SELECT 1 AS warm")
            proxy.cut_after(size)
            with pytest.raises(ConnectionLostError):
                await execute_raw("SELECT repeat('x', 1000) AS x FROM generate_series(1, 1000)")
            proxy.reset()
            assert await asyncio.wait_for(execute_raw("SELECT 1 AS one"), 5) == [{"one": 1}]
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
def private(where: Where) -> Iterator[PostgresServer]:
    """A server of the test's own. It asks a role called ada for her password, and nobody else."""
    with named_in_the_summary():
        # What is committed survives a crash.
        settings = {"synchronous_commit": "on"}
        server = PostgresServer(settings, hba=["host all ada 127.0.0.1/32 scram-sha-256"])
        server.__enter__()
    try:
        yield server
    finally:
        server.__exit__(None, None, None)


@pytest.mark.parametrize("how", ["restart", "crash", "kill"])
async def test_recovery_after_a_restart(private: PostgresServer, how: str) -> None:
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
    await asyncio.to_thread({"restart": private.stop, "crash": private.crash, "kill": private.kill}[how])
    await asyncio.sleep(0.3)
    await asyncio.to_thread(private.start)
    back = time.monotonic()
    while answered < back:
        assert time.monotonic() - back < 2.5, errors[-3:]
        assert not any(task.done() for task in tasks), tasks
        await asyncio.sleep(0.01)
    stop.set()
    await asyncio.gather(*tasks)
    assert errors, "nobody noticed"
    assert all(isinstance(error, ConnectError | ConnectionLostError | OperationalError) for error in errors)
    await quiet(database)
    await database.disconnect()


async def test_a_stopped_server(private: PostgresServer) -> None:
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
    return f"{parts.hostname}:{parts.port or 5432}"


async def test_the_first_host_that_answers(opened: Any, where: Where, proxy: Proxy) -> None:
    await (await opened(accounts=3)).disconnect()
    parts = urlsplit(where.url)
    user = parts.netloc.rpartition("@")[0] or "postgres"
    dead = "127.0.0.1:1"

    def url(*hosts: str, attrs: str = "any") -> str:
        return f"postgres://{user}@{','.join(hosts)}{parts.path}?target_session_attrs={attrs}"

    for hosts in ((dead, address(where.url)), (address(where.url), dead), (address(proxy.url), address(where.url))):
        database = await connected(url(*hosts))
        assert (await Account.objects.get(id=1)).owner == "owner-1"
        await database.disconnect()
    proxy.refuse()
    database = await connected(url(address(proxy.url), address(where.url)))
    assert (await Account.objects.get(id=1)).owner == "owner-1"
    await database.disconnect()
    for attrs in ("read-write", "primary", "prefer-standby"):
        database = await connected(url(dead, address(where.url), attrs=attrs))
        assert (await Account.objects.get(id=1)).owner == "owner-1"
        await database.disconnect()
    for attrs in ("read-only", "standby"):
        with lasts(0, 3), pytest.raises(ConnectError):
            await connected(url(dead, address(where.url), attrs=attrs))
    with lasts(0, 3), pytest.raises(ConnectError):
        await connected(url(dead, "127.0.0.1:2"))


# -- who is let in


async def test_refusals_as_themselves(where: Where) -> None:
    parts = urlsplit(where.url)
    user = parts.netloc.rpartition("@")[0].partition(":")[0] or "postgres"
    here = address(where.url)
    for url, code in (
        (f"postgres://{user}:canary@{here}/oxyde_no_such_database", "3D000"),
        (f"postgres://oxyde_nobody:canary@{here}{parts.path}", "28"),
    ):
        with lasts(0, 2), pytest.raises(ConnectError) as caught:
            await connected(url)
        assert (caught.value.sqlstate or "").startswith(code), caught.value
        assert "canary" not in f"{caught.value!r} {caught.value}"


async def test_a_password_that_is_asked_for(private: PostgresServer) -> None:
    """A function or a coroutine gives the password at every new connection."""
    private.query("CREATE ROLE ada LOGIN SUPERUSER PASSWORD 'p''ä ss'")
    host = address(private.url())
    asked = 0

    def plain() -> str:
        nonlocal asked
        asked += 1
        return "p'ä ss"

    async def awaited() -> str:
        await asyncio.sleep(0)
        return plain()

    for password in (plain, awaited, "p'ä ss"):
        asked = 0
        database = AsyncDatabase(f"postgres://ada@{host}/postgres", password=password, overwrite=True)
        async with database:
            await asyncio.gather(*(execute_raw("SELECT pg_sleep(0.05)") for _ in range(4)))
            assert (await execute_raw("SELECT session_user::text AS me"))[0] == {"me": "ada"}
            assert asked == (0 if isinstance(password, str) else database.stats()["size"])

    async def wrong() -> str:
        return "canary"

    def fails() -> str:
        raise LookupError("the vault is sealed")

    for bad in (wrong, lambda: "canary", fails, lambda: b"canary", "canary", None):
        database = AsyncDatabase(f"postgres://ada@{host}/postgres", password=bad, overwrite=True)  # type: ignore[arg-type]
        with lasts(0, 2), pytest.raises((ConnectError, TypeError, LookupError)) as caught:
            await database.connect()
        assert "canary" not in f"{caught.value!r} {caught.value} {caught.value.__cause__!r}"
