"""asyncmy and aiomysql, each with its pool, as users write it: autocommit, and what has been read turned into models.

Both are used in the same way. The values of a statement are written into its text by the driver, on the client.
"""

import asyncio
from importlib import import_module
from importlib.metadata import version
from typing import Any, ClassVar

import pydantic
from databases.mysql import parts
from people import CHUNK, SELECT, SELECT_CROWD, TABLE, WRITTEN, Person
from pydantic import TypeAdapter
from rows import ROWS

MANY = TypeAdapter(list[Person])
PK, OF_AGE, COUNTED = f"{SELECT} WHERE id = %s", f"{SELECT} WHERE age >= %s", f"SELECT count(*) FROM {TABLE}"
UPDATE, DELETE = f"UPDATE {TABLE} SET visits = %s WHERE id = %s", f"DELETE FROM {TABLE} WHERE id = %s"
INSERT = f"INSERT INTO {TABLE} ({', '.join(WRITTEN)}) VALUES ({', '.join(['%s'] * len(WRITTEN))})"
# The driver makes one INSERT of as many rows, which is what their keys can be counted from.
BATCH = 1_000


def written(fields: dict[str, Any]) -> list[Any]:
    return [fields[name] for name in WRITTEN]


def typed(row: tuple[Any, ...]) -> tuple[Any, ...]:
    """A row as the server returns it, with a bool where the column means one."""
    return (*row[:4], row[4] == 1, *row[5:])


def typed_dict(row: dict[str, Any]) -> dict[str, Any]:
    row["active"] = row["active"] == 1
    return row


class Pool:
    asynchronous = True
    cannot: ClassVar[dict[str, str]] = {}
    driver: ClassVar[str]

    async def open(self, place: str, settings: dict[str, Any], row: str) -> None:
        module = import_module(self.driver)
        self.pool = await module.create_pool(**parts(place), minsize=10, maxsize=10, autocommit=True)
        cursors = import_module(f"{self.driver}.cursors")
        self.tuples, self.dicts = cursors.Cursor, cursors.DictCursor
        self.unbuffered = cursors.SSDictCursor

    async def close(self) -> None:
        self.pool.close()
        await self.pool.wait_closed()

    async def execute(self, sql: str) -> None:
        await self.affected(sql)

    async def value(self, sql: str) -> Any:
        return (await self.one(sql))[0]

    def versions(self) -> dict[str, str]:
        return {self.driver: version(self.driver), "Pydantic": pydantic.VERSION}

    def instances(self, people: list[dict[str, Any]]) -> list[Person]:
        return [Person(**fields) for fields in people]

    def operation(self, row: str, shape: str) -> Any:
        name = ROWS[row].operation
        return getattr(self, name if hasattr(self, name) else f"{name}_{shape}")

    async def one(self, sql: str, *values: Any, cursor: Any = None) -> Any:
        async with self.pool.acquire() as connection, connection.cursor(cursor or self.tuples) as reading:
            await reading.execute(sql, values)
            return await reading.fetchone()

    async def many(self, age: int, cursor: Any = None) -> Any:
        async with self.pool.acquire() as connection, connection.cursor(cursor or self.tuples) as reading:
            await reading.execute(OF_AGE, (age,))
            return await reading.fetchall()

    async def affected(self, sql: str, *values: Any) -> int:
        async with self.pool.acquire() as connection, connection.cursor() as writing:
            return await writing.execute(sql, values)

    async def pk_tuple(self, key: int) -> Any:
        return typed(await self.one(PK, key))

    async def pk_dict(self, key: int) -> Any:
        return typed_dict(await self.one(PK, key, cursor=self.dicts))

    async def pk_model(self, key: int) -> Any:
        return Person.model_validate(await self.one(PK, key, cursor=self.dicts))

    async def rows_tuple(self, age: int) -> Any:
        return list(map(typed, await self.many(age)))

    async def rows_dict(self, age: int) -> Any:
        return list(map(typed_dict, await self.many(age, self.dicts)))

    async def rows_model(self, age: int) -> Any:
        return MANY.validate_python(await self.many(age, self.dicts))

    async def stream(self, _: int) -> Any:
        """Unbuffered: the server sends while the rows are read."""
        rows = visits = 0
        async with self.pool.acquire() as connection, connection.cursor(self.unbuffered) as reading:
            await reading.execute(SELECT_CROWD)
            while found := await reading.fetchmany(CHUNK):
                for person in MANY.validate_python(found):
                    rows, visits = rows + 1, visits + person.visits
        return rows, visits

    async def concurrent_model(self, keys: list[int]) -> Any:
        return await asyncio.gather(*map(self.pk_model, keys))

    async def count(self, _: int) -> int:
        return (await self.one(COUNTED))[0]

    async def insert(self, fields: dict[str, Any]) -> Any:
        person = Person(**fields)
        async with self.pool.acquire() as connection, connection.cursor() as writing:
            await writing.execute(INSERT, written(person.__dict__))
            person.id = writing.lastrowid
        return person

    async def update(self, change: tuple[int, int]) -> int:
        return await self.affected(UPDATE, *change[::-1])

    async def delete(self, key: int) -> int:
        return await self.affected(DELETE, key)

    async def bulk_model(self, people: list[Person]) -> Any:
        """One transaction of INSERTs with many rows each, whose keys are consecutive."""
        async with self.pool.acquire() as connection, connection.cursor() as writing:
            await connection.begin()
            try:
                for first in range(0, len(people), BATCH):
                    batch = people[first : first + BATCH]
                    await writing.executemany(INSERT, [written(person.__dict__) for person in batch])
                    for person, key in zip(
                        batch, range(writing.lastrowid, writing.lastrowid + len(batch)), strict=True
                    ):
                        person.id = key
            except BaseException:
                await connection.rollback()
                raise
            await connection.commit()
        return people

    async def bulk_dict(self, people: list[dict[str, Any]]) -> Any:
        return await self.bulk_model(MANY.validate_python(people))


class Asyncmy(Pool):
    driver = "asyncmy"


class Aiomysql(Pool):
    driver = "aiomysql"
