"""The base of expressions, and what their operators make: conditions, arithmetic, orderings.

An expression is a small immutable object that may stand for a value in a query.  Nothing is looked up while it is
written; `build(scope)` resolves its names against the model of the query that uses it and yields an `Operand`: a
contract node, parameters in traversal order, and the SQL type.  Comparing two expressions makes a condition, and
conditions combine with `&`, `|`, `^` and `~` into `Q`.

    >>> User.objects.filter((User.age >= 18) & ~User.name.startswith("x")).order_by(User.age.desc())   # doctest: +SKIP
    >>> User.objects.update(views=F("views") + 1)                                                      # doctest: +SKIP
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, Generic, Literal, NoReturn, TypeVar, cast

from oxyde.exceptions import FieldError
from oxyde.queries.encode import DECIMAL, family, literal
from oxyde.queries.lookups import Bound, Expression, Operand, make_lookup
from oxyde_core import ir
from oxyde_core.types import TypeTag, kind_of

if TYPE_CHECKING:
    from oxyde.queries.q import Q
    from oxyde.queries.scope import Scope

T_co = TypeVar("T_co", covariant=True)

MAX_DEPTH: Final = 90
"""How deeply conditions, and within them computed values, may nest: together less than the core's limit, so that
the error comes where the query is written.  AND and OR chains of any length are flat and do not count."""

_OPERATORS: Final[dict[ir.ArithOperator, str]] = {
    "add": "+",
    "sub": "-",
    "mul": "*",
    "div": "/",
    "floordiv": "//",
    "mod": "%",
    "pow": "**",
}
_SIGNS: Final = {"exact": "==", "ne": "!=", "gt": ">", "gte": ">=", "lt": "<", "lte": "<="}


def depth_of(value: object) -> int:
    """The nesting depth of an expression; plain values and columns have none."""
    return getattr(value, "depth", 0)


def deeper(*parts: object) -> int:
    """The depth of an expression made of `parts`; raises FieldError past the limit."""
    depth = 1 + max(map(depth_of, parts), default=0)
    if depth > MAX_DEPTH:
        raise FieldError(
            f"Expression nested more than {MAX_DEPTH} levels deep; long AND and OR chains are fine, "
            "but alternating or arithmetic nesting must be split"
        )
    return depth


class Expr(Expression, Generic[T_co]):
    """Base of all expressions; the type parameter is the Python type of its values."""

    __slots__ = ()
    __hash__ = object.__hash__

    def __bool__(self) -> bool:
        raise TypeError(
            f"{self!r} is an expression and has no truth value: combine conditions with & | ~ (not 'and', 'or', "
            "'not', 'in' or chained comparisons) and use .in_([...]) for membership"
        )

    def __iter__(self) -> NoReturn:
        raise TypeError(f"{self!r} is an expression and cannot be iterated")

    # Comparisons

    def __eq__(self, other: object) -> Condition:  # type: ignore[override]
        return Condition(self, "exact", other)

    def __ne__(self, other: object) -> Condition:  # type: ignore[override]
        return Condition(self, "ne", other)

    def __lt__(self, other: object) -> Condition:
        return Condition(self, "lt", other)

    def __le__(self, other: object) -> Condition:
        return Condition(self, "lte", other)

    def __gt__(self, other: object) -> Condition:
        return Condition(self, "gt", other)

    def __ge__(self, other: object) -> Condition:
        return Condition(self, "gte", other)

    def in_(self, values: Iterable[object]) -> Condition:
        """Membership in any iterable; an empty one is false."""
        return Condition(self, "in", values)

    def not_in(self, values: Iterable[object]) -> Condition:
        """Absence from any iterable; for an empty one true."""
        return Condition(self, "not_in", values)

    def between(self, low: object, high: object) -> Condition:
        """`low <= self <= high`."""
        return Condition(self, "between", (low, high))

    def is_null(self) -> Condition:
        """True where the value is NULL."""
        return Condition(self, "isnull", True)

    def is_not_null(self) -> Condition:
        """True where the value is not NULL."""
        return Condition(self, "isnull", False)

    def contains(self, text: object) -> Condition:
        """The text occurs in the value, case-sensitively."""
        return Condition(self, "contains", text)

    def icontains(self, text: object) -> Condition:
        """The text occurs in the value, whatever its case."""
        return Condition(self, "icontains", text)

    def startswith(self, text: object) -> Condition:
        """The value begins with the text."""
        return Condition(self, "startswith", text)

    def istartswith(self, text: object) -> Condition:
        """The value begins with the text, whatever its case."""
        return Condition(self, "istartswith", text)

    def endswith(self, text: object) -> Condition:
        """The value ends with the text."""
        return Condition(self, "endswith", text)

    def iendswith(self, text: object) -> Condition:
        """The value ends with the text, whatever its case."""
        return Condition(self, "iendswith", text)

    def iexact(self, text: object) -> Condition:
        """Equal but for case."""
        return Condition(self, "iexact", text)

    def like(self, pattern: object) -> Condition:
        """SQL LIKE, case-sensitive: `%` any text, `_` one character, backslash escapes."""
        return Condition(self, "like", pattern)

    def ilike(self, pattern: object) -> Condition:
        """SQL LIKE whatever the case."""
        return Condition(self, "ilike", pattern)

    def regex(self, pattern: object) -> Condition:
        """A regular expression of the database matches somewhere in the value."""
        return Condition(self, "regex", pattern)

    def iregex(self, pattern: object) -> Condition:
        """A regular expression matches whatever the case."""
        return Condition(self, "iregex", pattern)

    # Ordering

    def asc(self, *, nulls: Literal["first", "last"] | None = None) -> Ordering:
        """Ascending order; `nulls` puts NULL first or last instead of where the database puts it."""
        return Ordering(self, "asc", nulls)

    def desc(self, *, nulls: Literal["first", "last"] | None = None) -> Ordering:
        """Descending order; `nulls` puts NULL first or last instead of where the database puts it."""
        return Ordering(self, "desc", nulls)

    # Arithmetic

    def __add__(self, other: object) -> Arithmetic[Any]:
        return Arithmetic("add", self, other)

    def __radd__(self, other: object) -> Arithmetic[Any]:
        return Arithmetic("add", other, self)

    def __sub__(self, other: object) -> Arithmetic[Any]:
        return Arithmetic("sub", self, other)

    def __rsub__(self, other: object) -> Arithmetic[Any]:
        return Arithmetic("sub", other, self)

    def __mul__(self, other: object) -> Arithmetic[Any]:
        return Arithmetic("mul", self, other)

    def __rmul__(self, other: object) -> Arithmetic[Any]:
        return Arithmetic("mul", other, self)

    def __truediv__(self, other: object) -> Arithmetic[Any]:
        return Arithmetic("div", self, other)

    def __rtruediv__(self, other: object) -> Arithmetic[Any]:
        return Arithmetic("div", other, self)

    def __floordiv__(self, other: object) -> Arithmetic[Any]:
        return Arithmetic("floordiv", self, other)

    def __rfloordiv__(self, other: object) -> Arithmetic[Any]:
        return Arithmetic("floordiv", other, self)

    def __mod__(self, other: object) -> Arithmetic[Any]:
        return Arithmetic("mod", self, other)

    def __rmod__(self, other: object) -> Arithmetic[Any]:
        return Arithmetic("mod", other, self)

    def __pow__(self, other: object) -> Arithmetic[Any]:
        return Arithmetic("pow", self, other)

    def __rpow__(self, other: object) -> Arithmetic[Any]:
        return Arithmetic("pow", other, self)

    def __neg__(self) -> Negative[Any]:
        return Negative(self)

    # Conditions.  Any boolean expression combines; the result is checked when it is built.

    def __and__(self, other: object) -> Q:
        return _combine(self, other, "&")

    def __rand__(self, other: object) -> Q:
        return _combine(other, self, "&")

    def __or__(self, other: object) -> Q:
        return _combine(self, other, "|")

    def __ror__(self, other: object) -> Q:
        return _combine(other, self, "|")

    def __xor__(self, other: object) -> Q:
        return _combine(self, other, "^")

    def __rxor__(self, other: object) -> Q:
        return _combine(other, self, "^")

    def __invert__(self) -> Q:
        from oxyde.queries.q import Q

        return ~Q(cast("Expr[bool]", self))


def _combine(left: object, right: object, sign: str) -> Q:
    from oxyde.queries.q import Q

    def as_q(side: object) -> Q:
        return side if isinstance(side, Q) else Q(cast("Expr[bool]", side))

    if sign == "&":
        return as_q(left) & as_q(right)
    return as_q(left) | as_q(right) if sign == "|" else as_q(left) ^ as_q(right)


class Condition(Expr[bool]):
    """A lookup on an expression: what comparisons and methods such as `in_` make."""

    __slots__ = ("depth", "left", "lookup", "right")

    def __init__(self, left: Expr[Any], lookup: str, right: object) -> None:
        self.left = left
        self.lookup = lookup
        # One-shot iterables are read now: a query may be built and run more than once.
        self.right = tuple(right) if lookup in ("in", "not_in") and isinstance(right, Iterator) else right
        self.depth = deeper(left, right)

    def bind(self, scope: Scope) -> Bound:
        """The node and parameters; raises FieldLookupError for a lookup that the operand's type does not have."""
        operand = self.left.build(scope)
        if operand.node[0] == "col":
            # A bare column: the lookup is already resolved, or will be kept.
            return scope.lookup_on(operand, self.lookup).bind(scope, self.right)
        return make_lookup(operand, self.lookup).bind(scope, self.right)

    def build(self, scope: Scope) -> Operand:
        """The condition as a boolean value."""
        node, params = self.bind(scope)
        return Operand(node, params, "boolean", repr(self))

    def __repr__(self) -> str:
        # Bound values stay out of messages; expressions are the programmer's own text.
        right = repr(self.right) if isinstance(self.right, Expr) else f"<{type(self.right).__name__}>"
        sign = _SIGNS.get(self.lookup)
        return f"{self.left!r} {sign} {right}" if sign else f"{self.left!r}.{self.lookup}({right})"


class Ordering:
    """One ordering term, as `asc()` and `desc()` make it."""

    __slots__ = ("direction", "expression", "nulls")

    def __init__(self, expression: Expr[Any], direction: ir.Direction, nulls: ir.Nulls | None) -> None:
        if nulls not in (None, "first", "last"):
            raise ValueError(f"nulls must be 'first', 'last' or None, not {nulls!r}")
        self.expression = expression
        self.direction: ir.Direction = direction
        self.nulls: ir.Nulls | None = nulls

    def __bool__(self) -> bool:
        raise TypeError(f"{self!r} has no truth value: give several orderings as separate arguments of order_by()")

    def __repr__(self) -> str:
        return f"{self.expression!r}.{self.direction}()"


class Arithmetic(Expr[T_co]):
    """Two numbers (or durations) and an operator."""

    __slots__ = ("depth", "left", "operator", "right")

    def __init__(self, operator: ir.ArithOperator, left: object, right: object) -> None:
        self.operator: ir.ArithOperator = operator
        self.left = left
        self.right = right
        self.depth = deeper(left, right)

    def build(self, scope: Scope) -> Operand:
        """The computed value; raises FieldError for operands that are not numbers or durations."""
        left, right = self.left, self.right
        if isinstance(left, Expr):
            first = left.build(scope)
            second = right.build(scope) if isinstance(right, Expr) else self._literal(right, first)
        else:
            second = cast("Expr[Any]", right).build(scope)
            first = self._literal(left, second)
        node = ir.arith(self.operator, first.node, second.node)
        return Operand(node, first.params + second.params, self._type(first, second), repr(self))

    def _literal(self, value: object, beside: Operand) -> Operand:
        if value is None or isinstance(value, bool):
            raise FieldError(f"{self!r}: arithmetic takes numbers, not {type(value).__name__}")
        encoded, tag = literal(value)
        if kind_of(beside.type) == "decimal" and family(tag) == "number" and tag != DECIMAL:
            # By way of its text: 1.1 means 1.1.
            encoded, tag = Decimal(str(encoded)), DECIMAL
        return Operand(ir.param(tag), (encoded,), tag, f"<{type(value).__name__}>")

    def _type(self, first: Operand, second: Operand) -> TypeTag:
        families = (family(first.type), family(second.type))
        if not set(families) <= {"number", "any"} and (self.operator, *families) not in _DURATIONS:
            raise FieldError(
                f"{self!r}: {first.label} is a {families[0]} and {second.label} a {families[1]}, "
                f"which {_OPERATORS[self.operator]!r} does not take (texts are joined by Concat)"
            )
        if "timedelta" in families:
            return "timedelta"
        kinds = {kind_of(first.type), kind_of(second.type)}
        if kinds & {"double", "real"}:
            return "double"
        if "decimal" in kinds:
            return DECIMAL
        return "double" if self.operator in ("div", "pow") else "big_integer"

    def __repr__(self) -> str:
        return f"({_show(self.left)} {_OPERATORS[self.operator]} {_show(self.right)})"


_DURATIONS: Final[frozenset[tuple[str, str, str]]] = frozenset(
    {
        ("add", "timedelta", "timedelta"),
        ("sub", "timedelta", "timedelta"),
        ("mul", "timedelta", "number"),
        ("mul", "number", "timedelta"),
        ("floordiv", "timedelta", "number"),
    }
)


def _show(value: object) -> str:
    return repr(value) if isinstance(value, Expr) else f"<{type(value).__name__}>"


class Negative(Expr[T_co]):
    """A number or duration with its sign changed."""

    __slots__ = ("depth", "operand")

    def __init__(self, operand: Expr[T_co]) -> None:
        self.operand = operand
        self.depth = deeper(operand)

    def build(self, scope: Scope) -> Operand:
        """The negated value; raises FieldError for other types."""
        inner = self.operand.build(scope)
        if family(inner.type) not in ("number", "timedelta", "any"):
            raise FieldError(f"{self!r}: {inner.label} is a {family(inner.type)} and has no sign")
        return Operand(ir.neg(inner.node), inner.params, inner.type, repr(self))

    def __repr__(self) -> str:
        return f"-{self.operand!r}"
