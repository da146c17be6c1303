"""Thousands of tasks cancelled at random: nothing hangs, nothing leaks, nobody gets another one's result."""

from __future__ import annotations

from .figures import figure
from .harness import Where, check, outside, run_program, scaled


def test_cancelled_at_random(where: Where, seed: int) -> None:
    found = run_program("cancel_random", where, seed=seed, tasks=scaled(2000)).report
    assert found["failures"] == []
    # The test means something: many of each were there.
    assert found["seen"]["done"] > 50, found["seen"]
    assert found["seen"]["cancelled"] > 200, found["seen"]
    figure("tasks", where, scaled(2000))
    figure("cancelled", where, found["seen"]["cancelled"])
    figure("nonces", where, found["seen"]["done"])
    stored = dict(outside(where, "SELECT nonce, count(*) FROM faults_entry GROUP BY nonce")[0])
    for nonce, (rows, told) in found["told"].items():
        allowed = {"done": {rows}, "undone": {0}, "open": {0, rows}}[told]
        assert stored.get(nonce, 0) in allowed, (nonce, told, rows, stored.get(nonce, 0))
    check(where)
