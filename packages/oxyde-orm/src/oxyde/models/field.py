"""`Field`: Pydantic's, with the `db_*` parameters of a column.

Type checkers read the overloads through `dataclass_transform`: a field with a default is optional in the
constructor, one with `init=False` (a list of related rows) is no parameter of it.  A default may be an Oxyde
expression of the field's type, which then becomes the column's default in the database.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from types import EllipsisType
from typing import TYPE_CHECKING, Any, Final, Literal, TypedDict, TypeVar, Unpack, overload

import annotated_types
import pydantic
from pydantic.aliases import AliasChoices, AliasPath
from pydantic.fields import FieldInfo
from pydantic.types import Discriminator
from pydantic_core import PydanticUndefined

from oxyde.models.naming import nearest
from oxyde.models.options import DEFAULTS, Converter, DbOptions, OnAction, options_of, parse_options

if TYPE_CHECKING:
    from warnings import deprecated as _Deprecated  # type: ignore[attr-defined,unused-ignore] # noqa: N812

    from oxyde.queries.expr import Expr

__all__ = ["Field", "OxydeFieldInfo"]

T = TypeVar("T")


class _Parameters(TypedDict, total=False):
    """The keyword parameters that every overload of `Field` has: Pydantic's and those of a column."""

    alias: str | None
    alias_priority: int | None
    validation_alias: str | AliasPath | AliasChoices | None
    serialization_alias: str | None
    title: str | None
    field_title_generator: Callable[[str, FieldInfo], str] | None
    description: str | None
    examples: list[Any] | None
    exclude: bool | None
    exclude_if: Callable[[Any], bool] | None
    discriminator: str | Discriminator | None
    deprecated: _Deprecated | str | bool | None
    json_schema_extra: dict[str, Any] | Callable[[dict[str, Any]], None] | None
    frozen: bool | None
    validate_default: bool | None
    repr: bool
    kw_only: bool | None
    pattern: str | re.Pattern[str] | None
    strict: bool | None
    coerce_numbers_to_str: bool | None
    gt: annotated_types.SupportsGt | None
    ge: annotated_types.SupportsGe | None
    lt: annotated_types.SupportsLt | None
    le: annotated_types.SupportsLe | None
    multiple_of: float | None
    allow_inf_nan: bool | None
    max_digits: int | None
    decimal_places: int | None
    min_length: int | None
    max_length: int | None
    union_mode: Literal["smart", "left_to_right"]
    fail_fast: bool | None
    db_pk: bool
    db_index: bool
    db_index_name: str | None
    db_index_method: str | None
    db_unique: bool
    db_column: str | None
    db_type: str | None
    db_comment: str | None
    db_collation: str | None
    db_nullable: bool | None
    db_default: Any
    db_converter: Converter | None
    db_generated: Any
    db_stored: bool | None
    db_fk: str | None
    db_on_delete: OnAction
    db_on_update: OnAction
    db_deferrable: bool | Literal["immediate", "deferred"] | None


_KNOWN: Final = frozenset(_Parameters.__annotations__) | {"db_reverse_fk", "db_m2m", "db_through", "init"}


class OxydeFieldInfo(FieldInfo):  # type: ignore[misc] # pyright: ignore[reportGeneralTypeIssues]
    """What `Field()` returns: Pydantic's `FieldInfo` whose `db_*` attributes read the options of the column."""

    __slots__ = ()

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            if name.startswith("db_") and name[3:] in DEFAULTS:
                return getattr(options_of(self), name[3:])
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")


@overload
def Field(*, db_reverse_fk: str, init: Literal[False] = False, **options: Unpack[_Parameters]) -> Any: ...
@overload
def Field(
    *, db_m2m: Literal[True], db_through: str | type, init: Literal[False] = False, **options: Unpack[_Parameters]
) -> Any: ...
@overload
def Field(default: EllipsisType, **options: Unpack[_Parameters]) -> Any: ...
@overload
def Field(default: Expr[T], **options: Unpack[_Parameters]) -> T: ...
@overload
def Field(default: T, **options: Unpack[_Parameters]) -> T: ...
@overload
def Field(*, default_factory: Callable[[], T] | Callable[[dict[str, Any]], T], **options: Unpack[_Parameters]) -> T: ...
@overload
def Field(**options: Unpack[_Parameters]) -> Any: ...
def Field(default: Any = PydanticUndefined, **options: Any) -> Any:  # noqa: N802 - the name that Pydantic users know
    """Declare a field of a model: all parameters of `pydantic.Field`, and those of its column.

    A plain default or `default_factory` is applied by Python; `db_default` (SQL text or an Oxyde expression, which may
    also be given as `default`) is applied by the database, and the attribute is absent until the row is inserted.

        id: int | None = Field(default=None, db_pk=True)
        email: str = Field(db_unique=True, max_length=120)
        created: datetime = Field(db_default="CURRENT_TIMESTAMP")
        posts: list["Post"] = Field(db_reverse_fk="author")

    Raises TypeError for an unknown parameter, naming the nearest one, and for options that exclude each other;
    ValueError for an unknown action in `db_on_delete` or `db_on_update`.
    """
    if is_expression(default):
        if options.get("db_default", PydanticUndefined) is not PydanticUndefined:
            raise TypeError("an expression as default is the column's default: leave db_default out")
        options["db_default"] = default
        default = PydanticUndefined
    for name in options:
        if name not in _KNOWN and name != "default_factory" and not name.startswith("db_"):
            raise TypeError(f"Field() has no parameter {name!r}{nearest(name, _KNOWN)}")
    if isinstance(options.get("db_through"), type):
        options["db_through"] = options["db_through"].__name__
    given = parse_options(options)
    options.pop("init", None)
    if given.get("reverse_fk") or given.get("m2m"):
        if default is not PydanticUndefined or "default_factory" in options:
            raise TypeError("a list of related rows has no default: it is absent until it is loaded")
        extra = [f"db_{name}" for name in given if name not in {"reverse_fk", "m2m", "through"}]
        if extra:
            raise TypeError(f"a list of related rows has no column: {', '.join(extra)} cannot be given")
    plain: FieldInfo = pydantic.Field(default, **options)
    field = OxydeFieldInfo.__new__(OxydeFieldInfo)
    for slot in FieldInfo.__slots__:
        setattr(field, slot, getattr(plain, slot))
    if given:
        field.metadata = [*field.metadata, DbOptions(given)]
    return field


def is_expression(value: object) -> bool:
    """Whether a value is an Oxyde expression, to be computed by the database.

    The module of expressions needs the models, so it is only looked at where it is already loaded: without it nobody
    can have made an expression.
    """
    module = sys.modules.get("oxyde.queries.expr")
    return module is not None and isinstance(value, module.Expr)
