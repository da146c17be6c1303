"""A small engine in memory, with the manners of the compiled one.

It keeps rows in a list, runs what it is given in order and one at a time, and answers futures of the running
loop. As in the real engine, nothing that Python does stops work that has begun: a cancelled future only loses the
answer. ``Server`` lets a test delay an operation, make it fail, or withhold its answer.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

from oxyde.exceptions import TransactionBrokenError, TransactionClosedError


class Server:
    """What all fake databases of a test share."""

    def __init__(self) -> None:
        self.committed: list[str] = []
        self.open: set[Lease] = set()
        self.log: list[str] = []
        self.delays: dict[str, float] = {}
        self.failures: dict[str, list[BaseException]] = {}
        self.silent: set[str] = set()
        self.databases: list[Database] = []
        # What a connected database turns out to be, if not what its URL says.
        self.is_a: str | None = None

    def fail(self, operation: str, *errors: BaseException) -> None:
        self.failures.setdefault(operation, []).extend(errors)


class Pending:
    def __init__(self, future: asyncio.Future[Any], stop: Callable[[], None]) -> None:
        self._future = future
        self._stop = stop

    def __await__(self) -> Any:
        return self._future.__await__()

    def cancel(self) -> None:
        self._stop()


class Job:
    def __init__(self, name: str, work: Callable[[], Any], future: asyncio.Future[Any]) -> None:
        self.name, self.work, self.future = name, work, future

    def answer(self, server: Server) -> None:
        failures = server.failures.get(self.name)
        try:
            if failures:
                raise failures.pop(0)
            result = self.work()
        except Exception as error:
            self.refuse(error)
        else:
            if self.name not in server.silent and not self.future.done():
                self.future.set_result(result)

    def refuse(self, error: Exception) -> None:
        if not self.future.done():
            self.future.set_exception(error)
            self.future.exception()


class Line:
    """Runs jobs one after the other, each some turns of the loop after it was begun."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.waiting: deque[Job] = deque()
        self.running: Job | None = None

    def submit(self, name: str, work: Callable[[], Any]) -> Pending:
        job = Job(name, work, asyncio.get_running_loop().create_future())
        self.server.log.append(name)
        self.waiting.append(job)
        self._next()
        return Pending(job.future, lambda: self._stop(job))

    def _next(self) -> None:
        if self.running is None and self.waiting:
            job = self.running = self.waiting.popleft()
            asyncio.get_running_loop().call_later(self.server.delays.get(job.name, 0.0), self._done)

    def _done(self) -> None:
        job, self.running = self.running, None
        assert job is not None
        job.answer(self.server)
        self._next()

    def _stop(self, job: Job) -> None:
        if job in self.waiting:
            self.waiting.remove(job)
            job.refuse(RuntimeError("stopped"))

    def refuse_all(self, error: Exception) -> None:
        for job in self.waiting:
            job.refuse(error)
        self.waiting.clear()
        if self.running is not None and self.running.name not in ("commit", "rollback"):
            # Like a statement that is interrupted: answered at once, without effect.
            self.running.work = lambda: None
            self.running.refuse(error)


class Lease:
    def __init__(
        self,
        database: Database,
        mode: str,
        isolation: str | None = None,
        deferrable: bool = False,
        origin: tuple[str, int] | None = None,
    ) -> None:
        self.database, self.server, self.mode = database, database.server, mode
        self.isolation, self.deferrable, self.origin = isolation, deferrable, origin
        self.line = Line(self.server)
        self.rows: list[str] = []
        self.marks: dict[str, int] = {}
        self.state = "idle"
        self.broken: Exception | None = None

    @property
    def status(self) -> str:
        return "failed" if self.broken and self.state == "open" else self.state

    def begin(self, timeout: float | None = None) -> Pending:
        return self.line.submit("begin", self._begin)

    def _begin(self) -> None:
        if self.state == "closed":
            raise TransactionClosedError("closed before it began")
        self.state = "open"
        self.server.open.add(self)

    def _check(self) -> None:
        if self.state != "open":
            raise TransactionClosedError("the transaction is over")
        if self.broken is not None:
            raise TransactionBrokenError(f"broken by {self.broken}")

    def _end(self) -> None:
        self.state = "closed"
        self.server.open.discard(self)

    def commit(self) -> Pending:
        return self.line.submit("commit", self._commit)

    def _commit(self) -> None:
        try:
            self._check()
            self.server.committed.extend(self.rows)
        finally:
            self._end()

    def rollback(self) -> Pending:
        return self.line.submit("rollback", self._end)

    def savepoint(self, name: str) -> Pending:
        def work() -> None:
            self._check()
            self.marks[name] = len(self.rows)

        return self.line.submit("savepoint", work)

    def release(self, name: str) -> Pending:
        def work() -> None:
            self._check()
            self._forget(name)

        return self.line.submit("release", work)

    def _forget(self, name: str) -> None:
        if name not in self.marks:
            raise TransactionBrokenError(f"no savepoint {name}")
        names = list(self.marks)
        for later in names[names.index(name) :]:
            del self.marks[later]

    def rollback_to(self, name: str) -> Pending:
        def work() -> None:
            if self.state != "open":
                raise TransactionClosedError("the transaction is over")
            mark = self.marks[name]
            self._forget(name)
            self.marks[name] = mark
            del self.rows[mark:]
            self.broken = None

        return self.line.submit("rollback_to", work)

    def set_deadline(self, seconds: float | None) -> None:
        """This engine never looks at it, so that the blocks have to."""

    def abandon(self) -> None:
        self.server.log.append("abandon")
        running = self.line.running
        self.line.refuse_all(TransactionClosedError("the transaction was abandoned"))
        if running is None or running.name != "commit":
            self._end()

    def __del__(self) -> None:
        self._end()

    def insert(self, row: str) -> Pending:
        def work() -> None:
            self._check()
            self.rows.append(row)

        return self.line.submit("insert", work)

    def break_it(self, error: Exception) -> Pending:
        """A statement whose error ends the transaction, as every error does on PostgreSQL."""

        def work() -> None:
            self._check()
            self.broken = error
            raise error

        return self.line.submit("broken", work)


class Database:
    server: Server

    returning = (True, True)

    def __init__(self, config: dict[str, Any]) -> None:
        self.config = config
        self.backend = config["backend"]
        self.version = (3, 50, 0)
        self.line = Line(self.server)
        self.closed: float | None = None
        self.server.databases.append(self)

    def connect(self) -> Pending:
        self.backend = self.server.is_a or self.backend
        return self.line.submit("connect", lambda: None)

    def close(self, timeout: float | None = None) -> Pending:
        self.closed = timeout
        return self.line.submit("close", lambda: None)

    def insert(self, row: str) -> Pending:
        return self.line.submit("insert", lambda: self.server.committed.append(row))

    def raw(
        self, sql: str, params: Any, lease: Lease | None = None, timeout: float | None = None, counted: bool = False
    ) -> Pending:
        return self.line.submit("raw", lambda: [{"1": 1}])

    def lease(
        self,
        mode: str,
        isolation: str | None = None,
        deferrable: bool = False,
        origin: tuple[str, int] | None = None,
    ) -> Lease:
        return Lease(self, mode, isolation, deferrable, origin)

    def stats(self) -> dict[str, Any]:
        return {"in_use": len(self.server.open)}


def database_class(server: Server) -> type[Database]:
    return type("FakeDatabase", (Database,), {"server": server})
