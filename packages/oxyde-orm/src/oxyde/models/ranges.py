"""`Range`: the value of a column with a range type (PostgreSQL's int8range, daterange, tstzrange, …)."""

from __future__ import annotations

from typing import Any, Final, Generic, Literal, TypeVar, cast, get_args

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

__all__ = ["Bounds", "Range"]

T = TypeVar("T")

Bounds = Literal["[)", "[]", "(]", "()"]
"""Which ends belong to a range: a bracket includes its end, a parenthesis does not."""

_BOUNDS: Final = get_args(Bounds)


class Range(Generic[T]):
    """All values from `lower` to `upper`; None is no end at all.

    `bounds` says which ends belong to it.  `Range.empty()` holds nothing.  Ranges are immutable, and equal when their
    ends and bounds are: PostgreSQL stores ranges of integers and dates with the bounds `[)`, so `Range(1, 5, "[]")`
    comes back as `Range(1, 6)`.  Raises ValueError for bounds that do not exist and ends in the wrong order.

    >>> 4 in Range(1, 5), 5 in Range(1, 5), 5 in Range(1, None)
    (True, False, True)
    """

    __slots__ = ("bounds", "isempty", "lower", "upper")

    lower: T | None
    upper: T | None
    bounds: Bounds
    isempty: bool

    def __init__(self, lower: T | None = None, upper: T | None = None, bounds: Bounds = "[)") -> None:
        if bounds not in _BOUNDS:
            raise ValueError(f"the bounds of a range are one of {', '.join(_BOUNDS)}, not {bounds!r}")
        if lower is not None and upper is not None and cast(Any, upper) < lower:
            raise ValueError("the upper end of a range lies below the lower one")
        self._fill(lower, upper, bounds, False)

    @classmethod
    def empty(cls) -> Range[T]:
        """The range that holds nothing."""
        found = cls.__new__(cls)
        found._fill(None, None, "[)", True)
        return found

    def _fill(self, lower: T | None, upper: T | None, bounds: Bounds, isempty: bool) -> None:
        # An end that is not there does not belong to the range.
        start = "(" if lower is None else bounds[0]
        end = ")" if upper is None else bounds[1]
        values = {"lower": lower, "upper": upper, "bounds": "[)" if isempty else start + end, "isempty": isempty}
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"a Range does not change; make a new one instead of setting {name!r}")

    def __delattr__(self, name: str) -> None:
        raise AttributeError("a Range does not change")

    def __contains__(self, value: Any) -> bool:
        if self.isempty:
            return False
        lower, upper = cast(Any, self.lower), cast(Any, self.upper)
        above = lower is None or lower < value or (self.bounds[0] == "[" and lower == value)
        return above and (upper is None or value < upper or (self.bounds[1] == "]" and upper == value))

    def _key(self) -> tuple[Any, ...]:
        return (self.isempty, self.lower, self.upper, self.bounds)

    def __eq__(self, other: object) -> bool:
        return self._key() == other._key() if isinstance(other, Range) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._key())

    def __repr__(self) -> str:
        if self.isempty:
            return "Range.empty()"
        bounds = "" if self.bounds == "[)" else f", {self.bounds!r}"
        return f"Range({self.lower!r}, {self.upper!r}{bounds})"

    def __reduce__(self) -> tuple[Any, ...]:
        if self.isempty:
            return (_empty, ())
        return (Range, (self.lower, self.upper, self.bounds))

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        arguments = get_args(source)
        end = core_schema.nullable_schema(handler.generate_schema(arguments[0] if arguments else Any))

        def part(schema: CoreSchema, default: object) -> core_schema.TypedDictField:
            return core_schema.typed_dict_field(core_schema.with_default_schema(schema, default=default))

        parts = core_schema.typed_dict_schema(
            {
                "lower": part(end, None),
                "upper": part(end, None),
                "bounds": part(core_schema.literal_schema(list(_BOUNDS)), "[)"),
                "isempty": part(core_schema.bool_schema(), False),
            },
            extra_behavior="forbid",
        )
        whole = core_schema.no_info_after_validator_function(_from_parts, parts)
        return core_schema.no_info_before_validator_function(
            _parts,
            whole,
            serialization=core_schema.plain_serializer_function_ser_schema(_parts, return_schema=parts),
        )


def _empty() -> Range[Any]:
    return Range.empty()


def _parts(value: Any) -> Any:
    """What a range is to Pydantic: a dict, which JSON has, too."""
    if not isinstance(value, Range):
        return value
    return {"lower": value.lower, "upper": value.upper, "bounds": value.bounds, "isempty": value.isempty}


def _from_parts(parts: dict[str, Any]) -> Range[Any]:
    if parts["isempty"]:
        return Range.empty()
    return Range(parts["lower"], parts["upper"], parts["bounds"])
