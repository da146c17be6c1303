"""Transactions on the real engine: what a SQLite file holds afterwards is what the blocks said."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import itertools
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from oxyde import db
from oxyde.db import AsyncDatabase, PoolSettings, atomic, get_connection, outside_transaction
from oxyde.db.database import finish
from oxyde.db.resolve import resolve
from oxyde.exceptions import (
    ConnectError,
    DatabaseError,
    LockTimeoutError,
    OperationalError,
    PoolTimeoutError,
    TransactionBrokenError,
    TransactionClosedError,
    TransactionTaskError,
    TransactionTimeoutError,
    UniqueViolationError,
)

from .kloop import EXPECTED, cancelled_at, closed_at, nested_blocks


async def execute(text: str, *params: object, write: bool = True, using: object = None) -> list[dict]:
    core, lease = resolve(using, None, None, write)
    return await finish(core.raw(text, params, lease))


async def rows(using: object = None) -> list[str]:
    return [row["v"] for row in await execute("SELECT v FROM t ORDER BY rowid", write=False, using=using)]


async def insert(value: str) -> None:
    await execute("INSERT INTO t (v) VALUES (?)", value)


@pytest.fixture
async def file(tmp_path: Path) -> AsyncIterator[Path]:
    path = tmp_path / "test.db"
    await db.init(default=f"sqlite:///{path}")
    await execute("CREATE TABLE t (v TEXT UNIQUE)")
    yield path
    if "default" in db.registry.connections:
        await quiet()
        await db.close()


async def quiet() -> None:
    """Nothing is left open: every connection is free, and the next writer does not wait."""
    database = get_connection()
    for _ in range(200):
        if database.stats()["in_use"] == 0 and database.stats()["waiting"] == 0:
            break
        await asyncio.sleep(0.01)
    assert database.stats()["in_use"] == 0
    started = time.perf_counter()
    async with atomic():
        pass
    assert time.perf_counter() - started < 0.5


async def test_commit_and_rollback(file: Path) -> None:
    async with atomic():
        await insert("a")
        with outside_transaction():
            assert await rows() == []
    with pytest.raises(LookupError):
        async with atomic():
            await insert("b")
            assert await rows() == ["a", "b"]
            raise LookupError
    assert await rows() == ["a"]


async def test_nested(file: Path) -> None:
    async with atomic():
        await insert("a")
        with pytest.raises(UniqueViolationError):
            async with atomic():
                await insert("b")
                await insert("a")
        async with atomic():
            await insert("c")
        async with atomic() as inner:
            await insert("d")
            inner.set_rollback(True)
    assert await rows() == ["a", "c"]


async def test_a_statement_error_that_is_swallowed_keeps_the_transaction_on_sqlite(file: Path) -> None:
    async with atomic():
        await insert("a")
        with pytest.raises(UniqueViolationError):
            await insert("a")
        await insert("b")
    assert await rows() == ["a", "b"]


@pytest.mark.parametrize("statement", ["COMMIT", "ROLLBACK"])
async def test_a_transaction_that_is_ended_behind_our_back(file: Path, statement: str) -> None:
    with pytest.raises(TransactionBrokenError, match="ended its transaction") as caught:
        async with atomic():
            await insert("a")
            with pytest.raises(TransactionBrokenError, match="ended its transaction"):
                await execute(statement)
            with pytest.raises(TransactionBrokenError, match="ended its transaction"):
                await insert("b")
    assert caught.value.outcome == "unknown"
    assert "b" not in await rows()


async def test_read_only(file: Path) -> None:
    async with atomic(read_only=True):
        assert await rows() == []
        with pytest.raises(DatabaseError):
            await insert("a")


async def test_readers_do_not_wait_for_the_writer(file: Path) -> None:
    async with atomic():
        await insert("a")
        with outside_transaction():
            async with atomic(read_only=True):
                assert await rows() == []


async def test_a_write_beside_the_own_transaction_raises(file: Path) -> None:
    async with atomic():
        with outside_transaction(), pytest.raises(TransactionTaskError, match="one writer"):
            await insert("a")


async def test_writers_take_turns(file: Path) -> None:
    """8 tasks × 20 read-modify-write: 160 of 160, no lost update."""
    await execute("CREATE TABLE n (value INTEGER)")
    await execute("INSERT INTO n VALUES (0)")

    async def work() -> None:
        for _ in range(20):
            async with atomic():
                value = (await execute("SELECT value FROM n"))[0]["value"]
                await asyncio.sleep(0)
                await execute("UPDATE n SET value = ?", value + 1)

    await asyncio.gather(*(work() for _ in range(8)))
    assert await execute("SELECT value FROM n") == [{"value": 160}]


async def test_children(file: Path) -> None:
    with pytest.raises(LookupError):
        async with atomic():
            await asyncio.gather(*(insert(str(number)) for number in range(20)))
            raise LookupError
    assert await rows() == []


async def test_a_child_that_outlives_the_block(file: Path) -> None:
    async def child() -> None:
        await asyncio.sleep(0.02)
        await insert("late")

    async with atomic():
        task = asyncio.create_task(child())
    with pytest.raises(TransactionClosedError):
        await task
    assert await rows() == []


SLOW = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT count(*) AS n FROM c"


async def test_timeout_stops_a_running_statement(file: Path) -> None:
    started = time.perf_counter()
    with pytest.raises(TransactionTimeoutError):
        async with atomic(timeout=0.1):
            await insert("a")
            with pytest.raises(TransactionTimeoutError):
                await execute(SLOW)
            with pytest.raises(TransactionTimeoutError):
                await insert("b")
    assert time.perf_counter() - started < 0.3
    await quiet()
    assert await rows() == []


async def test_timeout_frees_the_writer_while_the_body_goes_on(file: Path) -> None:
    async def other() -> None:
        await asyncio.sleep(0.02)
        await insert("other")

    task = asyncio.create_task(other())
    with pytest.raises(TransactionTimeoutError):
        async with atomic(timeout=0.1):
            await insert("a")
            await asyncio.wait_for(task, 1)
            with pytest.raises(TransactionTimeoutError):
                await insert("b")
    assert await rows() == ["other"]


async def test_timeout_of_a_nested_block(file: Path) -> None:
    with pytest.raises(TransactionTimeoutError):
        async with atomic(timeout=5):
            with pytest.raises(TransactionTimeoutError):
                async with atomic(timeout=0.05):
                    with pytest.raises(TransactionTimeoutError):
                        await execute(SLOW)
            await insert("b")
    async with atomic():
        async with atomic(timeout=0.05):
            await insert("c")
        await asyncio.sleep(0.1)
        await insert("d")
    assert await rows() == ["c", "d"]


async def test_timeout_covers_the_wait_for_the_writer(file: Path) -> None:
    async def second() -> None:
        async with atomic(timeout=0.05):
            raise AssertionError

    inside, done = asyncio.Event(), asyncio.Event()

    async def first() -> None:
        async with atomic():
            inside.set()
            await done.wait()

    task = asyncio.create_task(first())
    await inside.wait()
    with pytest.raises(TransactionTimeoutError):
        await second()
    done.set()
    await task


async def test_acquire_timeout(file: Path) -> None:
    await db.init(short=AsyncDatabase(f"sqlite:///{file}?acquire_timeout=0.05", name="short", auto_register=False))

    async def second() -> None:
        async with atomic(using="short"):
            raise AssertionError

    async with atomic(using="short"):
        beside = asyncio.get_running_loop().create_task(second(), context=contextvars.Context())
        with pytest.raises(PoolTimeoutError) as raised:
            await beside
        assert raised.value.retryable


@pytest.mark.parametrize(
    ("options", "settings"),
    [
        ("?busy_timeout=50", {}),
        ("", {"sqlite_busy_timeout": timedelta(milliseconds=50)}),
        ("", {"lock_timeout": 0.05}),
        ("", {"lock_timeout": 0.05, "sqlite_busy_timeout": 60_000}),
    ],
)
async def test_locked_by_another_process(file: Path, options: str, settings: dict[str, Any]) -> None:
    script = (
        "import sqlite3, sys; c = sqlite3.connect(sys.argv[1], isolation_level=None); c.execute('BEGIN IMMEDIATE'); "
        "print('locked', flush=True); sys.stdin.read()"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", script, str(file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert other.stdout is not None
        assert other.stdout.readline() == "locked\n"
        short = AsyncDatabase(
            f"sqlite:///{file}{options}", name="short", settings=PoolSettings(**settings), auto_register=False
        )
        await db.init(short=short)
        with pytest.raises(LockTimeoutError) as raised:
            # Far below what the default of the setting would wait.
            async with asyncio.timeout(4), atomic(using="short"):
                raise AssertionError
        assert raised.value.retryable
    finally:
        other.communicate("")


def scenario(calls: list[str]) -> object:
    return nested_blocks(calls, insert)


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("again", [None, 1])
async def test_cancelled_at_every_await(file: Path, late: bool, again: int | None) -> None:
    for k in itertools.count(1):
        await execute("DELETE FROM t")
        calls: list[str] = []
        suspensions, error = await cancelled_at(scenario(calls), {k} if again is None else {k, k + again}, late=late)
        await quiet()
        if suspensions < k:
            assert error is None
            break
        assert isinstance(error, asyncio.CancelledError), (k, error)
        outcome = getattr(error, "commit_outcome", "rolled_back")
        assert await rows() == (EXPECTED if outcome == "committed" else []), (k, outcome)
        assert calls == (["called"] if outcome == "committed" else [])
    assert k > 10


async def test_thrown_away_at_every_await(file: Path) -> None:
    for k in itertools.count(1):
        await execute("DELETE FROM t")
        calls: list[str] = []
        done = await closed_at(scenario(calls), k)
        await quiet()
        found = await rows()
        assert found in ([], EXPECTED)
        assert calls == ["called"] * bool(found)
        if done:
            break


async def test_a_transaction_that_is_forgotten(file: Path) -> None:
    async def forgets() -> None:
        await atomic().__aenter__()
        await insert("a")

    await asyncio.create_task(forgets())
    await asyncio.sleep(0)  # the loop itself holds the finished task until its next turn
    with pytest.warns(ResourceWarning, match=r"never closed; it was opened at .*test_sqlite\.py:\d+, in .*forgets"):
        gc.collect()
    await quiet()
    assert await rows() == []


async def test_memory() -> None:
    async with db.connect("sqlite://:memory:"):
        await execute("CREATE TABLE t (v TEXT)")
        async with atomic():
            await insert("a")
            with outside_transaction(), pytest.raises(TransactionTaskError):
                await rows()
        assert await rows() == ["a"]


async def test_errors_of_connecting(tmp_path: Path) -> None:
    (tmp_path / "text.db").write_text("not a database, but long enough to have a header of some kind" * 20)
    for url in (
        f"sqlite:///{tmp_path}/missing/app.db",
        f"sqlite:///{tmp_path}/app.db?mode=rw",
        f"sqlite:///{tmp_path}/text.db",
    ):
        with pytest.raises(ConnectError):
            await db.init(default=url)
    assert not db.registry.connections


def test_many_loops_and_threads(tmp_path: Path) -> None:
    database = AsyncDatabase(f"sqlite:///{tmp_path}/app.db", settings=PoolSettings(max_connections=4))

    async def work(value: str) -> None:
        await database.connect()
        async with atomic():
            await insert(value)

    async def first() -> None:
        await database.connect()
        await execute("CREATE TABLE t (v TEXT)")

    asyncio.run(first())
    for number in range(5):
        asyncio.run(work(str(number)))

    threads = [threading.Thread(target=lambda n=n: asyncio.run(work(f"t{n}"))) for n in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    async def last() -> list[str]:
        found = await rows()
        await database.disconnect()
        return found

    assert len(asyncio.run(last())) == 10


async def test_disconnect_lets_an_open_transaction_end(file: Path) -> None:
    database = get_connection()
    async with atomic():
        await insert("a")
        closing = database.close_soon()
        assert closing is not None
        assert not database.connected
        await insert("b")
    await closing
    with pytest.raises(OperationalError, match="not connected"):
        await rows()
    await database.connect()
    assert await rows() == ["a", "b"]


def test_kill_9_keeps_what_was_acknowledged(tmp_path: Path) -> None:
    script = f"""
import asyncio, os
from oxyde import db
from oxyde.db import atomic
from oxyde.db.resolve import resolve
async def main():
    await db.init(default="sqlite:///{tmp_path}/k.db?synchronous=full")
    core, _ = resolve()
    await core.raw("CREATE TABLE t (v INTEGER)", ())
    for number in range(10):
        async with atomic() as tx:
            core, lease = resolve()
            await core.raw("INSERT INTO t VALUES (?)", (number,), lease)
        print(number, flush=True)
    async with atomic():
        core, lease = resolve()
        await core.raw("INSERT INTO t VALUES (99)", (), lease)
        os.kill(os.getpid(), 9)
asyncio.run(main())
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.stdout.split() == [str(number) for number in range(10)], done.stderr
    with closing(sqlite3.connect(tmp_path / "k.db")) as connection:
        assert [row[0] for row in connection.execute("SELECT v FROM t")] == list(range(10))
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
