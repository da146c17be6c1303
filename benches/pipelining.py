"""What sharing a connection is worth, and what it costs: reads behind reads on PostgreSQL, switched on and off.

    python benches/pipelining.py [URL]

Two loads, each with PoolSettings(pipelining=True) and False in turns, in one process:

* 100 look-ups by primary key at once through a pool of ten: the time for all of them.
* One look-up after the other, while other tasks keep queries of 20 ms running through the same pool: how long a look-up
  takes (P50, P99). Fewer such tasks than connections, as many, and more.

A query of 20 ms is `SELECT … FROM generate_series` in the server (a raw one, which never shares a connection) or, as
"compiled", a model's query on a view that does the same (which may).
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import time
from typing import Any

from oxyde import AsyncDatabase, Field, Model, PoolSettings, execute_raw

URL = "postgres://postgres@127.0.0.1:5432/postgres"
ROUNDS = 7
LOOKUPS = 250


class Row(Model):
    id: int | None = Field(default=None, db_pk=True)
    name: str

    class Meta:
        is_table = True
        table_name = "bench_pipelining"


class Slow(Model):
    """A view: each row of it takes 20 ms."""

    id: int | None = Field(default=None, db_pk=True)
    name: str

    class Meta:
        is_table = True
        table_name = "bench_pipelining_slow"


async def prepare() -> None:
    await drop()
    await execute_raw("CREATE TABLE bench_pipelining (id bigint PRIMARY KEY, name text NOT NULL)")
    await execute_raw("INSERT INTO bench_pipelining SELECT n, 'name ' || n FROM generate_series(1, 1000) AS n")
    await execute_raw("ANALYZE bench_pipelining")
    await execute_raw(
        "CREATE VIEW bench_pipelining_slow AS SELECT 1::bigint AS id, 'slow'::text AS name FROM pg_sleep(0.02)"
    )


async def drop() -> None:
    await execute_raw("DROP VIEW IF EXISTS bench_pipelining_slow")
    await execute_raw("DROP TABLE IF EXISTS bench_pipelining")


async def at_once() -> float:
    started = time.perf_counter()
    await asyncio.gather(*(Row.objects.get(id=number) for number in range(1, 101)))
    return time.perf_counter() - started


async def beside(tasks: int, compiled: bool) -> list[float]:
    """The times of look-ups while `tasks` others keep the pool busy."""
    stop = False

    async def busy(number: int) -> None:
        # Not all in step.
        await asyncio.sleep(number * 0.003)
        while not stop:
            if compiled:
                await Slow.objects.all()
            else:
                await execute_raw("SELECT pg_sleep(0.02)")

    others = [asyncio.create_task(busy(number)) for number in range(tasks)]
    await asyncio.sleep(0.1)
    times = []
    for number in range(LOOKUPS):
        started = time.perf_counter()
        await Row.objects.get(id=number % 1000 + 1)
        times.append(time.perf_counter() - started)
        await asyncio.sleep(0.002)
    stop = True
    await asyncio.gather(*others)
    return times


def quantiles(times: list[float]) -> tuple[float, float]:
    cuts = statistics.quantiles(times, n=100)
    return cuts[49] * 1000, cuts[98] * 1000


async def main(url: str) -> None:
    found: dict[str, Any] = {}
    databases = {}
    for pipelining in (True, False):
        settings = PoolSettings(max_connections=10, min_connections=10, pipelining=pipelining)
        databases[pipelining] = await AsyncDatabase(url, name=str(pipelining), settings=settings, auto_register=False)
    from oxyde.db import registry

    registry.connections["default"] = databases[True]
    await prepare()
    for pipelining, database in databases.items():
        registry.connections["default"] = database
        for _ in range(5):
            await at_once()
        print("warm", pipelining, database.stats()["size"])
    bursts: dict[bool, list[float]] = {True: [], False: []}
    for _ in range(ROUNDS * 3):
        for pipelining, database in databases.items():
            registry.connections["default"] = database
            bursts[pipelining].append(await at_once())
    for pipelining, times in bursts.items():
        found[f"100 at once, pipelining={pipelining}"] = [min(times) * 1000, statistics.median(times) * 1000]
    for compiled in (False, True):
        for tasks in (5, 10, 20):
            times = {True: [], False: []}
            for _ in range(2):
                for pipelining, database in databases.items():
                    registry.connections["default"] = database
                    times[pipelining] += await beside(tasks, compiled)
            for pipelining in (True, False):
                kind = "compiled" if compiled else "raw"
                found[f"beside {tasks} {kind}, pipelining={pipelining}"] = list(quantiles(times[pipelining]))
    for name, (first, second) in found.items():
        print(f"{name:45} {first:8.2f} {second:8.2f} ms")
    print(json.dumps(found))
    registry.connections["default"] = databases[True]
    await drop()
    for database in databases.values():
        await database.disconnect()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else URL))
