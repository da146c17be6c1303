"""Blocks: what commits, what rolls back, what is refused."""

from __future__ import annotations

import asyncio

import pytest

from oxyde.db import AsyncDatabase, atomic, get_active_transaction, outside_transaction, transaction
from oxyde.exceptions import (
    DeadlockError,
    ManagerError,
    NotSupportedError,
    OperationalError,
    SerializationError,
    TransactionBrokenError,
    TransactionClosedError,
    TransactionError,
    TransactionRolledBackError,
    TransactionTaskError,
    TransactionTimeoutError,
    UniqueViolationError,
)

from .conftest import insert
from .fake_core import Server

pytestmark = pytest.mark.usefixtures("database")


async def test_clean_exit_commits(server: Server) -> None:
    async with atomic() as tx:
        assert get_active_transaction() is tx
        await insert("a")
        assert server.committed == []
    assert server.committed == ["a"]
    assert get_active_transaction() is None
    assert "ended" in repr(tx)
    await insert("b")
    assert server.committed == ["a", "b"]


async def test_an_exception_rolls_back_and_goes_on(server: Server) -> None:
    with pytest.raises(LookupError):
        async with atomic():
            await insert("a")
            raise LookupError
    assert server.committed == []
    assert server.log == ["connect", "begin", "insert", "rollback"]


async def test_nested_blocks_are_savepoints(server: Server) -> None:
    async with atomic():
        await insert("a")
        with pytest.raises(LookupError):
            async with atomic() as inner:
                assert inner.nested
                await insert("b")
                raise LookupError
        async with atomic():
            await insert("c")
    assert server.committed == ["a", "c"]


async def test_set_rollback(server: Server) -> None:
    async with atomic() as tx:
        await insert("a")
        tx.set_rollback(True)
    async with atomic() as tx:
        await insert("b")
        async with tx.savepoint() as inner:
            await insert("c")
            inner.set_rollback()
    assert server.committed == ["b"]


async def test_a_block_without_savepoint_breaks_the_whole(server: Server) -> None:
    with pytest.raises(TransactionRolledBackError, match="LookupError"):
        async with atomic():
            await insert("a")
            with pytest.raises(LookupError):
                async with atomic(savepoint=False):
                    raise LookupError("secret value")
            with pytest.raises(TransactionBrokenError, match="LookupError") as raised:
                await insert("b")
            assert "secret value" not in str(raised.value)
    assert server.committed == []
    assert "savepoint" not in server.log


async def test_a_block_without_savepoint_passes_set_rollback_on(server: Server) -> None:
    async with atomic():
        await insert("a")
        async with atomic(savepoint=False) as inner:
            inner.set_rollback(True)
    assert server.committed == []


async def test_a_swallowed_error_that_broke_the_transaction(server: Server) -> None:
    with pytest.raises(TransactionRolledBackError, match="duplicate"):
        async with atomic() as tx:
            await insert("a")
            with pytest.raises(UniqueViolationError):
                await tx.transaction.lease.break_it(UniqueViolationError("duplicate"))
    assert server.committed == []


async def test_a_swallowed_error_in_a_nested_block_undoes_only_that_block(server: Server) -> None:
    async with atomic() as tx:
        await insert("a")
        with pytest.raises(TransactionRolledBackError, match="duplicate"):
            async with atomic():
                await insert("b")
                with pytest.raises(UniqueViolationError):
                    await tx.transaction.lease.break_it(UniqueViolationError("duplicate"))
        await insert("c")
    assert server.committed == ["a", "c"]


async def test_a_failed_rollback_to_breaks_the_transaction(server: Server) -> None:
    server.fail("rollback_to", DeadlockError("deadlock", retryable=True))
    with pytest.raises(TransactionRolledBackError, match="deadlock") as raised:
        async with atomic():
            with pytest.raises(DeadlockError):
                async with atomic():
                    raise DeadlockError("deadlock", retryable=True)
            with pytest.raises(TransactionBrokenError):
                await insert("a")
            with pytest.raises(TransactionBrokenError):
                async with atomic():
                    pass
    assert raised.value.retryable
    assert server.committed == []


async def test_durable_and_other_choices_of_the_outermost_block() -> None:
    async with atomic(durable=True):
        for options in ({"durable": True}, {"isolation": "serializable"}, {"read_only": True}):
            with pytest.raises(TransactionError, match="outermost"):
                async with atomic(**options):
                    pass
    async with atomic(isolation="SERIALIZABLE"), atomic(isolation="serializable"):
        pass


async def test_read_only_is_a_read_lease(server: Server) -> None:
    async with atomic(read_only=True) as tx:
        assert tx.transaction.lease.mode == "read"
        assert tx.read_only
    async with atomic() as tx:
        assert tx.transaction.lease.mode == "write"


async def test_what_a_transaction_is_asked_for_reaches_the_server(server: Server) -> None:
    async with AsyncDatabase("postgres://ada@h/d", name="pg") as database:
        async with atomic(using="pg", isolation="SERIALIZABLE", read_only=True, deferrable=True) as tx:
            lease = tx.transaction.lease
            assert (lease.mode, lease.isolation, lease.deferrable) == ("read", "serializable", True)
            async with atomic(using="pg", isolation="serializable", read_only=True, deferrable=True):
                pass
        for level in ("read_uncommitted", "read committed", "REPEATABLE-READ"):
            async with atomic(using="pg", isolation=level) as tx:
                assert tx.transaction.lease.isolation == level.lower().replace(" ", "_").replace("-", "_")
        async with atomic(using="pg") as tx:
            assert (tx.transaction.lease.isolation, tx.transaction.lease.deferrable) == (None, False)
            for options in ({"deferrable": True}, {"isolation": "serializable"}):
                with pytest.raises(TransactionError, match="outermost"):
                    async with atomic(using="pg", **options):
                        pass
            # Other connections can write meanwhile, so nothing outside of it has to wait.
            with outside_transaction("pg"):
                await insert("beside", using=database)
            assert server.committed == ["beside"]


@pytest.mark.parametrize("options", [{"isolation": "read committed"}, {"deferrable": True}])
async def test_what_sqlite_does_not_have(options: dict, server: Server) -> None:
    with pytest.raises(NotSupportedError, match="sqlite"):
        async with atomic(**options):
            pass
    assert server.log == ["connect"]


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"isolation": "snapshot"}, ValueError),
        ({"isolation": 1}, TypeError),
        ({"timeout": -1}, ValueError),
        ({"timeout": "1"}, TypeError),
        ({"retries": -1}, ValueError),
        ({"retries": True}, TypeError),
        ({"using": 1}, TypeError),
        ({"connection": "default"}, TypeError),
        ({"nonsense": 1}, TypeError),
    ],
)
def test_wrong_arguments(options: dict, error: type[Exception]) -> None:
    with pytest.raises(error):
        atomic(**options)


async def test_unknown_alias_and_unconnected_database() -> None:
    with pytest.raises(KeyError, match="reports"):
        async with atomic(using="reports"):
            pass
    AsyncDatabase("sqlite:///other.db", name="reports")
    with pytest.raises(OperationalError, match="not connected"):
        async with atomic(using="reports"):
            pass


async def test_transactions_belong_to_one_database(server: Server) -> None:
    other = AsyncDatabase("sqlite:///other.db", name="other", auto_register=False)
    await other.connect()
    with pytest.raises(LookupError):
        async with atomic():
            await insert("a")
            await insert("b", client=other)
            async with atomic(connection=other):
                await insert("c", using=other)
            raise LookupError
    assert server.committed == ["b", "c"]


async def test_a_context_is_entered_once_at_a_time() -> None:
    context = atomic()
    async with context:
        with pytest.raises(TransactionError, match="already open"):
            await context.__aenter__()
    async with context:
        pass


async def test_begin_that_fails(server: Server) -> None:
    server.fail("begin", OperationalError("no"))
    with pytest.raises(OperationalError, match="no"):
        async with atomic():
            raise AssertionError
    assert get_active_transaction() is None
    await insert("a")


async def test_decorator(server: Server) -> None:
    @atomic()
    async def one(row: str) -> str:
        """Docs."""
        await insert(row)
        return row

    @atomic
    async def two() -> None:
        await one("b")
        raise LookupError

    assert await one("a") == "a"
    with pytest.raises(LookupError):
        await two()
    assert server.committed == ["a"]
    assert one.__name__ == "one"
    with pytest.raises(TypeError, match="async functions"):
        atomic()(lambda: None)


# -- retries


async def test_retries_need_a_body_that_can_run_again() -> None:
    with pytest.raises(TypeError, match="retrying"):
        async with atomic(retries=3):
            pass


async def test_decorator_retries(server: Server) -> None:
    runs = []

    @atomic(retries=2)
    async def work() -> str:
        runs.append(1)
        await insert("a")
        if len(runs) < 3:
            raise SerializationError("again", retryable=True)
        return "done"

    assert await work() == "done"
    assert (len(runs), server.committed) == (3, ["a"])


async def test_retries_end_and_never_follow_an_unknown_outcome(server: Server) -> None:
    runs = []

    @atomic(retries=2)
    async def work(error: Exception) -> None:
        runs.append(1)
        raise error

    with pytest.raises(SerializationError):
        await work(SerializationError("again", retryable=True))
    assert len(runs) == 3
    for error in (
        SerializationError("?", retryable=True, outcome="unknown"),
        UniqueViolationError("no"),
        LookupError(),
    ):
        runs.clear()
        with pytest.raises(type(error)):
            await work(error)
        assert len(runs) == 1


async def test_a_failing_begin_and_body_are_retried(server: Server) -> None:
    server.fail("begin", OperationalError("busy", retryable=True))
    server.fail("insert", SerializationError("conflict", retryable=True))
    attempts = 0
    async for attempt in atomic.retrying(retries=3):
        async with attempt as tx:
            attempts += 1
            assert get_active_transaction() is tx
            await insert("a")
    assert (attempts, server.committed) == (2, ["a"])


async def test_a_failing_commit_is_retried_by_the_decorator(server: Server) -> None:
    server.fail("commit", SerializationError("conflict", retryable=True))
    runs = []

    @atomic(retries=1)
    async def work() -> str:
        runs.append(1)
        await insert("a")
        return "done"

    assert await work() == "done"
    assert (len(runs), server.committed) == (2, ["a"])


async def test_a_failing_commit_is_never_hidden_by_a_return_in_the_loop(server: Server) -> None:
    server.fail("commit", SerializationError("conflict", retryable=True))

    async def work() -> str:
        async for attempt in atomic.retrying(retries=3):
            async with attempt:
                await insert("a")
                return "done"
        raise AssertionError

    with pytest.raises(SerializationError):
        await work()
    assert server.committed == []


async def test_retrying_inside_a_transaction_is_one_attempt(server: Server) -> None:
    runs = 0
    with pytest.raises(SerializationError):
        async with atomic():
            async for attempt in atomic.retrying(retries=3):
                async with attempt:
                    runs += 1
                    raise SerializationError("again", retryable=True)
    assert runs == 1


async def test_an_attempt_must_be_entered(server: Server) -> None:
    with pytest.raises(TypeError, match="async with attempt"):
        async for _ in atomic.retrying(retries=1):
            pass


# -- tasks


async def test_child_tasks_join(server: Server) -> None:
    with pytest.raises(LookupError):
        async with atomic():
            await asyncio.gather(insert("a"), insert("b"))
            await asyncio.wait_for(insert("c"), 1)
            async with asyncio.TaskGroup() as group:
                group.create_task(insert("d"))
            raise LookupError
    assert server.committed == []


async def test_a_task_that_outlives_the_block(server: Server) -> None:
    ended = asyncio.Event()

    async def child() -> None:
        await ended.wait()
        with pytest.raises(TransactionClosedError, match="has ended"):
            await insert("late")
        with pytest.raises(TransactionClosedError):
            async with atomic():
                pass
        assert get_active_transaction() is None
        with outside_transaction():
            await insert("outside")

    async with atomic():
        task = asyncio.create_task(child())
        await insert("a")
    ended.set()
    await task
    assert server.committed == ["a", "outside"]


async def test_two_tasks_with_nested_blocks(server: Server) -> None:
    async def child(row: str) -> None:
        async with atomic():
            await insert(row)

    with pytest.raises(TransactionTaskError, match="outside_transaction"):
        async with atomic():
            await asyncio.gather(child("a"), child("b"))
    assert server.committed == []


async def test_a_statement_beside_a_foreign_nested_block(server: Server) -> None:
    inside, go_on = asyncio.Event(), asyncio.Event()

    async def child() -> None:
        async with atomic():
            inside.set()
            await go_on.wait()
            await insert("child")

    async with atomic():
        task = asyncio.create_task(child())
        await inside.wait()
        with pytest.raises(TransactionTaskError, match="nested block"):
            await insert("parent")
        go_on.set()
        await task
        await insert("parent")
    assert server.committed == ["child", "parent"]


async def test_a_block_that_ends_before_a_tasks_block_inside_it(server: Server) -> None:
    inside, ended = asyncio.Event(), asyncio.Event()

    async def child() -> None:
        with pytest.raises(TransactionClosedError):
            async with atomic():
                inside.set()
                await ended.wait()

    with pytest.raises(TransactionTaskError, match="still had a block open"):
        async with atomic():
            await insert("a")
            task = asyncio.create_task(child())
            await inside.wait()
    ended.set()
    await task
    assert server.committed == []


async def test_a_nested_block_that_ends_before_a_tasks_block_inside_it(server: Server) -> None:
    inside, ended = asyncio.Event(), asyncio.Event()

    async def child() -> None:
        with pytest.raises(TransactionClosedError):
            async with atomic():
                inside.set()
                await ended.wait()
                with pytest.raises(TransactionClosedError):
                    await insert("orphan")

    async with atomic():
        with pytest.raises(TransactionTaskError):
            async with atomic():
                await insert("a")
                task = asyncio.create_task(child())
                await inside.wait()
        ended.set()
        await task
        await insert("b")
    assert server.committed == ["b"]


async def test_another_event_loop(server: Server) -> None:
    def elsewhere() -> None:
        with pytest.raises(TransactionTaskError, match="outside_transaction"):
            asyncio.run(insert("a"))

    async with atomic():
        await asyncio.to_thread(elsewhere)


async def test_an_explicit_transaction(server: Server) -> None:
    async def other_context(tx: object) -> None:
        await insert("a", using=tx)

    async with atomic() as tx:
        with outside_transaction():
            task = asyncio.create_task(other_context(tx))
        await task
        async with atomic():
            await insert("b", client=tx)
            await insert("c")
        assert server.committed == []
    assert server.committed == ["a", "b", "c"]
    with pytest.raises(TransactionClosedError):
        await insert("d", using=tx)
    with pytest.raises(ManagerError):
        await insert("d", using=tx, client=tx)


# -- outside_transaction


async def test_outside_transaction(server: Server) -> None:
    async with atomic(read_only=True) as tx:
        with outside_transaction():
            assert get_active_transaction() is None
            await insert("kept")
            async with atomic():
                await insert("own")
        async with outside_transaction(using="default"):
            assert get_active_transaction() is None
        assert get_active_transaction() is tx
        assert server.committed == ["kept", "own"]


async def test_a_write_that_would_wait_for_its_own_task(server: Server) -> None:
    async with atomic():
        with outside_transaction():
            with pytest.raises(TransactionTaskError, match="one writer"):
                await insert("a")
            with pytest.raises(TransactionTaskError):
                async with atomic():
                    pass
            async with atomic(read_only=True):
                pass


# -- deadlines


async def test_timeout_rolls_back_at_once(server: Server) -> None:
    with pytest.raises(TransactionTimeoutError):
        async with atomic(timeout=0.02) as tx:
            await insert("a")
            await asyncio.sleep(0.05)
            assert not server.open, "rolled back while the body still runs"
            assert not tx.active
            with pytest.raises(TransactionTimeoutError):
                await insert("b")
    assert server.committed == []


async def test_timeout_stops_a_running_statement(server: Server) -> None:
    server.delays["insert"] = 10.0
    with pytest.raises(TransactionTimeoutError):
        async with atomic(timeout=0.02):
            await asyncio.wait_for(insert("a"), 1)


async def test_timeout_leaves_a_programs_own_exception_alone() -> None:
    with pytest.raises(LookupError):
        async with atomic(timeout=0.01):
            await asyncio.sleep(0.03)
            raise LookupError


async def test_timeout_during_begin(server: Server) -> None:
    server.delays["begin"] = 10.0
    with pytest.raises(TransactionTimeoutError):
        async with atomic(timeout=0.02):
            raise AssertionError


async def test_timeout_of_a_nested_block(server: Server) -> None:
    async with atomic():
        async with atomic(timeout=5):
            pass
        await insert("a")
    with pytest.raises(TransactionTimeoutError):
        async with atomic():
            with pytest.raises(TransactionTimeoutError):
                async with atomic(timeout=0.01):
                    await asyncio.sleep(0.03)
            await insert("b")
    assert server.committed == ["a"]


async def test_transaction_timeout_setting(server: Server) -> None:
    other = AsyncDatabase("sqlite:///other.db?transaction_timeout=0.01", name="other")
    await other.connect()
    with pytest.raises(TransactionTimeoutError):
        async with atomic(using="other"):
            await asyncio.sleep(0.03)


def test_the_module_has_what_its_users_import() -> None:
    assert transaction.atomic is atomic
    assert {"AtomicTransactionContext", "AsyncTransaction", "TransactionTimeoutError"} <= set(transaction.__all__)
