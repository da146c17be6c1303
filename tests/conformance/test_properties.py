"""Round trips and comparisons of generated values: what Python says about them, the database says too."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import AwareDatetime

from oxyde import Field, Model, execute_raw

from .conftest import Tables
from .kinds import Colour, same
from .lanes import Lane

text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
integers = st.integers(-(2**63), 2**63 - 1)
floats = st.floats(allow_nan=False, allow_infinity=False)
decimals = st.decimals(
    allow_nan=False, allow_infinity=False, min_value=Decimal("-1E+34"), max_value=Decimal("1E+34"), places=30
)
# Two of them multiply into 65 digits, 30 of them behind the point.
narrow = st.decimals(
    allow_nan=False, allow_infinity=False, min_value=Decimal("-1E+16"), max_value=Decimal("1E+16"), places=15
)
scaled = st.decimals(Decimal("-99999999.99"), Decimal("99999999.99"), places=2)
durations = st.timedeltas(timedelta(microseconds=-(2**63)), timedelta(microseconds=2**63 - 1))
json = st.recursive(
    st.none() | st.booleans() | integers | floats | text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4),
    max_leaves=12,
)


class Everything(Model):
    id: int | None = Field(default=None, db_pk=True)
    integer: int | None = None
    real: float | None = None
    flag: bool | None = None
    string: str | None = Field(default=None, db_type="TEXT")
    decimal: Decimal | None = None
    money: Decimal | None = Field(default=None, max_digits=10, decimal_places=2)
    moment: datetime | None = None
    instant: AwareDatetime | None = None
    day: date | None = None
    hour: time | None = None
    span: timedelta | None = None
    token: UUID | None = None
    blob: bytes | None = None
    colour: Colour | None = None
    document: dict[str, Any] | None = None
    numbers: list[int] | None = None
    texts: list[str | None] | None = None
    reals: list[float] | None = None
    days: list[date] | None = None
    amounts: list[Decimal] | None = None
    blobs: list[bytes] | None = None

    class Meta:
        is_table = True
        table_name = "conf_everything"


VALUES: dict[str, st.SearchStrategy[Any]] = {
    "integer": integers,
    "real": floats,
    "flag": st.booleans(),
    "string": text,
    "decimal": decimals,
    "money": scaled,
    "moment": st.datetimes(),
    "instant": st.datetimes(
        timezones=st.timezones() | st.just(UTC), min_value=datetime(2, 1, 1), max_value=datetime(9998, 12, 31)
    ),
    "day": st.dates(),
    "hour": st.times(),
    "span": durations,
    "token": st.uuids(),
    "blob": st.binary(max_size=50),
    "colour": st.sampled_from(Colour),
    "document": st.dictionaries(text, json, max_size=4),
    "numbers": st.lists(integers, max_size=5),
    "texts": st.lists(st.none() | text, max_size=5),
    "reals": st.lists(floats, max_size=5),
    "days": st.lists(st.dates(), max_size=5),
    "amounts": st.lists(decimals, max_size=5),
    "blobs": st.lists(st.binary(max_size=9), max_size=5),
}
ORDERED = ("integer", "real", "decimal", "money", "moment", "instant", "day", "hour", "span", "token", "blob")

examples = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.fixture(autouse=True)
async def table(tables: Tables) -> None:
    await tables(Everything)


def unsigned_zeros(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: unsigned_zeros(item) for key, item in value.items()}
    if isinstance(value, list):
        return [unsigned_zeros(item) for item in value]
    return 0.0 if isinstance(value, float) and value == 0 else value


@pytest.fixture
def expected(lane: Lane) -> Callable[[Any], Any]:
    """The documented conversions."""

    def expected(value: Any) -> Any:
        if isinstance(value, datetime) and value.tzinfo is not None:
            return value.astimezone(UTC)
        if isinstance(value, float) and value == 0 and not lane.has("negative_zero"):
            return 0.0
        if isinstance(value, dict) and not lane.json_negative_zero:
            return unsigned_zeros(value)
        return value

    return expected


@given(st.fixed_dictionaries({}, optional=VALUES))
@examples
async def test_a_row(expected: Callable[[Any], Any], values: dict[str, Any]) -> None:
    await Everything.objects.delete()
    created = await Everything.objects.create(**values)
    (bulk,) = await Everything.objects.bulk_create([values])
    for key in (created.id, bulk.id):
        read = await Everything.objects.get(id=key)
        (as_dict,) = await Everything.objects.filter(id=key).all(mode="dict")
        for name in VALUES:
            wanted = expected(values.get(name))
            assert same(getattr(read, name), wanted), name
            assert same(as_dict[name], wanted), name
        await read.save()
        assert await Everything.objects.get(id=key) == read
    if values:
        assert await Everything.objects.filter(id=created.id).update(**values) == 1
        again = await Everything.objects.get(id=created.id)
        assert again == (await Everything.objects.get(id=bulk.id)).model_copy(update={"id": created.id})
        assert await Everything.objects.filter(**values).count() == 2


@pytest.mark.parametrize("name", ORDERED)
@given(data=st.data())
@examples
async def test_comparisons_and_order(name: str, expected: Callable[[Any], Any], data: st.DataObject) -> None:
    await Everything.objects.delete()
    values = data.draw(st.lists(VALUES[name], min_size=1, max_size=8))
    await Everything.objects.bulk_create([{name: value} for value in values])
    pivot = data.draw(st.sampled_from(values) | VALUES[name])
    # In UTC: across zones Python calls some equal instants different (PEP 495).
    stored, given = [expected(value) for value in values], expected(pivot)
    for lookup, compare in (
        ("exact", lambda value: value == given),
        ("ne", lambda value: value != given),
        ("lt", lambda value: value < given),
        ("lte", lambda value: value <= given),
        ("gt", lambda value: value > given),
        ("gte", lambda value: value >= given),
    ):
        assert await Everything.objects.filter(**{f"{name}__{lookup}": pivot}).count() == sum(map(compare, stored)), (
            lookup
        )
    assert await Everything.objects.filter(**{f"{name}__in": [pivot, values[0]]}).count() == sum(
        value in (given, stored[0]) for value in stored
    )
    assert await Everything.objects.order_by(name).values_list(name, flat=True) == sorted(stored)
    assert await Everything.objects.order_by(f"-{name}").values_list(name, flat=True) == sorted(stored, reverse=True)


@contextmanager
def exact() -> Iterator[None]:
    import decimal

    with decimal.localcontext(prec=200):
        yield


@given(data=st.data())
@examples
async def test_decimal_arithmetic_is_exact(lane: Lane, data: st.DataObject) -> None:
    from oxyde import F

    numbers = (decimals if lane.has("unbounded_decimals") else narrow) | scaled
    pair = data.draw(st.lists(numbers, min_size=2, max_size=2))
    await Everything.objects.delete()
    await Everything.objects.create(decimal=pair[0])
    with exact():
        for result, wanted in (
            (F("decimal") + pair[1], pair[0] + pair[1]),
            (F("decimal") - pair[1], pair[0] - pair[1]),
            (F("decimal") * pair[1], pair[0] * pair[1]),
            (-F("decimal"), -pair[0]),
        ):
            assert await Everything.objects.filter(result == wanted).count() == 1
            assert await Everything.objects.filter(result > wanted).count() == 0
            assert await Everything.objects.update(decimal=result) == 1
            assert (await Everything.objects.get()).decimal == wanted
            await Everything.objects.update(decimal=pair[0])


@given(st.one_of(text, integers, floats, st.booleans(), st.none(), st.binary(max_size=30)))
@examples
async def test_raw_values(expected: Callable[[Any], Any], lane: Lane, value: Any) -> None:
    (row,) = await execute_raw(lane.sql(f"SELECT {lane.cast(value)} AS v"), [value])
    if isinstance(value, (bool, float)):
        assert row["v"] == value
    else:
        assert same(row["v"], value)
