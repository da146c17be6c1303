"""aiosqlite: sqlite3 in a thread of its own. Every awaited call is one trip to that thread and back.

Two forms, because people write both. With cursors a read is three trips (execute, fetch, close); `execute_fetchall` and
cursors that are not closed by hand take one.
"""

import asyncio
import sqlite3
from abc import ABC, abstractmethod
from importlib.metadata import version
from typing import Any, ClassVar

import aiosqlite
import pydantic
from people import COLUMNS, INSERT, SELECT, SELECT_CROWD, TABLE, Person, stored, typed
from pydantic import TypeAdapter
from rows import ROWS

MANY = TypeAdapter(list[Person])


class Driver(ABC):
    """What both forms share: the connection, the shapes, and the transaction of the bulk rows."""

    asynchronous = True
    cannot: ClassVar[dict[str, str]] = {}
    connection: aiosqlite.Connection

    async def open(self, place: str, settings: dict[str, Any], row: str) -> None:
        # Autocommit, except for the bulk rows: there executemany() begins the transaction that commit() ends.
        isolation = "IMMEDIATE" if row.startswith("bulk") else None
        self.connection = await aiosqlite.connect(place, isolation_level=isolation)
        for name, value in settings.items():
            await self.connection.execute_fetchall(f"PRAGMA {name} = {value}")

    async def close(self) -> None:
        await self.connection.close()

    async def execute(self, sql: str) -> None:
        await self.connection.execute_fetchall(sql)
        await self.connection.commit()

    async def value(self, sql: str) -> Any:
        ((value,),) = await self.connection.execute_fetchall(sql)
        return value

    def versions(self) -> dict[str, str]:
        return {
            "aiosqlite": version("aiosqlite"),
            "SQLite": sqlite3.sqlite_version,
            "Pydantic": pydantic.VERSION,
        }

    def instances(self, people: list[dict[str, Any]]) -> list[Person]:
        return [Person(**fields) for fields in people]

    def operation(self, row: str, shape: str) -> Any:
        name = ROWS[row].operation
        return getattr(self, name if hasattr(self, name) else f"{name}_{shape}")

    @abstractmethod
    async def one(self, key: int) -> Any:
        """The row with this key."""

    @abstractmethod
    async def many(self, age: int) -> Any:
        """The rows of people of at least this age."""

    async def pk_tuple(self, key: int) -> Any:
        return typed(await self.one(key))

    async def pk_dict(self, key: int) -> Any:
        return dict(zip(COLUMNS, typed(await self.one(key)), strict=True))

    async def pk_model(self, key: int) -> Any:
        return Person.model_validate(dict(zip(COLUMNS, await self.one(key), strict=True)))

    async def rows_tuple(self, age: int) -> Any:
        return [typed(row) for row in await self.many(age)]

    async def rows_dict(self, age: int) -> Any:
        return [dict(zip(COLUMNS, typed(row), strict=True)) for row in await self.many(age)]

    async def rows_model(self, age: int) -> Any:
        return MANY.validate_python([dict(zip(COLUMNS, row, strict=True)) for row in await self.many(age)])

    async def concurrent_model(self, keys: list[int]) -> Any:
        # One connection: ten of them (ten threads) were slower, they only wait for each other.
        return await asyncio.gather(*map(self.pk_model, keys))

    async def bulk_model(self, people: list[Person]) -> Any:
        """One transaction; the keys of rows that one statement after the other inserted in it are consecutive."""
        await self.connection.executemany(INSERT, [stored(person.__dict__) for person in people])
        ((last,),) = await self.connection.execute_fetchall("SELECT last_insert_rowid()")
        await self.connection.commit()
        for key, person in enumerate(people, last - len(people) + 1):
            person.id = key
        return people

    async def bulk_dict(self, people: list[dict[str, Any]]) -> Any:
        return await self.bulk_model(MANY.validate_python(people))


class CursorForm(Driver):
    async def stream(self, _: int) -> Any:
        rows = visits = 0
        async with self.connection.execute(SELECT_CROWD) as cursor:
            async for row in cursor:
                person = Person.model_validate(dict(zip(COLUMNS, row, strict=True)))
                rows, visits = rows + 1, visits + person.visits
        return rows, visits

    async def one(self, key: int) -> Any:
        async with self.connection.execute(f"{SELECT} WHERE id = ?", (key,)) as cursor:
            return await cursor.fetchone()

    async def many(self, age: int) -> Any:
        async with self.connection.execute(f"{SELECT} WHERE age >= ?", (age,)) as cursor:
            return await cursor.fetchall()

    async def count(self, _: int) -> int:
        async with self.connection.execute(f"SELECT count(*) FROM {TABLE}") as cursor:
            return (await cursor.fetchone())[0]

    async def insert(self, fields: dict[str, Any]) -> Any:
        person = Person(**fields)
        async with self.connection.execute(INSERT, stored(person.__dict__)) as cursor:
            person.id = cursor.lastrowid
        return person

    async def update(self, change: tuple[int, int]) -> int:
        async with self.connection.execute(f"UPDATE {TABLE} SET visits = ? WHERE id = ?", change[::-1]) as cursor:
            return cursor.rowcount

    async def delete(self, key: int) -> int:
        async with self.connection.execute(f"DELETE FROM {TABLE} WHERE id = ?", (key,)) as cursor:
            return cursor.rowcount


class FetchallForm(Driver):
    cannot: ClassVar[dict[str, str]] = {"stream": "execute_fetchall reads everything at once"}

    async def one(self, key: int) -> Any:
        (row,) = await self.connection.execute_fetchall(f"{SELECT} WHERE id = ?", (key,))
        return row

    async def many(self, age: int) -> Any:
        return await self.connection.execute_fetchall(f"{SELECT} WHERE age >= ?", (age,))

    async def count(self, _: int) -> int:
        ((number,),) = await self.connection.execute_fetchall(f"SELECT count(*) FROM {TABLE}")
        return number

    async def insert(self, fields: dict[str, Any]) -> Any:
        person = Person(**fields)
        cursor = await self.connection.execute(INSERT, stored(person.__dict__))
        person.id = cursor.lastrowid
        return person

    async def update(self, change: tuple[int, int]) -> int:
        cursor = await self.connection.execute(f"UPDATE {TABLE} SET visits = ? WHERE id = ?", change[::-1])
        return cursor.rowcount

    async def delete(self, key: int) -> int:
        cursor = await self.connection.execute(f"DELETE FROM {TABLE} WHERE id = ?", (key,))
        return cursor.rowcount
