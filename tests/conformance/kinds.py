"""Every column type of the documentation with values at its edges, for the round-trip tests.

``Kind.values`` are valid values of the field; each must come back equal and of the same type from every way of
writing and reading.  ``reads_back`` names the documented conversions, where another value comes back.
"""

from __future__ import annotations

import dataclasses
import enum
import ipaddress
import math
import typing
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from pathlib import Path, PurePosixPath
from typing import Any, Literal
from uuid import UUID
from zoneinfo import ZoneInfo

import pydantic
from pydantic import AnyUrl, AwareDatetime, BaseModel, EmailStr, HttpUrl, SecretBytes, SecretStr
from typing_extensions import TypedDict

from oxyde import Field, Model

MICROSECOND = timedelta(microseconds=1)
LONGEST = (2**63 - 1) * MICROSECOND

TEXTS = (
    "",
    " leading and trailing ",
    "quotes ' '' \" ` and \\ backslash \\' ; --",
    "percent %s ?1 $1 :name {brace}",
    "line\nbreak\r\ttab\x01\x7f",
    "e\u0301 combining, é precomposed",
    "𝔘𝕟𝕚𝕔𝕠𝕕𝕖 👩‍👩‍👧‍👦 \U0010ffff",
    "\ufeffBOM \uffff \u200frtl",
    "a" * 255,
)


class Colour(enum.Enum):
    RED = "red"
    QUOTED = 'it\'s \\ "x"'
    EMPTY = ""
    ASTRAL = "𝔘"


class Level(enum.IntEnum):
    LOW = -(2**63)
    NONE = 0
    HIGH = 2**63 - 1


class Flavour(enum.StrEnum):
    SWEET = "sweet"
    SOUR = "sour"


class Address(BaseModel):
    street: str
    number: int | None = None
    added: datetime | None = None


class Person(BaseModel):
    name: str
    address: Address | None = None
    aliases: list[str] = []
    balance: Decimal = Decimal(0)


@dataclasses.dataclass
class Point:
    x: int
    y: float
    label: bytes = b""


class Movie(TypedDict):
    title: str
    year: int


class Cat(BaseModel):
    kind: Literal["cat"] = "cat"
    lives: int


class Dog(BaseModel):
    kind: Literal["dog"] = "dog"
    tricks: list[str]


class Money:
    """A class that Pydantic knows nothing of."""

    def __init__(self, cents: int) -> None:
        self.cents = cents

    def __eq__(self, other: object) -> bool:
        return type(other) is Money and other.cents == self.cents

    def __hash__(self) -> int:
        return hash(self.cents)

    def __repr__(self) -> str:
        return f"Money({self.cents})"


def to_cents(money: Money) -> int:
    return money.cents


@dataclasses.dataclass(frozen=True)
class Kind:
    """One column type."""

    name: str
    annotation: Any
    values: tuple[Any, ...]
    options: dict[str, Any] = dataclasses.field(default_factory=dict)
    reads_back: Callable[[Any], Any] = lambda value: value
    ordered: bool = False
    config: dict[str, Any] = dataclasses.field(default_factory=dict)

    def model(self, types: Mapping[str, str] | None = None) -> type[Model]:
        """A table with the type as a required column and as one that may be NULL; made anew by each call.

        ``types`` says what a database calls the column types that the kind names.
        """
        table = f"kind_{self.name}"
        options = dict(self.options)
        if "db_type" in options:
            options["db_type"] = (types or {}).get(options["db_type"], options["db_type"])
        namespace = {
            "__module__": __name__,
            "__qualname__": table,
            "__annotations__": {
                "id": int | None,
                "value": self.annotation,
                "maybe": typing.Optional[self.annotation],  # noqa: UP045 - also for a string of a type
            },
            "id": Field(default=None, db_pk=True),
            "value": Field(**options),
            "maybe": Field(default=None, **options),
            "Meta": type(
                "Meta",
                (),
                # Where a class statement would put it: Pydantic takes anything else for a field without annotation.
                {"__module__": __name__, "__qualname__": f"{table}.Meta", "is_table": True, "table_name": table},
            ),
        }
        if self.config:
            namespace["model_config"] = self.config
        return type(Model)(table, (Model,), namespace)


def _utc(value: datetime) -> datetime:
    return value if value.tzinfo is None else value.astimezone(UTC).replace(tzinfo=None)


EAST, WEST = timezone(timedelta(hours=14)), timezone(-timedelta(hours=12, minutes=30))
NOON = datetime(2024, 2, 29, 12, 30, 15, 123456)

SCALARS = (
    Kind("int", int, (0, 1, -1, 2**63 - 1, -(2**63), 2**31, 2**53 + 1), ordered=True),
    Kind("str", str, TEXTS, {"max_length": 255}),
    Kind("text", str, (*TEXTS, "𝔘" * 70_000), {"db_type": "TEXT"}),
    Kind("float", float, (0.0, 0.1, -1.5, 1e22, 5e-324, math.nextafter(math.inf, 0), 2.0**53), ordered=True),
    Kind("bool", bool, (True, False)),
    Kind(
        "decimal",
        Decimal,
        tuple(map(Decimal, ("0", "1", "-0.5", "1E+10", "12345678901234567890123456789.123456789", "-1E-30", "9" * 35))),
        ordered=True,
    ),
    Kind(
        "decimal_scaled",
        Decimal,
        tuple(map(Decimal, ("0.00", "-0.01", "99999999.99", "-99999999.99", "10", "1E+2"))),
        {"max_digits": 10, "decimal_places": 2},
        ordered=True,
    ),
    Kind(
        "decimal_wide",
        Decimal,
        (Decimal("9" * 19 + "." + "9" * 19), Decimal("-" + "9" * 19 + "." + "9" * 19), Decimal("1E-19")),
        {"max_digits": 38, "decimal_places": 19},
        ordered=True,
    ),
    Kind(
        "datetime",
        datetime,
        (datetime.min, datetime.max, NOON, NOON.replace(microsecond=1), NOON.replace(microsecond=0)),
        ordered=True,
    ),
    Kind(
        "datetime_from_zones",
        datetime,
        (NOON.replace(tzinfo=EAST), NOON.replace(tzinfo=WEST), NOON.replace(tzinfo=ZoneInfo("Europe/Berlin"))),
        reads_back=_utc,
    ),
    Kind(
        "aware",
        AwareDatetime,
        (
            datetime.min.replace(tzinfo=UTC),
            datetime.max.replace(tzinfo=UTC),
            NOON.replace(tzinfo=UTC),
            NOON.replace(tzinfo=EAST, year=2023, day=1),
            NOON.replace(tzinfo=WEST, year=2022, day=1),
            datetime(2021, 10, 31, 2, 30, tzinfo=ZoneInfo("Europe/Berlin"), fold=1),
        ),
        reads_back=lambda value: value.astimezone(UTC),
        ordered=True,
    ),
    Kind("date", date, (date.min, date.max, date(2024, 2, 29)), ordered=True),
    Kind("time", time, (time.min, time.max, time(12, 30, 15, 1), time(23, 0)), ordered=True),
    Kind(
        "timedelta",
        timedelta,
        (timedelta(0), MICROSECOND, -MICROSECOND, LONGEST, -LONGEST, timedelta(days=-1, seconds=1)),
        ordered=True,
    ),
    Kind("uuid", UUID, (UUID(int=0), UUID(int=2**128 - 1), UUID("c9bf9e57-1685-4c89-bafb-ff5af830be8a")), ordered=True),
    Kind("bytes", bytes, (b"", b"\0", bytes(range(256)), b"\xff" * 100_000), ordered=True),
    Kind("enum", Colour, tuple(Colour)),
    Kind("str_enum", Flavour, tuple(Flavour)),
    Kind("int_enum", Level, tuple(Level), ordered=True),
    Kind("literal_text", Literal["a", "it's", "ü"], ("a", "it's", "ü")),
    Kind("literal_int", Literal[1, -5, 2**40], (1, -5, 2**40)),
)

TEXTUAL = (
    Kind("email", EmailStr, ("a@example.org", "first.last+tag@sub.example.com")),
    Kind("any_url", AnyUrl, (AnyUrl("ftp://user:pw@example.org:21/a?b=c#d"), AnyUrl("https://example.org/ä"))),
    Kind("http_url", HttpUrl, (HttpUrl("http://example.org"), HttpUrl("https://example.org/?q=%20"))),
    Kind("path", Path, (Path("/tmp/x y"), Path("relative"), Path("ü/ß"))),
    Kind("pure_path", PurePosixPath, (PurePosixPath("/a/b"), PurePosixPath("."))),
    Kind("ipv4", ipaddress.IPv4Address, (ipaddress.IPv4Address(0), ipaddress.IPv4Address("255.255.255.255"))),
    Kind("ipv6", ipaddress.IPv6Address, (ipaddress.IPv6Address("::"), ipaddress.IPv6Address("fe80::1%eth0"))),
    Kind("ipv4_network", ipaddress.IPv4Network, (ipaddress.IPv4Network("10.0.0.0/8"),)),
    Kind("ipv6_interface", ipaddress.IPv6Interface, (ipaddress.IPv6Interface("2001:db8::1/64"),)),
    Kind("any_ip", pydantic.IPvAnyAddress, (ipaddress.IPv4Address("1.2.3.4"), ipaddress.IPv6Address("::1"))),
    Kind("zone", ZoneInfo, (ZoneInfo("UTC"), ZoneInfo("America/Argentina/Buenos_Aires"))),
    Kind("secret_str", SecretStr, (SecretStr(""), SecretStr("päss'word"))),
    Kind("secret_bytes", SecretBytes, (SecretBytes(b""), SecretBytes(b"\0\xff"))),
)

JSON = (
    Kind(
        "json_any",
        dict[str, Any],
        (
            {},
            {"": None, "a": [1, 2.5, "x", True, {"b": []}], "ü": "𝔘", "q'\"": "\\"},
            {"deep": [[[[[[{"n": -(2**63)}]]]]]], "big": 2**63 - 1, "float": 1e300},
        ),
    ),
    Kind("json_list", list[Any], ([], [None, 1, "a", [{"b": {}}]])),
    Kind("json_dicts", list[dict[str, int]], ([], [{}], [{"a": 1}, {"b": -1}])),
    Kind("json_decimals", dict[str, Decimal], ({}, {"a": Decimal("1.10"), "b": Decimal("9" * 38)})),
    Kind("json_bytes", dict[str, bytes], ({"a": b"", "b": b"text \xc3\xbc"},)),
    Kind(
        "json_temporal",
        dict[str, tuple[date, time, timedelta, UUID]],
        ({"a": (date.max, time(1, 2, 3, 4), timedelta(days=-1, microseconds=1), UUID(int=7))},),
    ),
    Kind("json_keys", dict[int, list[str]], ({}, {1: ["a"], -2: []})),
    Kind("json_set", set[int], (set(), {1, 2, 3})),
    Kind("json_tuple", tuple[int, str], ((1, "a"),)),
    Kind(
        "json_model",
        Person,
        (
            Person(name=""),
            Person(name="𝔘", address=Address(street="x", added=NOON), aliases=["'"], balance=Decimal("0.10")),
        ),
    ),
    Kind("json_models", list[Person], ([], [Person(name="a"), Person(name="b")])),
    Kind("json_dataclass", Point, (Point(1, 2.5), Point(-(2**60), 0.0, b"x"))),
    Kind("json_typed_dict", Movie, ({"title": "Ran", "year": 1985},)),
    Kind("json_union", Cat | Dog, (Cat(lives=9), Dog(tricks=["sit"]), Dog(tricks=[]))),
    Kind("json_anything", Any, (1, "x", [1], {"a": None}, False)),
)

CONVERTED = (
    Kind(
        "converted",
        Money,
        (Money(0), Money(-(2**63)), Money(199)),
        {"db_converter": (to_cents, Money)},
        config={"arbitrary_types_allowed": True},
    ),
    Kind(
        "converted_text",
        complex,
        (0j, complex(1.5, -2)),
        {"db_converter": (str, complex), "db_type": "TEXT"},
    ),
)

ARRAYS = (
    *(
        Kind(
            f"array_{kind.name}",
            list[kind.annotation],
            ([], list(kind.values), [kind.values[-1]]),
            reads_back=lambda values, kind=kind: [kind.reads_back(value) for value in values],
        )
        for kind in SCALARS
        if not kind.options
    ),
    Kind("array_optional", list[int | None], ([None], [1, None, 2])),
    Kind("array_optional_text", list[str | None], ([None, "", "a,b", '"q"', "{}", "NULL", "null"],)),
    Kind("array_ip", list[ipaddress.IPv4Address], ([ipaddress.IPv4Address("1.2.3.4")], [])),
)

KINDS = (*SCALARS, *TEXTUAL, *JSON, *CONVERTED, *ARRAYS)


def same(read: Any, written: Any) -> bool:
    """Equal, and of the same type all the way down."""
    if type(read) is not type(written):
        return False
    if isinstance(written, dict):
        return read.keys() == written.keys() and all(same(read[key], value) for key, value in written.items())
    if isinstance(written, (list, tuple)):
        return len(read) == len(written) and all(map(same, read, written))
    if isinstance(written, float):
        return math.copysign(1, read) == math.copysign(1, written) and (read == written or read != read)
    if isinstance(written, datetime):
        return read.utcoffset() == written.utcoffset() and read == written
    return read == written
