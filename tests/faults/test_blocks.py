"""How blocks end: what is inside one that could not be kept is never committed, whatever the program swallows."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import pytest

from oxyde import atomic, execute_raw
from oxyde.exceptions import (
    TransactionBrokenError,
    TransactionClosedError,
    TransactionRolledBackError,
    TransactionTaskError,
)

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


async def test_a_task_s_block_that_is_open_at_the_end(opened: Any) -> None:
    """What it does could only be lost or escape: both blocks are told, and nothing is committed."""
    database = await opened()
    entered, enough = asyncio.Event(), asyncio.Event()

    async def nested() -> None:
        async with atomic():
            await Entry.objects.create(nonce="task")
            entered.set()
            await enough.wait()

    with pytest.raises(TransactionTaskError, match="still had a block open"):
        async with atomic():
            await Entry.objects.create(nonce="before")
            task = asyncio.create_task(nested())
            await entered.wait()
    enough.set()
    with pytest.raises(TransactionClosedError):
        await task
    await quiet(database)
    assert await Entry.objects.count() == 0
    # The same in a nested block: the one around it goes on.
    entered.clear()
    enough.clear()
    async with atomic():
        await Entry.objects.create(nonce="outermost")
        with pytest.raises(TransactionTaskError, match="still had a block open"):
            async with atomic():
                await Entry.objects.create(nonce="before")
                task = asyncio.create_task(nested())
                await entered.wait()
        enough.set()
        with pytest.raises(TransactionClosedError):
            await task
    await quiet(database)
    assert await Entry.objects.values_list("nonce", flat=True) == ["outermost"]


async def test_what_is_called_after_a_commit(opened: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Once, in order, if it is committed; an error of one is told to the loop and the log and changes nothing."""
    database = await opened()
    calls: list[str] = []
    told: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))

    def fails() -> None:
        raise LookupError("a callback's")

    async def later() -> None:
        calls.append("later")
        raise ValueError("a callback's")

    async with atomic() as block:
        await Entry.objects.create(nonce="kept")
        block.on_commit(lambda: calls.append("first"))
        block.on_commit(fails)
        block.on_commit(later)
        with suppress(LookupError):
            async with atomic() as nested:
                nested.on_commit(lambda: calls.append("undone"))
                raise LookupError
        async with atomic() as nested:
            nested.on_commit(lambda: calls.append("last"))
        assert calls == []
    assert calls == ["first", "later", "last"]
    assert [type(context["exception"]) for context in told] == [LookupError, ValueError]
    assert [record.levelname for record in caplog.get_records("call") if record.name == "oxyde.db"] == ["ERROR"] * 2
    with pytest.raises(LookupError):
        async with atomic() as block:
            block.on_commit(lambda: calls.append("never"))
            raise LookupError
    async with atomic() as block:
        block.on_commit(lambda: calls.append("never"))
        block.set_rollback(True)
    assert calls == ["first", "later", "last"]
    await quiet(database)
    assert await Entry.objects.values_list("nonce", flat=True) == ["kept"]


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


async def test_a_block_that_is_used_in_another_loop(opened: Any) -> None:
    """What a thread inherits of the context is no way into the transaction, nor around it."""
    database = await opened()

    async def write() -> None:
        async with asyncio.timeout(5):
            await Entry.objects.create(nonce="elsewhere")

    async with atomic():
        await Entry.objects.create(nonce="here")
        with pytest.raises(TransactionTaskError, match=r"another event loop.* outside_transaction\(\)"):
            await asyncio.to_thread(asyncio.run, write())
    await quiet(database)
    assert await Entry.objects.values_list("nonce", flat=True) == ["here"]
