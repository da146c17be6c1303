"""A COMMIT whose answer is lost: a proxy swallows it, and nobody can know what became of the transaction."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from oxyde import AsyncDatabase, atomic
from oxyde.exceptions import CommitUnknownError, ConnectionLostError, QueryTimeoutError
from tests.servers.proxy import Proxy

from .commits import write
from .harness import WIRE, Where, no_transactions, on, outside
from .programs.common import Entry, database_at, quiet

pytestmark = on(*WIRE)


def stored(where: Where) -> int:
    return int(outside(where, "SELECT count(*) FROM faults_entry")[0][0][0])


@pytest.fixture
async def through_proxy(opened: Any, proxy: Proxy) -> Any:
    """The tables are made directly; the database of the test goes through a proxy."""
    await (await opened()).disconnect()
    # The proxy looks for words in what passes.
    database = database_at(proxy.url, commit_timeout=1.0, ssl_mode="disable")
    await database.connect()
    yield proxy, database
    await database.disconnect()


async def test_an_answer_that_is_lost(through_proxy: tuple[Proxy, AsyncDatabase], where: Where) -> None:
    """The server has committed and the connection breaks before it can say so: nobody can know, and we say that."""
    proxy, database = through_proxy
    calls: list[str] = []
    await write("before", calls, asyncio.Event())
    proxy.drop_reply(b"COMMIT")
    with pytest.raises(CommitUnknownError) as caught:
        await write("lost", calls, asyncio.Event())
    assert (caught.value.outcome, caught.value.retryable) == ("unknown", False)
    proxy.reset()
    assert calls == ["before"]
    assert stored(where) == 2
    await write("after", calls, asyncio.Event())
    await quiet(database)
    assert stored(where) == 3


async def test_a_lost_answer_is_not_retried(through_proxy: tuple[Proxy, AsyncDatabase], where: Where) -> None:
    proxy, _ = through_proxy
    proxy.drop_reply(b"COMMIT")
    runs = 0

    @atomic(retries=5)
    async def work() -> None:
        nonlocal runs
        runs += 1
        await Entry.objects.create(nonce="once")

    with pytest.raises(CommitUnknownError):
        await work()
    assert runs == 1
    assert stored(where) == 1


async def test_an_answer_that_never_comes(through_proxy: tuple[Proxy, AsyncDatabase], where: Where) -> None:
    """The connection stays open and silent: the wait for COMMIT ends by itself."""
    proxy, database = through_proxy
    proxy.drop_reply(b"COMMIT", then="hang")
    started = time.monotonic()
    with pytest.raises((CommitUnknownError, QueryTimeoutError)) as caught:
        await asyncio.wait_for(write("silent", [], asyncio.Event()), 10)
    assert caught.value.outcome == "unknown"
    assert time.monotonic() - started < 5
    proxy.reset()
    await quiet(database, 3)


async def test_a_commit_that_is_not_sent(through_proxy: tuple[Proxy, AsyncDatabase], where: Where) -> None:
    """The connection breaks before: what was not asked for has not happened, and the work may be done again."""
    proxy, database = through_proxy
    runs = 0

    @atomic(retries=3)
    async def work() -> None:
        nonlocal runs
        runs += 1
        await Entry.objects.create(nonce="again")
        if runs == 1:
            proxy.cut()
            await Entry.objects.create(nonce="lost")

    try:
        await work()
    except ConnectionLostError as error:
        # Known, if it was not sent.
        assert error.outcome in ("unknown", "not_applied")
        assert runs == 1
    no_transactions(where.kind)
    assert stored(where) == runs - 1
    await write("after", [], asyncio.Event())
    await quiet(database)
