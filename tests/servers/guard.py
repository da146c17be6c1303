"""Ends servers and removes their directories when the process that started them is gone, however it went.

A test runner that hangs is killed with SIGKILL and has no chance to clean up. So every server is registered with a
small process of its own, in a session of its own, which notices on a pipe that its parent has ended.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

PATIENCE = 5.0


class Guard:
    """The parent's end of the pipe."""

    def __init__(self) -> None:
        # -I and -S: standard library only, starts in 20 ms.
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", __file__], stdin=subprocess.PIPE, start_new_session=True, cwd="/"
        )

    def process(self, pid: int) -> None:
        """End this process with its children."""
        self._tell(f"process {pid}")

    def ended(self, pid: int) -> None:
        """The process has been waited for: its id may belong to another one soon."""
        self._tell(f"ended {pid}")

    def directory(self, path: Path) -> None:
        self._tell(f"directory {path}")

    def close(self) -> None:
        """Clean up what is still there, and wait for that."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def _tell(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n".encode())
        self._process.stdin.flush()


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return not _is_zombie(pid)


def children(pid: int) -> list[int]:
    """Every child, whatever its process group: PostgreSQL gives each of its processes one of its own."""
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        listed = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
        return [int(child) for child, parent in map(str.split, listed.splitlines()) if int(parent) == pid]


def send(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def send_all(pid: int, number: signal.Signals) -> None:
    """To a process and its children."""
    for each in (pid, *children(pid)):
        send(each, number)


def _is_zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (OSError, IndexError):
        return False


def _end(pids: set[int]) -> None:
    for pid in pids:
        send_all(pid, signal.SIGCONT)  # a test may have stopped it
        send(pid, signal.SIGQUIT)  # PostgreSQL's immediate shutdown, which takes its children along
    deadline = time.monotonic() + PATIENCE
    while any(map(alive, pids)) and time.monotonic() < deadline:
        time.sleep(0.01)
    for pid in pids:
        send_all(pid, signal.SIGKILL)


def main() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    pids: set[int] = set()
    directories: list[str] = []
    for line in sys.stdin:
        word, _, value = line.rstrip("\n").partition(" ")
        if word == "process":
            pids.add(int(value))
        elif word == "ended":
            pids.discard(int(value))
        else:
            directories.append(value)
    _end(pids)
    for directory in directories:
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    main()
