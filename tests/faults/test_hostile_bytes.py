"""Bytes of a server that are not what it sent: an error of its kind within the limits, or an answer; never a crash."""

from __future__ import annotations

import asyncio
import gc
import random
from collections import Counter
from typing import Any

import pytest
from pydantic import ValidationError

from oxyde import OxydeError, atomic, execute_raw
from tests.servers.proxy import Proxy

from .harness import SERVERS, Where, on, scaled
from .programs.common import Account, Entry, database_at, peak_from_now, prepared

pytestmark = on(*SERVERS)

LIMIT = 0.3
# Of bytes: in some of the answers, in most of them.
RATES = (0.0005, 0.005)


async def use(chance: random.Random) -> None:
    match chance.randrange(6):
        case 0:
            await Account.objects.get(id=chance.randrange(1, 40))
        case 1:
            await Account.objects.order_by("id")
        case 2:
            await Entry.objects.create(nonce="x" * chance.randrange(200))
        case 3:
            async with atomic():
                await Account.objects.filter(id=1).update(balance=chance.randrange(100))
                await Entry.objects.bulk_create([Entry(nonce="many", part=n) for n in range(50)])
        case 4:
            await execute_raw("SELECT owner, balance FROM faults_account ORDER BY id")
        case 5:
            await Account.objects.values_list("owner", "balance")


@pytest.mark.parametrize("rate", RATES)
async def test_a_server_whose_bytes_are_spoilt(opened: Any, where: Where, seed: int, rate: float) -> None:
    await opened(accounts=40)
    chance = random.Random(seed)
    grown = peak_from_now()
    seen: Counter[str] = Counter()
    for _ in range(scaled(4)):
        with Proxy(where.url) as proxy:
            database = database_at(
                proxy.url,
                ssl_mode="disable",
                commit_timeout=LIMIT,
                statement_timeout=LIMIT,
                acquire_timeout=LIMIT,
                connect_timeout=LIMIT,
            )
            await database.connect()
            proxy.mutate(chance.randrange(2**32), rate)
            for _ in range(15):
                try:
                    # An operation waits for a connection, logs in, has several statements; and the machine is busy.
                    async with asyncio.timeout(20 * LIMIT):
                        await database.ensure_connected()
                        await use(chance)
                except (OxydeError, ValidationError, UnicodeError) as error:
                    seen[type(error).__name__] += 1
                    assert "a bug in Oxyde" not in str(error), error
                else:
                    seen["answered"] += 1
            await database.disconnect(timeout=1.0)
    print(seen)
    if rate == RATES[-1]:
        assert seen.total() > seen["answered"]
    gc.collect()
    # A length that was spoilt must not be believed: in KiB.
    assert grown() < 200 * 1024
    # The database itself is as usable as before.
    database = await prepared(where.url)
    assert len(await Account.objects.all()) == 40
    await database.disconnect()
