"""What is stored but is no value of the column's type: a DataError that names table, column and value."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from decimal import Decimal
from ipaddress import IPv4Address
from typing import Any, Literal
from uuid import UUID

import pytest
from pydantic import AwareDatetime, EmailStr, SecretStr

from oxyde import AsyncDatabase, DataError, execute_raw

from .conftest import Tables
from .kinds import Colour, Kind, Level, Money, Person, to_cents
from .lanes import LANES, Lane, sqlite

# For each family of databases: a column type, and SQL expressions for what another program may have put there.
UNREADABLE: dict[str, list[tuple[str, Any, list[str]]]] = {
    "sqlite": [
        ("int", int, ["'abc'", "x'00'", "1.5", "-9.5e300", "''"]),
        ("str", str, ["x'6162'", "CAST(x'ff' AS TEXT)"]),
        ("float", float, ["'abc'", "x'00'"]),
        ("bool", bool, ["2", "-1", "'yes'", "0.5"]),
        ("decimal", Decimal, ["'abc'", "''", "x'31'", "'NaN'"]),
        (
            "datetime",
            datetime,
            ["'yesterday'", "''", "'2024-02-30 00:00:00'", "'0000-01-01 00:00:00'", "x'00'", "'infinity'"],
        ),
        ("aware", AwareDatetime, ["'2024-01-01T25:00:00Z'", "'10000-01-01 00:00:00'"]),
        ("date", date, ["'2024-13-01'", "'x'", "x'00'", "'294276-12-31'"]),
        ("time", time, ["'24:00:01'", "'noon'", "1.5"]),
        ("timedelta", timedelta, ["'1 day'", "0.5", "x'00'"]),
        ("uuid", UUID, ["'not-a-uuid'", "x'00'", "5"]),
        ("bytes", bytes, ["'text'", "5"]),
        ("array", list[int], ["'[1, \"a\"]'", "'{}'", "'[1'", "5", "'[1.5]'"]),
        ("array_uuid", list[UUID], ["'[\"x\"]'"]),
        ("json", dict[str, Any], ["'{'", "'[]'", "x'00'"]),
        ("json_model", Person, ["'{\"name\": 5}'", "'[]'", "'{}'"]),
        ("ip", IPv4Address, ["'300.0.0.1'", "'x'"]),
        ("converted", Money, ["'abc'"]),
    ],
    "postgres": [
        ("decimal", Decimal, ["'NaN'"]),
        ("datetime", datetime, ["'infinity'", "'-infinity'", "'294276-12-31 23:59:59'", "'0044-03-15 00:00:00 BC'"]),
        ("aware", AwareDatetime, ["'infinity'", "'-infinity'", "'10000-01-01 00:00:00Z'", "'0001-06-01 00:00:00Z BC'"]),
        ("date", date, ["'infinity'", "'-infinity'", "'5874897-12-31'", "'0044-03-15 BC'"]),
        ("time", time, ["'24:00:00'"]),
        ("array", list[int], ["'{1,NULL}'", "'{{1,2},{3,4}}'"]),
        ("array_date", list[date], ["'{2024-01-01,infinity}'"]),
        ("json", dict[str, Any], ["'[]'", "'1'"]),
        ("json_model", Person, ["'{\"name\": 5}'", "'[]'", "'{}'"]),
        ("ip", IPv4Address, ["'300.0.0.1'", "'x'"]),
    ],
    "mysql": [
        ("bool", bool, ["2", "-1"]),
        ("datetime", datetime, ["'0000-01-01 00:00:00'", "'0000-12-31 23:59:59.999999'"]),
        ("aware", AwareDatetime, ["'0000-12-31 23:59:59'"]),
        ("date", date, ["'0000-01-01'"]),
        ("time", time, ["'24:00:00'", "'838:59:59'", "'-00:00:01'"]),
        ("uuid", UUID, ["'not-a-uuid'", "''"]),
        ("array", list[int], ["'[1, \"a\"]'", "'{}'", "'5'", "'[1.5]'", "'[null]'"]),
        ("array_uuid", list[UUID], ["'[\"x\"]'"]),
        ("array_date", list[date], ["'[\"0000-01-01\"]'"]),
        ("json", dict[str, Any], ["'[]'", "'1'"]),
        ("json_model", Person, ["'{\"name\": 5}'", "'[]'", "'{}'"]),
        ("ip", IPv4Address, ["'300.0.0.1'", "'x'"]),
    ],
}
CASES = [
    pytest.param(lane, name, annotation, stored, id=f"{lane.name}-{name}-{n}")
    for lane in LANES
    for name, annotation, values in UNREADABLE[lane.family]
    for n, stored in enumerate(values)
]


def kind_of(name: str, annotation: Any) -> Kind:
    if annotation is Money:
        config = {"arbitrary_types_allowed": True}
        return Kind(name, Money, (Money(0),), {"db_converter": (to_cents, Money)}, config=config)
    return Kind(name, annotation, (None,))


async def text_of(lane: Lane, table: str, stored: str) -> str | None:
    """What a message about the stored value has to quote."""
    if lane.family != "sqlite":
        # How a value out of Python's range is written is not the point.
        words = ("infinity", "NaN", "24:00", "838:59:59", "'0000-01-01", "not-a-uuid")
        return stored.strip("'") if any(word in stored for word in words) else None
    if "ff" in stored:
        return ""
    (row,) = await execute_raw(
        f"SELECT CASE WHEN typeof(value) = 'blob' OR value LIKE char(65533) THEN '' ELSE value END AS v FROM {table}"
    )
    return row["v"] if isinstance(row["v"], str) else None


@pytest.mark.parametrize(("lane", "name", "annotation", "stored"), CASES)
async def test_unreadable(lane: Lane, name: str, annotation: Any, stored: str, tables: Tables) -> None:
    model: Any = kind_of(name, annotation).model()
    await tables(model)
    table = model.get_table_name()
    assert await execute_raw(f"INSERT INTO {table} (value, maybe) VALUES ({stored}, {stored})") == []
    shown = await text_of(lane, table, stored)
    ways = {
        "all": lambda: model.objects.all(),
        "validate full": lambda: model.objects.filter().validate("full").all(),
        "validate off": lambda: model.objects.filter().validate("off").all(),
        "get": lambda: model.objects.get(id=1),
        "first": lambda: model.objects.first(),
        "only": lambda: model.objects.only("maybe").all(),
        "dict": lambda: model.objects.all(mode="dict"),
        "list": lambda: model.objects.all(mode="list"),
        "json": lambda: model.objects.all(mode="json"),
        "values": lambda: model.objects.values("value").all(),
        "flat": lambda: model.objects.values_list("maybe", flat=True).all(),
    }
    for way, call in ways.items():
        with pytest.raises(DataError) as caught:
            await call()
        error = caught.value
        assert table in str(error), way
        assert ("value" in str(error)) or ("maybe" in str(error)), (way, error)
        assert error.table == table, way
        assert error.column in ("value", "maybe"), way
        if shown is not None and not name.startswith("array"):
            assert shown in str(error), f"{way}: the message does not show {shown!r}: {error}"
    # One bad row does not hide the others.
    await model.objects.filter(id=1).delete()
    assert await model.objects.all() == []


@pytest.mark.parametrize(
    ("annotation", "stored"),
    [(Colour, "green"), (Literal["a", "b"], "c"), (EmailStr, "nobody"), (Level, 7), (Literal[1, 2], 3)],
)
async def test_values_that_the_field_does_not_know(
    annotation: Any, stored: Any, tables: Tables, lane: Lane, database: AsyncDatabase
) -> None:
    """The column could hold them (no CHECK guards a table that another program made); the field cannot."""
    model: Any = Kind("unknown", annotation, (None,)).model()
    table = model.get_table_name()
    text = "TEXT" if isinstance(stored, str) else "BIGINT"
    await execute_raw(f"CREATE TABLE {table} (id INTEGER PRIMARY KEY, value {text}, maybe {text})")
    await execute_raw(lane.sql(f"INSERT INTO {table} (id, value, maybe) VALUES (1, ?, ?)"), [stored, stored])
    for mode in ("needed", "full"):
        with pytest.raises(DataError, match=rf"{table}.*id=1") as caught:
            await model.objects.filter().validate(mode).all()
        assert caught.value.table == table
        assert caught.value.column in ("value", "maybe")
        assert repr(stored) in str(caught.value)
    await execute_raw(f"DROP TABLE {table}")


async def test_a_secret_is_not_shown(tables: Tables, lane: Lane, database: AsyncDatabase) -> None:
    model: Any = Kind("secret", SecretStr, (None,)).model()
    table = model.get_table_name()
    binary = "BYTEA" if lane.family == "postgres" else "BLOB"
    await execute_raw(f"CREATE TABLE {table} (id INTEGER PRIMARY KEY, value {binary}, maybe TEXT)")
    secret = "'secret'" if lane.family == "postgres" else "x'736563726574'"
    await execute_raw(f"INSERT INTO {table} (id, value) VALUES (1, {secret})")
    with pytest.raises(DataError) as caught:
        await model.objects.all()
    for shown in ("secret'", "736563726574"):
        assert shown not in str(caught.value).replace("kind_secret", "")
    await execute_raw(f"DROP TABLE {table}")


async def test_null_where_the_field_has_none(tables: Tables, database: AsyncDatabase) -> None:
    model: Any = Kind("null", int, (0,)).model()
    table = model.get_table_name()
    await execute_raw(f"CREATE TABLE {table} (id INTEGER PRIMARY KEY, value BIGINT, maybe BIGINT)")
    await execute_raw(f"INSERT INTO {table} (id, maybe) VALUES (1, 1)")
    for mode in ("needed", "full"):
        with pytest.raises(DataError, match=f"{table}.*id=1.*value"):
            await model.objects.filter().validate(mode).all()
    await execute_raw(f"DROP TABLE {table}")


class TestOtherSpellings:
    """What other programs write and Oxyde never does, but what it clearly means."""

    @sqlite
    @pytest.mark.parametrize(
        ("annotation", "stored", "value"),
        [
            (datetime, "'2024-05-06T07:08:09'", datetime(2024, 5, 6, 7, 8, 9)),
            (datetime, "'2024-05-06 07:08:09.5'", datetime(2024, 5, 6, 7, 8, 9, 500000)),
            (datetime, "'2024-05-06'", datetime(2024, 5, 6)),
            (datetime, "'2024-05-06T09:08:09+02:00'", datetime(2024, 5, 6, 7, 8, 9)),
            (datetime, "'2024-05-06T07:08:09Z'", datetime(2024, 5, 6, 7, 8, 9)),
            (date, "'2024-05-06'", date(2024, 5, 6)),
            (time, "'07:08'", time(7, 8)),
            (UUID, "'C9BF9E5716854C89BAFBFF5AF830BE8A'", UUID("c9bf9e57-1685-4c89-bafb-ff5af830be8a")),
            (int, "5.0", 5),
            (float, "5", 5.0),
            (Decimal, "'1.50'", Decimal("1.5")),
            (Decimal, "15", Decimal(15)),
            (bool, "1", True),
        ],
    )
    async def test_reads(self, annotation: Any, stored: str, value: Any, tables: Tables) -> None:
        model: Any = Kind("spelling", annotation, (value,)).model()
        await tables(model)
        await execute_raw(f"INSERT INTO {model.get_table_name()} (value) VALUES ({stored})")
        read = (await model.objects.get()).value
        assert read == value
        assert type(read) is type(value)
