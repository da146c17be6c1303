"""A process that ends in the middle of its queries: the right status, nothing on stderr, and a whole file."""

from __future__ import annotations

import signal
import subprocess
import time
from typing import Any

import pytest

from .harness import SERVERS, Finished, Where, check, finish_program, on, scaled, start_program

INTERRUPTED = -signal.SIGINT
# How the process ends, its status, and the last line of its stderr.
WAYS: list[tuple[str, int, str]] = [
    ("return", 0, ""),
    ("exit", 7, ""),
    ("exception", 1, "LookupError: the program's own"),
    ("exit handler", 7, ""),
    ("handler that uses it", 7, ""),
    ("thread", 0, ""),
    ("daemon thread", 0, ""),
    ("never closed", 0, ""),
    ("SIGINT", INTERRUPTED, "KeyboardInterrupt"),
    ("SIGTERM", -signal.SIGTERM, ""),
    ("SIGTERM handled", 0, ""),
    ("SIGKILL", -signal.SIGKILL, ""),
]
# Without a loop that would be run to its end.
ABRUPT = {"daemon thread", "never closed", "SIGTERM", "SIGKILL"}
SIGNALS = {"SIGINT", "SIGTERM", "SIGTERM handled", "SIGKILL"}


def start(where: Where, how: str, **options: Any) -> subprocess.Popen[str]:
    return start_program("leave", where, how=how, told=str(where.scratch / "told"), **options)


def finish(process: subprocess.Popen[str], how: str) -> Finished:
    if how in SIGNALS:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.01)
        process.send_signal(getattr(signal, how.split()[0]))
    return finish_program(process, 15)


def check_end(where: Where, how: str, finished: Finished, status: int, last: str) -> None:
    assert finished.code == status, finished
    if last:
        # The program's own exception and nothing else.
        lines = finished.err.splitlines()
        assert lines[0] == "Traceback (most recent call last):", finished
        assert lines[-1] == last, finished
        assert finished.err.count("Traceback") == 1 + finished.err.count("During handling"), finished
        for word in ("panicked", "ignored", "never retrieved", "destroyed", "Warning", "Fatal"):
            assert word not in finished.err, finished
    else:
        assert finished.err == "", finished
    if where.kind in SERVERS and how in ABRUPT:
        # Nobody was left to cancel what the server is doing, and it looks at its client when it has something to say.
        SERVERS[where.kind].end_sessions("faults")
    stored = dict(check(where, STORED)[0])
    assert set(stored.values()) <= {2}, stored
    told = where.scratch / "told"
    # What was acknowledged is there. (What was committed in the last moment may not have been acknowledged.)
    assert set(told.read_text().splitlines() if told.exists() else []) <= set(stored)


STORED = "SELECT nonce, count(*) FROM faults_entry WHERE nonce LIKE 'task%' GROUP BY nonce"


@pytest.mark.parametrize(("how", "status", "last"), WAYS, ids=[way[0] for way in WAYS])
@pytest.mark.parametrize("long", [True, False], ids=["long", "short"])
def test_one_way(where: Where, how: str, status: int, last: str, long: bool) -> None:
    """With statements that would run for minutes, and with a storm of short ones."""
    started = time.monotonic()
    check_end(where, how, finish(start(where, how, long=long), how), status, last)
    assert time.monotonic() - started < 5


@pytest.mark.parametrize("how", ["return", "exit", "daemon thread", "never closed", "SIGINT", "SIGTERM"])
@on("file")
def test_many_moments(where: Where, how: str) -> None:
    """The same at different moments, two processes at a time."""
    status, last = next((status, last) for name, status, last in WAYS if name == how)
    for n in range(scaled(2)):
        running = []
        for long in (True, False):
            directory = where.scratch / f"{n} {long}"
            directory.mkdir()
            own = Where.of("file", directory)
            running.append((own, start(own, how, long=long, seconds=0.007 * n)))
        for own, process in running:
            check_end(own, how, finish(process, how), status, last)


@pytest.mark.parametrize("how", ["exit", "SIGINT", "SIGTERM handled"])
def test_uvloop(where: Where, how: str) -> None:
    (status, last) = next((status, last) for name, status, last in WAYS if name == how)
    check_end(where, how, finish(start(where, how, loop="uvloop"), how), status, last)
