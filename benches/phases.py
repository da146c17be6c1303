"""Where the time of one row goes, phase by phase: `nox -s bench -- profile ROW`.

No clock runs inside the engine. The phases are differences between measurements of the same operation:

- *whole*: the operation as users write it;
- *Python*: the same with an engine that has the answer ready: building the query, its shape and values, the coroutine,
  what is done with the answer;
- *engine*: the rest. For reads the very call that the query makes is repeated with other loaders, so that the cost of
  making instances shows. An empty trip to an engine thread, and the same SQL in the standard library's sqlite3 (which
  makes tuples), stand beside it for comparison.
"""

import asyncio
import gc
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import people
from contenders.oxyde_orm import Oxyde, OxydePerson
from rows import HEADLINE, ROWS, Row
from worker import Worker

from oxyde_core import Pending, compile_sql

SECONDS, BATCHES = 0.15, 9


class Engine:
    """Stands where the engine stands: passes everything on and remembers the last call, or answers from memory."""

    def __init__(self, real: Any) -> None:
        self.real = real
        self.call: tuple[str, tuple[Any, ...]] = ("", ())
        self.waits = False
        self.answer: Any = None
        self.ready = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)

    def run(self, *arguments: Any) -> Any:
        return self.answer if self.ready else self.pass_on("run", arguments)

    def run_bulk(self, *arguments: Any) -> Any:
        return self.answer if self.ready else self.pass_on("run_bulk", arguments)

    def pass_on(self, method: str, arguments: tuple[Any, ...]) -> Any:
        self.call = (method, arguments)
        result = getattr(self.real, method)(*arguments)
        self.waits = type(result) is Pending
        return result


async def median(operate: Callable[[], Awaitable[Any]], prepare: Callable[[], Awaitable[Any]] | None = None) -> float:
    """Microseconds of one operation: the median of batches. What `prepare` does before each is not counted."""
    times: list[float] = []
    loops = 1
    deadline = time.perf_counter() + SECONDS * 4
    while len(times) < BATCHES or time.perf_counter() < deadline:
        if prepare is not None:
            await prepare()
        began = time.perf_counter()
        for _ in range(loops):
            await operate()
        elapsed = time.perf_counter() - began
        if prepare is None and elapsed < SECONDS / 10:
            loops *= 4  # still finding out how many fill a batch
            continue
        times.append(elapsed / loops)
    return statistics.median(times) * 1e6


class Profile:
    def __init__(self, row: Row, folder: Path) -> None:
        self.row, self.shape = row, HEADLINE[row.name]
        self.path = folder / "people.db"
        self.copy = folder / "copy.db"
        self.lines: list[tuple[int, str, float]] = []

    async def run(self) -> None:
        contender = Oxyde()
        settings = {} if self.row.synchronous is None else {"synchronous": self.row.synchronous}
        await contender.open(self.path, settings, self.row.name)
        worker = Worker(contender, self.path, self.row.name, self.shape)
        engine = Engine(contender.database.core)
        contender.database.core = engine
        try:
            await self.measure(worker, engine)
        finally:
            contender.database.core = engine.real
            await contender.close()

    async def measure(self, worker: Worker, engine: Engine) -> None:
        value: Any = None

        async def prepare() -> None:
            nonlocal value
            await worker.reset()
            value = next(worker.inputs)
            gc.collect()

        async def fresh() -> Any:
            return await worker.operate(value)

        operate, before = (fresh, prepare) if worker.fresh else (worker.once, None)
        if before is not None:
            await before()
        await operate()
        method, arguments = engine.call
        # The call once more: what the engine answers, not what the query makes of it.
        answer = getattr(engine.real, method)(*arguments)
        engine.answer = await answer if type(answer) is Pending else answer
        whole = await median(operate, before)
        engine.ready = True
        python = await median(operate, before)
        engine.ready = False
        await worker.reset()
        times = self.row.per_operation if self.row.operation == "concurrent" else 1
        way = "through an engine thread" if engine.waits else "inline, on the calling thread"
        self.note(0, f"whole ({way})", whole)
        self.note(1, "Python: query, shape, values, coroutine", python)
        self.note(1, "engine", whole - python)
        if method == "run" and arguments[0][0] == "select":
            await self.reads(engine, arguments, times)

        async def ping() -> None:
            await engine.real.ping()

        if times > 1:

            async def one_after_the_other() -> None:
                await worker.operate([1])

            self.note(0, "one of them alone", await median(one_after_the_other))
        self.note(0, "compare: an empty trip to an engine thread and back", await median(ping))

    async def reads(self, engine: Engine, arguments: tuple[Any, ...], times: int) -> None:
        shape, params, loader, lease = arguments

        async def repeat(with_loader: Any) -> float:
            async def call() -> None:
                answer = engine.real.run(shape, params, with_loader, lease)
                if type(answer) is Pending:
                    await answer

            return await median(call)

        each = " (each)" if times > 1 else ""
        own = await repeat(loader)
        self.note(2, f"the call itself, repeated{each}", own)
        if self.shape == "model":
            names = tuple(column.name for column in OxydePerson.__oxyde__.columns)
            tuples = await repeat(OxydePerson.__oxyde__.loader(names, "tuple"))
            self.note(3, "look-up, hand-over, SQLite, decoding to tuples", tuples)
            self.note(3, "instances instead of tuples", own - tuples)
        text, values = compile_sql(shape, params, "sqlite")
        connection = sqlite3.connect(self.copy)
        began, count = time.perf_counter(), 0
        while time.perf_counter() - began < SECONDS * 3:
            connection.execute(text, values).fetchall()
            count += 1
        self.note(0, "compare: the same SQL in sqlite3, as tuples", (time.perf_counter() - began) / count * 1e6)
        connection.close()

    def note(self, depth: int, what: str, microseconds: float) -> None:
        self.lines.append((depth, what, microseconds))

    def show(self) -> None:
        whole = self.lines[0][2]
        print(f"\n{self.row.title} → {self.shape}, in µs per operation\n")
        for depth, what, microseconds in self.lines:
            share = f"{microseconds / whole:6.0%}"
            print(f"{'    ' * depth + what:<66}{microseconds:>12,.1f}{share:>8}")


def main(name: str) -> int:
    with tempfile.TemporaryDirectory(prefix="oxyde-profile-") as folder:
        profile = Profile(ROWS[name], Path(folder))
        worker = str(Path(__file__).with_name("worker.py"))
        subprocess.run([sys.executable, worker, "oxyde", profile.path, "--create"], check=True)
        people.fill(profile.path)
        # The standard library brings another SQLite: two of them must not open one file in one process.
        shutil.copy2(profile.path, profile.copy)
        asyncio.run(profile.run())
    profile.show()
    return 0
