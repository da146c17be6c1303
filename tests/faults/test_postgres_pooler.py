"""PgBouncer in transaction mode: every statement may run on another server connection, and each gets its own answer."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Iterator
from typing import Any

import pytest

from oxyde import (
    AsyncDatabase,
    LockTimeoutError,
    NotSupportedError,
    advisory_lock,
    atomic,
    execute_raw,
)
from oxyde.exceptions import QueryTimeoutError
from tests.servers.pgbouncer import PgBouncer
from tests.servers.unavailable import named_in_the_summary

from .figures import figure
from .harness import Where, finish_program, on, scaled, start_program
from .programs.common import Account, Entry, database_at, prepared, quiet

pytestmark = on("postgres")


@pytest.fixture
def bouncer(where: Where) -> Iterator[PgBouncer]:
    with named_in_the_summary():
        made = PgBouncer(where.url, {"default_pool_size": "5"})
        made.__enter__()
    try:
        yield made
    finally:
        made.__exit__(None, None, None)


async def test_every_answer_is_the_statement_s_own(where: Where, bouncer: PgBouncer, seed: int) -> None:
    await (await prepared(where.url, accounts=110)).disconnect()
    through = dataclasses.replace(where, url=bouncer.url)
    each = scaled(2_500)
    running = [start_program("nonces", through, seed=seed + n, statements=each) for n in range(2)]
    for process in running:
        found = (await asyncio.to_thread(finish_program, process, 300.0)).report
        assert found["done"] >= each
        figure("pooled", where, found["done"])
        assert found["stats"]["lost"] == 0


async def test_found_out_by_itself(where: Where, bouncer: PgBouncer) -> None:
    await (await prepared(where.url, accounts=3)).disconnect()
    for settings in ({}, {"pgbouncer": True}, {"pgbouncer": "auto"}):
        database = database_at(bouncer.url, max_connections=8, **settings)  # type: ignore[arg-type]
        async with database:
            for _ in range(3):
                rows = await asyncio.gather(*(Account.objects.get(id=n % 3 + 1) for n in range(30)))
                assert [row.owner for row in rows] == [f"owner-{n % 3 + 1}" for n in range(30)]


async def test_locks_are_a_transaction_s(where: Where, bouncer: PgBouncer) -> None:
    """A session behind a pooler is somebody else's after the next statement: what belongs to one is kept or refused."""
    await (await prepared(where.url, accounts=3)).disconnect()
    through = database_at(bouncer.url, name="through", max_connections=4)
    straight = database_at(where.url, name="straight")

    async def held(using: AsyncDatabase) -> bool:
        try:
            async with advisory_lock("shared work", wait=0, using=using):
                return False
        except LockTimeoutError:
            return True

    async with asyncio.timeout(30), through, straight:
        for wait in (None, 0, 5):
            async with advisory_lock("shared work", using=through, wait=wait):
                assert await held(straight)
                assert await held(through)
                # Whatever else goes through the pooler meanwhile.
                await asyncio.gather(*(execute_raw("SELECT 1 AS one", client=through) for _ in range(3)))
                assert await held(straight)
            assert not await held(straight)
        async with atomic(using=through), advisory_lock("shared work", using=through):
            assert await held(straight)
        assert not await held(straight)
        with pytest.raises(LookupError):
            async with advisory_lock("shared work", using=through):
                raise LookupError
        assert not await held(straight)
        async with through.connection() as conn:
            for sql in (
                "SET work_mem = '77MB'",
                "CREATE TEMP TABLE t (a int)",
                "LISTEN x",
                "SELECT pg_advisory_lock(1)",
            ):
                with pytest.raises(NotSupportedError, match="pooler"):
                    await conn.execute(sql)
            with pytest.raises(NotSupportedError, match="pooler"):
                async with conn.listen("orders"):
                    pass
            assert await conn.fetch("SELECT count(*) AS n FROM faults_account") == [{"n": 3}]
            async with atomic(connection=conn):
                await conn.execute("SET LOCAL work_mem = '77MB'")
                assert await conn.fetch("SHOW work_mem") == [{"work_mem": "77MB"}]
            assert await conn.copy_in("COPY faults_entry (nonce, part) FROM STDIN", b"copied\t1\n") == 1


async def test_limits_are_the_statement_s_and_do_not_stay(where: Where, bouncer: PgBouncer) -> None:
    """No SET that would stay on a server connection for the next client."""
    await (await prepared(where.url, accounts=3)).disconnect()
    limited = database_at(bouncer.url, name="limited", statement_timeout=0.3, lock_timeout=0.3)
    free = database_at(bouncer.url, name="free")
    async with limited, free:
        with pytest.raises(QueryTimeoutError):
            await execute_raw("SELECT pg_sleep(60)", using="limited")
        async with atomic(using="limited") as block:
            await Entry.objects.create(nonce="x", using="limited")
            assert await execute_raw("SHOW lock_timeout", client=block) == [{"lock_timeout": "300ms"}]

        async def look() -> None:
            (row,) = await execute_raw(
                "SELECT current_setting('statement_timeout') AS s, current_setting('lock_timeout') AS l "
                "FROM pg_sleep(0.1)",
                using="free",
            )
            assert row == {"s": "0", "l": "0"}

        # At once: as many as the pooler has server connections.
        await asyncio.gather(*(look() for _ in range(10)))
        await execute_raw("SELECT pg_sleep(0.5)", using="free")


async def test_cancelling(where: Where, bouncer: PgBouncer) -> None:
    await (await prepared(where.url, accounts=3)).disconnect()
    database = database_at(bouncer.url, max_connections=5)
    async with database:

        async def look(n: int) -> Any:
            (row,) = await execute_raw("SELECT $1::text AS nonce", [str(n)])
            assert row == {"nonce": str(n)}

        for wave in range(scaled(10)):
            tasks = [asyncio.create_task(execute_raw("SELECT pg_sleep(60)")) for _ in range(3)]
            await asyncio.sleep(0.02)
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            assert all(task.cancelled() for task in tasks)
            async with asyncio.timeout(5):
                await asyncio.gather(*(look(wave * 10 + n) for n in range(10)))
        # Nobody can know whom a request to cancel hits that comes late: no such connection is used again.
        assert (await quiet(database, 3))["lost"] >= scaled(10)
