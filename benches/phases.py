"""Where the time of one row goes, phase by phase: `nox -s bench -- profile ROW`.

No clock runs inside the engine. The phases are differences between measurements of the same operation:

- *whole*: the operation as users write it;
- *Python*: the same with an engine that has the answer ready: building the query, its shape and values, the coroutine,
  what is done with the answer;
- *engine*: the rest. For reads the very call that the query makes is repeated with other loaders, so that the cost of
  making instances shows.

What stands beside them for comparison is measured on the same table: an empty trip to the engine and back, and the same
SQL without Oxyde. On SQLite that is the standard library's sqlite3 (which makes tuples); on a server the bytes of the
statement and of its answer, on a blocking socket (server and kernel) and through a protocol of the loop (wire.py).
"""

import asyncio
import gc
import sqlite3
import statistics
import time
from collections.abc import Awaitable, Callable
from typing import Any

from contenders.oxyde_orm import Oxyde, OxydePerson
from databases import Database
from rows import HEADLINE, Row
from worker import Worker

from oxyde_core import Pending, compile_sql

SECONDS, BATCHES = 0.15, 9
STOCK = 50_000  # rows that can be deleted while that is measured


class Parts:
    """Many rows that are stored already, as one statement."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def __len__(self) -> int:
        return 1

    def result(self) -> Any:
        return self.answer


class Engine:
    """Stands where the engine stands: passes everything on and remembers the last call, or answers from memory."""

    def __init__(self, real: Any) -> None:
        self.real = real
        self.call: tuple[str, tuple[Any, ...], dict[str, Any]] = ("", (), {})
        self.waits = False
        self.answer: Any = None
        self.ready = False
        self.parts = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)

    def run(self, *arguments: Any, **options: Any) -> Any:
        return self.ready_answer() if self.ready else self.pass_on("run", arguments, options)

    def run_bulk(self, *arguments: Any, **options: Any) -> Any:
        return self.ready_answer() if self.ready else self.pass_on("run_bulk", arguments, options)

    def prepare_parts(self, *arguments: Any, **options: Any) -> Any:
        """Many rows for MySQL: some statements, run one by one. None where `run_bulk` does it."""
        if self.ready:
            return Parts(self.answer) if self.parts else None
        prepared = self.real.prepare_parts(*arguments, **options)
        self.parts = prepared is not None
        return prepared

    def run_part(self, *arguments: Any, **options: Any) -> Any:
        return self.ready_answer() if self.ready else self.pass_on("run_part", arguments, options)

    def ready_answer(self) -> Any:
        """A list of its own every time: who asked for one row takes it out."""
        return list(self.answer) if type(self.answer) is list else self.answer

    def pass_on(self, method: str, arguments: tuple[Any, ...], options: dict[str, Any]) -> Any:
        self.call = (method, arguments, options)
        result = getattr(self.real, method)(*arguments, **options)
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
    def __init__(self, row: Row, database: Database) -> None:
        self.row, self.shape, self.database = row, HEADLINE[row.name], database
        # One copy for Oxyde and one for the comparison, among other things because the standard library brings another
        # SQLite: two of them must not open one file in one process.
        self.place, self.beside = database.copy(row.durable), database.copy(row.durable)
        self.lines: list[tuple[int, str, float]] = []

    async def run(self) -> None:
        contender = Oxyde()
        settings = self.database.options("oxyde", self.row.durable, {})
        await contender.open(self.place, settings, self.row.name)
        worker = Worker(contender, self.database.name, self.row.name, self.shape)
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
        await worker.reset(STOCK)
        if before is not None:
            await before()
        await operate()
        method, arguments, options = engine.call
        # The call once more: what the engine answers, not what the query makes of it. New instances were completed by
        # the engine, and can be inserted only once.
        answer = () if worker.fresh else getattr(engine.real, method)(*arguments, **options)
        engine.answer = await answer if type(answer) is Pending else answer
        whole = await median(operate, before)
        engine.ready = True
        python = await median(operate, before)
        engine.ready = False
        await worker.reset()
        times = self.row.per_operation if self.row.operation == "concurrent" else 1
        there = "through an engine thread" if self.database.name == "sqlite" else "through the event loop"
        way = there if engine.waits else "inline, on the calling thread"
        self.note(0, f"whole ({way})", whole)
        self.note(1, "Python: query, shape, values, coroutine", python)
        self.note(1, "engine", whole - python)
        if method == "run" and arguments[0][0] == "select":
            await self.reads(engine, arguments, times)
        if method == "run" and self.row.operation != "delete":  # of which there is nothing to repeat
            await self.beside_it(*compile_sql(arguments[0], arguments[1], self.database.name), times)

        async def ping() -> None:
            await engine.real.ping()

        if times > 1:

            async def one_after_the_other() -> None:
                await worker.operate([1])

            self.note(0, "one of them alone", await median(one_after_the_other))
        self.note(0, "compare: an empty trip to the engine and back", await median(ping))

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
            self.note(3, f"look-up, hand-over, {self.database.title}, decoding to tuples", tuples)
            self.note(3, "instances instead of tuples", own - tuples)

    async def beside_it(self, sql: str, values: list[Any], times: int) -> None:
        each = " (each)" if times > 1 else ""
        if self.database.name == "sqlite":
            connection = sqlite3.connect(self.beside)
            began, count = time.perf_counter(), 0
            while time.perf_counter() - began < SECONDS * 3:
                connection.execute(sql, values).fetchall()
                count += 1
            elapsed = (time.perf_counter() - began) / count * 1e6
            self.note(0, f"compare: the same SQL in sqlite3, as tuples{each}", elapsed)
            connection.close()
            return
        import wire as wires

        wire = {"postgres": wires.Postgres, "mysql": wires.Mysql}[self.database.name](self.beside, sql, values)
        self.note(0, f"compare: its bytes on a blocking socket: server and kernel{each}", await median(wire.blocking))
        await wire.start()
        self.note(0, f"compare: its bytes through a bare protocol of the loop{each}", await median(wire.asynchronous))
        wire.close()

    def note(self, depth: int, what: str, microseconds: float) -> None:
        self.lines.append((depth, what, microseconds))

    def show(self) -> None:
        whole = self.lines[0][2]
        print(f"\n{self.row.title} → {self.shape}, in µs per operation\n")
        for depth, what, microseconds in self.lines:
            share = f"{microseconds / whole:6.0%}"
            print(f"{'    ' * depth + what:<66}{microseconds:>12,.1f}{share:>8}")


def main(row: Row, database: Database, loop: str) -> None:
    database.prepare()
    profile = Profile(row, database)
    if loop == "uvloop":
        import uvloop

        uvloop.run(profile.run())
    else:
        asyncio.run(profile.run())
    profile.show()
