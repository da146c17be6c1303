"""create_tables and drop_tables, from models to a SQLite file."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from oxyde import Field, Model, db
from oxyde.db import AsyncDatabase, atomic, create_tables, drop_tables
from oxyde.db.database import finish
from oxyde.exceptions import OperationalError, ProgrammingError
from oxyde.models import iter_tables, register_table, unregister_table


@pytest.fixture(autouse=True)
def tables() -> Iterator[dict[str, type[Model]]]:
    """Three tables, and nothing else in the registry of models."""
    before = list(iter_tables())
    for model in before:
        unregister_table(model)

    class Author(Model):
        id: int | None = Field(default=None, db_pk=True)

        class Meta:
            is_table = True
            table_name = "author"

    class Book(Model):
        id: int | None = Field(default=None, db_pk=True)
        author: Author = Field(db_on_delete="CASCADE")

        class Meta:
            is_table = True
            table_name = "book"

    class Sale(Model):
        id: int | None = Field(default=None, db_pk=True)

        class Meta:
            is_table = True
            table_name = "sale"
            database = "reports"

    yield {"Author": Author, "Book": Book, "Sale": Sale}
    for model in (Author, Book, Sale):
        unregister_table(model)
    for model in before:
        register_table(model)


@pytest.fixture
async def database() -> AsyncIterator[AsyncDatabase]:
    async with db.connect("sqlite://:memory:") as database:
        yield database


async def names(database: AsyncDatabase) -> list[str]:
    query = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name"
    return [row["name"] for row in await finish(database.engine().raw(query, ()))]


async def test_create_and_drop(database: AsyncDatabase) -> None:
    await create_tables()
    assert await names(database) == ["author", "book"]
    with pytest.raises(ProgrammingError, match="already exists"):
        await create_tables()
    await create_tables(if_not_exists=True)
    await drop_tables()
    assert await names(database) == []
    await drop_tables()
    with pytest.raises(ProgrammingError, match="no such table: author, book"):
        await drop_tables(if_exists=False)


async def test_chosen_models(database: AsyncDatabase, tables: dict[str, type[Model]]) -> None:
    await create_tables(models=[tables["Author"], tables["Sale"]])
    assert await names(database) == ["author", "sale"]
    await create_tables(if_not_exists=True)
    assert await names(database) == ["author", "book", "sale"]
    await drop_tables(database, models=[tables["Sale"], tables["Book"]], if_exists=False)
    assert await names(database) == ["author"]
    await create_tables(models=[])


async def test_tables_of_another_alias(database: AsyncDatabase) -> None:
    async with db.connect("sqlite://:memory:", name="reports") as reports:
        await create_tables("reports")
        assert await names(reports) == ["author", "book", "sale"]
        assert await names(database) == []


async def test_all_or_none(database: AsyncDatabase, tables: dict[str, type[Model]]) -> None:
    await create_tables(models=[tables["Sale"]])
    with pytest.raises(ProgrammingError):
        await create_tables(models=tables.values())
    assert await names(database) == ["sale"]


async def test_inside_a_transaction(database: AsyncDatabase) -> None:
    with pytest.raises(LookupError):
        async with atomic():
            await create_tables()
            raise LookupError
    assert await names(database) == []


async def test_needs_a_connected_database() -> None:
    with pytest.raises(KeyError):
        await create_tables()
    AsyncDatabase("sqlite://:memory:")
    with pytest.raises(OperationalError, match="not connected"):
        await create_tables()
