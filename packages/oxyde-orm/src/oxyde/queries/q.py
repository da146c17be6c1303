"""Q: conditions that combine.

A `Q` is a leaf (conditions and lookups, ANDed) or an operator over other Qs.  Trees are built by references in
constant time per operator and walked with an explicit stack, so that ten thousand conditions joined by `|` in a
loop neither copy each other nor exhaust the interpreter's stack; AND and OR chains become one flat node.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final, Literal

from oxyde.exceptions import FieldError
from oxyde.queries.encode import family
from oxyde.queries.expr import MAX_DEPTH, Condition, Expr
from oxyde.queries.lookups import Operand
from oxyde_core import ir

if TYPE_CHECKING:
    from oxyde.queries.scope import Scope

Connector = Literal["leaf", "and", "or", "xor", "not"]
_SIGNS: Final[dict[str, str]] = {"and": " AND ", "or": " OR ", "xor": " XOR "}


class Q(Expr[bool]):
    """Conditions joined by AND: `Q(age__gte=18, name="x")`, `Q(User.age >= 18)`; combine with `& | ~ ^`.

    An empty `Q()` is neutral.  Raises TypeError for an argument that is not a condition.

        User.objects.filter(Q(age__lt=18) | Q(age__gte=65))
    """

    __slots__ = ("conditions", "connector", "lookups", "parts")

    conditions: tuple[Expr[bool], ...]
    lookups: dict[str, Any]
    connector: Connector
    parts: tuple[Q, ...]

    def __init__(self, *conditions: Expr[bool] | bool, **lookups: Any) -> None:
        for condition in conditions:
            check_condition(condition, "Q")
        self.conditions = conditions  # type: ignore[assignment]
        for name, value in lookups.items():
            if isinstance(value, Iterator):
                # Read now what can be read only once: the condition may be used twice.
                lookups[name] = tuple(value)
        self.lookups = lookups
        self.connector = "leaf"
        self.parts = ()

    @classmethod
    def _join(cls, connector: Connector, *parts: Q) -> Q:
        joined = cls.__new__(cls)
        joined.conditions = ()
        joined.lookups = {}
        joined.connector = connector
        joined.parts = parts
        return joined

    @property
    def empty(self) -> bool:
        """Whether this is `Q()`, which changes nothing."""
        return self.connector == "leaf" and not self.conditions and not self.lookups

    def _with(self, connector: Connector, other: object, *, reverse: bool = False) -> Q:
        if not isinstance(other, Q):
            check_condition(other, f"{connector} of Q")
            other = Q(other)  # type: ignore[arg-type]
        left, right = (other, self) if reverse else (self, other)
        if left.empty:
            return right
        return left if right.empty else self._join(connector, left, right)

    def __and__(self, other: object) -> Q:
        return self._with("and", other)

    def __rand__(self, other: object) -> Q:
        return self._with("and", other, reverse=True)

    def __or__(self, other: object) -> Q:
        return self._with("or", other)

    def __ror__(self, other: object) -> Q:
        return self._with("or", other, reverse=True)

    def __xor__(self, other: object) -> Q:
        return self._with("xor", other)

    def __rxor__(self, other: object) -> Q:
        return self._with("xor", other, reverse=True)

    def __invert__(self) -> Q:
        if self.connector == "not":
            return self.parts[0]
        return self if self.empty else self._join("not", self)

    def bind(self, scope: Scope) -> tuple[ir.Node | None, tuple[object, ...]]:
        """The node (None for an empty Q) and its parameters.

        Raises FieldError past the nesting limit and whatever its lookups raise.
        """
        return _Builder(scope).build(self)

    def build(self, scope: Scope) -> Operand:
        """The condition as a boolean value."""
        node, params = self.bind(scope)
        return Operand(ir.TRUE if node is None else node, params, "boolean", "Q")

    def __repr__(self) -> str:
        done: list[str] = []
        # Entries: text to emit, or a Q with the connector of the chain that it stands in.
        stack: list[str | tuple[Q, str]] = [(self, "")]
        while stack:
            entry = stack.pop()
            if isinstance(entry, str):
                done.append(entry)
                continue
            q, within = entry
            if q.connector == "leaf":
                inner = [repr(condition) for condition in q.conditions]
                inner += [f"{name}={value!r}" for name, value in q.lookups.items()]
                done.append(f"Q({', '.join(inner)})")
            elif q.connector == "not":
                stack += [(q.parts[0], ""), "~"]
            else:
                left, right = q.parts
                chain: list[str | tuple[Q, str]] = [(left, q.connector), _SIGNS[q.connector], (right, q.connector)]
                if within != q.connector:
                    chain = ["(", *chain, ")"]
                stack += reversed(chain)
        return "".join(done)


class _Frame:
    """One node under construction; AND inside AND shares the collecting list of the outer one."""

    __slots__ = ("collected", "connector", "depth", "inline", "rest")

    def __init__(self, q: Q, collected: list[ir.Node], depth: int, *, inline: bool) -> None:
        self.connector = q.connector
        self.rest = list(reversed(q.parts))
        self.collected = collected
        self.inline = inline
        self.depth = depth


class _Builder:
    """Builds a tree from left to right, so that the parameters come in the order of the slots."""

    __slots__ = ("params", "scope")

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self.params: list[object] = []

    def build(self, q: Q) -> tuple[ir.Node | None, tuple[object, ...]]:
        top: list[ir.Node] = []
        if q.connector == "leaf":
            self.leaf(q, top)
        else:
            self.walk(_Frame(q, [], 1, inline=False), top)
        return (top[0] if top else None), tuple(self.params)

    def walk(self, root: _Frame, top: list[ir.Node]) -> None:
        stack = [root]
        while stack:
            frame = stack[-1]
            if frame.rest:
                part = frame.rest.pop()
                if part.connector == "leaf":
                    self.leaf(part, frame.collected)
                elif part.connector == frame.connector and part.connector != "not":
                    stack.append(_Frame(part, frame.collected, frame.depth, inline=True))
                elif frame.depth >= MAX_DEPTH:
                    raise FieldError(
                        f"Conditions nested more than {MAX_DEPTH} levels deep; AND and OR chains of any length are "
                        "fine, but this tree alternates between them (or negates) too often"
                    )
                else:
                    stack.append(_Frame(part, [], frame.depth + 1, inline=False))
                continue
            stack.pop()
            if not frame.inline:
                node = _finish(frame.connector, frame.collected)
                if node is not None:
                    (stack[-1].collected if stack else top).append(node)

    def leaf(self, q: Q, collected: list[ir.Node]) -> None:
        node, params = conjunction(self.scope, q.conditions, q.lookups)
        self.params.extend(params)
        if node is not None:
            collected.append(node)


def _finish(connector: str, nodes: list[ir.Node]) -> ir.Node | None:
    if not nodes:
        return None
    if connector == "not":
        return ir.not_(nodes[0])
    if connector == "xor":
        # Parity does not depend on the grouping: halve instead of nesting once per operand.
        while len(nodes) > 1:
            odd = [nodes[-1]] if len(nodes) % 2 else []
            nodes = [ir.xor(nodes[i], nodes[i + 1]) for i in range(0, len(nodes) - 1, 2)] + odd
        return nodes[0]
    return nodes[0] if len(nodes) == 1 else (ir.and_(*nodes) if connector == "and" else ir.or_(*nodes))


def check_condition(condition: object, where: str) -> None:
    """Raise TypeError, with a hint, for what cannot be a condition."""
    if isinstance(condition, Expr):
        return
    if isinstance(condition, bool):
        hint = "a plain bool: compare class attributes (User.age >= 18), and do not use 'and', 'or', 'not' or 'in'"
    elif isinstance(condition, dict):
        hint = "a dict: unpack it as keywords with **"
    else:
        hint = f"a {type(condition).__name__}"
    raise TypeError(f"{where} takes Q objects, typed conditions and keywords, not {hint}")


def bind_condition(scope: Scope, condition: object) -> tuple[ir.Node | None, tuple[object, ...]]:
    """One positional condition; raises TypeError or FieldError for what is not boolean."""
    if isinstance(condition, (Q, Condition)):
        return condition.bind(scope)
    check_condition(condition, "filter()")
    assert isinstance(condition, Expr)
    operand = condition.build(scope)
    if family(operand.type) not in ("boolean", "any"):
        raise FieldError(f"{condition!r} is a {family(operand.type)}, not a condition; compare it with something")
    return operand.node, operand.params


def conjunction(
    scope: Scope, conditions: tuple[object, ...], lookups: dict[str, Any]
) -> tuple[ir.Node | None, tuple[object, ...]]:
    """Positional conditions and lookups joined by AND; None if there are none."""
    return narrow(scope, None, (), conditions, lookups)


def narrow(
    scope: Scope,
    where: ir.Node | None,
    params: tuple[object, ...],
    conditions: tuple[object, ...],
    lookups: dict[str, Any],
) -> tuple[ir.Node | None, tuple[object, ...]]:
    """`where` AND the conditions AND the lookups, kept flat, with the parameters of all of them."""
    nodes: list[ir.Node] = []
    values: list[object] = list(params)
    if where is not None:
        nodes.extend(where[1:] if where[0] == "and" else (where,))  # type: ignore[arg-type]
    for condition in conditions:
        found, bound = bind_condition(scope, condition)
        if found is not None:
            nodes.extend(found[1:] if found[0] == "and" else (found,))  # type: ignore[arg-type]
            values.extend(bound)
    for key, value in lookups.items():
        lookup = scope.lookup(key)
        if type(value) is lookup.exact:
            nodes.append(lookup.node)
            values.append(value)
        else:
            node, bound = lookup.bind(scope, value)
            nodes.extend(node[1:] if node[0] == "and" else (node,))  # type: ignore[arg-type]
            values.extend(bound)
    if not nodes:
        return None, params
    return (nodes[0] if len(nodes) == 1 else ("and", *nodes)), tuple(values)


__all__ = ["Q"]
