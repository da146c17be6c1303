"""Servers as other people have set them up: 1 MB for a command, Latin-1 as a default, a sql_mode that forgives all."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from oxyde import AsyncDatabase, Field, Model, atomic, create_tables, execute_raw
from oxyde.exceptions import DataError, NotNullViolationError, UniqueViolationError
from tests.servers.mysql import MySQLServer

from .harness import on
from .programs.common import quiet

pytestmark = on("mysql")

LIMIT = 1 << 20
LARGE = "x" * (2 * LIMIT)


class Document(Model):
    id: int | None = Field(default=None, db_pk=True)
    name: str = Field(default="", max_length=100)
    first: str = Field(default="", db_type="LONGTEXT")
    second: str = Field(default="", db_type="LONGTEXT")
    data: bytes = b""

    class Meta:
        is_table = True
        table_name = "faults_document"


class Name(Model):
    id: int | None = Field(default=None, db_pk=True)
    name: str = Field(db_unique=True)

    class Meta:
        is_table = True
        table_name = "faults_name"


class Legacy(Model):
    """A table that was there before."""

    id: int | None = Field(default=None, db_pk=True)
    name: str = Field(max_length=20)

    class Meta:
        is_table = True
        table_name = "faults_legacy"


@pytest.fixture
async def database(elsewhere: Any) -> AsyncIterator[AsyncDatabase]:
    database = await elsewhere(max_connections=1)
    await create_tables(models=[Document, Name])
    await execute_raw(
        "CREATE TABLE faults_legacy (id BIGINT AUTO_INCREMENT PRIMARY KEY, name VARCHAR(20) NOT NULL) CHARSET latin1"
    )
    yield database
    assert database.stats()["lost"] == 0, "no refusal costs a connection"
    await quiet(database)


# ------------------------------------------------------------------------------------------------- max_allowed_packet


async def write_large(way: str) -> None:
    match way:
        case "create":
            await Document.objects.create(first=LARGE)
        case "bytes":
            await Document.objects.create(data=LARGE.encode())
        case "save":
            await Document(first=LARGE).save()
        case "update":
            await Document.objects.update(first=LARGE)
        case "bulk":
            rows = [Document(name=f"row {n}", first="y" * 200_000) for n in range(10)]
            await Document.objects.bulk_create([*rows, Document(first=LARGE), *rows])
        case "filter":
            await Document.objects.filter(first=LARGE).count()
        case "list":
            await Document.objects.filter(id__in=list(range(1_000_000, 1_300_000))).count()
        case "raw":
            await execute_raw("INSERT INTO faults_document (first) VALUES (?)", [LARGE])
        case "literal":
            await execute_raw(f"SELECT '{LARGE}' AS x")


@pytest.mark.parametrize("way", ["create", "bytes", "save", "update", "bulk", "filter", "list", "raw", "literal"])
async def test_what_is_larger_than_the_limit(database: AsyncDatabase, way: str) -> None:
    """It is not sent: the error names the limit, nothing is half done, connection and transaction go on."""
    await Document.objects.create(name="there", first="small")
    (before,) = await execute_raw("SELECT CONNECTION_ID() AS id")
    with pytest.raises(DataError, match=rf"less than {LIMIT} at once") as caught:
        await write_large(way)
    assert (caught.value.outcome, caught.value.retryable) == ("not_applied", False)
    assert "max_allowed_packet" in (caught.value.hint or "")
    assert "xxx" not in f"{caught.value!r} {caught.value.detail}"
    assert await Document.objects.values_list("name", "first") == [("there", "small")]
    async with atomic():
        await Document.objects.create(name="kept")
        with pytest.raises(DataError):
            await write_large(way)
        await Document.objects.create(name="kept as well")
    assert await Document.objects.order_by("id").values_list("name", flat=True) == ["there", "kept", "kept as well"]
    (after,) = await execute_raw("SELECT CONNECTION_ID() AS id")
    assert after == before


async def test_rows_that_are_larger_than_the_limit(database: AsyncDatabase) -> None:
    """They come in parts that each fit, and are read as a whole."""
    row = await Document.objects.create(name="large", first="a" * 900_000)
    await Document.objects.filter(id=row.id).update(second="ü" * 450_000)
    await Document.objects.filter(id=row.id).update(data=b"\xff" * 900_000)
    found = await Document.objects.get(id=row.id)
    assert (found.first, found.second, found.data) == ("a" * 900_000, "ü" * 450_000, b"\xff" * 900_000)


async def test_at_the_limit(database: AsyncDatabase) -> None:
    """Around it each row is stored whole or refused."""
    stored = 0
    for length in range(LIMIT - 120, LIMIT + 20, 7):
        try:
            await Document.objects.create(name=f"{length}", first="z" * length)
            stored += 1
        except DataError as error:
            assert "max_allowed_packet" in (error.hint or "")
    assert 0 < stored < 20
    lengths = await execute_raw("SELECT name, LENGTH(first) AS length FROM faults_document")
    assert len(lengths) == stored
    assert all(int(row["name"]) == row["length"] for row in lengths)


@pytest.mark.parametrize(("count", "size"), [(40, 100_000), (7, 600_000), (20_000, 100)])
async def test_bulk_create_takes_as_many_statements_as_it_needs(database: AsyncDatabase, count: int, size: int) -> None:
    rows = [Document(name=f"{n}", first=f"{n:06}" + "y" * (size - 6)) for n in range(count)]
    made = await Document.objects.bulk_create(rows)
    assert len({row.id for row in made}) == count
    (totals,) = await execute_raw(
        "SELECT COUNT(*) AS n, SUM(LENGTH(first)) AS length, SUM(CAST(LEFT(first, 6) AS SIGNED) = name) AS whole "
        "FROM faults_document"
    )
    assert {name: int(value) for name, value in totals.items()} == {"n": count, "length": count * size, "whole": count}
    for row in (made[0], made[count // 2], made[-1]):
        assert (await Document.objects.get(id=row.id)).first == row.first


async def test_bulk_create_in_parts_is_one_transaction(database: AsyncDatabase) -> None:
    """The last of several statements fails: the rows of the others are not there either."""
    names = [Name(name=f"{n}" + "n" * 200) for n in range(15_000)]
    with pytest.raises(UniqueViolationError):
        await Name.objects.bulk_create([*names, names[0]])
    assert await Name.objects.count() == 0


# ----------------------------------------------------------------------------------------------------- character sets

# Of every plane that has letters, and what other programs stumble over.
TEXTS = [
    "plain",
    "Größe Ñandú",
    "Жуки и Ωmega",
    "漢字かな",
    "𝔘𝔫𝔦𝔠𝔬𝔡𝔢",
    "😀👩‍👩‍👧",
    "𠀀𪚥",
    "\U000e0041\U000f0000\U0010fffd",
    "e\u0301 \u200f\u202e\ufeff",
    "back\\slash 'quote' \"double\" `tick` %_",
    "\x01\x1a\r\n\t\x7f",
    "\u20ac\u0080\u009f\u201c",
    "",
    " ",
]


async def test_tables_of_our_own_hold_every_text(database: AsyncDatabase, unusual: MySQLServer) -> None:
    ((default,),) = unusual.query("SELECT @@character_set_database", "elsewhere")
    assert default == "latin1"
    for text in TEXTS:
        row = await Name.objects.create(name=text)
        assert (await Name.objects.get(id=row.id)).name == text
        assert (await Name.objects.get(name=text)).id == row.id
        assert await Name.objects.filter(name__in=[text]).count() == 1
        assert await execute_raw("SELECT ? AS echo", [text]) == [{"echo": text}]
    assert sorted(await Name.objects.values_list("name", flat=True)) == sorted(TEXTS)
    await execute_raw("DELETE FROM faults_name")
    await Name.objects.bulk_create([Name(name=text) for text in TEXTS])
    assert await Name.objects.order_by("id").values_list("name", flat=True) == TEXTS
    for text in TEXTS[1:]:
        assert text in await Name.objects.filter(name__contains=text).values_list("name", flat=True)
    # As others see it.
    seen = unusual.query("SELECT HEX(name) FROM faults_name ORDER BY id", "elsewhere")
    assert [row[0] for row in seen] == [text.encode().hex().upper() for text in TEXTS]


async def test_a_text_that_an_old_column_has_no_letters_for(database: AsyncDatabase) -> None:
    """It is refused and never stored, or looked for, as question marks."""
    row = await Legacy.objects.create(name="Größe")
    await Legacy.objects.create(name="??")
    assert (await Legacy.objects.get(name="Größe")).id == row.id
    for text in ("Жуки", "漢字", "😀", "a☺b"):
        attempts: dict[str, Callable[[], Awaitable[Any]]] = {
            "create": lambda text=text: Legacy.objects.create(name=text),
            "bulk": lambda text=text: Legacy.objects.bulk_create([Legacy(name="fine"), Legacy(name=text)]),
            "update": lambda text=text: Legacy.objects.filter(id=row.id).update(name=text),
            "raw": lambda text=text: execute_raw("INSERT INTO faults_legacy (name) VALUES (?)", [text]),
            "literal": lambda text=text: execute_raw(f"UPDATE faults_legacy SET name = '{text}'"),
            "filter": lambda text=text: Legacy.objects.filter(name=text).count(),
        }
        for name, attempt in attempts.items():
            with pytest.raises(DataError) as caught:
                await attempt()
            assert caught.value.outcome == "not_applied", name
        assert "utf8mb4" in (caught.value.hint or "")
        assert await Legacy.objects.filter(name__in=[text, "Größe"]).count() == 1
    assert await Legacy.objects.order_by("id").values_list("name", flat=True) == ["Größe", "??"]


# ---------------------------------------------------------------------------------------------------------- sql_mode


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE faults_legacy SET name = REPEAT('x', 21)",
        "UPDATE faults_legacy SET name = CONCAT(name, REPEAT('x', 20))",
        "UPDATE numbers SET small = 200",
        "UPDATE numbers SET small = small * 1000",
        "UPDATE numbers SET small = 'text'",
        "UPDATE numbers SET positive = -1",
        "UPDATE numbers SET exact = 1000",
        "UPDATE numbers SET day = '2024-02-30'",
        "UPDATE numbers SET day = '0000-00-00'",
        "UPDATE numbers SET day = 'tomorrow'",
        "UPDATE numbers SET choice = 'z'",
        "UPDATE numbers SET small = 1 / 0",
        "INSERT INTO numbers (small) SELECT small * 100 FROM numbers",
    ],
)
async def test_nothing_is_cut_off_or_made_to_fit(database: AsyncDatabase, statement: str) -> None:
    """Although the server is told to forgive: our sessions are strict."""
    await execute_raw(
        "CREATE TABLE numbers (small TINYINT, positive INT UNSIGNED, exact DECIMAL(5, 2), day DATE, choice ENUM('a'))"
    )
    await execute_raw("INSERT INTO numbers VALUES (100, 1, 1.25, '2024-02-29', 'a')")
    await Legacy.objects.create(name="name")
    before = await execute_raw("SELECT * FROM numbers"), await Legacy.objects.all()
    with pytest.raises(DataError) as caught:
        await execute_raw(statement)
    assert caught.value.outcome == "not_applied"
    assert (await execute_raw("SELECT * FROM numbers"), await Legacy.objects.all()) == before


async def test_a_missing_value_is_no_empty_one(database: AsyncDatabase) -> None:
    with pytest.raises(NotNullViolationError) as caught:
        await execute_raw("INSERT INTO faults_legacy (id) VALUES (1)")
    assert caught.value.column == "name"
