"""Who is asked: each as its own documentation shows it, with a pool of four connections.

All speak through the same few words, so that a scenario is written once. ``limit`` is the contender's own limit of a
statement's time; where it has none, users write ``asyncio.timeout`` around it, and so do we.
"""

from __future__ import annotations

import asyncio
import contextlib
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, ClassVar
from urllib.parse import urlsplit

POOL = 4
Run = Callable[[str], Awaitable[Any]]
Block = contextlib.AbstractAsyncContextManager[Any]


class Contender(ABC):
    title: ClassVar[str]
    family: ClassVar[str]
    own_limit: ClassVar[bool] = False
    """Whether it can limit the time of a statement by itself."""

    def __init__(self, url: str, limit: float | None) -> None:
        self.url, self.limit = url, limit

    @abstractmethod
    async def open(self) -> None:
        """Connect."""

    @abstractmethod
    async def close(self) -> None:
        """Close all connections."""

    @abstractmethod
    async def execute(self, sql: str) -> Any:
        """Outside of a transaction; the rows, if there are any."""

    @abstractmethod
    def begun(self) -> Block:
        """A connection in a transaction."""

    @abstractmethod
    def savepoint(self, connection: Any) -> Block:
        """A block in the transaction of a connection."""

    @abstractmethod
    def on(self, connection: Any) -> Run:
        """Run a statement on a connection."""

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[Run]:
        async with self.begun() as connection:
            self.connection = connection
            yield self.on(connection)

    @contextlib.asynccontextmanager
    async def nested(self, run: Run) -> AsyncIterator[Run]:
        """A savepoint in it."""
        async with self.savepoint(self.connection):
            yield run

    async def limited(self, sql: str) -> Any:
        if self.own_limit or self.limit is None:
            return await self.execute(sql)
        async with asyncio.timeout(self.limit):
            return await self.execute(sql)


class Oxyde(Contender):
    title, own_limit = "Oxyde", True

    async def open(self) -> None:
        from oxyde import AsyncDatabase, PoolSettings

        settings = PoolSettings(max_connections=POOL, statement_timeout=self.limit)
        self.database = AsyncDatabase(self.url, settings=settings, overwrite=True)
        await self.database.connect()

    async def close(self) -> None:
        await self.database.disconnect()

    async def execute(self, sql: str) -> Any:
        from oxyde import execute_raw

        return [tuple(row.values()) for row in await execute_raw(sql)]

    def begun(self) -> Block:
        from oxyde import atomic

        return atomic()

    def savepoint(self, connection: Any) -> Block:
        return self.begun()  # which it is in another one

    def on(self, connection: Any) -> Run:
        return self.execute  # whatever runs in the block runs in its transaction


class OxydePostgres(Oxyde):
    family = "postgres"


class OxydeMysql(Oxyde):
    family = "mysql"


class Asyncpg(Contender):
    title, family, own_limit = "asyncpg", "postgres", True

    async def open(self) -> None:
        import asyncpg

        self.pool = await asyncpg.create_pool(self.url, min_size=1, max_size=POOL, command_timeout=self.limit)

    async def close(self) -> None:
        self.pool.terminate()

    async def execute(self, sql: str) -> Any:
        return [tuple(row) for row in await self.pool.fetch(sql)]

    @contextlib.asynccontextmanager
    async def begun(self) -> AsyncIterator[Any]:
        async with self.pool.acquire() as connection, connection.transaction():
            yield connection

    def savepoint(self, connection: Any) -> Block:
        return connection.transaction()

    def on(self, connection: Any) -> Run:
        return connection.execute


class Psycopg(Contender):
    title, family = "psycopg 3", "postgres"

    async def open(self) -> None:
        from psycopg_pool import AsyncConnectionPool

        self.pool = AsyncConnectionPool(self.url, min_size=1, max_size=POOL, open=False)
        await self.pool.open()

    async def close(self) -> None:
        await self.pool.close(timeout=1)

    async def execute(self, sql: str) -> Any:
        async with self.pool.connection() as connection:
            return await rows(await connection.execute(sql))

    @contextlib.asynccontextmanager
    async def begun(self) -> AsyncIterator[Any]:
        async with self.pool.connection() as connection, connection.transaction():
            yield connection

    def savepoint(self, connection: Any) -> Block:
        return connection.transaction()

    def on(self, connection: Any) -> Run:
        return connection.execute


async def rows(cursor: Any) -> list[tuple[Any, ...]]:
    return await cursor.fetchall() if cursor.description else []


class SQLAlchemy(Contender):
    title = "SQLAlchemy 2"
    scheme: ClassVar[str]
    query: ClassVar[str] = ""

    async def open(self) -> None:
        from sqlalchemy.ext.asyncio import create_async_engine

        address = urlsplit(self.url)._replace(scheme=self.scheme, query=self.query)
        self.engine = create_async_engine(address.geturl(), pool_size=POOL, max_overflow=0)

    async def close(self) -> None:
        await self.engine.dispose()

    def on(self, connection: Any) -> Run:
        from sqlalchemy import text

        async def run(sql: str) -> Any:
            result = await connection.execute(text(sql))
            return [tuple(row) for row in result] if result.returns_rows else []

        return run

    async def execute(self, sql: str) -> Any:
        async with self.engine.begin() as connection:
            return await self.on(connection)(sql)

    def begun(self) -> Block:
        return self.engine.begin()

    def savepoint(self, connection: Any) -> Block:
        return connection.begin_nested()


class SQLAlchemyPostgres(SQLAlchemy):
    family, scheme, query = "postgres", "postgresql+asyncpg", "ssl=disable"


class SQLAlchemyMysql(SQLAlchemy):
    family, scheme = "mysql", "mysql+asyncmy"


class Asyncmy(Contender):
    title, family = "asyncmy", "mysql"

    async def open(self) -> None:
        import asyncmy

        address = urlsplit(self.url)
        self.pool = await asyncmy.create_pool(
            host=address.hostname,
            port=address.port,
            user=address.username,
            password=address.password or "",
            db=address.path.strip("/"),
            minsize=1,
            maxsize=POOL,
            autocommit=True,
        )

    async def close(self) -> None:
        self.pool.terminate()

    def on(self, connection: Any) -> Run:
        async def run(sql: str) -> Any:
            async with connection.cursor() as cursor:
                await cursor.execute(sql)
                return await rows(cursor)

        return run

    async def execute(self, sql: str) -> Any:
        async with self.pool.acquire() as connection:
            return await self.on(connection)(sql)

    @contextlib.asynccontextmanager
    async def begun(self) -> AsyncIterator[Any]:
        async with self.pool.acquire() as connection:
            await connection.begin()
            try:
                yield connection
            except BaseException:
                await connection.rollback()
                raise
            await connection.commit()

    @contextlib.asynccontextmanager
    async def savepoint(self, connection: Any) -> AsyncIterator[Any]:
        run = self.on(connection)
        await run("SAVEPOINT one")
        try:
            yield connection
        except BaseException:
            await run("ROLLBACK TO SAVEPOINT one")
            raise
        await run("RELEASE SAVEPOINT one")


CONTENDERS: dict[str, type[Contender]] = {
    kind.__name__: kind
    for kind in (OxydePostgres, Asyncpg, Psycopg, SQLAlchemyPostgres, OxydeMysql, Asyncmy, SQLAlchemyMysql)
}
