"""psycopg 3 with psycopg_pool and the C implementation, as users write it: autocommit, binary results."""

import asyncio
from importlib.metadata import version
from typing import Any, ClassVar

import psycopg
import pydantic
from people import CHUNK, SELECT, SELECT_CROWD, TABLE, WRITTEN, Person
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool
from pydantic import TypeAdapter
from rows import ROWS

MANY = TypeAdapter(list[Person])
PK, OF_AGE, COUNTED = f"{SELECT} WHERE id = %b", f"{SELECT} WHERE age >= %b", f"SELECT count(*) FROM {TABLE}"
UPDATE, DELETE = f"UPDATE {TABLE} SET visits = %b WHERE id = %b", f"DELETE FROM {TABLE} WHERE id = %b"
INSERT = f"INSERT INTO {TABLE} ({', '.join(WRITTEN)}) VALUES ({', '.join(['%b'] * len(WRITTEN))}) RETURNING id"


def written(fields: dict[str, Any]) -> list[Any]:
    return [fields[name] for name in WRITTEN]


class Pool:
    asynchronous = True
    cannot: ClassVar[dict[str, str]] = {}

    async def open(self, place: str, settings: dict[str, Any], row: str) -> None:
        kwargs = {"autocommit": True}
        self.pool = AsyncConnectionPool(place, min_size=10, max_size=10, kwargs=kwargs, open=False)
        await self.pool.open(wait=True)

    async def close(self) -> None:
        await self.pool.close()

    async def execute(self, sql: str) -> None:
        async with self.pool.connection() as connection:
            await connection.execute(sql)

    async def value(self, sql: str) -> Any:
        return (await self.one(sql))[0]

    def versions(self) -> dict[str, str]:
        return {
            "psycopg": f"{version('psycopg')} ({psycopg.pq.__impl__})",
            "psycopg_pool": version("psycopg_pool"),
            "Pydantic": pydantic.VERSION,
        }

    def instances(self, people: list[dict[str, Any]]) -> list[Person]:
        return [Person(**fields) for fields in people]

    def operation(self, row: str, shape: str) -> Any:
        name = ROWS[row].operation
        return getattr(self, name if hasattr(self, name) else f"{name}_{shape}")

    async def one(self, sql: str, *values: Any, **how: Any) -> Any:
        async with self.pool.connection() as connection, connection.cursor(binary=True, **how) as cursor:
            await cursor.execute(sql, values)
            return await cursor.fetchone()

    async def many(self, age: int, **how: Any) -> Any:
        async with self.pool.connection() as connection, connection.cursor(binary=True, **how) as cursor:
            await cursor.execute(OF_AGE, (age,))
            return await cursor.fetchall()

    async def affected(self, sql: str, *values: Any) -> int:
        async with self.pool.connection() as connection:
            return (await connection.execute(sql, values)).rowcount

    async def pk_tuple(self, key: int) -> Any:
        return await self.one(PK, key)

    async def pk_dict(self, key: int) -> Any:
        return await self.one(PK, key, row_factory=dict_row)

    async def pk_model(self, key: int) -> Any:
        return Person.model_validate(await self.one(PK, key, row_factory=dict_row))

    async def rows_tuple(self, age: int) -> Any:
        return await self.many(age)

    async def rows_dict(self, age: int) -> Any:
        return await self.many(age, row_factory=dict_row)

    async def rows_model(self, age: int) -> Any:
        return MANY.validate_python(await self.many(age, row_factory=dict_row))

    async def stream(self, _: int) -> Any:
        rows = visits = 0
        async with (
            self.pool.connection() as connection,
            connection.transaction(),
            connection.cursor("crowd", row_factory=dict_row) as cursor,
        ):
            cursor.itersize = CHUNK
            await cursor.execute(SELECT_CROWD, binary=True)
            async for row in cursor:
                person = Person.model_validate(row)
                rows, visits = rows + 1, visits + person.visits
        return rows, visits

    async def concurrent_model(self, keys: list[int]) -> Any:
        return await asyncio.gather(*map(self.pk_model, keys))

    async def count(self, _: int) -> int:
        return (await self.one(COUNTED))[0]

    async def insert(self, fields: dict[str, Any]) -> Any:
        person = Person(**fields)
        (person.id,) = await self.one(INSERT, *written(person.__dict__))
        return person

    async def update(self, change: tuple[int, int]) -> int:
        return await self.affected(UPDATE, *change[::-1])

    async def delete(self, key: int) -> int:
        return await self.affected(DELETE, key)

    async def bulk_model(self, people: list[Person]) -> Any:
        """One transaction of pipelined INSERTs, each with a result of its own that holds the key."""
        async with self.pool.connection() as connection, connection.transaction():
            cursor = connection.cursor(binary=True)
            await cursor.executemany(INSERT, [written(person.__dict__) for person in people], returning=True)
            for person in people:
                (person.id,) = await cursor.fetchone()
                cursor.nextset()
        return people

    async def bulk_dict(self, people: list[dict[str, Any]]) -> Any:
        return await self.bulk_model(MANY.validate_python(people))
