"""Kept connections and locks under faults: cancelled at every suspension, thrown away, killed.

Each database has one connection, so that what a cancelled block leaves in its session is what the next one finds.
"""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import pytest

from oxyde import AsyncDatabase, ConnectionLostError, OperationalError, advisory_lock, atomic, get_connection
from oxyde.db import get_active_transaction

from .harness import SERVERS, Where, no_transactions, on
from .programs.common import MYSQL, Account, Entry, ask, quiet
from .suspensions import Operations, cancelled_at, thrown_away

OPERATIONS = Operations()

PICKED = {
    "sqlite": "CREATE TEMP TABLE picked (id INTEGER)",
    "postgres": "CREATE TEMP TABLE picked (id bigint)",
    "mysql": "CREATE TEMPORARY TABLE picked (id bigint)",
    "mariadb": "CREATE TEMPORARY TABLE picked (id bigint)",
}
CHANGES = {
    "sqlite": ("PRAGMA recursive_triggers = ON",),
    "postgres": (
        "SET work_mem = '77MB'",
        "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE",
        "LISTEN faults",
        "SELECT pg_advisory_lock(77)",
    ),
    "mysql": ("SET SESSION group_concat_max_len = 7777", "SELECT GET_LOCK('faults', 1)", "SET @left = 1"),
}
CHANGES["mariadb"] = CHANGES["mysql"]
STATE = {
    "sqlite": "SELECT (SELECT recursive_triggers FROM pragma_recursive_triggers) AS setting, "
    "(SELECT count(*) FROM temp.sqlite_master) AS tables",
    "postgres": "SELECT current_setting('work_mem') AS setting, current_setting('default_transaction_isolation') AS "
    "isolation, (SELECT count(*) FROM pg_listening_channels()) AS channels, (SELECT count(*) FROM pg_locks WHERE "
    "locktype = 'advisory' AND pid = pg_backend_pid()) AS locks, (SELECT count(*) FROM pg_class WHERE relpersistence = "
    "'t') AS tables",
    "mysql": "SELECT @@group_concat_max_len AS setting, IS_FREE_LOCK('faults') AS locks, @left IS NULL AS variable",
}
STATE["mariadb"] = STATE["mysql"]
LONG = {
    "sqlite": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) AS top FROM n",
    "postgres": "SELECT pg_sleep(100)::text AS top",
    "mysql": "SELECT SLEEP(100) AS top",
    "mariadb": "SELECT SLEEP(100) AS top",
}
BEGIN = {"sqlite": "BEGIN IMMEDIATE", "postgres": "BEGIN", "mysql": "START TRANSACTION", "mariadb": "START TRANSACTION"}


def entry(nonce: str) -> str:
    return f"INSERT INTO faults_entry (nonce, part) VALUES ('{nonce}', 0)"


@OPERATIONS.leaves(rows=1)
async def statements(nonce: str) -> None:
    database = get_connection()
    async with database.connection() as conn:
        await conn.execute(PICKED[database.backend])
        for change in CHANGES[database.backend]:
            await conn.execute(change)
        await conn.execute(entry(nonce))
        assert await conn.fetch("SELECT count(*) AS n FROM picked") == [{"n": 0}]


@OPERATIONS.leaves(rows=0)
async def begun_by_hand(nonce: str) -> None:
    database = get_connection()
    async with database.connection() as conn:
        await conn.execute(BEGIN[database.backend])
        await conn.execute(entry(nonce))


@OPERATIONS.leaves(rows=2)
async def transactions(nonce: str) -> None:
    database = get_connection()
    async with database.connection() as conn:
        await conn.execute(PICKED[database.backend])
        async with atomic(connection=conn):
            await conn.execute(entry(nonce))
            await conn.execute("INSERT INTO picked VALUES (1)")
            async with atomic():
                await Entry.objects.create(nonce=nonce, part=1)
        assert len(await conn.fetch("SELECT id FROM picked")) == 1


STREAM = "SELECT id FROM faults_account ORDER BY id"


@OPERATIONS.leaves(rows=0)
async def stream(nonce: str) -> None:
    async with get_connection().connection() as conn:
        assert [row["id"] async for row in conn.iterate(STREAM, chunk_size=2)] == [1, 2, 3, 4, 5]
        assert await conn.fetch("SELECT 1 AS one") == [{"one": 1}]


@OPERATIONS.leaves(rows=0)
async def stream_left(nonce: str) -> None:
    async with get_connection().connection() as conn:
        async for row in conn.iterate(STREAM, chunk_size=2):
            if row["id"] == 3:
                break
        assert await conn.fetch("SELECT 1 AS one") == [{"one": 1}]


@OPERATIONS.leaves(rows=5)
async def stream_in_a_transaction(nonce: str) -> None:
    async with get_connection().connection() as conn, atomic(connection=conn):
        async for row in conn.iterate(STREAM, chunk_size=2):
            await Entry.objects.create(nonce=nonce, part=row["id"])


@OPERATIONS.leaves(rows=0)
async def lock(nonce: str) -> None:
    async with advisory_lock(nonce):
        await asyncio.sleep(0)


@OPERATIONS.leaves(rows=0)
async def lock_in_time(nonce: str) -> None:
    async with advisory_lock(nonce, wait=5):
        await asyncio.sleep(0)


@OPERATIONS.leaves(rows=1)
async def lock_in_a_transaction(nonce: str) -> None:
    async with atomic(), advisory_lock(nonce, wait=5):
        await Entry.objects.create(nonce=nonce)


@OPERATIONS.leaves(rows=1)
async def lock_in_a_kept_transaction(nonce: str) -> None:
    async with get_connection().connection() as conn:
        async with atomic(connection=conn), advisory_lock(nonce, wait=5):
            await Entry.objects.create(nonce=nonce)
        assert await conn.fetch("SELECT 1 AS one") == [{"one": 1}]


@OPERATIONS.leaves(rows=0)
async def listen(nonce: str) -> None:
    async with get_connection().connection() as conn, conn.listen(nonce) as notifications:
        await conn.notify(nonce, "heard")
        assert (await anext(notifications)).payload == "heard"


class Pieces:
    """No generator: Python cannot close one that is thrown away while it waits."""

    def __init__(self, *pieces: bytes) -> None:
        self.pieces = iter(pieces)

    def __aiter__(self) -> Pieces:
        return self

    async def __anext__(self) -> bytes:
        await asyncio.sleep(0)
        for piece in self.pieces:
            return piece
        raise StopAsyncIteration


@OPERATIONS.leaves(rows=1)
async def copy(nonce: str) -> None:
    async with get_connection().connection() as conn:
        await conn.copy_in("COPY faults_entry (nonce, part) FROM STDIN", Pieces(f"{nonce}\t".encode(), b"0\n"))
        pieces = [piece async for piece in conn.copy_out("COPY (SELECT generate_series(1, 9)) TO STDOUT")]
        assert len(b"".join(pieces)) == 18


ONLY = {
    **dict.fromkeys(("lock", "lock_in_time", "lock_in_a_transaction", "lock_in_a_kept_transaction"), tuple(SERVERS)),
    **dict.fromkeys(("listen", "copy"), ("postgres",)),
}


async def look_whole(where: Where, database: AsyncDatabase, nonce: str, before: object) -> int:
    """Check that nothing is left of it, in the session and elsewhere, and return how many rows it left."""
    await quiet(database)
    no_transactions(where.kind)
    assert get_active_transaction() is None
    async with asyncio.timeout(5):
        async with database.connection() as conn:
            assert await conn.fetch(STATE[database.backend]) == before
            if where.kind != "memory":
                with pytest.raises(OperationalError.__mro__[1]):
                    await conn.fetch("SELECT id FROM picked")
        if database.backend == "postgres":
            locks = await ask(
                "SELECT count(*) AS n FROM pg_locks WHERE locktype = 'advisory' AND database = "
                "(SELECT oid FROM pg_database WHERE datname = current_database())"
            )
            assert locks == [{"n": 0}]
        elif database.backend in MYSQL:
            assert await ask("SELECT IS_FREE_LOCK(?) AS free", nonce) == [{"free": 1}]
        assert (await Account.objects.get(id=3)).owner == "owner-3"
        return await Entry.objects.filter(nonce=nonce).count()


@pytest.mark.parametrize("late", [False, True], ids=["early", "late"])
@on("file", "memory", *SERVERS)
@pytest.mark.parametrize("name", OPERATIONS)
async def test_every_suspension(opened: Any, where: Where, name: str, late: bool) -> None:
    run, rows = OPERATIONS[name]
    if where.kind not in ONLY.get(name, (where.kind,)):
        pytest.skip("not supported there, which other tests show")
    database = await opened(accounts=5, max_connections=1)
    async with database.connection() as conn:
        before = await conn.fetch(STATE[database.backend])
    await run(f"{name} warm")
    for k in itertools.count(1):
        nonce = f"{name} {k}"
        suspensions, _, error = await cancelled_at(run(nonce), k, late=late)
        left = await look_whole(where, database, nonce, before)
        if suspensions < k:
            assert error is None
            assert left == rows
            break
        assert isinstance(error, asyncio.CancelledError), (k, error)
        assert left in (0, rows), (k, left)
    assert k > 2


async def test_thrown_away(opened: Any, where: Where) -> None:
    """A coroutine that is closed while its operation runs: nobody waits, and the engine tidies up."""
    database = await opened(accounts=5, max_connections=1)
    async with database.connection() as conn:
        before = await conn.fetch(STATE[database.backend])
    for name, (run, rows) in OPERATIONS.items():
        if where.kind not in ONLY.get(name, (where.kind,)):
            continue
        for k in range(1, 30):
            if not await thrown_away(run(nonce := f"{name} {k}"), k):
                break
            assert await look_whole(where, database, nonce, before) in (0, rows)
        assert k > 1


async def test_stopped_statements_leave_the_session_whole(opened: Any, where: Where) -> None:
    """Cancelling a statement cancels no more than that: the session and what was set in it stay."""
    database = await opened(accounts=5, max_connections=1)
    async with database.connection() as conn:
        await conn.execute(PICKED[database.backend])
        await conn.execute("INSERT INTO picked VALUES (7)")
        for wait in (0.0, 0.01, 0.1):
            task = asyncio.create_task(conn.fetch(LONG[database.backend]))
            behind = asyncio.create_task(conn.fetch("SELECT id FROM picked"))
            await asyncio.sleep(wait)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await behind == [{"id": 7}]
        task = asyncio.create_task(_long_transaction(conn))
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await conn.fetch("SELECT id FROM picked") == [{"id": 7}]
    await quiet(database)


async def _long_transaction(conn: Any) -> None:
    async with atomic(connection=conn):
        await conn.execute("INSERT INTO picked VALUES (8)")
        await conn.fetch(LONG[conn.database.backend])


@on(*SERVERS)
@pytest.mark.parametrize("inside", [False, True], ids=["alone", "transaction"])
async def test_killed(opened: Any, where: Where, inside: bool) -> None:
    """A session that the server ends is not replaced by another one in the middle of its block."""
    database = await opened(accounts=5, max_connections=1)
    sql = {"postgres": "SELECT pg_backend_pid() AS id"}.get(where.kind, "SELECT CONNECTION_ID() AS id")
    async with database.connection() as conn:
        await conn.execute(PICKED[database.backend])
        if inside:
            with pytest.raises(ConnectionLostError.__mro__[2]):
                async with atomic(connection=conn):
                    await Entry.objects.create(nonce="killed")
                    SERVERS[where.kind].end_sessions("faults")
                    await Entry.objects.create(nonce="killed")
        else:
            task = asyncio.create_task(conn.fetch(LONG[database.backend]))
            behind = asyncio.create_task(conn.fetch(sql))
            await asyncio.sleep(0.1)
            SERVERS[where.kind].end_sessions("faults")
            for lost in (task, behind):
                with pytest.raises(ConnectionLostError):
                    await lost
        with pytest.raises(ConnectionLostError):
            await conn.fetch(sql)
        with pytest.raises(ConnectionLostError):
            async with atomic(connection=conn):
                pass
        assert not conn.active
        # The pool has a new one.
        async with asyncio.timeout(5):
            assert (await Account.objects.get(id=3)).owner == "owner-3"
    assert await Entry.objects.filter(nonce="killed").count() == 0
    async with database.connection() as conn:
        assert await conn.fetch(sql)


async def test_a_loop_that_ends_first(where: Where) -> None:
    """A connection that was never closed goes with its loop."""
    from .harness import run_program

    report = run_program("keep", where).report
    assert report == {"value": 1, "in_use": 0}
