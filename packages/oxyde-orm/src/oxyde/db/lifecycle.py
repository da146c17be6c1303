"""Connecting at start-up and closing at the end of a program."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from types import TracebackType

from .database import AsyncDatabase
from .registry import connections, disconnect_all, disconnect_each, forget, register_connection, taken
from .settings import CLOSE_TIMEOUT, Duration, PoolSettings

__all__ = ["close", "connect", "init", "lifespan"]


async def init(*, settings: PoolSettings | None = None, **aliases: str | AsyncDatabase) -> None:
    """Connect databases and register them under the given aliases.

    Each alias takes a URL, or an ``AsyncDatabase`` (which keeps its own settings). The aliases become known when all
    are connected; if one fails, those connected by this call are closed again and the error is the failing one's.

    Raises ``ValueError`` without an alias, for a URL that cannot be read, or for an alias that is already initialised.

    >>> await db.init(default="sqlite:///app.db", reports="sqlite:///reports.db")
    """
    await _init(_databases(settings, aliases))


async def _init(databases: dict[str, AsyncDatabase]) -> None:
    for alias, database in databases.items():
        holder = connections.get(alias)
        if holder is not None and (holder is not database or holder.connected):
            raise ValueError(taken(alias))
    connected: list[AsyncDatabase] = []
    registered: list[tuple[str, AsyncDatabase]] = []
    try:
        for database in databases.values():
            if not database.connected:
                await database.connect()
                connected.append(database)
        for alias, database in databases.items():
            # Another task may have taken it meanwhile.
            if connections.get(alias) is not database:
                register_connection(database, name=alias)
                registered.append((alias, database))
    except BaseException:
        for alias, database in registered:
            forget(database, alias)
        # Told to close without waiting: the error must go out even if a database no longer answers.
        for database in connected:
            database.close_soon()
        raise


def _databases(settings: PoolSettings | None, aliases: dict[str, str | AsyncDatabase]) -> dict[str, AsyncDatabase]:
    if not aliases:
        raise ValueError('db.init() needs at least one alias: await db.init(default="sqlite:///app.db")')
    databases = {}
    for alias, given in aliases.items():
        if isinstance(given, AsyncDatabase):
            databases[alias] = given
        elif isinstance(given, str):
            databases[alias] = AsyncDatabase(given, name=alias, settings=settings, auto_register=False)
        else:
            raise TypeError(f"{alias} must be a URL or an AsyncDatabase, not {type(given).__name__}")
    return databases


async def close(timeout: Duration | None = CLOSE_TIMEOUT) -> None:  # noqa: ASYNC109 - more happens then than a cancellation
    """Disconnect every registered database and forget all aliases; ``db.init()`` may follow.

    All are closed at once; what runs has ``timeout`` to end, see ``AsyncDatabase.disconnect``.

    >>> await db.close()
    """
    await disconnect_all(timeout)


class connect:  # noqa: N801 - used like a function
    """Connect one database for the length of a block; it is registered as ``name`` meanwhile.

    Raises ``ValueError`` if the alias is taken or the URL cannot be read, and what connecting raises.

    >>> async with db.connect("sqlite://:memory:") as database:
    ...     await create_tables()
    """

    def __init__(self, url: str, *, name: str = "default", settings: PoolSettings | None = None) -> None:
        self._database = AsyncDatabase(url, name=name, settings=settings, auto_register=False)

    async def __aenter__(self) -> AsyncDatabase:
        database = self._database
        await _init({database.name: database})
        return database

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        forget(self._database, self._database.name)
        await self._database.disconnect()


class lifespan:  # noqa: N801 - used like a function
    """Keep databases connected while an application runs, or for the length of a block.

    Called with the application it gives itself, which is what FastAPI and Starlette ask of a lifespan. Only the
    databases that it connected are closed at the end.

    >>> app = FastAPI(lifespan=db.lifespan(default="sqlite:///app.db"))
    >>> async with db.lifespan(default="sqlite:///app.db"):
    ...     await main()
    """

    def __init__(self, *, settings: PoolSettings | None = None, **aliases: str | AsyncDatabase) -> None:
        if not aliases:
            raise ValueError('db.lifespan() needs at least one alias: db.lifespan(default="sqlite:///app.db")')
        self._settings = settings
        self._aliases = aliases
        self._opened: list[tuple[str, AsyncDatabase]] = []

    def __call__(self, app: object) -> AbstractAsyncContextManager[None]:
        return lifespan(settings=self._settings, **self._aliases)

    async def __aenter__(self) -> None:
        await init(settings=self._settings, **self._aliases)
        self._opened = [(alias, connections[alias]) for alias in self._aliases]

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        opened, self._opened = self._opened, []
        for alias, database in opened:
            forget(database, alias)
        await disconnect_each([database for _, database in opened])
