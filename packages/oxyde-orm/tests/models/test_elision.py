"""`validate("needed")` is `validate("full")`: same instances, same errors, for many models and many values."""

from __future__ import annotations

import dataclasses
import enum
import math
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from ipaddress import IPv4Address
from pathlib import Path
from typing import Annotated, Any, Literal, NewType, Optional
from uuid import UUID

import pytest
from annotated_types import Gt, MaxLen
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    HttpUrl,
    NaiveDatetime,
    PastDate,
    PositiveInt,
    PrivateAttr,
    SecretStr,
    StringConstraints,
    ValidationError,
    ValidationInfo,
    WrapValidator,
    computed_field,
    field_validator,
    model_validator,
)
from typing_extensions import TypedDict

from oxyde.exceptions import DataError
from oxyde.models import Field, Model
from oxyde_core.types import kind_of


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Open(enum.Enum):
    A = "a"

    @classmethod
    def _missing_(cls, value: object) -> Open | None:
        return cls.A if value == "x" else None


class Point(BaseModel):
    x: int
    y: Decimal


@dataclasses.dataclass
class Pair:
    left: int
    right: str


class Typed(TypedDict):
    name: str
    at: datetime


UserName = NewType("UserName", str)
SHAPES: dict[str, Any] = {}


def shape(**namespace: Any) -> None:
    """A table with the given annotations, config and validators."""
    number = len(SHAPES)
    annotations = {"id": int | None, **namespace.pop("fields")}
    body = {"__annotations__": annotations, "id": Field(default=None, db_pk=True), "__module__": __name__}
    body["__qualname__"] = f"Shape{number}"
    body["Meta"] = type("Meta", (), {"is_table": True, "__module__": __name__, "__qualname__": f"Shape{number}.Meta"})
    body.update(namespace)
    SHAPES[f"{number}"] = type(Model)(f"Shape{number}", (Model,), body)


shape(fields={"a": int, "b": str, "c": float, "d": bool})
shape(fields={"a": bytes, "b": date, "c": time, "d": datetime, "e": timedelta, "f": UUID})
shape(fields={"a": Decimal, "b": AwareDatetime, "c": NaiveDatetime})
shape(fields={"a": int | None, "b": str | None, "c": Optional[Decimal], "d": datetime | None})  # noqa: UP045
shape(fields={"a": Annotated[int, Gt(0)], "b": Annotated[str, MaxLen(3)], "c": PositiveInt | None})
shape(fields={"a": int, "b": str}, a=Field(ge=0, le=100), b=Field(min_length=2, pattern="^[a-z]+$"))
shape(fields={"a": float}, a=Field(allow_inf_nan=False))
shape(fields={"a": float, "b": float}, a=Field(gt=0), model_config=ConfigDict(allow_inf_nan=False))
shape(fields={"a": Decimal}, a=Field(max_digits=5, decimal_places=2))
shape(fields={"a": Decimal}, a=Field(allow_inf_nan=True))
shape(fields={"a": str}, model_config=ConfigDict(str_strip_whitespace=True))
shape(fields={"a": str}, model_config=ConfigDict(str_to_lower=True))
shape(fields={"a": str}, model_config=ConfigDict(str_max_length=2))
shape(fields={"a": str, "b": int}, model_config=ConfigDict(str_min_length=1, strict=True))
shape(fields={"a": int, "b": str, "c": UUID, "d": datetime}, model_config=ConfigDict(strict=True))
shape(fields={"a": int, "b": str}, model_config=ConfigDict(frozen=True))
shape(fields={"a": int, "b": str}, model_config=ConfigDict(extra="forbid"))
shape(fields={"a": int, "b": str}, model_config=ConfigDict(extra="allow"))
shape(fields={"a": int}, a=Field(strict=True))
shape(fields={"a": int, "b": str}, a=Field(alias="theA"), b=Field(validation_alias="theB"))
shape(fields={"some_name": int}, model_config=ConfigDict(alias_generator=str.upper))
shape(fields={"a": Colour, "b": Level, "c": Colour | None})
shape(fields={"a": Open})
shape(fields={"a": Colour, "b": Level}, model_config=ConfigDict(use_enum_values=True))
shape(fields={"a": Literal["x", "y"], "b": Literal[1, 2] | None})
shape(fields={"a": list[int], "b": list[str] | None, "c": list[float | None]})
shape(fields={"a": list[int]}, a=Field(max_length=2))
shape(fields={"a": list[Colour], "b": list[Annotated[int, Gt(0)]], "c": list[UUID]})
shape(fields={"a": UserName, "b": Annotated[UserName, MaxLen(2)] | None})
shape(fields={"a": Annotated[str, StringConstraints(to_upper=True)]})
shape(fields={"a": Annotated[int, AfterValidator(lambda value: value + 1)]})
shape(fields={"a": Annotated[str, BeforeValidator(lambda value: value[:2] if isinstance(value, str) else "none")]})
shape(fields={"a": Annotated[int | None, WrapValidator(lambda value, run: run(value or 0))]})
shape(fields={"a": Annotated[int | None, AfterValidator(lambda value: value or 7)]})
shape(fields={"a": PastDate, "b": Path, "c": IPv4Address, "d": SecretStr})
shape(fields={"a": HttpUrl})
shape(fields={"a": Any, "b": dict[str, int] | None})
shape(fields={"a": Point, "b": Pair, "c": Typed, "d": list[Point] | None})
shape(fields={"a": Point | Pair, "b": dict[str, Decimal], "c": tuple[int, str]})
shape(fields={"a": Annotated[list[Point], MaxLen(1)]}, model_config=ConfigDict(strict=True))
shape(fields={"a": UUID}, a=Field(default_factory=lambda: UUID(int=0)))
shape(fields={"a": int, "b": str}, a=Field(default=3), b=Field(default="x", validate_default=True))
shape(fields={"a": datetime, "b": int}, a=Field(db_default="now()"), b=Field(db_nullable=True))


@field_validator("a")
@classmethod
def _even(cls: Any, value: int) -> int:
    if value % 2:
        raise ValueError("odd")
    return value


@field_validator("b", mode="before")
@classmethod
def _trimmed(cls: Any, value: Any) -> Any:
    return value.strip() if isinstance(value, str) else value


@field_validator("b")
@classmethod
def _informed(cls: Any, value: str, info: ValidationInfo) -> str:
    return f"{value}{info.data.get('a')}"


@model_validator(mode="after")
def _after(self: Any) -> Any:
    if self.a == 0:
        raise ValueError("zero")
    return self


@model_validator(mode="before")
@classmethod
def _before(cls: Any, data: Any) -> Any:
    return {**data, "b": "before"} if isinstance(data, dict) and data.get("a") == 1 else data


@model_validator(mode="wrap")
@classmethod
def _around(cls: Any, data: Any, run: Any) -> Any:
    return run(data)


shape(fields={"a": int, "b": str}, _even=_even, _trimmed=_trimmed)
shape(fields={"a": int, "b": str}, _informed=_informed)
shape(fields={"a": int, "b": str}, _after=_after)
shape(fields={"a": int, "b": str}, _before=_before)
shape(fields={"a": int, "b": str}, _around=_around, _even=_even)


@field_validator("a", mode="after")
@classmethod
def _moved(cls: Any, value: Any, info: ValidationInfo) -> Any:
    return value


shape(fields={"a": Point | None, "b": str}, _around=_around)
shape(fields={"b": str, "a": Point}, _moved=_moved)
shape(fields={"a": list[int], "b": dict[str, Point]}, _informed=_informed, model_config=ConfigDict(strict=True))
shape(fields={"a": "Nested | None", "b": int})


class Nested(BaseModel):
    """Recursive, so that schemas share definitions."""

    k: Decimal | None = None
    more: list[Nested] = []


SHAPES[str(len(SHAPES) - 1)].model_rebuild()


def _post_init(self: Any, context: Any) -> None:
    self._seen = self.a


shape(fields={"a": int, "_seen": int}, _seen=PrivateAttr(default=0), model_post_init=_post_init)
shape(fields={"a": int, "_seen": list[int]}, _seen=PrivateAttr(default_factory=list))


def _init(self: Any, **data: Any) -> None:
    super(Model, self).__init__(**{**data, "a": data["a"] + 1} if isinstance(data.get("a"), int) else data)


shape(fields={"a": int}, __init__=_init)
shape(fields={"a": int}, double=computed_field(property(lambda self: self.a * 2), return_type=int))


class Owner(Model):
    id: int | None = Field(default=None, db_pk=True)

    class Meta:
        is_table = True


shape(fields={"a": int, "owner": Owner})
shape(fields={"a": int, "owner": Owner | None, "owner_id": int | None}, owner_id=Field(default=None, ge=3))
shape(fields={"a": int, "owner": Owner}, _after=_after)

_texts = st.one_of(
    st.text(max_size=4), st.sampled_from(["", " x ", "AB", "abc", "x", "y", "red", "10.0.0.1", "http://a.b/"])
)
_naive = st.datetimes()
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "big_integer": st.one_of(st.integers(-5, 5), st.integers(-(2**63), 2**63 - 1)),
    "double": st.floats(),
    "boolean": st.booleans(),
    "string": _texts,
    "text": _texts,
    "blob": st.binary(max_size=3),
    "date": st.dates(),
    "time": st.times(),
    "date_time": _naive,
    "date_time_utc": st.datetimes(timezones=st.just(UTC)),
    "timedelta": st.timedeltas(),
    "uuid": st.uuids(),
    "decimal": st.one_of(st.decimals(), st.sampled_from([Decimal("NaN"), Decimal("1.005"), Decimal("Infinity")])),
    "enum": st.sampled_from(["red", "blue", "a", "x", "green"]),
    "json": st.sampled_from(
        [
            "1",
            "null",
            '"x"',
            "[]",
            '{"a": 1}',
            '{"a": "z"}',
            '{"x": 1, "y": "1.50"}',
            '{"x": "q", "y": 2}',
            '{"left": 1, "right": "r"}',
            '{"name": "n", "at": "2020-01-01T00:00:00"}',
            '[{"x": 1, "y": 2}]',
            '[{"x": 1, "y": 2}, {"x": 1, "y": 3}]',
            '{"k": "1.10"}',
            '[1, "x"]',
        ]
    ),
}


def _values(tag: Any) -> st.SearchStrategy[Any]:
    if kind_of(tag) == "array":
        return st.lists(_values(tag[1]), max_size=3)
    return VALUES[kind_of(tag)]


def _same(left: Any, right: Any) -> bool:
    if type(left) is not type(right):
        return False
    if isinstance(left, float):
        return left == right or (math.isnan(left) and math.isnan(right))
    if isinstance(left, Decimal):
        return left.compare_total(right) == 0
    if isinstance(left, (list, tuple)):
        return len(left) == len(right) and all(map(_same, left, right))
    if isinstance(left, dict):
        return list(left) == list(right) and all(_same(left[key], right[key]) for key in left)
    return bool(left == right)


def _outcome(action: Any) -> tuple[str, Any]:
    try:
        return "instance", action()
    except DataError as error:
        cause = error.__cause__
        return "error", _errors(cause) if isinstance(cause, ValidationError) else type(cause).__name__
    except ValidationError as error:
        return "error", _errors(error)


def _errors(error: ValidationError) -> Any:
    return [(item["type"], item["loc"], repr(item["input"])) for item in error.errors(include_context=False)]


@pytest.mark.parametrize("name", SHAPES)
@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_needed_is_full(name: str, load: Any, data: st.DataObject) -> None:
    model = SHAPES[name]
    row = {}
    for column in model.__oxyde__.columns:
        value = _values(column.type)
        # NULL also where the column forbids it: the table may have been made by somebody else.
        row[column.name] = data.draw(st.one_of(st.none(), value, value, value), label=column.name)
    needed = _outcome(lambda: load(model, row, validate="needed"))
    full = _outcome(lambda: load(model, row, validate="full"))
    pydantic = _outcome(lambda: _by_pydantic(model, row))
    for other in (full, pydantic):
        assert needed[0] == other[0], (needed, other)
        if needed[0] == "error":
            assert needed[1] == other[1] or (other is pydantic and not _comparable(model))
        else:
            _check_same(needed[1], other[1])


def _comparable(model: Any) -> bool:
    """Pydantic itself names fields by their alias, and knows nothing of stored JSON and enums."""
    aliased = any(field.validation_alias for field in model.model_fields.values())
    return not aliased and not any(column.from_db or column.type == "json" for column in model.__oxyde__.columns)


def _check_same(left: Any, right: Any) -> None:
    assert _same(dict(left.__dict__), dict(right.__dict__))
    assert left.__pydantic_private__ == right.__pydantic_private__
    assert left.__pydantic_extra__ == right.__pydantic_extra__
    assert left.model_fields_set == right.model_fields_set
    assert _same(left.model_dump(), right.model_dump())
    assert repr(left).replace("<not loaded>", "") == repr(right).replace("<not loaded>", "")


def _by_pydantic(model: Any, row: dict[str, Any]) -> Any:
    """Pydantic's own validation of the converted row, with nothing of ours but the conversion."""
    values = {}
    for column in model.__oxyde__.columns:
        value = row[column.name]
        if value is not None and column.from_db is not None:
            try:
                value = column.from_db[value] if isinstance(column.from_db, dict) else column.from_db(value)
            except Exception as error:
                raise DataError("unreadable") from error
        values[column.name] = value
    if model.__pydantic_custom_init__:
        return model(**values)
    return model.__pydantic_validator__.validate_python(values, by_alias=False, by_name=True)


@pytest.mark.parametrize("name", SHAPES)
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_needed_is_full_for_some_columns(name: str, load: Any, data: st.DataObject) -> None:
    model = SHAPES[name]
    columns = model.__oxyde__.columns[1:]
    row = {column.name: data.draw(st.one_of(st.none(), _values(column.type))) for column in columns}
    needed = _outcome(lambda: load(model, row, validate="needed"))
    full = _outcome(lambda: load(model, row, validate="full"))
    assert needed[0] == full[0]
    if needed[0] == "error":
        assert needed[1] == full[1]
    else:
        _check_same(needed[1], full[1])


def test_enough_shapes() -> None:
    assert len(SHAPES) >= 40


def test_plain_columns_run_nothing() -> None:
    plan = SHAPES["0"].__oxyde__.plan_loader()
    assert [output[2] for output in plan.outputs] == [None] * 5
    assert plan.model[3] is None
    assert plan.null_refused == {"a", "b", "c", "d"}


def test_naive_and_aware_columns_run_nothing() -> None:
    assert SHAPES["2"].__oxyde__.elision.direct >= {"b", "c"}


def test_enum_columns_only_map() -> None:
    plan = SHAPES["21"].__oxyde__.plan_loader(("a", "b"))
    assert [type(output[2]) for output in plan.outputs] == [dict, dict]


def test_a_relation_costs_nothing() -> None:
    info = next(model for model in SHAPES.values() if "owner" in model.model_fields).__oxyde__
    assert not info.elision.whole
    assert info.elision.direct == {"id", "a", "owner_id"}


def test_timezone_of_another_column_kind_is_looked_at() -> None:
    offset = timezone(timedelta(hours=2))
    column = SHAPES["2"].__oxyde__.column("b")
    assert column.to_db(datetime(2020, 1, 1, 2, tzinfo=offset)) == datetime(2020, 1, 1, tzinfo=UTC)
