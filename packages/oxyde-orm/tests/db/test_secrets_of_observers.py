"""What watchers are told of a database: where it is, and nothing of who asks."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from oxyde.db import AsyncDatabase, PoolSettings, atomic
from oxyde.exceptions import ConnectError

from .fake_core import Server

CANARY = "canary-4711"
URLS = [
    (f"postgres://me:{CANARY}@db.example:6432/shop", {"server.address": "db.example", "server.port": 6432}),
    (f"postgres://me:{CANARY}@[::1]/shop", {"server.address": "::1", "server.port": 5432}),
    (f"postgres://me:{CANARY}@/shop?host=/run/postgresql", {"server.address": "/run/postgresql"}),
    (f"postgres://me:{CANARY}@a,b:6432/shop", {}),
    (f"mysql://me:{CANARY}@db.example/shop", {"server.address": "db.example", "server.port": 3306}),
    (f"mariadb://me:{CANARY}@db.example/shop", {"server.address": "db.example", "server.port": 3306}),
]


@pytest.mark.parametrize(("url", "where"), URLS)
async def test_where_it_is_and_who_asks(
    server: Server, url: str, where: dict[str, Any], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr("opentelemetry.trace._TRACER_PROVIDER", provider)
    settings = PoolSettings(slow_query_threshold=0, log_statements=True, log_values=True)
    database = AsyncDatabase(url, settings=settings)
    assert database.peer() == {"db.namespace": "shop", **where}
    with caplog.at_level(logging.DEBUG, "oxyde"):
        server.fail("connect", ConnectError("no way in"))
        with pytest.raises(ConnectError):
            await database.connect()
        await database.connect()
        await database.ping()
        server.fail("raw", ConnectError("gone"))
        with pytest.raises(ConnectError):
            await database.ping()
        async with atomic():
            pass
        await database.disconnect()
    spans = exporter.get_finished_spans()
    assert [record.name for record in caplog.records].count("oxyde.statements") >= 4
    assert {span.name for span in spans} == {"SELECT", "BEGIN", "COMMIT"}
    told = "".join(span.to_json() for span in spans)
    told += "".join(f"{record.getMessage()} {vars(record)}" for record in caplog.records)
    assert CANARY not in told
    assert "me:" not in told
    assert str(where.get("server.address", "")) in told


def test_files_have_a_path() -> None:
    assert AsyncDatabase("sqlite:////srv/app.db").peer() == {"db.namespace": "/srv/app.db"}
    assert AsyncDatabase("sqlite://:memory:", name="memory").peer() == {}
