"""Bulk inserts of many rows go by COPY, except where it would do something else than INSERT."""

from __future__ import annotations

import asyncio
import enum
from typing import Any

import pytest

from oxyde import (
    DatabaseError,
    DataError,
    Field,
    ForeignKeyViolationError,
    Model,
    ProgrammingError,
    UniqueViolationError,
    atomic,
    execute_raw,
)

from .conftest import Tables
from .lanes import postgres
from .test_postgres_counts import Relay, relay

pytestmark = postgres
__all__ = ["relay"]

MANY = 1_500


class Mood(enum.Enum):
    CALM = "calm"
    WILD = "it's \\ wild"


class Copied(Model):
    id: int | None = Field(default=None, db_pk=True)
    name: str = Field(db_unique=True)
    size: int = 0
    mood: Mood | None = None
    tags: list[str] = []

    class Meta:
        is_table = True
        table_name = "conf_copied"


class Odd(Model):
    """Names that have to be quoted in every place."""

    key: int | None = Field(default=None, db_pk=True, db_column="k\"e'y\\")
    value: str = Field(db_column='the "value" isn\'t')

    class Meta:
        is_table = True
        table_name = 'conf "odd" isn\'t\\it'


class Given(Model):
    """A key that the program gives."""

    code: str = Field(db_pk=True)
    size: int

    class Meta:
        is_table = True
        table_name = "conf_copied_given"


def rows(count: int = MANY, first: int = 0) -> list[Copied]:
    return [Copied(name=f"n\t{number}\\\n", size=number) for number in range(first, first + count)]


async def stored() -> dict[int | None, tuple[str, int]]:
    return {row.id: (row.name, row.size) for row in await Copied.objects.all()}


async def insert(count: int = MANY, first: int = 0) -> None:
    """Instances that are told their keys, and rows that have just those."""
    given = rows(count, first)
    assert await Copied.objects.bulk_create(given) == given
    found = await stored()
    for row in given:
        assert found[row.id] == (row.name, row.size)


async def copies(relay: Relay, what: Any) -> int:
    """How many messages of COPY data were sent."""
    before = relay.sent["d"]
    await what
    return relay.sent["d"] - before


@pytest.fixture
async def table(relay: Relay, tables: Tables) -> Relay:
    await tables(Copied)
    return relay


async def test_many_rows_are_copied(table: Relay) -> None:
    assert await copies(table, insert()) > 0
    assert await copies(table, insert(100, first=MANY)) == 0
    assert await Copied.objects.count() == MANY + 100


async def test_every_way_in(table: Relay) -> None:
    made = await Copied.objects.bulk_create(
        [{"name": f"d{n}", "mood": Mood.WILD, "tags": ["a,b", '"', "\\"]} for n in range(MANY)]
    )
    assert [row.id for row in made] == sorted(await Copied.objects.values_list("id", flat=True))
    last = await Copied.objects.get(id=made[-1].id)
    assert (last.name, last.mood, last.tags) == (f"d{MANY - 1}", Mood.WILD, ["a,b", '"', "\\"])
    # Rows of two kinds, each too many for one INSERT.
    mixed = [row for n in range(600) for row in (Copied(name=f"a{n}"), Copied(id=100_000 + n, name=f"b{n}"))]
    assert await copies(table, Copied.objects.bulk_create(mixed)) > 0
    found = await stored()
    assert all(found[row.id] == (row.name, 0) for row in mixed)


async def test_keys_and_names_of_all_sorts(relay: Relay, tables: Tables) -> None:
    await tables(Odd, Given)
    odd = [Odd(value=f"v{n}") for n in range(600)]
    await Odd.objects.bulk_create(odd)
    assert {row.key: row.value for row in await Odd.objects.all()} == {row.key: row.value for row in odd}
    given = [Given(code=f"c{n}", size=n) for n in range(600)]
    assert await copies(relay, Given.objects.bulk_create(given)) > 0
    assert await Given.objects.filter(code="c599").values_list("size", flat=True) == [599]


async def test_identity_columns(table: Relay) -> None:
    for kind in ("ALWAYS", "BY DEFAULT"):
        await execute_raw("ALTER TABLE conf_copied ALTER id DROP DEFAULT")
        await execute_raw(f"ALTER TABLE conf_copied ALTER id ADD GENERATED {kind} AS IDENTITY (START 1000)")
        assert await copies(table, insert()) > 0
        assert min(await stored()) == 1000  # type: ignore[type-var]
        await Copied.objects.delete()
        await execute_raw("ALTER TABLE conf_copied ALTER id DROP IDENTITY")


# What COPY would pass by, and how it is undone.
DIFFERENCES = {
    "a trigger that changes keys": (
        """CREATE FUNCTION conf_key() RETURNS trigger LANGUAGE plpgsql AS
        $$BEGIN NEW.id := NEW.id + 1000000; RETURN NEW; END$$""",
        "CREATE TRIGGER t BEFORE INSERT ON conf_copied FOR EACH ROW EXECUTE FUNCTION conf_key()",
        "DROP FUNCTION conf_key CASCADE",
    ),
    "a rule": (
        "CREATE RULE r AS ON INSERT TO conf_copied WHERE false DO INSTEAD NOTHING",
        "DROP RULE r ON conf_copied",
    ),
    "row security": (
        "ALTER TABLE conf_copied ENABLE ROW LEVEL SECURITY",
        "ALTER TABLE conf_copied DISABLE ROW LEVEL SECURITY",
    ),
    "a view": (
        "ALTER TABLE conf_copied RENAME TO conf_under",
        "CREATE VIEW conf_copied AS SELECT * FROM conf_under",
        "DROP VIEW conf_copied",
        "ALTER TABLE conf_under RENAME TO conf_copied",
    ),
    "a computed key": (
        "ALTER TABLE conf_copied ALTER id SET DEFAULT nextval('conf_copied_id_seq') * 2",
        "ALTER TABLE conf_copied ALTER id SET DEFAULT nextval('conf_copied_id_seq')",
    ),
    "a sequence with a quote": (
        'ALTER SEQUENCE conf_copied_id_seq RENAME TO "it\'s"',
        'ALTER SEQUENCE "it\'s" RENAME TO conf_copied_id_seq',
    ),
}


@pytest.mark.parametrize("difference", DIFFERENCES)
async def test_where_copy_would_differ(table: Relay, difference: str) -> None:
    statements = DIFFERENCES[difference]
    half = len(statements) // 2 + len(statements) % 2
    for statement in statements[:half]:
        await execute_raw(statement)
    try:
        if difference == "a rule":
            # Nor do rules and RETURNING go together: the server says so.
            with pytest.raises(DatabaseError, match="RETURNING"):
                await insert()
            assert table.sent["d"] == 0
        else:
            assert await copies(table, insert()) == 0
            # The server has said so once; the next one need not ask.
            assert await copies(table, insert(first=MANY)) == 0
    finally:
        for statement in statements[half:]:
            await execute_raw(statement)


async def test_all_or_none(table: Relay) -> None:
    await insert(600)
    before = await stored()
    again = rows(600, first=10_000)
    again[550].name = again[3].name
    with pytest.raises(UniqueViolationError) as caught:
        await Copied.objects.bulk_create(again)
    assert caught.value.constraint
    assert "10003" not in str(caught.value) + str(caught.value.detail)
    assert all(row.id is None for row in again)
    wrong = rows(600, first=20_000)
    wrong[599].size = 2**63
    with pytest.raises(DataError, match="size"):
        await Copied.objects.bulk_create(wrong)
    wrong[599].size, wrong[0].name = 0, "a\0b"
    with pytest.raises(DataError, match="name"):
        await Copied.objects.bulk_create(wrong)
    assert await stored() == before


async def test_a_column_of_another_type(table: Relay) -> None:
    """The text is read as whatever the column is, or refused: never taken for something else."""
    await execute_raw("ALTER TABLE conf_copied ALTER size TYPE float8")
    assert await copies(table, Copied.objects.bulk_create(rows(600))) > 0
    assert (await execute_raw("SELECT max(size) AS most FROM conf_copied"))[0]["most"] == 599.0
    await execute_raw("ALTER TABLE conf_copied ALTER size TYPE int2")
    large = rows(600, first=100_000)
    with pytest.raises(DataError):
        await Copied.objects.bulk_create(large)
    await execute_raw("ALTER TABLE conf_copied DROP size")
    with pytest.raises(ProgrammingError, match="size"):
        await Copied.objects.bulk_create(large)
    assert (await execute_raw("SELECT count(*) AS n FROM conf_copied"))[0]["n"] == 600


async def test_in_a_transaction(table: Relay) -> None:
    with pytest.raises(KeyError):
        async with atomic():
            assert await copies(table, insert()) > 0
            raise KeyError
    assert await Copied.objects.count() == 0
    async with atomic():
        await insert(600)
        with pytest.raises(UniqueViolationError):
            async with atomic():
                await Copied.objects.bulk_create(rows(600))
        await insert(600, first=600)
    assert await Copied.objects.count() == 1200


async def test_deferred_constraints_are_checked(table: Relay) -> None:
    await execute_raw(
        "ALTER TABLE conf_copied ADD CONSTRAINT f FOREIGN KEY (size) REFERENCES conf_copied (id) "
        "DEFERRABLE INITIALLY DEFERRED"
    )
    with pytest.raises(ForeignKeyViolationError):
        await Copied.objects.bulk_create(rows(600, first=5_000_000))
    assert await Copied.objects.count() == 0


async def test_cancelled_on_the_way(tables: Tables) -> None:
    """At whatever point: all rows or none, and the connection goes on."""
    await tables(Copied)
    total = 0
    for n in range(24):
        task = asyncio.ensure_future(Copied.objects.bulk_create(rows(2_000, first=n * 2_000)))
        for _ in range(n // 2):
            await asyncio.sleep(0 if n % 2 else 0.001)
        task.cancel()
        await asyncio.wait((task,))
        # What was under way has an end before the next statement on its connection begins.
        await asyncio.gather(*(execute_raw("SELECT 1") for _ in range(4)))
        await asyncio.sleep(0.01)
        found = await Copied.objects.count()
        assert found in (total, total + 2_000)
        total = found
