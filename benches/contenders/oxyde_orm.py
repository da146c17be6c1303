"""Oxyde, as its documentation tells users to write it."""

import asyncio
from datetime import datetime
from typing import Any, ClassVar

import pydantic
from people import CROWD, TABLE
from rows import ROWS

import oxyde
from oxyde import AsyncDatabase, Field, Model, PoolSettings, create_tables, execute_raw

MODES = {"tuple": "list", "dict": "dict", "model": "models"}


class OxydePerson(Model):
    id: int | None = Field(default=None, db_pk=True)
    name: str
    email: str
    age: int
    active: bool
    score: float
    city: str
    visits: int
    bio: str | None = None
    created_at: datetime

    class Meta:
        is_table = True
        table_name = TABLE


class OxydeCrowd(Model):
    """The same columns, of the view."""

    id: int = Field(db_pk=True)
    name: str
    email: str
    age: int
    active: bool
    score: float
    city: str
    visits: int
    bio: str | None = None
    created_at: datetime

    class Meta:
        is_table = True
        table_name = CROWD


class Oxyde:
    asynchronous = True
    cannot: ClassVar[dict[str, str]] = {}

    async def open(self, place: str, settings: dict[str, Any], row: str) -> None:
        if "://" in place:  # a pool of the size that the others have
            url, options = place, PoolSettings(min_connections=10, max_connections=10)
        else:
            url = f"sqlite:///{place}"
            options = PoolSettings(sqlite_synchronous=settings["synchronous"]) if settings else None
        self.database = AsyncDatabase(url, settings=options)
        await self.database.connect()

    async def create(self) -> None:
        await create_tables(models=[OxydePerson])

    async def close(self) -> None:
        await self.database.disconnect()

    async def execute(self, sql: str) -> None:
        await execute_raw(sql)

    async def value(self, sql: str) -> Any:
        (row,) = await execute_raw(sql)
        (value,) = row.values()
        return value

    def versions(self) -> dict[str, str]:
        return {"Oxyde": oxyde.__version__, "Pydantic": pydantic.VERSION}

    def instances(self, people: list[dict[str, Any]]) -> list[OxydePerson]:
        return [OxydePerson(**fields) for fields in people]

    def operation(self, row: str, shape: str) -> Any:
        name = ROWS[row].operation
        return getattr(self, name if hasattr(self, name) else f"{name}_{shape}")

    async def pk_tuple(self, key: int) -> Any:
        return (await OxydePerson.objects.filter(id=key).all(mode="list"))[0]

    async def pk_dict(self, key: int) -> Any:
        return (await OxydePerson.objects.filter(id=key).all(mode="dict"))[0]

    async def pk_model(self, key: int) -> Any:
        return await OxydePerson.objects.get(id=key)

    async def rows_tuple(self, age: int) -> Any:
        return await OxydePerson.objects.filter(age__gte=age).all(mode="list")

    async def rows_dict(self, age: int) -> Any:
        return await OxydePerson.objects.filter(age__gte=age).all(mode="dict")

    async def rows_model(self, age: int) -> Any:
        return await OxydePerson.objects.filter(age__gte=age)

    async def stream(self, _: int) -> Any:
        rows = visits = 0
        async for person in OxydeCrowd.objects.iterate():
            rows, visits = rows + 1, visits + person.visits
        return rows, visits

    async def concurrent_model(self, keys: list[int]) -> Any:
        return await asyncio.gather(*map(self.pk_model, keys))

    async def count(self, _: int) -> int:
        return await OxydePerson.objects.count()

    async def insert(self, fields: dict[str, Any]) -> Any:
        return await OxydePerson.objects.create(**fields)

    async def update(self, change: tuple[int, int]) -> int:
        key, visits = change
        return await OxydePerson.objects.filter(id=key).update(visits=visits)

    async def delete(self, key: int) -> int:
        return await OxydePerson.objects.filter(id=key).delete()

    async def bulk_model(self, objects: list[OxydePerson]) -> Any:
        return await OxydePerson.objects.bulk_create(objects)

    async def bulk_dict(self, objects: list[dict[str, Any]]) -> Any:
        return await OxydePerson.objects.bulk_create(objects)
