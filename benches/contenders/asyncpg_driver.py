"""asyncpg with its pool, as users write it: every operation takes a connection, and gives it back to be reset."""

import asyncio
from importlib.metadata import version
from typing import Any, ClassVar

import asyncpg
import pydantic
from people import CHUNK, SELECT, SELECT_CROWD, TABLE, WRITTEN, Person
from pydantic import TypeAdapter
from rows import ROWS

MANY = TypeAdapter(list[Person])
PK, OF_AGE, COUNTED = f"{SELECT} WHERE id = $1", f"{SELECT} WHERE age >= $1", f"SELECT count(*) FROM {TABLE}"
UPDATE, DELETE = f"UPDATE {TABLE} SET visits = $2 WHERE id = $1", f"DELETE FROM {TABLE} WHERE id = $1"
VALUES = ", ".join(f"${n}" for n in range(1, len(WRITTEN) + 1))
INSERT = f"INSERT INTO {TABLE} ({', '.join(WRITTEN)}) VALUES ({VALUES}) RETURNING id"


def written(fields: dict[str, Any]) -> list[Any]:
    return [fields[name] for name in WRITTEN]


class AsUsersWriteIt:
    asynchronous = True
    cannot: ClassVar[dict[str, str]] = {}

    async def open(self, place: str, settings: dict[str, Any], row: str) -> None:
        self.pool = await asyncpg.create_pool(place, min_size=10, max_size=10)

    async def close(self) -> None:
        await self.pool.close()

    async def execute(self, sql: str) -> None:
        await self.pool.execute(sql)

    async def value(self, sql: str) -> Any:
        return await self.pool.fetchval(sql)

    def versions(self) -> dict[str, str]:
        return {"asyncpg": version("asyncpg"), "Pydantic": pydantic.VERSION}

    def instances(self, people: list[dict[str, Any]]) -> list[Person]:
        return [Person(**fields) for fields in people]

    def operation(self, row: str, shape: str) -> Any:
        name = ROWS[row].operation
        return getattr(self, name if hasattr(self, name) else f"{name}_{shape}")

    async def one(self, key: int) -> Any:
        async with self.pool.acquire() as connection:
            return await connection.fetchrow(PK, key)

    async def many(self, age: int) -> Any:
        async with self.pool.acquire() as connection:
            return await connection.fetch(OF_AGE, age)

    async def pk_tuple(self, key: int) -> Any:
        return tuple(await self.one(key))

    async def pk_dict(self, key: int) -> Any:
        return dict(await self.one(key))

    async def pk_model(self, key: int) -> Any:
        return Person.model_validate(dict(await self.one(key)))

    async def rows_tuple(self, age: int) -> Any:
        return list(map(tuple, await self.many(age)))

    async def rows_dict(self, age: int) -> Any:
        return list(map(dict, await self.many(age)))

    async def rows_model(self, age: int) -> Any:
        return MANY.validate_python(list(map(dict, await self.many(age))))

    async def stream(self, _: int) -> Any:
        rows = visits = 0
        async with self.pool.acquire() as connection, connection.transaction():
            async for record in connection.cursor(SELECT_CROWD, prefetch=CHUNK):
                person = Person.model_validate(dict(record))
                rows, visits = rows + 1, visits + person.visits
        return rows, visits

    async def concurrent_model(self, keys: list[int]) -> Any:
        return await asyncio.gather(*map(self.pk_model, keys))

    async def count(self, _: int) -> int:
        async with self.pool.acquire() as connection:
            return await connection.fetchval(COUNTED)

    async def insert(self, fields: dict[str, Any]) -> Any:
        person = Person(**fields)
        async with self.pool.acquire() as connection:
            person.id = await connection.fetchval(INSERT, *written(person.__dict__))
        return person

    async def update(self, change: tuple[int, int]) -> int:
        async with self.pool.acquire() as connection:
            return affected(await connection.execute(UPDATE, *change))

    async def delete(self, key: int) -> int:
        async with self.pool.acquire() as connection:
            return affected(await connection.execute(DELETE, key))

    async def bulk_model(self, people: list[Person]) -> Any:
        """One implicit transaction of pipelined INSERTs, whose keys come back."""
        async with self.pool.acquire() as connection:
            keys = await connection.fetchmany(INSERT, [written(person.__dict__) for person in people])
        for person, (key,) in zip(people, keys, strict=True):
            person.id = key
        return people

    async def bulk_dict(self, people: list[dict[str, Any]]) -> Any:
        return await self.bulk_model(MANY.validate_python(people))


def affected(tag: str) -> int:
    """`UPDATE 1` says so."""
    return int(tag.rpartition(" ")[2])
