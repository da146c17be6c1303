"""OpenTelemetry: a span and a duration for every operation, and what the pool is doing.

Names are those of OpenTelemetry's semantic conventions for databases (stable for spans and for
``db.client.operation.duration``, in development for the pool's metrics). Only ``opentelemetry-api`` is used; without
an SDK that the program has set up there is nobody to tell, and nothing is told.
"""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from .observed import Operation

if TYPE_CHECKING:
    from opentelemetry.metrics import CallbackOptions, Meter, Observation

    from .database import AsyncDatabase

__all__ = ["Telemetry", "telemetry"]

_SYSTEMS = {"postgres": "postgresql", "mysql": "mysql", "mariadb": "mariadb", "sqlite": "sqlite"}

# In seconds, as the conventions advise.
_BOUNDS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0)

POOL = "db.client.connection.pool.name"
_IDLE = {"db.client.connection.state": "idle"}
_USED = {"db.client.connection.state": "used"}


def configured() -> bool:
    """Whether the program has set up somebody to tell. Whoever did that has imported the API: we do not."""
    api = [sys.modules.get("opentelemetry.trace"), sys.modules.get("opentelemetry.metrics")]
    providers = []
    if api[0] is not None:
        providers.append(api[0].get_tracer_provider())
    if api[1] is not None:
        providers.append(api[1].get_meter_provider())
    # The API's own providers are placeholders.
    placeholders = ("opentelemetry.trace", "opentelemetry.metrics")
    return any(not type(provider).__module__.startswith(placeholders) for provider in providers)


def telemetry(database: AsyncDatabase, backend: str, wanted: str | bool) -> Telemetry | None:
    """Return the watcher of a database: if it is wanted, or ``"auto"`` and the program has an SDK set up.

    Raises ``ImportError`` if it is wanted and ``opentelemetry-api`` is not installed.
    """
    if wanted is False or (wanted == "auto" and not configured()):
        return None
    try:
        return Telemetry(database, backend)
    except ImportError as error:
        raise ImportError(
            "PoolSettings(telemetry=True) needs opentelemetry-api: pip install 'oxyde-orm[otel]'", name=error.name
        ) from error


class Telemetry:
    """Tells OpenTelemetry of the operations of one database."""

    wants_origin = False

    def __init__(self, database: AsyncDatabase, backend: str) -> None:
        from opentelemetry import trace

        self._trace = trace
        self._tracer = trace.get_tracer("oxyde")
        self._instruments = _instruments()
        self._instruments.databases.add(database)
        self._pool = {POOL: database.name}
        self._common: dict[str, Any] = {"db.system.name": _SYSTEMS[backend]}
        self._common |= database.peer()

    def begin(self, operation: Operation) -> tuple[dict[str, Any], Any]:
        """Start its span; the token is what the duration is measured by, and the span."""
        attributes = dict(self._common)
        if operation.name:
            attributes["db.operation.name"] = operation.name
        if operation.table:
            attributes["db.collection.name"] = operation.table
        if operation.batch is not None and operation.batch > 1:
            attributes["db.operation.batch.size"] = operation.batch
        summary = f"{operation.name} {operation.table or ''}".strip()
        if summary:
            attributes["db.query.summary"] = summary
        span = self._tracer.start_span(
            summary or attributes.get("db.namespace") or attributes["db.system.name"],
            kind=self._trace.SpanKind.CLIENT,
            attributes={**attributes, "db.query.text": operation.text},
        )
        return attributes, span

    def end(self, operation: Operation, token: tuple[dict[str, Any], Any]) -> None:
        """End its span and record how long it took."""
        attributes, span = token
        if operation.error is not None:
            code = getattr(operation.error, "sqlstate", None) or getattr(operation.error, "code", None)
            kind = type(operation.error)
            attributes["error.type"] = str(code) if code else f"{kind.__module__}.{kind.__qualname__}"
            if code:
                attributes["db.response.status_code"] = str(code)
        if span.is_recording():
            if operation.error is not None:
                span.set_attribute("error.type", attributes["error.type"])
                if "db.response.status_code" in attributes:
                    span.set_attribute("db.response.status_code", attributes["db.response.status_code"])
                # Not the message: what servers say about a row quotes its values.
                span.set_status(self._trace.Status(self._trace.StatusCode.ERROR, operation.outcome))
            elif operation.rows is not None and operation.name == "SELECT":
                span.set_attribute("db.response.returned_rows", operation.rows)
        span.end()
        self._instruments.duration.record(operation.seconds, attributes)
        if operation.waited is not None:
            self._instruments.wait.record(operation.waited, self._pool)


class _Instruments:
    """What is measured, once for the process; the pools that are asked come and go."""

    def __init__(self, meter: Meter) -> None:
        self.databases: weakref.WeakSet[AsyncDatabase] = weakref.WeakSet()
        self.duration = meter.create_histogram(
            "db.client.operation.duration",
            unit="s",
            description="Duration of database client operations.",
            explicit_bucket_boundaries_advisory=_BOUNDS,
        )
        self.wait = meter.create_histogram(
            "db.client.connection.wait_time",
            unit="s",
            description="The time it took to obtain an open connection from the pool.",
            explicit_bucket_boundaries_advisory=_BOUNDS,
        )
        meter.create_observable_up_down_counter(
            "db.client.connection.count",
            [self._callback(lambda stats: ((_IDLE, stats["idle"]), (_USED, stats["in_use"])))],
            unit="{connection}",
            description="The number of connections that are currently in state described by the state attribute.",
        )
        meter.create_observable_up_down_counter(
            "db.client.connection.max",
            [self._callback(lambda stats: (({}, stats["max_connections"]),))],
            unit="{connection}",
            description="The maximum number of open connections allowed.",
        )
        meter.create_observable_up_down_counter(
            "db.client.connection.pending_requests",
            [self._callback(lambda stats: (({}, stats["waiting"]),))],
            unit="{request}",
            description="The number of current pending requests for an open connection.",
        )
        meter.create_observable_counter(
            "db.client.connection.timeouts",
            [self._callback(lambda stats: (({}, stats["timeouts"]),))],
            unit="{timeout}",
            description="The number of connection timeouts that have occurred trying to obtain a connection.",
        )

    def _callback(
        self, read: Callable[[dict[str, Any]], Iterable[tuple[dict[str, str], int]]]
    ) -> Callable[[CallbackOptions], Iterator[Observation]]:
        from opentelemetry.metrics import Observation

        def observe(_: CallbackOptions) -> Iterator[Observation]:
            for database in list(self.databases):
                if database.connected:
                    for attributes, number in read(database.stats()):
                        yield Observation(number, {POOL: database.name, **attributes})

        return observe


_known: weakref.WeakKeyDictionary[Any, _Instruments] = weakref.WeakKeyDictionary()


def _instruments() -> _Instruments:
    """Return the instruments of the program's meter provider."""
    from opentelemetry import metrics

    provider = metrics.get_meter_provider()
    found = _known.get(provider)
    if found is None:
        found = _known[provider] = _Instruments(metrics.get_meter("oxyde"))
    return found
