"""A forked child gets a fresh pool or a clear error at once; the parent does not notice; nobody's file is harmed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from .harness import check_file, outside, run_program, scaled

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
def test_nothing_in_flight(path: Path, when: str) -> None:
    """Fresh pools, which read and write what the parent's file holds."""
    children = run_program("fork", path, when=when).report["result"]
    assert check_children(children) == []
    assert len(outside(path, "SELECT * FROM faults_entry WHERE nonce LIKE 'child %'")[0]) == 3
    check_file(path)


@pytest.mark.parametrize("when", ["reading", "writing"])
def test_a_long_statement_in_flight(path: Path, when: str) -> None:
    """The fork waits 10 ms for it and no longer; the child is refused, the statement goes on."""
    found = run_program("fork", path, when=when).report["result"]
    first, second = found["children"]
    assert check_children([first, second]) == [first]
    assert "forked while a statement was running" in first["message"]
    assert found["stood_still"] < 0.2
    if when == "reading":
        assert found["rows"] == [{"total": 3_000_000 * 3_000_001 // 2}]
    else:
        assert outside(path, "SELECT count(*) FROM faults_entry WHERE nonce = 'long'") == [[[1]]]
    check_file(path)


def test_an_open_transaction(path: Path) -> None:
    """It stays the parent's; the child can neither continue nor disturb it."""
    first, second = run_program("fork", path, when="transaction").report["result"]
    assert check_children([first, second]) == [first]
    rows = outside(path, "SELECT nonce FROM faults_entry WHERE nonce LIKE '%fork' ORDER BY id")[0]
    assert rows == [["before the fork"], ["after the fork"]]
    check_file(path)


def test_memory(tmp_path: Path) -> None:
    (child,) = run_program("fork", tmp_path, when="memory").report["result"]
    assert check_children([child]) == [child]
    assert "in the memory of the parent process" in child["message"]


def test_while_connecting(path: Path) -> None:
    """The child does not wait for a connection that only its parent would make."""
    assert run_program("fork", path, when="connecting").report["result"] == [[{"one": 1}]]


def test_under_load(path: Path) -> None:
    found = run_program("fork", path, when="under load", forks=scaled(20)).report["result"]
    assert found["done"] > 10
    check_children([child for child in found["children"] if child])
    check_file(path)


def test_while_a_loop_runs_in_another_thread(path: Path) -> None:
    check_children(run_program("fork", path, when="in a thread", forks=scaled(10)).report["result"])
    check_file(path)


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_multiprocessing(path: Path, method: str) -> None:
    """A pool of workers that all write, made while the parent's database is open."""
    found = run_program("multi", path, method=method, workers=3, tasks=12).report
    assert found["answers"] == list(range(12))
    assert outside(path, "SELECT count(*), count(DISTINCT nonce) FROM faults_entry") == [[[12, 12]]]
    check_file(path)


def test_programs_started_meanwhile_inherit_nothing(path: Path) -> None:
    """subprocess with close_fds=False: our descriptors close themselves at exec."""
    found = run_program("inherit", path).report
    assert found["inherited"] == []
    assert found["own"] > 2
