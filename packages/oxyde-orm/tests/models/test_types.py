"""Every Python type of the type table: its tag, and its values' way out and back."""

from __future__ import annotations

import dataclasses
import enum
import ipaddress
from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal, NamedTuple, NewType
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from annotated_types import Len, MaxLen
from pydantic import (
    AnyUrl,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    FutureDate,
    HttpUrl,
    NaiveDatetime,
    PastDatetime,
    PositiveInt,
    SecretBytes,
    SecretStr,
    StringConstraints,
    ValidationError,
    condecimal,
    constr,
)
from pydantic.networks import IPvAnyAddress
from typing_extensions import TypeAliasType, TypedDict

from oxyde.exceptions import DataError, FieldError
from oxyde.models import Field, Model
from oxyde.models.columns import Column


class Shade(enum.Enum):
    RED = "red"
    BLUE = "blue"


class HTTPState(enum.StrEnum):
    OK = "ok"


class Size(enum.IntEnum):
    SMALL = 1


class Bits(enum.Flag):
    A = 1


class Mixed(enum.Enum):
    A = 1
    B = "b"


class Inner(BaseModel):
    at: datetime
    price: Decimal
    raw: bytes = b""


@dataclasses.dataclass
class Data:
    x: float


class Record(TypedDict):
    key: UUID


class Pair(NamedTuple):
    left: int
    right: str


UserId = NewType("UserId", int)
Slug = TypeAliasType("Slug", Annotated[str, MaxLen(30)])


def column(annotation: Any, **options: Any) -> Column:
    meta = type("Meta", (), {"is_table": True, "__module__": __name__, "__qualname__": "Sample.Meta"})
    namespace = {"__module__": __name__, "__qualname__": "Sample", "__annotations__": {"value": annotation}}
    body = {**namespace, "Meta": meta, **({"value": Field(**options)} if options else {})}
    model: Any = type(Model)("Sample", (Model,), body)
    found: Column = model.__oxyde__.column("value")
    return found


def back(item: Column, decoded: Any) -> Any:
    """A decoded value as the field holds it."""
    if item.from_db is None:
        return decoded
    return item.from_db[decoded] if isinstance(item.from_db, dict) else item.from_db(decoded)


@pytest.mark.parametrize(
    ("annotation", "tag"),
    [
        (int, "big_integer"),
        (PositiveInt, "big_integer"),
        (UserId, "big_integer"),
        (str, ("string", 255)),
        (Slug, ("string", 30)),
        (Slug | None, ("string", 30)),
        (constr(max_length=9), ("string", 9)),
        (Annotated[str, StringConstraints(max_length=8)], ("string", 8)),
        (Annotated[str, Len(1, 7)], ("string", 7)),
        (Annotated[str, Field(max_length=6)] | None, ("string", 6)),
        (float, "double"),
        (bool, "boolean"),
        (bytes, "blob"),
        (Decimal, ("decimal", None, None)),
        (condecimal(max_digits=10, decimal_places=2), ("decimal", 10, 2)),
        (condecimal(max_digits=10), ("decimal", None, None)),
        (datetime, "date_time"),
        (NaiveDatetime, "date_time"),
        (PastDatetime, "date_time"),
        (AwareDatetime, "date_time_utc"),
        (date, "date"),
        (FutureDate, "date"),
        (time, "time"),
        (timedelta, "timedelta"),
        (UUID, "uuid"),
        (Shade, ("enum", "shade_enum", ("red", "blue"))),
        (HTTPState, ("enum", "http_state_enum", ("ok",))),
        (Size, "big_integer"),
        (Literal["a", "bc"], ("string", 255)),
        (Literal[1, 2], "big_integer"),
        (Literal[Shade.RED], ("enum", "shade_enum", ("red", "blue"))),
        (Path, "text"),
        (PurePosixPath, "text"),
        (AnyUrl, "text"),
        (HttpUrl, "text"),
        (ipaddress.IPv6Network, "text"),
        (IPvAnyAddress, "text"),
        (ZoneInfo, "text"),
        (SecretStr, "text"),
        (SecretBytes, "blob"),
        (list[int], ("array", "big_integer")),
        (list[str | None], ("array", ("string", 255))),
        (list[Shade], ("array", ("enum", "shade_enum", ("red", "blue")))),
        (list[list[int]], "json"),
        (list, "json"),
        (dict, "json"),
        (dict[str, int], "json"),
        (Mapping[str, int], "json"),
        (set[int], "json"),
        (tuple[int, str], "json"),
        (Inner, "json"),
        (Inner | None, "json"),
        (list[Inner], "json"),
        (Inner | Data, "json"),
        (int | str, "json"),
        (Data, "json"),
        (Record, "json"),
        (Pair, "json"),
        (Any, "json"),
    ],
    ids=str,
)
def test_tags(annotation: Any, tag: Any) -> None:
    assert column(annotation).type == tag


@pytest.mark.parametrize(
    ("annotation", "value", "stored"),
    [
        (int, 3, 3),
        (datetime, datetime(2020, 1, 1, 2, tzinfo=timezone(timedelta(hours=2))), datetime(2020, 1, 1)),
        (datetime, datetime(2020, 1, 1), datetime(2020, 1, 1)),
        (AwareDatetime, datetime(2020, 1, 1, 2, tzinfo=timezone(timedelta(hours=2))), datetime(2020, 1, 1, tzinfo=UTC)),
        (Shade, Shade.RED, "red"),
        (Size, Size.SMALL, 1),
        (Literal[Shade.RED], Shade.RED, "red"),
        (Path, Path("a/b"), "a/b"),
        (HttpUrl, HttpUrl("http://a.b/"), "http://a.b/"),
        (ipaddress.IPv4Address, ipaddress.IPv4Address("10.0.0.1"), "10.0.0.1"),
        (ZoneInfo, ZoneInfo("UTC"), "UTC"),
        (SecretStr, SecretStr("s"), "s"),
        (SecretBytes, SecretBytes(b"s"), b"s"),
        (list[Shade | None], [Shade.RED, None], ["red", None]),
        (list[UUID], [UUID(int=1)], [UUID(int=1)]),
        (list[Path], [Path("a")], ["a"]),
    ],
    ids=str,
)
def test_scalars_go_out_and_come_back(annotation: Any, value: Any, stored: Any) -> None:
    item = column(annotation)
    encoded = value if item.to_db is None else item.to_db(value)
    assert encoded == stored
    assert type(encoded) is type(stored)
    expected = stored if item.type in ("date_time", "date_time_utc") else value
    assert back(item, encoded) == expected
    assert item.coerce(value) == value


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (Inner, Inner(at=datetime(2020, 1, 1), price=Decimal("1.50"), raw=b"x")),
        (list[Inner], [Inner(at=datetime(2020, 1, 1), price=Decimal("1.50"))]),
        (dict[UUID, timedelta], {UUID(int=3): timedelta(microseconds=5)}),
        (dict[int, bytes], {1: b"a"}),
        (Data, Data(1.5)),
        (Record, {"key": UUID(int=4)}),
        (tuple[int, str], (1, "x")),
        (set[int], {1, 2}),
        (Any, {"a": [1, 2.5, None, True, "x"]}),
        (dict, {"a": {"b": []}}),
        (Inner | Data | None, Data(2.0)),
    ],
    ids=str,
)
def test_json_goes_out_and_comes_back(annotation: Any, value: Any) -> None:
    item = column(annotation)
    assert item.to_db is not None
    text = item.to_db(value)
    assert isinstance(text, (str, bytes))
    found = back(item, text if isinstance(text, str) else text.decode())
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("annotation", "value", "message"),
    [
        (Any, float("nan"), "would not come back"),
        (dict[str, float], {"a": float("inf")}, "NaN or infinity"),
        (Data, Data(float("nan")), "NaN or infinity"),
        (Any, (1, 2), "would not come back"),
        (Any, datetime(2020, 1, 1), "would not come back"),
        (dict, {1: "x"}, "would not come back"),
        (list, [Decimal("1.5")], "would not come back"),
        (dict[str, str], {"a": "x\0"}, "NUL"),
        (Any, "\0", "NUL"),
    ],
    ids=str,
)
def test_json_that_would_change_is_refused(annotation: Any, value: Any, message: str) -> None:
    item = column(annotation)
    assert item.to_db is not None
    with pytest.raises(DataError, match=rf"Sample\.value: .*{message}"):
        item.to_db(value)


def test_an_escaped_backslash_is_no_nul() -> None:
    item = column(dict[str, str])
    assert item.to_db is not None
    assert back(item, item.to_db({"a": "\\u0000"})) == {"a": "\\u0000"}


@pytest.mark.parametrize(
    ("annotation", "given", "value"),
    [
        (int, "5", 5),
        (PositiveInt, -5, -5),
        (datetime, date(2020, 1, 2), datetime(2020, 1, 2)),
        (date, "2020-01-02", date(2020, 1, 2)),
        (UUID, "00000000-0000-0000-0000-000000000001", UUID(int=1)),
        (Shade, "red", Shade.RED),
        (Decimal, "1.5", Decimal("1.5")),
        (Path, "a", Path("a")),
        (FutureDate, "2020-01-02", date(2020, 1, 2)),
        (list[int], ("1", 2), [1, 2]),
    ],
    ids=str,
)
def test_filter_values_are_coerced_without_constraints(annotation: Any, given: Any, value: Any) -> None:
    assert column(annotation).coerce(given) == value


def test_what_cannot_be_coerced() -> None:
    with pytest.raises(ValidationError):
        column(int).coerce("x")
    with pytest.raises(ValidationError):
        column(AwareDatetime).coerce(datetime(2020, 1, 1))
    item = column(time)
    assert item.to_db is not None
    with pytest.raises(ValueError, match="time zone"):
        item.to_db(time(1, tzinfo=UTC))


def test_exact_types_skip_everything() -> None:
    assert column(int).exact is int
    assert column(UUID).exact is UUID
    assert column(datetime).exact is None
    assert column(Shade).exact is None
    assert column(list[int]).exact is None


@pytest.mark.parametrize(
    ("annotation", "message"),
    [
        (Bits, "a Flag such as Bits is refused"),
        (Mixed, "must be all strings or all integers"),
        (Literal[1, "a"], "of one type"),
        (complex, "complex has no column type"),
    ],
    ids=str,
)
def test_refused_types(annotation: Any, message: str) -> None:
    with pytest.raises(FieldError, match=rf"Sample\.value: .*{message}"):
        column(annotation)


def test_nullability() -> None:
    assert column(int | None).nullable
    assert not column(int).nullable
    assert column(int, db_nullable=True).nullable
    assert not column(int | None, db_nullable=False).nullable
    assert column(Literal["a", None]).nullable
    key = column(int | None, default=None, db_pk=True)
    assert (key.nullable, key.auto, key.primary_key) == (False, True, True)
    assert not column(UUID, db_pk=True).auto
    assert not column(int, db_pk=True, db_default="nextval('x')").auto
    assert not column(int, db_pk=True, default_factory=lambda: 1).auto


class Money:
    def __init__(self, cents: int) -> None:
        self.cents = cents

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Money) and other.cents == self.cents


def money_to_db(value: Money) -> int:
    return value.cents


def test_converters_store_any_type() -> None:
    item = column(Money, db_converter=(money_to_db, Money))
    assert item.type == "big_integer"
    assert item.to_db is not None
    assert back(item, item.to_db(Money(5))) == Money(5)
    assert item.coerce(Money(3)) == Money(3)
    with pytest.raises(ValidationError):
        item.coerce(3)
    model: Any = item.info.cls
    assert model(value=Money(4)).value == Money(4)
    with pytest.raises(ValidationError):
        model(value=4)
    assert column(Money | None, default=None, db_converter=(money_to_db, Money)).nullable
    assert column(Money, db_converter=(str, Money)).type == "text"
    untyped = (lambda value: value.cents, lambda value: Money(value))
    assert column(Money, db_converter=untyped, db_type="VARCHAR(20)").type == "text"
    with pytest.raises(FieldError, match="does not say what is stored"):
        column(Money, db_converter=untyped)


def test_enum_values_by_configuration() -> None:
    class Painted(Model):
        model_config = ConfigDict(use_enum_values=True)
        id: int | None = Field(default=None, db_pk=True)
        shade: Shade

        class Meta:
            is_table = True

    item = Painted.__oxyde__.column("shade")
    assert item.to_db is not None
    assert item.to_db(Painted(shade=Shade.RED).shade) == "red"
