"""One contender in one scenario, in a process of its own: `one.py CONTENDER SCENARIO URL`; answers a line."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
import warnings
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from asked import CONTENDERS
from scenarios import LIMIT, SCENARIOS, Outside

from tests.servers.proxy import Proxy

TABLE = "CREATE TABLE promise (name VARCHAR(50) PRIMARY KEY, number INTEGER)"


async def main(name: str, scenario: str, url: str) -> str:
    kind = CONTENDERS[name]
    outside = Outside(kind.family, url)
    outside.connection.query("DROP TABLE IF EXISTS promise")
    outside.connection.query(TABLE)
    for row in ("there", "a", "b"):
        outside.connection.query(f"INSERT INTO promise (name) VALUES ('{row}')")
    with Proxy(url) as proxy:
        it = kind(proxy.url, LIMIT if scenario == "blackhole" else None)
        await it.open()
        try:
            return await SCENARIOS[scenario][1](it, outside, proxy)
        finally:
            with contextlib.suppress(Exception):
                await asyncio.wait_for(it.close(), 2)


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    loop = asyncio.new_event_loop()
    answer = loop.run_until_complete(main(*sys.argv[1:]))
    print(answer, flush=True)
    # Whoever left something behind must not keep the process from ending.
    import os

    os._exit(0)
