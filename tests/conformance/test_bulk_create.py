"""bulk_create(): keys, conflicts, and all or nothing."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

import pytest
from pydantic import ValidationError

from oxyde import (
    Field,
    FieldError,
    ManagerError,
    Model,
    NotLoadedError,
    NotSupportedError,
    UniqueViolationError,
    atomic,
)

from .conftest import Tables
from .lanes import Lane
from .models import Author, Book, Seat, Token


class Counter(Model):
    id: int | None = Field(default=None, db_pk=True)
    name: str = Field(db_unique=True)
    count: int = 0
    note: str | None = None
    made: datetime = Field(db_default="'2020-01-01 00:00:00'")

    class Meta:
        is_table = True
        table_name = "conf_counter"


class Shelf(Model):
    id: int | None = Field(default=None, db_pk=True)
    room: int
    number: int | None = None
    label: str = ""

    class Meta:
        is_table = True
        table_name = "conf_shelf"
        unique_together = [("room", "number")]


@pytest.fixture(autouse=True)
async def tables_(tables: Tables) -> None:
    await tables(Author, Book, Token, Seat, Counter, Shelf)


async def stored() -> list[tuple[int, str, int]]:
    return [(row.id, row.name, row.count) for row in await Counter.objects.order_by("id")]  # type: ignore[misc]


async def test_nothing() -> None:
    assert await Counter.objects.bulk_create([]) == []
    assert await Counter.objects.bulk_create(iter(())) == []


async def test_instances_dicts_and_any_iterable() -> None:
    first = Counter(name="a")
    rows = await Counter.objects.bulk_create(item for item in (first, {"name": "b", "count": "7"}, Counter(name="c")))
    assert rows[0] is first
    assert [(row.id, row.name, row.count) for row in rows] == await stored() == [(1, "a", 0), (2, "b", 7), (3, "c", 0)]
    assert all(row.made == datetime(2020, 1, 1) for row in rows)
    rows[0].count = 5
    await rows[0].save()
    assert await Counter.objects.count() == 3


async def test_keys_explicit_generated_and_mixed() -> None:
    rows = await Counter.objects.bulk_create(
        [
            {"name": "a"},
            {"id": 50, "name": "b"},
            {"name": "c"},
            {"id": 7, "name": "d"},
            Counter(id=None, name="e"),
            Counter(id=60, name="f"),
        ]
    )
    found = {row.name: row.id for row in await Counter.objects.all()}
    assert {row.name: row.id for row in rows} == found
    assert [row.name for row in rows] == list("abcdef")
    assert (found["b"], found["d"], found["f"]) == (50, 7, 60)
    assert len(set(found.values())) == 6
    assert (await Counter.objects.create(name="g")).id not in found.values()


async def test_columns_are_the_union_over_the_rows() -> None:
    rows = await Counter.objects.bulk_create(
        [{"name": "a", "made": datetime(2000, 1, 1)}, {"name": "b"}, {"name": "c", "note": "x", "count": 3}]
    )
    found = await Counter.objects.order_by("name")
    assert [row.made.year for row in found] == [2000, 2020, 2020]
    assert [row.note for row in found] == [None, None, "x"]
    assert sorted((row.name, row.made, row.count) for row in rows) == [(row.name, row.made, row.count) for row in found]


async def test_keys_of_the_client_and_composite_keys() -> None:
    tokens = await Token.objects.bulk_create([Token(label="a"), {"label": "b"}])
    assert {row.key for row in await Token.objects.all()} == {row.key for row in tokens}
    seats = await Seat.objects.bulk_create([{"row": 1, "number": n} for n in (3, 1, 2)])
    assert [seat.number for seat in seats] == [3, 1, 2]
    with pytest.raises(UniqueViolationError) as caught:
        await Seat.objects.bulk_create([{"row": 2, "number": 1}, {"row": 1, "number": 1}])
    assert caught.value.table == "conf_seat"
    assert await Seat.objects.count() == 3


async def test_all_or_nothing() -> None:
    await Counter.objects.create(name="taken")
    for objects in (
        [{"name": "a"}, {"name": "taken"}],
        [{"name": "a"}, {"id": 9, "name": "b"}, {"name": "taken"}],
        [{"name": "a"}, {"name": "a"}],
    ):
        for options in ({}, {"batch_size": 1}, {"returning": True}):
            with pytest.raises(UniqueViolationError) as caught:
                await Counter.objects.bulk_create(objects, **options)
            assert (caught.value.table, caught.value.column) == ("conf_counter", "name")
            assert await Counter.objects.count() == 1


async def test_all_or_nothing_inside_a_transaction() -> None:
    async with atomic():
        await Counter.objects.create(name="taken")
        with pytest.raises(UniqueViolationError):
            async with atomic():
                await Counter.objects.bulk_create([{"name": "a"}, {"id": 5, "name": "b"}, {"name": "taken"}])
        await Counter.objects.bulk_create([{"name": "c"}, {"id": 5, "name": "d"}])
    assert [name for _, name, _ in await stored()] == ["taken", "c", "d"]


@pytest.mark.parametrize("size", [1, 3, 1000])
async def test_batches(size: int) -> None:
    rows = await Counter.objects.bulk_create([{"name": str(n)} for n in range(10)], batch_size=size)
    assert [row.name for row in rows] == list(map(str, range(10)))
    assert [(row.id, row.name) for row in rows] == [(key, name) for key, name, _ in await stored()]
    for wrong in (0, -1, True, "5", 1.5):
        with pytest.raises(ValueError, match="batch_size"):
            await Counter.objects.bulk_create([{"name": "x"}], batch_size=wrong)  # type: ignore[arg-type]


async def test_many() -> None:
    rows = await Counter.objects.bulk_create([{"name": str(n), "count": n} for n in range(20_000)])
    assert await Counter.objects.count() == 20_000
    assert (await Counter.objects.get(id=rows[12_345].id)).count == 12_345


async def test_input_is_validated_before_anything_is_sent() -> None:
    for bad in ([{"name": "a"}, {"name": 5}], [{"name": "a"}, {}], [{"name": "a"}, {"name": "b", "count": "x"}]):
        with pytest.raises(ValidationError):
            await Counter.objects.bulk_create(bad)
    with pytest.raises(FieldError, match="no field 'nam'"):
        await Counter.objects.bulk_create([{"nam": "a"}])
    for wrong in (5, None, "name", Token()):
        with pytest.raises(ManagerError, match="takes Counter objects or dicts"):
            await Counter.objects.bulk_create([{"name": "a"}, wrong])  # type: ignore[list-item]
    assert await Counter.objects.count() == 0


async def test_relations() -> None:
    ann = await Author.objects.create(name="Ann")
    books = await Book.objects.bulk_create([Book(title="a", author=ann), {"title": "b", "author": ann}, {"title": "c"}])
    assert [book.author_id for book in books] == [ann.id, ann.id, None]
    late = Author(name="Late")
    book = Book(title="d", author=late)
    with pytest.raises(ManagerError, match="Book.author is a Author that is not saved"):
        await Book.objects.bulk_create([book])
    await late.save()
    await Book.objects.bulk_create([book])
    assert (await Book.objects.get(title="d")).author_id == late.id


class TestConflicts:
    @pytest.fixture(autouse=True)
    async def rows(self, tables_: None) -> None:
        await Counter.objects.bulk_create([{"name": "a", "count": 1}, {"name": "b", "count": 2}])

    async def test_ignore(self) -> None:
        await Counter.objects.bulk_create(
            [{"name": "a", "count": 10}, {"name": "c", "count": 30}, {"id": 2, "name": "z"}], on_conflict="ignore"
        )
        assert [row[1:] for row in await stored()] == [("a", 1), ("b", 2), ("c", 30)]

    async def test_ignore_of_one_key_only(self, lane: Lane) -> None:
        await Counter.objects.bulk_create([{"name": "a"}], on_conflict="ignore", conflict_fields=["name"])
        # Elsewhere the other key would be passed over as well.
        with pytest.raises(UniqueViolationError if lane.has("conflict_target") else NotSupportedError):
            await Counter.objects.bulk_create([{"id": 1, "name": "x"}], on_conflict="ignore", conflict_fields=["name"])
        assert len(await stored()) == 2

    async def test_ignore_hides_nothing_but_conflicts(self) -> None:
        from oxyde import NotNullViolationError

        with pytest.raises(NotNullViolationError):
            await Counter.objects.bulk_create([Counter.model_construct(name=None)], on_conflict="ignore")

    async def test_ignore_with_returning_gives_the_new_rows(self, lane: Lane) -> None:
        with lane.can("new_rows"):
            rows = await Counter.objects.bulk_create(
                [{"name": "a"}, {"name": "c"}, {"name": "d"}], on_conflict="ignore", returning=True
            )
            assert [row.name for row in rows] == ["c", "d"]

    async def test_update_by_key(self, lane: Lane) -> None:
        with lane.can("conflict_target"):
            rows = await Counter.objects.bulk_create(
                [{"id": 1, "name": "A", "count": 10}, {"id": 3, "name": "c", "count": 3}], on_conflict="update"
            )
            assert await stored() == [(1, "A", 10), (2, "b", 2), (3, "c", 3)]
            assert [row.id for row in rows] == [1, 3]

    async def test_update_by_the_only_key(self) -> None:
        await Token.objects.bulk_create([Token(key=UUID(int=1), label="a")])
        rows = await Token.objects.bulk_create(
            [Token(key=UUID(int=1), label="b"), Token(key=UUID(int=2), label="c")], on_conflict="update"
        )
        assert [row.key.int for row in rows] == [1, 2]
        assert await Token.objects.order_by("key").values_list("label", flat=True) == ["b", "c"]

    async def test_update_by_a_unique_field(self) -> None:
        rows = await Counter.objects.bulk_create(
            [{"name": "a", "count": 10, "note": "n"}, {"name": "c", "count": 3}],
            on_conflict="update",
            conflict_fields=["name"],
            update_fields=["count"],
        )
        assert [row[1:] for row in await stored()] == [("a", 10), ("b", 2), ("c", 3)]
        assert (await Counter.objects.get(name="a")).note is None, "only update_fields are set"
        assert rows[0].id == 1, "the key of the row that was there"
        assert (await Counter.objects.get(id=rows[1].id)).name == "c"

    async def test_update_with_returning(self) -> None:
        rows = await Counter.objects.bulk_create(
            [{"name": "b", "count": 20}, {"name": "c", "count": 3}],
            on_conflict="update",
            conflict_fields=[Counter.name],
            update_fields=[Counter.count],
            returning=True,
        )
        assert (rows[0].id, rows[0].name, rows[0].count) == (2, "b", 20)
        assert rows[1].name == "c"

    async def test_update_of_many_with_returning(self) -> None:
        given = [{"name": f"n{number}", "count": number} for number in range(300)]
        given[7], given[250] = {"name": "b", "count": 20}, {"name": "a", "count": 10}
        rows = await Counter.objects.bulk_create(given, on_conflict="update", conflict_fields=["name"], returning=True)
        assert [(row.name, row.count) for row in rows] == [(row["name"], row["count"]) for row in given]
        assert (rows[7].id, rows[250].id) == (2, 1)
        assert rows == [await Counter.objects.get(name=row["name"]) for row in given]

    async def test_update_by_a_key_of_several_columns_with_returning(self) -> None:
        given = [{"room": n // 10, "number": n % 10, "label": str(n)} for n in range(100)]
        first = await Shelf.objects.bulk_create(given[::3])
        rows = await Shelf.objects.bulk_create(
            [{**shelf, "label": f"{shelf['label']}!"} for shelf in given],
            on_conflict="update",
            conflict_fields=["room", "number"],
            returning=True,
        )
        assert [(row.room, row.number, row.label) for row in rows] == [
            (shelf["room"], shelf["number"], f"{shelf['label']}!") for shelf in given
        ]
        assert [row.id for row in rows[::3]] == [row.id for row in first]

    async def test_no_value_is_never_taken(self) -> None:
        given = [{"room": 1, "number": 1}, {"room": 1, "number": None}, {"room": 1, "number": 2}]
        ids = set()
        for label in ("first", "second"):
            rows = await Shelf.objects.bulk_create(
                [{**shelf, "label": label} for shelf in given],
                on_conflict="update",
                conflict_fields=["room", "number"],
                returning=True,
            )
            assert [(row.number, row.label) for row in rows] == [(1, label), (None, label), (2, label)]
            ids.update(row.id for row in rows)
        assert len(ids) == await Shelf.objects.count() == 4

    async def test_contradictions(self) -> None:
        cases: list[tuple[dict[str, Any], type[Exception], str]] = [
            ({"on_conflict": "replace"}, ValueError, "'error', 'ignore' or 'update'"),
            ({"conflict_fields": ["name"]}, ValueError, "need on_conflict"),
            ({"on_conflict": "ignore", "update_fields": ["count"]}, ValueError, "on_conflict='update'"),
            ({"on_conflict": "update", "conflict_fields": "name"}, FieldError, "write a list"),
            ({"on_conflict": "update", "conflict_fields": ["nam"]}, FieldError, "'name'"),
            ({"on_conflict": "update", "update_fields": ["cuont"]}, FieldError, "'count'"),
            ({"on_conflict": "update", "update_fields": []}, FieldError, "ignore"),
            ({"on_conflict": "update", "update_fields": ["id"]}, FieldError, "cannot be updated"),
            ({"on_conflict": "update"}, FieldError, "recognises a Counter by id"),
        ]
        for options, error, text in cases:
            with pytest.raises(error, match=text):
                await Counter.objects.bulk_create([{"name": "x"}], **options)
        assert len(await stored()) == 2


async def test_what_the_database_fills_in_is_not_known_before() -> None:
    row = Counter(name="a")
    with pytest.raises(NotLoadedError, match="made"):
        row.made
    await Counter.objects.bulk_create([row])
    assert row.made == datetime(2020, 1, 1)
    assert row == await Counter.objects.get(id=row.id)
