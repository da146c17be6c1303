"""Columns with a `db_type` that only PostgreSQL has: their values as the server's texts, out and back."""

import copy
import pickle
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from ipaddress import IPv4Address, IPv4Network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import AwareDatetime, BaseModel, ValidationError

from oxyde import Field, FieldError, Model, Range
from oxyde.models.columns import Column
from oxyde.models.declared import read_hstore, read_interval, read_range, write_hstore, write_interval, write_range


def column(annotation: Any, db_type: str | None) -> Column:
    class Holder(Model):
        id: int | None = Field(default=None, db_pk=True)
        value: annotation = Field(db_type=db_type)

        class Meta:
            is_table = True

    return Holder.__oxyde__.column("value")


def reader(item: Column) -> Callable[[Any], Any]:
    assert callable(item.from_db)
    return item.from_db


def writer(item: Column) -> Callable[[Any], Any]:
    assert item.to_db is not None
    return item.to_db


@pytest.mark.parametrize(
    ("annotation", "db_type", "value", "sent", "stored"),
    [
        (timedelta, "INTERVAL", timedelta(days=1, hours=2), "P1DT7200.000000S", "1 day 02:00:00"),
        (dict[str, str | None], "hstore", {"a": "x", "b": None}, '"a"=>"x", "b"=>NULL', '"a"=>"x", "b"=>NULL'),
        (list[float], "vector(2)", [1.0, 0.5], "[1.0,0.5]", "[1,0.5]"),
        (Range[int], "int8range", Range(1, 5), '["1","5")', "[1,5)"),
        (Range[Decimal], "numrange", Range(None, Decimal("1.5"), "(]"), '(,"1.5"]', "(,1.5]"),
        (
            Range[date],
            "daterange",
            Range(date(2020, 1, 1), date(2020, 2, 1)),
            '["2020-01-01","2020-02-01")',
            "[2020-01-01,2020-02-01)",
        ),
        (
            Range[AwareDatetime],
            "tstzrange",
            Range(datetime(2020, 1, 1, tzinfo=UTC), None),
            '["2020-01-01 00:00:00+00:00",)',
            '["2020-01-01 02:00:00+02",)',
        ),
        (
            Range[datetime],
            "tsrange",
            Range(datetime(2020, 1, 1, 0, 0, 0, 5), None),
            '["2020-01-01 00:00:00.000005+00:00",)',
            '["2020-01-01 00:00:00.000005",)',
        ),
        (IPv4Address, "inet", IPv4Address("10.0.0.1"), "10.0.0.1", "10.0.0.1"),
        (IPv4Network, "cidr", IPv4Network("10.0.0.0/8"), "10.0.0.0/8", "10.0.0.0/8"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_values_travel_as_the_servers_texts(annotation: Any, db_type: str, value: Any, sent: str, stored: str) -> None:
    item = column(annotation, db_type)
    assert item.type == "text"
    assert writer(item)(value) == sent
    assert reader(item)(stored) == value
    assert item.coerce(value) == value


def test_other_declared_types_are_texts() -> None:
    item = column(str, "macaddr")
    assert (item.to_db, item.from_db) == (None, None)
    assert column(timedelta, None).type == "timedelta"
    assert column(timedelta, "BIGINT").type == "timedelta"


def test_lists_of_them() -> None:
    item = column(list[timedelta | None], "interval[]")
    assert item.type == ("array", "text")
    assert writer(item)([timedelta(0), None]) == ["P0DT0.000000S", None]
    assert reader(item)(["00:00:01", None]) == [timedelta(seconds=1), None]
    item = column(list[timedelta], "interval[]")
    assert reader(item)(["00:00:01"]) == [timedelta(seconds=1)]
    with pytest.raises(ValueError, match="NULL among items"):
        reader(item)(["00:00:01", None])


@pytest.mark.parametrize("annotation", [Range[int], Range, Range[str]])
def test_a_range_without_its_types_is_refused(annotation: Any) -> None:
    with pytest.raises(FieldError, match="int8range"):
        column(annotation, None if annotation == Range[int] else "int8range")


# Intervals


@given(st.timedeltas())
def test_intervals_come_back_as_they_went(value: timedelta) -> None:
    assert read_interval(write_interval(value)) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("00:00:00", timedelta(0)),
        ("-1 days +02:03:00", timedelta(days=-1, hours=2, minutes=3)),
        ("1 day -00:00:00.000001", timedelta(days=1, microseconds=-1)),
        ("-838:59:59.5", -timedelta(hours=838, minutes=59, seconds=59.5)),
        ("3 days", timedelta(days=3)),
        ("P1DT2H3M4.5S", timedelta(days=1, hours=2, minutes=3, seconds=4.5)),
        ("PT-0.5S", timedelta(seconds=-0.5)),
        ("PT0S", timedelta(0)),
    ],
)
def test_intervals_in_the_servers_styles(text: str, value: timedelta) -> None:
    assert read_interval(text) == value


@pytest.mark.parametrize("text", ["1 mon", "1 year 2 days", "P1Y", "@ 1 day ago", "infinity"])
def test_intervals_without_a_length_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="interval"):
        read_interval(text)


# hstore and ranges


@given(st.dictionaries(st.text(), st.none() | st.text()))
def test_hstores_come_back_as_they_went(value: dict[str, str | None]) -> None:
    assert read_hstore(write_hstore(value)) == value


@given(st.text(), st.text())
def test_ends_of_ranges_come_back_as_they_went(one: str, other: str) -> None:
    value = Range(min(one, other), max(one, other), "[]")
    assert read_range(str, write_range(str, value)) == value


def test_texts_that_are_none_are_refused() -> None:
    with pytest.raises(ValueError, match="no hstore"):
        read_hstore("a=>b")
    with pytest.raises(ValueError, match="no range"):
        read_range(int, "{1,2}")
    with pytest.raises(ValueError, match="isoformat"):
        read_range(date.fromisoformat, "[infinity,)")


# The type itself


def test_ranges_are_values() -> None:
    one = Range(1, 5)
    assert one == Range(1, 5, "[)") != Range(1, 5, "[]")
    assert len({one, Range(1, 5), Range.empty(), Range[int].empty()}) == 2
    assert (Range(None, 5).bounds, Range(None, None, "[]").bounds) == ("()", "()")
    assert [n for n in range(7) if n in Range(1, 5, "(]")] == [2, 3, 4, 5]
    assert 1 not in Range[int].empty()
    assert [repr(one), repr(Range(1, 5, "[]")), repr(Range.empty())] == [
        "Range(1, 5)",
        "Range(1, 5, '[]')",
        "Range.empty()",
    ]
    for value in (one, Range.empty(), Range(None, 5)):
        assert pickle.loads(pickle.dumps(value)) == copy.deepcopy(value) == value
    with pytest.raises(AttributeError):
        one.lower = 2
    with pytest.raises(ValueError, match="below"):
        Range(5, 1)
    with pytest.raises(ValueError, match="bounds"):
        Range(1, 5, "[[")  # type: ignore[arg-type]


def test_ranges_in_pydantic_models() -> None:
    class Stay(BaseModel):
        days: Range[date]

    stay = Stay(days=Range(date(2020, 1, 1), date(2020, 1, 5)))
    text = stay.model_dump_json()
    assert text == '{"days":{"lower":"2020-01-01","upper":"2020-01-05","bounds":"[)","isempty":false}}'
    assert Stay.model_validate_json(text) == stay
    assert Stay.model_validate({"days": {"lower": "2020-01-01"}}).days == Range(date(2020, 1, 1), None)
    assert Stay.model_validate(Stay(days=Range.empty()).model_dump()).days.isempty
    assert Stay.model_json_schema()["properties"]["days"]["type"] == "object"
    for wrong in ({"lower": "soon"}, {"lower": "2020-02-01", "upper": "2020-01-01"}, {"bounds": "x"}, 5):
        with pytest.raises(ValidationError):
            Stay.model_validate({"days": wrong})
    zone = timezone(timedelta(hours=2))
    item = column(Range[AwareDatetime], "tstzrange")
    assert writer(item)(Range(datetime(2020, 1, 1, 2, tzinfo=zone), None)) == '["2020-01-01 00:00:00+00:00",)'
