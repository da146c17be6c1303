"""The tables of all scenarios, and how a script reports."""

from __future__ import annotations

import asyncio
import gc
import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from oxyde import AsyncDatabase, Field, Model, PoolSettings, create_tables, execute_raw, get_connection


class Account(Model):
    id: int | None = Field(default=None, db_pk=True)
    owner: str = Field(db_unique=True)
    balance: int = 0

    class Meta:
        is_table = True
        table_name = "faults_account"


class Entry(Model):
    """A row that says who wrote it: ``nonce`` names the operation, ``part`` its place in it."""

    id: int | None = Field(default=None, db_pk=True)
    nonce: str = Field(db_index=True)
    part: int = 0

    class Meta:
        is_table = True
        table_name = "faults_entry"


MODELS = [Account, Entry]
MYSQL = ("mysql", "mariadb")
# Minutes, if nobody stops it.
ENDLESS = 2_000_000_000


def long(rows: int) -> str:
    """Counts to ``rows`` and says so: 100 ms for a million.

    A raw statement that begins with SELECT is a reader's work.
    """
    numbers = f"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows})"
    counting = f"{numbers} SELECT max(i) AS total FROM n"
    if get_connection().backend in MYSQL:  # which would write every number down
        counting = f"SELECT {rows} + BENCHMARK({rows}, SHA2('x', 256)) AS total"
    return f"SELECT total FROM ({counting}) AS counted"


def long_write(rows: int) -> str:
    """Stores the same as an entry's part."""
    return "INSERT INTO faults_entry (nonce, part) " + long(rows).replace("SELECT total", "SELECT 'long', total", 1)


def sleep(seconds: object = "?") -> str:
    """The call of a function that takes so long, on a server."""
    return f"{'SLEEP' if get_connection().backend in MYSQL else 'pg_sleep'}({seconds})"


def database_at(url: str, *, name: str = "default", **settings: Any) -> AsyncDatabase:
    """A registered, unconnected database."""
    return AsyncDatabase(url, name=name, settings=PoolSettings(**settings), overwrite=True)


async def ask(text: str, *params: Any) -> list[dict[str, Any]]:
    """``execute_raw`` with ``?`` as placeholder and with TEXT and BIGINT as types on every database."""
    backend = get_connection().backend
    if backend == "postgres":
        first, *rest = text.split("?")
        text = first + "".join(f"${n}{part}" for n, part in enumerate(rest, 1))
    elif backend in MYSQL:
        text = text.replace(" AS TEXT)", " AS CHAR)").replace(" AS BIGINT)", " AS SIGNED)")
    return await execute_raw(text, params)


async def prepared(url: str, *, accounts: int = 0, balance: int = 100, **settings: Any) -> AsyncDatabase:
    """A connected database with its tables and accounts numbered from 1."""
    database = database_at(url, **settings)
    await database.connect()
    await create_tables(models=MODELS, if_not_exists=True)
    if accounts:
        await Account.objects.bulk_create(
            [Account(owner=f"owner-{n}", balance=balance) for n in range(1, accounts + 1)]
        )
    return database


def peak_from_now() -> Callable[[], int]:
    """A function that tells how much more memory than now was resident at most since now, in KiB.

    What ``getrusage()`` says is no less than what the parent process had when it started this one.
    """
    gc.collect()
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:  # not on Linux
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    before = _resident("VmRSS")
    return lambda: _resident("VmHWM") - before


def _resident(name: str) -> int:
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith(name))


async def quiet(database: AsyncDatabase, seconds: float = 2.0) -> dict[str, Any]:
    """The pool's numbers when nobody uses it any more; raises if that takes too long."""
    deadline = time.monotonic() + seconds
    while True:
        stats = database.stats()
        if not stats["in_use"] and not stats["waiting"]:
            return stats
        if time.monotonic() > deadline:
            raise AssertionError(f"the pool is not quiet after {seconds} s: {stats}")
        await asyncio.sleep(0.002)


def report(**values: Any) -> None:
    """Say what was found out, once."""
    print(json.dumps(values), flush=True)


def arguments() -> tuple[str, dict[str, Any]]:
    """The database's URL and the options, as ``harness.run_program`` passes them."""
    return sys.argv[1], json.loads(sys.argv[2])
