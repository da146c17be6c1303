"""Values on their way into a query.

A value given beside a column is coerced through that column's own Pydantic type (`Column.coerce`) and then
turned into what the core encodes (`Column.to_db`); if its type is exactly `Column.exact`, both would change
nothing and are skipped.  A value beside a computed expression has no column: its SQL type follows from its
Python type and must belong to the expression's family of types.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from pydantic import ValidationError

from oxyde.exceptions import FieldError, FieldLookupValueError
from oxyde.models.columntypes import UnstorableError
from oxyde_core.types import TypeTag, kind_of

if TYPE_CHECKING:
    from oxyde.models.columns import Column
    from oxyde.models.info import ModelInfo

DECIMAL: Final[TypeTag] = ("decimal", None, None)
UNKNOWN: Final[TypeTag] = "unknown"
"""The type of an expression that only the database knows; never the type of a parameter."""

_TAGS: Final[dict[type, TypeTag]] = {
    bool: "boolean",
    int: "big_integer",
    float: "double",
    str: "text",
    bytes: "blob",
    Decimal: DECIMAL,
    date: "date",
    time: "time",
    timedelta: "timedelta",
    UUID: "uuid",
}

_FAMILIES: Final[dict[str, str]] = {
    "unknown": "any",
    "big_integer": "number",
    "integer": "number",
    "small_integer": "number",
    "double": "number",
    "real": "number",
    "decimal": "number",
    "text": "text",
    "string": "text",
    "enum": "text",
    "boolean": "boolean",
    "date_time": "datetime",
    "date_time_utc": "datetime",
    "date": "date",
    "time": "time",
    "timedelta": "timedelta",
    "uuid": "uuid",
    "blob": "bytes",
    "json": "json",
    "array": "array",
}


def family(tag: TypeTag) -> str:
    """The group of types that may be compared with each other: `number`, `text`, `datetime`, …, or `any`."""
    return _FAMILIES[kind_of(tag)]


def literal(value: Any) -> tuple[object, TypeTag]:
    """A Python value that stands by itself, with the SQL type that its Python type implies.

    Raises FieldLookupValueError for a type without one.
    """
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, datetime):
        return value, "date_time" if value.tzinfo is None else "date_time_utc"
    for kind in type(value).__mro__:
        tag = _TAGS.get(kind)
        if tag is not None:
            # A subclass of a plain type is sent as that plain type: the encoder takes exact types only.
            return kind(value) if kind in (int, float, str, bytes) else value, tag
    raise FieldLookupValueError(
        f"A value of type {type(value).__name__} has no SQL type of its own; compare it with a field of that type"
    )


def literal_beside(tag: TypeTag, value: object, label: str) -> tuple[object, TypeTag]:
    """A plain value used beside a computed expression of type `tag`."""
    encoded, own = literal(value)
    if family(tag) not in (family(own), "any"):
        raise FieldLookupValueError(
            f"{label} is a {family(tag)} and cannot be used with a value of type {type(value).__name__}"
        )
    if kind_of(tag) == "enum":
        # A text would not do: the enum is a type of its own on some databases.
        return encoded, tag
    if kind_of(tag) == "decimal" and own != DECIMAL:
        # By way of its text, so that 1.1 means 1.1 and not the nearest binary fraction.
        return Decimal(str(encoded)), DECIMAL
    return encoded, own


def encode(info: ModelInfo, column: Column, value: object, lookup: str) -> object:
    """A filter value as the core encodes it for `column`.

    Raises FieldLookupValueError naming the field, the lookup and the type of the value, never the value itself.
    """
    if type(value) is column.exact:
        return value
    if column.relation is not None and hasattr(type(value), "_oxyde_state"):
        value = related_key(info, column, value)
    try:
        coerced = column.coerce(value)
        if coerced is not None:
            return coerced if column.to_db is None else column.to_db(coerced)
        reason = "None is only understood by exact, ne and isnull"
    except ValidationError as error:
        reason = "; ".join(str(item["msg"]) for item in error.errors(include_url=False, include_input=False))
    except UnstorableError as error:
        reason = str(error)
    except (TypeError, ValueError, ArithmeticError) as error:
        # Converters are users' code: their message may quote the value, their type does not.
        reason = f"its converter raised {type(error).__name__}"
    raise FieldLookupValueError(
        f"Lookup {lookup!r} of field {column.name!r} cannot take this value of type {type(value).__name__}: {reason}"
    )


def encode_many(info: ModelInfo, column: Column, values: object, lookup: str) -> list[object]:
    """The values of an `in` lookup: any iterable except a string, without None."""
    if isinstance(values, (str, bytes)) or not isinstance(values, Iterable):
        raise FieldLookupValueError(
            f"Lookup {lookup!r} of field {column.name!r} takes an iterable of values, not {type(values).__name__}"
        )
    exact = column.exact
    encoded: list[object] = []
    for value in values:
        if type(value) is exact:
            encoded.append(value)
        elif value is None:
            raise none_error(column.name, lookup)
        else:
            encoded.append(encode(info, column, value, lookup))
    return encoded


def none_error(label: str, lookup: str) -> FieldLookupValueError:
    """NULL is neither smaller, nor equal, nor a member: say which lookup asks for it."""
    return FieldLookupValueError(
        f"Lookup {lookup!r} of field {label!r} cannot take None; use {label}__isnull=True (or exact=None) for NULL"
    )


def related_key(info: ModelInfo, column: Column, instance: Any) -> object:
    """The value that a foreign key column stores for a related object.

    Raises FieldLookupValueError for an object of another model or without its key (not saved yet).
    """
    assert column.relation is not None
    relation = info.relations[column.relation]
    if not isinstance(instance, relation.target):
        raise FieldLookupValueError(
            f"Field {relation.name!r} takes a {relation.target.__name__}, not a {type(instance).__name__}"
        )
    key = instance.__dict__.get(relation.target_field)
    if key is None:
        raise FieldLookupValueError(
            f"The {relation.target.__name__} given for {relation.name!r} is not saved: "
            f"its {relation.target_field!r} is not set"
        )
    return key


_EXACT: Final = {
    "big_integer": 0,
    "integer": 0,
    "small_integer": 0,
    "timedelta": 0,
    "decimal": 1,
    "double": 2,
    "real": 2,
}


def check_assignable(column: TypeTag, expression: TypeTag, label: str) -> None:
    """An expression may be assigned to a column of its family that can hold every result exactly.

    Databases differ in what they make of 2.5 in an integer column, and a float has no exact decimal form.
    """
    check_comparable(column, expression, label)
    mine, theirs = kind_of(column), kind_of(expression)
    if mine in _EXACT and theirs in _EXACT and _EXACT[theirs] > _EXACT[mine]:
        given = "a float" if _EXACT[theirs] == 2 else "a decimal"
        hint = "// divides integers" if _EXACT[mine] == 0 else "compute with Decimal values"
        raise FieldError(f"{label} is a {mine} and cannot be set to an expression that is {given}; {hint}")


def check_comparable(left: TypeTag, right: TypeTag, label: str) -> None:
    """Two expressions may only meet within one family of types."""
    if family(left) != family(right) and "any" not in (family(left), family(right)):
        raise FieldError(f"{label} is a {family(left)} and cannot be used with an expression that is a {family(right)}")
