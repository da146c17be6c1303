"""Tables that another program made: other column types than ours under the same fields, read and written."""

from __future__ import annotations

import enum
import ipaddress
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from pydantic import AwareDatetime, IPvAnyAddress

from oxyde import AsyncDatabase, DataError, Field, Model, ProgrammingError, execute_raw
from tests.servers import mysql_databases

from .conftest import Tables
from .existing import check_read
from .kinds import Kind, same
from .lanes import mysql

pytestmark = mysql

UTC_NOON = datetime(2024, 5, 6, 12, 0, tzinfo=UTC)
TOKEN = UUID("c9bf9e57-1685-4c89-bafb-ff5af830be8a")


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


# Field, column, what is stored (as SQL), what is read.
READS: list[tuple[Any, str, str, Any]] = [
    (int, "TINYINT", "-5", -5),
    (int, "TINYINT(1)", "1", 1),
    (int, "SMALLINT UNSIGNED", "65535", 2**16 - 1),
    (int, "MEDIUMINT", "-8388608", -(2**23)),
    (int, "INT UNSIGNED", "4294967295", 2**32 - 1),
    (int, "BIGINT UNSIGNED", "18446744073709551615", 2**64 - 1),
    (int, "DECIMAL(20)", "5", 5),
    (int, "DECIMAL(20, 2)", "5", 5),
    (int, "DECIMAL(65)", "1" + "0" * 40, 10**40),
    (int, "DOUBLE", "5", 5),
    (int, "FLOAT", "-2", -2),
    (int, "BIT(20)", "5", 5),
    (int, "YEAR", "2024", 2024),
    (float, "FLOAT", "1.5", 1.5),
    (float, "DECIMAL(10, 2)", "1.25", 1.25),
    (float, "INT", "3", 3.0),
    (Decimal, "INT", "15", Decimal(15)),
    (Decimal, "BIGINT UNSIGNED", "18446744073709551615", Decimal(2**64 - 1)),
    (Decimal, "DOUBLE", "0.1", Decimal("0.1")),
    (Decimal, "DECIMAL(10, 4)", "1.5", Decimal("1.5000")),
    (bool, "TINYINT(1)", "1", True),
    (bool, "BIT(1)", "0", False),
    (bool, "INT", "1", True),
    (str, "CHAR(5)", "'abc'", "abc"),
    (str, "TINYTEXT", "'ü'", "ü"),
    (str, "VARCHAR(9) CHARACTER SET latin1", "'ü '", "ü "),
    (str, "ENUM('a','b')", "'b'", "b"),
    (Colour, "VARCHAR(9)", "'red'", Colour.RED),
    (Colour, "ENUM('blue','red','green')", "'red'", Colour.RED),
    (datetime, "TIMESTAMP NULL", "'2024-05-06 12:00:00'", datetime(2024, 5, 6, 12, 0)),
    (datetime, "DATETIME", "'2024-05-06 12:00:00'", datetime(2024, 5, 6, 12, 0)),
    (datetime, "DATETIME(3)", "'2024-05-06 12:00:00.123'", datetime(2024, 5, 6, 12, 0, 0, 123000)),
    (datetime, "DATE", "'2024-05-06'", datetime(2024, 5, 6)),
    (datetime, "VARCHAR(40)", "'2024-05-06T12:00:00.5'", datetime(2024, 5, 6, 12, 0, 0, 500000)),
    (AwareDatetime, "TIMESTAMP(6) NULL", "'2024-05-06 12:00:00'", UTC_NOON),
    (AwareDatetime, "DATETIME", "'2024-05-06 12:00:00'", UTC_NOON),
    (date, "DATETIME", "'2024-05-06 00:00:00'", date(2024, 5, 6)),
    (date, "VARCHAR(10)", "'2024-05-06'", date(2024, 5, 6)),
    (time, "TIME", "'07:08:09'", time(7, 8, 9)),
    (time, "CHAR(5)", "'07:08'", time(7, 8)),
    (timedelta, "TIME(6)", "'-30:00:00.5'", timedelta(hours=-30, milliseconds=-500)),
    (timedelta, "INT", "5", timedelta(microseconds=5)),
    (UUID, "CHAR(32)", "'C9BF9E5716854C89BAFBFF5AF830BE8A'", TOKEN),
    (UUID, "VARCHAR(36)", f"'{TOKEN}'", TOKEN),
    (UUID, "BINARY(16)", f"x'{TOKEN.hex}'", TOKEN),
    (bytes, "BINARY(3)", "'a'", b"a\0\0"),
    (bytes, "VARBINARY(9)", "x'00ff'", b"\x00\xff"),
    (bytes, "TINYBLOB", "''", b""),
    (dict[str, Any], "TEXT", "'{\"a\": 1}'", {"a": 1}),
    (list[int], "TEXT", "'[1, 2]'", [1, 2]),
    (list[str], "JSON", '\'["a,b", "ü"]\'', ["a,b", "ü"]),
    (list[bool], "JSON", "'[true, 0]'", [True, False]),
    (ipaddress.IPv4Address, "CHAR(15)", "'1.2.3.4'", ipaddress.IPv4Address("1.2.3.4")),
]


@pytest.fixture
async def made(database: AsyncDatabase) -> Any:
    """Makes a table of the given column type for a field's type; the model knows nothing of the column's."""

    async def made(annotation: Any, column: str) -> Any:
        model: Any = Kind("foreign", annotation, (None,)).model()
        maybe = column.removesuffix(" NULL")
        await execute_raw(
            f"CREATE TABLE {model.get_table_name()} "
            f"(id BIGINT AUTO_INCREMENT PRIMARY KEY, value {column}, maybe {maybe} NULL)"
        )
        return model

    return made


@pytest.mark.parametrize(("annotation", "column", "stored", "value"), READS, ids=[f"{r[1]}-{r[2]}"[:50] for r in READS])
async def test_reads(made: Any, annotation: Any, column: str, stored: str, value: Any) -> None:
    await check_read(await made(annotation, column), stored, value)


WRITES: list[tuple[Any, str, list[Any]]] = [
    (int, "TINYINT", [0, -128, 127]),
    (int, "SMALLINT UNSIGNED", [0, 2**16 - 1]),
    (int, "INT", [0, -(2**31), 2**31 - 1]),
    (int, "BIGINT UNSIGNED", [0, 2**63 - 1]),
    (int, "DECIMAL(20)", [5, 2**62]),
    (int, "YEAR", [1901, 2155]),
    (int, "BIT(40)", [0, 5, 2**39]),
    (bool, "BIT(1)", [True, False]),
    (float, "FLOAT", [0.5, -1.25]),
    (str, "CHAR(3)", ["abc", "ü"]),
    (str, "TEXT", ["", "ü" * 200]),
    (Colour, "VARCHAR(9)", [Colour.RED, Colour.BLUE]),
    (dict[str, Any], "LONGTEXT", [{"a": [1, None]}]),
    (list[int], "JSON", [[], [1, -2]]),
    (datetime, "TIMESTAMP(6) NULL", [datetime(2024, 5, 6, 7, 8, 9, 10)]),
    (datetime, "DATETIME", [datetime(2024, 5, 6, 7, 8, 9)]),
    (UUID, "VARCHAR(36)", [TOKEN]),
    (bytes, "VARBINARY(9)", [b"", b"\x00\xff"]),
    (Decimal, "DOUBLE", [Decimal("0.5"), Decimal(-3)]),
]


@pytest.mark.parametrize(("annotation", "column", "values"), WRITES, ids=[w[1] for w in WRITES])
async def test_writes(made: Any, annotation: Any, column: str, values: list[Any]) -> None:
    model = await made(annotation, column)
    for value in values:
        row = await model.objects.create(value=value)
        assert same((await model.objects.get(id=row.id)).value, value)
        assert await model.objects.filter(id=row.id).update(maybe=value) == 1
    rows = await model.objects.bulk_create([{"value": value} for value in values])
    assert [row.value for row in rows] == values
    assert await model.objects.filter(value=values[0]).count() == 2


@pytest.mark.parametrize(
    ("annotation", "column", "value"),
    [
        (int, "TINYINT", 128),
        (int, "SMALLINT", -(2**15) - 1),
        (int, "INT", 2**31),
        (int, "INT UNSIGNED", -1),
        (int, "YEAR", 1900),
        (int, "BIT(1)", 2),
        (float, "FLOAT", 1e39),
        (Decimal, "DECIMAL(4, 2)", Decimal(100)),
        (str, "VARCHAR(3)", "abcd"),
        (str, "CHAR(3) CHARACTER SET latin1", "☺"),
        (Colour, "ENUM('red')", Colour.BLUE),
        (bytes, "BINARY(1)", b"ab"),
        (datetime, "TIMESTAMP NULL", datetime(2300, 1, 1)),
        (UUID, "BINARY(16)", TOKEN),
    ],
)
async def test_what_the_column_cannot_hold(made: Any, annotation: Any, column: str, value: Any) -> None:
    model = await made(annotation, column)
    with pytest.raises(DataError) as caught:
        await model.objects.create(value=value)
    assert caught.value.outcome == "not_applied"
    with pytest.raises(DataError):
        await model.objects.bulk_create([{"value": value}])
    assert await model.objects.count() == 0


class Planet(Model):
    id: int | None = Field(default=None, db_pk=True)
    name: str = Field(default="", db_type="VARCHAR(300)")
    code: str = Field(default="", db_type="CHAR(3)")
    size: int = Field(default=0, db_type="SMALLINT UNSIGNED")
    distance: int = Field(default=0, db_type="BIGINT UNSIGNED")
    weight: float = Field(default=0.0, db_type="FLOAT")
    price: Decimal = Field(default=Decimal(0), db_type="DECIMAL(10,2)")
    moment: datetime | None = Field(default=None, db_type="DATETIME(3)")
    seen: datetime | None = Field(default=None, db_type="TIMESTAMP(6) NULL")
    notes: dict[str, int] = Field(default_factory=dict, db_type="LONGTEXT")

    class Meta:
        is_table = True
        table_name = "conf_planet"


async def test_columns_with_a_type_of_their_own(tables: Tables) -> None:
    await tables(Planet)
    values: dict[str, Any] = {
        "name": "Ä" * 300,
        "code": "a b",
        "size": 2**16 - 1,
        "distance": 2**64 - 1,
        "weight": 0.1,
        "price": Decimal("1.50"),
        "moment": datetime(2024, 1, 2, 3, 4, 5, 678000),
        "seen": datetime(2024, 1, 2, 3, 4, 5, 6),
        "notes": {"a": 1},
    }
    row = await Planet.objects.create(**values)
    # A FLOAT keeps 24 bits of it, and is still found by what was given.
    kept = {**values, "weight": 0.10000000149011612}
    read = await Planet.objects.get(id=row.id)
    for name, value in values.items():
        assert same(getattr(read, name), kept[name]), name
        if name != "notes":
            assert await Planet.objects.filter(**{name: value}).count() == 1, name
    assert await Planet.objects.filter(id=row.id).update(**values) == 1
    (bulk,) = await Planet.objects.bulk_create([values])
    assert (await Planet.objects.get(id=bulk.id)).distance == 2**64 - 1


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("name", "x" * 301, "longer than 300 characters"),
        ("name", "x" * 300 + " ", "longer than 300 characters"),
        ("code", "abcd", "longer than 3 characters"),
        ("code", "ab ", "ends with a blank"),
        ("price", Decimal("1.555"), "2 digits after the point"),
        ("price", Decimal(10**8), "8 digits before the point"),
        ("weight", 1e39, "range"),
        ("size", 2**16, ""),
        ("distance", 2**64, "range"),
        ("distance", -1, ""),
        ("notes", {"a": 2**64}, "64 bits"),
    ],
)
async def test_what_a_type_of_their_own_cannot_hold(tables: Tables, field: str, value: Any, words: str) -> None:
    await tables(Planet)
    row = await Planet.objects.create()
    with pytest.raises(DataError, match=f"{field}.*{words}"):
        await Planet.objects.create(**{field: value})
    with pytest.raises(DataError, match=f"{field}.*{words}"):
        await Planet.objects.bulk_create([{field: value}])
    with pytest.raises(DataError, match=f"{field}.*{words}"):
        await Planet.objects.filter(id=row.id).update(**{field: value})
    assert await Planet.objects.get() == row


class Host(Model):
    id: int | None = Field(default=None, db_pk=True)
    token: UUID = Field(db_type="UUID")
    address: IPvAnyAddress | None = Field(default=None, db_type="INET6")

    class Meta:
        is_table = True
        table_name = "conf_host"


async def test_types_of_mariadb(tables: Tables) -> None:
    if not mysql_databases.mariadb():
        with pytest.raises(ProgrammingError):
            await tables(Host)
        return
    await tables(Host)
    address = ipaddress.IPv6Address("2001:db8::1")
    row = await Host.objects.create(token=TOKEN, address=address)
    assert await Host.objects.get(token=TOKEN) == row
    assert await Host.objects.filter(address=address, token__in=[TOKEN]).count() == 1
    (bulk,) = await Host.objects.bulk_create([Host(token=UUID(int=0))])
    assert (await Host.objects.get(id=bulk.id)).token == UUID(int=0)
