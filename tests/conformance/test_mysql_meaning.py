"""What MySQL and MariaDB decide otherwise than other databases: where NULL goes, which texts are equal, what a value is
compared as, and what happens to one that does not fit.
"""

from __future__ import annotations

from typing import Any

import pytest

from oxyde import Concat, DataError, F, Field, Model, UniqueViolationError, Value, execute_raw
from tests.servers import mysql_databases

from .conftest import Tables
from .lanes import mysql

pytestmark = mysql


class Label(Model):
    id: int | None = Field(default=None, db_pk=True)
    text: str | None = Field(default=None, max_length=10, db_unique=True)
    number: int | None = None

    class Meta:
        is_table = True
        table_name = "conf_label"


class Folded(Model):
    """A column that another program made, under a collation to which most letters are the same."""

    id: int | None = Field(default=None, db_pk=True)
    text: str = Field(max_length=20, db_collation="utf8mb4_general_ci")

    class Meta:
        is_table = True
        table_name = "conf_folded"


@pytest.fixture(autouse=True)
async def made(tables: Tables) -> None:
    await tables(Label, Folded)


# ---------------------------------------------------------------------------------------------------------------- NULL


async def test_null_is_the_smallest_unless_told_otherwise() -> None:
    await Label.objects.bulk_create([Label(number=number) for number in (2, None, 1)])
    orders: dict[Any, list[int | None]] = {
        "number": [None, 1, 2],
        "-number": [2, 1, None],
        F("number").asc(nulls="first"): [None, 1, 2],
        F("number").asc(nulls="last"): [1, 2, None],
        F("number").desc(nulls="first"): [None, 2, 1],
        F("number").desc(nulls="last"): [2, 1, None],
    }
    for order, expected in orders.items():
        assert await Label.objects.order_by(order).values_list("number", flat=True) == expected
        last = await Label.objects.order_by(order, "id").last()
        assert last is not None
        assert last.number == expected[-1]


# ---------------------------------------------------------------------------------------------------------- collations

# To the servers' usual collations all of a line are the same.
ALIKE = [["a", "A", "á", "Å", "a "], ["ss", "ß", "SS"], ["ı", "i", "I"], ["", " "], ["æ", "ae"], ["e\u0301", "é"]]


async def test_texts_are_equal_when_they_are_the_same() -> None:
    """`=`, IN, UNIQUE, DISTINCT and the order agree with Python's."""
    texts = [text for line in ALIKE for text in line]
    await Label.objects.bulk_create([Label(text=text) for text in texts])
    for text in texts:
        assert await Label.objects.filter(text=text).values_list("text", flat=True) == [text]
        assert await Label.objects.filter(text__in=[text]).values_list("text", flat=True) == [text]
        with pytest.raises(UniqueViolationError):
            await Label.objects.create(text=text)
    assert await Label.objects.order_by("text").values_list("text", flat=True) == sorted(texts)
    assert len(await Label.objects.values_list("text", flat=True).distinct()) == len(texts)
    (grouped,) = await execute_raw("SELECT COUNT(*) AS n FROM (SELECT text FROM conf_label GROUP BY text) AS g")
    assert grouped == {"n": len(texts)}
    assert await Label.objects.filter(text__iexact="A").order_by("text").values_list("text", flat=True) == ["A", "a"]


async def test_other_collations_make_no_other_texts_equal() -> None:
    """Under a column's own collation `=` finds too much: a filter takes the text itself."""
    await Folded.objects.bulk_create([Folded(text=text) for text in ("a", "A", "á", "a ", "ß")])
    for text in ("a", "A", "á", "a ", "ß"):
        assert await Folded.objects.filter(text=text).values_list("text", flat=True) == [text]
        assert await Folded.objects.filter(text__in=[text, "s"]).values_list("text", flat=True) == [text]
        assert await Folded.objects.exclude(text=text).count() == 4
    assert await Folded.objects.filter(text="a").update(text="b") == 1
    assert await Folded.objects.filter(text__in=["A"]).delete() == 1
    assert await Folded.objects.count() == 4


# --------------------------------------------------------------------------------------------------------------- casts


async def test_a_text_is_compared_as_a_text() -> None:
    """Where a column is a text and a value a number, the servers compare as floats: 0 would be every text."""
    await Label.objects.bulk_create(
        [Label(text=text, number=n) for n, text in enumerate(["0", "00", "abc", "1x", "1"])]
    )
    for text in ("0", "00", "1"):
        assert await Label.objects.filter(text=text).values_list("text", flat=True) == [text]
        assert await Label.objects.filter(text__in=[text]).values_list("text", flat=True) == [text]
    assert await Label.objects.filter(text__lt="1").order_by("text").values_list("text", flat=True) == ["0", "00"]
    assert await Label.objects.filter(text__contains="1").count() == 2
    # A number is one under its field, whatever it is written as.
    assert await Label.objects.filter(number="2").values_list("text", flat=True) == ["abc"]
    assert await Label.objects.filter(number__in=["2", 3]).count() == 2


async def test_casts_of_raw_sql_are_strict() -> None:
    await Label.objects.create(text="abc", number=1)
    for statement, params in (
        ("UPDATE conf_label SET number = ?", ["abc"]),
        ("UPDATE conf_label SET number = ?", ["5x"]),
        ("UPDATE conf_label SET number = CAST('5x' AS SIGNED)", []),
        ("UPDATE conf_label SET number = text + 1", []),
    ):
        with pytest.raises(DataError) as caught:
            await execute_raw(statement, params)
        assert caught.value.outcome == "not_applied"
    assert await Label.objects.values_list("text", "number") == [("abc", 1)]


async def test_large_integers_are_compared_exactly() -> None:
    """As floats these would be the same."""
    numbers = [2**63 - 1, 2**63 - 2, 2**53, 2**53 + 1, -(2**63)]
    await Label.objects.bulk_create([Label(number=number) for number in numbers])
    for number in numbers:
        assert await Label.objects.filter(number=number).values_list("number", flat=True) == [number]
        assert await Label.objects.filter(number__in=[number]).values_list("number", flat=True) == [number]
        (row,) = await execute_raw("SELECT number FROM conf_label WHERE number = ?", [number])
        assert row == {"number": number}


# ---------------------------------------------------------------------------------------------------------- truncation


async def test_nothing_is_cut_off() -> None:
    row = await Label.objects.create(text="0123456789", number=2**63 - 1)
    query = Label.objects.filter(id=row.id)
    attempts: list[Any] = [
        lambda: query.update(text=Concat(F("text"), Value("x"))),
        lambda: query.update(number=F("number") + 1),
        lambda: query.update(number=F("number") * 2),
        lambda: execute_raw("UPDATE conf_label SET text = ?", ["x" * 11]),
        lambda: execute_raw("INSERT INTO conf_label (text) SELECT CONCAT(text, 'x') FROM conf_label"),
        lambda: execute_raw("UPDATE conf_label SET number = ?", [2**63]),
        lambda: execute_raw("UPDATE conf_label SET number = 1e300"),
    ]
    for attempt in attempts:
        with pytest.raises(DataError) as caught:
            await attempt()
        assert (caught.value.outcome, caught.value.retryable) == ("not_applied", False)
    assert await Label.objects.all() == [row]
    # But blanks behind the end, which no mode of the servers keeps them from dropping: an expression is theirs alone.
    assert await query.update(text=Concat(F("text"), Value("  "))) == 1
    assert await Label.objects.all() == [row]


async def test_what_is_too_long_for_an_index_is_refused() -> None:
    await execute_raw("CREATE TABLE conf_indexed (v VARCHAR(3000), KEY (v(700)))")
    try:
        long = "𝔘" * 3000
        await execute_raw("INSERT INTO conf_indexed VALUES (?)", [long])
        assert await execute_raw("SELECT v FROM conf_indexed WHERE v = ?", [long]) == [{"v": long}]
        with pytest.raises(DataError):
            await execute_raw("INSERT INTO conf_indexed VALUES (?)", [long + "x"])
    finally:
        mysql_databases.observer("default").query("DROP TABLE conf_indexed")
