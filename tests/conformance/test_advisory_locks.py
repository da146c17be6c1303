"""`advisory_lock()`: one at a time, told when not in time, and gone with its block."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from oxyde import (
    AsyncConnection,
    AsyncDatabase,
    ConnectionLostError,
    LockTimeoutError,
    NotSupportedError,
    OperationalError,
    PoolSettings,
    TransactionTimeoutError,
    advisory_lock,
    atomic,
    execute_raw,
)

from .lanes import LANES, Lane, sqlite

servers = pytest.mark.parametrize(
    "lane", [lane for lane in LANES if lane.family != "sqlite"], indirect=True, ids=lambda lane: lane.name
)


@asynccontextmanager
async def another(lane: Lane, tmp_path: Path, **settings: Any) -> AsyncIterator[AsyncDatabase]:
    async with AsyncDatabase(
        lane.url(tmp_path, "default"), name="another", settings=PoolSettings(**settings)
    ) as database:
        yield database


async def held(key: int | str, using: AsyncDatabase | str = "default", **options: Any) -> bool:
    """Whether somebody else has it."""
    try:
        async with advisory_lock(key, wait=0, using=using, **options):
            return False
    except LockTimeoutError:
        return True


KEYS = [" blanks ", "A", 7, -(2**63), 2**63 - 1, "reports", "x" * 65, "ü", "'; DROP TABLE x; --"]


@servers
@pytest.mark.parametrize("key", KEYS, ids=str)
async def test_one_at_a_time(lane: Lane, database: AsyncDatabase, key: int | str) -> None:
    async with advisory_lock(key):
        assert await held(key)
        assert not await held("another key")
        with pytest.raises(LockTimeoutError, match=r"within 0\.2 s") as info:
            async with advisory_lock(key, wait=0.2):
                raise AssertionError
        assert info.value.retryable
    assert not await held(key)


@servers
async def test_who_waits_gets_it(lane: Lane, database: AsyncDatabase) -> None:
    order = []

    async def turn(number: int) -> None:
        async with advisory_lock("turns", wait=None if number % 2 else 20):
            order.append(number)
            await asyncio.sleep(0.01)
            order.append(number)

    async with asyncio.timeout(20):
        await asyncio.gather(*(turn(number) for number in range(6)))
    assert order[::2] == order[1::2]
    assert sorted(order[::2]) == list(range(6))


@servers
async def test_an_exception_ends_it(lane: Lane, database: AsyncDatabase) -> None:
    with pytest.raises(LookupError):
        async with advisory_lock(1):
            raise LookupError
    assert not await held(1)


@servers
async def test_a_session_wide_limit_for_locks_is_another_one(
    lane: Lane, database: AsyncDatabase, tmp_path: Path
) -> None:
    async with another(lane, tmp_path, lock_timeout=0.1, statement_timeout=0.1, acquire_timeout=5) as hasty:
        async with advisory_lock("slow"):
            waiting = asyncio.create_task(held_once("slow", hasty))
            joined = asyncio.create_task(held_inside("slow", hasty))
            await asyncio.sleep(0.5)
            assert not waiting.done()
            assert not joined.done()
        await waiting
        await joined


async def held_once(key: str, using: AsyncDatabase) -> None:
    async with advisory_lock(key, using=using):
        pass


async def held_inside(key: str, using: AsyncDatabase) -> None:
    limit = {"postgres": "SHOW lock_timeout"}.get(using.backend, "SELECT 1 AS one")
    async with atomic(using=using):
        before = await execute_raw(limit, client=using)
        async with advisory_lock(key, using=using):
            assert await execute_raw(limit, client=using) == before


@servers
async def test_inside_a_transaction(lane: Lane, database: AsyncDatabase, tmp_path: Path) -> None:
    async with another(lane, tmp_path, max_connections=1) as other:
        async with atomic():
            async with advisory_lock(5):
                assert await held(5, other)
            # Until what was done under it is committed.
            assert await held(5, other)
            async with advisory_lock(5):
                pass
        assert not await held(5, other)
        async with advisory_lock(5, using=other), atomic():
            for wait in (0, 0.1):
                with pytest.raises(LockTimeoutError):
                    async with advisory_lock(5, wait=wait):
                        raise AssertionError
            # The transaction has not suffered.
            assert await execute_raw("SELECT 1 AS one") == [{"one": 1}]
        with pytest.raises(LookupError):
            async with atomic(using=other), advisory_lock(5, using=other):
                raise LookupError
        assert not await held(5)
        assert not await held(5, other)


@servers
async def test_inside_a_transaction_on_a_connection(lane: Lane, database: AsyncDatabase) -> None:
    async with database.connection() as conn:
        async with atomic(connection=conn):
            async with advisory_lock(5):
                assert await beside(5)
            # Until what was done under it is committed.
            async with advisory_lock(5), advisory_lock("it's \\ another"):
                pass
            async with atomic(), advisory_lock(6):
                pass
            for key in (5, 6, "it's \\ another"):
                assert await beside(key)
        for key in (5, 6, "it's \\ another"):
            assert not await held(key)
        # The connection goes on, as the same session.
        assert await conn.fetch("SELECT 1 AS one") == [{"one": 1}]


async def rolled_back(conn: AsyncConnection) -> None:
    with pytest.raises(LookupError):
        async with atomic(connection=conn), advisory_lock(5):
            raise LookupError


async def rolled_back_by_wish(conn: AsyncConnection) -> None:
    async with atomic(connection=conn) as tx, advisory_lock(5):
        tx.set_rollback()


async def cancelled(conn: AsyncConnection) -> None:
    async def hold() -> None:
        async with atomic(connection=conn), advisory_lock(5):
            locked.set()
            await asyncio.sleep(60)

    locked = asyncio.Event()
    task = asyncio.create_task(hold())
    await locked.wait()
    task.cancel()
    await asyncio.wait([task])


async def out_of_time(conn: AsyncConnection) -> None:
    with pytest.raises(TransactionTimeoutError):
        async with atomic(connection=conn, timeout=0.1), advisory_lock(5):
            await asyncio.sleep(0.3)
            # It was over before its block was.
            assert not await beside(5)


async def too_late(conn: AsyncConnection) -> None:
    async with advisory_lock(5):
        for wait in (0, 0.1):
            with pytest.raises(LockTimeoutError):
                async with atomic(connection=conn), advisory_lock(5, wait=wait):
                    raise AssertionError
        assert await beside(5)


async def cancelled_while_waiting(conn: AsyncConnection) -> None:
    async def hold() -> None:
        async with atomic(connection=conn), advisory_lock(5):
            raise AssertionError

    async with advisory_lock(5):
        task = asyncio.create_task(hold())
        await asyncio.sleep(0.1)
        task.cancel()
        await asyncio.wait([task])


async def by_hand(conn: AsyncConnection) -> None:
    """A lock that the program has taken by itself is its own to release."""
    if conn.database.backend == "postgres":
        take, free = "SELECT pg_advisory_lock(5)::text AS locked", "SELECT pg_advisory_unlock(5) AS released"
    else:
        take, free = "SELECT GET_LOCK('oxyde_5', 1) AS locked", "SELECT RELEASE_LOCK('oxyde_5') AS released"
    await conn.fetch(take)
    async with atomic(connection=conn), advisory_lock(5):
        pass
    assert await beside(5)
    assert (await conn.fetch(free))[0]["released"]


@servers
@pytest.mark.parametrize(
    "end", [rolled_back, rolled_back_by_wish, cancelled, out_of_time, too_late, cancelled_while_waiting, by_hand]
)
async def test_it_ends_with_its_transaction_on_a_connection(lane: Lane, database: AsyncDatabase, end: Any) -> None:
    """However that ends, and the connection is kept."""
    session = {"postgres": "SELECT pg_backend_pid() AS id"}.get(lane.family, "SELECT CONNECTION_ID() AS id")
    async with asyncio.timeout(20), database.connection() as conn:
        before = await conn.fetch(session)
        await end(conn)
        assert await conn.fetch(session) == before
        assert not await held(5)
        async with atomic(connection=conn), advisory_lock(5, wait=0):
            assert await beside(5)
        assert not await held(5)


async def beside(key: int | str) -> bool:
    """As ``held``, from a context that is in no transaction."""
    from contextvars import Context

    return await asyncio.create_task(held(key), context=Context())


def lane_can(lane: Lane, family: str) -> Any:
    from contextlib import nullcontext

    return nullcontext() if lane.family == family else pytest.raises(NotSupportedError)


@servers
async def test_shared(lane: Lane, database: AsyncDatabase) -> None:
    with lane_can(lane, "postgres"):
        async with advisory_lock("s", shared=True):
            assert not await held("s", shared=True)
            assert await held("s")
            with pytest.raises(LockTimeoutError):
                async with advisory_lock("s", wait=0.1):
                    raise AssertionError
        async with atomic(), advisory_lock("s", shared=True):
            assert await beside_shared()
        async with advisory_lock("s"):
            assert await held("s", shared=True)


async def beside_shared() -> bool:
    from contextvars import Context

    async def look() -> bool:
        return await held("s") and not await held("s", shared=True)

    return await asyncio.create_task(look(), context=Context())


@servers
async def test_what_a_text_stands_for(lane: Lane, database: AsyncDatabase) -> None:
    """Other programs can take the same locks."""
    digest = hashlib.sha256("ü".encode())
    async with advisory_lock("ü"), advisory_lock(12), advisory_lock("a plain one"), advisory_lock("Odd"):
        if lane.family == "postgres":
            rows = await execute_raw(
                "SELECT (classid::bigint << 32) | objid::bigint AS key FROM pg_locks WHERE locktype = 'advisory' "
                "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
            )
            keys = {row["key"] for row in rows}
            number = int.from_bytes(digest.digest()[:8], "big", signed=True)
            assert {number, 12} <= keys
        else:
            odd = hashlib.sha256(b"Odd").hexdigest()[:58]
            for name in (f"oxyde_{digest.hexdigest()[:58]}", "oxyde_12", "a plain one", f"oxyde_{odd}"):
                assert (await execute_raw("SELECT IS_FREE_LOCK(?) AS free", [name]))[0]["free"] == 0
            assert (await execute_raw("SELECT IS_FREE_LOCK('oxyde_13') AS free"))[0]["free"] == 1
    async with advisory_lock("Odd"):
        assert await held("Odd")
        assert not await held("odd")


@servers
@pytest.mark.parametrize("late", [0.0, 0.05])
async def test_cancelled_while_waiting(lane: Lane, database: AsyncDatabase, tmp_path: Path, late: float) -> None:
    async with another(lane, tmp_path, max_connections=1) as other:
        async with advisory_lock("c"):
            waiting = asyncio.create_task(held_once("c", other))
            await asyncio.sleep(0.1)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            await asyncio.sleep(late)
        # Neither it nor its connection is left.
        assert not await held("c")
        async with asyncio.timeout(5):
            assert await execute_raw("SELECT 1 AS one", client=other) == [{"one": 1}]


@servers
async def test_nothing_reaches_the_next_borrower(lane: Lane, database: AsyncDatabase, tmp_path: Path) -> None:
    async with another(lane, tmp_path, max_connections=1) as other:
        async with advisory_lock(1, using=other):
            pass
        await execute_raw("SELECT 1 AS one", client=other)
        assert not await held(1)
        take = {"postgres": "SELECT pg_advisory_lock(1)::text", "mysql": "SELECT GET_LOCK('oxyde_1', 1) AS locked"}
        async with other.connection() as conn:
            await conn.fetch(take[lane.family])
            assert await held(1)
        assert not await held(1)


@servers
async def test_lost_with_its_connection(lane: Lane, database: AsyncDatabase, tmp_path: Path) -> None:
    async with another(lane, tmp_path) as other:
        with pytest.raises(ConnectionLostError, match="somebody else may have held the lock") as info:
            async with advisory_lock("lost", using=other):
                await kill_others(lane, database)
                assert not await held("lost")
        assert info.value.outcome == "unknown"
        assert not info.value.retryable
        # The block's own exception is the one that counts.
        with pytest.raises(LookupError):
            async with advisory_lock("lost", using=other):
                await kill_others(lane, database)
                raise LookupError
        assert not await held("lost", other)


async def kill_others(lane: Lane, database: AsyncDatabase) -> None:
    async with database.connection() as conn:
        if lane.family == "postgres":
            await conn.fetch(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() "
                "AND pid <> pg_backend_pid() AND application_name <> 'oxyde-tests-observer'"
            )
        else:
            rows = await conn.fetch(
                "SELECT id FROM information_schema.processlist WHERE db = DATABASE() AND id <> CONNECTION_ID() "
                "AND id IN (SELECT OWNER_THREAD_ID FROM performance_schema.metadata_locks WHERE 1 = 0) "
                "OR id = IS_USED_LOCK('lost')"
            )
            for row in rows:
                await conn.execute(f"KILL {row['id']}")
    await asyncio.sleep(0.1)


@servers
async def test_wrong_use(lane: Lane, database: AsyncDatabase) -> None:
    lock = advisory_lock(1)
    with pytest.raises(OperationalError, match="not held"):
        await lock.__aexit__(None, None, None)
    async with lock:
        with pytest.raises(OperationalError, match="held already"):
            await lock.__aenter__()
    for key, error in ((True, TypeError), (1.5, TypeError), ("", ValueError), (2**63, ValueError)):
        with pytest.raises(error):
            advisory_lock(key)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="wait"):
        advisory_lock(1, wait=-1)
    with pytest.raises(KeyError):
        async with advisory_lock(1, using="unknown"):
            pass


@sqlite
async def test_sqlite_has_none(lane: Lane, database: AsyncDatabase) -> None:
    with pytest.raises(NotSupportedError, match="sqlite"):
        async with advisory_lock(1):
            pass
