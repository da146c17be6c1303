"""Streams under faults: leaving frees the connection at once, memory stays flat, and every end has its exception."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Any

import pytest

from oxyde import AsyncDatabase, Field, Model, atomic, execute_raw
from oxyde.exceptions import (
    ConnectionLostError,
    DatabaseError,
    QueryTimeoutError,
    TransactionTimeoutError,
)

from .figures import figure
from .harness import SERVERS, Where, no_transactions, on, run_program, scaled
from .programs.common import MYSQL, Account, Entry, quiet
from .test_deadlines import lasts

FREED = 0.1
"""Seconds after which a stream that was left holds nothing any more."""
ROWS = 60

Way = Callable[[], Awaitable[None]]
WAYS: dict[str, Way] = {}


def way(function: Way) -> Way:
    WAYS[function.__name__] = function
    return function


def accounts() -> AsyncIterator[Account]:
    return Account.objects.order_by("id").iterate(10)


@way
async def break_() -> None:
    async for account in accounts():
        if account.id == 17:
            break


@way
async def break_at_the_first() -> None:
    async for _ in accounts():
        break


@way
async def return_() -> None:
    async def first_rich() -> Account | None:
        async for account in accounts():
            if account.id == 11:
                return account
        return None

    assert await first_rich() is not None


@way
async def exception() -> None:
    with pytest.raises(LookupError):
        async for account in accounts():
            if account.id == 26:
                raise LookupError


@way
async def closed() -> None:
    async with aclosing(accounts()) as rows:  # type: ignore[type-var]
        async for account in rows:
            if account.id == 5:
                break


@way
async def collected() -> None:
    class Holder:
        rows: Any = None

    holder = Holder()
    holder.rows = (accounts(), holder)
    assert (await anext(holder.rows[0])).id == 1
    del holder
    gc.collect()


@way
async def cancelled_in_the_loop() -> None:
    async def read() -> None:
        async for account in accounts():
            if account.id == 33:
                reached.set()
                await asyncio.sleep(3600)

    reached = asyncio.Event()
    task = asyncio.create_task(read())
    await reached.wait()
    task.cancel()
    await asyncio.wait((task,))


@way
async def cancelled_at_a_fetch() -> None:
    async def read() -> None:
        async for _ in accounts():
            pass

    task = asyncio.create_task(read())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait((task,))


@pytest.mark.parametrize("name", WAYS)
@on("file", "threads", "memory", *SERVERS)
async def test_leaving_frees_the_connection(opened: Any, where: Where, name: str) -> None:
    database: AsyncDatabase = await opened(accounts=ROWS, max_connections=4)
    for _ in range(scaled(10)):
        await WAYS[name]()
        await quiet(database, FREED)
    if where.kind in SERVERS:
        no_transactions(where.kind)
    # The connection is used again, not replaced.
    stats = database.stats()
    assert (stats["lost"], stats["in_use"]) == (0, 0)
    assert len([account async for account in accounts()]) == ROWS


@pytest.mark.parametrize("name", WAYS)
@on("file", "memory", *SERVERS)
async def test_leaving_inside_a_transaction(opened: Any, where: Where, name: str) -> None:
    """The transaction goes on, whatever became of the stream."""
    database = await opened(accounts=ROWS)
    for n in range(scaled(5)):
        async with atomic():
            await Entry.objects.create(nonce="before", part=n)
            if where.kind == "postgres" and name == "cancelled_at_a_fetch":
                # A statement that is stopped spoils the block that it is in.
                with pytest.raises(LookupError):
                    async with atomic():
                        await WAYS[name]()
                        raise LookupError
            else:
                await WAYS[name]()
            await Entry.objects.create(nonce="after", part=n)
    await quiet(database, FREED)
    assert await Entry.objects.count() == 2 * scaled(5)


async def test_no_more_rows_are_there_than_two_chunks(opened: Any, where: Where) -> None:
    await opened(accounts=ROWS)

    def alive() -> int:
        return sum(type(thing) is Account for thing in gc.get_objects())

    gc.collect()
    before = most = alive()
    async for _ in accounts():
        # Whatever could come by itself has come.
        await asyncio.sleep(0.005)
        most = max(most, alive())
    assert 10 <= most - before <= 21


@on("file", *SERVERS)
@pytest.mark.parametrize("of", ["models", "raw", "kept"])
def test_resident_memory(where: Where, of: str) -> None:
    """A million rows; OXYDE_FAULTS_SCALE=10 makes them ten."""
    found = run_program("stream", where, seconds=600, rows=scaled(1_000_000), of=of).report
    assert found["rows"] == scaled(1_000_000)
    figure("stream rows", where, found["rows"])
    figure("stream", where, found["kib"] / 1024)
    assert found["kib"] <= 32 * 1024, found


class Slow(Model):
    """A view whose rows from the 30th on take the database for ever. Sorting them would mean to wait for all."""

    id: int = Field(db_pk=True)
    wait: int | None = None

    class Meta:
        is_table = True
        table_name = "faults_slow"


FOREVER = {
    "sqlite": "(WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n "
    "WHERE i < CASE WHEN a.id < 30 THEN 2 ELSE 2000000000 END) SELECT max(i) FROM n)",
    "postgres": "length(pg_sleep(CASE WHEN a.id < 30 THEN 0 ELSE 3600 END)::text)::bigint",
    "mysql": "SLEEP(CASE WHEN a.id < 30 THEN 0 ELSE 3600 END)",
}


async def slow_view(database: AsyncDatabase) -> None:
    backend = "mysql" if database.backend in MYSQL else database.backend
    text = f"CREATE VIEW faults_slow AS SELECT a.id AS id, {FOREVER[backend]} AS wait FROM faults_account AS a"
    await execute_raw(text)


@on("file", *SERVERS)
async def test_cancelled_while_the_database_works(opened: Any, where: Where) -> None:
    """Nobody waits for the work that is stopped, and it is stopped."""
    database = await opened(accounts=40)
    await slow_view(database)

    async def read() -> None:
        async for row in Slow.objects.iterate(10):
            found.append(row.id)

    for _ in range(scaled(3)):
        found: list[int] = []
        task = asyncio.create_task(read())
        await asyncio.sleep(0.2)
        task.cancel()
        with lasts(0, 0.1):
            await asyncio.wait((task,))
        assert task.cancelled()
        assert len(found) < 30
        await quiet(database, 1)
        if where.kind in SERVERS:
            no_transactions(where.kind, 1)
    assert len([account async for account in accounts()]) == 40


@on("file", *SERVERS)
async def test_left_while_the_next_chunk_is_fetched(opened: Any, where: Where) -> None:
    if where.kind == "mysql":
        pytest.skip("MySQL and MariaDB make all rows of a cursor before the first")
    database = await opened(accounts=40)
    await slow_view(database)
    async for row in Slow.objects.iterate(10):
        if row.id == 18:
            await asyncio.sleep(0.1)
            break
    await quiet(database, FREED)


async def test_statement_timeout(opened: Any, where: Where) -> None:
    """Each fetch has the time of a statement; how long the program takes in between does not count."""
    database = await opened(accounts=40, statement_timeout=0.6)
    await slow_view(database)
    found = []
    with lasts(0.6, 1.6), pytest.raises(QueryTimeoutError):
        async for row in Slow.objects.iterate(10):
            found.append(row.id)
    assert len(found) < 30
    await quiet(database)
    async for account in accounts():
        if account.id in (5, 15):
            await asyncio.sleep(0.7)
    await quiet(database)


async def test_transaction_timeout(opened: Any, where: Where) -> None:
    database = await opened(accounts=40)
    found = []
    with pytest.raises(TransactionTimeoutError):
        async with atomic(timeout=0.2):
            async for account in accounts():
                found.append(account.id)
                await asyncio.sleep(0.01)
    assert 10 <= len(found) < 40
    await quiet(database, FREED)


@on(*SERVERS)
@pytest.mark.parametrize("inside", [False, True], ids=["outside", "inside"])
async def test_a_killed_connection(opened: Any, where: Where, inside: bool) -> None:
    database = await opened(accounts=ROWS)

    async def read() -> None:
        async for account in accounts():
            found.append(account.id)
            if account.id == 12:
                SERVERS[where.kind].end_sessions("faults")
                await asyncio.sleep(0.05)

    found: list[int | None] = []
    with pytest.raises(DatabaseError) as caught:
        if inside:
            async with atomic():
                await read()
        else:
            await read()
    assert inside or isinstance(caught.value, ConnectionLostError), caught.value
    assert len(found) in (20, 30)
    await quiet(database)
    assert len([account async for account in accounts()]) == ROWS


async def test_disconnecting_lets_it_end(opened: Any, where: Where) -> None:
    database = await opened(accounts=ROWS)
    found = []
    closing = None
    async for account in accounts():
        found.append(account.id)
        if account.id == 12:
            closing = asyncio.create_task(database.disconnect())
            await asyncio.sleep(0.01)
    assert len(found) == ROWS
    assert closing is not None
    await closing


async def test_disconnecting_ends_it(opened: Any, where: Where) -> None:
    """When the patience of a database that is closed is over, the stream is, too."""
    database = await opened(accounts=ROWS)
    found = []
    with pytest.raises(DatabaseError):
        async for account in accounts():
            found.append(account.id)
            if account.id == 12:
                with lasts(0.1, 1.3):
                    await database.disconnect(timeout=0.1)
    assert found[-1] in (20, 30)


def test_other_loops(where: Where) -> None:
    """A stream of a loop that was closed ends, and no other loop goes on with one."""
    found = run_program("stream", where, loops=True).report
    assert found["closed"] in ("TransactionClosedError", "ConnectionLostError", "TransactionTaskError")
    assert found["other"] == "TransactionTaskError"
    assert found["in_use"] == 0
