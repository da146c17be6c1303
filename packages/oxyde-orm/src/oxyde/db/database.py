"""One database: its URL, its settings and, once connected, its engine.

Connecting makes a new engine object; disconnecting drops it. What the engine knows about a server (its version,
compiled plans) therefore never outlives the connection to it. A database may be used from any number of event loops
and threads: the first caller of ``connect()`` opens the engine, all others wait for that attempt in their own loop.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import copy
import dataclasses
import getpass
import logging
import os
import threading
import time
import weakref
from collections.abc import Awaitable, Callable, Generator
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import oxyde_core

from ..exceptions import ManagerError, OperationalError
from .observed import ObservedDatabase
from .registry import register_connection
from .settings import CLOSE_TIMEOUT, Duration, Option, PoolSettings
from .statement_log import StatementLog, statements
from .telemetry import telemetry
from .url import parse_url

if TYPE_CHECKING:
    from oxyde_core import Pending

    from .connection import ConnectionContext

__all__ = ["AsyncDatabase"]

logger = logging.getLogger("oxyde.db")

# How long closing may take once it is forced, in seconds; nobody is kept waiting for longer.
FORCED = 2.0

_SECONDS = Option("seconds")

PasswordSource: TypeAlias = "str | Callable[[], str | Awaitable[str]]"

_databases: weakref.WeakSet[AsyncDatabase] = weakref.WeakSet()


def _after_fork() -> None:
    # In the child, whoever held a lock or was connecting does not exist: nobody would ever let go or finish.
    for database in _databases:
        database._lock = threading.Lock()
        database._connecting = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def system_user() -> str:
    """Return the name of the user that the process runs as; ``ValueError`` if the system has none."""
    try:
        import pwd

        return pwd.getpwuid(os.geteuid()).pw_name
    except ImportError:
        return getpass.getuser()
    except KeyError:
        raise ValueError("the user of this process has no name: name one in the database URL") from None


async def finish(pending: Pending) -> Any:
    """Await an engine operation; whatever stops the wait asks the engine to stop as well."""
    try:
        return await pending
    except BaseException:
        pending.cancel()
        raise


class AsyncDatabase:
    """A database with its pool of connections.

    ``url`` is one of the spellings of :mod:`oxyde.db.url`; options in its query string win over ``settings``. The
    database is registered under ``name`` unless ``auto_register`` is false; ``overwrite`` replaces what is registered.
    ``password`` is the password of a server, or a function or coroutine function without arguments that is asked for
    it at every new connection (a token that expires, a secret that is rotated).

    Raises ``ValueError`` for a URL that cannot be read, a password given twice or for a SQLite file, or a name that is
    taken, ``TypeError`` for wrong argument types.

    >>> async with AsyncDatabase("sqlite:///app.db", settings=PoolSettings(max_connections=4)) as database:
    ...     await database.ping()
    """

    def __init__(
        self,
        url: str,
        *,
        name: str = "default",
        settings: PoolSettings | None = None,
        password: PasswordSource | None = None,
        auto_register: bool = True,
        overwrite: bool = False,
    ) -> None:
        if not isinstance(name, str):
            raise TypeError(f"the name of a database must be a string, not {type(name).__name__}")
        if not name:
            raise ValueError("the name of a database must not be empty")
        self._parsed = parse_url(url)
        self._url = url if self._parsed.password is None else str(self._parsed)
        self._password = self._parsed.password if password is None else self._checked(password)
        self._name = name
        self._backend = self._parsed.dialect
        self._lock = threading.Lock()
        self._connecting: concurrent.futures.Future[Exception | None] | None = None
        # The engine while connected; resolve() reads it on every query.
        self.core: oxyde_core.Database | None = None
        self.settings = PoolSettings() if settings is None else settings
        _databases.add(self)
        if auto_register:
            register_connection(self, overwrite=overwrite)

    def _checked(self, password: PasswordSource) -> PasswordSource:
        if not isinstance(password, str) and not callable(password):
            raise TypeError(f"password must be a string or a function, not {type(password).__name__}")
        if self._parsed.is_file:
            raise ValueError(f"a {self._parsed.backend} database has no password")
        if self._parsed.password is not None:
            raise ValueError("the password is given twice: in the database URL and as password=")
        return password

    @property
    def url(self) -> str:
        """The URL, with ``***`` in place of a password."""
        return self._url

    @property
    def name(self) -> str:
        """The name under which the database registers itself."""
        return self._name

    @property
    def backend(self) -> str:
        """``"sqlite"``, ``"postgres"``, ``"mysql"`` or ``"mariadb"``.

        While connected to MySQL or MariaDB it is the one that the server is, before that the one that the URL names.
        """
        return self._backend

    @property
    def in_memory(self) -> bool:
        """Whether this is a SQLite memory database, which has exactly one connection."""
        return self._parsed.in_memory

    @property
    def connected(self) -> bool:
        """Whether ``connect()`` has succeeded and ``disconnect()`` was not called since."""
        return self.core is not None

    @property
    def settings(self) -> PoolSettings:
        """The settings given; assignable until the database is connected (ManagerError after that)."""
        return self._settings

    @settings.setter
    def settings(self, settings: PoolSettings) -> None:
        if not isinstance(settings, PoolSettings):
            raise TypeError(f"settings must be a PoolSettings, not {type(settings).__name__}")
        if self.core is not None or self._connecting is not None:
            raise ManagerError(f"the settings of database {self._name!r} cannot change while it is connected")
        effective = dataclasses.replace(settings, **self._parsed.settings)
        self._settings = settings
        self._effective = effective
        # Read by every transaction.
        self.transaction_timeout = effective.seconds("transaction_timeout")
        self.commit_timeout = effective.seconds("commit_timeout")

    def _open(self) -> oxyde_core.Database:
        config: dict[str, Any] = {"backend": self._parsed.dialect, "name": self._name}
        config |= self._file() if self._parsed.is_file else self._server()
        return oxyde_core.Database(config)

    def _file(self) -> dict[str, Any]:
        path = self._parsed.path
        settings = self._effective.to_payload()
        if self._parsed.engine_options:
            settings["options"] = self._parsed.engine_options
        return {
            # Connections are opened over time: a later chdir() must not send them to another file.
            "path": None if path is None else os.path.abspath(path),
            "settings": settings,
        }

    def _server(self) -> dict[str, Any]:
        parsed = self._parsed
        # As the databases' own programs do: the user of the process.
        user = parsed.username if parsed.username is not None else system_user()
        return {
            "settings": self._effective.to_payload(),
            "hosts": list(parsed.hosts),
            "socket": parsed.socket,
            "user": user,
            "password": self._password,
            "database": parsed.database_for(user),
            "target_session_attrs": parsed.target_session_attrs,
            "options": parsed.engine_options,
        }

    async def connect(self) -> None:
        """Open the engine and its first connection; nothing happens if connected.

        Raises ``ConnectError`` if the database cannot be reached or opened, ``NotSupportedError`` for a server that is
        too old.
        """
        while self.core is None:
            mine: concurrent.futures.Future[Exception | None] = concurrent.futures.Future()
            with self._lock:
                attempt = self._connecting
                if attempt is None and self.core is None:
                    # A running future cannot be cancelled by one of those who wait for it.
                    mine.set_running_or_notify_cancel()
                    self._connecting = mine
            if self._connecting is mine:
                await self._lead(mine)
            elif attempt is not None:
                error = await asyncio.wrap_future(attempt)
                if error is not None:
                    raise copy.copy(error) from error
                # Connected, or the one who tried was cancelled: look again.

    async def _lead(self, attempt: concurrent.futures.Future[Exception | None]) -> None:
        core = None
        try:
            core = self._open()
            await finish(core.connect())
            observed = self._observed(core)
        except BaseException as error:
            if core is not None:
                core.close(0.0)
            with self._lock:
                if self._connecting is attempt:
                    self._connecting = None
            attempt.set_result(error if isinstance(error, Exception) else None)
            raise
        with self._lock:
            wanted = self._connecting is attempt
            if wanted:
                self.core = observed
                self._backend = core.backend
                self._connecting = None
        if not wanted:
            core.close(0.0)
            gone = OperationalError(f"the database {self._name!r} was closed while it was being connected")
            attempt.set_result(gone)
            raise gone
        attempt.set_result(None)

    def _observed(self, core: oxyde_core.Database) -> oxyde_core.Database:
        """The engine, or what stands in its place if somebody watches."""
        settings = self._effective
        every = settings.log_statements
        if every == "auto":
            every = statements.isEnabledFor(logging.DEBUG)
        threshold = settings.seconds("slow_query_threshold")
        log = None
        if every or threshold is not None:
            log = StatementLog(self._name, every=bool(every), threshold=threshold, values=settings.log_values)
        watchers = tuple(
            watcher for watcher in (log, telemetry(self, core.backend, settings.telemetry)) if watcher is not None
        )
        return cast("oxyde_core.Database", ObservedDatabase(core, watchers)) if watchers else core

    def peer(self) -> dict[str, str | int]:
        """Return where the database is, by OpenTelemetry's names: nothing of who asks, and of several hosts none."""
        parsed = self._parsed
        found: dict[str, str | int] = {}
        if parsed.namespace is not None:
            found["db.namespace"] = parsed.namespace
        if parsed.socket is not None:
            found["server.address"] = parsed.socket
        elif len(parsed.hosts) == 1:
            found["server.address"], found["server.port"] = parsed.hosts[0]
        return found

    async def disconnect(self, timeout: Duration | None = CLOSE_TIMEOUT) -> None:  # noqa: ASYNC109 - more happens then than a cancellation
        """Close all connections. Nothing happens if not connected.

        From now on nothing new is begun, and who waits for a connection is told so. Statements and transactions that
        run have ``timeout`` (seconds or timedelta; None: as long as they take) to end. After that statements are
        cancelled and transactions rolled back; a server that does not answer even to that keeps nobody waiting for
        more than two seconds longer. The database stays registered and can be connected again.
        """
        seconds = None if timeout is None else _SECONDS.check("timeout", timeout)
        started = time.monotonic()
        attempt = self._connecting
        if attempt is not None:
            await asyncio.wait((asyncio.wrap_future(attempt),), timeout=seconds)
            with self._lock:
                if self._connecting is attempt:
                    # Too late: what it opens is closed again at once.
                    self._connecting = None
        if seconds is not None:
            seconds = max(0.0, seconds - (time.monotonic() - started))
        closing = self.close_soon(seconds)
        if closing is not None:
            # A wait that is cancelled does not cancel the closing: the engine finishes it by itself.
            try:
                async with asyncio.timeout(None if seconds is None else seconds + FORCED):
                    await closing
            except TimeoutError:
                logger.warning("%r is closed, but not all of its connections have ended in time", self._name)

    def close_soon(self, timeout: float | None = CLOSE_TIMEOUT) -> Pending | None:
        """Tell the engine to close, without waiting for it."""
        with self._lock:
            core, self.core = self.core, None
            self._backend = self._parsed.dialect
        return None if core is None else core.close(timeout)

    async def ensure_connected(self) -> None:
        """Connect unless connected; raises what ``connect()`` raises."""
        if self.core is None:
            await self.connect()

    def connection(self) -> ConnectionContext:
        """Keep one connection for the length of a block, in a transaction or not.

        Session state (``SET``, temporary tables, locks) stays between its statements and is reset when the block ends;
        ``atomic(connection=conn)`` runs a transaction on it, ``conn.iterate()`` streams. On SQLite it is the one
        connection that writes.

        Raises ``OperationalError`` if the database is not connected, ``PoolTimeoutError`` if no connection becomes free
        within ``acquire_timeout``.

        >>> async with database.connection() as conn:
        ...     await conn.execute("CREATE TEMP TABLE picked (id bigint)")
        ...     await conn.execute("INSERT INTO picked VALUES ($1)", [7])
        ...     rows = await conn.fetch("SELECT * FROM orders JOIN picked USING (id)")
        """
        from .connection import ConnectionContext

        return ConnectionContext(self)

    async def ping(self) -> float:
        """Run ``SELECT 1`` (inside the transaction, if one is open here) and return the seconds that it took."""
        from .resolve import resolve

        started = time.perf_counter()
        core, lease = resolve(None, self)
        await finish(core.raw("SELECT 1", (), lease=lease))
        return time.perf_counter() - started

    def stats(self) -> dict[str, Any]:
        """Return what the pool is doing and has done, and costs nothing that it would not do anyway.

        Now: ``size`` connections (``idle`` and ``in_use`` among them) of ``max_connections``, ``waiting`` callers,
        ``longest_hold`` in seconds and ``longest_holder`` (``file:line`` where that transaction was begun or that
        connection asked for, to be kept; None if it is neither; both None if nothing is in use). Since connecting:
        connections ``acquired``, ``timeouts`` of acquiring, connections ``lost``, ``waited`` seconds in all and
        ``waits``: how many acquires waited up to so many seconds ``{0.001: 90, 0.005: 2, …, inf: 0}``, each counted
        once; ``compiled`` queries.

        Raises ``OperationalError`` if the database is not connected.
        """
        return self.engine().stats()

    def engine(self) -> oxyde_core.Database:
        """Return the engine, or raise an ``OperationalError`` that says how to connect."""
        core = self.core
        if core is None:
            raise OperationalError(
                f"the database {self._name!r} is not connected: await db.init({self._name}=…) at start-up, "
                "or await its connect()"
            )
        return core

    def __await__(self) -> Generator[Any, Any, AsyncDatabase]:
        return self._connected().__await__()

    async def _connected(self) -> AsyncDatabase:
        await self.ensure_connected()
        return self

    async def __aenter__(self) -> AsyncDatabase:
        await self.connect()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self.disconnect()

    def __repr__(self) -> str:
        return f"AsyncDatabase({self._url!r}, name={self._name!r}, connected={self.connected})"
