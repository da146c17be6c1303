"""execute_raw(): parameters, values and refusals."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from oxyde import (
    DatabaseError,
    DataError,
    ProgrammingError,
    UniqueViolationError,
    atomic,
    execute_raw,
)

from .conftest import Tables
from .lanes import Lane
from .models import Author, Word


@pytest.fixture(autouse=True)
async def tables_(tables: Tables) -> None:
    await tables(Author, Word)


async def test_values_come_back_native() -> None:
    (row,) = await execute_raw("SELECT 1 AS i, CAST(1.5 AS FLOAT) AS f, 'ü' AS s, NULL AS n")
    assert row == {"i": 1, "f": 1.5, "s": "ü", "n": None}
    assert [type(value) for value in row.values()] == [int, float, str, type(None)]
    assert await execute_raw("SELECT 1 AS x WHERE 1 = 0") == []


async def test_statements_that_write(lane: Lane) -> None:
    assert await execute_raw(lane.sql("INSERT INTO conf_author (name) VALUES (?)"), ["Ann"]) == []
    assert await execute_raw(lane.sql("UPDATE conf_author SET name = ? WHERE name = ?"), ("B'ob", "Ann")) == []
    assert (await Author.objects.get()).name == "B'ob"
    if lane.has("returning"):
        (row,) = await execute_raw(lane.sql("INSERT INTO conf_author (name) VALUES (?) RETURNING id, name"), ["C"])
        assert row == {"id": 2, "name": "C"}
    assert await execute_raw("  \n-- a comment\nDELETE FROM conf_author") == []
    assert await Author.objects.count() == 0


async def test_duplicate_names() -> None:
    for text in ("SELECT 1 AS a, 2 AS a", "SELECT a.id, b.id FROM conf_author a, conf_author b"):
        with pytest.raises(ProgrammingError, match="'?(a|id)'?"):
            await execute_raw(text)
    await Author.objects.create(name="Ann")
    with pytest.raises(ProgrammingError, match="id"):
        await execute_raw("SELECT a.id, b.id FROM conf_author a, conf_author b")
    assert await execute_raw("SELECT a.id AS one, b.id AS two FROM conf_author a, conf_author b") == [
        {"one": 1, "two": 1}
    ]


async def test_parameters_are_never_text(lane: Lane) -> None:
    await Word.objects.create(text="x")
    evil = "x'; DROP TABLE conf_word; --"
    assert await execute_raw(lane.sql("SELECT ? AS v"), [evil]) == [{"v": evil}]
    assert await execute_raw(lane.sql("SELECT id FROM conf_word WHERE text = ?"), [evil]) == []
    assert await Word.objects.count() == 1


async def test_bad_arguments(lane: Lane) -> None:
    for wrong in (5, None, b"SELECT 1"):
        with pytest.raises(TypeError, match="SQL text"):
            await execute_raw(wrong)  # type: ignore[arg-type]
    for params in ("abc", {"a": 1}, 5, {1}):
        with pytest.raises(TypeError, match="list or tuple"):
            await execute_raw("SELECT ?", params)  # type: ignore[arg-type]
    for params_ in ([], [1, 2]):
        with pytest.raises(DatabaseError):
            await execute_raw(lane.sql("SELECT ? AS a"), params_)


async def test_errors_are_typed() -> None:
    for text in ("SELEC 1", "SELECT * FROM nowhere", "SELECT nothing FROM conf_author", "", "SELECT 1; SELECT 2"):
        with pytest.raises(ProgrammingError):
            await execute_raw(text)
    await Author.objects.create(name="x", email="a@x")
    with pytest.raises(UniqueViolationError):
        await execute_raw("INSERT INTO conf_author (name, email) VALUES ('y', 'a@x')")


async def test_the_transaction_of_the_caller() -> None:
    with pytest.raises(RuntimeError):
        async with atomic():
            await execute_raw("INSERT INTO conf_author (name) VALUES ('x')")
            assert await Author.objects.count() == 1
            assert (await execute_raw("SELECT count(*) AS n FROM conf_author"))[0]["n"] == 1
            raise RuntimeError
    assert await Author.objects.count() == 0


UNREADABLE = {
    "sqlite": ["CAST(x'ff' AS TEXT)"],
    "postgres": ["CAST('infinity' AS date)", "CAST('24:00' AS time)"],
    "mysql": ["CAST('0000-01-01' AS date)", "CAST('0000-12-31 23:59:59' AS datetime)"],
}


async def test_unreadable_values(lane: Lane) -> None:
    for value in UNREADABLE[lane.family]:
        with pytest.raises(DataError, match="broken"):
            await execute_raw(f"SELECT {value} AS broken")


async def test_native_parameters_equal_what_models_store(lane: Lane) -> None:
    moment = datetime(2020, 1, 2, 3, 4, 5, 6)
    value: list[Any] = [moment]
    if lane.family == "sqlite":
        (row,) = await execute_raw("SELECT ? AS v", value)
        assert datetime.fromisoformat(row["v"]) == moment
    else:
        (row,) = await execute_raw(lane.sql(f"SELECT {lane.cast(moment)} AS v"), value)
        assert row == {"v": moment}
