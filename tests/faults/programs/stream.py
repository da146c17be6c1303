"""``rows``: how much memory a stream of that many takes over what the process had before, at its peak, in KiB; ``of``
models, of raw SQL (``raw``), or of raw SQL on a connection that is kept (``kept``).

``loops``: what a stream says that is read on in another loop, while its own runs and after that was closed.
"""

from __future__ import annotations

import asyncio
import threading
from contextlib import AsyncExitStack
from typing import Any

from common import Account, Entry, arguments, peak_from_now, prepared, quiet, report

from oxyde import AsyncDatabase, execute_raw, iterate_raw

URL, OPTIONS = arguments()

NUMBERS = {
    "sqlite": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {}) "
    "INSERT INTO faults_entry (nonce, part) SELECT printf('number %d', i), i FROM n",
    "postgres": "INSERT INTO faults_entry (nonce, part) SELECT 'number ' || i, i FROM generate_series(1, {}) AS i",
    "mariadb": "INSERT INTO faults_entry (nonce, part) SELECT concat('number ', seq), seq FROM seq_1_to_{}",
    "mysql": "INSERT INTO faults_entry (nonce, part) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n "
    "WHERE i < {}) SELECT /*+ SET_VAR(cte_max_recursion_depth = 1000000000) */ concat('number ', i), i FROM n",
}


async def memory() -> dict[str, Any]:
    database = await prepared(URL, accounts=100)
    await execute_raw(NUMBERS[database.backend].format(OPTIONS["rows"]))
    # Everything that is made once: connections, plans, decoders.
    assert len(await Entry.objects.filter(id__lte=50).order_by("id")) > 0
    async for _ in Account.objects.iterate():
        pass
    grown, rows = peak_from_now(), 0
    async with AsyncExitStack() as stack:
        if OPTIONS["of"] == "models":
            async for entry in Entry.objects.order_by("id").iterate():
                rows += 1
                assert entry.part == rows
        else:
            iterate: Any = iterate_raw
            if OPTIONS["of"] == "kept":
                iterate = (await stack.enter_async_context(database.connection())).iterate
            async for row in iterate("SELECT id, nonce, part FROM faults_entry ORDER BY id"):
                rows += 1
                assert row["part"] == rows
    kib = grown()
    await quiet(database)
    await database.disconnect()
    return {"rows": rows, "kib": kib}


async def read_on(rows: Any) -> str:
    try:
        async for _ in rows:
            pass
    except Exception as error:
        return type(error).__name__
    return "nothing"


def loops() -> dict[str, Any]:
    found: dict[str, Any] = {}
    database: AsyncDatabase = asyncio.run(prepared(URL, accounts=60))
    closed = asyncio.new_event_loop()
    rows = Account.objects.order_by("id").iterate(10)
    closed.run_until_complete(anext(rows))
    # Without closing its asynchronous generators.
    closed.close()
    found["closed"] = asyncio.run(read_on(rows))

    async def main() -> None:
        other = Account.objects.order_by("id").iterate(10)
        await anext(other)

        def elsewhere() -> None:
            found["other"] = asyncio.run(read_on(other))

        thread = threading.Thread(target=elsewhere)
        thread.start()
        await asyncio.to_thread(thread.join)
        found["in_use"] = (await quiet(database))["in_use"]
        await database.disconnect()

    asyncio.run(main())
    return found


report(**(loops() if OPTIONS.get("loops") else asyncio.run(memory())))
