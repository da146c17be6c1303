"""What transactions on PostgreSQL promise beyond those of every database: levels, read-only, deferrable, truth."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest

from oxyde import (
    AsyncDatabase,
    DatabaseError,
    F,
    IntegrityError,
    OperationalError,
    ProgrammingError,
    SerializationError,
    TransactionRolledBackError,
    UniqueViolationError,
    atomic,
    execute_raw,
    outside_transaction,
)

from .conftest import Tables
from .lanes import postgres
from .models import Author

pytestmark = postgres


@pytest.fixture(autouse=True)
async def tables_(tables: Tables) -> None:
    await tables(Author)
    await Author.objects.create(name="Ann", email="a@x")


async def setting(name: str) -> str:
    ((value,),) = (row.values() for row in await execute_raw(f"SHOW {name}"))
    assert isinstance(value, str)
    return value


@pytest.mark.parametrize("level", ["read uncommitted", "read committed", "repeatable read", "serializable"])
async def test_levels(level: str) -> None:
    async with atomic(isolation=level):
        assert await setting("transaction_isolation") == level
    async with atomic(isolation=level, read_only=True, deferrable=True):
        assert await setting("transaction_isolation") == level
        assert await setting("transaction_read_only") == "on"
        assert await setting("transaction_deferrable") == "on"
    async with atomic():
        assert await setting("transaction_isolation") == "read committed"
        assert await setting("transaction_read_only") == "off"
    assert await setting("transaction_deferrable") == "off"


async def test_read_only_refuses_writes() -> None:
    for write in (
        lambda: Author.objects.create(name="x"),
        lambda: Author.objects.update(name="x"),
        lambda: Author.objects.bulk_create([{"name": "x"}]),
        lambda: execute_raw("DELETE FROM conf_author"),
    ):
        with pytest.raises((OperationalError, ProgrammingError)) as caught:
            async with atomic(read_only=True):
                await write()
        assert caught.value.sqlstate == "25006"
        assert not caught.value.retryable
    assert await Author.objects.count() == 1


async def test_a_snapshot() -> None:
    async with atomic(isolation="repeatable_read"):
        assert await Author.objects.count() == 1
        with outside_transaction():
            await Author.objects.create(name="beside")
        assert await Author.objects.count() == 1
    assert await Author.objects.count() == 2


async def test_a_serialization_failure_is_retried() -> None:
    met = asyncio.Event()
    tries = 0

    @atomic(isolation="repeatable_read", retries=3)
    async def add(name: str) -> None:
        nonlocal tries
        tries += 1
        await Author.objects.count()
        if tries == 2:
            met.set()
        await met.wait()
        await Author.objects.update(name=name)

    await asyncio.gather(add("b"), add("c"))
    assert tries == 3
    with pytest.raises(SerializationError) as caught:
        async with atomic(isolation="serializable"):
            await Author.objects.count()
            with outside_transaction():
                await Author.objects.update(email="other")
            await Author.objects.update(email="mine")
    assert (caught.value.retryable, caught.value.outcome) == (True, "not_applied")


async def test_a_swallowed_error_is_not_committed() -> None:
    """PostgreSQL answers COMMIT of a failed transaction with ROLLBACK, and says no more about it."""
    with pytest.raises(TransactionRolledBackError, match="conf_author_email_key"):
        async with atomic():
            await Author.objects.create(name="lost")
            with contextlib.suppress(UniqueViolationError):
                await Author.objects.create(name="again", email="a@x")
    assert await Author.objects.count() == 1


async def test_after_an_error_nothing_runs_until_it_is_undone() -> None:
    async with atomic():
        with pytest.raises(IntegrityError):
            async with atomic():
                await Author.objects.create(name="again", email="a@x")
        await Author.objects.create(name="kept")
        with pytest.raises(DatabaseError):
            async with atomic():
                with contextlib.suppress(DatabaseError):
                    await execute_raw("SELECT 1/0")
                await Author.objects.count()
        await Author.objects.create(name="kept, too")
    assert await Author.objects.count() == 3


@pytest.mark.parametrize(
    "statement", ["COMMIT", "ROLLBACK", "END", "ABORT", "COMMIT AND CHAIN", "PREPARE TRANSACTION 'x'"]
)
async def test_an_end_behind_our_back_is_noticed(statement: str) -> None:
    """What raw SQL did to the transaction is either refused or seen by the block; it never commits the rest."""
    with pytest.raises(DatabaseError):
        async with atomic():
            await Author.objects.create(name="before")
            await execute_raw(statement)
            await Author.objects.create(name="after")
    if "PREPARE" in statement:
        # Where prepared transactions are switched on, it waits for its end and keeps its locks.
        with contextlib.suppress(DatabaseError):
            await execute_raw("ROLLBACK PREPARED 'x'")
    assert await Author.objects.filter(name="after").count() == 0


async def test_a_deferred_constraint_fails_at_commit(database: AsyncDatabase) -> None:
    await execute_raw(
        "CREATE TABLE conf_later (author_id BIGINT REFERENCES conf_author (id) DEFERRABLE INITIALLY DEFERRED)"
    )
    with pytest.raises(IntegrityError) as caught:
        async with atomic():
            await execute_raw("INSERT INTO conf_later VALUES (99)")
    assert (caught.value.outcome, caught.value.table) == ("not_applied", "conf_later")
    assert await execute_raw("SELECT * FROM conf_later") == []
    await execute_raw("DROP TABLE conf_later")


async def test_deadlocks_are_retryable() -> None:
    from oxyde import DeadlockError

    await Author.objects.create(name="Bob")
    ready = [asyncio.Event(), asyncio.Event()]

    async def update(first: int, second: int) -> None:
        async with atomic():
            await Author.objects.filter(id=first).update(name=F("name"))
            ready[first - 1].set()
            await ready[second - 1].wait()
            await Author.objects.filter(id=second).update(name=F("name"))

    results = await asyncio.gather(update(1, 2), update(2, 1), return_exceptions=True)
    (failed,) = [result for result in results if result is not None]
    assert isinstance(failed, DeadlockError)
    assert (failed.retryable, failed.outcome) == (True, "not_applied")


ADVISORY_LOCKS = """
SELECT count(*) AS n FROM pg_locks WHERE locktype = 'advisory'
AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


async def test_session_state_does_not_leak(database: AsyncDatabase) -> None:
    """Whatever raw SQL did to a session, the next borrower finds it as new."""
    await execute_raw("SET statement_timeout = '1234ms'")
    await execute_raw("SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE")
    await execute_raw("CREATE TEMP TABLE conf_temporary (n INT)")
    await execute_raw("SELECT pg_advisory_lock(77)")
    await execute_raw("LISTEN conf_channel")
    await execute_raw("PREPARE conf_prepared AS SELECT 1")

    async def look() -> list[Any]:
        async with atomic():
            return [
                await setting("statement_timeout"),
                await setting("transaction_isolation"),
                await setting("default_transaction_isolation"),
                (await execute_raw("SELECT to_regclass('pg_temp.conf_temporary')::text AS t"))[0]["t"],
                await execute_raw("SELECT pg_listening_channels() AS c"),
                (await execute_raw(ADVISORY_LOCKS))[0]["n"],
            ]

    clean = ["0", "read committed", "read committed", None, [], 0]
    assert await asyncio.gather(*(look() for _ in range(8))) == [clean] * 8
    settings: dict[str, Any] = database.stats()
    assert settings["lost"] == 0
