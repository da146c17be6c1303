"""Whatever arrives in place of a shape is refused as a mistake of the caller's: no panic, no abort, no endless work."""

from __future__ import annotations

import copy
import json
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import oxyde_core
from oxyde_core.errors import OxydeError

GOLDEN = Path(__file__).parent / "golden"
DIALECTS = ("sqlite", "postgres", "mysql", "mariadb")
STATEMENTS = ("select", "insert", "update", "delete")
ROUNDS = 4_000
REFUSED = (ValueError, TypeError, LookupError, OverflowError, OxydeError)


class Odd:
    """Equal to everything, hashable, and not to be represented."""

    def __eq__(self, other: object) -> bool:
        return True

    def __hash__(self) -> int:
        return 1

    def __repr__(self) -> str:
        raise RuntimeError("no repr")


class Text(str):
    """A subclass of what is expected."""


JUNK: tuple[Any, ...] = (
    *(
        None,
        True,
        False,
        0,
        -1,
        2**31,
        2**63,
        2**64,
        10**400,
        1.5,
        float("nan"),
        float("inf"),
        1j,
        b"",
        b"\xff",
        "",
        "\0",
    ),
    *("lit", "select", "col", "and", "x" * 100_000, "\ud800", "it's", '"', "`", "--", "/*", "\N{FULLWIDTH APOSTROPHE}"),
    *(
        (),
        ("lit",),
        ("select",),
        ("col", "id"),
        ((),),
        [],
        {},
        set(),
        object(),
        Odd(),
        Text("col"),
        lambda: 1,
        int,
        ...,
    ),
)


@pytest.fixture(scope="module", autouse=True)
def table() -> Iterator[None]:
    described = json.loads((GOLDEN / "table.json").read_text())
    described[0] = 2**40
    oxyde_core.register_table(*map(tupled, described))
    yield
    oxyde_core.forget_table(2**40)


def tupled(value: Any) -> Any:
    return tuple(map(tupled, value)) if isinstance(value, list) else value


def shapes() -> list[tuple[Any, int]]:
    found = []
    for name in STATEMENTS:
        for case in json.loads((GOLDEN / f"{name}.json").read_text()):
            if isinstance(case, dict):
                shape = tupled(case["shape"])
                found.append((renumbered(shape), case["params"]))
    return found


def renumbered(shape: Any) -> Any:
    """For the table of this module: the golden documents' model is number 1."""
    return tuple(2**40 if part == 1 and isinstance(part, int) else part for part in shape)


def places(shape: Any, path: tuple[int, ...] = ()) -> Iterator[tuple[int, ...]]:
    yield path
    if isinstance(shape, tuple):
        for n, part in enumerate(shape):
            yield from places(part, (*path, n))


def spoilt(shape: Any, path: tuple[int, ...], junk: Any) -> Any:
    if not path:
        return junk
    here, *rest = path
    return (*shape[:here], spoilt(shape[here], tuple(rest), junk), *shape[here + 1 :])


def compiled(shape: Any, params: Any, dialect: str) -> bool:
    try:
        text, values = oxyde_core.compile_sql(shape, params, dialect)
    except REFUSED as error:
        assert str(error)
        return False
    assert isinstance(text, str) and isinstance(values, list)
    return True


def test_the_untouched_ones_compile_somewhere() -> None:
    for shape, params in shapes():
        if ("bulk",) in shape:
            continue  # its text depends on the rows
        assert any(compiled(shape, (None,) * params, dialect) for dialect in DIALECTS), shape


def test_spoilt_shapes() -> None:
    seed = int(os.environ.get("OXYDE_FAULTS_SEED") or random.SystemRandom().randrange(2**32))
    print(f"OXYDE_FAULTS_SEED={seed}")
    chance = random.Random(seed)
    known, refused = shapes(), 0
    for _ in range(ROUNDS):
        shape, params = chance.choice(known)
        for _ in range(chance.choice((1, 1, 2, 4))):
            path = chance.choice(list(places(shape)))
            other = chance.choice(known)[0]
            junk = chance.choice(JUNK)
            match chance.randrange(4):
                case 0:  # a part of another statement
                    junk = other
                    for step in chance.choice(list(places(other))):
                        junk = junk[step]
                case 1:  # too many of something
                    junk = (junk,) * chance.randrange(40)
            shape = spoilt(shape, path, junk)
        values = (chance.choice(JUNK),) * chance.choice((0, params, params, params, params + 1))
        refused += not compiled(shape, values, chance.choice(DIALECTS))
    assert refused > ROUNDS / 4


@pytest.mark.parametrize("tag", ["not", "and", "list"])
def test_shapes_without_bottom(tag: str) -> None:
    """Deeper than any stack."""
    (select, params), *_ = [(shape, params) for shape, params in shapes() if shape[0] == "select"]
    deep: Any = ("lit", "boolean")
    for _ in range(200_000):
        deep = (tag, (deep,)) if tag == "and" else (tag, deep)
    at = [path for path in places(select) if len(path) == 1]
    for path in at:
        compiled(spoilt(select, path, deep), (None,) * params, "sqlite")
    # Python's own recursion is not what is tested: taken apart without it.
    while isinstance(deep, tuple) and len(deep) == 2:
        deep = deep[1][0] if isinstance(deep[1], tuple) and len(deep[1]) == 1 else deep[1]


def test_shapes_that_are_no_tuples() -> None:
    for junk in JUNK:
        assert not compiled(junk, (), "sqlite")
        for _, params in shapes()[:1]:
            assert not compiled(copy.copy(shapes()[0][0]), junk, "sqlite") or junk == (None,) * params
