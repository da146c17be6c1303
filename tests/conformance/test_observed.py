"""What a database tells about its work: logs, slow statements, OpenTelemetry. And what it never tells."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from oxyde import (
    AsyncConnection,
    AsyncDatabase,
    Field,
    Model,
    PoolSettings,
    atomic,
    create_tables,
    drop_tables,
    execute_raw,
    iterate_raw,
)
from oxyde.exceptions import DataError, IntegrityError, OxydeError, UniqueViolationError
from oxyde_core import Database

from .lanes import Lane, postgres

CANARY = "canary-4711"


class Watched(Model):
    id: int | None = Field(default=None, db_pk=True)
    name: str = Field(db_unique=True)
    size: int = 0

    class Meta:
        is_table = True
        table_name = "conf_watched"


class Log(logging.Handler):
    """The records of Oxyde's loggers, as they would be written."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)

    def said(self, operation: str) -> list[Any]:
        return [record for record in self.records if record.__dict__.get("db_operation") == operation]

    def everything(self) -> str:
        """All that a handler could write: messages, attributes and tracebacks."""
        written = logging.Formatter()
        return "\n".join(written.format(record) + repr(vars(record)) for record in self.records)


@pytest.fixture
def log() -> Iterator[Log]:
    handler, logger = Log(), logging.getLogger("oxyde")
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    yield handler
    logger.removeHandler(handler)
    logger.setLevel(before)


@asynccontextmanager
async def watching(lane: Lane, where: Path, **settings: Any) -> AsyncIterator[AsyncDatabase]:
    """The lane's database with these settings as the default one, with the table; what was told of that is gone."""
    database = AsyncDatabase(lane.url(where, "default"), overwrite=True, settings=PoolSettings(**settings))
    async with database:
        await create_tables(models=[Watched])
        for handler in logging.getLogger("oxyde").handlers:
            if isinstance(handler, Log):
                handler.records.clear()
        try:
            yield database
        finally:
            await drop_tables(models=[Watched])
    lane.empty("default")


pytestmark = pytest.mark.usefixtures("clean_connections")


async def test_nobody_watches(lane: Lane, tmp_path: Path) -> None:
    """Then the engine itself is what statements are given to: nothing of this costs anything."""
    async with watching(lane, tmp_path) as database:
        assert type(database.core) is Database


async def test_every_statement(lane: Lane, tmp_path: Path, log: Log) -> None:
    async with watching(lane, tmp_path):
        await Watched.objects.create(name="a", size=1)
        await Watched.objects.bulk_create([Watched(name=f"b{n}") for n in range(3)])
        assert len(await Watched.objects.filter(size=0)) == 3
        assert await Watched.objects.filter(size=0).update(size=2) == 3
        await execute_raw("SELECT 1 AS one")
    (created, *_, bulk) = log.said("INSERT")
    (selected, raw) = log.said("SELECT")[-2:]
    (updated,) = log.said("UPDATE")
    assert (created.db_alias, created.db_table, created.db_outcome) == ("default", "conf_watched", "ok")
    assert "conf_watched" in created.db_statement
    assert (selected.db_rows, updated.db_rows, bulk.db_rows) == (3, 3, 3)
    assert (raw.db_statement, raw.db_rows) == ("SELECT 1 AS one", 1)
    assert {record.name for record in log.records} == {"oxyde.statements"}
    assert {record.levelno for record in log.records} == {logging.DEBUG}
    assert all(0 < record.db_seconds < 60 for record in log.said("SELECT"))
    assert "[default] SELECT 1 AS one (" in raw.getMessage()


async def test_transactions(lane: Lane, tmp_path: Path, log: Log) -> None:
    async with watching(lane, tmp_path):
        async with atomic():
            await Watched.objects.create(name="a")
            with pytest.raises(ZeroDivisionError):
                async with atomic():
                    1 / 0
        with pytest.raises(ZeroDivisionError):
            async with atomic():
                1 / 0
    told = [record.db_operation for record in log.records]  # type: ignore[attr-defined]
    assert [name for name in told if name not in ("INSERT", "DROP")] == [
        *("BEGIN", "SAVEPOINT", "ROLLBACK TO SAVEPOINT", "RELEASE SAVEPOINT", "COMMIT"),
        *("BEGIN", "ROLLBACK"),
    ]


async def test_how_it_ended(lane: Lane, tmp_path: Path, log: Log) -> None:
    async with watching(lane, tmp_path):
        await Watched.objects.create(name="a")
        with pytest.raises(UniqueViolationError) as caught:
            await Watched.objects.create(name="a")
        task = asyncio.ensure_future(Watched.objects.filter(size__gte=0).all())
        await asyncio.sleep(0)
        waited = not task.done()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await asyncio.sleep(0.01)
    *_, failed = log.said("INSERT")
    assert (failed.db_outcome, failed.db_sqlstate) == ("UniqueViolationError", caught.value.sqlstate)
    assert failed.db_rows is None
    assert log.said("SELECT")[-1].db_outcome == ("cancelled" if waited else "ok")


async def test_waiting_for_a_connection_is_told_apart(lane: Lane, tmp_path: Path, log: Log) -> None:
    async with watching(lane, tmp_path, max_connections=1):
        held = asyncio.Event()

        async def hold() -> None:
            async with atomic():
                held.set()
                await asyncio.sleep(0.1)

        task = asyncio.create_task(hold())
        await held.wait()
        await Watched.objects.filter(size=0).update(size=1)
        await task
    (update,) = log.said("UPDATE")
    assert 0.02 < update.db_waited <= update.db_seconds
    assert "waiting for a connection" in update.getMessage()


async def test_only_when_it_is_wanted(lane: Lane, tmp_path: Path, log: Log) -> None:
    async with watching(lane, tmp_path, log_statements=False) as database:
        assert type(database.core) is Database
        await Watched.objects.count()
    assert log.records == []
    logging.getLogger("oxyde").setLevel(logging.INFO)
    async with watching(lane, tmp_path, log_statements=True):
        await Watched.objects.count()
        assert log.records == []
        # The level may change while the program runs.
        logging.getLogger("oxyde").setLevel(logging.DEBUG)
        await Watched.objects.count()
    assert len(log.said("SELECT")) == 1


async def test_slow_statements(lane: Lane, tmp_path: Path, log: Log) -> None:
    logging.getLogger("oxyde").setLevel(logging.INFO)
    async with watching(lane, tmp_path, slow_query_threshold=30):
        await Watched.objects.count()
    assert log.records == []
    async with watching(lane, tmp_path, slow_query_threshold=0):
        await Watched.objects.filter(size=3).count()
        line = sys._getframe().f_lineno - 1
        # Nobody but the event loop has called.
        await asyncio.gather(Watched.objects.filter(size=4).count())
        async with atomic():
            began = sys._getframe().f_lineno - 1
    record, alone = log.said("SELECT")
    assert (record.name, record.levelno) == ("oxyde.slow", logging.WARNING)
    assert record.db_place == f"{__file__}:{line}"
    assert record.db_place in record.getMessage()
    assert "conf_watched" in record.getMessage()
    assert alone.db_place is None
    assert log.said("BEGIN")[0].db_place == f"{__file__}:{began}"


async def failing(lane: Lane) -> None:
    """Statements that fail with a value in their hands, each in another way."""
    await Watched.objects.create(name=CANARY)
    with pytest.raises(IntegrityError):
        await Watched.objects.create(name=CANARY)
    with pytest.raises(IntegrityError):
        await Watched.objects.bulk_create([Watched(name=f"{CANARY}-1"), Watched(name=CANARY)])
    with pytest.raises((DataError, OxydeError)):
        await execute_raw(lane.sql("SELECT nothing FROM conf_watched WHERE name = ?"), [CANARY])
    with pytest.raises(IntegrityError):
        async with atomic():
            await Watched.objects.filter(name=CANARY).update(size=3)
            await Watched.objects.create(name=CANARY)
    assert await Watched.objects.get_or_none(name=f"{CANARY}-nobody") is None
    assert await execute_raw(lane.sql("SELECT name FROM conf_watched WHERE name = ?"), [CANARY])


async def test_values_are_kept_back(lane: Lane, tmp_path: Path, log: Log) -> None:
    async with watching(lane, tmp_path, slow_query_threshold=0):
        await failing(lane)
    assert len(log.records) >= 10
    assert CANARY not in log.everything()
    log.records.clear()
    async with watching(lane, tmp_path, log_values=True):
        await Watched.objects.get_or_none(name=CANARY)
    assert CANARY in log.said("SELECT")[0].db_values
    assert CANARY in log.said("SELECT")[0].getMessage()


# -- OpenTelemetry


class Told:
    """What an SDK was told."""

    def __init__(self) -> None:
        self.exporter, self.reader = InMemorySpanExporter(), InMemoryMetricReader()
        self.tracers = TracerProvider()
        self.tracers.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.meters = MeterProvider(metric_readers=[self.reader])

    def spans(self, operation: str) -> list[ReadableSpan]:
        spans = self.exporter.get_finished_spans()
        return [span for span in spans if (span.attributes or {}).get("db.operation.name") == operation]

    def metrics(self) -> dict[str, list[Any]]:
        data = self.reader.get_metrics_data()
        found = [metric for of in data.resource_metrics for scope in of.scope_metrics for metric in scope.metrics]  # type: ignore[union-attr]
        return {metric.name: list(metric.data.data_points) for metric in found}


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Iterator[Told]:
    """The program has an SDK set up. (The API refuses to set another one, hence the private names.)"""
    told = Told()
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", told.tracers)
    monkeypatch.setattr("opentelemetry.metrics._internal._METER_PROVIDER", told.meters)
    assert (trace.get_tracer_provider(), metrics.get_meter_provider()) == (told.tracers, told.meters)
    yield told
    told.meters.shutdown()
    told.tracers.shutdown()


SYSTEMS = {"sqlite": {"sqlite"}, "postgres": {"postgresql"}, "mysql": {"mysql", "mariadb"}}


async def test_spans(lane: Lane, tmp_path: Path, told: Told) -> None:
    async with watching(lane, tmp_path) as database:
        with trace.get_tracer("test").start_as_current_span("around") as around:
            await Watched.objects.create(name="a")
            await Watched.objects.filter(size=0).all()
            with pytest.raises(UniqueViolationError):
                await Watched.objects.create(name="a")
            async with atomic():
                pass
        host = database.url.partition("@")[2]
    (select, *_) = told.spans("SELECT")
    attributes = dict(select.attributes or {})
    assert select.kind is trace.SpanKind.CLIENT
    assert select.name == attributes["db.query.summary"] == "SELECT conf_watched"
    assert select.parent is not None
    assert select.parent.span_id == around.get_span_context().span_id
    assert attributes["db.system.name"] in SYSTEMS[lane.family]
    assert attributes["db.collection.name"] == "conf_watched"
    assert "conf_watched" in str(attributes["db.query.text"])
    assert attributes["db.response.returned_rows"] == 1
    if lane.family != "sqlite":
        assert str(attributes["db.namespace"]) in host
        assert str(attributes.get("server.address", "")) in database.url
    *_, failed = told.spans("INSERT")
    assert failed.status.status_code is trace.StatusCode.ERROR
    assert failed.status.description == "UniqueViolationError"
    assert (failed.attributes or {})["error.type"] == (failed.attributes or {})["db.response.status_code"]
    assert [len(told.spans(name)) for name in ("BEGIN", "COMMIT")] == [1, 1]
    assert select.end_time > select.start_time  # type: ignore[operator]


async def test_metrics(lane: Lane, tmp_path: Path, told: Told) -> None:
    async with watching(lane, tmp_path, max_connections=3) as database:
        await Watched.objects.filter(size=0).all()
        async with atomic():
            seen = told.metrics()
            size = database.stats()
        state = {
            point.attributes["db.client.connection.state"]: point.value for point in seen["db.client.connection.count"]
        }
        assert state == {"idle": size["idle"], "used": size["in_use"]}
        assert size["in_use"] == 1
        assert [point.value for point in seen["db.client.connection.pending_requests"]] == [0]
        assert [point.value for point in seen["db.client.connection.timeouts"]] == [0]
        (most,) = seen["db.client.connection.max"]
        assert (most.value, most.attributes) == (size["max_connections"], {"db.client.connection.pool.name": "default"})
        (wait,) = seen["db.client.connection.wait_time"]
        assert wait.count >= 1
        durations = {point.attributes["db.operation.name"]: point for point in seen["db.client.operation.duration"]}
        assert durations["SELECT"].count >= 1
        assert durations["SELECT"].attributes["db.collection.name"] == "conf_watched"
        assert "db.query.text" not in durations["SELECT"].attributes
    # A database that is not connected has no pool.
    assert "db.client.connection.max" not in told.metrics()


async def test_values_are_kept_back_from_spans(lane: Lane, tmp_path: Path, told: Told) -> None:
    async with watching(lane, tmp_path):
        await failing(lane)
    spans = told.exporter.get_finished_spans()
    assert len(spans) >= 10
    assert CANARY not in "".join(span.to_json() for span in spans)
    assert CANARY not in repr(told.reader.get_metrics_data())


async def test_telemetry_by_itself(lane: Lane, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The API alone tells nobody; it may also be asked for, or forbidden."""
    async with watching(lane, tmp_path) as database:
        assert type(database.core) is Database
    async with watching(lane, tmp_path, telemetry=True) as database:
        assert type(database.core) is not Database
        await execute_raw("SELECT 1")
    for name in [name for name in sys.modules if name.partition(".")[0] == "opentelemetry"]:
        monkeypatch.setitem(sys.modules, name, None)
    async with watching(lane, tmp_path) as database:
        assert type(database.core) is Database
    with pytest.raises(ImportError, match=r"telemetry=True\) needs opentelemetry-api"):
        async with watching(lane, tmp_path, telemetry=True):
            pass


async def test_telemetry_forbidden(lane: Lane, tmp_path: Path, told: Told) -> None:
    async with watching(lane, tmp_path, telemetry=False) as database:
        assert type(database.core) is Database


async def test_streams_are_told_of_piece_by_piece(lane: Lane, tmp_path: Path, log: Log) -> None:
    async with watching(lane, tmp_path, log_values=True):
        await Watched.objects.bulk_create([Watched(name=str(n)) for n in range(5)])
        assert [row.name async for row in Watched.objects.filter(size=0).order_by("id").iterate(chunk_size=2)] == [
            "0",
            "1",
            "2",
            "3",
            "4",
        ]
        (first,), further = log.said("SELECT"), log.said("FETCH")
        # MySQL opens a cursor and gives nothing yet.
        assert first.db_rows in (0, 2)
        assert sum(piece.db_rows for piece in (first, *further)) == 5
        assert len(further) in (2, 3)
        assert {piece.db_statement for piece in further} == {first.db_statement}
        log.records.clear()
        async with aclosing(Watched.objects.order_by("id").iterate(chunk_size=2)) as rows:
            async for _ in rows:
                break
        assert len(log.said("SELECT")) == 1


async def test_streams_of_raw_sql(lane: Lane, tmp_path: Path, log: Log) -> None:
    select = "SELECT name FROM conf_watched ORDER BY id"
    async with watching(lane, tmp_path) as database:
        await Watched.objects.bulk_create([Watched(name=str(n)) for n in range(5)])
        async with database.connection() as conn:
            for rows in (conn.iterate(select, chunk_size=2), None):
                log.records.clear()
                if rows is None:
                    async with atomic(connection=conn):
                        found = [row["name"] async for row in conn.iterate(select, chunk_size=2)]
                else:
                    found = [row["name"] async for row in rows]
                assert found == ["0", "1", "2", "3", "4"]
                (first,), further = log.said("SELECT"), log.said("FETCH")
                assert (first.db_statement, first.db_outcome) == (select, "ok")
                assert sum(piece.db_rows for piece in (first, *further)) == 5
                assert [len(log.said(name)) for name in ("BEGIN", "ROLLBACK", "COMMIT")] == (
                    [1, 0, 1] if rows is None else [1, 1, 0]
                )
        log.records.clear()
        assert len([row async for row in iterate_raw(select)]) == 5
        assert log.said("SELECT")[0].db_statement == select


COPY = "COPY conf_watched (name) FROM STDIN"
COPY_BACK = "COPY conf_watched TO STDOUT"


@postgres
@pytest.mark.parametrize("inside", [False, True], ids=["alone", "transaction"])
async def test_copies(lane: Lane, tmp_path: Path, log: Log, inside: bool) -> None:
    """They are operations as all others: with their rows, their end, their time, and their place if they are slow."""

    async def failing() -> AsyncIterator[bytes]:
        yield b"a\n"
        await asyncio.sleep(0.06)
        raise LookupError

    def statements() -> list[Any]:
        return [record for record in log.said("COPY") if record.name == "oxyde.statements"]

    def slow() -> list[str]:
        return [record.db_place for record in log.said("COPY") if record.name == "oxyde.slow"]

    async def copy(conn: AsyncConnection) -> None:
        log.records.clear()
        assert await conn.copy_in(COPY, [b"a\nb\n", b"c\n"]) == 3
        assert len([piece async for piece in conn.copy_out(COPY_BACK)]) > 0
        (stored, read) = statements()
        assert (stored.db_statement, stored.db_rows, stored.db_outcome) == (COPY, 3, "ok")
        assert (read.db_statement, read.db_rows, read.db_outcome) == (COPY_BACK, None, "ok")
        assert all(record.db_seconds > 0 and record.db_waited is None for record in (stored, read))
        assert CANARY not in log.everything()
        log.records.clear()
        async with aclosing(conn.copy_out("COPY (SELECT generate_series(1, 10000000)) TO STDOUT")) as pieces:
            async for _ in pieces:
                line = sys._getframe().f_lineno - 2
                await asyncio.sleep(0.06)
                break
        (left,) = statements()
        assert left.db_outcome == "cancelled"
        assert slow() == [f"{__file__}:{line + 1}"]
        log.records.clear()

    async def fail(conn: AsyncConnection) -> None:
        log.records.clear()
        with pytest.raises(UniqueViolationError):
            await conn.copy_in(COPY, f"a\n{CANARY}\n{CANARY}\n".encode())
        (failed,) = statements()
        assert (failed.db_outcome, failed.db_sqlstate) == ("UniqueViolationError", "23505")
        assert CANARY not in log.everything()

    async def stop(conn: AsyncConnection) -> None:
        log.records.clear()
        with pytest.raises(LookupError):
            await conn.copy_in(COPY, failing())
        line = sys._getframe().f_lineno - 1
        if not inside:
            await conn.fetch("SELECT 1 AS one")
        async with asyncio.timeout(5):
            while not log.said("COPY"):
                await asyncio.sleep(0.001)
        (stopped,) = statements()
        assert stopped.db_outcome != "ok"
        assert slow() == [f"{__file__}:{line}"]

    async with watching(lane, tmp_path, slow_query_threshold=0.05) as database, database.connection() as conn:
        for part in (copy, fail, stop):
            if inside:
                async with atomic(connection=conn) as tx:
                    await part(conn)
                    tx.set_rollback()
            else:
                await part(conn)
                await conn.execute("DELETE FROM conf_watched")


@postgres
async def test_spans_of_copies(lane: Lane, tmp_path: Path, told: Told) -> None:
    async with watching(lane, tmp_path) as database, database.connection() as conn:
        assert await conn.copy_in(COPY, b"a\n") == 1
        assert [piece async for piece in conn.copy_out(COPY_BACK)]
        with pytest.raises(UniqueViolationError):
            await conn.copy_in(COPY, b"a\n")
    stored, read, failed = told.spans("COPY")
    assert (stored.attributes or {})["db.query.text"] == COPY
    assert (read.attributes or {})["db.query.text"] == COPY_BACK
    assert failed.status.description == "UniqueViolationError"
    (durations,) = (
        point
        for point in told.metrics()["db.client.operation.duration"]
        if point.attributes["db.operation.name"] == "COPY" and "error.type" not in point.attributes
    )
    assert durations.count == 2
