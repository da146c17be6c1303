"""Tables that change under running programs: statements outside of transactions never notice."""

from __future__ import annotations

import asyncio
import enum
from typing import Any

import pytest

from oxyde import AsyncDatabase, Field, Model, atomic, create_tables, execute_raw
from oxyde.exceptions import DatabaseError
from tests.servers import databases

from .harness import on, scaled
from .programs.common import quiet

pytestmark = on("postgres")


class Light(enum.Enum):
    RED = "red"
    GREEN = "green"


class Changing(Model):
    id: int | None = Field(default=None, db_pk=True)
    name: str
    size: int = 0
    light: Light = Light.RED

    class Meta:
        is_table = True
        table_name = "faults_changing"


# Each leaves the table as the model wants it, by way of something else.
CHANGES = [
    ["ALTER TABLE faults_changing ADD extra INT DEFAULT 5", "ALTER TABLE faults_changing DROP extra"],
    ["ALTER TABLE faults_changing ALTER size TYPE INT", "ALTER TABLE faults_changing ALTER size TYPE NUMERIC"],
    ["ALTER TABLE faults_changing ALTER size TYPE SMALLINT", "ALTER TABLE faults_changing ALTER size TYPE BIGINT"],
    ["ALTER TABLE faults_changing ALTER name TYPE TEXT", "ALTER TABLE faults_changing ALTER name TYPE VARCHAR(99)"],
    ["ALTER TYPE light_enum ADD VALUE IF NOT EXISTS 'amber'"],
    [
        "ALTER TYPE light_enum RENAME TO light_old",
        "CREATE TYPE light_enum AS ENUM ('green', 'red')",
        "ALTER TABLE faults_changing ALTER light DROP DEFAULT",
        "ALTER TABLE faults_changing ALTER light TYPE light_enum USING light::text::light_enum",
        "DROP TYPE light_old",
    ],
    ["DROP INDEX IF EXISTS by_size", "CREATE INDEX by_size ON faults_changing (size)"],
    ["DISCARD ALL"],
]


@pytest.fixture
async def database(opened: Any) -> AsyncDatabase:
    database: AsyncDatabase = await opened(max_connections=4)
    await create_tables(models=[Changing])
    await Changing.objects.bulk_create([Changing(name=f"n{n}", size=n) for n in range(20)])
    return database


async def test_changes_under_load(database: AsyncDatabase) -> None:
    stop = asyncio.Event()
    done = 0

    async def read() -> None:
        nonlocal done
        while not stop.is_set():
            row = await Changing.objects.get(id=7)
            assert (row.name, row.size, row.light, type(row.size)) == ("n6", 6, Light.RED, int)
            rows = await Changing.objects.filter(light=Light.RED, size__lt=5).order_by("id")
            assert [row.name for row in rows] == [f"n{n}" for n in range(5)]
            assert await Changing.objects.filter(size__in=[1, 2]).values_list("name", flat=True) is not None
            (raw,) = await execute_raw("SELECT name, light FROM faults_changing WHERE id = $1", [7])
            assert raw == {"name": "n6", "light": "red"}
            done += 1
            await asyncio.sleep(0)

    async def write(name: int) -> None:
        n = 0
        while not stop.is_set():
            n += 1
            row = await Changing.objects.create(name=f"w{name}-{n}", size=1000 + n, light=Light.GREEN)
            assert (row.name, row.size, row.light) == (f"w{name}-{n}", 1000 + n, Light.GREEN)
            assert await Changing.objects.filter(id=row.id).update(size=2000) == 1
            made = await Changing.objects.bulk_create([Changing(name="b", size=3000, light=Light.GREEN)] * 1)
            assert await Changing.objects.filter(id__in=[row.id, made[0].id]).delete() == 2
            await asyncio.sleep(0)

    tasks = [asyncio.create_task(read()) for _ in range(3)] + [asyncio.create_task(write(n)) for n in range(2)]
    for round_ in range(scaled(3)):
        for change in CHANGES:
            before = done
            # As one transaction by somebody else, like a migration.
            text = "; ".join(change)
            await asyncio.to_thread(databases.observer("faults").query, text)
            while done < before + 3 and not any(task.done() for task in tasks):
                await asyncio.sleep(0.002)
            assert not any(task.done() for task in tasks), (round_, change, [t for t in tasks if t.done()])
    stop.set()
    await asyncio.gather(*tasks)
    await quiet(database)
    assert database.stats()["lost"] == 0


async def test_a_change_inside_a_transaction_is_an_error_that_may_be_retried(database: AsyncDatabase) -> None:
    """There the statement cannot be prepared anew without its transaction; the whole of it can be done again."""
    await asyncio.gather(*(Changing.objects.filter(size__gte=0).all() for _ in range(8)))
    runs = 0

    @atomic(retries=3)
    async def read() -> int:
        nonlocal runs
        runs += 1
        await execute_raw("SELECT 1")
        if runs == 1:
            await asyncio.to_thread(
                databases.observer("faults").query, "ALTER TABLE faults_changing ALTER size TYPE INT"
            )
        return len(await Changing.objects.filter(size__gte=0).all())

    assert await read() == 20
    assert runs <= 2


async def test_a_table_that_is_made_anew(database: AsyncDatabase) -> None:
    for _ in range(3):
        assert len(await Changing.objects.all()) == 20
        databases.observer("faults").query(
            "CREATE TABLE other (LIKE faults_changing INCLUDING ALL); INSERT INTO other SELECT * FROM faults_changing; "
            "ALTER SEQUENCE faults_changing_id_seq OWNED BY other.id; "
            "DROP TABLE faults_changing; ALTER TABLE other RENAME TO faults_changing"
        )
    rows = await Changing.objects.order_by("id")
    assert [row.size for row in rows] == list(range(20))
    databases.observer("faults").query("ALTER TABLE faults_changing RENAME size TO width")
    with pytest.raises(DatabaseError, match="size"):
        await Changing.objects.all()
    databases.observer("faults").query("ALTER TABLE faults_changing RENAME width TO size")
    assert len(await Changing.objects.all()) == 20
