"""Functions of the database.

An argument is an expression, the name of a field (a str), or a plain value; a text that is meant as a value is
written `Value("…")`.

    >>> User.objects.filter(Lower("name") == "anna").order_by(Length("name").desc())   # doctest: +SKIP
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from oxyde.exceptions import FieldError
from oxyde.queries.columns import F, Value
from oxyde.queries.encode import check_comparable, family
from oxyde.queries.expr import Expr, deeper
from oxyde.queries.lookups import Operand
from oxyde_core import ir
from oxyde_core.types import TypeTag

if TYPE_CHECKING:
    from oxyde.queries.scope import Scope

T_co = TypeVar("T_co", covariant=True)


class Function(Expr[T_co]):
    """Base of the functions: a contract name, arguments of known families and a result type."""

    __slots__ = ("arguments", "depth")

    name: ClassVar[str]
    takes: ClassVar[frozenset[str]]
    least: ClassVar[int] = 1
    most: ClassVar[int | None] = 1

    def __init__(self, *arguments: object) -> None:
        if len(arguments) < self.least or (self.most is not None and len(arguments) > self.most):
            wanted = f"{self.least}" if self.most == self.least else f"at least {self.least}"
            raise TypeError(f"{type(self).__name__}() takes {wanted} argument(s), not {len(arguments)}")
        self.arguments: tuple[Expr[Any], ...] = tuple(
            argument if isinstance(argument, Expr) else F(argument) if isinstance(argument, str) else Value(argument)
            for argument in arguments
        )
        self.depth = deeper(*self.arguments)

    def build(self, scope: Scope) -> Operand:
        """The call; raises FieldError for an argument of a type that the function does not take."""
        operands = self.operands(scope)
        for operand in operands:
            if family(operand.type) not in self.takes and family(operand.type) != "any":
                raise FieldError(f"{type(self).__name__}() does not take {operand.label}, a {family(operand.type)}")
        node = ir.func(self.name, *(operand.node for operand in operands))
        params = tuple(value for operand in operands for value in operand.params)
        return Operand(node, params, self.type(operands), repr(self))

    def operands(self, scope: Scope) -> list[Operand]:
        """The arguments against the model."""
        return [argument.build(scope) for argument in self.arguments]

    def type(self, operands: list[Operand]) -> TypeTag:
        """The SQL type of the result."""
        return operands[0].type

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(repr, self.arguments))})"


class _TextFunction(Function[str]):
    __slots__ = ()
    takes = frozenset({"text"})

    def type(self, operands: list[Operand]) -> TypeTag:
        """Always text: a result may be longer than its argument's column."""
        return "text"


class Lower(_TextFunction):
    """The text in lower case, for all of Unicode."""

    __slots__ = ()
    name = "lower"


class Upper(_TextFunction):
    """The text in upper case, for all of Unicode."""

    __slots__ = ()
    name = "upper"


class Concat(_TextFunction):
    """Texts joined; NULL if one of them is NULL."""

    __slots__ = ()
    name = "concat"
    least = 2
    most = None


class Length(Function[int]):
    """The number of characters of a text."""

    __slots__ = ()
    name = "length"
    takes = frozenset({"text"})

    def type(self, operands: list[Operand]) -> TypeTag:
        """A count."""
        return "big_integer"


class Abs(Function[Any]):
    """The absolute value of a number or duration."""

    __slots__ = ()
    name = "abs"
    takes = frozenset({"number", "timedelta"})


class Coalesce(Function[Any]):
    """The first argument that is not NULL; plain values take the type of the first field."""

    __slots__ = ()
    name = "coalesce"
    takes = frozenset(
        {"number", "text", "boolean", "datetime", "date", "time", "timedelta", "uuid", "bytes", "json", "array"}
    )
    least = 2
    most = None

    def operands(self, scope: Scope) -> list[Operand]:
        """The arguments; raises FieldError if they are not of one family."""
        built = {i: a.build(scope) for i, a in enumerate(self.arguments) if not isinstance(a, Value)}
        lead = next(iter(built.values()), None)
        operands: list[Operand] = []
        for position, argument in enumerate(self.arguments):
            if position in built:
                operand = built[position]
            elif lead is None:
                operand = argument.build(scope)
            else:
                node, params = argument.beside(scope, lead, "Coalesce")
                operand = Operand(node, params, lead.type, repr(argument))
            check_comparable(operands[0].type if operands else operand.type, operand.type, repr(self))
            operands.append(operand)
        return operands

    def build(self, scope: Scope) -> Operand:
        """The call, with the Python type of its leading field."""
        operand = super().build(scope)
        column = next((item.column for item in self.operands(scope) if item.column is not None), None)
        return operand._replace(column=column)


class Now(Expr[datetime]):
    """The time at which the database began the transaction (SQLite: the statement), in UTC."""

    __slots__ = ()

    def build(self, scope: Scope) -> Operand:
        """The call."""
        return Operand(ir.NOW, (), "date_time_utc", repr(self))

    def __repr__(self) -> str:
        return "Now()"
