"""The types of MySQL and MariaDB in raw SQL, and columns whose values a field cannot hold."""

from __future__ import annotations

import enum
import ipaddress
import math
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from pydantic import AwareDatetime

from oxyde import AsyncDatabase, DataError, ProgrammingError, atomic, execute_raw
from tests.servers import mysql_databases

from .conftest import Tables
from .existing import check_unreadable
from .kinds import Kind, same
from .lanes import mysql

pytestmark = mysql

TOKEN = UUID("c9bf9e57-1685-4c89-bafb-ff5af830be8a")
POINT = bytes(4) + bytes.fromhex("0101000000000000000000f03f0000000000000040")

# A column, an SQL expression that is stored in it, and the Python value that raw SQL reads.
NATURAL: list[tuple[str, str, Any]] = [
    ("TINYINT", "-128", -128),
    ("TINYINT UNSIGNED", "255", 255),
    ("TINYINT(1)", "TRUE", 1),
    ("SMALLINT", "-32768", -(2**15)),
    ("SMALLINT UNSIGNED", "65535", 2**16 - 1),
    ("MEDIUMINT", "-8388608", -(2**23)),
    ("MEDIUMINT UNSIGNED", "16777215", 2**24 - 1),
    ("INT", "-2147483648", -(2**31)),
    ("INT UNSIGNED", "4294967295", 2**32 - 1),
    ("INT ZEROFILL", "5", 5),
    ("BIGINT", "-9223372036854775808", -(2**63)),
    ("BIGINT UNSIGNED", "18446744073709551615", 2**64 - 1),
    ("FLOAT", "1.5", 1.5),
    ("DOUBLE", "5e-324", 5e-324),
    ("DOUBLE", "-1.7976931348623157e308", -math.nextafter(math.inf, 0)),
    ("DECIMAL(10,2)", "-1.5", Decimal("-1.50")),
    ("DECIMAL(65,30)", "1.5", Decimal("1.5")),
    ("DECIMAL(65,0)", "9" * 65, Decimal("9" * 65)),
    ("DATE", "'0001-01-01'", date(1, 1, 1)),
    ("DATE", "'9999-12-31'", date(9999, 12, 31)),
    ("DATETIME", "'2024-02-29 01:02:03'", datetime(2024, 2, 29, 1, 2, 3)),
    ("DATETIME(6)", "'0001-01-01 00:00:00.000001'", datetime(1, 1, 1, 0, 0, 0, 1)),
    ("DATETIME(6)", "'9999-12-31 23:59:59.999999'", datetime(9999, 12, 31, 23, 59, 59, 999999)),
    ("DATETIME(6)", "'2024-02-29'", datetime(2024, 2, 29)),
    ("TIMESTAMP(3) NULL", "'2038-01-19 03:14:07.123'", datetime(2038, 1, 19, 3, 14, 7, 123000)),
    ("TIME", "'00:00:00'", time(0)),
    ("TIME(6)", "'23:59:59.999999'", time(23, 59, 59, 999999)),
    ("TIME", "'24:00:00'", timedelta(days=1)),
    ("TIME(6)", "'-00:00:00.000001'", timedelta(microseconds=-1)),
    ("TIME", "'838:59:59'", timedelta(hours=838, minutes=59, seconds=59)),
    ("YEAR", "2155", 2155),
    ("YEAR", "0", 0),
    ("CHAR(5)", "'a b'", "a b"),
    ("VARCHAR(20)", "'𝔘 '", "𝔘 "),
    ("TINYTEXT", "''", ""),
    ("LONGTEXT", "REPEAT('ü', 70000)", "ü" * 70_000),
    ("VARCHAR(20) CHARACTER SET latin1", "'ü'", "ü"),
    ("ENUM('a','it''s')", "'it''s'", "it's"),
    ("SET('a','b','c')", "'c,a'", "a,c"),
    ("BINARY(3)", "'a'", b"a\0\0"),
    ("VARBINARY(9)", "x'00ff'", b"\x00\xff"),
    ("TINYBLOB", "''", b""),
    ("LONGBLOB", "REPEAT(x'ff', 70000)", b"\xff" * 70_000),
    ("BIT(1)", "1", 1),
    ("BIT(20)", "5", 5),
    ("BIT(64)", "18446744073709551615", 2**64 - 1),
    ("POINT", "ST_GeomFromText('POINT(1 2)')", POINT),
]


async def stored(column: str, expression: str) -> None:
    await execute_raw(f"CREATE TABLE zoo (id INT PRIMARY KEY, v {column}, n {column.replace(' NULL', '')} NULL)")
    await execute_raw(f"INSERT INTO zoo (id, v) VALUES (1, {expression})")


@pytest.mark.parametrize(("column", "text", "value"), NATURAL, ids=[f"{n[0]} {n[1]}"[:50] for n in NATURAL])
async def test_natural_values(database: AsyncDatabase, column: str, text: str, value: Any) -> None:
    await stored(column, text)
    # Also from a statement that the connection knows already.
    for _ in range(2):
        (row,) = await execute_raw("SELECT v, n FROM zoo")
        assert same(row["v"], value), (row, type(row["v"]))
        assert row["n"] is None


async def test_documents(database: AsyncDatabase) -> None:
    """JSON is a type of its own on MySQL only; to MariaDB it is text."""
    await stored("JSON", """'{"a": [1, 2.5, null, "ü"]}'""")
    ((read,),) = [tuple(row.values()) for row in await execute_raw("SELECT v FROM zoo")]
    if not mysql_databases.mariadb():
        assert same(read, {"a": [1, 2.5, None, "ü"]})
        (row,) = await execute_raw("SELECT JSON_EXTRACT(v, '$.a[3]') AS j, JSON_UNQUOTE(v->'$.a[3]') AS t FROM zoo")
        assert row == {"j": "ü", "t": "ü"}
    else:
        assert read == '{"a": [1, 2.5, null, "ü"]}'


async def test_types_of_mariadb(database: AsyncDatabase) -> None:
    if not mysql_databases.mariadb():
        with pytest.raises(ProgrammingError):
            await stored("UUID", f"'{TOKEN}'")
        return
    for column, text, value in [("INET6", "'::1'", "::1"), ("UUID", f"'{TOKEN}'", str(TOKEN))]:
        await stored(column, text)
        assert (await execute_raw("SELECT v FROM zoo WHERE v = ?", [value])) == [{"v": value}]
        await execute_raw("DROP TABLE zoo")


# What a parameter is read back as: by itself, and where that is another value.
PARAMETERS: list[tuple[Any, Any]] = [
    (True, 1),
    (0, 0),
    (-(2**63), -(2**63)),
    (2**64 - 1, 2**64 - 1),
    (1.5, 1.5),
    (5e-324, 5e-324),
    ("a'b\\c ü \U0001f600", "a'b\\c ü \U0001f600"),
    ("", ""),
    ("x" * 70_000, "x" * 70_000),
    (Decimal("-12345678901234567890123456789.123456789"), Decimal("-12345678901234567890123456789.123456789")),
    (datetime(1, 1, 1), datetime(1, 1, 1)),
    (datetime(9999, 12, 31, 23, 59, 59, 999999), datetime(9999, 12, 31, 23, 59, 59, 999999)),
    (datetime(2024, 1, 1, 1, tzinfo=timezone(timedelta(hours=2))), datetime(2023, 12, 31, 23)),
    (date(9999, 12, 31), date(9999, 12, 31)),
    (time(23, 59, 59, 999999), time(23, 59, 59, 999999)),
    (timedelta(days=-1, microseconds=1), -86_399_999_999),
    (TOKEN, str(TOKEN)),
    ({"a": [1, None, "ü"]}, '{"a": [1, null, "ü"]}'),
    ([1.5, {}], "[1.5, {}]"),
    (ipaddress.ip_address("::1"), "::1"),
    (enum.Enum("Choice", {"A": "a"}).A, "a"),  # type: ignore[attr-defined]
    (enum.IntEnum("Number", {"ONE": 1}).ONE, 1),  # type: ignore[attr-defined]
]


@pytest.mark.parametrize(("value", "read"), PARAMETERS, ids=[str(p[0])[:40] for p in PARAMETERS])
async def test_parameters(database: AsyncDatabase, value: Any, read: Any) -> None:
    for _ in range(2):
        (row,) = await execute_raw("SELECT ? AS v, ? AS n", [value, None])
        assert same(row["v"], read), row
        assert row["n"] is None
    # The same statement for values of other types: MySQL would take them for what the first ones were.
    for values in (["0", 1], [1, "1.0"], [Decimal("1.5"), "2024-01-01"], [1.5, None]):
        (row,) = await execute_raw("SELECT ? AS v, ? AS n", values)
        assert same(list(row.values()), values)


async def test_bytes(database: AsyncDatabase) -> None:
    await execute_raw("CREATE TABLE zoo (v LONGBLOB)")
    for value in (b"", b"\x00\xff'", bytearray(b"\xff"), memoryview(b"ab"), b"\xff" * 100_000):
        await execute_raw("INSERT INTO zoo VALUES (?)", [value])
        assert await execute_raw("SELECT v FROM zoo WHERE v = ?", [value]) == [{"v": bytes(value)}]
        await execute_raw("DELETE FROM zoo")
    # To a place that takes anything MySQL says that it is text.
    assert await execute_raw("SELECT CAST(? AS BINARY) AS v", [b"\xff"]) == [{"v": b"\xff"}]


async def test_text_that_is_none(database: AsyncDatabase) -> None:
    if mysql_databases.mariadb():
        assert await execute_raw("SELECT ? AS v", [b"\xff"]) == [{"v": b"\xff"}]
        return
    with pytest.raises(DataError, match="column v: expected valid UTF-8 text, found the VARCHAR"):
        await execute_raw("SELECT ? AS v", [b"a\xff"])


async def test_many_parameters(database: AsyncDatabase) -> None:
    marks = ",".join("?" * 20)
    values: list[Any] = [None if n % 3 == 1 else n if n % 2 else str(n) for n in range(20)]
    (row,) = await execute_raw("SELECT " + ",".join(f"? AS c{n}" for n in range(20)), values)
    assert list(row.values()) == values
    assert await execute_raw(f"SELECT 5 IN ({marks}) AS v", list(range(20))) == [{"v": 1}]


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (2**64, "range"),
        (-(2**63) - 1, "range"),
        (math.nan, "NaN"),
        (-math.inf, "infinity"),
        ("\0", "NUL"),
        ("\ud800", "surrogate"),
        (Decimal("NaN"), "NaN"),
        (Decimal(10) ** 65, "65 digits"),
        (Decimal("1E-65"), "65 digits"),
        (time(1, tzinfo=UTC), "tzinfo"),
        (datetime.min.replace(tzinfo=timezone(timedelta(hours=1))), "year 1"),
        (timedelta.max, "64 bits"),
        ({"a": {1, 2}}, "JSON"),
        ({"a": math.nan}, "JSON"),
        (["\0"], "NUL"),
        ([2**64], "64 bits"),
        ({1, 2}, "JSON"),
        pytest.param(object(), "got object", id="object"),
        (1j, "got complex"),
    ],
    ids=str,
)
async def test_refused_parameters(database: AsyncDatabase, value: Any, words: str) -> None:
    with pytest.raises(DataError, match=f"parameter 2.*{words}"):
        await execute_raw("SELECT ? AS a, ? AS b", [1, value])
    # The connection is as good as before.
    assert await execute_raw("SELECT 1 AS a") == [{"a": 1}]


async def test_numbers_of_parameters(database: AsyncDatabase) -> None:
    for params in ([], [1], [1, 2, 3]):
        with pytest.raises(ProgrammingError, match=f"2 parameters, {len(params)} were given"):
            await execute_raw("SELECT ? AS a, ? AS b", params)
    with pytest.raises(ProgrammingError, match="no statement"):
        await execute_raw(" -- nothing\n; /* at all */ ")


async def broken(column: str, *values: str) -> None:
    """Values that the server only stores if it is told to."""
    await execute_raw(f"CREATE TABLE kind_zoo (id BIGINT AUTO_INCREMENT PRIMARY KEY, value {column}, maybe {column})")
    async with atomic():
        await execute_raw("SET SESSION sql_mode = 'ALLOW_INVALID_DATES'")
        for value in values:
            await execute_raw(f"INSERT INTO kind_zoo (value) VALUES ({value})")


NOT_DATES = {
    "DATE": ["0000-00-00", "2024-02-31", "2024-00-01", "2024-01-00", "0000-01-01"],
    "DATETIME(6)": ["0000-00-00 00:00:00", "2024-02-31 01:02:03.500000", "2024-00-01 00:00:00", "2023-02-29 00:00:01"],
    "TIMESTAMP NULL": ["0000-00-00 00:00:00"],
}


@pytest.mark.parametrize("column", NOT_DATES)
async def test_dates_that_are_none(database: AsyncDatabase, column: str) -> None:
    await broken(column, *(f"'{text}'" for text in NOT_DATES[column]))
    for number, text in enumerate(NOT_DATES[column], 1):
        with pytest.raises(DataError, match=f"column value: .*{text}"):
            await execute_raw("SELECT id, value FROM kind_zoo WHERE id = ?", [number])
        for annotation in (date, datetime, AwareDatetime):
            model: Any = Kind("zoo", annotation, (None,)).model()
            with pytest.raises(DataError, match=rf"kind_zoo\.value \(id={number}\) cannot be read: .*{text}") as caught:
                await model.objects.filter(id=number).all()
            assert (caught.value.table, caught.value.column) == ("kind_zoo", "value")


# Field, column, what is stored (as SQL), what the error says.
MISMATCHES: list[tuple[Any, str, str, str]] = [
    (int, "DECIMAL(10, 2)", "1.5", "expected an integer, found the DECIMAL 1.50"),
    (int, "FLOAT", "1.5", "the FLOAT 1.5"),
    (int, "VARCHAR(10)", "'5'", 'the VARCHAR "5"'),
    (int, "DATE", "'2024-02-29'", "the DATE 2024-02-29"),
    (float, "DECIMAL(40, 20)", "0.12345678901234567891", "0.12345678901234567891"),
    (float, "BIGINT", "9007199254740993", "9007199254740993"),
    (float, "BIGINT UNSIGNED", "18446744073709551615", "BIGINT UNSIGNED 18446744073709551615"),
    (Decimal, "VARCHAR(10)", "'1.5'", 'the VARCHAR "1.5"'),
    (bool, "TINYINT(1)", "2", "the TINYINT 2"),
    (bool, "BIT(2)", "3", "the BIT 3"),
    (str, "INT", "5", "expected text, found the INT 5"),
    (str, "BLOB", "x'6162'", "the BLOB of 2 bytes"),
    (str, "DATE", "'2024-02-29'", "the DATE 2024-02-29"),
    (str, "SET('a','b')", "'a,b'", 'the SET "a,b"'),
    (list[str], "SET('a','b')", "'a,b'", 'the SET "a,b"'),
    (set[str], "SET('a','b')", "'a,b'", 'the SET "a,b"'),
    (bytes, "POINT", "ST_GeomFromText('POINT(1 2)')", "the GEOMETRY of 25 bytes"),
    (bytes, "VARCHAR(10)", "'x'", 'the VARCHAR "x"'),
    (bytes, "BIT(8)", "1", "the BIT 1"),
    (date, "DATETIME", "'2024-05-06 00:00:01'", "the DATETIME 2024-05-06 00:00:01"),
    (date, "VARCHAR(20)", "'2024-05-06x'", "2024-05-06x"),
    (datetime, "TIME", "'01:00'", "the TIME 01:00:00"),
    (time, "TIME", "'24:00:00'", "the TIME 24:00:00"),
    (time, "TIME", "'-00:00:01'", "the TIME -00:00:01"),
    (time, "TIME(6)", "'838:59:58.999999'", "the TIME 838:59:58.999999"),
    (time, "DATETIME", "'2024-05-06 00:00:01'", "the DATETIME"),
    (timedelta, "DOUBLE", "5", "the DOUBLE 5.0"),
    (UUID, "CHAR(36)", "'x'", 'the CHAR "x"'),
    (UUID, "BINARY(15)", "x'00'", "the BINARY of 15 bytes"),
    (AwareDatetime, "VARCHAR(40)", "'2024-05-06 00:00:00+01:00'", "2024-05-06 00:00:00\\+01:00"),
    (list[int], "BIGINT", "5", "a JSON array, found the BIGINT 5"),
    (list[int], "JSON", "'{}'", "a JSON array"),
    (list[int], "JSON", "'[1, \"a\"]'", "a"),
    (dict[str, Any], "BLOB", "'{}'", "the BLOB of 2 bytes"),
]


@pytest.mark.parametrize(
    ("annotation", "column", "stored", "words"), MISMATCHES, ids=[f"{m[1]} {m[2]}" for m in MISMATCHES]
)
async def test_columns_that_a_field_cannot_hold(
    database: AsyncDatabase, annotation: Any, column: str, stored: str, words: str
) -> None:
    await check_unreadable(annotation, "BIGINT AUTO_INCREMENT", column, stored, words)


async def test_no_zeros_but_those_of_the_value(database: AsyncDatabase, tables: Tables) -> None:
    """A bare decimal is a DECIMAL(65,30): the zeros that this adds are not the user's."""
    bare: Any = Kind("bare", Decimal, (None,)).model()
    exact: Any = Kind("exact", Decimal, (None,), {"max_digits": 65, "decimal_places": 30}).model()
    await tables(bare, exact)
    for text, shown in [("1.50", "1.5"), ("100", "100"), ("0.00", "0"), ("-1E-30", "-1E-30"), ("1E+10", "10000000000")]:
        for model, expected in [(bare, shown), (exact, f"{Decimal(text):.30f}")]:
            row = await model.objects.create(value=Decimal(text))
            read = (await model.objects.get(id=row.id)).value
            assert str(read) == str(Decimal(expected)), model
            assert await model.objects.filter(value=Decimal(text)).count() == 1
            assert await model.objects.filter(value__in=[Decimal(text)]).count() == 1
            await model.objects.delete()


async def test_finer_decimals_are_compared_as_what_they_are(database: AsyncDatabase, tables: Tables) -> None:
    model: Any = Kind("scaled", Decimal, (None,), {"max_digits": 10, "decimal_places": 2}).model()
    await tables(model)
    await model.objects.create(value=Decimal("1.56"))
    for text, equal, less in [("1.555", 0, 0), ("1.5600001", 0, 1), ("1.560", 1, 0), ("1E+60", 0, 1), ("-1E+60", 0, 0)]:
        value = Decimal(text)
        assert await model.objects.filter(value=value).count() == equal, text
        if abs(value) < 10:
            assert await model.objects.filter(value__in=[value, Decimal(7)]).count() == equal, text
        assert await model.objects.filter(value__lt=value).count() == less, text
    for text in ("1E+65", "-1E+65", "1E-65"):
        with pytest.raises(DataError, match="scaled.value.*65 digits"):
            await model.objects.filter(value__lt=Decimal(text)).count()


async def test_over_long_values(database: AsyncDatabase, tables: Tables) -> None:
    short: Any = Kind("short", str, (None,), {"max_length": 3}).model()
    plain: Any = Kind("plain", str, (None,)).model()
    bare: Any = Kind("bare", Decimal, (None,)).model()
    await tables(short, plain, bare)
    for model, bad, words in [
        (short, "abcd", "longer than 3 characters"),
        (short, "abc ", "longer than 3 characters"),
        (plain, "𝔘" * 256, "longer than 255 characters"),
        (bare, Decimal("1E-31"), "30 digits after the point"),
        (bare, Decimal("1E+35"), "35 digits before the point"),
    ]:
        with pytest.raises(DataError, match=f"value: .*{words}"):
            await model.objects.bulk_create([model.model_construct(value=bad)])
        assert await model.objects.count() == 0
    for text in ("𝔘𝔘𝔘", "a b"):
        await short.objects.create(value=text)
        assert await short.objects.filter(value=text).count() == 1


async def test_wide_integers_in_documents(database: AsyncDatabase, tables: Tables) -> None:
    model: Any = Kind("document", dict[str, Any], (None,)).model()
    await tables(model)
    for bad in ({"a": 2**64}, {"a": [-(2**63) - 1]}):
        with pytest.raises(DataError, match=r"document\.value: .*64 bits"):
            await model.objects.create(value=bad)
    # It is text there, and a float anyway.
    good = {"a": [2**64 - 1, -(2**63)], str(2**70): str(2**70), "b": 1e30}
    row = await model.objects.create(value=good)
    assert same((await model.objects.get(id=row.id)).value, good)
