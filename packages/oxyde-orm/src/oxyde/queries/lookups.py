"""How `field__lookup=value` becomes a contract node.

`make_lookup` builds one object per (operand, lookup name).  For a column it is made once per model and kept in
the model's scope: its node is then a constant, and a value whose type is exactly `exact` needs nothing but to be
appended to the parameters.  Every other value (None, an expression, a value to coerce) goes through `bind`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from oxyde.exceptions import FieldLookupError, FieldLookupValueError
from oxyde.models.lookups import ARRAY, BOUNDS, COMPARE, LOOKUPS, MATCH, MEMBER, lookups_for
from oxyde.models.ranges import Range
from oxyde.queries.encode import UNKNOWN, check_comparable, encode, encode_many, literal_beside, none_error
from oxyde_core import ir
from oxyde_core.types import TypeTag, kind_of

if TYPE_CHECKING:
    from oxyde.models.columns import Column
    from oxyde.queries.scope import Scope

Bound = tuple[ir.Node, tuple[object, ...]]
"""A condition ready for a query: its node and its parameters."""


class Operand(NamedTuple):
    """An expression resolved against a model."""

    node: ir.Node
    params: tuple[object, ...]
    type: TypeTag
    label: str
    """How messages call it."""
    column: Column | None = None
    """The column whose Python type its values have."""

    def literal(self, scope: Scope, value: object, lookup: str) -> tuple[object, TypeTag]:
        """A value to stand beside this operand, encoded, with its type."""
        if self.column is not None:
            return encode(scope.info, self.column, value, lookup), self.column.type
        return literal_beside(self.type, value, self.label)


class Expression:  # no ABC, which would make isinstance() three times as slow for every value that is written
    """What stands for a value in a query; `oxyde.queries.expressions` defines them all."""

    __slots__ = ()

    @abstractmethod
    def build(self, scope: Scope) -> Operand:
        """This expression against a model; raises FieldError for names that the model does not have."""

    def beside(self, scope: Scope, operand: Operand, lookup: str) -> Bound:
        """This expression as the other side of a lookup on `operand`; raises FieldError if the types cannot meet."""
        built = self.build(scope)
        check_comparable(operand.type, built.type, operand.label)
        return built.node, built.params


class Lookup(ABC):
    """One lookup on one operand."""

    __slots__ = ("exact", "name", "node", "operand")

    node: ir.Node
    """The node for a plain value."""
    exact: type | None
    """A value of exactly this type is its own parameter."""

    def __init__(self, operand: Operand, name: str) -> None:
        self.operand = operand
        self.name = name
        self.exact = None

    @abstractmethod
    def bind(self, scope: Scope, value: Any) -> Bound:
        """The condition for one value; raises FieldLookupValueError for a value that the lookup cannot take."""

    def fail(self, expected: str, value: object) -> FieldLookupValueError:
        return FieldLookupValueError(
            f"Lookup {self.name!r} of field {self.operand.label!r} takes {expected}, not {type(value).__name__}"
        )

    def side(self, scope: Scope, value: object) -> Bound:
        """A value or an expression as the other side of this lookup."""
        if value is None:
            raise none_error(self.operand.label, self.name)
        if isinstance(value, Expression):
            return value.beside(scope, self.operand, self.name)
        encoded, tag = self.operand.literal(scope, value, self.name)
        return ir.param(tag), (encoded,)


class Comparison(Lookup):
    """exact, ne, gt, gte, lt, lte."""

    __slots__ = ("operator",)

    def __init__(self, operand: Operand, name: str) -> None:
        super().__init__(operand, name)
        self.operator: ir.CompareOperator = cast(ir.CompareOperator, COMPARE[name])
        self.node = ir.compare(self.operator, operand.node, ir.param(operand.type))
        if operand.column is not None and not operand.params:
            self.exact = operand.column.exact

    def bind(self, scope: Scope, value: Any) -> Bound:
        operand = self.operand
        if value is None and self.operator == "eq":
            return ir.is_null(operand.node), operand.params
        if value is None and self.operator == "ne":
            return ir.is_not_null(operand.node), operand.params
        node, params = self.side(scope, value)
        return ir.compare(self.operator, operand.node, node), operand.params + params


class Membership(Lookup):
    """in and not_in: the whole list is one array parameter, so an empty one is simply false (or true)."""

    __slots__ = ()

    def __init__(self, operand: Operand, name: str) -> None:
        super().__init__(operand, name)
        build = ir.in_ if name == "in" else ir.not_in
        self.node = build(operand.node, operand.type)

    def bind(self, scope: Scope, value: Any) -> Bound:
        operand = self.operand
        if operand.column is not None:
            return self.node, (*operand.params, encode_many(scope.info, operand.column, value, self.name))
        if isinstance(value, (str, bytes)) or not isinstance(value, Iterable):
            raise self.fail("an iterable of values", value)
        items = list(value)
        if None in items:
            raise none_error(operand.label, self.name)
        pairs = [literal_beside(operand.type, item, operand.label) for item in items]
        tag = pairs[0][1] if pairs else operand.type
        if any(own != tag for _, own in pairs):
            raise self.fail("values of one type", value)
        build = ir.in_ if self.name == "in" else ir.not_in
        return build(operand.node, tag), (*operand.params, [encoded for encoded, _ in pairs])


class Members(Lookup):
    """contains, contained_by, overlap: the members of two lists, or of two ranges."""

    __slots__ = ("operator",)

    def __init__(self, operand: Operand, name: str) -> None:
        super().__init__(operand, name)
        self.operator: ir.ArrayOperator = cast(ir.ArrayOperator, name)
        self.node = ir.array(self.operator, operand.node, ir.param(operand.type))

    def bind(self, scope: Scope, value: Any) -> Bound:
        if value is None or isinstance(value, Expression):
            pass
        elif self.operand.column is not None and self.operand.column.is_range:
            value = value if isinstance(value, Range) else Range(value, value, "[]")
        else:
            if isinstance(value, (str, bytes)) or not isinstance(value, Iterable):
                raise self.fail("a list", value)
            value = list(value)
        node, params = self.side(scope, value)
        return ir.array(self.operator, self.operand.node, node), self.operand.params + params


class Bounds(Lookup):
    """between and range: a pair, both ends included."""

    __slots__ = ()

    def __init__(self, operand: Operand, name: str) -> None:
        super().__init__(operand, name)
        slot = ir.param(operand.type)
        self.node = ir.between(operand.node, slot, slot)

    def bind(self, scope: Scope, value: Any) -> Bound:
        if isinstance(value, (str, bytes)) or not isinstance(value, Iterable):
            raise self.fail("a pair (low, high)", value)
        pair = tuple(value)
        if len(pair) != 2:
            raise FieldLookupValueError(
                f"Lookup {self.name!r} of field {self.operand.label!r} takes a pair (low, high), "
                f"not {len(pair)} value(s)"
            )
        low, low_params = self.side(scope, pair[0])
        high, high_params = self.side(scope, pair[1])
        operand = self.operand
        return ir.between(operand.node, low, high), operand.params + low_params + high_params


class NullTest(Lookup):
    """isnull."""

    __slots__ = ("negated",)

    def __init__(self, operand: Operand, name: str) -> None:
        super().__init__(operand, name)
        self.node = ir.is_null(operand.node)
        self.negated = ir.is_not_null(operand.node)

    def bind(self, scope: Scope, value: Any) -> Bound:
        if not isinstance(value, bool):
            raise self.fail("True or False", value)
        return (self.node if value else self.negated), self.operand.params


class Match(Lookup):
    """The string lookups: a part of a value need not be a valid value of the field, so any str will do."""

    __slots__ = ("operator",)

    def __init__(self, operand: Operand, name: str) -> None:
        super().__init__(operand, name)
        self.operator: ir.MatchOperator = cast(ir.MatchOperator, name)
        self.node = ir.match(self.operator, operand.node, ir.param("text"))
        if not operand.params:
            self.exact = str

    def bind(self, scope: Scope, value: Any) -> Bound:
        operand = self.operand
        if value is None:
            raise none_error(operand.label, self.name)
        if isinstance(value, Expression):
            other = value.build(scope)
            check_comparable("text", other.type, operand.label)
            return ir.match(self.operator, operand.node, other.node), operand.params + other.params
        if not isinstance(value, str):
            raise self.fail("a str", value)
        return self.node, (*operand.params, str(value))


class KeyLookup:
    """`pk` of a composite key: a tuple compared column by column."""

    __slots__ = ("exact", "name", "node", "parts")

    SUPPORTED = ("exact", "ne", "in", "not_in")

    def __init__(self, parts: tuple[Lookup, ...], name: str) -> None:
        if name not in self.SUPPORTED:
            raise unsupported(name, "pk", self.SUPPORTED)
        self.parts = parts
        self.name = name
        self.node: ir.Node = ir.TRUE
        self.exact: type | None = None

    def bind(self, scope: Scope, value: Any) -> Bound:
        """All parts equal, or one of several keys; raises FieldLookupValueError for a tuple of another length."""
        if self.name in ("exact", "ne"):
            node, params = self.key(scope, value)
            return (node if self.name == "exact" else ir.not_(node)), params
        if isinstance(value, (str, bytes)) or not isinstance(value, Iterable):
            raise FieldLookupValueError(f"Lookup {self.name!r} of 'pk' takes an iterable of key tuples")
        keys = [self.key(scope, item) for item in value]
        merged: tuple[object, ...] = tuple(item for _, params in keys for item in params)
        if not keys:
            node = ir.FALSE
        else:
            node = keys[0][0] if len(keys) == 1 else ir.or_(*(node for node, _ in keys))
        return (node if self.name == "in" else ir.not_(node)), merged

    def key(self, scope: Scope, value: Any) -> Bound:
        if not isinstance(value, tuple) or len(value) != len(self.parts):
            names = ", ".join(part.operand.label for part in self.parts)
            raise FieldLookupValueError(f"The primary key is composite: give pk=({names}) as a tuple")
        bound = [part.bind(scope, item) for part, item in zip(self.parts, value, strict=True)]
        return ir.and_(*(node for node, _ in bound)), tuple(item for _, params in bound for item in params)


AnyLookup = Lookup | KeyLookup


def make_lookup(operand: Operand, name: str) -> Lookup:
    """The lookup `name` on an operand.

    Raises FieldLookupError with the supported list if the operand's type does not have it.
    """
    column = operand.column
    supported = tuple(column.lookups) if column is not None else lookups_for(operand.type)
    if operand.type == UNKNOWN:
        supported = LOOKUPS
    if name not in supported:
        raise unsupported(name, operand.label, supported)
    if name in COMPARE:
        return Comparison(operand, name)
    if name in MEMBER:
        return Membership(operand, name)
    if name in BOUNDS:
        return Bounds(operand, name)
    if name in ARRAY and (kind_of(operand.type) == "array" or (column is not None and column.is_range)):
        return Members(operand, name)
    if name in MATCH:
        return Match(operand, name)
    return NullTest(operand, name)


def unsupported(name: str, label: str, supported: Iterable[str]) -> FieldLookupError:
    """The error for a lookup that a field does not have."""
    names = [known for known in LOOKUPS if known in set(supported)]
    near = get_close_matches(name, names, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return FieldLookupError(
        f"Lookup {name!r} is not supported for field {label!r}.{hint} Supported: {', '.join(names)}"
    )
