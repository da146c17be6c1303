"""Locks that are not given, crashes and passwords: what PostgreSQL has words of its own for."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from oxyde import AsyncDatabase, atomic, execute_raw
from oxyde.exceptions import ConnectError, LockTimeoutError, OperationalError
from tests.servers.postgres import PostgresServer
from tests.servers.proxy import Proxy
from tests.servers.unavailable import named_in_the_summary

from .harness import HeldSession, Where, lasts, on
from .programs.common import Account, database_at, prepared, quiet

pytestmark = on("postgres")


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


async def test_a_slow_reader_of_a_copy(opened: Any, proxy: Proxy) -> None:
    """What it has not asked for stays with the server, which waits; nothing piles up here."""
    await (await opened()).disconnect()
    database = database_at(proxy.url, ssl_mode="disable")
    async with database, database.connection() as conn:
        pieces = conn.copy_out("COPY (SELECT repeat('x', 999) FROM generate_series(1, 100000)) TO STDOUT")
        size = len(await anext(pieces))
        # Until nothing moves any more.
        seen, before = proxy.stats()["down"], -1
        while seen != before:
            await asyncio.sleep(0.3)
            seen, before = proxy.stats()["down"], seen
        assert seen < 40_000_000
        async for piece in pieces:
            size += len(piece)
    assert size == 100_000_000


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


async def test_a_crash(private: PostgresServer) -> None:
    """One process of the server dies, and it ends all sessions to recover."""
    database = await prepared(private.url(), accounts=3)
    await asyncio.to_thread(private.crash)
    await asyncio.to_thread(private.start)
    async with asyncio.timeout(2.5):
        while True:
            try:
                assert (await Account.objects.get(id=2)).owner == "owner-2"
                break
            except OperationalError:
                await asyncio.sleep(0.01)
    await quiet(database)
    await database.disconnect()


async def test_a_password_that_is_asked_for(private: PostgresServer) -> None:
    """A function or a coroutine gives the password at every new connection."""
    private.query("CREATE ROLE ada LOGIN SUPERUSER PASSWORD 'p''ä ss'")
    parts = urlsplit(private.url())
    host = f"{parts.hostname}:{parts.port}"
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
