"""Statements that end a transaction on MySQL and MariaDB without being asked to.

What was written before is stored and cannot be taken back; what comes after must not run in autocommit, and the block
must not end as if nothing had happened.
"""

from __future__ import annotations

from typing import Any

import pytest

from oxyde import atomic, create_tables, execute_raw
from oxyde.exceptions import NotSupportedError, TransactionBrokenError, TransactionError

from .harness import Where, check, on
from .programs.common import MODELS, Account, Entry, quiet

pytestmark = on("mysql")

COMMITS = {
    "ddl": "CREATE TABLE another (a INT)",
    "alter": "ALTER TABLE faults_account ADD COLUMN extra INT",
    "index": "CREATE INDEX by_part ON faults_entry (part)",
    "truncate": "TRUNCATE TABLE faults_account",
    "view": "CREATE VIEW seen AS SELECT 1 AS one",
    "drop": "DROP TABLE IF EXISTS nothing",
    "rename": "RENAME TABLE faults_account TO another",
    "commit": "COMMIT",
    "chain": "COMMIT AND CHAIN",
    "begin": "START TRANSACTION",
    "lock": "LOCK TABLES faults_entry WRITE",
    "autocommit": "SET autocommit = 1",
    "comment": "/* a */ commit",
    "executed comment": "/*! COMMIT */",
    "analyze": "ANALYZE TABLE faults_account",
}


@pytest.mark.parametrize("nested", [False, True], ids=["block", "nested"])
@pytest.mark.parametrize("statement", COMMITS)
async def test_it_is_noticed(opened: Any, where: Where, statement: str, nested: bool) -> None:
    database = await opened(max_connections=2)
    if statement == "autocommit":
        # Switched on, it commits what was begun when it was off.
        prelude = ["SET autocommit = 0"]
    else:
        prelude = []
    called: list[int] = []
    with pytest.raises(TransactionError) as ended:
        async with atomic() as tx:
            tx.on_commit(lambda: called.append(1))
            for text in prelude:
                await execute_raw(text)
            await Entry.objects.create(nonce="before")
            with pytest.raises(TransactionBrokenError):
                if nested:
                    async with atomic():
                        await execute_raw(COMMITS[statement])
                else:
                    await execute_raw(COMMITS[statement])
            with pytest.raises(TransactionBrokenError):
                await Entry.objects.create(nonce="after")
            with pytest.raises(TransactionBrokenError):
                await Entry.objects.count()
    assert not ended.value.retryable, "what was written would be written twice"
    assert called == []
    stats = await quiet(database)
    assert stats["lost"] == 0
    # Neither locks nor settings are left to the next one.
    check(where)
    for n in range(4):
        async with atomic():
            await Entry.objects.create(nonce=f"next {n}")
    (row,) = await execute_raw("SELECT @@autocommit AS on_")
    assert row["on_"] == 1
    assert await Entry.objects.filter(nonce="after").count() == 0
    assert await Entry.objects.filter(nonce="before").count() == 1


@pytest.mark.parametrize("statement", COMMITS)
async def test_the_last_statement_of_a_block(opened: Any, statement: str) -> None:
    """Nothing follows that could be refused: the end of the block says it."""
    database = await opened()
    with pytest.raises(TransactionError, match=r"(?i)transaction"):
        async with atomic():
            if statement == "autocommit":
                await execute_raw("SET autocommit = 0")
            await Entry.objects.create(nonce="before")
            await execute_raw(COMMITS[statement])
    await quiet(database)


async def test_an_exception_after_it(opened: Any) -> None:
    """The program's own exception goes through, although nothing was rolled back: the cause says so."""
    await opened()
    with pytest.raises(LookupError):
        async with atomic():
            await Entry.objects.create(nonce="before")
            with pytest.raises(TransactionBrokenError):
                await execute_raw("CREATE TABLE another (a INT)")
            raise LookupError
    assert await Entry.objects.filter(nonce="before").count() == 1


async def test_retries_stop_there(opened: Any) -> None:
    """The work is not run again: its first half is stored."""
    await opened()
    runs = 0

    @atomic(retries=5)
    async def work() -> None:
        nonlocal runs
        runs += 1
        await Entry.objects.create(nonce="half")
        await execute_raw("CREATE TABLE another (a INT)")
        await Entry.objects.create(nonce="other half")

    with pytest.raises(TransactionError):
        await work()
    assert runs == 1
    assert await Entry.objects.values_list("nonce", flat=True) == ["half"]


async def test_what_commits_nothing(opened: Any) -> None:
    await opened(accounts=3)
    with pytest.raises(LookupError):
        async with atomic():
            await Entry.objects.create(nonce="before")
            for text in (
                "CREATE TEMPORARY TABLE passing (a INT)",
                "DROP TEMPORARY TABLE passing",
                "SET @a = 1",
                "SAVEPOINT mine",
                "RELEASE SAVEPOINT mine",
                "SET autocommit = 1",
                "DO 1",
            ):
                await execute_raw(text)
            await Account.objects.filter(id=1).update(balance=1)
            raise LookupError
    assert await Entry.objects.count() == 0
    assert (await Account.objects.get(id=1)).balance == 100


async def test_tables_that_are_made_inside(opened: Any) -> None:
    """`create_tables()` says it before it does it."""
    await opened()
    with pytest.raises(NotSupportedError, match=r"before or after the atomic\(\) block"):
        async with atomic():
            await Entry.objects.create(nonce="before")
            await create_tables(models=MODELS, if_not_exists=True)
    assert await Entry.objects.count() == 0
