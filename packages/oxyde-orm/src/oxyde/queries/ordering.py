"""ORDER BY: what `order_by()` and `Meta.ordering` take, as contract terms."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from oxyde.exceptions import FieldError
from oxyde.queries.expr import Expr, Ordering
from oxyde.queries.q import Q
from oxyde_core import ir

if TYPE_CHECKING:
    from oxyde.queries.scope import Result, Scope

Order = tuple[tuple[ir.Node, ...], tuple[object, ...]]
"""Ordering terms and their parameters."""

NO_ORDER: Final[Order] = ((), ())


def resolve_order(scope: Scope, terms: tuple[object, ...]) -> Order:
    """Ordering terms against the model; raises FieldError for unknown names and for what cannot be ordered."""
    nodes: list[ir.Node] = []
    params: tuple[object, ...] = ()
    for term in terms:
        if isinstance(term, str):
            direction: ir.Direction = "desc" if term.startswith("-") else "asc"
            name = term.removeprefix("-")
            nodes.extend(ir.order(ir.column(column.name), direction) for column in scope.columns((name,)))
            continue
        if isinstance(term, Expr) and not isinstance(term, Q):
            term = term.asc()
        if not isinstance(term, Ordering):
            raise FieldError(
                f"order_by() takes field names and expressions, not {type(term).__name__}: "
                '"name", "-age", User.age.desc()'
            )
        operand = term.expression.build(scope)
        nodes.append(ir.order(operand.node, term.direction, term.nulls))
        params += operand.params
    return tuple(nodes), params


def selected(term: ir.Node, result: Result) -> bool:
    """Whether an ordering term is a column of the result."""
    node = cast(ir.Node, term[0])
    return node[0] == "col" and node[1] in result.fields


def reverse_order(order: Order) -> Order:
    """The same terms the other way round, NULLs included."""
    flipped: dict[object, ir.Nulls] = {"first": "last", "last": "first"}
    nodes: list[ir.Node] = []
    for expression, direction, nulls in order[0]:
        back: ir.Direction = "asc" if direction == "desc" else "desc"
        nodes.append(ir.order(cast(ir.Node, expression), back, flipped.get(nulls)))
    return tuple(nodes), order[1]
