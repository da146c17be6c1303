"""Raw SQL that ends a transaction behind the back of its block: never a clean exit, never a word that is not true."""

from __future__ import annotations

import pytest

from oxyde import (
    AsyncDatabase,
    DatabaseError,
    Field,
    Model,
    TransactionBrokenError,
    TransactionError,
    atomic,
    execute_raw,
)

from .conftest import Tables
from .lanes import Lane

COMMITS = {
    "sqlite": ("COMMIT", "commit ;", "END", "end transaction", "-- note\nCOMMIT", "/* note */ CoMmIt", "; COMMIT"),
    "postgres": ("COMMIT", "end", "-- note\nCOMMIT", "/* a /* b */ */ commit;", "COMMIT AND CHAIN"),
    "mysql": (
        "COMMIT",
        "# note\ncommit",
        "/*! COMMIT */",
        "COMMIT AND CHAIN",
        "START TRANSACTION",
        "BEGIN",
        "CREATE TABLE ending_other (id int)",
        "ALTER TABLE ending_other ADD COLUMN more int",
        "TRUNCATE TABLE ending_other",
        "LOCK TABLES ending_note WRITE",
        "CALL ending_commit()",
        "DROP TABLE ending_other",
    ),
}
ROLLBACKS = {
    "sqlite": ("ROLLBACK", "/* note */ rollback", "-- note\nROLLBACK TRANSACTION"),
    "postgres": ("ROLLBACK", "abort", "/* note */ rollback", "ROLLBACK AND CHAIN"),
    "mysql": ("ROLLBACK", "/* note */ rollback", "ROLLBACK AND CHAIN"),
}
# Fail, and have committed before that.
FAIL = {"mysql": ("DROP TABLE no_table", "CREATE TABLE ending_note (id int)")}


class Note(Model):
    id: int | None = Field(default=None, db_pk=True)
    text: str

    class Meta:
        is_table = True
        table_name = "ending_note"


@pytest.fixture(autouse=True)
async def prepared(lane: Lane, database: AsyncDatabase, tables: Tables) -> None:
    await tables(Note)
    if lane.family == "mysql":
        await execute_raw("CREATE PROCEDURE ending_commit() COMMIT")


async def stored() -> list[str]:
    return sorted(await Note.objects.values_list("text", flat=True))


@pytest.mark.parametrize("nested", [False, True], ids=["block", "nested"])
@pytest.mark.parametrize("swallow", [False, True], ids=["raised", "swallowed"])
async def test_it_is_told(lane: Lane, swallow: bool, nested: bool) -> None:
    texts = [(text, ["before"]) for text in COMMITS[lane.family]] + [(text, []) for text in ROLLBACKS[lane.family]]
    if lane.family == "mysql" and not swallow:
        await execute_raw("CREATE TABLE ending_other (id int)")
        texts = [(text, left) for text, left in texts if not text.startswith("CREATE")]
    for text, left in texts:
        with pytest.raises(TransactionBrokenError) as info:
            async with atomic():
                await Note.objects.create(text="before")
                if nested:
                    async with atomic():
                        await end(text, swallow)
                else:
                    await end(text, swallow)
        # It may be committed or not, and so nobody runs it again.
        assert (info.value.outcome, info.value.retryable) == ("unknown", False), text
        assert await stored() == left, text
        await Note.objects.filter(id__gte=0).delete()


async def end(text: str, swallow: bool) -> None:
    try:
        await execute_raw(text)
    except TransactionBrokenError:
        if not swallow:
            raise
    else:
        raise AssertionError(text)
    # Nothing runs unprotected in the belief that it is in the transaction.
    with pytest.raises(TransactionBrokenError):
        await Note.objects.create(text="after")
    with pytest.raises(TransactionBrokenError):
        await Note.objects.count()


async def test_statements_that_commit_and_fail(lane: Lane) -> None:
    for text in FAIL.get(lane.family, ()):
        with pytest.raises(TransactionBrokenError) as info:
            async with atomic():
                await Note.objects.create(text="before")
                with pytest.raises(DatabaseError) as failed:
                    await execute_raw(text)
                assert failed.value.outcome == "unknown"
        assert info.value.outcome == "unknown"
        assert "rolled back" not in str(info.value)
        assert await stored() == ["before"]
        await Note.objects.filter(id__gte=0).delete()


async def test_what_ends_nothing(lane: Lane) -> None:
    texts = {"sqlite": ("PRAGMA user_version",), "postgres": ("BEGIN",), "mysql": ("SET @a = 1",)}[lane.family]
    async with atomic():
        for text in ("SAVEPOINT mine", "ROLLBACK TO SAVEPOINT mine", "RELEASE SAVEPOINT mine", *texts):
            await execute_raw(text)
        await Note.objects.create(text="after")
    assert await stored() == ["after"]


async def test_what_begins_outside_of_a_block(lane: Lane) -> None:
    """A transaction that nothing would end: it is refused and rolled back, and the next who comes is in none."""
    for text in {"sqlite": ("BEGIN", "SAVEPOINT mine")}.get(lane.family, ("BEGIN", "START TRANSACTION")):
        with pytest.raises(TransactionError, match="nothing would end"):
            await execute_raw(text)
        await Note.objects.create(text=text)
    assert len(await stored()) == 2


@pytest.mark.parametrize("end", ["COMMIT", "ROLLBACK"])
async def test_a_function_is_not_run_again(lane: Lane, end: str) -> None:
    runs = []

    @atomic(retries=3)
    async def work() -> None:
        runs.append(end)
        await execute_raw(end)

    with pytest.raises(TransactionBrokenError):
        await work()
    assert runs == [end]
