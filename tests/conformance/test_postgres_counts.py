"""Guards that count what goes over the wire to PostgreSQL: flights, preparations, and what is sent together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest

from oxyde import AsyncDatabase, F, atomic

from .conftest import Tables
from .lanes import postgres
from .relay import Flown, Relay, flown, through

pytestmark = postgres


class Messages:
    """By the letters of the protocol; the first one of a connection has none."""

    def __init__(self) -> None:
        self.rest, self.letter = b"", 0

    def feed(self, piece: bytes) -> Iterator[str]:
        self.rest += piece
        while len(self.rest) >= self.letter + 4:
            end = self.letter + int.from_bytes(self.rest[self.letter : self.letter + 4])
            if len(self.rest) < end:
                return
            if self.letter:
                yield chr(self.rest[0])
            self.rest, self.letter = self.rest[end:], 1


@pytest.fixture
async def relay(database: AsyncDatabase, tables: Tables) -> AsyncIterator[Relay]:
    """The lane's database through a relay, on four connections."""
    await flown(tables)
    async with through(database, Messages, connections=4, port=5432) as relay:
        yield relay


KNOWN = {"B": 1, "E": 1, "S": 1}
NEW = {"P": 1, "D": 1, **KNOWN}


async def test_one_flight_for_a_statement(relay: Relay) -> None:
    """The first time it is prepared in the same flight; after that it is bound, on each connection."""
    work: dict[str, Callable[[], Awaitable[Any]]] = {
        "get": lambda: Flown.objects.get(id=5),
        "rows": lambda: Flown.objects.filter(size__gte=10).all(),
        "count": lambda: Flown.objects.count(),
        "create": lambda: Flown.objects.create(name="new", size=1),
        "update": lambda: Flown.objects.filter(id=5).update(size=F("size") + 1),
        "delete": lambda: Flown.objects.filter(id=6).delete(),
        "bulk": lambda: Flown.objects.bulk_create([Flown(name="b", size=number) for number in range(400)]),
    }
    for name, one in work.items():
        assert await relay.count(one) == NEW, name
        if name != "bulk":
            assert relay.last_writes == 1, name
    for name, one in work.items():
        assert await relay.count(one) == KNOWN, name


async def test_many_rows_are_two_flights(relay: Relay) -> None:
    """Keys for all, then one COPY."""

    def copied() -> Awaitable[Any]:
        return Flown.objects.bulk_create([Flown(name="b", size=number) for number in range(2_000)])

    assert await relay.count(copied) == {**NEW, "Q": 1, "d": 1, "c": 1}
    assert await relay.count(copied) == {**KNOWN, "Q": 1, "d": 1, "c": 1}


async def test_a_transaction_is_a_flight_for_each_of_its_statements(relay: Relay) -> None:
    async def transaction() -> None:
        async with atomic():
            await Flown.objects.get(id=1)
            async with atomic():
                await Flown.objects.get(id=1)

    await transaction()
    # BEGIN, SAVEPOINT, RELEASE and COMMIT are simple queries.
    assert await relay.count(transaction) == {"Q": 4, "B": 2, "E": 2, "S": 2}


async def test_reads_at_once_are_sent_together(relay: Relay) -> None:
    async def at_once() -> None:
        await asyncio.gather(*(Flown.objects.get(id=number) for number in range(1, 101)))

    await at_once()
    assert await relay.count(at_once) == {"B": 100, "E": 100, "S": 100}
    # Four go out at once; the others are collected behind them.
    assert relay.last_writes <= 50, relay.last_writes
