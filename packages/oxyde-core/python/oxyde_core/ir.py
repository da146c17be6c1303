"""The query contract: constructor functions for the tagged tuples that the core compiles.

A query reaches the core as two tuples: a *shape*, which says what the statement looks like, and the
*parameters*.  The shape is the key of the plan cache, so it never holds a value: `1 == True == 1.0` in
Python, and two queries that differ only in their values must share one plan.  Where a value belongs the
shape has a slot `("param", type)`; slots are numbered in the order in which a depth-first walk from left to
right meets them, and a limit and an offset, which have no node of their own, come last.  Every tuple begins
with its tag.  `crates/oxyde-py/src/contract.rs` has one extractor for each tag, and the documents in
`tests/contract/golden` are read by both sides.

A statement may come in an envelope, `("comment", text, statement)`: the text goes behind its SQL and is nothing to the
compiler, so the envelope is opened before.

    Expr   := ("col", field) | ("param", type) | ("null",) | ("true",) | ("false",) | ("now",) | ("sql", text)
            | ("cmp", "eq|ne|lt|lte|gt|gte", e, e) | ("is_null", e) | ("is_not_null", e)
            | ("between", e, low, high) | ("in", e, ("param", ("array", type))) | ("not_in", e, ("param", …))
            | ("match", operator, e, e)         operator: one of MATCH_OPERATORS
            | ("array", "contains|contained_by|overlap", e, e) | ("item", e, index)
            | ("and", e, e, …) | ("or", e, e, …) | ("not", e) | ("xor", e, e)
            | ("arith", "add|sub|mul|div|floordiv|mod|pow", e, e) | ("neg", e)
            | ("func", name, e, …) | ("excluded", field)
    select := ("select", model_id, outputs, where | None, order, paging, distinct, lock, mode)
      outputs: (field | ("expr", name, e, type), …)     order: ((e, "asc"|"desc", None|"first"|"last"), …)
      paging: "" | "l" | "o" | "lo"     distinct: "" | "distinct"     lock: "" | "update" | "share"
      mode: "rows" | "count" | "exists"
    insert := ("insert", model_id, fields, source, conflict, returning)
      source: ("values", (e, …)) for one row | ("bulk",) for one value per field and row given at run time
      conflict: None | ("ignore", (field, …)) | ("update", (field, …), ((field, e), …))
    update := ("update", model_id, ((field, e), …), where | None, returning)
    delete := ("delete", model_id, where | None, returning)

`model_id` is the number under which the model's table was registered with the core; fields are Python field
names.  A change of this grammar changes IR_VERSION, which both sides compare when they are imported.
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias, cast

from oxyde_core.types import TypeTag, array_of

IR_VERSION: Final = 1
"""The version of the grammar above."""

Node: TypeAlias = "tuple[object, ...]"
"""Any tagged tuple."""

Fields: TypeAlias = "tuple[str, ...]"
Direction: TypeAlias = Literal["asc", "desc"]
Nulls: TypeAlias = Literal["first", "last"]
Paging: TypeAlias = Literal["", "l", "o", "lo"]
Distinct: TypeAlias = Literal["", "distinct"]
Lock: TypeAlias = Literal["", "update", "share"]
Mode: TypeAlias = Literal["rows", "count", "exists"]
CompareOperator: TypeAlias = Literal["eq", "ne", "lt", "lte", "gt", "gte"]
ArithOperator: TypeAlias = Literal["add", "sub", "mul", "div", "floordiv", "mod", "pow"]
ArrayOperator: TypeAlias = Literal["contains", "contained_by", "overlap"]
MatchOperator: TypeAlias = Literal[
    "contains",
    "icontains",
    "startswith",
    "istartswith",
    "endswith",
    "iendswith",
    "iexact",
    "like",
    "ilike",
    "regex",
    "iregex",
]

NULL: Final[Node] = ("null",)
TRUE: Final[Node] = ("true",)
FALSE: Final[Node] = ("false",)
NOW: Final[Node] = ("now",)
BULK: Final[Node] = ("bulk",)


def column(field: str) -> Node:
    """The column of a field of the query's own table."""
    return ("col", field)


def param(type_: TypeTag) -> Node:
    """A slot for one value of the given type."""
    return ("param", type_)


def sql(text: str) -> Node:
    """Trusted SQL text written by the programmer, passed on verbatim."""
    return ("sql", text)


def compare(operator: CompareOperator, left: Node, right: Node) -> Node:
    """A comparison with SQL's meaning: unknown when a side is NULL."""
    return ("cmp", operator, left, right)


def is_null(operand: Node) -> Node:
    """True where the operand is NULL."""
    return ("is_null", operand)


def is_not_null(operand: Node) -> Node:
    """True where the operand is not NULL."""
    return ("is_not_null", operand)


def between(operand: Node, low: Node, high: Node) -> Node:
    """`low <= operand <= high`."""
    return ("between", operand, low, high)


def in_(operand: Node, item: TypeTag) -> Node:
    """Membership in a list, given as one array parameter so that its length is no part of the shape."""
    return ("in", operand, ("param", array_of(item)))


def not_in(operand: Node, item: TypeTag) -> Node:
    """Absence from a list, given as one array parameter."""
    return ("not_in", operand, ("param", array_of(item)))


def match(operator: MatchOperator, operand: Node, pattern: Node) -> Node:
    """A string match; the pattern is literal text except for like, ilike, regex and iregex."""
    return ("match", operator, operand, pattern)


def array(operator: ArrayOperator, left: Node, right: Node) -> Node:
    """A comparison of the members of two arrays; NULL is a member of none."""
    return ("array", operator, left, right)


def item(operand: Node, index: Node) -> Node:
    """The member of an array at a place, counted from 0; NULL past the end."""
    return ("item", operand, index)


def and_(*operands: Node) -> Node:
    """Conjunction of two or more conditions."""
    return ("and", *operands)


def or_(*operands: Node) -> Node:
    """Disjunction of two or more conditions."""
    return ("or", *operands)


def not_(operand: Node) -> Node:
    """Negation with SQL's meaning: unknown stays unknown."""
    return ("not", operand)


def xor(left: Node, right: Node) -> Node:
    """True where exactly one side is true."""
    return ("xor", left, right)


def arith(operator: ArithOperator, left: Node, right: Node) -> Node:
    """Arithmetic; `div` is true division, `floordiv` and `mod` follow Python."""
    return ("arith", operator, left, right)


def neg(operand: Node) -> Node:
    """The operand with its sign changed."""
    return ("neg", operand)


def func(name: str, *arguments: Node) -> Node:
    """A function by its contract name (`lower`, `coalesce`, …), not by a database's spelling."""
    return ("func", name, *arguments)


def excluded(field: str) -> Node:
    """In the update part of an upsert: the value that the insert would have written."""
    return ("excluded", field)


def output(name: str, expression: Node, type_: TypeTag) -> Node:
    """A computed column of the result."""
    return ("expr", name, expression, type_)


def order(operand: Node, direction: Direction = "asc", nulls: Nulls | None = None) -> Node:
    """One ordering term; without `nulls` the database decides where NULL goes."""
    return (operand, direction, nulls)


def select(
    model_id: int,
    outputs: tuple[str | Node, ...],
    where: Node | None = None,
    order_by: tuple[Node, ...] = (),
    paging: Paging = "",
    distinct: Distinct = "",
    lock: Lock = "",
    mode: Mode = "rows",
) -> Node:
    """A SELECT.  `count` counts the (limited, distinct) rows, `exists` asks whether there is one."""
    return ("select", model_id, outputs, where, order_by, paging, distinct, lock, mode)


def values(*expressions: Node) -> Node:
    """The source of a one-row INSERT: one expression for each field."""
    return ("values", expressions)


def ignore(fields: Fields) -> Node:
    """On conflict over `fields` (any unique key if empty): leave the stored row as it is."""
    return ("ignore", fields)


def upsert(fields: Fields, assignments: tuple[tuple[str, Node], ...]) -> Node:
    """On conflict over `fields`: update the stored row."""
    return ("update", fields, assignments)


def insert(model_id: int, fields: Fields, source: Node, conflict: Node | None = None, returning: Fields = ()) -> Node:
    """An INSERT of one row (`values(…)`) or many (`BULK`)."""
    return ("insert", model_id, fields, source, conflict, returning)


def update(
    model_id: int, assignments: tuple[tuple[str, Node], ...], where: Node | None = None, returning: Fields = ()
) -> Node:
    """An UPDATE."""
    return ("update", model_id, assignments, where, returning)


def delete(model_id: int, where: Node | None = None, returning: Fields = ()) -> Node:
    """A DELETE."""
    return ("delete", model_id, where, returning)


def comment(text: str, statement: Node) -> Node:
    """A statement with a comment, which is as it will be sent: see `oxyde.queries.comment`."""
    return ("comment", text, statement)


MATCH_OPERATORS: Final[tuple[MatchOperator, ...]] = (
    "contains",
    "icontains",
    "startswith",
    "istartswith",
    "endswith",
    "iendswith",
    "iexact",
    "like",
    "ilike",
    "regex",
    "iregex",
)
"""The operators of a `match` node."""

PAGING: Final[dict[tuple[bool, bool], Paging]] = {
    (False, False): "",
    (True, False): "l",
    (False, True): "o",
    (True, True): "lo",
}
"""The paging tag of (has a limit, has an offset)."""


def slots(node: Node) -> list[TypeTag]:
    """The types of a statement's (or expression's) parameter slots in the order of the parameters.

    Walks with its own stack, so that no depth of nesting can exhaust Python's.

    >>> slots(and_(compare("eq", column("id"), param("big_integer")), in_(column("tag"), "text")))
    ['big_integer', ('array', 'text')]
    """
    found: list[TypeTag] = []
    stack = _expressions(node)
    stack.reverse()
    while stack:
        item = stack.pop()
        if item[0] == "param":
            found.append(cast(TypeTag, item[1]))
        else:
            stack.extend(part for part in reversed(item[1:]) if isinstance(part, tuple))
    if node[0] == "select":
        found.extend("big_integer" for _ in cast(str, node[5]))
    return found


def _expressions(node: Node) -> list[Node]:
    """The expressions of a statement from left to right; an expression is its own."""
    parts: list[object]
    match node:
        case ("select", _, outputs, where, terms, *_):
            computed = [item[2] for item in _items(outputs) if isinstance(item, tuple)]
            parts = [*computed, where, *(term[0] for term in cast("tuple[Node, ...]", terms))]
        case ("insert", _, _, source, conflict, _):
            rows = cast(Node, source)
            parts = [*_items(rows[1])] if rows[0] == "values" else []
            if isinstance(conflict, tuple) and conflict[0] == "update":
                parts += [item[1] for item in cast("tuple[Node, ...]", conflict[2])]
        case ("update", _, assignments, where, _):
            parts = [*(item[1] for item in cast("tuple[Node, ...]", assignments)), where]
        case ("delete", _, where, _):
            parts = [where]
        case _:
            parts = [node]
    return [part for part in parts if isinstance(part, tuple)]


def _items(value: object) -> tuple[object, ...]:
    return cast("tuple[object, ...]", value)
