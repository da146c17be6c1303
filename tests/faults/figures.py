"""What the tests measure on the way, one line of JSON each in the file that OXYDE_FIGURES names.

As a program: the table of such a file.
"""

from __future__ import annotations

import json
import os
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .harness import Where

Values = list[float]


def figure(name: str, where: Where, *values: float) -> None:
    """Note what was counted or measured on a database; times in seconds. Nothing happens if nobody asks."""
    path = os.environ.get("OXYDE_FIGURES")
    if path:
        line = json.dumps({"name": name, "on": title(where.kind), "values": values})
        with open(path, "a", encoding="utf-8") as file:
            file.write(line + "\n")


def title(kind: str) -> str:
    if kind == "mysql":
        from tests.servers import mysql_databases

        return "MariaDB" if mysql_databases.mariadb() else "MySQL"
    return {"postgres": "PostgreSQL", "pgbouncer": "PostgreSQL"}.get(kind, "SQLite")


def total(values: Values) -> str:
    return f"{sum(values):,.0f}"


def largest(values: Values) -> str:
    return f"{max(values):,.1f}"


def spread(values: Values) -> str:
    """The median, the 99th percentile and the maximum of times in milliseconds, and how many there were."""
    ordered = sorted(values)
    p50, p99 = (ordered[min(len(ordered) - 1, int(len(ordered) * share))] for share in (0.5, 0.99))
    return f"{p50 * 1000:.0f} / {p99 * 1000:.0f} / {ordered[-1] * 1000:.0f} ({len(ordered):,})"


ROWS: dict[str, tuple[str, Callable[[Values], str]]] = {
    "transfers": ("Transfers between accounts, beside kills", total),
    "kills": ("… sessions killed meanwhile (SQLite: locks taken by another process)", total),
    "tasks": ("Tasks of all kinds, most of them cancelled at a random moment", total),
    "cancelled": ("… cancelled before their end", total),
    "nonces": ("… answers that came, each looked at for being its task's own", total),
    "pooled": ("… through PgBouncer in transaction mode", total),
    "overshoot": ("A limit of 100 ms, working and silent databases: how much too late its error came, ms", spread),
    "stopped": ("A cancelled statement: until the server had stopped, ms", spread),
    "recovery": ("A server that was restarted: until the next answer, ms", spread),
    "stream rows": ("Rows of a stream", total),
    "stream": ("… memory that it took, MiB", largest),
    "soak": ("A mixed load with cancellations and kills, seconds", total),
    "grown": ("… growth of memory from its first to its last third, KiB", largest),
}


def table(lines: Iterable[str]) -> str:
    found: dict[str, dict[str, Values]] = defaultdict(lambda: defaultdict(list))
    for line in lines:
        one: dict[str, Any] = json.loads(line)
        found[one["on"]][one["name"]] += one["values"]
    columns = [name for name in ("SQLite", "PostgreSQL", "MySQL", "MariaDB") if name in found]
    rows = [["", *columns], ["---"] * (len(columns) + 1)]
    for name, (words, told) in ROWS.items():
        cells = [told(found[column][name]) if found[column][name] else "" for column in columns]
        if any(cells):
            rows.append([words, *cells])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


if __name__ == "__main__":
    print(table(Path(sys.argv[1]).read_text(encoding="utf-8").splitlines()))
