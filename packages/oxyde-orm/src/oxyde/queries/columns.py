"""Columns and plain values as expressions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, cast

from oxyde.exceptions import FieldError
from oxyde.queries.encode import UNKNOWN, literal
from oxyde.queries.expr import Expr
from oxyde.queries.lookups import Bound, Operand
from oxyde_core import ir

if TYPE_CHECKING:
    from oxyde.queries.q import Q
    from oxyde.queries.scope import Scope

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class F(Expr[Any]):
    """A field by its name: `F("views") + 1`.  Names are Python field names; `pk` is the key."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        if not isinstance(name, str):
            raise TypeError(f"F() takes the name of a field, not {type(name).__name__}")
        self.name = name

    def build(self, scope: Scope) -> Operand:
        """The field's column; raises FieldError naming near fields if there is none."""
        return scope.operand(self.name)

    def __repr__(self) -> str:
        return f"F({self.name!r})"


class ColumnRef(Expr[T_co]):
    """A typed column: what `User.age` is at run time."""

    __slots__ = ("model", "name")

    def __init__(self, model: type, name: str) -> None:
        self.model = model
        self.name = name

    def build(self, scope: Scope) -> Operand:
        """The column; raises FieldError if the query is on another model."""
        owner = scope.info.cls
        if owner is not self.model and not issubclass(owner, self.model):
            raise FieldError(f"{self!r} is used in a query on {owner.__name__}, which is another model")
        return scope.operand(self.name)

    def __repr__(self) -> str:
        return f"{self.model.__name__}.{self.name}"


class Value(Expr[T]):
    """A Python value as an expression; beside a field it is coerced to the field's type."""

    __slots__ = ("value",)

    def __init__(self, value: T) -> None:
        self.value = value

    def build(self, scope: Scope) -> Operand:
        """A parameter of the SQL type that the Python type implies."""
        if self.value is None:
            return Operand(ir.NULL, (), UNKNOWN, repr(self))
        encoded, tag = literal(self.value)
        return Operand(ir.param(tag), (encoded,), tag, repr(self))

    def beside(self, scope: Scope, operand: Operand, lookup: str) -> Bound:
        """Compared with a column the value means what it would mean without the wrapper."""
        if self.value is None:
            return ir.NULL, ()
        encoded, tag = operand.literal(scope, self.value, lookup)
        return ir.param(tag), (encoded,)

    def __repr__(self) -> str:
        return f"Value(<{type(self.value).__name__}>)"


def col(column: T) -> ColumnRef[T]:
    """A class attribute with its run-time type, for the methods that type checkers cannot see on `int` or `str`.

    `col(User.name).in_(["a", "b"])`, `col(User.bio).is_null()`, `col(User.id).desc()`.
    Raises TypeError for anything but a column.
    """
    if not isinstance(column, ColumnRef):
        raise TypeError(f"col() takes a class attribute such as User.age, not {type(column).__name__}")
    return cast("ColumnRef[T]", column)


def not_(condition: Expr[bool] | Q | bool) -> Q:
    """The negation of a condition; the same as `~`, which type checkers give the type int on `bool`.

    `User.objects.filter(not_(User.age > 3))`.  Raises TypeError for anything but a condition.
    """
    if not isinstance(condition, Expr):
        raise TypeError(f"not_() takes a condition such as User.age > 3, not {type(condition).__name__}")
    return ~condition
