"""PostgreSQL's own types in raw SQL, and columns whose values a field cannot hold."""

from __future__ import annotations

import ipaddress
import math
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from pydantic import AwareDatetime

from oxyde import AsyncDatabase, DataError, Field, Model, ProgrammingError, execute_raw

from .conftest import Tables
from .existing import check_unreadable
from .kinds import same
from .lanes import postgres

pytestmark = postgres

TOKEN = UUID("c9bf9e57-1685-4c89-bafb-ff5af830be8a")

# An SQL expression, and the Python value that it is.
NATURAL: list[tuple[str, Any]] = [
    ("true", True),
    ("CAST(-32768 AS int2)", -(2**15)),
    ("2147483647", 2**31 - 1),
    ("CAST('-9223372036854775808' AS int8)", -(2**63)),
    ("CAST(4294967295 AS oid)", 2**32 - 1),
    ("CAST(1.5 AS float4)", 1.5),
    ("CAST('-infinity' AS float8)", -math.inf),
    ("1.50", Decimal("1.50")),
    ("CAST('100000000.00' AS numeric)", Decimal("100000000.00")),
    ("-0.00000001", Decimal("-0.00000001")),
    ("CAST('ü' AS varchar)", "ü"),
    ("CAST('a' AS char(3))", "a  "),
    ("CAST('n' AS name)", "n"),
    ("'unknown'", "unknown"),
    ("'\\x00ff'::bytea", b"\x00\xff"),
    (f"CAST('{TOKEN}' AS uuid)", TOKEN),
    ("CAST('{\"a\": [1, 2.5, null]}' AS jsonb)", {"a": [1, 2.5, None]}),
    ("CAST('[true]' AS json)", [True]),
    ("DATE '0001-01-01'", date(1, 1, 1)),
    ("DATE '9999-12-31'", date(9999, 12, 31)),
    ("TIME '23:59:59.999999'", time(23, 59, 59, 999999)),
    ("TIME WITH TIME ZONE '01:02:03+02'", time(1, 2, 3, tzinfo=timezone(timedelta(hours=2)))),
    ("TIMESTAMP '0001-01-01 00:00:00'", datetime(1, 1, 1)),
    ("TIMESTAMP '9999-12-31 23:59:59.999999'", datetime(9999, 12, 31, 23, 59, 59, 999999)),
    ("TIMESTAMP WITH TIME ZONE '2024-02-29 01:02:03+02'", datetime(2024, 2, 28, 23, 2, 3, tzinfo=UTC)),
    ("INTERVAL '-1 day 2 hours'", timedelta(days=-1, hours=2)),
    ("INET '10.0.0.1'", "10.0.0.1"),
    ("CIDR '10.0.0.0/8'", "10.0.0.0/8"),
    ("int4range(1, 5)", "[1,5)"),
    ("POINT '(1,2)'", "(1,2)"),
    ("ARRAY[1, NULL, 3]", [1, None, 3]),
    ("CAST('{}' AS int[])", []),
    (r"""CAST('{{a,"b,c"},{NULL,"d\""}}' AS text[])""", [["a", "b,c"], [None, 'd"']]),
    ("CAST('[0:1]={1,2}' AS int[])", [1, 2]),
    ("ARRAY[DATE '2024-02-29']", [date(2024, 2, 29)]),
    ("ARRAY[1.50, NULL]", [Decimal("1.50"), None]),
    ('CAST(\'{"{}","[1]"}\' AS jsonb[])', [{}, [1]]),
    ("CAST('{1.2.3.4,NULL}' AS inet[])", ["1.2.3.4", None]),
]


@pytest.mark.parametrize(("text", "value"), NATURAL, ids=[text for text, _ in NATURAL])
async def test_natural_values(database: AsyncDatabase, text: str, value: Any) -> None:
    # Also from a statement that the connection knows already.
    for _ in range(2):
        ((read,),) = [tuple(row.values()) for row in await execute_raw(f"SELECT {text} AS v")]
        assert same(read, value), (read, type(read))


# The type that a parameter is cast to, the value, and what is read back where that is another.
PARAMETERS: list[tuple[str, Any]] = [
    ("bool", True),
    ("int2", -(2**15)),
    ("int4", 2**31 - 1),
    ("int8", -(2**63)),
    ("oid", 2**32 - 1),
    ("float4", 1.5),
    ("float8", 5e-324),
    ("float8", math.inf),
    ("numeric", Decimal("-123456789012345678901234567890.123456789")),
    ("text", "a'b\\c ü \U0001f600"),
    ("bytea", b"\x00\xff"),
    ("uuid", TOKEN),
    ("jsonb", {"a": [1, None, r"\u0000"]}),
    ("jsonb", [1, {"float": 1e16}]),
    ("json", {"ü": 1.5}),
    ("date", date(1, 1, 1)),
    ("date", date(9999, 12, 31)),
    ("time", time(23, 59, 59, 999999)),
    ("timetz", time(1, 2, 3, tzinfo=timezone(timedelta(hours=-3)))),
    ("timestamp", datetime(9999, 12, 31, 23, 59, 59, 999999)),
    ("timestamptz", datetime(1, 1, 1, tzinfo=UTC)),
    ("interval", timedelta(days=-3, microseconds=1)),
    ("interval", timedelta.max),
    ("int[]", [1, None, 2]),
    ("int[]", []),
    ("int[]", [[1, 2], [3, 4]]),
    ("text[]", ["", "NULL", 'a"b', "{,}", None]),
    ("text[]", [[["x"], ["y"]], [["z"], [None]]]),
    ("numeric[]", [Decimal("1.5"), Decimal("-0.0001")]),
    ("timestamptz[]", [datetime(2024, 1, 1, tzinfo=UTC)]),
    ("jsonb[]", [{"a": 'q"'}, [1, [2]], None]),
    ("uuid[]", [TOKEN]),
    ("bool[]", [True, False, None]),
]


@pytest.mark.parametrize(("cast", "value"), PARAMETERS, ids=[f"{cast} {value}"[:40] for cast, value in PARAMETERS])
async def test_parameters(database: AsyncDatabase, cast: str, value: Any) -> None:
    rows = await execute_raw(f"SELECT CAST($1 AS {cast}) AS v, CAST($2 AS {cast}) AS n", [value, None])
    assert len(rows) == 1
    assert same(rows[0]["v"], value), rows
    assert rows[0]["n"] is None


async def test_parameters_in_another_form(database: AsyncDatabase) -> None:
    """What a cast makes of a text, and Python's types for what PostgreSQL writes as text."""
    for cast, value, read in [
        ("inet", "10.0.0.1", "10.0.0.1"),
        ("inet", ipaddress.ip_address("::1"), "::1"),
        ("cidr", ipaddress.ip_network("10.0.0.0/8"), "10.0.0.0/8"),
        ("inet[]", [ipaddress.ip_address("10.0.0.1"), None], ["10.0.0.1", None]),
        ("int4range", "[1,5)", "[1,5)"),
        ("uuid", str(TOKEN), TOKEN),
        ("date", "2024-02-29", date(2024, 2, 29)),
        ("interval", "1 day", timedelta(days=1)),
        ("jsonb", '{"a": 1}', {"a": 1}),
        ("int[]", "{1,2}", [1, 2]),
        ("numeric", 5, Decimal(5)),
        ("numeric", 0.1, Decimal("0.1")),
        ("float8", 5, 5.0),
        ("int8", timedelta(seconds=1), 1_000_000),
        ("timestamp", datetime(2024, 1, 1, 2, tzinfo=timezone(timedelta(hours=2))), datetime(2024, 1, 1)),
    ]:
        (row,) = await execute_raw(f"SELECT CAST($1 AS {cast}) AS v", [value])
        assert same(row["v"], read), (cast, value, row)


@pytest.mark.parametrize(
    ("cast", "value", "words"),
    [
        ("int4", "5", "integer.*expected int, got str"),
        ("int4", 2**31, "integer.*range"),
        ("int2", 1.5, "smallint.*expected int, got float"),
        ("bool", 1, "boolean.*expected bool, got int"),
        ("text", 5, "text.*expected str.*got int"),
        ("text", "\0", "NUL"),
        ("text", "\ud800", "surrogate"),
        ("numeric", Decimal("NaN"), "NaN"),
        ("timestamptz", datetime(2024, 1, 1), "naive"),
        ("date", datetime(2024, 1, 1), "expected date, got datetime"),
        ("jsonb", {"a": {1, 2}}, "JSON"),
        ("jsonb", {"a": math.nan}, "JSON"),
        ("jsonb", ["\0"], "NUL"),
        ("int[]", [1, "a"], "expected int, got str"),
        ("int[]", [[1], [2, 3]], "lengths"),
        ("int[]", [[1], None], "None"),
        ("int[]", [[], []], "empty"),
        ("bytea", "text", "expected bytes, got str"),
        ("inet", object(), "got object"),
    ],
)
async def test_refused_parameters(database: AsyncDatabase, cast: str, value: Any, words: str) -> None:
    with pytest.raises(DataError, match=f"parameter 2.*{words}"):
        await execute_raw(f"SELECT CAST($1 AS int) AS a, CAST($2 AS {cast}) AS b", [1, value])
    # The connection is as good as before.
    assert await execute_raw("SELECT 1 AS a") == [{"a": 1}]


async def test_numbers_of_parameters(database: AsyncDatabase) -> None:
    for params in ([], [1], [1, 2, 3]):
        with pytest.raises(ProgrammingError, match=f"2 parameters, {len(params)} were given"):
            await execute_raw("SELECT CAST($1 AS int) AS a, CAST($2 AS int) AS b", params)
    with pytest.raises(ProgrammingError, match="no statement"):
        await execute_raw(" -- nothing\n; /* at all */ ")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("CAST('infinity' AS timestamp)", "infinity"),
        ("CAST('-infinity' AS date)", "-infinity"),
        ("CAST('0044-03-15 BC' AS date)", "0044-03-15 BC"),
        ("CAST('294276-12-31 23:59:59' AS timestamptz)", "294276-12-31 23:59:59"),
        ("CAST('24:00' AS time)", "24:00:00"),
        ("INTERVAL '1 month'", "1 months"),
        ("ARRAY[CAST('infinity' AS date)]", "infinity"),
        # Python's json refuses integers of so many digits.
        ("CAST(repeat('9', 5000) AS jsonb)", "json.loads.*5000 bytes"),
        ("CAST(repeat('[', 5000) || repeat(']', 5000) AS json)", "json.loads.*10000 bytes"),
    ],
)
async def test_what_python_has_no_value_for(database: AsyncDatabase, text: str, words: str) -> None:
    with pytest.raises(DataError, match=f"column v: .*{words}"):
        await execute_raw(f"SELECT 1 AS id, {text} AS v")


# Field, column, what is stored (as SQL), what the error says.
MISMATCHES: list[tuple[Any, str, str, str]] = [
    (int, "NUMERIC(10, 2)", "1.5", "expected an integer, found the numeric 1.50"),
    (int, "REAL", "1.5", "the real 1.5"),
    (int, "TEXT", "'5'", 'the text "5"'),
    (int, "MONEY", "5", "of type money"),
    (int, "INTEGER[]", "'{1}'", "integer\\[\\]"),
    (float, "NUMERIC", "0.12345678901234567891", "0.12345678901234567891"),
    (float, "BIGINT", "9007199254740993", "9007199254740993"),
    (Decimal, "REAL", "'infinity'", "inf"),
    (bool, "INTEGER", "2", "the integer 2"),
    (str, "INTEGER", "5", "expected text, found the integer 5"),
    (str, "BYTEA", "'\\x6162'", "a bytea of 2 bytes"),
    (date, "TIMESTAMP", "'2024-05-06 00:00:01'", "2024-05-06 00:00:01"),
    (time, "TIMETZ", "'01:00:00+02'", "01:00:00"),
    (timedelta, "INTERVAL", "'1 year'", "12 months"),
    (UUID, "TEXT", "'x'", "a UUID"),
    (bytes, "TEXT", "'x'", "a bytea"),
    (AwareDatetime, "TIME", "'01:00'", "01:00:00"),
    # 2000-01-01 and so many days are more microseconds than 64 bits hold.
    (datetime, "DATE", "'infinity'", "the date infinity"),
    (datetime, "DATE", "CAST('2000-01-01' AS date) + 214961453", "the date 590544-06-20"),
    (int, "NUMERIC", "CAST(repeat('9', 5000) AS numeric)", "the numeric 9999"),
    (list[int], "BIGINT", "5", "a list"),
    (list[int], "TEXT[]", "'{a}'", 'the text "a"'),
    (list[int], "NUMERIC[]", "'{1.5}'", "1.5"),
    (dict[str, Any], "BYTEA", "'x'", "a JSON document"),
]


@pytest.mark.parametrize(
    ("annotation", "column", "stored", "words"), MISMATCHES, ids=[f"{m[1]} {m[2]}" for m in MISMATCHES]
)
async def test_columns_that_a_field_cannot_hold(
    database: AsyncDatabase, annotation: Any, column: str, stored: str, words: str
) -> None:
    await check_unreadable(annotation, "BIGSERIAL", column, stored, words)


class Measured(Model):
    id: int | None = Field(default=None, db_pk=True)
    pairs: dict[str, str | None] = Field(default_factory=dict, db_type="HSTORE")
    lasts: timedelta | None = Field(default=None, db_type="INTERVAL")
    tags: list[str] = Field(default_factory=list, db_type="CITEXT[]")

    class Meta:
        is_table = True
        table_name = "conf_measured"


async def test_types_of_extensions(database: AsyncDatabase, tables: Tables) -> None:
    await execute_raw("CREATE EXTENSION IF NOT EXISTS hstore")
    await execute_raw("CREATE EXTENSION IF NOT EXISTS citext")
    await tables(Measured)
    pairs = {"": None, 'a"\\': "b, =>", "ü": ""}
    lasts = timedelta(days=-1, hours=3, microseconds=1)
    tags = ["A,b", 'c"d\\', "", "NULL"]
    made = await Measured.objects.create(pairs=pairs, lasts=lasts, tags=tags)
    await Measured.objects.bulk_create([Measured(pairs=pairs, lasts=lasts, tags=tags), Measured()])
    read = await Measured.objects.order_by("id").all()
    assert [(row.pairs, row.lasts, row.tags) for row in read] == [
        (pairs, lasts, tags),
        (pairs, lasts, tags),
        ({}, None, []),
    ]
    assert read[0] == made
    assert await Measured.objects.filter(lasts=lasts).count() == 2
