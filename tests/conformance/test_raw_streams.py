"""Streams of raw SQL: `iterate_raw()`, and `iterate()` of a connection that is kept."""

from __future__ import annotations

import asyncio
import datetime as dt
import decimal
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any

import pytest

from oxyde import (
    AsyncConnection,
    AsyncDatabase,
    DatabaseError,
    DataError,
    Field,
    Model,
    NotSupportedError,
    OperationalError,
    ProgrammingError,
    TransactionClosedError,
    TransactionError,
    TransactionTaskError,
    advisory_lock,
    atomic,
    execute_raw,
    get_active_transaction,
    iterate_raw,
    outside_transaction,
)

from .conftest import Tables
from .lanes import Lane
from .test_streams import collected, settled


class Pebble(Model):
    id: int | None = Field(default=None, db_pk=True)
    name: str
    size: int = 0

    class Meta:
        is_table = True
        table_name = "conf_pebble"


ROWS = 25
ALL = "SELECT id, name, size FROM conf_pebble ORDER BY id"
OLD = ALL.replace("ORDER", "WHERE size > 0 ORDER")
"""Without what is added in the loop: SQLite would come to that, too."""
BEGIN = {"sqlite": "BEGIN IMMEDIATE", "postgres": "BEGIN", "mysql": "START TRANSACTION"}
LONG = {
    "sqlite": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) AS top FROM n",
    "postgres": "SELECT pg_sleep(100)::text AS top",
    "mysql": "SELECT SLEEP(100) AS top",
}


@pytest.fixture
async def pebbles(tables: Tables) -> None:
    await tables(Pebble)
    await Pebble.objects.bulk_create([Pebble(name=f"n{n}", size=n * n) for n in range(1, ROWS + 1)])


@asynccontextmanager
async def somewhere(database: AsyncDatabase, where: str) -> AsyncIterator[Any]:
    """What has the streams: `iterate` of a kept connection or `iterate_raw`, in a transaction or outside of one."""
    if where == "pool":
        yield iterate_raw
    elif where == "atomic":
        async with atomic():
            yield iterate_raw
    else:
        async with database.connection() as conn:
            if where == "pinned":
                yield conn.iterate
            elif where == "by hand":
                family = {"mariadb": "mysql"}.get(database.backend, database.backend)
                await conn.execute(BEGIN[family])
                yield conn.iterate
                await conn.execute("COMMIT")
            else:
                async with atomic(connection=conn):
                    yield conn.iterate


EVERYWHERE = pytest.mark.parametrize("where", ["pool", "atomic", "pinned", "pinned atomic", "by hand"])
ON_A_CONNECTION = pytest.mark.parametrize("where", ["pinned", "pinned atomic", "by hand"])


@pytest.mark.usefixtures("pebbles")
class TestRows:
    @EVERYWHERE
    @pytest.mark.parametrize("size", [1, 7, ROWS, 10_000])
    async def test_are_those_of_execute_raw(self, database: AsyncDatabase, where: str, size: int) -> None:
        expected = await execute_raw(ALL)
        async with somewhere(database, where) as iterate:
            assert await collected(iterate(ALL, chunk_size=size)) == expected
            assert await collected(iterate(ALL, chunk_size=size)) == expected
        await settled(database)

    @EVERYWHERE
    async def test_parameters(self, lane: Lane, database: AsyncDatabase, where: str) -> None:
        sql = lane.sql("SELECT id FROM conf_pebble WHERE size > ? AND name <> ? ORDER BY id")
        async with somewhere(database, where) as iterate:
            assert [row["id"] async for row in iterate(sql, [100, "n12"], chunk_size=4)] == [11, *range(13, ROWS + 1)]
            assert await collected(iterate(sql, (10_000, "n12"))) == []
            with pytest.raises(ProgrammingError):
                await collected(iterate(sql, [100]))

    @EVERYWHERE
    async def test_native_values(self, lane: Lane, database: AsyncDatabase, where: str) -> None:
        given = [3, "text", b"\x00\xff", 2.5, dt.datetime(2024, 2, 29, 12, 30, 15, 5), None]
        columns = ", ".join(f"{lane.cast(value)} AS v{n}" for n, value in enumerate(given))
        sql = lane.sql(f"SELECT {columns}")
        expected = await execute_raw(sql, given)
        async with somewhere(database, where) as iterate:
            found = await collected(iterate(sql, given))
        assert found == expected
        assert [type(value) for value in found[0].values()] == [type(value) for value in expected[0].values()]

    @EVERYWHERE
    async def test_no_rows_at_all(self, lane: Lane, database: AsyncDatabase, where: str) -> None:
        """A statement without rows is run; outside of a transaction a stream only reads."""
        sql = lane.sql("UPDATE conf_pebble SET size = ? WHERE id = 3")
        if where in ("pool", "pinned"):
            async with somewhere(database, where) as iterate:
                if not (where == "pool" and database.in_memory):
                    with pytest.raises((DatabaseError, TransactionTaskError)):
                        await collected(iterate(sql, [-5]))
            return
        async with somewhere(database, where) as iterate:
            assert await collected(iterate(sql, [-5])) == []
        assert (await Pebble.objects.get(id=3)).size == -5

    async def test_what_writes_and_returns(self, lane: Lane, database: AsyncDatabase) -> None:
        if not lane.has("returning") and database.backend != "mariadb":
            return
        async with database.connection() as conn, atomic(connection=conn):
            sql = lane.sql("INSERT INTO conf_pebble (name, size) VALUES (?, 0), ('b', 1), ('c', 2) RETURNING name")
            assert [row["name"] async for row in conn.iterate(sql, ["a"], chunk_size=2)] == ["a", "b", "c"]
        assert await Pebble.objects.count() == ROWS + 3

    @EVERYWHERE
    async def test_wrong_statements(self, lane: Lane, database: AsyncDatabase, where: str) -> None:
        """The same errors as those of `execute_raw`, and no stream is left open."""
        for sql in ("SELECT id, name AS id FROM conf_pebble", "SELECT nothing FROM conf_pebble", "-- nothing"):
            with pytest.raises(DatabaseError) as fetched:
                await execute_raw(sql)
            async with somewhere(database, "pinned" if where == "by hand" else where) as iterate:
                with pytest.raises(type(fetched.value)) as caught:
                    await collected(iterate(sql))
                if "atomic" in where and lane.family == "postgres":
                    # A failed statement spoils its block.
                    get_active_transaction().set_rollback()  # type: ignore[union-attr]
            assert str(caught.value) == str(fetched.value)
        await settled(database)

    async def test_wrong_arguments(self, lane: Lane, database: AsyncDatabase) -> None:
        async with database.connection() as conn:
            for iterate in (conn.iterate, iterate_raw):
                for wrong in (0, -1, 2**31):
                    with pytest.raises(ValueError, match="chunk_size must be a number of rows"):
                        iterate(ALL, chunk_size=wrong)  # type: ignore[operator]
                with pytest.raises(TypeError, match="chunk_size must be an int"):
                    iterate(ALL, chunk_size="10")  # type: ignore[operator]
                with pytest.raises(TypeError, match="list or tuple"):
                    iterate(ALL, "abc")  # type: ignore[operator]
                with pytest.raises(TypeError, match="str"):
                    iterate(b"SELECT 1")  # type: ignore[operator]
        with pytest.raises(OperationalError, match="given back"):
            await collected(conn.iterate(ALL))

    @EVERYWHERE
    async def test_a_parameter_that_cannot_be_sent(self, lane: Lane, database: AsyncDatabase, where: str) -> None:
        sql = lane.sql("SELECT id FROM conf_pebble WHERE size = ?")
        for value in (object(), 2**80):
            async with somewhere(database, where) as iterate:
                with pytest.raises((DataError, TypeError, DatabaseError)) as caught:
                    await collected(iterate(sql, [value]))
                assert "parameter 1" in str(caught.value)
                # Nothing was sent, so nothing is broken.
                assert len(await collected(iterate(sql, [decimal.Decimal(4)] if lane.family == "mysql" else [4]))) == 1


@pytest.mark.usefixtures("pebbles")
class TestTransactions:
    """What holds for the streams of queries in `atomic()` holds here."""

    @pytest.mark.parametrize("where", ["atomic", "pinned atomic", "by hand"])
    async def test_other_statements_beside_it(self, lane: Lane, database: AsyncDatabase, where: str) -> None:
        update = lane.sql("UPDATE conf_pebble SET name = 'seen' WHERE id = ?")
        async with somewhere(database, where) as iterate:
            run = iterate.__self__.fetch if where != "atomic" else execute_raw
            count = 0
            async for row in iterate("SELECT id FROM conf_pebble WHERE size > 0 ORDER BY id", chunk_size=4):
                count += 1
                await run(update, [row["id"]])
                (found,) = await run(lane.sql("SELECT name FROM conf_pebble WHERE id = ?"), [row["id"]])
                assert found == {"name": "seen"}
            assert count == ROWS
        assert await Pebble.objects.filter(name="seen").count() == ROWS

    @pytest.mark.parametrize("where", ["atomic", "pinned atomic"])
    async def test_queries_and_blocks_beside_it(self, database: AsyncDatabase, where: str) -> None:
        async with somewhere(database, where) as iterate:
            async for row in iterate(OLD, chunk_size=4):
                async with atomic():
                    await Pebble.objects.create(name="more", size=-row["id"])
            two = iterate(f"{OLD} DESC", chunk_size=3)
            async with aclosing(two):
                async for pebble in Pebble.objects.filter(size__gt=0).order_by("id").iterate(4):
                    assert (await anext(two))["id"] == ROWS + 1 - (pebble.id or 0)
        assert await Pebble.objects.filter(name="more").count() == ROWS

    @pytest.mark.parametrize("where", ["atomic", "pinned atomic", "by hand"])
    async def test_sees_what_the_transaction_has_done(self, database: AsyncDatabase, where: str) -> None:
        async with somewhere(database, where) as iterate:
            run = iterate.__self__.fetch if where != "atomic" else execute_raw
            await run("DELETE FROM conf_pebble WHERE id > 3")
            assert [row["id"] async for row in iterate(ALL, chunk_size=2)] == [1, 2, 3]

    @pytest.mark.parametrize("where", ["atomic", "pinned atomic", "by hand"])
    async def test_left_early(self, database: AsyncDatabase, where: str) -> None:
        async with somewhere(database, where) as iterate:
            run = iterate.__self__.fetch if where != "atomic" else execute_raw
            for _ in range(5):
                async for row in iterate(ALL, chunk_size=3):
                    if row["id"] == 5:
                        break
                await run("UPDATE conf_pebble SET size = size + 1 WHERE id = 1")
        assert (await Pebble.objects.get(id=1)).size == 6
        await settled(database)

    async def test_outlives_its_block(self, database: AsyncDatabase) -> None:
        async with database.connection() as conn:
            async with atomic(connection=conn):
                rows = conn.iterate(ALL, chunk_size=3)
                assert (await anext(rows))["id"] == 1
            found = [1]
            with pytest.raises(TransactionClosedError):
                async for row in rows:
                    found.append(row["id"])
            assert found == [1, 2, 3]
            assert len(await conn.fetch(ALL)) == ROWS

    async def test_ended_by_hand(self, lane: Lane, database: AsyncDatabase) -> None:
        """On SQLite an open statement outlives its transaction."""
        async with database.connection() as conn:
            await conn.execute(BEGIN[lane.family])
            rows = conn.iterate(ALL, chunk_size=3)
            assert (await anext(rows))["id"] == 1
            await conn.execute("COMMIT")
            if lane.family == "sqlite":
                assert len(await collected(rows)) == ROWS - 1
            else:
                with pytest.raises(TransactionError, match="transaction has ended"):
                    await collected(rows)
            assert len(await conn.fetch(ALL)) == ROWS
        await settled(database)
        await Pebble.objects.create(name="the connection is whole")

    async def test_named_and_beside(self, lane: Lane, database: AsyncDatabase) -> None:
        async with atomic() as tx:
            await Pebble.objects.filter(id=1).update(name="inside")
            with outside_transaction():
                assert (await collected(iterate_raw(ALL, client=tx)))[0]["name"] == "inside"
                if not database.in_memory:
                    assert (await collected(iterate_raw(ALL, using="default")))[0]["name"] == "n1"

    async def test_what_may_end_the_transaction(self, lane: Lane, database: AsyncDatabase) -> None:
        if lane.family != "mysql":
            return
        async with database.connection() as conn, atomic(connection=conn):
            with pytest.raises(NotSupportedError, match="end its transaction"):
                await collected(conn.iterate("COMMIT AND CHAIN"))
            assert len(await collected(conn.iterate(ALL))) == ROWS


@pytest.mark.usefixtures("pebbles")
class TestOnAKeptConnection:
    @ON_A_CONNECTION
    async def test_sees_the_session(self, lane: Lane, database: AsyncDatabase, where: str) -> None:
        temporary = {"mysql": "TEMPORARY"}.get(lane.family, "TEMP")
        async with database.connection() as conn:
            await conn.execute(f"CREATE {temporary} TABLE conf_picked (id int)")
            await conn.execute("INSERT INTO conf_picked VALUES (1), (2), (3)")
            if where == "by hand":
                await conn.execute(BEGIN[lane.family])
            if where == "pinned atomic":
                async with atomic(connection=conn):
                    found = [row["id"] async for row in conn.iterate("SELECT id FROM conf_picked", chunk_size=2)]
            else:
                found = [row["id"] async for row in conn.iterate("SELECT id FROM conf_picked", chunk_size=2)]
            assert sorted(found) == [1, 2, 3]

    @ON_A_CONNECTION
    async def test_takes_no_other_connection(self, database: AsyncDatabase, where: str) -> None:
        async with somewhere(database, where) as iterate:
            async for _ in iterate(ALL, chunk_size=10):
                assert database.stats()["in_use"] == 1

    async def test_statements_in_its_loop_are_refused_at_once(self, lane: Lane, database: AsyncDatabase) -> None:
        """Outside of a transaction the stream has the connection: they would wait for themselves."""
        async with database.connection() as conn:
            async for row in conn.iterate(ALL, chunk_size=10):
                if row["id"] in (1, 12):
                    with pytest.raises(TransactionTaskError, match=r"atomic\(connection=…\)"):
                        await conn.fetch("SELECT 1 AS one")
                    with pytest.raises(TransactionTaskError):
                        await asyncio.gather(conn.execute("UPDATE conf_pebble SET size = 0"))
                    with pytest.raises(TransactionTaskError):
                        await anext(conn.iterate(ALL))
                    with pytest.raises(TransactionTaskError):
                        async with atomic(connection=conn):
                            pass
                if row["id"] == ROWS:
                    # All rows are there: nobody has the connection any more.
                    assert await conn.fetch("SELECT 1 AS one") == [{"one": 1}]
            assert len(await conn.fetch(ALL)) == ROWS

    async def test_other_tasks_wait_for_it(self, database: AsyncDatabase) -> None:
        order: list[str] = []

        async def read(conn: AsyncConnection) -> None:
            async for row in conn.iterate(ALL, chunk_size=5):
                if row["id"] == 1:
                    begun.set()
                await asyncio.sleep(0.001)
            order.append("stream")

        async def ask(conn: AsyncConnection) -> None:
            await begun.wait()
            await conn.fetch("SELECT 1 AS one")
            order.append("statement")

        begun = asyncio.Event()
        async with asyncio.timeout(10), database.connection() as conn:
            await asyncio.gather(read(conn), ask(conn))
        assert order == ["stream", "statement"]

    @pytest.mark.parametrize("way", ["break", "exception", "return", "aclose", "dropped", "cancel"])
    async def test_left_in_whatever_way(self, database: AsyncDatabase, way: str) -> None:
        async def leave(conn: AsyncConnection) -> None:
            if way == "aclose":
                async with aclosing(conn.iterate(ALL, chunk_size=3)) as rows:
                    assert (await anext(rows))["id"] == 1
                return
            if way == "dropped":
                rows = conn.iterate(ALL, chunk_size=3)
                assert (await anext(rows))["id"] == 1
                del rows
                return
            async for row in conn.iterate(ALL, chunk_size=3):
                if row["id"] == 8:
                    if way == "exception":
                        raise LookupError
                    if way == "return":
                        return
                    if way == "cancel":
                        await asyncio.sleep(60)
                    break
            # In the same turn of the loop: the stream was left, and is not in the way.
            assert await conn.fetch("SELECT 1 AS one") == [{"one": 1}]

        async with asyncio.timeout(10), database.connection() as conn:
            for _ in range(3):
                task = asyncio.create_task(leave(conn))
                if way == "cancel":
                    await asyncio.sleep(0.05)
                    task.cancel()
                await asyncio.wait([task])
                error = None if task.cancelled() else task.exception()
                assert type(error) is (LookupError if way == "exception" else type(None)), error
                assert task.cancelled() is (way == "cancel")
                assert await conn.fetch("SELECT 1 AS one") == [{"one": 1}]
                async with atomic(connection=conn):
                    await conn.execute("UPDATE conf_pebble SET size = 0 WHERE id = 1")
        await settled(database)

    async def test_the_block_ends_first(self, database: AsyncDatabase) -> None:
        async with database.connection() as conn:
            rows = conn.iterate(ALL, chunk_size=3)
            assert (await anext(rows))["id"] == 1
        with pytest.raises((OperationalError, TransactionError)):
            await collected(rows)
        await settled(database)

    async def test_cancelled_while_the_database_works(self, lane: Lane, database: AsyncDatabase) -> None:
        async with asyncio.timeout(20), database.connection() as conn:
            for inside in (False, True):
                task = asyncio.create_task(_read_long(conn, lane, inside))
                await asyncio.sleep(0.1)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
                assert await conn.fetch("SELECT 1 AS one") == [{"one": 1}]
        await settled(database)

    async def test_session_locks_go_with_the_connection(self, lane: Lane, database: AsyncDatabase) -> None:
        """What a streamed statement leaves in its session reaches nobody else."""
        if lane.family == "sqlite":
            return
        take = {
            "postgres": "SELECT pg_advisory_lock(4711)::text AS locked",
            "mysql": "SELECT GET_LOCK('oxyde_4711', 1)",
        }
        rows = await collected(iterate_raw(take[lane.family]))
        assert len(rows) == 1
        async with advisory_lock(4711, wait=5):
            pass


async def _read_long(conn: AsyncConnection, lane: Lane, inside: bool) -> None:
    if inside:
        async with atomic(connection=conn):
            await collected(conn.iterate(LONG[lane.family]))
    await collected(conn.iterate(LONG[lane.family]))


HELD = {
    "postgres": "SELECT count(*) AS n FROM pg_cursors WHERE name <> ''",
    "mysql": "SHOW GLOBAL STATUS LIKE 'Prepared_stmt_count'",
}


@pytest.mark.usefixtures("pebbles")
async def test_streams_to_their_end_leave_nothing_on_the_server(lane: Lane, database: AsyncDatabase) -> None:
    """Also before their transaction ends: servers take so many cursors, and no more."""
    if lane.family == "sqlite":
        return

    async def held() -> int:
        (row,) = await execute_raw(HELD[lane.family])
        return int(row.get("n") or row.get("Value") or 0)

    async with atomic():
        before = await held()
        for _ in range(40):
            assert len(await collected(iterate_raw(ALL, chunk_size=10))) == ROWS
            assert len(await collected(Pebble.objects.order_by("id").iterate(10))) == ROWS
        # Others may prepare something on the same server, and the last one goes with the next statement.
        await held()
        assert await held() < before + 20
