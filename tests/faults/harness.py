"""Running scripts in clean processes, and looking at a database from outside."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from oxyde import AsyncDatabase, atomic, execute_raw
from tests.servers import databases, mysql_databases, mysql_wire, wire

from .programs.common import quiet

PROGRAMS = Path(__file__).parent / "programs"
SCALE = float(os.environ.get("OXYDE_FAULTS_SCALE", "1"))

SERVERS: dict[str, Any] = {"postgres": databases, "mysql": mysql_databases}
"""What a run may have a server of, and its databases there."""
CONNECTIONS: dict[str, Any] = {"postgres": wire.Connection, "mysql": mysql_wire.Connection}

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


@dataclass(frozen=True)
class Where:
    """The database of a test: its URL, and "file" ("threads": without inline work), "memory" or one of SERVERS."""

    kind: str
    url: str
    scratch: Path
    """A directory of the test's own; a file's database is in it."""

    def __str__(self) -> str:
        return self.url

    @property
    def file(self) -> Path:
        return self.scratch / "faults.db"

    @classmethod
    def of(cls, kind: str, scratch: Path) -> Where:
        if kind in SERVERS:
            return cls(kind, SERVERS[kind].database_url("faults"), scratch)
        if kind == "memory":
            return cls(kind, "sqlite://:memory:", scratch)
        return cls(kind, f"sqlite:///{scratch / 'faults.db'}", scratch)


KINDS = ("file", *(kind for kind in SERVERS if SERVERS[kind].SERVER))


def on(*kinds: str) -> pytest.MarkDecorator:
    """The databases that a test runs on (by default a file, and databases of the servers that there are)."""
    there = [kind for kind in kinds if kind not in SERVERS or kind in KINDS]
    return pytest.mark.parametrize("where", there, indirect=True)


WIRE = ("postgres", "mysql")
"""What is talked to over a connection."""


@contextmanager
def lasts(at_least: float, at_most: float) -> Iterator[None]:
    """The block takes so many seconds."""
    started = time.monotonic()
    yield
    assert at_least <= time.monotonic() - started <= at_most


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


def start_program(name: str, where: Where, **options: Any) -> subprocess.Popen[str]:
    """Start ``programs/NAME.py`` with the URL of a database and options."""
    # Unclosed things are reported, everything Python says goes to stderr, and a crash shows its stacks there. That our
    # process has threads when it forks is what some of the scripts are about.
    warnings = ("-W", "default", "-W", "ignore:This process:DeprecationWarning")
    command = [sys.executable, "-X", "faulthandler", *warnings, str(PROGRAMS / f"{name}.py"), where.url]
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
    """Wait for a script; one that hangs is stopped with the stacks of its threads as its stderr.

    ``seconds`` are for the sizes of a quick run.
    """
    seconds *= max(1.0, SCALE)
    try:
        out, err = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGABRT)
        out, err = process.communicate()
        raise AssertionError(f"no end after {seconds} s\n{out}\n{err}") from None
    return Finished(process.returncode, out, err)


def run_program(name: str, where: Where, *, seconds: float = 30.0, **options: Any) -> Finished:
    return finish_program(start_program(name, where, **options), seconds)


def outside(where: Where, *statements: str, timeout: float = 5.0) -> list[list[Any]]:
    """The rows of each statement, read by somebody else: another process with another SQLite, another client."""
    if where.kind in SERVERS:
        observer = SERVERS[where.kind].observer("faults")
        return [[list(map(_number, row)) for row in observer.query(text)] for text in statements]
    command = [sys.executable, "-I", "-S", "-c", _OUTSIDE, str(where.file), str(timeout), *statements]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    found: list[list[Any]] = json.loads(done.stdout)
    return found


def _number(text: str | None) -> Any:
    return int(text) if text is not None and re.fullmatch(r"-?\d+", text) else text


def check(where: Where, *statements: str) -> list[list[Any]]:
    """Nobody holds a lock, and the file is whole; returns the rows of further statements."""
    if where.kind in SERVERS:
        no_transactions(where.kind)
        return outside(where, *statements)
    _, _, checked, *rows = outside(
        where, "BEGIN IMMEDIATE", "ROLLBACK", "PRAGMA integrity_check", *statements, timeout=0.0
    )
    assert checked == [["ok"]]
    return rows


def no_transactions(kind: str = "postgres", seconds: float = 2.0) -> None:
    """Within ``seconds``, no session of the server's database has a transaction open or is at work."""
    deadline = time.monotonic() + seconds
    while kind in SERVERS and (busy := SERVERS[kind].busy("faults")):
        assert time.monotonic() < deadline, busy
        # MySQL's list of transactions is a copy that is made anew only when nobody has looked for 0.1 s.
        time.sleep(0.12 if kind == "mysql" else 0.005)


class HeldSession:
    """A session of the server's database that keeps what its statements took, until the end of the block."""

    def __init__(self, *statements: str, kind: str = "postgres") -> None:
        self.kind, self.statements = kind, statements

    def __enter__(self) -> HeldSession:
        self.connection: Any = CONNECTIONS[self.kind](SERVERS[self.kind].database_url("faults"))
        for text in self.statements:
            self.connection.query(text)
        return self

    def let_go(self) -> None:
        if self.connection is not None:
            self.connection.close()
            self.connection = None

    def __exit__(self, *exc: object) -> None:
        self.let_go()


class Holder:
    """Another process that runs statements on the file and keeps the locks they took, until the end of the block."""

    def __init__(self, where: Where, *statements: str) -> None:
        self.command = [sys.executable, "-I", "-S", "-c", _HOLDER, str(where.file), *statements]

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


SESSION = {"postgres": "SELECT pg_backend_pid() AS id", "mysql": "SELECT CONNECTION_ID() AS id"}


async def check_pool(database: AsyncDatabase, where: Where) -> None:
    """The pool is quiet within 2 s, gives all its connections at once, each another session, and takes them back."""
    stats = await quiet(database)
    everybody = asyncio.Barrier(stats["max_connections"])
    sessions = []

    async def hold(read_only: bool) -> None:
        async with atomic(using=database, read_only=read_only) as block:
            if where.kind in SESSION:
                sessions.append((await execute_raw(SESSION[where.kind], client=block))[0]["id"])
            await everybody.wait()

    async with asyncio.timeout(10):
        # One of a file's connections is its writer.
        await asyncio.gather(*(hold(number > 0) for number in range(everybody.parties)))
    assert len(set(sessions)) == len(sessions)
    await quiet(database)
    await asyncio.to_thread(check, where)
