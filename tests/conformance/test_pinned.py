"""`database.connection()`: one session for the length of a block, and nothing of it for the next borrower."""

from __future__ import annotations

import asyncio
import gc
import itertools
import threading
import uuid
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import copy_context
from pathlib import Path
from typing import Any

import pytest

from oxyde import (
    AsyncConnection,
    AsyncDatabase,
    DatabaseError,
    Field,
    Model,
    OperationalError,
    PoolSettings,
    PoolTimeoutError,
    ProgrammingError,
    QueryTimeoutError,
    TransactionClosedError,
    TransactionError,
    TransactionTaskError,
    TransactionTimeoutError,
    UniqueViolationError,
    atomic,
    execute_raw,
    get_active_transaction,
    outside_transaction,
)

from .conftest import Tables
from .lanes import Lane

PICKED = {
    "sqlite": "CREATE TEMP TABLE picked (id INTEGER)",
    "postgres": "CREATE TEMP TABLE picked (id bigint)",
    "mysql": "CREATE TEMPORARY TABLE picked (id bigint)",
}
LONG = {
    "sqlite": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) AS top FROM n",
    "postgres": "SELECT pg_sleep(100)::text AS top",
    "mysql": "SELECT SLEEP(100) AS top",
}
BEGIN = {"sqlite": "BEGIN IMMEDIATE", "postgres": "BEGIN", "mysql": "START TRANSACTION"}


class Note(Model):
    id: int | None = Field(default=None, db_pk=True)
    text: str = Field(db_unique=True)

    class Meta:
        is_table = True
        table_name = "pinned_note"


@asynccontextmanager
async def single(lane: Lane, tmp_path: Path, **settings: Any) -> AsyncIterator[AsyncDatabase]:
    """The same database with one connection: what is done to it, the next borrower finds."""
    database = AsyncDatabase(
        lane.url(tmp_path, "default"),
        name="single",
        settings=PoolSettings(max_connections=1, min_connections=1, **settings),
        auto_register=False,
    )
    async with database:
        yield database


async def session(connection: AsyncConnection, lane: Lane) -> object:
    """What tells one session of a server from another."""
    sql = {"postgres": "SELECT pg_backend_pid() AS id", "mysql": "SELECT CONNECTION_ID() AS id"}
    return (await connection.fetch(sql[lane.family]))[0]["id"]


async def test_execute_and_fetch(lane: Lane, database: AsyncDatabase, tables: Tables) -> None:
    await tables(Note)
    async with database.connection() as conn:
        insert = lane.sql("INSERT INTO pinned_note (id, text) VALUES (?, ?)")
        assert await conn.execute(insert, [1, "ada"]) == 1
        assert await conn.execute(insert, [2, "grace"]) == 1
        assert await conn.execute(lane.sql("UPDATE pinned_note SET text = ? WHERE id = ?"), ("eve", 2)) == 1
        assert await conn.execute("DELETE FROM pinned_note WHERE id > 5") == 0
        assert await conn.fetch("SELECT id, text FROM pinned_note ORDER BY id") == [
            {"id": 1, "text": "ada"},
            {"id": 2, "text": "eve"},
        ]
        assert conn.active
        assert conn.database is database
        with pytest.raises(UniqueViolationError):
            await conn.execute(insert, [3, "ada"])
        with pytest.raises(ProgrammingError):
            await conn.fetch("SELECT id, text AS id FROM pinned_note")
        with pytest.raises(TypeError, match="list or tuple"):
            await conn.fetch("SELECT 1", "x")  # type: ignore[arg-type]
        assert await conn.execute(insert, [3, "joan"]) == 1
    # Each statement was committed by itself.
    assert await Note.objects.count() == 3


async def test_the_session_stays_and_then_goes(lane: Lane, database: AsyncDatabase, tmp_path: Path) -> None:
    async with single(lane, tmp_path) as one:
        async with one.connection() as conn:
            await conn.execute(PICKED[lane.family])
            await conn.execute("INSERT INTO picked VALUES (7)")
            assert await conn.fetch("SELECT id FROM picked") == [{"id": 7}]
        async with one.connection() as conn:
            with pytest.raises(ProgrammingError):
                await conn.fetch("SELECT id FROM picked")
        with pytest.raises(ProgrammingError):
            await execute_raw("SELECT id FROM picked", client=one)


SETTINGS = {
    "sqlite": ("PRAGMA recursive_triggers = ON", "PRAGMA recursive_triggers"),
    "postgres": ("SET work_mem = '77MB'", "SHOW work_mem"),
    "mysql": ("SET SESSION group_concat_max_len = 7777", "SELECT @@group_concat_max_len AS value"),
}
LEVELS = {
    "postgres": (
        "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE",
        "SHOW default_transaction_isolation",
    ),
    "mysql": ("SET SESSION TRANSACTION ISOLATION LEVEL SERIALIZABLE", "SELECT @@transaction_isolation AS value"),
}


LEFT_BEHIND = {
    "sqlite": [
        ("CREATE TEMP TABLE pinned_left (id int)", "SELECT count(*) AS n FROM temp.sqlite_master"),
        ("PRAGMA foreign_keys = OFF", "PRAGMA foreign_keys"),
    ],
    "postgres": [
        ("DECLARE pinned_left CURSOR WITH HOLD FOR SELECT 1", "SELECT count(*) AS n FROM pg_cursors WHERE is_holdable"),
        ("SET ROLE pg_monitor", "SELECT current_user::text AS name"),
        ("SET SESSION AUTHORIZATION pg_monitor", "SELECT session_user::text AS name"),
        ("SELECT nextval('pinned_left')", "SELECT lastval() AS number"),
    ],
    "mysql": [
        ("USE information_schema", "SELECT DATABASE() AS name"),
        ("SET ROLE {role}", "SELECT CURRENT_ROLE() AS name"),
    ],
}


async def test_nothing_of_a_session_reaches_the_next_borrower(
    lane: Lane, database: AsyncDatabase, tmp_path: Path
) -> None:
    """Beside settings: cursors, roles, sequences' numbers, the current database."""
    role = f"pinned_{uuid.uuid4().hex[:20]}"
    if lane.family == "postgres":
        await execute_raw("CREATE SEQUENCE pinned_left")
    if lane.family == "mysql":
        await execute_raw(f"CREATE ROLE {role}")
        if database.backend == "mysql":
            await execute_raw(f"GRANT {role} TO CURRENT_USER()")

    texts = itertools.count()

    async def seen(conn: AsyncConnection, look: str) -> object:
        try:
            # MySQL runs a statement that it keeps prepared in the database in which that was prepared.
            return await conn.fetch(f"{look} -- {next(texts)}")
        except DatabaseError as error:
            # PostgreSQL has no last number to tell.
            assert (lane.family, error.sqlstate) == ("postgres", "55000")
            return None

    try:
        async with single(lane, tmp_path) as one:
            for change, look in LEFT_BEHIND[lane.family]:
                async with one.connection() as conn:
                    before = await seen(conn, look)
                    await conn.execute(change.format(role=role))
                    assert await seen(conn, look) != before, change
                async with one.connection() as conn:
                    assert await seen(conn, look) == before, change
    finally:
        if lane.family == "postgres":
            await execute_raw("DROP SEQUENCE pinned_left")
        if lane.family == "mysql":
            await execute_raw(f"DROP ROLE {role}")


@pytest.mark.parametrize("what", ["setting", "isolation"])
@pytest.mark.parametrize("end", ["leave", "error", "cancel", "begin", "forget"])
async def test_settings_never_reach_the_next_borrower(
    lane: Lane, database: AsyncDatabase, tmp_path: Path, what: str, end: str
) -> None:
    if what == "isolation" and lane.family == "sqlite":
        what = "setting"
    change, look = (SETTINGS if what == "setting" else LEVELS)[lane.family]
    if "@@transaction_isolation" in look and database.backend == "mariadb":
        look = look.replace("transaction_isolation", "tx_isolation")
    async with single(lane, tmp_path) as one:
        async with one.connection() as conn:
            before = await conn.fetch(look)

        async def work() -> None:
            async with one.connection() as conn:
                await conn.execute(change)
                assert await conn.fetch(look) != before
                if end == "error":
                    raise LookupError
                if end == "cancel":
                    await conn.fetch(LONG[lane.family])
                if end == "begin":
                    await conn.execute(BEGIN[lane.family])

        if end == "forget":
            conn = await one.connection().__aenter__()
            await conn.execute(change)
            with pytest.warns(ResourceWarning, match="never closed"):
                del conn
                gc.collect()
        else:
            task = asyncio.create_task(work())
            if end == "cancel":
                await asyncio.sleep(0.1)
                task.cancel()
            with pytest.raises((LookupError, asyncio.CancelledError)) if end in ("error", "cancel") else _nothing():
                await task
        async with asyncio.timeout(5), one.connection() as conn:
            assert await conn.fetch(look) == before
        assert one.stats()["in_use"] == 0


class _nothing:
    def __enter__(self) -> None: ...
    def __exit__(self, *exc: object) -> None: ...


async def test_a_transaction_begun_by_hand_is_rolled_back(lane: Lane, database: AsyncDatabase, tables: Tables) -> None:
    await tables(Note)
    async with database.connection() as conn:
        await conn.execute(BEGIN[lane.family])
        await conn.execute("INSERT INTO pinned_note (id, text) VALUES (1, 'lost')")
        with pytest.raises(TransactionError, match="begun by raw SQL"):
            async with atomic(connection=conn):
                pass
        assert await conn.fetch("SELECT id FROM pinned_note") == [{"id": 1}]
    assert await Note.objects.count() == 0
    async with database.connection() as conn:
        await conn.execute(BEGIN[lane.family])
        await conn.execute("INSERT INTO pinned_note (id, text) VALUES (1, 'kept')")
        await conn.execute("COMMIT")
        async with atomic(connection=conn):
            await conn.execute("INSERT INTO pinned_note (id, text) VALUES (2, 'kept, too')")
    assert await Note.objects.count() == 2


async def test_atomic_on_a_connection(lane: Lane, database: AsyncDatabase, tables: Tables) -> None:
    await tables(Note)
    async with database.connection() as conn:
        await conn.execute(PICKED[lane.family])
        async with atomic(connection=conn) as tx:
            assert get_active_transaction() is tx
            # Both join it: statements on the connection, and queries by the alias.
            await conn.execute("INSERT INTO picked VALUES (7)")
            await Note.objects.create(text="ada")
            assert await execute_raw("SELECT id FROM picked") == [{"id": 7}]
            assert len(await conn.fetch("SELECT text FROM pinned_note")) == 1
            async with atomic():
                await Note.objects.create(text="grace")
            try:
                async with atomic(connection=conn):
                    await Note.objects.create(text="eve")
                    raise LookupError
            except LookupError:
                pass
        assert await conn.fetch("SELECT text FROM pinned_note ORDER BY text") == [{"text": "ada"}, {"text": "grace"}]
        with pytest.raises(LookupError):
            async with atomic(connection=conn):
                await conn.execute("INSERT INTO picked VALUES (8)")
                await Note.objects.create(text="joan")
                raise LookupError
        assert await conn.fetch("SELECT id FROM picked") == [{"id": 7}]
        # The connection is as it was, in no transaction.
        await conn.execute("INSERT INTO pinned_note (id, text) VALUES (100, 'by itself')")
    assert await Note.objects.order_by("text").values_list("text", flat=True) == ["ada", "by itself", "grace"]


async def test_atomic_functions_on_a_connection(lane: Lane, database: AsyncDatabase, tables: Tables) -> None:
    await tables(Note)
    done: list[str] = []
    async with database.connection() as conn:
        async with atomic(connection=conn) as tx:
            tx.on_commit(lambda: done.append("committed"))
            await Note.objects.create(text="ada")
        assert done == ["committed"]
        async with atomic(connection=conn) as tx:
            tx.set_rollback()
            await Note.objects.create(text="eve")
        async for attempt in atomic.retrying(connection=conn):
            async with attempt:
                await Note.objects.create(text="grace")
        async with atomic(connection=conn, read_only=True):
            assert await Note.objects.count() == 2
        if lane.family != "sqlite":
            async with atomic(connection=conn, isolation="serializable"):
                assert await Note.objects.count() == 2
    # The other meaning: a database, registered or not.
    async with atomic(connection=database):
        await Note.objects.create(text="joan")
    with pytest.raises(TypeError, match="AsyncConnection or an AsyncDatabase"):
        atomic(connection="default")  # type: ignore[call-overload]


async def test_a_transaction_on_another_connection(lane: Lane, database: AsyncDatabase, tables: Tables) -> None:
    if lane.family == "sqlite":
        pytest.skip("one connection writes")
    await tables(Note)
    async with atomic():
        await Note.objects.create(text="outer")
        async with database.connection() as conn:
            async with atomic(connection=conn):
                await Note.objects.create(text="inner")
            await conn.execute("INSERT INTO pinned_note (id, text) VALUES (50, 'beside')")
            assert len(await conn.fetch("SELECT id FROM pinned_note")) == 2
        assert await Note.objects.filter(text="outer").count() == 1
        get_active_transaction().set_rollback()  # type: ignore[union-attr]
    assert sorted(await Note.objects.values_list("text", flat=True)) == ["beside", "inner"]


async def test_one_writer_does_not_wait_for_itself(lane: Lane, database: AsyncDatabase, tables: Tables) -> None:
    if lane.family != "sqlite":
        pytest.skip("there are several connections")
    await tables(Note)
    async with asyncio.timeout(5), database.connection() as conn:
        with pytest.raises(TransactionTaskError, match="pinned connection"):
            await Note.objects.create(text="ada")
        with pytest.raises(TransactionTaskError, match=r"atomic\(connection=…\)"):
            async with atomic():
                pass
        with pytest.raises(TransactionTaskError):
            async with database.connection():
                pass
        if not database.in_memory:
            assert await Note.objects.count() == 0
        async with atomic(connection=conn):
            await Note.objects.create(text="ada")
            with outside_transaction(), pytest.raises(TransactionTaskError):
                await Note.objects.create(text="eve")
    async with atomic():
        with pytest.raises(TransactionTaskError):
            async with database.connection():
                pass
    assert await Note.objects.count() == 1


async def test_tasks_take_turns(lane: Lane, database: AsyncDatabase, tables: Tables) -> None:
    await tables(Note)
    async with database.connection() as conn:
        select = lane.sql(f"SELECT {lane.cast(1)} AS n")
        answers = await asyncio.gather(*(conn.fetch(select, [n]) for n in range(50)))
        assert [int(rows[0]["n"]) for rows in answers] == list(range(50))

        async def block(n: int) -> None:
            async with atomic(connection=conn):
                (row,) = await conn.fetch("SELECT count(*) AS n FROM pinned_note")
                await asyncio.sleep(0)
                await Note.objects.create(text=f"note {row['n']}")

        # A read and a write that depends on it: side by side, two of them would make the same note.
        await asyncio.gather(*(block(n) for n in range(10)))
        assert await conn.fetch("SELECT count(*) AS n FROM pinned_note") == [{"n": 10}]


async def test_outside_the_transaction_of_the_connection(lane: Lane, database: AsyncDatabase, tables: Tables) -> None:
    await tables(Note)
    async with asyncio.timeout(5), database.connection() as conn:
        async with atomic(connection=conn):
            await Note.objects.create(text="ada")
            with outside_transaction(), pytest.raises(TransactionTaskError, match="wait for that transaction"):
                await conn.fetch("SELECT 1 AS one")
        assert await conn.fetch("SELECT 1 AS one") == [{"one": 1}]


async def test_used_at_the_wrong_time_or_place(lane: Lane, database: AsyncDatabase) -> None:
    context = database.connection()
    async with context as conn:
        with pytest.raises(OperationalError, match="open already"):
            await context.__aenter__()
        errors: list[BaseException] = []

        def elsewhere() -> None:
            async def use() -> None:
                await conn.fetch("SELECT 1 AS one")

            try:
                asyncio.run(use())
            except BaseException as error:
                errors.append(error)

        thread = threading.Thread(target=elsewhere)
        thread.start()
        await asyncio.to_thread(thread.join)
        assert [type(error) for error in errors] == [OperationalError]
        assert "another event loop" in str(errors[0])
        child = asyncio.create_task(_later(conn))
    assert not conn.active
    for use in (conn.fetch("SELECT 1 AS one"), conn.execute("SELECT 1"), child):
        with pytest.raises(OperationalError, match="its block ended"):
            await use
    with pytest.raises(OperationalError, match="its block ended"):
        async with atomic(connection=conn):
            pass
    with pytest.raises(OperationalError, match="not open"):
        await context.__aexit__(None, None, None)


async def _later(conn: AsyncConnection) -> None:
    await asyncio.sleep(0.05)
    await conn.fetch("SELECT 1 AS one")


async def test_leaving_stops_what_others_run(lane: Lane, database: AsyncDatabase) -> None:
    async with asyncio.timeout(10):
        async with database.connection() as conn:
            child = asyncio.create_task(conn.fetch(LONG[lane.family]))
            second = asyncio.create_task(conn.fetch("SELECT 1 AS one"))
            await asyncio.sleep(0.1)
        for task in (child, second):
            with pytest.raises(OperationalError, match="given back"):
                await task
    async with asyncio.timeout(5), database.connection() as conn:
        assert await conn.fetch("SELECT 1 AS one") == [{"one": 1}]


async def test_deadlines(lane: Lane, database: AsyncDatabase, tmp_path: Path) -> None:
    async with single(lane, tmp_path, statement_timeout=0.1) as one, one.connection() as conn:
        with pytest.raises(QueryTimeoutError):
            await conn.fetch(LONG[lane.family])
        assert await conn.fetch("SELECT 1 AS one") == [{"one": 1}]
    async with single(lane, tmp_path, acquire_timeout=0.2) as one, one.connection() as conn:
        context = asyncio.create_task(_open(one))
        if lane.family == "sqlite":
            # It inherits that this context has the only writer.
            with pytest.raises(TransactionTaskError):
                await context
        else:
            with pytest.raises(PoolTimeoutError):
                await context
        started = asyncio.Event()

        async def hold() -> None:
            async with atomic(connection=conn):
                started.set()
                await asyncio.sleep(0.6)

        holder = asyncio.create_task(hold())
        await started.wait()
        # For its turn on a connection that another task has, it waits no longer than for a connection.
        with pytest.raises(PoolTimeoutError, match="pinned connection"):
            await conn.fetch("SELECT 1 AS one")
        await holder
        assert await conn.fetch("SELECT 1 AS one") == [{"one": 1}]


async def _open(database: AsyncDatabase) -> None:
    async with database.connection():
        pass


async def test_a_transaction_whose_time_is_up(lane: Lane, database: AsyncDatabase) -> None:
    """Its deadline ends the transaction, not the connection; and what outlives it is no part of anything."""
    async with asyncio.timeout(10), database.connection() as conn:
        await conn.execute(PICKED[lane.family])
        with pytest.raises(TransactionTimeoutError):
            async with atomic(connection=conn, timeout=0.1):
                await conn.execute("INSERT INTO picked VALUES (1)")
                late = asyncio.create_task(_later(conn))
                await conn.fetch(LONG[lane.family])
        with pytest.raises(TransactionError):
            await late
        assert await conn.fetch("SELECT id FROM picked") == []
        async with atomic(connection=conn):
            late = asyncio.create_task(_later(conn))
        with pytest.raises(TransactionClosedError):
            await late


async def test_closing_the_database_ends_it(lane: Lane, tmp_path: Path, database: AsyncDatabase) -> None:
    one = AsyncDatabase(lane.url(tmp_path, "default"), name="single")
    await one.connect()
    async with one.connection() as conn:
        core = one.core
        assert core is not None
        one.core = None
        await core.close(0.1)
        with pytest.raises(OperationalError):
            await conn.fetch("SELECT 1 AS one")


async def test_what_was_forgotten_is_named(lane: Lane, database: AsyncDatabase) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ResourceWarning)
        conn: object = await database.connection().__aenter__()
        line = test_what_was_forgotten_is_named.__code__.co_firstlineno + 3
        del conn
        # In a context of its own, which is thrown away with it.
        await asyncio.create_task(_forget_transaction(database), context=copy_context())
        # The loop has to let go of the task.
        await asyncio.sleep(0)
        gc.collect()
    messages = [str(warning.message) for warning in caught if warning.category is ResourceWarning]
    assert [Path(__file__).name in message for message in messages] == [True, True], messages
    assert f":{line}, in test_what_was_forgotten_is_named" in messages[0]
    assert "in _forget_transaction" in messages[1]
    assert messages[1].startswith("a transaction on 'default' was never closed")
    async with asyncio.timeout(5):
        while database.stats()["in_use"]:
            await asyncio.sleep(0.01)


async def _forget_transaction(database: AsyncDatabase) -> None:
    await atomic(using=database).__aenter__()
