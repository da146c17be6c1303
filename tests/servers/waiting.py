"""Waiting for what must come, without seconds in an assertion: the limit only ends a test that will never pass.

And looking for what must be gone.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from .postgres import PostgresServer
from .wire import Connection


def until(condition: Callable[[], object], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.02)


def cancelled(connection: Connection, server: PostgresServer) -> bool:
    """Start a long statement, cancel it once the server runs it, and tell whether that is how it ended."""
    connection.send(b"Q", b"SELECT pg_sleep(60) AS long_one\0")
    # A request that comes before the statement is ignored.
    until(lambda: server.query("SELECT 1 FROM pg_stat_activity WHERE state = 'active' AND query ~ 'AS long_[o]ne'"))
    connection.cancel()
    codes = []
    for kind, body in connection.messages():
        if kind == b"E":
            codes.append(b"57014" in body)
        if kind == b"Z":
            break
    return codes == [True]


def processes_with(text: str) -> list[int]:
    """Those on whose command line this stands."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if text in entry.read_bytes().decode(errors="replace"):
                found.append(int(entry.parent.name))
        except OSError:
            continue
    return found
