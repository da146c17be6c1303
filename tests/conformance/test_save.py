"""save, delete and refresh of instances, and the hooks around them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from pydantic import ConfigDict, ValidationError

from oxyde import (
    DataError,
    F,
    Field,
    FieldError,
    ManagerError,
    Model,
    NotFoundError,
    NotLoadedError,
    UniqueViolationError,
    atomic,
    execute_raw,
)

from .conftest import Tables
from .lanes import Lane
from .models import Author, Book, Seat, Token

LOG: list[str] = []


class Hooked(Model):
    id: int | None = Field(default=None, db_pk=True)
    name: str = Field(default="", db_unique=True)

    async def pre_save(self, *, is_create: bool, update_fields: Any) -> None:
        LOG.append(f"pre_save {self.name} {is_create} {update_fields} {self.id is None}")
        if self.name == "refuse":
            raise RuntimeError("no")
        if self.name == "change":
            self.name = "changed"
        if self.name == "break":
            self.name = 5  # type: ignore[assignment]

    async def post_save(self, *, is_create: bool, update_fields: Any) -> None:
        LOG.append(f"post_save {self.name} {is_create} {update_fields} {self.id is None}")
        if self.name == "after":
            raise RuntimeError("late")

    async def pre_delete(self) -> None:
        LOG.append(f"pre_delete {self.name}")
        if self.name == "keep":
            raise RuntimeError("kept")

    async def post_delete(self) -> None:
        LOG.append(f"post_delete {self.name}")

    class Meta:
        is_table = True
        table_name = "conf_hooked"


class Timed(Model):
    id: int | None = Field(default=None, db_pk=True)
    name: str = ""
    made: datetime = Field(db_default="'2020-01-01 00:00:00'")
    upper: str = Field(db_generated="upper(name)")

    class Meta:
        is_table = True
        table_name = "conf_timed"


@pytest.fixture(autouse=True)
async def tables_(tables: Tables) -> None:
    LOG.clear()
    await tables(Author, Book, Token, Seat, Hooked, Timed)


class TestSave:
    async def test_a_new_one_inserts_a_saved_one_updates(self) -> None:
        author = Author(name="Ann")
        assert await author.save() is author
        assert author.id == 1
        author.name = "Anna"
        await author.save()
        assert [row.name for row in await Author.objects.all()] == ["Anna"]

    async def test_a_loaded_one_updates(self) -> None:
        await Author.objects.create(name="Ann")
        loaded = await Author.objects.get()
        loaded.name = "x"
        await loaded.save()
        assert (await Author.objects.get()).name == "x"
        await Author.objects.delete()
        with pytest.raises(NotFoundError, match=r"save\(\) found no row of this Author"):
            await loaded.save()

    async def test_an_explicit_key_updates_or_inserts(self) -> None:
        await Author(id=5, name="new").save()
        await Author(id=5, name="again").save()
        assert [(row.id, row.name) for row in await Author.objects.all()] == [(5, "again")]
        await Seat(row=1, number=1, guest="a").save()
        await Seat(row=1, number=1, guest="b").save()
        assert [seat.guest for seat in await Seat.objects.all()] == ["b"]

    async def test_a_key_of_the_client_inserts(self) -> None:
        token = Token(label="a")
        await token.save()
        token.label = "b"
        await token.save()
        assert [row.label for row in await Token.objects.all()] == ["b"]
        await Token(key=token.key, label="c").save()
        assert [row.label for row in await Token.objects.all()] == ["c"]

    async def test_force(self) -> None:
        author = await Author(name="Ann").save()
        with pytest.raises(UniqueViolationError):
            await author.save(force_insert=True)
        with pytest.raises(NotFoundError):
            await Author(id=99, name="x").save(force_update=True)
        await Author(id=author.id, name="forced").save(force_update=True)
        assert (await Author.objects.get()).name == "forced"
        with pytest.raises(ManagerError, match="key 'id' is not set"):
            await Author(name="x").save(force_update=True)
        for options in ({"force_update": True}, {"update_fields": ["name"]}):
            with pytest.raises(ValueError, match="insert and to update"):
                await author.save(force_insert=True, **options)  # type: ignore[arg-type]

    async def test_update_fields(self) -> None:
        author = await Author(name="Ann", email="a@x").save()
        author.name, author.email = "B", "b@x"
        await author.save(update_fields=["name"])
        stored = await Author.objects.get()
        assert (stored.name, stored.email) == ("B", "a@x")
        assert await author.save(update_fields=[]) is author
        assert (await Author.objects.get()).email == "a@x"
        with pytest.raises(FieldError, match="'name'"):
            await author.save(update_fields=["nmae"])
        with pytest.raises(FieldError, match="primary key"):
            await author.save(update_fields=["id"])
        with pytest.raises(FieldError, match="write a list"):
            await author.save(update_fields="name")

    async def test_what_was_not_loaded_is_not_written(self) -> None:
        await Author.objects.create(name="Ann", email="a@x")
        part = await Author.objects.defer("email").get()
        part.name = "B"
        await Author.objects.update(email="new@x")
        await part.save()
        assert (await Author.objects.get()).email == "new@x"
        with pytest.raises(FieldError, match="email was not loaded"):
            await part.save(update_fields=["email"])
        part.email = "set@x"
        await part.save()
        assert (await Author.objects.get()).email == "set@x"
        only = await Author.objects.only("id").get()
        await only.save()
        await Author.objects.delete()
        with pytest.raises(NotFoundError):
            await only.save()

    async def test_values_are_validated(self) -> None:
        author = await Author(name="Ann").save()
        author.name = 5  # type: ignore[assignment]
        with pytest.raises(ValidationError, match="name"):
            await author.save()
        author.name, author.born = "x", "2000-01-02"  # type: ignore[assignment]
        await author.save()
        assert author.born == (await Author.objects.get()).born
        assert (await Author.objects.get()).name == "x"
        book = Book(title="x")
        book.pages = -1
        with pytest.raises(ValidationError, match="pages"):
            await book.save()
        book.pages = F("pages")  # type: ignore[assignment]
        with pytest.raises(ValidationError, match="pages"):
            await book.save()
        assert await Book.objects.count() == 0

    async def test_computed_columns_are_read_again(self) -> None:
        row = await Timed(name="a").save()
        assert (row.upper, row.made) == ("A", datetime(2020, 1, 1))
        row.name = "b"
        await row.save()
        assert row.upper == "B"
        assert await Timed.objects.get() == row

    async def test_two_instances_of_one_row(self) -> None:
        await Author.objects.create(name="Ann")
        one, two = await Author.objects.get(), await Author.objects.get()
        assert one == two
        assert one is not two
        one.name = "1"
        two.email = "2@x"
        await one.save()
        await two.save()
        assert (await Author.objects.get()).name == "Ann", "every loaded column is written"

    async def test_frozen_and_strict_models(self, tables: Tables) -> None:
        class Frozen(Model):
            model_config = ConfigDict(frozen=True, strict=True)
            id: int | None = Field(default=None, db_pk=True)
            name: str

            class Meta:
                is_table = True
                table_name = "conf_frozen"

        await tables(Frozen)
        row = await Frozen.objects.create(name="x")
        assert row.id == 1
        assert await Frozen.objects.get() == row
        with pytest.raises(ValidationError, match="frozen"):
            row.name = "y"


class TestDelete:
    async def test_rows(self) -> None:
        author = await Author(name="Ann").save()
        assert await author.delete() == 1
        assert await author.delete() == 0
        assert await Author.objects.count() == 0
        with pytest.raises(ManagerError, match="key 'id' is not set"):
            await Author(name="x").delete()

    async def test_a_deleted_one_can_be_saved_again(self) -> None:
        author = await Author(name="Ann").save()
        await author.delete()
        await author.save()
        assert await Author.objects.count() == 1


class TestRefresh:
    async def test_all_or_some_columns(self) -> None:
        author = await Author(name="Ann", email="a@x").save()
        await Author.objects.update(name="B", email="b@x")
        assert await author.refresh("name") is author
        assert (author.name, author.email) == ("B", "a@x")
        await author.refresh()
        assert author.email == "b@x"
        with pytest.raises(FieldError, match="'name'"):
            await author.refresh("nmae")

    async def test_deferred_columns_stay_so_unless_named(self) -> None:
        await Author.objects.create(name="Ann", email="a@x")
        part = await Author.objects.only("name").get()
        await part.refresh()
        with pytest.raises(NotLoadedError, match="email"):
            part.email
        await part.refresh("email")
        assert part.email == "a@x"

    async def test_a_row_that_is_gone(self) -> None:
        author = await Author(name="Ann").save()
        await Author.objects.delete()
        with pytest.raises(NotFoundError, match="refresh"):
            await author.refresh()
        with pytest.raises(ManagerError, match="key"):
            await Author(name="x").refresh()

    async def test_a_relation_whose_key_changed_is_unloaded(self) -> None:
        ann, bob = await Author(name="Ann").save(), await Author(name="Bob").save()
        book = await Book(title="x", author=ann).save()
        await book.refresh()
        assert book.author is ann
        await Book.objects.update(author=bob)
        await book.refresh()
        assert book.author_id == bob.id
        with pytest.raises(NotLoadedError, match='join\\("author"\\)'):
            book.author


class TestHooks:
    async def test_order_and_arguments(self) -> None:
        row = await Hooked.objects.create(name="a")
        assert LOG == ["pre_save a True None True", "post_save a True None False"]
        LOG.clear()
        row.name = "b"
        await row.save()
        await row.save(update_fields=("name",))
        assert LOG == [
            "pre_save b False None False",
            "post_save b False None False",
            "pre_save b False ['name'] False",
            "post_save b False ['name'] False",
        ]
        LOG.clear()
        await row.delete()
        assert LOG == ["pre_delete b", "post_delete b"]

    async def test_bulk_operations_call_none(self) -> None:
        await Hooked.objects.bulk_create([{"name": "a"}, Hooked(name="b")])
        await Hooked.objects.filter(name="a").update(name="c")
        await Hooked.objects.delete()
        assert LOG == []

    async def test_changes_are_written_and_validated(self) -> None:
        assert (await Hooked.objects.create(name="change")).name == "changed"
        assert (await Hooked.objects.get()).name == "changed"
        with pytest.raises(ValidationError, match="name"):
            await Hooked.objects.create(name="break")
        assert await Hooked.objects.count() == 1

    async def test_an_exception_aborts(self) -> None:
        with pytest.raises(RuntimeError, match="no"):
            await Hooked.objects.create(name="refuse")
        assert await Hooked.objects.count() == 0
        kept = await Hooked.objects.create(name="keep")
        with pytest.raises(RuntimeError, match="kept"):
            await kept.delete()
        assert await Hooked.objects.count() == 1
        with pytest.raises(RuntimeError, match="late"):
            await Hooked.objects.create(name="after")
        assert await Hooked.objects.count() == 2, "without a transaction the row was written"

    async def test_in_a_transaction_it_rolls_back(self) -> None:
        with pytest.raises(RuntimeError, match="late"):
            async with atomic():
                await Hooked.objects.create(name="first")
                await Hooked.objects.create(name="after")
        assert await Hooked.objects.count() == 0


NO_DATE = {"sqlite": "'never'", "postgres": "'infinity'", "mysql": "'0000-01-01'"}


async def test_a_row_that_became_invalid_behind_the_program(lane: Lane, tables: Tables) -> None:
    author = await Author(name="Ann").save()
    await execute_raw(f"UPDATE conf_author SET born = {NO_DATE[lane.family]}")
    with pytest.raises(DataError, match="conf_author.*born"):
        await author.refresh()
    await author.refresh("name")
    author.born = None
    await author.save()
    assert (await Author.objects.get()).born is None
