"""Any number of event loops, one after another or beside each other, asyncio's and uvloop's."""

from __future__ import annotations

import pytest

from .harness import Where, check, outside, run_program, scaled

both_loops = pytest.mark.parametrize("loop", ["asyncio", "uvloop"])


@both_loops
@pytest.mark.parametrize("how", ["runs", "reopened"])
def test_many_runs(where: Where, how: str, loop: str) -> None:
    """100 times asyncio.run() in one process: neither descriptors nor threads grow."""
    found = run_program("loops", where, how=how, loop=loop, times=scaled(100)).report
    assert found["late"] == found["early"]
    # Closed is closed: Python's own and at most the last loop's wake-up descriptor. (libuv keeps its four threads.)
    assert found["end"]["threads"] == 1 or (loop == "uvloop" and found["end"]["threads"] == 5)
    assert outside(where, "SELECT count(DISTINCT nonce) FROM faults_entry") == [[[found["entries"]]]]
    check(where)


@both_loops
def test_loops_in_threads(where: Where, seed: int, loop: str) -> None:
    """Three loops in three threads share one database; a transaction cannot be used in another loop."""
    found = run_program("loops", where, how="threads", loop=loop, waves=scaled(6), seed=seed).report
    assert found["stats"]["lost"] == 0
    assert outside(where, "SELECT count(*) FROM faults_entry WHERE nonce = 'wrong loop'") == [[[0]]]
    check(where)


@both_loops
def test_a_loop_closed_in_the_middle(where: Where, loop: str) -> None:
    """Its transaction is rolled back, its statement stopped, and its tasks can be collected."""
    found = run_program("loops", where, how="abandoned", loop=loop).report
    assert found["alive"] == 0
    # A single statement that waited may have had its turn when the transaction went.
    rows = outside(where, "SELECT nonce FROM faults_entry WHERE nonce NOT LIKE 'waits%' ORDER BY id")[0]
    assert rows == [["after 0"], ["after 1"], ["after 2"]]
    check(where)


@both_loops
def test_no_loop(where: Where, loop: str) -> None:
    found = run_program("loops", where, how="no loop", loop=loop).report
    assert len(found["messages"]) == 7
    for message in found["messages"]:
        assert message.startswith("no running event loop")
    check(where)


def test_cancelled_at_random_in_uvloop(where: Where, seed: int) -> None:
    found = run_program("cancel_random", where, seed=seed, tasks=scaled(500), loop="uvloop").report
    assert found["failures"] == []
    check(where)
