"""asyncpg in its fastest legitimate form for each row.

One bare connection with statements prepared by hand; ten concurrent ones from a pool that does not reset them. Bulk
inserts go as arrays through one `unnest` or, where it is faster, through COPY with keys fetched before. A second form
replaces the pool by ten bare connections in a queue, which checks nothing and cannot replace a connection that is lost.
"""

import asyncio
from typing import Any, ClassVar

import asyncpg
from people import CHUNK, COLUMNS, SELECT_CROWD, TABLE, WRITTEN, Person
from rows import ROWS

from .asyncpg_driver import COUNTED, DELETE, INSERT, MANY, OF_AGE, PK, UPDATE, AsUsersWriteIt, affected, written

TYPES = ("text", "text", "bigint", "boolean", "float8", "text", "bigint", "text", "timestamp")
ARRAYS = ", ".join(f"${n}::{kind}[]" for n, kind in enumerate(TYPES, 1))
UNNEST = f"INSERT INTO {TABLE} ({', '.join(WRITTEN)}) SELECT * FROM unnest({ARRAYS}) RETURNING id"
# The subquery makes it one lookup of the sequence instead of one per row: 3.5 instead of 27 ms.
KEYS = f"SELECT nextval((SELECT pg_get_serial_sequence('{TABLE}', 'id')::regclass)) FROM generate_series(1, $1)"
STATEMENTS = {"pk": PK, "rows": OF_AGE, "count": COUNTED, "insert": INSERT}


class Tuned(AsUsersWriteIt):
    async def open(self, place: str, settings: dict[str, Any], row: str) -> None:
        self.connection = await asyncpg.connect(place)
        if (operation := ROWS[row].operation) in STATEMENTS:
            self.statement = await self.connection.prepare(STATEMENTS[operation])
        if operation == "concurrent":
            await self.open_many(place)

    async def open_many(self, place: str) -> None:
        self.pool = await asyncpg.create_pool(place, min_size=10, max_size=10, reset=nothing)

    async def close(self) -> None:
        await self.connection.close()
        if hasattr(self, "pool"):
            await self.pool.close()

    async def execute(self, sql: str) -> None:
        await self.connection.execute(sql)

    async def value(self, sql: str) -> Any:
        return await self.connection.fetchval(sql)

    async def one(self, key: int) -> Any:
        return await self.statement.fetchrow(key)

    async def many(self, age: int) -> Any:
        return await self.statement.fetch(age)

    async def stream(self, _: int) -> Any:
        """Whole chunks become models at once."""
        rows = visits = 0
        async with self.connection.transaction():
            cursor = await self.connection.cursor(SELECT_CROWD)
            while records := await cursor.fetch(CHUNK):
                for person in MANY.validate_python(list(map(dict, records))):
                    rows, visits = rows + 1, visits + person.visits
        return rows, visits

    async def one_of_many(self, key: int) -> Any:
        async with self.pool.acquire() as connection:
            return Person.model_validate(dict(await connection.fetchrow(PK, key)))

    async def concurrent_model(self, keys: list[int]) -> Any:
        return await asyncio.gather(*map(self.one_of_many, keys))

    async def count(self, _: int) -> int:
        return await self.statement.fetchval()

    async def insert(self, fields: dict[str, Any]) -> Any:
        person = Person(**fields)
        person.id = await self.statement.fetchval(*written(person.__dict__))
        return person

    async def update(self, change: tuple[int, int]) -> int:
        return affected(await self.connection.execute(UPDATE, *change))

    async def delete(self, key: int) -> int:
        return affected(await self.connection.execute(DELETE, key))

    async def bulk_model(self, people: list[Person]) -> Any:
        values = [written(person.__dict__) for person in people]
        if len(people) <= 1_000:
            keys = await self.connection.fetch(UNNEST, *zip(*values, strict=True))
        else:
            keys = await self.connection.fetch(KEYS, len(people))
            records = [(key, *row) for (key,), row in zip(keys, values, strict=True)]
            await self.connection.copy_records_to_table(TABLE, columns=COLUMNS, records=records)
        for person, (key,) in zip(people, keys, strict=True):
            person.id = key
        return people

    async def bulk_dict(self, people: list[dict[str, Any]]) -> Any:
        return await self.bulk_model(MANY.validate_python(people))


class Queue(Tuned):
    """Only where there is something to queue for."""

    cannot: ClassVar[dict[str, str]] = {
        name: "the same as tuned" for name, row in ROWS.items() if row.operation != "concurrent"
    }

    async def open_many(self, place: str) -> None:
        self.free: asyncio.Queue[Any] = asyncio.Queue()
        self.connections = [await asyncpg.connect(place) for _ in range(10)]
        for connection in self.connections:
            self.free.put_nowait(await connection.prepare(PK))

    async def close(self) -> None:
        await super().close()
        for connection in self.connections:
            await connection.close()

    async def one_of_many(self, key: int) -> Any:
        statement = await self.free.get()
        try:
            row = await statement.fetchrow(key)
        finally:
            self.free.put_nowait(statement)
        return Person.model_validate(dict(row))


async def nothing(_: Any) -> None:
    """What the pool does to a connection that comes back."""
