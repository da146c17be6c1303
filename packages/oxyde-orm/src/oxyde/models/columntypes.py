"""THE Python side of the type table: which column a Python type gets and how its values travel.

A value goes out through `to_db` (Python field value → what the core encodes for the tag) and comes back through
`from_db` (what the core decodes for the tag → Python field value); None means that both are the same object.
`coerce` turns what a filter was given into a field value (Pydantic's lax mode, the field's constraints left aside),
and a value whose type is exactly `exact` needs none of these.

A type that is not listed is refused when the class is defined, with the way out: `db_converter`.
"""

from __future__ import annotations

import dataclasses
import inspect
import sys
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, Flag
from functools import lru_cache
from operator import methodcaller
from pathlib import PurePath
from types import UnionType
from typing import Any, Final, Literal, NamedTuple, Union, cast, get_args, get_origin, get_type_hints, is_typeddict
from uuid import UUID

import pydantic
from pydantic import BaseModel, TypeAdapter
from pydantic_core import SchemaValidator, core_schema

from oxyde.exceptions import FieldError
from oxyde.models.annotations import unwrap
from oxyde.models.declared import declared_form
from oxyde.models.jsontypes import json_codec
from oxyde.models.naming import shorten, snake_case
from oxyde.models.options import DbOptions
from oxyde.models.ranges import Range
from oxyde_core.types import TypeTag

__all__ = ["ColumnType", "Limits", "UnstorableError", "column_type", "limits_of"]

STRING_LENGTH: Final = 255
"""Length of the VARCHAR of a `str` without `max_length`."""


class Limits(NamedTuple):
    """Constraints of a field that its column shares."""

    max_length: int | None = None
    max_digits: int | None = None
    decimal_places: int | None = None


class ColumnType(NamedTuple):
    """How one Python type is stored; see the module's text for the functions."""

    tag: TypeTag
    python_type: Any
    coerce: Callable[[Any], Any]
    to_db: Callable[[Any], Any] | None = None
    from_db: Callable[[Any], Any] | dict[Any, Any] | None = None
    exact: type | None = None
    choices: tuple[Any, ...] = ()
    """The only values of a Literal, as they are encoded: the column gets a CHECK."""


def limits_of(metadata: Iterable[Any]) -> Limits:
    """The limits in a field's metadata; where one is given twice the narrower one counts."""
    found: dict[str, int] = {}
    for item in _flat(metadata):
        for name in Limits._fields:
            value = getattr(item, name, None)
            if isinstance(value, int):
                found[name] = min(value, found.get(name, value))
    return Limits(**found)


def _flat(metadata: Iterable[Any]) -> Iterable[Any]:
    for item in metadata:
        yield item
        if isinstance(item, pydantic.fields.FieldInfo):
            yield from _flat(item.metadata)


def column_type(where: str, annotation: Any, metadata: Iterable[Any], options: DbOptions) -> ColumnType:
    """The column type of a field.

    `where` is how errors call the field ("User.email").  Raises FieldError for a type that no column can hold.
    """
    inner = unwrap(annotation)
    metadata = (*inner.metadata, *metadata)
    if options.converter is not None:
        return _converted(where, inner.type, options)
    found = _declared(inner.type, options.type) or _scalar(where, inner.type, limits_of(metadata))
    if found is not None:
        return found
    if get_origin(inner.type) is list:
        (item_annotation,) = get_args(inner.type)
        item = unwrap(item_annotation)
        declared = None if options.type is None else options.type.replace("[]", "").strip()
        element = _declared(item.type, declared) or _scalar(where, item.type, limits_of(item.metadata))
        if element is not None:
            return _array(inner.type, element, item.optional)
    if get_origin(inner.type) is Range or inner.type is Range:
        raise FieldError(
            f"{where}: a Range needs its type and the column's, such as Range[int] with db_type='int8range'; "
            "there are int4range, int8range, numrange, daterange, tsrange and tstzrange"
        )
    if _is_json(inner.type):
        to_db, from_db, coerce = json_codec(where, annotation, tuple(metadata))
        return ColumnType("json", inner.type, coerce, to_db, from_db)
    raise FieldError(
        f"{where}: {_name(inner.type)} has no column type; give db_converter=(to_db, from_db) to say how it is stored"
    )


def _declared(kind: Any, db_type: str | None) -> ColumnType | None:
    form = declared_form(kind, db_type)
    return None if form is None else ColumnType("text", kind, form.coerce, form.write, form.read)


# One row per scalar type.  `exact` only where the core takes every value of that very type as it is.
_PLAIN: Final[dict[Any, tuple[TypeTag, bool]]] = {
    bool: ("boolean", True),
    int: ("big_integer", True),
    float: ("double", True),
    bytes: ("blob", True),
    date: ("date", True),
    timedelta: ("timedelta", True),
    UUID: ("uuid", True),
    pydantic.PastDate: ("date", False),
    pydantic.FutureDate: ("date", False),
}


class UnstorableError(ValueError):
    """A value that its column cannot hold; the message says why and never quotes it."""


def _utc(value: datetime) -> datetime:
    try:
        return value.astimezone(UTC)
    except OverflowError:
        raise UnstorableError("in UTC this datetime is outside of the years 1 to 9999") from None


def _naive_utc(value: datetime) -> datetime:
    return value if value.tzinfo is None else _utc(value).replace(tzinfo=None)


def _aware_utc(value: datetime) -> datetime:
    if value.utcoffset() is None:
        raise UnstorableError("a datetime without time zone cannot be stored in an AwareDatetime column")
    return _utc(value)


def _naive_time(value: time) -> time:
    if value.tzinfo is not None:
        raise UnstorableError("a time with a time zone cannot be stored: the zone would be lost")
    return value


_TEMPORAL: Final[dict[Any, tuple[TypeTag, Callable[[Any], Any]]]] = {
    datetime: ("date_time", _naive_utc),
    pydantic.NaiveDatetime: ("date_time", _naive_utc),
    pydantic.PastDatetime: ("date_time", _naive_utc),
    pydantic.FutureDatetime: ("date_time", _naive_utc),
    pydantic.AwareDatetime: ("date_time_utc", _aware_utc),
    time: ("time", _naive_time),
}
_SECRETS: Final[dict[Any, TypeTag]] = {pydantic.SecretStr: "text", pydantic.SecretBytes: "blob"}


def _loaded(module: str, *names: str) -> tuple[type, ...]:
    """Classes of a module that takes long to import; a program that annotates with them has imported it."""
    found = sys.modules.get(module)
    return () if found is None else tuple(getattr(found, name) for name in names)


def _textual() -> tuple[type, ...]:
    addresses = ("IPv4Address", "IPv6Address", "IPv4Interface", "IPv6Interface", "IPv4Network", "IPv6Network")
    return (
        *_loaded("ipaddress", *addresses),
        *_loaded("zoneinfo", "ZoneInfo"),
        *_loaded("pydantic.networks", "IPvAnyAddress", "IPvAnyInterface", "IPvAnyNetwork"),
    )


def _urls() -> tuple[type, ...]:
    # AnyUrl and the multi-host addresses of databases have a base class each.
    return tuple(base for url in _loaded("pydantic.networks", "AnyUrl", "PostgresDsn") for base in url.__mro__[1:-1])


@lru_cache(maxsize=64)
def _builtin_adapter(kind: Any) -> Callable[[Any], Any]:
    """Lax validation of one of the types named in this module; classes of users are never kept here."""
    return TypeAdapter(_lax(kind)).validate_python


def _lax(kind: Any) -> Any:
    # A past date is one when it is stored; a filter may ask for any.
    if kind in (pydantic.PastDate, pydantic.FutureDate):
        return date
    if kind in (pydantic.PastDatetime, pydantic.FutureDatetime, pydantic.NaiveDatetime):
        return datetime
    return kind


def _scalar(where: str, kind: Any, limits: Limits) -> ColumnType | None:
    if get_origin(kind) is Literal:
        return _literal(where, kind, limits)
    try:
        plain = _PLAIN.get(kind)
    except TypeError:  # unhashable: no type of ours
        return None
    if plain is not None:
        tag, exact = plain
        return ColumnType(tag, kind, _builtin_adapter(kind), exact=kind if exact else None)
    if kind is str:
        tag = ("string", limits.max_length or STRING_LENGTH)
        return ColumnType(tag, str, _builtin_adapter(str), exact=str)
    if kind is Decimal:
        both = limits.max_digits is not None and limits.decimal_places is not None
        # NUMERIC(p) would mean scale 0, which max_digits alone does not.
        tag = ("decimal", limits.max_digits, limits.decimal_places) if both else ("decimal", None, None)
        return ColumnType(tag, Decimal, _builtin_adapter(Decimal), exact=Decimal)
    if kind in _TEMPORAL:
        tag, to_db = _TEMPORAL[kind]
        return ColumnType(tag, kind, _builtin_adapter(kind), to_db)
    if kind in _SECRETS:
        return ColumnType(_SECRETS[kind], kind, _builtin_adapter(kind), methodcaller("get_secret_value"), from_db=kind)
    if isinstance(kind, type):
        return _class(where, kind, limits)
    return None


def _class(where: str, kind: type, limits: Limits) -> ColumnType | None:
    if issubclass(kind, Enum):
        return _enum(where, kind)
    text: TypeTag = ("string", limits.max_length) if limits.max_length else "text"
    if kind in _loaded("pydantic.networks", "EmailStr"):
        return ColumnType(text, str, TypeAdapter(kind).validate_python)
    if issubclass(kind, _textual()):
        adapter = _builtin_adapter(cast(Any, kind))
        return ColumnType(text, kind, adapter, str, from_db=adapter)
    if issubclass(kind, (PurePath, *_urls())):
        adapter = TypeAdapter(kind).validate_python
        return ColumnType(text, kind, adapter, str, from_db=adapter)
    return None


def _enum(where: str, kind: type[Enum]) -> ColumnType:
    members = list(kind)
    values = [member.value for member in members]
    if issubclass(kind, Flag):
        raise FieldError(
            f"{where}: a Flag such as {kind.__name__} is refused: store its int value, or give db_converter"
        )
    tag: TypeTag
    if values and all(type(value) is str for value in values):
        tag = ("enum", shorten(f"{snake_case(kind.__name__)}_enum"), tuple(values))
    elif values and all(type(value) is int for value in values):
        tag = "big_integer"
    else:
        raise FieldError(
            f"{where}: the values of {kind.__name__} must be all strings or all integers; else give db_converter"
        )
    # A class that makes up members for unknown values decides itself; else a dict is faster and just as strict.
    made_up = kind._missing_.__func__ is not Enum._missing_.__func__  # type: ignore[attr-defined]
    from_db = kind if made_up else {member.value: member for member in members}
    return ColumnType(tag, kind, TypeAdapter(kind).validate_python, _enum_value, from_db)


def _enum_value(value: Any) -> Any:
    # With use_enum_values the field already holds the value.
    return value.value if isinstance(value, Enum) else value


def _literal(where: str, kind: Any, limits: Limits) -> ColumnType:
    values = get_args(kind)
    present = [value for value in values if value is not None]
    kinds = {type(value) for value in present}
    if len(kinds) != 1:
        raise FieldError(f"{where}: the values of a Literal must be of one type, not {kind}; else give db_converter")
    base = _scalar(where, kinds.pop(), limits)
    if base is None or not (base.from_db is None or isinstance(base.from_db, dict)):
        raise FieldError(f"{where}: {kind} has no column type; give db_converter=(to_db, from_db)")
    encoded = tuple(value if base.to_db is None else base.to_db(value) for value in present)
    return base._replace(python_type=kind, coerce=TypeAdapter(kind).validate_python, choices=encoded)


def _array(annotation: Any, item: ColumnType, holds_none: bool) -> ColumnType:
    coerce = TypeAdapter(list[Any]).validate_python
    one, out, back = item.coerce, item.to_db, item.from_db

    def coerce_items(value: Any) -> list[Any]:
        return [None if element is None else one(element) for element in coerce(value)]

    to_db = None if out is None else lambda value: [None if element is None else out(element) for element in value]
    from_db: Callable[[Any], Any] | None
    if back is None:
        from_db = None
    elif isinstance(back, dict):
        from_db = _mapped(back)
    else:
        from_db = _each(back)
    if not holds_none:
        from_db = _without_none(from_db)
    return ColumnType(("array", item.tag), annotation, coerce_items, to_db, from_db)


def _without_none(convert: Callable[[Any], Any] | None) -> Callable[[Any], Any]:
    """Databases do not know that the items of an array are never NULL: a row that breaks this is refused."""

    def refuse_none(value: list[Any]) -> list[Any]:
        if None in value:
            raise ValueError("a NULL among items that are never None")
        return value if convert is None else convert(value)

    return refuse_none


def _mapped(members: dict[Any, Any]) -> Callable[[Any], Any]:
    def convert(value: list[Any]) -> list[Any]:
        try:
            return [None if element is None else members[element] for element in value]
        except KeyError as error:
            raise ValueError(f"{error.args[0]!r} is no value of the enum") from None

    return convert


def _each(convert_one: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda value: [None if element is None else convert_one(element) for element in value]


_JSON_ORIGINS: Final = (dict, list, tuple, set, frozenset)


def _is_json(kind: Any) -> bool:
    origin = get_origin(kind)
    if kind is Any or origin is Union or origin is UnionType or is_typeddict(kind):
        return True
    base = origin or kind
    if not isinstance(base, type):
        return False
    if is_typeddict(base) or dataclasses.is_dataclass(base) or issubclass(base, (BaseModel, *_JSON_ORIGINS)):
        return True
    return base.__module__ == "collections.abc" and base.__name__ in {
        "Mapping",
        "MutableMapping",
        "Sequence",
        "MutableSequence",
        "Set",
    }


_DDL_TAGS: Final[dict[str, TypeTag]] = {
    "TEXT": "text",
    "VARCHAR": "text",
    "CHAR": "text",
    "BIGINT": "big_integer",
    "INTEGER": "big_integer",
    "INT": "big_integer",
    "SMALLINT": "big_integer",
    "DOUBLE": "double",
    "REAL": "double",
    "BYTEA": "blob",
    "BLOB": "blob",
    "BOOLEAN": "boolean",
    "UUID": "uuid",
}


def _converted(where: str, kind: Any, options: DbOptions) -> ColumnType:
    """A type of the program's own: the stored type follows from the annotations of its converter, else from db_type."""
    to_db, from_db = options.converter
    stored = _return_type(to_db)
    if stored is None:
        stored = _parameter_type(from_db)
    base = None if stored is None else _scalar(where, unwrap(stored).type, Limits())
    if base is not None and base.to_db is None and base.from_db is None:
        tag = "text" if base.python_type is str else base.tag
    else:
        word = (options.type or "").upper().split("(")[0].split()
        found = _DDL_TAGS.get(word[0]) if word else None
        if found is None:
            raise FieldError(
                f"{where}: db_converter does not say what is stored; annotate its to_db function with a return type "
                "such as str, int or bytes, or give db_type"
            )
        tag = found
    return ColumnType(tag, kind, _instance_or_validated(kind), to_db, from_db)


def _instance_or_validated(kind: Any) -> Callable[[Any], Any]:
    try:
        return TypeAdapter(kind).validate_python
    except pydantic.errors.PydanticSchemaGenerationError:
        return SchemaValidator(core_schema.is_instance_schema(kind)).validate_python


def _hints(function: Any) -> dict[str, Any]:
    try:
        return get_type_hints(function)
    except Exception:
        # Builtins without annotations, names that only a type checker sees.
        return {}


def _return_type(function: Any) -> Any:
    if isinstance(function, type):
        return function
    return _hints(function).get("return")


def _parameter_type(function: Any) -> Any:
    hints = _hints(function)
    try:
        parameters = list(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        return None
    return hints.get(parameters[0]) if parameters else None


def _name(kind: Any) -> str:
    return kind.__name__ if isinstance(kind, type) else str(kind)
