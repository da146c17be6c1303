"""COPY FROM STDIN under faults: a source is no faster than the server, and a COPY that ends half-way stores nothing."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from oxyde import AsyncConnection, AsyncDatabase, atomic, execute_raw
from oxyde.exceptions import (
    ConnectionLostError,
    DataError,
    OxydeError,
    QueryTimeoutError,
    TransactionError,
    TransactionTaskError,
    TransactionTimeoutError,
)
from tests.servers.proxy import Proxy

from .harness import SERVERS, HeldSession, Where, lasts, no_transactions, on, run_program, scaled
from .programs.common import Account, Entry, database_at, prepared, quiet

pytestmark = on("postgres")

SQL = "COPY faults_entry (part, nonce) FROM STDIN"
LINE = b"7\tcopied" + b"x" * 200 + b"\n"
ROWS = 5_000
MEGABYTE = LINE * ROWS


class Source:
    """Megabytes, as many as are asked for; ``at`` happens in front of the one of that number."""

    def __init__(self, megabytes: int, at: int = -1, then: Any = None) -> None:
        self.megabytes, self.at, self.then = megabytes, at, then
        self.given = 0
        self.closed = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            for number in range(self.megabytes):
                if number == self.at:
                    await self.then()
                # Lines are cut anywhere.
                yield MEGABYTE[:500_001]
                yield MEGABYTE[500_001:]
                self.given += 1
        finally:
            self.closed = True

    async def reaches(self, count: int) -> None:
        async with asyncio.timeout(10):
            while self.given < count:
                await asyncio.sleep(0.001)


async def fail() -> None:
    raise LookupError


async def for_ever() -> None:
    await asyncio.sleep(3600)


async def process(conn: AsyncConnection) -> Any:
    return (await conn.fetch("SELECT pg_backend_pid() AS id"))[0]["id"]


async def stored() -> int:
    return (await execute_raw("SELECT count(*) AS n FROM faults_entry WHERE nonce LIKE 'copied%'"))[0]["n"]  # type: ignore[no-any-return]


@contextlib.asynccontextmanager
async def through(proxy: Proxy, opened: Any, **settings: Any) -> AsyncIterator[AsyncDatabase]:
    """The database with its tables, through the proxy."""
    await (await opened(accounts=3)).disconnect()
    database = database_at(proxy.url, ssl_mode="disable", **settings)
    async with database:
        yield database


@pytest.mark.parametrize("kind", ["async", "plain"])
def test_resident_memory(where: Where, kind: str) -> None:
    found = run_program("store", where, seconds=300, megabytes=scaled(200), kind=kind).report
    assert found["rows"] == scaled(200) * 1024
    assert found["stored"] == found["rows"] + 2 * 1024
    assert found["kib"] <= 16 * 1024, found


async def test_a_slow_server_slows_the_source_down(opened: Any, proxy: Proxy) -> None:
    async with through(proxy, opened) as database, database.connection() as conn:
        source = Source(100)
        await conn.fetch("SELECT 1 AS one")
        # What the kernel's buffers take on the way.
        copying = asyncio.create_task(conn.copy_in(SQL, source))
        await source.reaches(1)
        proxy.blackhole()
        before = -1
        async with asyncio.timeout(10):
            while source.given != before:
                before = source.given
                await asyncio.sleep(0.3)
        assert source.given < 50
        assert not copying.done()
        proxy.reset()
        assert await copying == 100 * ROWS
        assert await stored() == 100 * ROWS


@pytest.mark.parametrize("inside", [False, True], ids=["alone", "transaction"])
async def test_a_source_that_raises(opened: Any, proxy: Proxy, inside: bool) -> None:
    """The connection is asked to stop by the protocol's own word, not by a request over another connection."""
    async with through(proxy, opened) as database, database.connection() as conn:
        one = await process(conn)
        assert await stored() == 0
        source, requests = Source(3, at=1, then=fail), []
        for _ in range(3):
            accepted = proxy.stats()["accepted"]
            with lasts(0, 10), pytest.raises(LookupError):
                if inside:
                    async with atomic(connection=conn):
                        await Account.objects.filter(id=1).update(balance=-1)
                        await conn.copy_in(SQL, source)
                else:
                    await conn.copy_in(SQL, source)
            assert source.closed
            assert await process(conn) == one
            assert await stored() == 0
            requests.append(proxy.stats()["accepted"] - accepted)
        # A server that has too much else to do is asked once more, in the other way.
        assert min(requests) == 0
        assert (await Account.objects.get(id=1)).balance == 100
        assert await conn.copy_in(SQL, Source(1)) == ROWS


async def test_a_source_that_raises_is_told_in_its_block(opened: Any) -> None:
    database = await opened(accounts=3)
    async with database.connection() as conn:
        with pytest.raises(TransactionError):
            async with atomic(connection=conn):
                with pytest.raises(LookupError):
                    await conn.copy_in(SQL, Source(3, at=2, then=fail))
                await Account.objects.filter(id=1).update(balance=-1)
        async with atomic(connection=conn):
            with pytest.raises(LookupError):
                async with atomic():
                    await conn.copy_in(SQL, Source(3, at=2, then=fail))
            await Account.objects.filter(id=1).update(balance=7)
        assert (await Account.objects.get(id=1)).balance == 7
    assert await stored() == 0


@pytest.mark.parametrize("late", [0.0, 0.05])
async def test_cancelled_while_the_source_waits(opened: Any, late: float) -> None:
    database = await opened(accounts=3)
    async with database.connection() as conn:
        one = await process(conn)
        source = Source(10, at=3, then=for_ever)
        copying = asyncio.create_task(conn.copy_in(SQL, source))
        await source.reaches(3)
        await asyncio.sleep(late)
        behind = asyncio.create_task(process(conn))
        await asyncio.sleep(0)
        copying.cancel()
        with lasts(0, 1):
            await asyncio.wait([copying])
            assert copying.cancelled()
            assert source.closed
            assert await behind == one
        assert await stored() == 0
    await quiet(database)
    no_transactions("postgres")


async def test_cancelled_at_any_point(opened: Any) -> None:
    database = await opened(accounts=3)
    async with database.connection() as conn:
        one = await process(conn)
        for n in range(40):
            copying = asyncio.create_task(conn.copy_in(SQL, Source(2)))
            for _ in range(n):
                await asyncio.sleep(0 if n % 2 else 0.0005)
            copying.cancel()
            await asyncio.wait([copying])
            assert await process(conn) == one
            assert await stored() in ((0, 2 * ROWS) if copying.cancelled() else (2 * ROWS,))
            await conn.execute("DELETE FROM faults_entry")


async def test_cancelled_while_the_server_waits(opened: Any) -> None:
    """A server that waits for a lock reads nothing, not even that no more data come: it is asked to stop, too."""
    database = await opened(accounts=3)
    copy = "COPY faults_account (id, owner, balance) FROM STDIN"
    lines = (f"{n}\towner {n} {'x' * 200}\t0\n".encode() for n in range(4, 1_000_000))
    async with database.connection() as conn:
        with HeldSession("BEGIN", "INSERT INTO faults_account VALUES (100, 'held', 0)"):
            copying = asyncio.create_task(conn.copy_in(copy, lines))
            await asyncio.sleep(0.5)
            assert not copying.done()
            copying.cancel()
            with lasts(0, 1):
                await asyncio.wait([copying])
            assert copying.cancelled()
            with lasts(0, 3):
                assert await conn.fetch("SELECT count(*) AS n FROM faults_account") == [{"n": 3}]
    await quiet(database)


async def test_a_server_that_refuses_interrupts_the_source(opened: Any) -> None:
    database = await opened(accounts=3)

    async def wrong() -> AsyncIterator[bytes]:
        yield b"seven\tcopied\n" * 10_000
        await asyncio.sleep(3600)

    def wrong_for_ever() -> Iterator[bytes]:
        while True:
            yield b"seven\tcopied\n" * 1000

    async with database.connection() as conn:
        for source in (wrong(), wrong_for_ever()):
            with lasts(0, 2), pytest.raises(DataError):
                await conn.copy_in(SQL, source)
            current = asyncio.current_task()
            assert current is not None
            assert current.cancelling() == 0
        # A statement that is wrong is told before the source is asked for anything.
        source = Source(3)
        with pytest.raises(OxydeError):
            await conn.copy_in("COPY nothing FROM STDIN", source)
        assert source.given == 0
        # Its own timeouts are its own.
        with pytest.raises(TimeoutError) as caught:
            await conn.copy_in(SQL, Source(3, at=1, then=timed_out))
        assert type(caught.value) is TimeoutError
        assert await conn.copy_in(SQL, Source(1)) == ROWS


async def timed_out() -> None:
    raise TimeoutError


async def test_time_limits(opened: Any) -> None:
    database = await opened(accounts=3, statement_timeout=0.4)
    async with database.connection() as conn:
        one = await process(conn)
        with lasts(0.3, 2), pytest.raises(QueryTimeoutError):
            await conn.copy_in(SQL, Source(3, at=1, then=for_ever))
        assert await process(conn) == one
        with lasts(0.1, 2), pytest.raises(TransactionTimeoutError):
            async with atomic(connection=conn, timeout=0.2):
                await conn.copy_in(SQL, Source(3, at=1, then=for_ever))
        with lasts(0.1, 2), pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await conn.copy_in(SQL, Source(3, at=1, then=for_ever))
        assert await process(conn) == one
    assert await stored() == 0


@pytest.mark.parametrize("inside", [False, True], ids=["alone", "transaction"])
async def test_a_killed_session(opened: Any, inside: bool) -> None:
    """Whoever makes the data hears of it, even while they wait."""
    database = await opened(accounts=3)

    async def kill() -> None:
        SERVERS["postgres"].end_sessions("faults")
        await asyncio.sleep(3600)

    async with database.connection() as conn:
        with lasts(0, 3), pytest.raises((ConnectionLostError, TransactionError)):
            if inside:
                async with atomic(connection=conn):
                    await conn.copy_in(SQL, Source(3, at=1, then=kill))
            else:
                await conn.copy_in(SQL, Source(3, at=1, then=kill))
        with pytest.raises(ConnectionLostError):
            await process(conn)
    assert await stored() == 0


async def test_a_database_that_is_closed(opened: Any, where: Where) -> None:
    database = await opened(accounts=3)
    source = Source(10, at=3, then=for_ever)

    async def copy() -> None:
        async with database.connection() as conn:
            await conn.copy_in(SQL, source)

    copying = asyncio.create_task(copy())
    await source.reaches(3)
    with lasts(0.1, 2):
        await database.disconnect(timeout=0.2)
        with pytest.raises(OxydeError):
            await copying
    no_transactions("postgres")


async def test_statements_of_the_source(opened: Any) -> None:
    """On the same connection they would wait for the COPY, which waits for them: refused at once."""
    database = await opened(accounts=3)

    async def asks(run: Any) -> AsyncIterator[bytes]:
        yield MEGABYTE
        await run()
        yield MEGABYTE

    async with asyncio.timeout(10), database.connection() as conn:

        async def statement() -> Any:
            return await conn.fetch("SELECT 1 AS one")

        async def in_a_task() -> Any:
            return await asyncio.create_task(statement())

        for run in (statement, in_a_task):
            with pytest.raises(TransactionTaskError, match="beside a COPY"):
                await conn.copy_in(SQL, asks(run))
        with pytest.raises(TransactionTaskError, match="beside a COPY"):
            async with atomic(connection=conn):
                await conn.copy_in(SQL, asks(Account.objects.count))
        # Another connection is free.
        assert await conn.copy_in(SQL, asks(Account.objects.count)) == 2 * ROWS
        # Other tasks wait for their turn.
        behind = []

        async def other() -> None:
            behind.append(asyncio.create_task(statement(), context=free))

        import contextvars

        free = contextvars.Context()
        assert await conn.copy_in(SQL, asks(other)) == 2 * ROWS
        assert await behind[0] == [{"one": 1}]


async def test_what_else_runs_has_its_turn(opened: Any) -> None:
    """A source that never waits keeps nobody else waiting."""
    database = await opened(accounts=3)
    longest = 0.0

    async def look() -> None:
        nonlocal longest
        before = time.perf_counter()
        while True:
            await asyncio.sleep(0)
            now = time.perf_counter()
            longest = max(longest, now - before)
            before = now

    async with database.connection() as conn:
        looking = asyncio.create_task(look())
        await conn.copy_in(SQL, (MEGABYTE for _ in range(30)))
        looking.cancel()
    assert longest < 0.5


def test_a_loop_that_ends(where: Where) -> None:
    """Its COPY is stopped with it, and the server told."""

    async def main() -> None:
        database = await prepared(where.url)
        source = Source(10, at=3, then=for_ever)

        async def copy() -> None:
            async with database.connection() as conn:
                await conn.copy_in(SQL, source)

        kept.append(asyncio.create_task(copy()))
        await source.reaches(3)

    kept: list[Any] = []
    with lasts(0, 5):
        asyncio.run(main())
    assert kept[0].cancelled()
    no_transactions("postgres")
    assert SERVERS["postgres"].observer("faults").query("SELECT count(*) FROM faults_entry") == [("0",)]


async def test_entries_are_stored_whole(opened: Any) -> None:
    database = await opened(accounts=3)
    async with database.connection() as conn:
        assert await conn.copy_in(SQL, Source(5)) == 5 * ROWS
    assert await Entry.objects.filter(nonce="copied" + "x" * 200, part=7).count() == 5 * ROWS
