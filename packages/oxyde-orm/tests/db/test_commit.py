"""COMMIT under cancellation and loss, and the callbacks after it."""

from __future__ import annotations

import asyncio
import gc
import logging

import pytest

from oxyde.db import AsyncDatabase, atomic, get_active_transaction
from oxyde.exceptions import (
    CommitUnknownError,
    ConnectionLostError,
    LockTimeoutError,
    TransactionClosedError,
    TransactionRolledBackError,
)

from .conftest import insert
from .fake_core import Server

pytestmark = pytest.mark.usefixtures("database")


async def started(server: Server, operation: str) -> None:
    while operation not in server.log:
        await asyncio.sleep(0)


async def block(*callbacks: object) -> None:
    async with atomic() as tx:
        for callback in callbacks:
            tx.on_commit(callback)
        await insert("a")


async def test_cancelled_during_commit_waits_for_the_answer(server: Server) -> None:
    server.delays["commit"] = 0.05
    calls: list[int] = []
    task = asyncio.create_task(block(lambda: calls.append(1)))
    await started(server, "commit")
    for _ in range(3):
        task.cancel()
        await asyncio.sleep(0)
    assert not task.done()
    with pytest.raises(asyncio.CancelledError) as raised:
        await task
    assert raised.value.commit_outcome == "committed"
    assert (server.committed, calls) == (["a"], [1])


async def test_cancelled_during_a_commit_that_fails(server: Server) -> None:
    server.delays["commit"] = 0.02
    server.fail("commit", LockTimeoutError("busy"))
    task = asyncio.create_task(block())
    await started(server, "commit")
    task.cancel()
    with pytest.raises(asyncio.CancelledError) as raised:
        await task
    assert raised.value.commit_outcome == "rolled_back"
    assert isinstance(raised.value.__cause__, LockTimeoutError)


async def test_commit_timeout(server: Server) -> None:
    other = AsyncDatabase("sqlite:///other.db?commit_timeout=0.05", name="other")
    await other.connect()
    server.silent.add("commit")

    async def run() -> None:
        async with atomic(using="other"):
            pass

    task = asyncio.create_task(run())
    await started(server, "commit")
    before = asyncio.get_running_loop().time()
    task.cancel()
    with pytest.raises(asyncio.CancelledError) as raised:
        await task
    assert raised.value.commit_outcome == "unknown"
    assert 0.04 < asyncio.get_running_loop().time() - before < 0.3


async def test_callbacks_run_when_an_unknown_commit_succeeds_after_all(server: Server) -> None:
    other = AsyncDatabase("sqlite:///other.db?commit_timeout=0", name="other")
    await other.connect()
    server.delays["commit"] = 0.05
    calls: list[int] = []

    async def run() -> None:
        async with atomic(using="other") as tx:
            tx.on_commit(lambda: calls.append(1))

    task = asyncio.create_task(run())
    await started(server, "commit")
    task.cancel()
    with pytest.raises(asyncio.CancelledError) as raised:
        await task
    assert (raised.value.commit_outcome, calls) == ("unknown", [])
    await asyncio.sleep(0.1)
    assert calls == [1]


async def test_wait_for_and_timeout_see_the_outcome(server: Server) -> None:
    server.delays["commit"] = 0.05
    with pytest.raises(TimeoutError) as raised:
        async with asyncio.timeout(0.02):
            await block()
    assert raised.value.__cause__.commit_outcome == "committed"


async def test_a_lost_answer_is_unknown(server: Server) -> None:
    server.fail("commit", ConnectionLostError("reset by peer", outcome="unknown", retryable=True))
    with pytest.raises(CommitUnknownError, match="reset by peer") as raised:
        await block()
    assert (raised.value.outcome, raised.value.retryable) == ("unknown", False)
    assert isinstance(raised.value.__cause__, ConnectionLostError)


async def test_a_definite_answer_is_itself(server: Server) -> None:
    calls: list[int] = []
    server.fail("commit", LockTimeoutError("busy", retryable=True))
    with pytest.raises(LockTimeoutError) as raised:
        await block(lambda: calls.append(1))
    assert raised.value.outcome == "not_applied"
    assert "abandon" in server.log
    assert calls == []


async def test_a_commit_that_finds_the_transaction_gone(server: Server) -> None:
    server.fail("commit", TransactionRolledBackError("a raw ROLLBACK ended it"))
    with pytest.raises(TransactionRolledBackError):
        await block()


async def test_statements_of_children_during_commit_are_refused(server: Server) -> None:
    server.delays["commit"] = 0.03

    async def child() -> None:
        await started(server, "commit")
        with pytest.raises(TransactionClosedError):
            await insert("late")

    async with atomic():
        task = asyncio.create_task(child())
        await insert("a")
    await task
    assert server.committed == ["a"]


async def test_the_end_of_the_loop_does_not_lose_a_commit(server: Server) -> None:
    """asyncio.run() cancels all tasks when its main task ends; a COMMIT that is under way is still answered."""
    calls: list[int] = []
    server.delays["commit"] = 0.05

    def in_a_thread() -> None:
        async def main() -> None:
            database = AsyncDatabase("sqlite:///third.db", name="third")
            await database.connect()

            async def work() -> None:
                async with atomic(using="third") as tx:
                    tx.on_commit(lambda: calls.append(1))

            task = asyncio.create_task(work())
            await started(server, "commit")
            main.task = task

        asyncio.run(main())
        with pytest.raises(asyncio.CancelledError) as raised:
            main.task.result()
        assert raised.value.commit_outcome == "committed"

    await asyncio.to_thread(in_a_thread)
    assert calls == [1]


# -- on_commit


async def test_callbacks_run_in_order_outside_the_transaction(server: Server) -> None:
    calls: list[object] = []

    async def with_await() -> None:
        await asyncio.sleep(0)
        calls.append(("two", list(server.committed), get_active_transaction()))

    async with atomic() as tx:
        tx.on_commit(lambda: calls.append(("one", list(server.committed), get_active_transaction())))
        tx.on_commit(with_await)
        tx.on_commit(with_await())
        tx.on_commit(lambda: calls.append("last"))
        await insert("a")
        assert calls == []
    assert calls == [("one", ["a"], None), ("two", ["a"], None), ("two", ["a"], None), "last"]


async def test_callbacks_of_nested_blocks(server: Server) -> None:
    calls: list[str] = []
    async with atomic():
        async with atomic() as inner:
            inner.on_commit(lambda: calls.append("kept"))
        with pytest.raises(LookupError):
            async with atomic() as inner:
                inner.on_commit(lambda: calls.append("dropped"))
                raise LookupError
        with pytest.raises(TransactionClosedError):
            inner.on_commit(lambda: calls.append("late"))
    assert calls == ["kept"]


async def test_callbacks_of_a_rolled_back_transaction_are_dropped(server: Server) -> None:
    async def never() -> None:
        raise AssertionError

    with pytest.raises(LookupError):
        async with atomic() as tx:
            tx.on_commit(never)
            tx.on_commit(never())
            raise LookupError
    gc.collect()  # a coroutine that was never awaited would warn, and warnings are errors here


async def test_an_error_in_a_callback_never_leaves_the_block(caplog: pytest.LogCaptureFixture) -> None:
    seen: list[dict] = []
    calls: list[int] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: seen.append(context))

    def fails() -> None:
        raise LookupError("sync")

    async def fails_later() -> None:
        await asyncio.sleep(0)
        raise LookupError("async")

    async def is_cancelled() -> None:
        raise asyncio.CancelledError

    with caplog.at_level(logging.ERROR, "oxyde.db"):
        await block(fails, fails_later, is_cancelled, lambda: calls.append(1))
    assert calls == [1]
    assert [str(context["exception"]) for context in seen] == ["sync", "async", ""]
    assert len(caplog.records) == 3


async def test_cancelled_while_a_callback_runs(server: Server) -> None:
    calls: list[int] = []

    async def slow() -> None:
        await asyncio.sleep(0.03)
        calls.append(1)

    task = asyncio.create_task(block(slow, lambda: calls.append(2)))
    await started(server, "commit")
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError) as raised:
        await task
    assert (raised.value.commit_outcome, calls) == ("committed", [])
    await asyncio.sleep(0.06)
    assert calls == [1, 2]


async def test_on_commit_takes_functions_and_coroutines_only() -> None:
    async with atomic() as tx:
        with pytest.raises(TypeError, match="on_commit"):
            tx.on_commit(1)
