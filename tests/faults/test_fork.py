"""A forked child gets a fresh pool or a clear error at once; the parent does not notice; nobody's file is harmed."""

from __future__ import annotations

from typing import Any

import pytest

from .harness import Where, check, on, outside, run_program, scaled

# What a child may be told; everything else is a child's own work.
REFUSALS = {"OperationalError", "TransactionTaskError"}


def check_children(children: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Every child worked or was refused, and knew at once; returns those that were refused."""
    refused = []
    for child in children:
        if "error" in child:
            assert child["error"] in REFUSALS, child
            # 2 ms on an idle machine.
            assert child["seconds"] < 0.25, child
            refused.append(child)
        else:
            assert child["rows"] == 1, child
    return refused


@pytest.mark.parametrize("when", ["idle", "grandchild", "in a task"])
def test_nothing_in_flight(where: Where, when: str) -> None:
    """Fresh pools, which read and write what the parent's file holds."""
    children = run_program("fork", where, when=when).report["result"]
    assert check_children(children) == []
    assert len(outside(where, "SELECT * FROM faults_entry WHERE nonce LIKE 'child %'")[0]) == 3
    check(where)


@pytest.mark.parametrize("when", ["reading", "writing"])
def test_a_long_statement_in_flight(where: Where, when: str) -> None:
    """The statement goes on. SQLite: the fork waits 10 ms for it and no longer, and the child is refused."""
    found = run_program("fork", where, when=when).report["result"]
    first, second = found["children"]
    if where.kind == "file":
        assert check_children([first, second]) == [first]
        assert "forked while a statement was running" in first["message"]
    else:
        # No thread was at work that the child would miss.
        assert check_children([first, second]) == []
    assert found["stood_still"] < 0.2
    if when == "reading":
        assert found["rows"] == [{"total": 3_000_000}]
    else:
        assert outside(where, "SELECT count(*) FROM faults_entry WHERE nonce = 'long'") == [[[1]]]
    check(where)


def test_an_open_transaction(where: Where) -> None:
    """It stays the parent's; the child can neither continue nor disturb it."""
    first, second = run_program("fork", where, when="transaction").report["result"]
    assert check_children([first, second]) == [first]
    rows = outside(where, "SELECT nonce FROM faults_entry WHERE nonce LIKE '%fork' ORDER BY id")[0]
    assert rows == [["before the fork"], ["after the fork"]]
    check(where)


@on("memory")
def test_memory(where: Where) -> None:
    (child,) = run_program("fork", where, when="memory").report["result"]
    assert check_children([child]) == [child]
    assert "in the memory of the parent process" in child["message"]


def test_while_connecting(where: Where) -> None:
    """The child does not wait for a connection that only its parent would make."""
    assert run_program("fork", where, when="connecting").report["result"] == [[{"one": 1}]]


def test_under_load(where: Where) -> None:
    found = run_program("fork", where, when="under load", forks=scaled(20)).report["result"]
    assert found["done"] > 10
    check_children([child for child in found["children"] if child])
    check(where)


def test_while_a_loop_runs_in_another_thread(where: Where) -> None:
    check_children(run_program("fork", where, when="in a thread", forks=scaled(10)).report["result"])
    check(where)


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_multiprocessing(where: Where, method: str) -> None:
    """A pool of workers that all write, made while the parent's database is open."""
    found = run_program("multi", where, method=method, workers=3, tasks=12).report
    assert found["answers"] == list(range(12))
    assert outside(where, "SELECT count(*), count(DISTINCT nonce) FROM faults_entry") == [[[12, 12]]]
    check(where)


def test_programs_started_meanwhile_inherit_nothing(where: Where) -> None:
    """subprocess with close_fds=False: our descriptors close themselves at exec."""
    found = run_program("inherit", where).report
    assert found["inherited"] == []
    assert found["own"] > 2
