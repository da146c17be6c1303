"""Foreign keys and constraints: what the database enforces, and how its refusals arrive."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from oxyde import (
    Check,
    CheckViolationError,
    DatabaseError,
    Field,
    FieldLookupValueError,
    ForeignKeyViolationError,
    IntegrityError,
    ManagerError,
    Model,
    NotLoadedError,
    NotNullViolationError,
    Unique,
    UniqueViolationError,
    atomic,
    execute_raw,
)

from .conftest import Tables
from .lanes import Lane
from .models import Author, Book, Seat


class Parent(Model):
    id: int | None = Field(default=None, db_pk=True)
    name: str = ""

    class Meta:
        is_table = True
        table_name = "conf_parent"


class Child(Model):
    id: int | None = Field(default=None, db_pk=True)
    cascade: Parent | None = Field(default=None, db_on_delete="CASCADE")
    null: Parent | None = Field(default=None, db_on_delete="SET NULL")
    restrict: Parent | None = None

    class Meta:
        is_table = True
        table_name = "conf_child"


class Adopted(Model):
    id: int | None = Field(default=None, db_pk=True)
    fallback: Parent | None = Field(default=None, db_on_delete="SET DEFAULT")
    fallback_id: int | None = Field(default=None, db_default="1")

    class Meta:
        is_table = True
        table_name = "conf_adopted"


class Limited(Model):
    id: int | None = Field(default=None, db_pk=True)
    code: str = Field(db_unique=True, db_column="the_code")
    low: int = 0
    high: int = 0

    class Meta:
        is_table = True
        table_name = "conf_limited"
        constraints = [Check("low <= high", name="in_order"), Unique(["low", "high"], name="one_pair")]


class Slug(Model):
    """Referred to by another field than its key."""

    id: int | None = Field(default=None, db_pk=True)
    slug: str = Field(db_unique=True)

    class Meta:
        is_table = True
        table_name = "conf_slug"


class Page(Model):
    id: int | None = Field(default=None, db_pk=True)
    topic: Slug | None = Field(default=None, db_fk="slug", db_on_update="CASCADE")

    class Meta:
        is_table = True
        table_name = "conf_page"


class TestForeignKeys:
    @pytest.fixture(autouse=True)
    async def tables_(self, tables: Tables) -> None:
        await tables(Author, Book, Slug, Page)

    async def test_an_object_and_its_key_are_one_column(self) -> None:
        ann, bob = await Author(name="Ann").save(), await Author(name="Bob").save()
        book = await Book.objects.create(title="a", author=ann)
        assert (book.author_id, book.author) == (ann.id, ann)
        loaded = await Book.objects.get(author=ann)
        assert loaded.author_id == ann.id
        with pytest.raises(NotLoadedError, match="author"):
            loaded.author
        loaded.author = bob
        assert loaded.author_id == bob.id
        await loaded.save()
        loaded.author_id = ann.id
        with pytest.raises(NotLoadedError):
            loaded.author
        await loaded.save()
        assert await Book.objects.filter(author_id=ann.id).count() == 1
        loaded.author = None
        await loaded.save()
        nobody = await Book.objects.get(author=None)
        assert nobody.author is None

    async def test_conflicts_and_unsaved_objects(self) -> None:
        ann = await Author(name="Ann").save()
        with pytest.raises(ValidationError, match="author_id"):
            Book(title="x", author=ann, author_id=99)
        assert Book(title="x", author=ann, author_id=ann.id).author_id == ann.id
        new = Author(name="new")
        book = Book(title="x", author=new)
        for way in (book.save, lambda: Book.objects.create(title="y", author=new)):
            with pytest.raises(ManagerError, match="Book.author is a Author that is not saved.*save"):
                await way()
        assert await Book.objects.count() == 0
        await new.save()
        await book.save()
        assert book.author_id == new.id
        with pytest.raises(FieldLookupValueError, match="'author' is not saved"):
            Book.objects.filter(author=Author(name="z"))

    async def test_another_field_than_the_key(self) -> None:
        topic = await Slug(slug="news").save()
        page = await Page.objects.create(topic=topic)
        assert page.topic_slug == "news"  # type: ignore[attr-defined]
        assert await Page.objects.filter(topic=topic).count() == 1
        assert await Page.objects.filter(topic_slug="news").count() == 1
        await Slug.objects.update(slug="old")
        await page.refresh()
        assert page.topic_slug == "old"  # type: ignore[attr-defined]

    async def test_a_key_that_is_not_there(self) -> None:
        for way in (
            lambda: Book.objects.create(title="x", author_id=99),
            lambda: Book.objects.bulk_create([{"title": "x", "author_id": 99}]),
            lambda: Book(title="x", author_id=99).save(),
        ):
            with pytest.raises(ForeignKeyViolationError) as caught:
                await way()
            assert isinstance(caught.value, IntegrityError)
            assert not caught.value.retryable
            assert caught.value.outcome == "not_applied"
        await Book.objects.create(title="x")
        with pytest.raises(ForeignKeyViolationError):
            await Book.objects.update(author_id=99)


class TestOnDelete:
    @pytest.fixture(autouse=True)
    async def tables_(self, tables: Tables) -> None:
        await tables(Parent, Child)
        await Parent.objects.bulk_create([{"name": "fallback"}, {"name": "x"}])

    async def left(self, **keys: Any) -> Child | None:
        row = await Child.objects.create(**keys)
        await Parent.objects.filter(id=2).delete()
        return await Child.objects.get_or_none(id=row.id)

    async def test_cascade(self) -> None:
        assert await self.left(cascade_id=2) is None

    async def test_set_null(self) -> None:
        row = await self.left(null_id=2)
        assert row is not None
        assert row.null_id is None  # type: ignore[attr-defined]

    async def test_restrict(self) -> None:
        with pytest.raises(ForeignKeyViolationError):
            await self.left(restrict_id=2)
        assert await Parent.objects.count() == 2
        parent = await Parent.objects.get(id=2)
        with pytest.raises(ForeignKeyViolationError):
            await parent.delete()
        await parent.save()

    async def test_set_default(self, lane: Lane, tables: Tables) -> None:
        with lane.can("set_default"):
            await tables(Adopted)
            row = await Adopted.objects.create(fallback_id=2)
            await Parent.objects.filter(id=2).delete()
            await row.refresh()
            assert row.fallback_id == 1


class TestConstraints:
    @pytest.fixture(autouse=True)
    async def tables_(self, tables: Tables) -> None:
        await tables(Limited, Seat, Author)
        await Limited.objects.create(code="a")

    async def fails(self, error: type[DatabaseError], way: Any, **expected: Any) -> None:
        with pytest.raises(error) as caught:
            await way
        for name, value in expected.items():
            assert getattr(caught.value, name) == value, (name, getattr(caught.value, name))
        assert type(caught.value) is error
        assert await Limited.objects.count() == 1

    async def test_unique(self) -> None:
        expected = {"table": "conf_limited", "column": "the_code"}
        error = UniqueViolationError
        await self.fails(error, Limited.objects.create(code="a", high=1), **expected)
        await self.fails(error, Limited(code="a", high=1).save(), **expected)
        await self.fails(
            error, Limited.objects.bulk_create([{"code": "b", "high": 5}, {"code": "a", "high": 2}]), **expected
        )
        await self.fails(
            error, execute_raw("INSERT INTO conf_limited (the_code, low, high) VALUES ('a', 3, 3)"), **expected
        )
        await self.fails(error, Limited.objects.create(id=1, code="b", high=1), table="conf_limited", column="id")

    async def test_unique_together(self) -> None:
        with pytest.raises(UniqueViolationError) as caught:
            await Limited.objects.create(code="b")
        assert caught.value.table == "conf_limited"
        assert "low" in f"{caught.value.column} {caught.value}" or caught.value.constraint == "one_pair"
        await Seat.objects.create(row=1, number=1, guest="x")
        with pytest.raises(UniqueViolationError):
            await Seat.objects.create(row=1, number=2, guest="x")
        await Seat.objects.bulk_create([{"row": 2, "number": n} for n in range(3)])
        assert await Seat.objects.filter(guest=None).count() == 3, "NULLs are distinct"

    async def test_check(self) -> None:
        expected = {"constraint": "in_order"}
        await self.fails(CheckViolationError, Limited.objects.create(code="b", low=2, high=1), **expected)
        await self.fails(CheckViolationError, Limited.objects.update(low=2, high=1), **expected)

    async def test_not_null(self) -> None:
        expected = {"table": "conf_limited", "column": "low"}
        error = NotNullViolationError
        await self.fails(
            error, Limited.objects.bulk_create([Limited.model_construct(code="b", low=None, high=1)]), **expected
        )
        await self.fails(error, execute_raw("UPDATE conf_limited SET low = NULL"), **expected)

    async def test_a_transaction_goes_on_after_a_nested_block_failed(self) -> None:
        async with atomic():
            with pytest.raises(UniqueViolationError):
                async with atomic():
                    await Limited.objects.create(code="a", high=1)
            await Limited.objects.create(code="b", high=7)
        assert await Limited.objects.count() == 2

    async def test_messages_hold_no_values(self) -> None:
        with pytest.raises(UniqueViolationError) as caught:
            await Author.objects.bulk_create([{"name": "x", "email": "canary@x"}, {"name": "y", "email": "canary@x"}])
        assert "canary" not in str(caught.value)
        assert "canary" not in repr(caught.value)
