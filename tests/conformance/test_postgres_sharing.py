"""Which reads share a busy connection: short ones, unless that is switched off."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from oxyde import AsyncDatabase, Field, Model, PoolSettings, execute_raw

from .lanes import Lane, postgres

pytestmark = [postgres, pytest.mark.usefixtures("clean_connections")]


class Quick(Model):
    id: int | None = Field(default=None, db_pk=True)

    class Meta:
        is_table = True
        table_name = "conf_quick"


class Slow(Model):
    id: int | None = Field(default=None, db_pk=True)

    class Meta:
        is_table = True
        table_name = "conf_slow"


@pytest.fixture
async def single(lane: Lane, tmp_path: Path, request: Any) -> AsyncIterator[AsyncDatabase]:
    """A pool of one connection, a table with a row, and a view that takes 50 ms to read."""
    settings = PoolSettings(max_connections=1, pipelining=getattr(request, "param", True))
    async with AsyncDatabase(lane.url(tmp_path, "default"), settings=settings) as database:
        await execute_raw("CREATE TABLE conf_quick AS SELECT 1::bigint AS id")
        await execute_raw("CREATE VIEW conf_slow AS SELECT 1::bigint AS id FROM pg_sleep(0.05)")
        yield database
        await execute_raw("DROP VIEW conf_slow")
        await execute_raw("DROP TABLE conf_quick")
    lane.empty("default")


async def waiting_beside(database: AsyncDatabase, first: type[Model], second: type[Model]) -> int:
    """Whether the second read waits for a connection while the first one has the only one."""
    tasks = [asyncio.create_task(model.objects.all()) for model in (first, second)]
    # Both have been sent after one turn of the loop; another one might bring the first answer.
    await asyncio.sleep(0)
    waiting: int = database.stats()["waiting"]
    assert [len(rows) for rows in await asyncio.gather(*tasks)] == [1, 1]
    return waiting


async def test_long_reads_do_not_share(single: AsyncDatabase) -> None:
    # It has to be long twice: once may be a hiccup.
    assert await waiting_beside(single, Slow, Quick) == 0
    assert await waiting_beside(single, Slow, Quick) == 0
    # Whoever was put behind it had to wait for its end; a connection that becomes free may take the next one.
    assert await waiting_beside(single, Slow, Quick) == 1
    assert await waiting_beside(single, Quick, Slow) == 1
    assert await waiting_beside(single, Quick, Quick) == 0


async def test_a_read_that_became_short_shares_again(single: AsyncDatabase) -> None:
    for _ in range(2):
        await Slow.objects.all()
    assert await waiting_beside(single, Slow, Quick) == 1
    await execute_raw("CREATE OR REPLACE VIEW conf_slow AS SELECT 1::bigint AS id")
    await Slow.objects.all()
    assert await waiting_beside(single, Slow, Quick) == 0


@pytest.mark.parametrize("single", [False], indirect=True)
async def test_no_read_shares_if_that_is_switched_off(single: AsyncDatabase) -> None:
    assert await waiting_beside(single, Quick, Quick) == 1
