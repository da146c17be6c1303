"""Connections that MySQL or MariaDB ends because nobody used them for `wait_timeout` seconds: no call notices."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from oxyde import atomic, execute_raw
from oxyde.exceptions import ConnectionLostError, TransactionBrokenError, TransactionRolledBackError
from tests.servers import mysql_databases

from .harness import Where, check, on, scaled
from .programs.common import Account, Entry, quiet, sleep

pytestmark = on("mysql")

SHORT = {"on_connect": ["SET wait_timeout = 1"]}


async def ended() -> None:
    """Until the server has ended every session."""
    while mysql_databases.sessions("faults"):
        await asyncio.sleep(0.02)


async def in_a_transaction(nonce: str) -> None:
    async with atomic():
        await Entry.objects.create(nonce=nonce)
        async with atomic():
            await Entry.objects.create(nonce=nonce)


async def test_no_call_fails(opened: Any, where: Where) -> None:
    database = await opened(accounts=5, max_connections=5, **SHORT)
    for round_ in range(scaled(2)):
        await asyncio.gather(*(execute_raw(f"SELECT {sleep(0.02)}") for _ in range(5)))
        assert len(mysql_databases.sessions("faults")) >= 2
        async with asyncio.timeout(5):
            await ended()
        # Reads and writes, at once with the news or soon after; all of them first statements of their connections.
        await asyncio.gather(
            *(Account.objects.get(id=n) for n in range(1, 6)),
            *(Entry.objects.create(nonce=f"{round_}") for _ in range(5)),
            *(in_a_transaction(f"{round_}") for _ in range(5)),
        )
        assert await Entry.objects.filter(nonce=f"{round_}").count() == 15
    await quiet(database)
    check(where)


async def test_at_the_very_moment(opened: Any) -> None:
    """Calls around the time at which the server says goodbye: none fails, and no write is done twice."""
    await opened(max_connections=1, **SHORT)
    for n in range(scaled(6)):
        await Entry.objects.create(nonce=f"{n}")
        await asyncio.sleep(0.97 + n % 6 * 0.012)
        await Entry.objects.create(nonce=f"{n}")
        assert await Entry.objects.filter(nonce=f"{n}").count() == 2


async def test_inside_a_transaction(opened: Any, where: Where) -> None:
    """Who thinks for too long has lost the transaction, and is told."""
    database = await opened(**SHORT)
    with pytest.raises((TransactionRolledBackError, ConnectionLostError)):
        async with atomic():
            await Entry.objects.create(nonce="lost")
            await ended()
            await asyncio.sleep(0.05)
            with pytest.raises((ConnectionLostError, TransactionBrokenError)):
                await Entry.objects.create(nonce="lost")
    await in_a_transaction("after")
    assert await Entry.objects.values_list("nonce", flat=True) == ["after", "after"]
    await quiet(database)
    check(where)
