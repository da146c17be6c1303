"""Streams: the rows of a query one by one, while the database holds the rest."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import pytest

from oxyde import (
    AsyncDatabase,
    DataError,
    Field,
    Model,
    OxydeError,
    TransactionClosedError,
    atomic,
    execute_raw,
    outside_transaction,
)

from .conftest import Tables
from .lanes import Lane
from .models import Author, Book


class Step(Model):
    id: int | None = Field(default=None, db_pk=True)
    name: str
    size: int = 0

    class Meta:
        is_table = True
        table_name = "conf_step"


ROWS = 25


@pytest.fixture
async def steps(tables: Tables) -> None:
    await tables(Step)
    await Step.objects.bulk_create([Step(name=f"n{n}", size=n * n) for n in range(1, ROWS + 1)])


async def collected(rows: AsyncIterator[Any]) -> list[Any]:
    return [row async for row in rows]


async def settled(database: AsyncDatabase) -> None:
    """Soon, nobody holds a connection."""
    async with asyncio.timeout(2):
        while database.stats()["in_use"]:
            await asyncio.sleep(0.001)


@pytest.mark.usefixtures("steps")
class TestRows:
    @pytest.mark.parametrize("size", [1, 2, 5, ROWS - 1, ROWS, ROWS + 1, 10_000])
    async def test_are_those_of_the_query_whatever_the_chunks(self, size: int) -> None:
        query = Step.objects.order_by("-size")
        assert await collected(query.iterate(size)) == await query
        async with atomic():
            assert await collected(query.iterate(size)) == await query

    async def test_of_every_kind(self) -> None:
        base = Step.objects.filter(size__gt=9).order_by("id")
        for query in (
            base,
            base.only("name"),
            base.values("id", "name"),
            base.values_list("name", "size"),
            base.values_list("size", flat=True),
            base[3:11],
            base.limit(0),
            Step.objects.values_list("name", flat=True).distinct().order_by("name"),
        ):
            found = await collected(query.iterate(4))
            expected: list[Any] = await query.all()
            assert found == expected
            assert [type(row) for row in found] == [type(row) for row in expected]

    async def test_number_none_and_one(self) -> None:
        assert await collected(Step.objects.filter(id=-1).iterate()) == []
        assert [step.id async for step in Step.objects.filter(id=7)] == [7]

    async def test_know_where_they_come_from(self, database: AsyncDatabase) -> None:
        async for step in Step.objects.order_by("id").iterate(10, using="default"):
            step.size = -1
            await step.save()
        assert await Step.objects.filter(size=-1).count() == ROWS

    async def test_of_the_manager_and_of_a_query(self) -> None:
        assert len(await collected(Step.objects.iterate())) == ROWS
        assert [step.id async for step in Step.objects.order_by("id")] == list(range(1, ROWS + 1))

    async def test_twice(self) -> None:
        query = Step.objects.order_by("id")
        assert await collected(query.iterate(7)) == await collected(query.iterate(8))

    async def test_chunk_sizes_that_are_none(self) -> None:
        for wrong in (0, -1, 2**31):
            with pytest.raises(ValueError, match="chunk_size must be a number of rows"):
                Step.objects.order_by("id").iterate(wrong)
        for other in (True, 1.5, "10", None):
            with pytest.raises(TypeError, match="chunk_size must be an int"):
                Step.objects.order_by("id").iterate(other)  # type: ignore[arg-type]


async def test_relations_and_other_types(tables: Tables) -> None:
    await tables(Author, Book)
    await Author.objects.create(name="Ann")
    await Book.objects.bulk_create([{"title": f"t{n}", "price": f"{n}.50", "author_id": 1} for n in range(5)])
    query = Book.objects.order_by("id")
    assert await collected(query.iterate(2)) == await query
    assert [row["price"] async for row in query.values("price").iterate(2)] == [
        row["price"] for row in await query.values("price")
    ]


@pytest.mark.usefixtures("steps")
class TestConnections:
    async def test_one_is_held_while_there_are_rows_to_come(self, database: AsyncDatabase) -> None:
        shared = database.in_memory
        held = []
        async for _ in Step.objects.order_by("id").iterate(10):
            held.append(database.stats()["in_use"])
        # Nothing is left to come when the last chunk is there.
        assert held == [0 if shared else 1] * 20 + [0] * 5
        assert database.stats()["in_use"] == 0

    async def test_queries_in_the_loop(self) -> None:
        seen = []
        async for step in Step.objects.order_by("id").iterate(5):
            assert step.id is not None
            other = await Step.objects.get(id=step.id)
            await Step.objects.filter(id=step.id).update(name="seen")
            seen.append(other)
        assert len(seen) == ROWS
        assert await Step.objects.filter(name="seen").count() == ROWS

    async def test_transactions_in_the_loop(self) -> None:
        async for step in Step.objects.order_by("id").iterate(5):
            async with atomic():
                await Step.objects.filter(id=step.id).update(size=0)
        assert await Step.objects.filter(size=0).count() == ROWS

    async def test_two_at_once(self) -> None:
        first = Step.objects.order_by("id").iterate(3)
        second = Step.objects.order_by("-id").iterate(4)
        pairs = []
        async for one in first:
            other = await anext(second)
            pairs.append((one.id, other.id))
        assert pairs == [(n, ROWS + 1 - n) for n in range(1, ROWS + 1)]
        assert [step async for step in second] == []

    async def test_many_at_once(self, database: AsyncDatabase) -> None:
        async def read(size: int) -> int:
            return len([step async for step in Step.objects.iterate(size)])

        assert await asyncio.gather(*(read(size) for size in range(1, 30))) == [ROWS] * 29
        assert database.stats()["in_use"] == 0

    async def test_an_unreadable_row(self, database: AsyncDatabase) -> None:
        """The chunks before it are whole; then the stream fails as the query does."""

        class Named(Model):
            id: int = Field(db_pk=True)
            name: str

            class Meta:
                is_table = True
                table_name = "conf_named"

        await execute_raw("CREATE TABLE conf_named (id BIGINT PRIMARY KEY, name VARCHAR(9))")
        for n in range(1, 13):
            await execute_raw(f"INSERT INTO conf_named VALUES ({n}, {'NULL' if n == 9 else repr('name')})")
        found = []
        rows = Named.objects.order_by("id").iterate(4)
        with pytest.raises(DataError, match="conf_named.*id=9.*name"):
            async for row in rows:
                found.append(row.id)
        assert found == list(range(1, 9))
        with pytest.raises(StopAsyncIteration):
            await anext(rows)
        await settled(database)
        await execute_raw("DROP TABLE conf_named")

    async def test_an_error_of_the_database(self, database: AsyncDatabase) -> None:
        class Missing(Model):
            id: int = Field(db_pk=True)

            class Meta:
                is_table = True
                table_name = "conf_missing"

        with pytest.raises(OxydeError) as awaited:
            await Missing.objects.order_by("id")
        with pytest.raises(type(awaited.value)) as streamed:
            await collected(Missing.objects.order_by("id").iterate())
        assert str(streamed.value) == str(awaited.value)
        await settled(database)


@pytest.mark.usefixtures("steps")
class TestTransactions:
    async def test_other_statements_beside_it(self, database: AsyncDatabase) -> None:
        async with atomic():
            count = 0
            async for step in Step.objects.filter(size__gt=0).order_by("id").iterate(4):
                count += 1
                assert database.stats()["in_use"] == 1
                await Step.objects.filter(id=step.id).update(name="seen")
                assert (await Step.objects.get(id=step.id)).name == "seen"
                async with atomic():
                    await Step.objects.create(name="more", size=-count)
            assert count == ROWS
        assert await Step.objects.filter(name="seen").count() == ROWS
        assert await Step.objects.filter(name="more").count() == ROWS

    async def test_sees_what_the_transaction_has_done(self) -> None:
        async with atomic() as tx:
            await Step.objects.filter(id__gt=3).delete()
            assert [step.id async for step in Step.objects.order_by("id").iterate(2)] == [1, 2, 3]
            tx.set_rollback()
        assert len(await collected(Step.objects.iterate(2))) == ROWS

    async def test_in_a_reading_one(self) -> None:
        async with atomic(read_only=True):
            assert len(await collected(Step.objects.iterate(2))) == ROWS

    async def test_left_early(self, database: AsyncDatabase) -> None:
        async with atomic():
            for _ in range(5):
                async for step in Step.objects.order_by("id").iterate(3):
                    if step.id == 5:
                        break
                await Step.objects.create(name="after")
        assert await Step.objects.filter(name="after").count() == 5
        assert database.stats()["in_use"] == 0

    async def test_two_at_once(self) -> None:
        async with atomic():
            other = Step.objects.order_by("-id").iterate(4)
            async with aclosing(other):
                async for step in Step.objects.order_by("id").iterate(3):
                    assert (await anext(other)).id == ROWS + 1 - (step.id or 0)

    async def test_outlives_its_block(self, database: AsyncDatabase) -> None:
        async with atomic():
            rows = Step.objects.order_by("id").iterate(3)
            assert (await anext(rows)).id == 1
        found = [1]
        with pytest.raises(TransactionClosedError):
            async for step in rows:
                found.append(step.id or 0)
        assert found == [1, 2, 3]
        assert database.stats()["in_use"] == 0

    async def test_begins_where_the_first_row_is_wanted(self) -> None:
        rows = Step.objects.order_by("id").iterate(3)
        async with atomic() as tx:
            await Step.objects.filter(id=1).update(name="inside")
            assert (await anext(rows)).name == "inside"
            await rows.aclose()
            tx.set_rollback()

    async def test_named(self, lane: Lane) -> None:
        async with atomic() as tx:
            await Step.objects.filter(id=1).update(name="inside")

            async def elsewhere() -> list[str]:
                rows = Step.objects.order_by("id").iterate(10, client=tx)
                return [step.name async for step in rows][:1]

            with outside_transaction():
                assert await elsewhere() == ["inside"]

    async def test_beside_one(self, lane: Lane, database: AsyncDatabase) -> None:
        """Where there is another connection, a stream outside of the transaction sees what is committed."""
        if database.in_memory:
            return
        async with atomic():
            await Step.objects.filter(id=1).update(name="inside")
            with outside_transaction():
                rows = Step.objects.order_by("id").iterate(10)
                assert (await anext(rows)).name == "n1"
                await rows.aclose()
