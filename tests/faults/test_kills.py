"""Connections that the server ends at any moment, under load: nothing is lost, done twice or left behind."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from typing import Any

from oxyde import F, atomic, execute_raw
from oxyde.exceptions import CommitUnknownError, ConnectError, ConnectionLostError, InternalError, OxydeError

from .harness import SERVERS, WIRE, Where, check, on, scaled
from .programs.common import Account, Entry, ask, quiet

pytestmark = on(*WIRE)

ACCOUNTS, BALANCE = 6, 1000


async def test_bank_under_kills(opened: Any, where: Where, seed: int) -> None:
    """The sum is constant; what was acknowledged is there, what failed is not, what is unknown is either."""
    database = await opened(accounts=ACCOUNTS, balance=BALANCE, max_connections=8)
    chance = random.Random(seed)
    told: dict[str, str] = {}
    seen: Counter[str] = Counter()
    sums: set[int] = set()
    stop = asyncio.Event()

    async def transfer(nonce: str) -> None:
        source, target = chance.sample(range(1, ACCOUNTS + 1), 2)
        amount = chance.randrange(1, 50)
        async with atomic():
            await Entry.objects.create(nonce=nonce, part=amount)
            # The smaller number first: no two of them wait for each other.
            for number, change in sorted([(source, -amount), (target, amount)]):
                assert await Account.objects.filter(id=number).update(balance=F("balance") + change) == 1

    async def run(nonce: str) -> None:
        told[nonce] = "undone"
        try:
            await transfer(nonce)
            told[nonce] = "done"
        except CommitUnknownError:
            told[nonce] = "unknown"
        except OxydeError as error:
            assert not isinstance(error, InternalError), error
            seen[type(error).__name__] += 1

    async def single(nonce: str) -> None:
        """One statement outside of a transaction: whether it was done is known, or said to be unknown."""
        told[nonce] = "undone"
        try:
            await Entry.objects.create(nonce=nonce)
            told[nonce] = "done"
        except OxydeError as error:
            assert not isinstance(error, InternalError), error
            told[nonce] = "unknown" if error.outcome == "unknown" else "undone"
            seen[type(error).__name__] += 1

    async def audit() -> None:
        while not stop.is_set():
            seen["reads"] += 1
            nonce = f"read {seen['reads']}"
            try:
                rows = await ask("SELECT CAST(? AS TEXT) AS nonce, sum(balance) AS total FROM faults_account", nonce)
            except (ConnectionLostError, ConnectError):
                seen["lost reads"] += 1
                continue
            assert rows[0]["nonce"] == nonce
            sums.add(int(rows[0]["total"]))
            await asyncio.sleep(0)

    def kill() -> None:
        sessions = SERVERS[where.kind].sessions("faults")
        for thread, *_ in chance.sample(sessions, min(2, len(sessions))):
            SERVERS[where.kind].end_session("faults", thread)

    async def killer() -> None:
        while not stop.is_set():
            kill()
            await asyncio.sleep(0.03)

    others = [asyncio.create_task(audit()), asyncio.create_task(audit()), asyncio.create_task(killer())]
    wave = 0
    # A fast machine is through before many were killed.
    while wave < scaled(5) or (database.stats()["lost"] < 10 and wave < scaled(100)):
        wave += 1
        work = [run(f"transfer {wave}-{n}") for n in range(40)] + [single(f"single {wave}-{n}") for n in range(20)]
        _, pending = await asyncio.wait([asyncio.create_task(one) for one in work], timeout=30)
        assert not pending
    stop.set()
    await asyncio.gather(*others)
    assert seen["ConnectionLostError"] + seen["TransactionBrokenError"] > 0, seen
    await quiet(database)
    assert database.stats()["lost"] > 3
    assert await execute_raw("SELECT 1 AS one") == [{"one": 1}]
    await database.disconnect()
    assert sums == {ACCOUNTS * BALANCE}
    total, rows = check(where, "SELECT sum(balance) FROM faults_account", "SELECT nonce FROM faults_entry")
    assert total == [[ACCOUNTS * BALANCE]]
    stored = Counter(nonce for (nonce,) in rows)
    assert set(stored.values()) == {1}
    for nonce, how in told.items():
        assert how == "unknown" or (nonce in stored) == (how == "done"), (nonce, how)
    done = sum(how == "done" for how in told.values())
    assert done > len(told) / 4, seen
