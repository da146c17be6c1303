"""Watching what a database is asked to do, without a cost where nobody watches.

A database that is watched holds an ``ObservedDatabase`` where others hold their engine. It has the engine's methods and
answers what the engine answers; on the way it tells its watchers when an operation begins and how it ended::

    query ── resolve() ──▶ ObservedDatabase.run ──▶ engine.run ──▶ result (inline) or Pending
                               │ begin                                │            │ .watch
                               └──────────▶ Watchers ◀──── end ───────┴────────────┘

So there is one place for all ways to run something, results that are there at once (SQLite) included, and whoever
watches nothing runs the same instructions as if this module did not exist. Which watchers there are is decided when
the database connects.
"""

from __future__ import annotations

from asyncio import CancelledError
from collections.abc import Callable
from time import perf_counter
from typing import TYPE_CHECKING, Any, Protocol

from oxyde_core import Pending

from .origin import Origin, line_of, origin

if TYPE_CHECKING:
    import oxyde_core

__all__ = ["ObservedDatabase", "Operation", "Watcher"]


class Operation:
    """One operation: a statement, or the beginning or the end of a transaction."""

    __slots__ = (
        "batch",
        "error",
        "name",
        "origin",
        "own",
        "rows",
        "seconds",
        "started",
        "table",
        "text",
        "values",
        "waited",
    )

    def __init__(self, name: str, text: str, table: str | None = None, values: object = None) -> None:
        self.name = name
        """``SELECT``, ``BEGIN``, …: the first word of the statement."""
        self.text = text
        self.table = table
        self.values = values
        """Parameters, or the rows of a bulk insert; never part of the text."""
        self.own = True
        """It waits for a connection of its own, rather than use that of a transaction."""
        self.origin: Origin | None = None
        self.started = 0.0
        self.seconds = 0.0
        """How long it took, the wait for a connection included."""
        self.waited: float | None = None
        """Seconds of waiting for a connection; None if there was none to wait for."""
        self.batch: int | None = None
        """Rows that a bulk insert was given."""
        self.rows: int | None = None
        """Rows that came back, or were changed; None where the operation does not tell."""
        self.error: BaseException | None = None

    @property
    def place(self) -> str | None:
        """Where in the user's code it was asked for, as ``file:line``; None if nobody wanted to know, or can."""
        return None if self.origin is None else line_of(self.origin)

    @property
    def outcome(self) -> str:
        """``"ok"``, ``"cancelled"`` or the name of the error's class. Messages of errors may quote values."""
        if self.error is None:
            return "ok"
        name = type(self.error).__name__
        return "cancelled" if name == "CancelledError" else name


class Watcher(Protocol):
    """Told of every operation. What ``begin`` returns comes back with ``end``."""

    wants_origin: bool

    def begin(self, operation: Operation) -> Any:
        """Called before it is handed to the engine: how it will end is not known yet."""

    def end(self, operation: Operation, token: Any) -> None:
        """Called once when it has ended, well or not, or was cancelled."""


class ObservedDatabase:
    """The engine of a database with somebody watching: its methods, arguments and answers are the engine's."""

    __slots__ = ("_engine", "_watchers", "_wants_origin")

    def __init__(self, engine: oxyde_core.Database, watchers: tuple[Watcher, ...]) -> None:
        self._engine = engine
        self._watchers = watchers
        self._wants_origin = any(watcher.wants_origin for watcher in watchers)

    def run(self, shape: Any, params: Any, loader: Any = None, lease: Any = None, timeout: Any = None) -> Any:
        lease = _bare(lease)
        operation = self._of(shape, params, lease)
        return self._observe(operation, self._engine.run, shape, params, loader, lease, timeout)

    def run_bulk(
        self,
        shape: Any,
        rows: Any,
        fields: Any,
        converters: Any,
        loader: Any = None,
        lease: Any = None,
        timeout: Any = None,
        params: Any = None,
        fill: Any = None,
    ) -> Any:
        lease = _bare(lease)
        operation = self._of(shape, rows, lease)
        operation.batch = len(rows)
        call = self._engine.run_bulk
        return self._observe(operation, call, shape, rows, fields, converters, loader, lease, timeout, params, fill)

    def run_part(self, parts: Any, index: int, lease: Any = None, timeout: Any = None) -> Any:
        lease = _bare(lease)
        operation = Operation("INSERT", parts.sql, parts.table)
        operation.batch = parts.rows(index)
        operation.own = lease is None
        return self._observe(operation, self._engine.run_part, parts, index, lease, timeout)

    def copy(self, copy: Any, loader: Any = None, lease: Any = None, timeout: Any = None) -> Any:
        lease = _bare(lease)
        operation = Operation("COPY", copy.sql, copy.table)
        operation.batch = len(copy)
        operation.own = lease is None
        return self._observe(operation, self._engine.copy, copy, loader, lease, timeout)

    def raw(self, sql: str, params: Any, lease: Any = None, timeout: Any = None, counted: bool = False) -> Any:
        lease = _bare(lease)
        operation = Operation(first_word(sql), sql, None, params)
        operation.own = lease is None
        return self._observe(operation, self._engine.raw, sql, params, lease, timeout, counted)

    def script(self, statements: list[str], lease: Any = None) -> Any:
        lease = _bare(lease)
        operation = Operation(first_word(statements[0]) if statements else "", ";\n".join(statements))
        operation.own = lease is None
        return self._observe(operation, self._engine.script, statements, lease)

    def cursor(
        self, shape: Any, params: Any, loader: Any, rows: int, lease: Any = None, timeout: Any = None
    ) -> ObservedCursor:
        lease = _bare(lease)
        text, name, table = self._engine.describe(shape)
        cursor = self._engine.cursor(shape, params, loader, rows, lease, timeout)
        return ObservedCursor(self, cursor, text, name, table, params)

    def raw_cursor(self, sql: str, params: Any, rows: int, lease: Any = None, timeout: Any = None) -> ObservedCursor:
        cursor = self._engine.raw_cursor(sql, params, rows, _bare(lease), timeout)
        return ObservedCursor(self, cursor, sql, first_word(sql), None, params)

    def copy_in(self, sql: str, data: Any, lease: Any = None, timeout: Any = None) -> Any:
        lease = _bare(lease)
        operation = Operation("COPY", sql)
        operation.own = lease is None
        return self._observe(operation, self._engine.copy_in, sql, data, lease, timeout)

    def copy_out(self, sql: str, lease: Any = None, timeout: Any = None) -> ObservedOutflow:
        operation = Operation("COPY", sql)
        # Its connection is there already.
        operation.own = False
        tokens = self._begin(operation)
        try:
            flow = self._engine.copy_out(sql, _bare(lease), timeout)
        except BaseException as error:
            self._end(operation, tokens, None, error)
            raise
        return ObservedOutflow(flow, lambda error: self._end(operation, tokens, None, error))

    def lease(self, *arguments: Any, **options: Any) -> ObservedLease:
        return ObservedLease(self, self._engine.lease(*arguments, **options))

    def pin(self, *arguments: Any) -> ObservedPin:
        return ObservedPin(self, self._engine.pin(*arguments))

    def __getattr__(self, name: str) -> Any:
        """Everything else is the engine's."""
        found = getattr(self._engine, name)
        if not callable(found):
            return found

        def call(*arguments: Any, **options: Any) -> Any:
            bare = {key: _bare(value) for key, value in options.items()}
            return found(*map(_bare, arguments), **bare)

        return call

    def _of(self, shape: Any, values: object, lease: Any) -> Operation:
        text, name, table = self._engine.describe(shape)
        operation = Operation(name, text, table, values)
        operation.own = lease is None
        return operation

    def _begin(self, operation: Operation) -> list[Any]:
        if self._wants_origin:
            operation.origin = origin()
        tokens = [watcher.begin(operation) for watcher in self._watchers]
        operation.started = perf_counter()
        return tokens

    def _observe(self, operation: Operation, call: Callable[..., Any], *arguments: Any) -> Any:
        """Run an operation between the beginning and the end that the watchers see."""
        tokens = self._begin(operation)
        try:
            answer = call(*arguments)
        except BaseException as error:
            self._end(operation, tokens, None, error)
            raise
        if type(answer) is Pending:
            pending = answer

            def ended(result: object, error: BaseException | None) -> None:
                if operation.own:
                    operation.waited = pending.waited
                self._end(operation, tokens, result, error)

            pending.watch(ended)
        elif answer is not None:
            # Without an answer nothing was done: the engine wants it done by other calls, which come here, too.
            self._end(operation, tokens, answer, None)
        return answer

    def _end(self, operation: Operation, tokens: list[Any], result: object, error: BaseException | None) -> None:
        operation.seconds = perf_counter() - operation.started
        operation.error = error
        if isinstance(result, list):
            operation.rows = len(result)
        elif isinstance(result, int):
            operation.rows = result
        elif error is None:
            operation.rows = operation.batch
        for watcher, token in zip(self._watchers, tokens, strict=True):
            watcher.end(operation, token)


class ObservedLease:
    """A transaction of a database that is watched: its BEGIN, COMMIT, ROLLBACK and savepoints are operations, too."""

    __slots__ = ("_database", "bare")

    def __init__(self, database: ObservedDatabase, lease: oxyde_core.Lease) -> None:
        self._database = database
        self.bare = lease

    def begin(self, timeout: float | None = None) -> Any:
        return self._control(True, "BEGIN", None, self.bare.begin, timeout)

    def commit(self) -> Any:
        return self._control(False, "COMMIT", None, self.bare.commit)

    def rollback(self) -> Any:
        return self._control(False, "ROLLBACK", None, self.bare.rollback)

    def savepoint(self, name: str) -> Any:
        return self._control(False, "SAVEPOINT", name, self.bare.savepoint, name)

    def release(self, name: str) -> Any:
        return self._control(False, "RELEASE SAVEPOINT", name, self.bare.release, name)

    def rollback_to(self, name: str) -> Any:
        return self._control(False, "ROLLBACK TO SAVEPOINT", name, self.bare.rollback_to, name)

    def __getattr__(self, name: str) -> Any:
        """Everything else is the transaction's."""
        return getattr(self.bare, name)

    def _control(self, own: bool, verb: str, name: str | None, call: Callable[..., Any], *arguments: Any) -> Any:
        operation = Operation(verb, verb if name is None else f"{verb} {name}")
        operation.own = own
        return self._database._observe(operation, call, *arguments)


class ObservedPin:
    """A connection that is kept, of a database that is watched: its transactions are watched, too."""

    __slots__ = ("_database", "bare")

    def __init__(self, database: ObservedDatabase, pin: oxyde_core.Pin) -> None:
        self._database = database
        self.bare = pin

    def lease(self, *arguments: Any, **options: Any) -> ObservedLease:
        return ObservedLease(self._database, self.bare.lease(*arguments, **options))

    def __getattr__(self, name: str) -> Any:
        """Everything else is the connection's."""
        return getattr(self.bare, name)


class ObservedCursor:
    """A stream of a database that is watched: its first piece is the statement, each further one a FETCH.

    Methods are those of the engine's cursor.
    """

    __slots__ = ("_begun", "_cursor", "_database", "_name", "_table", "_text", "_values")

    def __init__(
        self,
        database: ObservedDatabase,
        cursor: oxyde_core.Cursor,
        text: str,
        name: str,
        table: str | None,
        values: object,
    ) -> None:
        self._database = database
        self._cursor = cursor
        self._text = text
        self._name = name
        self._table = table
        self._values = values
        self._begun = False

    def fetch(self) -> Any:
        operation = Operation("FETCH" if self._begun else self._name, self._text, self._table, self._values)
        # Its connection is that of a transaction, or waited for by the transaction's BEGIN.
        operation.own = False
        self._begun = True
        return self._database._observe(operation, self._cursor.fetch)

    @property
    def more(self) -> bool:
        return self._cursor.more

    def close(self, drop_rest: bool = True) -> None:
        self._cursor.close(drop_rest)


class ObservedOutflow:
    """The data of a COPY TO STDOUT of a database that is watched: one operation, from its beginning to its last byte.

    The time that the program takes with the data is part of it.
    """

    __slots__ = ("_end", "_flow")

    def __init__(self, flow: oxyde_core.Outflow, end: Callable[[BaseException | None], None]) -> None:
        self._flow = flow
        self._end: Callable[[BaseException | None], None] | None = end

    def read(self) -> Any:
        pending = self._flow.read()
        pending.watch(self._was_read)
        return pending

    def stop(self) -> None:
        self._flow.stop()
        # Before its end: somebody has left the loop.
        self._ended(CancelledError())

    def _was_read(self, data: object, error: BaseException | None) -> None:
        # Who waited may be cancelled: then `stop` follows.
        if not data and not isinstance(error, CancelledError):
            self._ended(error)

    def _ended(self, error: BaseException | None) -> None:
        end, self._end = self._end, None
        if end is not None:
            end(error)


def _bare(value: Any) -> Any:
    return value.bare if type(value) in (ObservedLease, ObservedPin) else value


def first_word(sql: str) -> str:
    """Return what a statement of the user's own does, in capitals; empty if it begins with no word."""
    word = sql.lstrip(" \t\r\n;(").partition(" ")[0][:32].upper()
    return word if word.isalpha() else ""
