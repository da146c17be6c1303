"""One contender in a process of its own: does a round when told to and says what it cost.

Started by run.py, which speaks to it in lines of JSON over standard input and output. Between rounds it waits without
using the processor, so that the contenders of a row can take turns. Beside the time on the clock a round reports the
processor time of the whole process (every thread), the voluntary context switches, and its peak of resident memory.
"""

import argparse
import asyncio
import gc
import json
import os
import random
import resource
import statistics
import sys
import time
from collections.abc import Iterator
from itertools import count, cycle
from pathlib import Path
from typing import Any

import contenders
from databases import family
from people import COUNT, TABLE, VIEW, WRITTEN, people
from pydantic import BaseModel
from rows import ROWS

BATCHES = 5  # of a round; its figure is their median


class Worker:
    def __init__(self, contender: contenders.Contender, database: str, row: str, shape: str) -> None:
        self.contender, self.database, self.row, self.shape = contender, database, row, shape
        self.operate = contender.operation(row, shape)
        # What one operation must be given fresh, made outside the measured time.
        self.fresh = ROWS[row].operation == "bulk"
        self.long = ROWS[row].long
        self.inputs = self.make_inputs()

    def make_inputs(self) -> Iterator[Any]:
        chance = random.Random(5)
        match ROWS[self.row].operation:
            case "update":  # never the value that is there already: SQLite would not write the page
                return ((chance.randint(1, COUNT), visits) for visits in count(COUNT * 10))
            case "pk":
                return cycle([chance.randint(1, COUNT) for _ in range(COUNT)])
            case "concurrent":
                return cycle([[chance.randint(1, COUNT) for _ in range(100)] for _ in range(20)])
            case "rows":
                return cycle([18])
            case "count" | "stream":
                return cycle([0])
            case "delete":
                return count(COUNT + 1)
            case "insert":
                return cycle(people(COUNT, first=COUNT + 1))
            case _:
                return self.bulks(ROWS[self.row].per_operation)

    def bulks(self, number: int) -> Iterator[Any]:
        fields = people(number, first=COUNT + 1)
        while True:
            yield self.contender.instances(fields) if self.shape == "model" else [dict(person) for person in fields]

    async def once(self) -> Any:
        done = self.operate(next(self.inputs))
        return await done if self.contender.asynchronous else done

    async def reset(self, stock: int = 1) -> None:
        """Take away what inserting has added; lay in as many rows as will be deleted."""
        operation = ROWS[self.row].operation
        if operation not in {"insert", "bulk", "delete"}:
            return
        await self.contender.execute(f"DELETE FROM {TABLE} WHERE id > {COUNT}")
        if self.database == "postgres":  # whose deleted rows stay until somebody sweeps
            await self.contender.execute(f"VACUUM {TABLE}")
        if operation == "delete":
            columns = ", ".join(WRITTEN)
            for first in range(COUNT, COUNT + stock, COUNT):
                copies = f"SELECT id + {first}, {columns} FROM {TABLE} WHERE id <= {COUNT}"
                await self.contender.execute(f"INSERT INTO {TABLE} (id, {columns}) {copies}")
            self.inputs = self.make_inputs()

    async def answer(self, _: dict[str, Any]) -> dict[str, Any]:
        """Do the operation once and tell its result in plain values, for the comparison with the other contenders."""
        if self.long:
            await self.contender.execute(VIEW)
        await self.reset()
        result = await self.once()
        return {"result": repr(plain(result))}

    async def calibrate(self, order: dict[str, Any]) -> dict[str, Any]:
        """How many operations fill a batch of the wanted length; warms everything up on the way."""
        if self.long:
            return {"loops": 1}
        for _ in range(3):
            await self.reset()
            await self.once()
        loops, target = 1, order["seconds"] / BATCHES
        while not self.fresh:
            await self.reset(loops)
            elapsed = await self.batch(loops)
            if elapsed >= target or loops > 1_000_000:
                break
            loops = max(loops + 1, min(loops * 10, int(loops * target / max(elapsed, 1e-9)) + 1))
        await self.reset()
        return {"loops": loops}

    async def batch(self, loops: int) -> float:
        """The seconds on the clock of so many operations, one after the other."""
        operate, values = self.operate, [next(self.inputs) for _ in range(loops)]
        began = time.perf_counter()
        if self.contender.asynchronous:
            for value in values:
                await operate(value)
        else:
            for value in values:
                operate(value)
        return time.perf_counter() - began

    async def round(self, order: dict[str, Any]) -> dict[str, Any]:
        loops = order["loops"]
        await self.reset(loops * BATCHES)
        gc.collect()
        times, cpu, switches = [], 0.0, 0
        # Fresh operations: at least three, and as many more as the round has time for.
        deadline = time.perf_counter() + order["seconds"]
        batches = 1 if self.long else BATCHES
        while len(times) < batches if not self.fresh else len(times) < 3 or time.perf_counter() < deadline:
            before = resource.getrusage(resource.RUSAGE_SELF)
            if self.fresh:
                value = next(self.inputs)
                gc.collect()
                before = resource.getrusage(resource.RUSAGE_SELF)
                began = time.perf_counter()
                done = self.operate(value)
                if self.contender.asynchronous:
                    await done
                elapsed = time.perf_counter() - began
            else:
                elapsed = await self.batch(loops)
            after = resource.getrusage(resource.RUSAGE_SELF)
            times.append(elapsed / loops)
            cpu += after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            switches += after.ru_nvcsw - before.ru_nvcsw
            if self.fresh:
                del value, done
                await self.reset()
        operations = loops * len(times)
        return {
            "seconds": statistics.median(times),
            "cpu": cpu / operations,
            "switches": switches / operations,
            "operations": operations,
        }

    async def settings(self, order: dict[str, Any]) -> dict[str, Any]:
        return {name: await self.contender.value(sql) for name, sql in order["sql"].items()}

    async def about(self, _: dict[str, Any]) -> dict[str, Any]:
        versions = self.contender.versions()
        if self.database == "postgres":
            versions["PostgreSQL"] = str(await self.contender.value("SHOW server_version")).split()[0]
        elif self.database == "mysql":
            version = str(await self.contender.value("SELECT version()"))
            versions["MariaDB" if "MariaDB" in version else "MySQL"] = version.split("-")[0]
        elif "SQLite" not in versions:
            versions["SQLite"] = await self.contender.value("SELECT sqlite_version()")
        return versions

    async def memory(self, _: dict[str, Any]) -> dict[str, Any]:
        return {"peak_kib": peak_kib()}


def plain(value: Any) -> Any:
    """Rows, dicts and models of any library as tuples and dicts of plain values that compare and print equal."""
    if isinstance(value, BaseModel):
        return value.model_dump()
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value


def peak_kib() -> int:
    """The process's peak resident memory: VmHWM where /proc tells it, else what getrusage keeps."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak // 1024 if sys.platform == "darwin" else peak
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))


async def serve(arguments: argparse.Namespace) -> None:
    contender = contenders.make(arguments.contender)
    if arguments.create:  # the table that everybody uses, made once, by the one who knows how it must look
        await contender.open(arguments.place, {}, "create")
        await contender.create()
        await contender.close()
        return
    await contender.open(arguments.place, json.loads(arguments.settings), arguments.row)
    worker = Worker(contender, family(arguments.place), arguments.row, arguments.shape)
    verbs = {
        "about": worker.about,
        "settings": worker.settings,
        "answer": worker.answer,
        "calibrate": worker.calibrate,
        "round": worker.round,
        "memory": worker.memory,
    }
    tell({"ready": True})
    for line in sys.stdin:
        order = json.loads(line)
        if order["do"] == "end":
            break
        tell(await verbs[order["do"]](order))
    await contender.close()


def tell(answer: dict[str, Any]) -> None:
    print(json.dumps(answer), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("contender")
    parser.add_argument("place")
    parser.add_argument("--row", default="")
    parser.add_argument("--shape", default="")
    parser.add_argument("--settings", default="{}")
    parser.add_argument("--pin", type=int)
    parser.add_argument("--loop", default="asyncio")
    parser.add_argument("--create", action="store_true")
    arguments = parser.parse_args()
    if arguments.pin is not None:
        os.sched_setaffinity(0, {arguments.pin})
    if arguments.loop == "uvloop":
        import uvloop

        uvloop.run(serve(arguments))
    else:
        asyncio.run(serve(arguments))


if __name__ == "__main__":
    main()
