"""Cancellation at every await point leaves no open transaction, and the truth about what was committed."""

from __future__ import annotations

import asyncio
import itertools

import pytest

from oxyde.db import AsyncDatabase, atomic, get_active_transaction

from .conftest import insert
from .fake_core import Server
from .kloop import EXPECTED, cancelled_at, closed_at, nested_blocks, thrown_at


def scenario(calls: list[str]) -> object:
    return nested_blocks(calls, insert)


async def settle(server: Server) -> None:
    for _ in range(50):
        await asyncio.sleep(0)
    await asyncio.sleep(0.002)
    assert not server.open
    assert get_active_transaction() is None


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("again", [None, 1, 2])
async def test_cancelled_at_every_await(server: Server, database: AsyncDatabase, late: bool, again: int | None) -> None:
    for k in itertools.count(1):
        server.committed.clear()
        calls: list[str] = []
        at = {k} if again is None else {k, k + again}
        suspensions, error = await cancelled_at(scenario(calls), at, late=late)
        await settle(server)
        if suspensions < k:
            assert error is None
            break
        assert isinstance(error, asyncio.CancelledError), (k, error)
        outcome = getattr(error, "commit_outcome", "rolled_back")
        assert server.committed == (EXPECTED if outcome == "committed" else []), (k, outcome)
        assert calls == (["called"] if outcome == "committed" else [])
    assert k > 10


async def test_thrown_away_at_every_await(server: Server, database: AsyncDatabase) -> None:
    for k in itertools.count(1):
        server.committed.clear()
        calls: list[str] = []
        done = await closed_at(scenario(calls), k)
        await settle(server)
        assert server.committed in ([], EXPECTED)
        assert calls == ["called"] * bool(server.committed)
        if done:
            assert server.committed == EXPECTED
            break


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
async def test_interrupted_at_every_await(server: Server, database: AsyncDatabase, error: type[BaseException]) -> None:
    for k in itertools.count(1):
        server.committed.clear()
        calls: list[str] = []
        done = False
        try:
            done = await thrown_at(scenario(calls), k, error())
        except error as raised:
            outcome = getattr(raised, "commit_outcome", "rolled_back")
        await settle(server)
        if done:
            assert server.committed == EXPECTED
            break
        if outcome == "rolled_back":
            assert server.committed == []
        assert calls == ["called"] * bool(server.committed)


async def test_cancelled_in_the_body_that_swallows_it(server: Server, database: AsyncDatabase) -> None:
    """A cancelled nested block is undone even if the program goes on after it."""

    async def run() -> None:
        async with atomic():
            await insert("a")
            try:
                async with atomic():
                    await insert("b")
                    await asyncio.sleep(10)
            except asyncio.CancelledError:
                pass
            await insert("c")

    task = asyncio.create_task(run())
    await asyncio.sleep(0.05)
    task.cancel()
    await task
    assert server.committed == ["a", "c"]


async def test_cancelled_while_releasing(server: Server, database: AsyncDatabase) -> None:
    """Released or not is unknown then, so the whole transaction cannot be committed any more."""
    from oxyde.exceptions import TransactionRolledBackError

    server.delays["release"] = 0.05

    async def run() -> None:
        async with atomic():
            try:
                async with atomic():
                    await insert("b")
            except asyncio.CancelledError:
                pass

    task = asyncio.create_task(run())
    await asyncio.sleep(0.03)
    task.cancel()
    with pytest.raises(TransactionRolledBackError):
        await task
    assert server.committed == []


async def test_async_generator_that_is_not_exhausted(server: Server, database: AsyncDatabase) -> None:
    async def rows() -> object:
        async with atomic():
            await insert("a")
            yield 1
            yield 2

    generator = rows()
    async for _ in generator:
        break
    await generator.aclose()
    await settle(server)
    assert server.committed == []
    await insert("b")
    assert server.committed == ["b"]


async def test_a_block_that_ends_in_another_context(server: Server, database: AsyncDatabase) -> None:
    context = atomic()
    await asyncio.create_task(context.__aenter__())
    assert get_active_transaction() is None
    await asyncio.create_task(context.__aexit__(None, None, None))
    await settle(server)
