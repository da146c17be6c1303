"""COPY and notifications on a pinned connection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from oxyde import (
    AsyncDatabase,
    ConnectionLostError,
    DatabaseError,
    DataError,
    Field,
    Model,
    NotSupportedError,
    OperationalError,
    PoolSettings,
    ProgrammingError,
    TransactionError,
    atomic,
    execute_raw,
)

from .conftest import Tables
from .lanes import LANES, Lane, postgres

others = pytest.mark.parametrize(
    "lane", [lane for lane in LANES if lane.family != "postgres"], indirect=True, ids=lambda lane: lane.name
)


class Row(Model):
    id: int | None = Field(default=None, db_pk=True)
    text: str | None = None

    class Meta:
        is_table = True
        table_name = "copied_row"


IN = "COPY copied_row (id, text) FROM STDIN (FORMAT csv)"
OUT = "COPY (SELECT id, text FROM copied_row ORDER BY id) TO STDOUT (FORMAT csv)"


async def copied(conn: Any, sql: str = OUT) -> bytes:
    return b"".join([piece async for piece in conn.copy_out(sql)])


@postgres
async def test_copy_in_and_out(lane: Lane, database: AsyncDatabase, tables: Tables) -> None:
    await tables(Row)

    async def pieces() -> AsyncIterator[bytes]:
        for piece in (b"3,thr", b"ee\n4,", b"\n"):
            await asyncio.sleep(0)
            yield piece

    async with database.connection() as conn:
        assert await conn.copy_in(IN, b"1,ada\n2,gr\xc3\xa4ce\n") == 2
        assert await conn.copy_in(IN, pieces()) == 2
        assert await conn.copy_in(IN, [b"5,five\n", bytearray(b"6,six\n")]) == 2
        assert await conn.copy_in(IN, b"") == 0
        assert await copied(conn) == "1,ada\n2,gräce\n3,three\n4,\n5,five\n6,six\n".encode()
        assert await copied(conn, "COPY (SELECT 1 WHERE false) TO STDOUT") == b""
    assert await Row.objects.count() == 6


@postgres
async def test_copy_that_fails(lane: Lane, database: AsyncDatabase, tables: Tables) -> None:
    await tables(Row)

    async def failing() -> AsyncIterator[bytes]:
        yield b"1,ada\n"
        raise LookupError

    async with database.connection() as conn:
        with pytest.raises(DataError):
            await conn.copy_in(IN, b"1,ada\nx,y\n")
        with pytest.raises(LookupError):
            await conn.copy_in(IN, failing())
        with pytest.raises(ProgrammingError):
            await conn.copy_in("COPY no_table FROM STDIN", b"")
        with pytest.raises(ProgrammingError):
            await copied(conn, "COPY no_table TO STDOUT")
        with pytest.raises(DatabaseError):
            await conn.copy_in(OUT, b"")
        with pytest.raises(DatabaseError):
            await copied(conn, IN)
        with pytest.raises(DatabaseError):
            await conn.execute(IN)
        with pytest.raises(TypeError, match="bytes, not str"):
            await conn.copy_in(IN, "1,ada\n")  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="bytes, not str"):
            await conn.copy_in(IN, ["1,ada\n"])  # type: ignore[list-item]
        assert await conn.fetch("SELECT count(*) AS n FROM copied_row") == [{"n": 0}]


@postgres
async def test_copy_in_a_transaction(lane: Lane, database: AsyncDatabase, tables: Tables) -> None:
    await tables(Row)
    async with database.connection() as conn:
        async with atomic(connection=conn) as tx:
            await conn.copy_in(IN, b"1,ada\n")
            assert await Row.objects.count() == 1
            assert await copied(conn) == b"1,ada\n"
            tx.set_rollback()
        assert await copied(conn) == b""


@postgres
@pytest.mark.parametrize("inside", [False, True], ids=["alone", "transaction"])
async def test_a_copy_left_early_is_stopped(lane: Lane, database: AsyncDatabase, tables: Tables, inside: bool) -> None:
    endless = "COPY (SELECT repeat('x', 1000), generate_series(1, 2000000000)) TO STDOUT"
    async with asyncio.timeout(10), database.connection() as conn:

        async def leave() -> None:
            read = 0
            async for piece in conn.copy_out(endless):
                read += len(piece)
                if read > 10_000_000:
                    break

        if inside:
            try:
                async with atomic(connection=conn):
                    await leave()
            except DatabaseError:
                pass
        else:
            await leave()
        assert await conn.fetch("SELECT 1 AS one") == [{"one": 1}]
        task = asyncio.create_task(copied(conn, endless))
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await conn.fetch("SELECT 1 AS one") == [{"one": 1}]


@postgres
async def test_a_slow_reader_slows_down_the_server(lane: Lane, database: AsyncDatabase) -> None:
    """What is sent and not taken waits at the server, not in memory."""
    async with database.connection() as conn, database.connection() as observer:
        pid = (await conn.fetch("SELECT pg_backend_pid() AS pid"))[0]["pid"]
        copying = conn.copy_out("COPY (SELECT repeat('x', 1000) FROM generate_series(1, 100000)) TO STDOUT")
        first = await anext(copying)
        async with asyncio.timeout(10):
            while not await observer.fetch(
                "SELECT 1 FROM pg_stat_activity WHERE pid = $1 AND wait_event = 'ClientWrite'", [pid]
            ):
                await asyncio.sleep(0.01)
        # Still after it had time to send everything: 100 MB of loopback take less.
        await asyncio.sleep(0.5)
        assert await observer.fetch("SELECT wait_event FROM pg_stat_activity WHERE pid = $1", [pid]) == [
            {"wait_event": "ClientWrite"}
        ]
        rest = [piece async for piece in copying]
        assert len(first) + sum(map(len, rest)) == 100_000 * 1001
        assert max(map(len, rest)) < 8 << 20


@postgres
async def test_notifications(lane: Lane, database: AsyncDatabase) -> None:
    async with asyncio.timeout(10), database.connection() as conn, database.connection() as sender:
        async with conn.listen("orders", 'odd " name') as notifications:
            await sender.notify("orders", "1")
            await sender.notify('odd " name')
            await sender.notify("elsewhere", "x")
            await conn.notify("orders", "own")
            heard = [await anext(notifications) for _ in range(3)]
            assert [(one.channel, one.payload) for one in heard] == [
                ("orders", "1"),
                ('odd " name', ""),
                ("orders", "own"),
            ]
            assert heard[0].pid != heard[2].pid
            # Other statements run beside it, and whoever waits is told at once.
            waiting = asyncio.ensure_future(anext(notifications))
            await asyncio.sleep(0.05)
            assert await conn.fetch("SELECT 1 AS one") == [{"one": 1}]
            async with atomic(connection=sender):
                await sender.notify("orders", "committed")
                await asyncio.sleep(0.05)
                assert not waiting.done()
            assert (await waiting).payload == "committed"
            await sender.execute("SELECT pg_notify('orders', n::text) FROM generate_series(0, 4999) n")
            assert [(await anext(notifications)).payload for _ in range(5_000)] == [str(n) for n in range(5_000)]
        # Nothing is heard after the end, and a new block begins anew, with its own channels only.
        await conn.execute("LISTEN elsewhere")
        await sender.notify("elsewhere", "x")
        await asyncio.sleep(0.05)
        await sender.notify("orders", "late")
        with pytest.raises(StopAsyncIteration):
            await anext(notifications)
        async with conn.listen("orders") as again:
            await sender.notify("elsewhere", "y")
            await sender.notify("orders", "new")
            assert (await anext(again)).payload == "new"


@postgres
async def test_the_end_of_a_listener(lane: Lane, database: AsyncDatabase) -> None:
    async with asyncio.timeout(10), database.connection() as conn:
        async with conn.listen("orders") as notifications:
            loop = asyncio.create_task(_all(notifications))
            await asyncio.sleep(0.05)
            with pytest.raises(OperationalError, match="listens already"):
                async with conn.listen("others"):
                    pass
        # The loop of another task ends by itself.
        assert await loop == []
        async with conn.listen("orders") as notifications:
            loop = asyncio.create_task(_all(notifications))
            await asyncio.sleep(0.05)
            loop.cancel()
            with pytest.raises(asyncio.CancelledError):
                await loop
            await conn.notify("orders", "kept")
            assert (await anext(notifications)).payload == "kept"
    async with asyncio.timeout(10):
        async with database.connection() as conn:
            notifications = await conn.listen("orders").__aenter__()
            loop = asyncio.create_task(_all(notifications))
            await asyncio.sleep(0.05)
        with pytest.raises(OperationalError, match="given back"):
            await loop


async def _all(notifications: Any) -> list[str]:
    return [notification.payload async for notification in notifications]


@postgres
async def test_a_listener_whose_connection_is_lost(lane: Lane, database: AsyncDatabase) -> None:
    async with asyncio.timeout(10), database.connection() as conn, database.connection() as other:
        pid = (await conn.fetch("SELECT pg_backend_pid() AS pid"))[0]["pid"]
        with pytest.raises(ConnectionLostError):
            async with conn.listen("orders") as notifications:
                await other.notify("orders", "before")
                await asyncio.sleep(0.05)
                await other.fetch("SELECT pg_terminate_backend($1)", [pid])
                heard = []
                async for notification in notifications:
                    heard.append(notification.payload)
        assert heard == ["before"]
        with pytest.raises(ConnectionLostError):
            await conn.fetch("SELECT 1 AS one")
        assert not conn.active


@postgres
async def test_listening_never_reaches_the_next_borrower(lane: Lane, database: AsyncDatabase, tmp_path: Path) -> None:
    settings = PoolSettings(max_connections=1)
    async with AsyncDatabase(lane.url(tmp_path, "default"), name="one", settings=settings) as one:
        async with one.connection() as conn, conn.listen("orders"):
            pass
        async with one.connection() as conn:
            await conn.execute("LISTEN orders")
            await database_notify(database)
            assert await conn.fetch("SELECT 1 AS one") == [{"one": 1}]
        for _ in range(3):
            await database_notify(database)
            await asyncio.sleep(0.01)
            assert await execute_raw("SELECT pg_listening_channels() AS c", client=one) == []
        async with one.connection() as conn, conn.listen("others") as notifications:
            await database_notify(database)
            await conn.notify("others", "mine")
            assert (await anext(notifications)).payload == "mine"
        assert one.stats()["lost"] == 0


async def database_notify(database: AsyncDatabase) -> None:
    await execute_raw("SELECT pg_notify('orders', 'x')", client=database)


@postgres
async def test_wrong_use(lane: Lane, database: AsyncDatabase) -> None:
    async with database.connection() as conn:
        with pytest.raises(TypeError, match="name of a channel"):
            conn.listen()
        for name in ("", "x" * 64, "a\0b"):
            with pytest.raises(ValueError, match="no name of a channel"):
                conn.listen(name)
        with pytest.raises(TransactionError, match="inside a transaction"):
            async with atomic(connection=conn), conn.listen("orders"):
                pass


@others
async def test_only_postgres_can(lane: Lane, database: AsyncDatabase) -> None:
    async with database.connection() as conn:
        with pytest.raises(NotSupportedError, match="COPY"):
            await conn.copy_in("COPY t FROM STDIN", b"")
        with pytest.raises(NotSupportedError, match="COPY"):
            async for _ in conn.copy_out("COPY t TO STDOUT"):
                pass
        with pytest.raises(NotSupportedError, match="notifications"):
            conn.listen("orders")
        with pytest.raises(NotSupportedError, match="notifications"):
            await conn.notify("orders")
