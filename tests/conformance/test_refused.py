"""What a column cannot hold is a DataError that names it, before anything is sent."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from pydantic import AwareDatetime

from oxyde import DataError, Field, FieldLookupValueError, Model, execute_raw

from .conftest import Tables
from .kinds import Kind
from .lanes import Lane

EAST = timezone(timedelta(hours=14))
HUGE_JSON = {"a": ["b", {"\0": 1}]}

CASES: list[tuple[Kind, list[Any]]] = [
    (Kind("int", int, (0,)), [2**63, -(2**63) - 1, 10**30]),
    (Kind("str", str, ("",)), ["a\0", "\0", "\ud800", "a\udfffb"]),
    (Kind("float", float, (0.0,)), [math.nan, math.inf, -math.inf]),
    (Kind("decimal", Decimal, (Decimal(0),)), [Decimal("1E+200000"), Decimal("1E-200000")]),
    (Kind("timedelta", timedelta, (timedelta(0),)), [timedelta.max, timedelta.min]),
    (
        Kind("aware", AwareDatetime, (datetime(2000, 1, 1, tzinfo=UTC),)),
        [datetime.min.replace(tzinfo=EAST), datetime.max.replace(tzinfo=timezone(-timedelta(hours=1)))],
    ),
    (Kind("naive", datetime, (datetime(2000, 1, 1),)), [datetime.min.replace(tzinfo=EAST)]),
    (Kind("array", list[int], ([],)), [[1, 2**63]]),
    (Kind("array_text", list[str], ([],)), [["a", "\0"], ["\ud800"]]),
    (Kind("array_float", list[float], ([],)), [[0.0, math.inf]]),
    (
        Kind("json", dict[str, Any], ({},)),
        [{"a": "\0"}, {"\0": 1}, HUGE_JSON, {"a": math.nan}, {"a": [math.inf]}, {"a": "\ud800"}],
    ),
    (Kind("json_typed", dict[str, float], ({},)), [{"a": math.nan}, {"a": -math.inf}]),
    (Kind("json_text", list[list[str]], ([],)), [[["\0"]]]),
    # Under Any only what comes back from JSON as it went.
    (
        Kind("json_any", dict[str, Any], ({},)),
        [{"a": (1, 2)}, {"a": b"x"}, {"a": datetime(2000, 1, 1)}, {"a": {1: 2}}, {"a": Decimal(1)}],
    ),
]
PAIRS = [pytest.param(kind, value, id=f"{kind.name}-{n}") for kind, values in CASES for n, value in enumerate(values)]


@pytest.mark.parametrize(("kind", "bad"), PAIRS)
async def test_no_way_leads_in(kind: Kind, bad: Any, lane: Lane, tables: Tables) -> None:
    model: Any = kind.model()
    await tables(model)
    if kind.name.endswith("float") and lane.has("infinite_floats"):
        return
    good = kind.values[0]
    row = await model.objects.create(value=good)
    stale = await model.objects.get(id=row.id)
    stale.value = bad
    ways: dict[str, Callable[[], Any]] = {
        "create": lambda: model.objects.create(value=bad),
        "instance": lambda: model.objects.create(model(value=bad)),
        "bulk_create": lambda: model.objects.bulk_create([{"value": good}, {"value": bad}]),
        "update": lambda: model.objects.filter(id=row.id).update(value=bad),
        "update the optional one": lambda: model.objects.update(maybe=bad),
        "save": lambda: stale.save(),
        "save anew": lambda: model(value=bad).save(),
    }
    for name, way in ways.items():
        with pytest.raises(DataError) as caught:
            await way()
        message = str(caught.value)
        assert "value" in message or "maybe" in message, (name, message)
        assert caught.value.outcome == "not_applied"
    rows = await model.objects.all()
    assert [(item.value, item.maybe) for item in rows] == [(good, None)], "nothing was written"


@pytest.mark.parametrize(("kind", "bad"), PAIRS)
async def test_filters_do_not_lie_about_it(kind: Kind, bad: Any, lane: Lane, tables: Tables) -> None:
    """Such a value cannot be stored, so either nothing equals it or the question is refused; never a wrong row."""
    model: Any = kind.model()
    await tables(model)
    await model.objects.create(value=kind.values[0])
    for lookup in ("exact", "in"):
        try:
            found = await model.objects.filter(**{f"value__{lookup}": [bad] if lookup == "in" else bad}).count()
        except (DataError, FieldLookupValueError) as error:
            assert "value" in str(error)
        else:
            assert found == 0


class Precise(Model):
    id: int | None = Field(default=None, db_pk=True)
    # The constraint is the column's, not the field's, so that Pydantic lets everything through.
    amount: Decimal = Field(default=Decimal(0), max_digits=6, decimal_places=2)
    at: time | None = None

    class Meta:
        is_table = True
        table_name = "conf_precise"


async def test_over_precise_decimals(tables: Tables) -> None:
    from pydantic import ValidationError

    await tables(Precise)
    for bad in ("0.001", "10000", "NaN", "Infinity"):
        with pytest.raises(ValidationError):
            await Precise.objects.create(amount=bad)
        with pytest.raises(DataError, match="amount"):
            await Precise.objects.bulk_create([Precise.model_construct(amount=Decimal(bad))])
    assert await Precise.objects.count() == 0


async def test_a_time_with_a_zone(tables: Tables) -> None:
    await tables(Precise)
    with pytest.raises(DataError, match="at.*time zone"):
        await Precise.objects.create(at=time(1, 2, tzinfo=UTC))
    assert await Precise.objects.count() == 0


async def test_a_naive_value_for_an_aware_column(tables: Tables) -> None:
    from pydantic import ValidationError

    model: Any = Kind("aware", AwareDatetime, (datetime(2000, 1, 1, tzinfo=UTC),)).model()
    await tables(model)
    with pytest.raises(ValidationError, match="timezone"):
        await model.objects.create(value=datetime(2000, 1, 1))
    with pytest.raises(DataError, match="value"):
        await model.objects.bulk_create([model.model_construct(value=datetime(2000, 1, 1))])
    zone = datetime(2024, 7, 1, 12, tzinfo=ZoneInfo("Asia/Tokyo"))
    row = await model.objects.create(value=zone)
    assert (await model.objects.get(id=row.id)).value == zone


async def test_unvalidated_values_of_other_types_are_refused(tables: Tables) -> None:
    """`model_construct` and assignment skip Pydantic; the database gets nothing that the column is not."""
    model: Any = Kind("int", int, (0,)).model()
    await tables(model)
    for bad in ("5", 1.5, b"5", [5], object()):
        with pytest.raises(DataError, match="value.*expected int"):
            await model.objects.bulk_create([model.model_construct(value=bad)])
    assert await model.objects.count() == 0


async def test_parameters_of_raw_sql(tables: Tables, lane: Lane) -> None:
    # MySQL has unsigned integers, too.
    bad: list[Any] = [2**64 if lane.family == "mysql" else 2**63, "\0", "\ud800"]
    if not lane.has("infinite_floats"):
        bad += [math.nan, math.inf]
    for value in bad:
        with pytest.raises(DataError, match="parameter"):
            await execute_raw(lane.sql(f"SELECT {lane.cast(value)} AS x"), [value])
    # No value of the type that the place wants (PostgreSQL), or of none at all.
    others: list[Any] = [object(), {1}]
    if lane.family != "mysql":  # where a document is a text
        others += [[1], {"a": 1}]
    for value in others:
        with pytest.raises(DataError, match="parameter"):
            await execute_raw(lane.sql(f"SELECT {lane.cast('text')} AS x"), [value])
    if lane.family == "postgres":
        (row,) = await execute_raw(lane.sql(f"SELECT {lane.cast(timedelta.max)} AS x"), [timedelta.max])
        assert row == {"x": timedelta.max}
    else:
        # A duration is a number of microseconds, which is too large.
        with pytest.raises(DataError, match="parameter"):
            await execute_raw("SELECT ? AS x", [timedelta.max])
