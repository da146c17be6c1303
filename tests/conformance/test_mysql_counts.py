"""Guards that count what goes over the wire to MySQL and MariaDB: commands, flights, preparations."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest

from oxyde import AsyncDatabase, F, Field, Model, atomic
from tests.servers import mysql_databases

from .conftest import Tables
from .lanes import mysql
from .relay import Flown, Relay, flown, through

pytestmark = mysql

COMMANDS = {1: "quit", 3: "query", 0x0E: "ping", 0x16: "prepare", 0x17: "execute", 0x19: "close", 0x1F: "reset"}
FULL = 0xFFFFFF


class Kept(Model):
    id: int | None = Field(default=None, db_pk=True)
    name: str = Field(db_unique=True)
    size: int
    colour: str = Field(db_default="'red'")

    class Meta:
        is_table = True
        table_name = "conf_kept"


class Commands:
    """By the names that ``COMMANDS`` gives them."""

    def __init__(self) -> None:
        self.rest, self.goes_on = b"", False

    def feed(self, piece: bytes) -> Iterator[str]:
        self.rest += piece
        while len(self.rest) >= 4 and len(self.rest) >= 4 + (length := int.from_bytes(self.rest[:3], "little")):
            # A command begins with number 0; what is behind a full packet, or part of the login, does not.
            if self.rest[3] == 0 and not self.goes_on:
                yield COMMANDS[self.rest[4]]
            self.goes_on = length == FULL
            self.rest = self.rest[4 + length :]


@pytest.fixture
async def relay(database: AsyncDatabase, tables: Tables) -> AsyncIterator[Relay]:
    """The lane's database through a relay, on one connection."""
    await flown(tables, Kept)
    async with through(database, Commands, connections=1, port=3306) as relay:
        yield relay


@pytest.fixture
async def four(database: AsyncDatabase, tables: Tables) -> AsyncIterator[Relay]:
    """The same on four."""
    await flown(tables)
    async with through(database, Commands, connections=4, port=3306) as relay:
        yield relay


KNOWN = {"execute": 1}
NEW = {"prepare": 1, "execute": 1}


async def test_one_flight_for_a_statement(relay: Relay) -> None:
    """The first time it is prepared before it is run; after that it is only run."""
    work: dict[str, Callable[[], Awaitable[Any]]] = {
        "get": lambda: Flown.objects.get(id=5),
        "rows": lambda: Flown.objects.filter(size__gte=10).all(),
        "count": lambda: Flown.objects.count(),
        "in": lambda: Flown.objects.filter(id__in=[1, 2, 3]).all(),
        "create": lambda: Flown.objects.create(name="new", size=1),
        "update": lambda: Flown.objects.filter(id=5).update(size=F("size") + 1),
        "delete": lambda: Flown.objects.filter(id=6).delete(),
        "bulk": lambda: Flown.objects.bulk_create([Flown(name="b", size=number) for number in range(400)]),
    }
    for name, one in work.items():
        assert await relay.count(one) == NEW, name
    for name, one in work.items():
        assert await relay.count(one) == KNOWN, name
        assert relay.last_writes == 1, name


async def test_a_shape_is_prepared_once_on_a_connection(relay: Relay) -> None:
    async def different() -> None:
        for number in range(1, 51):
            await Flown.objects.filter(size__gte=number, name__in=[f"n{number}"] * number).order_by("-size")[:number]

    assert await relay.count(different) == {"prepare": 1, "execute": 50}
    assert await relay.count(different) == {"execute": 50}


async def test_many_rows_are_few_statements_in_one_transaction(relay: Relay) -> None:
    async def many() -> None:
        rows = await Flown.objects.bulk_create([Flown(name="b", size=number) for number in range(5_000)])
        assert len({row.id for row in rows}) == 5_000

    # 10,000 values: two statements of 4,096 and one of the rest, between BEGIN and COMMIT.
    assert await relay.count(many) == {"query": 2, "prepare": 2, "execute": 3}
    assert await relay.count(many) == {"query": 2, "execute": 3}


async def test_a_transaction_is_a_flight_for_each_of_its_statements(relay: Relay) -> None:
    async def transaction() -> None:
        async with atomic():
            await Flown.objects.get(id=1)
            async with atomic():
                await Flown.objects.get(id=1)

    await transaction()
    # BEGIN, SAVEPOINT, RELEASE and COMMIT are texts.
    assert await relay.count(transaction) == {"query": 4, "execute": 2}
    assert relay.last_writes == 6


async def test_reads_at_once_are_sent_together(four: Relay) -> None:
    async def at_once() -> None:
        await asyncio.gather(*(Flown.objects.get(id=number) for number in range(1, 101)))

    await at_once()
    assert await four.count(at_once) == {"execute": 100}
    # Four go out at once; the others are collected behind them.
    assert four.last_writes <= 50, four.last_writes


class TestWhatComesBack:
    """Rows are written together and read together, where the database does not return them with the write."""

    @pytest.fixture
    def returns(self, relay: Relay) -> bool:
        return mysql_databases.mariadb()

    async def test_of_upserts(self, relay: Relay, returns: bool) -> None:
        async def upserts() -> None:
            rows = [{"name": f"n{number}", "size": number} for number in range(300)]
            found = await Kept.objects.bulk_create(rows, on_conflict="update", conflict_fields=["name"], returning=True)
            assert [(row.name, row.size, row.colour) for row in found] == [(f"n{n}", n, "red") for n in range(300)]

        await upserts()
        assert await relay.count(upserts) == (KNOWN if returns else {"query": 2, "execute": 2})

    async def test_of_inserts(self, relay: Relay, returns: bool) -> None:
        first = 0

        async def inserts() -> None:
            nonlocal first
            first += 300
            rows = [{"name": f"n{number}", "size": number} for number in range(first, first + 300)]
            found = await Kept.objects.bulk_create(rows, returning=True)
            assert [row.name for row in found] == [row["name"] for row in rows]

        await inserts()
        assert await relay.count(inserts) == (KNOWN if returns else {"query": 2, "execute": 2})

    async def test_of_upserts_in_a_transaction(self, relay: Relay, returns: bool) -> None:
        """What was read in it before may be what a plain SELECT shows, so each row is read under its lock."""

        async def upserts() -> None:
            async with atomic():
                await Kept.objects.bulk_create(
                    [{"name": f"n{number}", "size": number} for number in range(10)],
                    on_conflict="update",
                    conflict_fields=["name"],
                    returning=True,
                )

        await upserts()
        # BEGIN, SAVEPOINT, RELEASE, COMMIT.
        counted = {"query": 2, "execute": 1} if returns else {"query": 4, "execute": 11}
        assert await relay.count(upserts) == counted
