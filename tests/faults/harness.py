"""Running scripts in clean processes, looking at a file from outside, and stepping through suspensions."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Coroutine, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PROGRAMS = Path(__file__).parent / "programs"
SCALE = float(os.environ.get("OXYDE_FAULTS_SCALE", "1"))

_started: list[subprocess.Popen[str]] = []

# Only the standard library: starts in 30 ms.
_OUTSIDE = """
import json, sqlite3, sys
connection = sqlite3.connect(sys.argv[1], timeout=float(sys.argv[2]), isolation_level=None)
print(json.dumps([connection.execute(text).fetchall() for text in sys.argv[3:]]))
"""

_HOLDER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
for text in sys.argv[2:]:
    connection.execute(text).fetchall()
print("held", flush=True)
sys.stdin.read()
"""


def scaled(size: int) -> int:
    """``size`` times OXYDE_FAULTS_SCALE."""
    return max(1, round(size * SCALE))


@dataclass
class Finished:
    """How a script ended."""

    code: int
    out: str
    err: str

    @property
    def report(self) -> dict[str, Any]:
        """Its line of JSON, once it is known to have ended well and without a word on stderr."""
        assert (self.code, self.err) == (0, ""), self
        lines = self.out.splitlines()
        assert len(lines) == 1, self
        found = json.loads(lines[0])
        assert isinstance(found, dict)
        return found


def start_program(name: str, path: str | Path, **options: Any) -> subprocess.Popen[str]:
    """Start ``programs/NAME.py`` with the path of a database and options."""
    # Unclosed things are reported, everything Python says goes to stderr, and a crash shows its stacks there. That our
    # process has threads when it forks is what some of the scripts are about.
    warnings = ("-W", "default", "-W", "ignore:This process:DeprecationWarning")
    command = [sys.executable, "-X", "faulthandler", *warnings, str(PROGRAMS / f"{name}.py"), str(path)]
    process = subprocess.Popen(
        [*command, json.dumps(options)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    _started.append(process)
    return process


def kill_the_rest() -> None:
    """End what a failed test left running."""
    while _started:
        process = _started.pop()
        if process.returncode is None:
            process.kill()
            process.communicate()


def finish_program(process: subprocess.Popen[str], seconds: float = 30.0) -> Finished:
    """Wait for a script; one that hangs is stopped with the stacks of its threads as its stderr."""
    try:
        out, err = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGABRT)
        out, err = process.communicate()
        raise AssertionError(f"no end after {seconds} s\n{out}\n{err}") from None
    return Finished(process.returncode, out, err)


def run_program(name: str, path: str | Path, *, seconds: float = 30.0, **options: Any) -> Finished:
    return finish_program(start_program(name, path, **options), seconds)


def outside(path: str | Path, *statements: str, timeout: float = 5.0) -> list[list[Any]]:
    """The rows of each statement, read by another process with another SQLite."""
    command = [sys.executable, "-I", "-S", "-c", _OUTSIDE, str(path), str(timeout), *statements]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    found: list[list[Any]] = json.loads(done.stdout)
    return found


def check_file(path: str | Path, *statements: str) -> list[list[Any]]:
    """Nobody holds a lock on the file, and it is whole; returns the rows of further statements."""
    _, _, checked, *rows = outside(
        path, "BEGIN IMMEDIATE", "ROLLBACK", "PRAGMA integrity_check", *statements, timeout=0.0
    )
    assert checked == [["ok"]]
    return rows


class Holder:
    """Another process that runs statements on the file and keeps the locks they took, until the end of the block."""

    def __init__(self, path: str | Path, *statements: str) -> None:
        self.command = [sys.executable, "-I", "-S", "-c", _HOLDER, str(path), *statements]

    def __enter__(self) -> Holder:
        self.process = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "held\n"
        return self

    def let_go(self) -> None:
        self.process.communicate(timeout=10)

    def __exit__(self, *exc: object) -> None:
        if self.process.returncode is None:
            self.let_go()


class Stepped:
    """Awaits a coroutine and cancels it by hand at its k-th suspension.

    ``late`` lets what it waits for happen first: that is a task cancelled after its future is done and before it runs
    on, when a result is there that nobody will take.
    """

    def __init__(self, coroutine: Coroutine[Any, Any, Any], k: int, *, late: bool) -> None:
        self.coroutine, self.k, self.late = coroutine, k, late
        self.suspensions = 0

    def __await__(self) -> Generator[Any, Any, Any]:
        step: Callable[[Any], Any] = self.coroutine.send
        argument: Any = None
        while True:
            try:
                waited_for = step(argument)
            except StopIteration as stop:
                return stop.value
            self.suspensions += 1
            cancelled = self.suspensions == self.k
            if cancelled and not self.late:
                if waited_for is not None:
                    waited_for._asyncio_future_blocking = False
                    waited_for.cancel()
                # As in a task: the cancellation arrives with a later turn of the loop.
                waited_for = None
            try:
                yield waited_for
            except BaseException as error:
                step, argument = self.coroutine.throw, error
            else:
                step, argument = self.coroutine.send, None
            if cancelled:
                step, argument = self.coroutine.throw, asyncio.CancelledError("by hand")


async def cancelled_at(
    coroutine: Coroutine[Any, Any, Any], k: int, *, late: bool
) -> tuple[int, Any, BaseException | None]:
    """The number of suspensions, the result and the exception of a coroutine that is cancelled at its k-th."""
    stepped = Stepped(coroutine, k, late=late)
    try:
        result = await stepped
    except BaseException as error:
        return stepped.suspensions, None, error
    return stepped.suspensions, result, None
