"""Annotations taken apart: what a field holds once Optional, Annotated, NewType and aliases are looked through."""

from __future__ import annotations

from types import NoneType, UnionType
from typing import Annotated, Any, NamedTuple, NewType, Union, get_args, get_origin

from typing_extensions import TypeAliasType

try:
    from typing import TypeAliasType as _TypeAliasType  # type: ignore[attr-defined,unused-ignore]
except ImportError:  # Python 3.11 has only the backport
    _TypeAliasType = TypeAliasType  # type: ignore[misc,assignment,unused-ignore]

__all__ = ["Unwrapped", "unwrap"]


class Unwrapped(NamedTuple):
    """The type below all wrappers, whether None was one of its alternatives, and the metadata met on the way."""

    type: Any
    optional: bool
    metadata: tuple[Any, ...]


def unwrap(annotation: Any) -> Unwrapped:
    """Look through Optional, Annotated, NewType and type aliases, in whatever order they are nested.

    A union of several types other than None stays a union (without None).
    """
    optional = False
    metadata: list[Any] = []
    while True:
        origin = get_origin(annotation)
        if origin is Annotated:
            annotation, *found = get_args(annotation)
            metadata[:0] = found
        elif origin is Union or origin is UnionType:
            members = [member for member in get_args(annotation) if member is not NoneType]
            if len(members) == len(get_args(annotation)):
                break
            optional = True
            annotation = members[0] if len(members) == 1 else Union[tuple(members)]  # noqa: UP007 - built at run time
        elif isinstance(annotation, NewType):
            annotation = annotation.__supertype__
        elif isinstance(annotation, (TypeAliasType, _TypeAliasType)):
            annotation = annotation.__value__
        elif isinstance(origin, (TypeAliasType, _TypeAliasType)):
            annotation = origin.__value__[get_args(annotation)]
        else:
            break
    return Unwrapped(annotation, optional, tuple(metadata))
