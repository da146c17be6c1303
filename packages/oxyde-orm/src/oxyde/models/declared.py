"""Columns whose `db_type` names a type that only PostgreSQL has, and the Python type that is natural for it.

    interval            timedelta
    hstore              dict[str, str | None]
    vector, halfvec     list[float]
    int4range …         Range[int], Range[Decimal], Range[date], Range[datetime]
    inet, cidr          IPv4Address … (text to every database, as without a db_type)
    anything else       str: the text that the server reads and writes

Such a value travels as the server's own text form in both directions; this is where the forms are made and read.
A text with no Python value (`infinity`, an interval of months) raises ValueError, which loading reports as DataError.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any, Final, NamedTuple, get_args, get_origin

import pydantic
from pydantic import TypeAdapter

from oxyde.models.annotations import unwrap
from oxyde.models.ranges import Range

__all__ = ["Form", "declared_form"]


class Form(NamedTuple):
    """How one Python type is written as text and read back."""

    coerce: Callable[[Any], Any]
    write: Callable[[Any], str]
    read: Callable[[str], Any]


def declared_form(annotation: Any, db_type: str | None) -> Form | None:
    """The text form of a field's values, or None if its `db_type` needs none of its own."""
    if db_type is None:
        return None
    name = re.sub(r"\s*\(.*\)", "", db_type).strip().lower()
    if name == "interval" and annotation is timedelta:
        return Form(TypeAdapter(timedelta).validate_python, write_interval, read_interval)
    if name == "hstore" and get_origin(annotation) is dict and _is_text_map(get_args(annotation)):
        return Form(TypeAdapter(annotation).validate_python, write_hstore, read_hstore)
    if name in ("vector", "halfvec") and get_origin(annotation) is list and get_args(annotation) == (float,):
        return Form(TypeAdapter(annotation).validate_python, write_vector, read_vector)
    if get_origin(annotation) is Range:
        end = _END_FORMS.get(unwrap(get_args(annotation)[0]).type)
        if end is not None and name in _RANGES:
            write, read = end
            coerce = TypeAdapter(annotation).validate_python
            return Form(coerce, partial(write_range, write), partial(read_range, read))
    return None


def _is_text_map(arguments: tuple[Any, ...]) -> bool:
    return len(arguments) == 2 and arguments[0] is str and unwrap(arguments[1]).type is str


# Intervals

_CLOCK = re.compile(r"([-+]?)(\d+):(\d\d):(\d\d)(?:\.(\d{1,6}))?")

_ISO = re.compile(r"P(?:(-?\d+)D)?(?:T(?:(-?\d+)H)?(?:(-?\d+)M)?(?:(-?)(\d+)(?:\.(\d{1,6}))?S)?)?")


def write_interval(value: timedelta) -> str:
    """Days and seconds of one sign, which every IntervalStyle reads alike.

    >>> write_interval(timedelta(days=1, microseconds=500_000)), write_interval(timedelta(hours=-1))
    ('P1DT0.500000S', 'P-0DT-3600.000000S')
    """
    micros = value // timedelta(microseconds=1)
    sign = "-" if micros < 0 else ""
    days, rest = divmod(abs(micros), 86_400_000_000)
    return f"P{sign}{days}DT{sign}{rest // 1_000_000}.{rest % 1_000_000:06}S"


def read_interval(text: str) -> timedelta:
    """An interval of days and times; months and years have no length, so that they have no timedelta.

    >>> read_interval("1 day -02:00:00.5") == timedelta(hours=22) - timedelta(seconds=0.5)
    True
    """
    iso = _ISO.fullmatch(text)
    if iso is not None:
        days, hours, minutes, sign, seconds, fraction = iso.groups()
        second = timedelta(seconds=int(seconds or 0), microseconds=_micros(fraction))
        whole = timedelta(days=int(days or 0), hours=int(hours or 0), minutes=int(minutes or 0))
        return whole - second if sign else whole + second
    total = timedelta(0)
    words = text.split()
    while words:
        word = words.pop(0)
        clock = _CLOCK.fullmatch(word)
        if clock is not None:
            sign, hours, minutes, seconds, fraction = clock.groups()
            length = timedelta(
                hours=int(hours), minutes=int(minutes), seconds=int(seconds), microseconds=_micros(fraction)
            )
            total += -length if sign == "-" else length
        elif words and words[0] in ("day", "days"):
            total += timedelta(days=int(word))
            words.pop(0)
        else:
            raise ValueError(
                "an interval with months or years, or in an IntervalStyle other than postgres and iso_8601"
            )
    return total


def _micros(fraction: str | None) -> int:
    return int((fraction or "").ljust(6, "0"))


# hstore

_PAIR = re.compile(r'"((?:[^"\\]|\\.)*)"=>(?:"((?:[^"\\]|\\.)*)"|NULL)(?:, |$)', re.DOTALL)


def write_hstore(value: dict[str, str | None]) -> str:
    """Every key and value in quotes.

    >>> write_hstore({"a": 'say "hi"', "b": None})
    '"a"=>"say \\\\"hi\\\\"", "b"=>NULL'
    """
    return ", ".join(f"{_quoted(key)}=>{'NULL' if item is None else _quoted(item)}" for key, item in value.items())


def read_hstore(text: str) -> dict[str, str | None]:
    """The pairs of an hstore."""
    found: dict[str, str | None] = {}
    position = 0
    while position < len(text):
        pair = _PAIR.match(text, position)
        if pair is None:
            raise ValueError("text that is no hstore")
        key, item = pair.groups()
        found[_unquoted(key)] = None if item is None else _unquoted(item)
        position = pair.end()
    return found


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _unquoted(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text, flags=re.DOTALL)


# Vectors


def write_vector(value: list[float]) -> str:
    """
    >>> write_vector([1.0, 0.5])
    '[1.0,0.5]'
    """
    return f"[{','.join(repr(float(item)) for item in value)}]"


def read_vector(text: str) -> list[float]:
    """The numbers of a vector."""
    inner = text.strip()[1:-1]
    return [float(item) for item in inner.split(",")] if inner else []


# Ranges

_RANGES: Final = frozenset({"int4range", "int8range", "numrange", "daterange", "tsrange", "tstzrange"})
_RANGE = re.compile(r'([\[(])(?:"((?:[^"\\]|\\.|"")*)"|([^",]*)),(?:"((?:[^"\\]|\\.|"")*)"|([^",]*))([\])])', re.DOTALL)


def write_range(write: Callable[[Any], str], value: Range[Any]) -> str:
    """
    >>> write_range(str, Range(1, None)), write_range(str, Range.empty())
    ('["1",)', 'empty')
    """
    if value.isempty:
        return "empty"
    lower, upper = ("" if end is None else _quoted(write(end)) for end in (value.lower, value.upper))
    return f"{value.bounds[0]}{lower},{upper}{value.bounds[1]}"


def read_range(read: Callable[[str], Any], text: str) -> Range[Any]:
    """A range in the server's form."""
    if text == "empty":
        return Range.empty()
    found = _RANGE.fullmatch(text)
    if found is None:
        raise ValueError("text that is no range")
    start, quoted_lower, plain_lower, quoted_upper, plain_upper, end = found.groups()

    def one(quoted: str | None, plain: str | None) -> Any:
        if quoted is None:
            return read(plain) if plain else None
        return read(_unquoted(quoted.replace('""', '\\"')))

    bounds: Any = start + end
    return Range(one(quoted_lower, plain_lower), one(quoted_upper, plain_upper), bounds)


def _write_moment(value: datetime) -> str:
    # tsrange passes over the zone; a naive datetime is UTC everywhere in Oxyde.
    moment = value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    return moment.isoformat(" ")


def _read_aware(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _read_naive(text: str) -> datetime:
    return _read_aware(text).replace(tzinfo=None)


_END_FORMS: Final[dict[Any, tuple[Callable[[Any], str], Callable[[str], Any]]]] = {
    int: (str, int),
    Decimal: (str, Decimal),
    date: (date.isoformat, date.fromisoformat),
    datetime: (_write_moment, _read_naive),
    pydantic.NaiveDatetime: (_write_moment, _read_naive),
    pydantic.AwareDatetime: (_write_moment, _read_aware),
}
