"""create_tables and drop_tables: names, keys, defaults, indexes and constraints, as the database then enforces them."""

from __future__ import annotations

import enum
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Literal
from uuid import UUID

import pytest

from oxyde import (
    AsyncDatabase,
    Check,
    CheckViolationError,
    DataError,
    F,
    Field,
    ForeignKeyViolationError,
    Index,
    Model,
    NotNullViolationError,
    NotSupportedError,
    ProgrammingError,
    Q,
    Unique,
    UniqueViolationError,
    atomic,
    create_tables,
    drop_tables,
    execute_raw,
)

from .conftest import Tables
from .lanes import Lane
from .models import Author, Book, Word

HOSTILE = (
    'double"quote',
    "single'quote",
    "back`tick",
    "back\\slash",
    "semi;colon -- comment",
    "ünï çödé",
    "𝔘",
    "select",
    "order",
    "brackets [x]",
    "per%cent ?",
    "dollar $1",
    "line\nbreak",
)


def table(name: str, column: str, **meta: Any) -> type[Model]:
    """A model whose table and columns have the given names."""
    namespace = {
        "__module__": __name__,
        "__qualname__": "Hostile",
        "__annotations__": {"id": int | None, "value": str, "number": int},
        "id": Field(default=None, db_pk=True, db_column=f"id {column}"),
        "value": Field(default="x", db_column=column, db_unique=True),
        "number": Field(default=1, db_column=f"n {column}", db_index=True),
        "Meta": type(
            "Meta",
            (),
            {"__module__": __name__, "__qualname__": "Hostile.Meta", "is_table": True, "table_name": name, **meta},
        ),
    }
    return type(Model)("Hostile", (Model,), namespace)


@pytest.mark.parametrize("name", HOSTILE)
async def test_any_name_is_only_a_name(name: str, lane: Lane, tables: Tables) -> None:
    model: Any = table(
        name, name, indexes=[Index(["number", "value"])], constraints=[Check(F("number") > 0), Unique(["number", "id"])]
    )
    if max(name) > "\uffff" and not lane.has("every_letter_in_names"):
        # A server that replaces what it cannot store would make one table of two.
        with pytest.raises(NotSupportedError):
            await tables(model)
        return
    await tables(model, Author)
    await Author.objects.create(name="bystander")
    row = await model.objects.create(value=name)
    await model.objects.bulk_create([{"value": "b", "number": 5}])
    assert (await model.objects.get(value=name)).id == row.id
    assert await model.objects.filter(value__contains=name[:3], number=1).order_by("-value").count() == 1
    assert await model.objects.filter(number__in=[5]).update(number=F("number") + 1) == 1
    assert await model.objects.order_by("number").values("number", "value") == [
        {"number": 1, "value": name},
        {"number": 6, "value": "b"},
    ]
    with pytest.raises(UniqueViolationError):
        await model.objects.create(value=name)
    with pytest.raises(CheckViolationError):
        await model.objects.create(value="c", number=0)
    assert await model.objects.filter(value=name).delete() == 1
    assert await Author.objects.count() == 1


async def test_long_names_are_shortened_the_same_way_everywhere(tables: Tables) -> None:
    model: Any = table("t" * 100, "c" * 100, indexes=[Index(["value"], name="i" * 100)])
    other: Any = table("t" * 99 + "x", "d", indexes=[Index(["value"], name="i" * 99 + "x")])
    await tables(model)
    await tables(other)
    await model.objects.create(value="a")
    assert await model.objects.count() == 1
    assert await other.objects.count() == 0


async def test_tables_exist_or_not(database: AsyncDatabase) -> None:
    with pytest.raises(ProgrammingError):
        await Author.objects.count()
    await create_tables(models=[Author])
    with pytest.raises(ProgrammingError, match="conf_author"):
        await create_tables(models=[Author])
    await Author.objects.create(name="kept")
    await create_tables(models=[Author, Book], if_not_exists=True)
    assert await Author.objects.count() == 1
    assert await Book.objects.count() == 0
    await drop_tables(models=[Author, Book])
    await drop_tables(models=[Author, Book])
    with pytest.raises(ProgrammingError, match="conf_author"):
        await drop_tables(models=[Author], if_exists=False)


async def test_tables_come_and_go(database: AsyncDatabase) -> None:
    for _ in range(2):
        await create_tables(models=[Book, Author])
        await Book.objects.create(title="x", author=await Author.objects.create(name="y"))
        await drop_tables(models=[Book, Author])
    await create_tables(models=[Book, Author])
    await drop_tables(models=[Book])
    with pytest.raises(ProgrammingError):
        await Book.objects.count()
    with pytest.raises(ProgrammingError, match="conf_author"):
        await create_tables(models=[Author, Book])


async def test_creating_is_all_or_nothing(lane: Lane, database: AsyncDatabase) -> None:
    await create_tables(models=[Author])
    with pytest.raises(ProgrammingError):
        await create_tables(models=[Book, Author])
    if lane.has("transactional_ddl"):
        with pytest.raises(ProgrammingError):
            await Book.objects.count()
    await drop_tables(models=[Book, Author])


async def test_tables_in_a_transaction(lane: Lane, tables: Tables) -> None:
    """They come and go with it, or are refused before they could end it."""
    await tables(Word)
    with pytest.raises(RuntimeError):
        async with atomic():
            await Word.objects.create(text="not kept")
            with lane.can("transactional_ddl"):
                await create_tables(models=[Author])
                await Author.objects.create(name="x")
            with lane.can("transactional_ddl"):
                await drop_tables(models=[Word])
            raise RuntimeError
    assert await Word.objects.count() == 0
    with pytest.raises(ProgrammingError):
        await Author.objects.count()


class Mood(enum.Enum):
    GOOD = "it's good"
    BAD = 'so "bad" \\'


class Defaults(Model):
    id: int | None = Field(default=None, db_pk=True)
    text: str = 'it\'s "quoted" \\ % ; -- ?'
    empty: str = ""
    number: int = -(2**63)
    ratio: float = 0.1
    flag: bool = True
    price: Decimal = Field(default=Decimal("-0.10"), max_digits=5, decimal_places=2)
    exact: Decimal = Decimal("12345678901234567890.123")
    day: date = date(2020, 2, 29)
    moment: datetime = datetime(2020, 2, 29, 12, 0, 0, 1)
    hour: time = time(1, 2, 3)
    took: timedelta = timedelta(days=-1, microseconds=1)
    token: UUID = UUID(int=1)
    mood: Mood = Mood.BAD
    size: Literal["s", "it's"] = "it's"
    absent: str | None = None

    class Meta:
        is_table = True
        table_name = "conf_defaults"


async def test_literal_defaults_are_the_columns_too(tables: Tables) -> None:
    """A program that knows nothing of Oxyde inserts a row, and gets the same defaults."""
    await tables(Defaults)
    by_python = await Defaults.objects.create()
    await execute_raw("INSERT INTO conf_defaults (id) VALUES (77)")
    by_database = await Defaults.objects.get(id=77)
    assert by_database.model_dump(exclude={"id"}) == by_python.model_dump(exclude={"id"})
    assert await Defaults.objects.filter(**by_python.model_dump(exclude={"id"})).count() == 2


REFUSED_MEMBER = {"sqlite": CheckViolationError, "postgres": DataError, "mysql": DataError}


async def test_checks_of_enums_and_literals(lane: Lane, tables: Tables) -> None:
    await tables(Defaults)
    await Defaults.objects.create()
    # A native enum has no such value, a text is checked.
    for column, error in {"mood": REFUSED_MEMBER[lane.family], "size": CheckViolationError}.items():
        with pytest.raises(error):
            await execute_raw(f"UPDATE conf_defaults SET {column} = 'other'")
    with pytest.raises(NotNullViolationError):
        await execute_raw("UPDATE conf_defaults SET text = NULL")
    await execute_raw("UPDATE conf_defaults SET absent = 'x', mood = 'it''s good'")
    assert (await Defaults.objects.get()).mood is Mood.GOOD


async def test_keys_are_never_used_twice(tables: Tables) -> None:
    await tables(Author)
    first = await Author.objects.create(name="a")
    await first.delete()
    second = await Author.objects.create(name="b")
    assert second.id == (first.id or 0) + 1


async def test_composite_keys(tables: Tables) -> None:
    class Grid(Model):
        x: int = Field(db_pk=True)
        y: str = Field(db_pk=True)
        value: int = 0

        class Meta:
            is_table = True
            table_name = "conf_grid"

    await tables(Grid)
    await Grid.objects.bulk_create([{"x": x, "y": y} for x in (1, 2) for y in "ab"])
    with pytest.raises(UniqueViolationError):
        await Grid.objects.create(x=1, y="a")
    with pytest.raises(NotNullViolationError):
        await execute_raw("INSERT INTO conf_grid (x, value) VALUES (5, 1)")
    row = await Grid.objects.get(pk=(2, "b"))
    row.value = 9
    await row.save()
    assert await Grid.objects.filter(value=9).count() == 1
    assert await row.delete() == 1
    assert (await Grid.objects.order_by("pk"))[0].y == "a"


async def test_unique_constraints_and_partial_indexes(lane: Lane, tables: Tables) -> None:
    class Account(Model):
        id: int | None = Field(default=None, db_pk=True)
        email: str = ""
        team: str = ""
        active: bool = True

        class Meta:
            is_table = True
            table_name = "conf_account"
            unique_together = [("email", "team")]
            indexes = [Index(["email"], unique=True, where=Q(active=True), name="one_active")]

    with lane.can("partial_index"):
        await tables(Account)
        await Account.objects.create(email="a", team="1")
        await Account.objects.create(email="a", team="2", active=False)
        await Account.objects.create(email="a", team="3", active=False)
        with pytest.raises(UniqueViolationError):
            await Account.objects.create(email="a", team="4")
        with pytest.raises(UniqueViolationError):
            await Account.objects.create(email="a", team="2", active=False)


@pytest.mark.parametrize(
    ("capability", "meta"),
    [
        ("deferrable_unique", {"constraints": [Unique(["value", "number"], deferrable="deferred")]}),
        ("nulls_not_distinct", {"constraints": [Unique(["value", "number"], nulls_distinct=False)]}),
        ("index_include", {"indexes": [Index(["value"], include=["number"], name="conf_inc")]}),
        ("index_method", {"indexes": [Index(["value"], method="hash", name="conf_hash")]}),
    ],
)
async def test_what_a_database_cannot_do_is_refused(
    capability: str, meta: Any, lane: Lane, database: AsyncDatabase
) -> None:
    model = table("conf_capable", "value", **meta)
    with lane.can(capability):
        await create_tables(models=[model])
        await drop_tables(models=[model])


async def test_deferred_foreign_keys(lane: Lane, tables: Tables) -> None:
    class Later(Model):
        id: int | None = Field(default=None, db_pk=True)
        author: Author | None = Field(default=None, db_deferrable=True)

        class Meta:
            is_table = True
            table_name = "conf_later"

    with lane.can("deferrable_foreign_key"):
        await tables(Author, Later)


async def test_tables_that_refer_to_each_other(tables: Tables) -> None:
    await tables(Egg, Hen)
    hen = await Hen.objects.create()
    egg = await Egg.objects.create(hen=hen)
    hen.egg = egg
    await hen.save()
    assert (await Hen.objects.get()).egg_id == egg.id  # type: ignore[attr-defined]
    with pytest.raises(ForeignKeyViolationError):
        await Egg.objects.delete()
    assert await Hen.objects.update(egg=None) == 1


class Egg(Model):
    id: int | None = Field(default=None, db_pk=True)
    hen: Hen | None = None

    class Meta:
        is_table = True
        table_name = "conf_egg"


class Hen(Model):
    id: int | None = Field(default=None, db_pk=True)
    egg: Egg | None = None
    mother: Hen | None = None

    class Meta:
        is_table = True
        table_name = "conf_hen"


async def test_checks_from_expressions(tables: Tables) -> None:
    class Priced(Model):
        id: int | None = Field(default=None, db_pk=True)
        name: str = "it's"
        low: int = 0
        high: int = 0
        made: date = date(2020, 1, 1)

        class Meta:
            is_table = True
            table_name = "conf_priced"
            constraints = [
                Check(Q(low__lte=F("high")), name="ordered"),
                Check(Q(name__ne="it's not") & ~Q(name=""), name="named"),
                Check("high < 100"),
                Check(Q(made__gte=date(2000, 1, 1)), name="young"),
            ]

    await tables(Priced)
    await Priced.objects.create()
    for bad in ({"low": 1}, {"name": "it's not"}, {"name": ""}, {"high": 100}, {"made": date(1999, 1, 1)}):
        with pytest.raises(CheckViolationError):
            await Priced.objects.create(**bad)
    assert await Priced.objects.count() == 1
