"""A mixed load for a long time (with a scale: 12 s times it): nothing that a process or a server has grows."""

from __future__ import annotations

from statistics import median
from typing import Any

from .figures import figure
from .harness import SERVERS, Where, check, run_program, scaled

SECONDS = scaled(12)
# Over any time: what a second of it would be worth is not forgiven a thousand times.
ALLOWED = {"kib": 6144, "descriptors": 1, "threads": 0, "tasks": 0, "objects": 400, "references": 20}


def grown(samples: list[dict[str, Any]]) -> dict[str, float]:
    """From the first third to the last one, by medians; the very first samples are of caches that fill."""
    third = len(samples) // 3
    first, last = samples[third // 2 : third], samples[-third:]
    return {name: median(one[name] for one in last) - median(one[name] for one in first) for name in ALLOWED}


def test_nothing_grows(where: Where, seed: int) -> None:
    observer = SERVERS[where.kind].observer("faults") if where.kind in SERVERS else None
    known = observer and (observer.pid if where.kind == "postgres" else observer.id)
    found = run_program("soak", where, seconds=90, seed=seed, lasts=SECONDS, observer=known).report
    print(found["seen"], found["samples"][0], found["samples"][-1])
    change = grown(found["samples"])
    print(change)
    figure("soak", where, SECONDS)
    figure("grown", where, change["kib"])
    for name, limit in ALLOWED.items():
        assert change[name] <= limit, (name, change, [sample[name] for sample in found["samples"]])
    # The load was one.
    assert found["seen"]["done"] > 50 * SECONDS / 12
    assert found["seen"]["cancelled"] > 10 * SECONDS / 12
    assert where.kind not in SERVERS or found["seen"]["kills"] > SECONDS
    check(where)
