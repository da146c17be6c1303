"""A helper in a process of its own, told what to do through a pipe: one line of JSON there, one line of JSON back.

It ends when the pipe does, so it cannot outlive the tests. Being another process, it goes on working while a test holds
the GIL or stops its event loop, which is the moment at which a network matters.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

ROOT = Path(__file__).resolve().parents[2]
Handler = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]


class Child:
    """The tests' side: the first line is written with the process, its answer is in ``ready``."""

    def __init__(self, module: str, first: dict[str, Any]) -> None:
        self._lock = threading.Lock()
        self._module = module
        self._process = subprocess.Popen(
            [sys.executable, "-m", f"tests.servers.{module}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
            start_new_session=True,
        )
        try:
            self.ready = self.tell(first)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    @property
    def pid(self) -> int:
        return self._process.pid

    def tell(self, command: dict[str, Any]) -> dict[str, Any]:
        """The answer comes when the command has taken effect."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with self._lock:
            self._process.stdin.write(json.dumps(command).encode() + b"\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self._module} ended: its error is on stderr")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


async def serve(handle: Handler) -> None:
    """The helper's side: answer commands until the pipe ends."""
    loop = asyncio.get_running_loop()
    lines = asyncio.StreamReader(limit=2**20)
    transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    try:
        while line := await lines.readline():
            try:
                answer = await handle(json.loads(line))
            except Exception as error:
                answer = {"error": f"{type(error).__name__}: {error}"}
            print(json.dumps(answer), flush=True)
    finally:
        transport.close()
