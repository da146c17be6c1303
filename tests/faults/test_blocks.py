"""How blocks end: what is inside one that could not be kept is never committed, whatever the program swallows."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import pytest

from oxyde import atomic, execute_raw
from oxyde.exceptions import TransactionBrokenError, TransactionRolledBackError, TransactionTaskError

from .harness import Where, check, no_transactions
from .programs.common import Entry, quiet


async def test_a_part_without_a_savepoint_fails(opened: Any) -> None:
    """It cannot be undone alone: nothing runs any more, and the whole is not committed."""
    database = await opened()
    with pytest.raises(TransactionRolledBackError, match="LookupError"):
        async with atomic():
            await Entry.objects.create(nonce="before")
            with suppress(LookupError):
                async with atomic(savepoint=False):
                    await Entry.objects.create(nonce="part")
                    raise LookupError
            with pytest.raises(TransactionBrokenError):
                await Entry.objects.create(nonce="after")
    await quiet(database)
    assert await Entry.objects.count() == 0


async def test_a_part_without_a_savepoint_wants_a_rollback(opened: Any) -> None:
    database = await opened()
    async with atomic():
        await Entry.objects.create(nonce="before")
        async with atomic(savepoint=False) as part:
            part.set_rollback(True)
    await quiet(database)
    assert await Entry.objects.count() == 0


async def test_a_savepoint_that_is_gone(opened: Any) -> None:
    """Raw SQL took it: the nested block can be neither kept nor undone, and the whole is not committed."""
    database = await opened()
    with pytest.raises(TransactionRolledBackError):
        async with atomic():
            await Entry.objects.create(nonce="before")
            with pytest.raises(TransactionRolledBackError):
                async with atomic():
                    await Entry.objects.create(nonce="nested")
                    await execute_raw("RELEASE SAVEPOINT oxyde_1")
    await quiet(database)
    assert await Entry.objects.count() == 0


async def test_a_nested_block_that_is_thrown_away(opened: Any) -> None:
    """Its coroutine is closed, so it can wait for nothing: it is not undone, and the whole is not committed."""
    database = await opened()
    never = asyncio.get_running_loop().create_future()

    async def nested() -> None:
        async with atomic():
            await Entry.objects.create(nonce="nested")
            await never

    with pytest.raises(TransactionRolledBackError):
        async with atomic():
            await Entry.objects.create(nonce="before")
            coroutine = nested()
            while (waited_for := coroutine.send(None)) is not never:
                if waited_for is None:
                    await asyncio.sleep(0)
                else:
                    waited_for._asyncio_future_blocking = False  # type: ignore[attr-defined]
                    await asyncio.wait((waited_for,))
            coroutine.close()
    await quiet(database)
    assert await Entry.objects.count() == 0


async def test_a_block_that_ends_in_another_loop(opened: Any, where: Where) -> None:
    database = await opened()
    block = atomic()
    await block.__aenter__()
    await Entry.objects.create(nonce="never")

    async def end() -> None:
        async with asyncio.timeout(5):
            await block.__aexit__(None, None, None)

    with pytest.raises(TransactionTaskError, match="another event loop"):
        await asyncio.to_thread(asyncio.run, end())
    await quiet(database)
    no_transactions(where.kind)
    # This context still has the block that is over.
    assert await asyncio.to_thread(check, where, "SELECT count(*) FROM faults_entry") == [[[0]]]
