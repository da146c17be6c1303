"""The golden documents of the query contract are up to date and complete."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from typing import Any

import pytest

from oxyde_core import ir

_spec = importlib.util.spec_from_file_location("golden_documents", Path(__file__).parent / "golden_documents.py")
assert _spec is not None
assert _spec.loader is not None
golden = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(golden)


def test_documents_are_up_to_date() -> None:
    assert golden.outdated() == []


def tags(value: Any, found: set[str]) -> set[str]:
    if isinstance(value, list):
        if value and isinstance(value[0], str):
            found.add(value[0])
        for item in value:
            tags(item, found)
    return found


def test_every_node_of_the_grammar_has_a_case() -> None:
    grammar = (ir.__doc__ or "").partition("Expr   :=")[2]
    wanted = set(re.findall(r'\("(\w+)"', grammar))
    found: set[str] = set()
    for path in golden.GOLDEN.glob("*.json"):
        for case in json.loads(path.read_text()):
            if isinstance(case, dict):
                tags(case["shape"], found)
    assert wanted - found == set()


@pytest.mark.parametrize("name", ["expressions", "select", "insert", "update", "delete"])
def test_cases_are_hashable_shapes_without_values(name: str) -> None:
    """A shape is the key of the plan cache: tuples of strings, None and the model's number."""
    for case in json.loads((golden.GOLDEN / f"{name}.json").read_text()):
        assert case["params"] == len(case["types"]), case["name"]
        leaves: list[Any] = [case["shape"]]
        statement = name != "expressions"
        while leaves:
            leaf = leaves.pop()
            if isinstance(leaf, list):
                # Lengths and precisions in type tags are numbers that belong to the shape.
                leaves.extend(leaf if leaf[:1] not in (["string"], ["decimal"]) else leaf[:1])
            else:
                assert leaf is None or isinstance(leaf, str) or (statement and leaf == golden.MODEL), case["name"]


def test_slots_follow_the_traversal() -> None:
    order = (ir.order(ir.arith("mul", ir.column("a"), ir.param("double"))),)
    where = ir.and_(ir.compare("eq", ir.column("a"), ir.param("text")), ir.in_(ir.column("b"), "uuid"))
    shape = ir.select(1, ("a", ir.output("n", ir.param("date"), "date")), where, order, "lo")
    assert ir.slots(shape) == ["date", "text", ("array", "uuid"), "double", "big_integer", "big_integer"]


def test_field_names_are_never_taken_for_nodes() -> None:
    assert ir.slots(ir.select(1, ("param", "sql"), None)) == []
    assert ir.slots(ir.insert(1, ("param", "text"), ir.BULK, ir.ignore(("param", "text")), ("param", "text"))) == []


def test_slots_of_deep_shapes() -> None:
    node = ir.compare("eq", ir.column("a"), ir.param("text"))
    for _ in range(20_000):
        node = ir.not_(node)
    assert ir.slots(node) == ["text"]
