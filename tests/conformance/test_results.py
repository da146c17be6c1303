"""Kinds of result: columns chosen, dicts, tuples, JSON, and what validation loading does."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any, Literal, Self

import pytest
from pydantic import (
    BaseModel,
    ConfigDict,
    PrivateAttr,
    SecretStr,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
    computed_field,
    field_serializer,
    field_validator,
    model_validator,
)

from oxyde import DataError, Field, FieldError, Model, NotLoadedError, execute_raw

from .conftest import Tables
from .models import Author, Book


@pytest.fixture
async def books(tables: Tables) -> None:
    await tables(Author, Book)
    await Author.objects.create(name="Ann")
    await Book.objects.bulk_create(
        [
            {"title": "one", "pages": 1, "price": "1.50", "published": datetime(2020, 1, 2), "author_id": 1},
            {"title": "two", "pages": 2},
            {"title": "two", "pages": 2, "rating": 0.5},
        ]
    )


@pytest.mark.usefixtures("books")
class TestColumns:
    async def test_only(self) -> None:
        book = await Book.objects.only("title", Book.pages).get(id=1)
        assert (book.id, book.title, book.pages) == (1, "one", 1)
        for name in ("price", "author_id", "rating"):
            with pytest.raises(NotLoadedError, match=f"Book.{name}"):
                getattr(book, name)
        assert not hasattr(book, "nonsense")
        assert book.model_fields_set == {"id", "title", "pages"}
        assert book.model_dump() == {"id": 1, "title": "one", "pages": 1}
        assert "price=<not loaded>" in repr(book)
        with pytest.raises(FieldError, match="at least one"):
            Book.objects.only()

    async def test_defer(self) -> None:
        book = await Book.objects.defer("price", "author").get(id=1)
        assert book.title == "one"
        with pytest.raises(NotLoadedError):
            book.price
        with pytest.raises(NotLoadedError):
            book.author_id
        with pytest.raises(NotLoadedError):
            book.author
        with pytest.raises(FieldError, match="cannot be deferred"):
            Book.objects.defer("pk")
        again = Book.objects.only("title", "price").defer("price")
        with pytest.raises(NotLoadedError):
            (await again.get(id=1)).price

    async def test_not_loaded_is_no_attribute_error(self) -> None:
        """Else `getattr` with a default and Pydantic's `from_attributes` would make None of it."""
        assert not issubclass(NotLoadedError, AttributeError)
        book = await Book.objects.only("title").get(id=1)

        class Out(BaseModel):
            model_config = ConfigDict(from_attributes=True)
            title: str
            price: Decimal | None = None

        with pytest.raises(NotLoadedError, match="price"):
            getattr(book, "price", None)
        with pytest.raises(ValidationError, match="NotLoadedError: Book.price was not loaded"):
            Out.model_validate(book)
        book.price = Decimal(1)
        assert Out.model_validate(book).price == 1

    async def test_values(self) -> None:
        rows = await Book.objects.order_by("id").values("title", "author", Book.price)
        assert rows[0] == {"title": "one", "author": 1, "price": Decimal("1.50")}
        whole = await Book.objects.order_by("id").values()
        assert whole == await Book.objects.order_by("id").all(mode="dict")
        assert whole[0]["published"] == datetime(2020, 1, 2)
        assert await Book.objects.filter(pages=1).values("pk") == [{"pk": 1}]

    async def test_values_list(self) -> None:
        assert await Book.objects.order_by("id").values_list("pages", "title") == [(1, "one"), (2, "two"), (2, "two")]
        assert await Book.objects.order_by("id").values_list("title", flat=True) == ["one", "two", "two"]
        assert await Book.objects.order_by("title").values_list("title", flat=True).distinct() == ["one", "two"]
        assert await Book.objects.values_list("id").first() == (1,)
        assert await Book.objects.values_list("id", flat=True).get(title="one") == 1
        assert await Book.objects.values("id").filter(title="one").get() == {"id": 1}
        for fields in ((), ("id", "title")):
            with pytest.raises(ValueError, match="exactly one field"):
                Book.objects.values_list(*fields, flat=True)
        with pytest.raises(FieldError, match="twice"):
            Book.objects.values("id", "id")

    async def test_modes(self) -> None:
        query = Book.objects.order_by("id")
        models = await query.all()
        assert await query.all(mode="models") == models
        assert await query.all(mode="dict") == [row.model_dump() for row in models]
        assert await query.all(mode="list") == [tuple(row.model_dump().values()) for row in models]
        assert await query.all(mode="json") == TypeAdapter(list[Book]).dump_json(models)
        for wrong in ("tuple", "", None, "MODELS"):
            with pytest.raises(ValueError, match="'models', 'dict', 'list' or 'json'"):
                await query.all(mode=wrong)  # type: ignore[call-overload]
        with pytest.raises(ValueError, match="by_alias"):
            await query.all(by_alias=True)  # type: ignore[call-overload]
        assert await Book.objects.filter(id=-1).all(mode="json") == b"[]"
        part = query.only("title")
        assert await part.all(mode="dict") == [{"id": row.id, "title": row.title} for row in models]
        assert await part.all(mode="json") == TypeAdapter(list[Book]).dump_json(await part)


class Fancy(Model):
    """Everything that has a say in JSON."""

    model_config = ConfigDict(ser_json_timedelta="float", serialize_by_alias=True)
    id: int | None = Field(default=None, db_pk=True)
    name: str = Field(alias="theName")
    secret: SecretStr = SecretStr("x")
    hidden: int = Field(default=1, exclude=True)
    price: Decimal = Decimal("1.10")
    _note: str = PrivateAttr(default="private")

    @field_serializer("price")
    def _euros(self, value: Decimal) -> str:
        return f"{value} EUR"

    @computed_field
    @property
    def shout(self) -> str:
        return self.name.upper()

    class Meta:
        is_table = True
        table_name = "conf_fancy"


async def test_json_is_what_pydantic_makes_of_the_rows(tables: Tables) -> None:
    await tables(Fancy)
    await Fancy.objects.create(theName='ü\u2028"', price="2.20")
    rows = await Fancy.objects.all()
    assert rows[0]._note == "private"
    adapter = TypeAdapter(list[Fancy])
    assert await Fancy.objects.all(mode="json") == adapter.dump_json(rows)
    for by_alias in (True, False):
        assert await Fancy.objects.all(mode="json", by_alias=by_alias) == adapter.dump_json(rows, by_alias=by_alias)
    assert b"hidden" not in await Fancy.objects.all(mode="json")
    assert b'"shout":' in await Fancy.objects.all(mode="json")


def shapes() -> list[type[Model]]:
    """Models that are validated in ever more ways; `value` may be at most 10 in all of them."""

    class Plain(Model):
        id: int | None = Field(default=None, db_pk=True)
        value: int = Field(le=10)
        name: str = Field(default="x", alias="theName")
        data: dict[str, int] = {}

        class Meta:
            is_table = True
            table_name = "conf_plain"

    class ByField(Model):
        id: int | None = Field(default=None, db_pk=True)
        value: int
        name: str = Field(default="x", alias="theName")
        data: dict[str, int] = {}

        @field_validator("value")
        @classmethod
        def _check(cls, value: int) -> int:
            if value > 10:
                raise ValueError("too large")
            return value

        class Meta:
            is_table = True
            table_name = "conf_by_field"

    class WithInfo(Model):
        id: int | None = Field(default=None, db_pk=True)
        value: int
        name: str = Field(default="x", alias="theName")
        data: dict[str, int] = {}

        @field_validator("name")
        @classmethod
        def _check(cls, name: str, info: ValidationInfo) -> str:
            if info.data["value"] > 10:
                raise ValueError("too large")
            return name

        class Meta:
            is_table = True
            table_name = "conf_with_info"

    class Before(Model):
        id: int | None = Field(default=None, db_pk=True)
        value: int
        name: str = Field(default="x", alias="theName")
        data: dict[str, int] = {}

        @model_validator(mode="before")
        @classmethod
        def _check(cls, data: Any) -> Any:
            if data["value"] > 10:
                raise ValueError("too large")
            return data

        class Meta:
            is_table = True
            table_name = "conf_before"

    class After(Model):
        id: int | None = Field(default=None, db_pk=True)
        value: int
        name: str = Field(default="x", alias="theName")
        data: dict[str, int] = {}

        @model_validator(mode="after")
        def _check(self) -> Self:
            if self.value > 10:
                raise ValueError("too large")
            return self

        class Meta:
            is_table = True
            table_name = "conf_after"

    class OwnInit(Model):
        id: int | None = Field(default=None, db_pk=True)
        value: int
        name: str = Field(default="x", alias="theName")
        data: dict[str, int] = {}

        def __init__(self, **data: Any) -> None:
            super().__init__(**data)
            if self.value > 10:
                raise ValueError("too large")

        class Meta:
            is_table = True
            table_name = "conf_own_init"

    return [Plain, ByField, WithInfo, Before, After, OwnInit]


@pytest.mark.parametrize("index", range(6), ids=["plain", "by field", "with info", "before", "after", "own init"])
async def test_loading_validates_wherever_it_could_matter(index: int, tables: Tables) -> None:
    model: Any = shapes()[index]
    await tables(model)
    table = model.get_table_name()
    made = await model.objects.create(value=5, theName="n", data={"a": 1})
    for mode in ("needed", "full", "off"):
        read = await model.objects.filter().validate(mode).get()
        assert read == made, mode
        assert (read.value, read.name, read.data) == (5, "n", {"a": 1})
        assert read.model_fields_set == {"id", "value", "name", "data"}
    await execute_raw(f"UPDATE {table} SET value = 11")
    for mode in ("needed", "full"):
        with pytest.raises(DataError, match=f"{table}.*id={made.id}") as caught:
            await model.objects.filter().validate(mode).get()
        assert caught.value.__cause__ is not None
        assert caught.value.table == table
        with pytest.raises(DataError):
            await model.objects.get(id=made.id)
        with pytest.raises(DataError):
            await model.objects.all(mode="json")
    trusted = await model.objects.filter().validate("off").get()
    assert trusted.value == 11
    with pytest.raises(ValueError, match="'full', 'needed' or 'off'"):
        model.objects.filter().validate("some")


async def test_post_init_and_private_attributes(tables: Tables) -> None:
    class Prepared(Model):
        id: int | None = Field(default=None, db_pk=True)
        name: str
        kind: Literal["a"] = "a"
        _length: int = PrivateAttr(default=-1)
        _seen: list[str] = PrivateAttr(default_factory=list)

        def model_post_init(self, context: Any) -> None:
            self._length = len(self.name)
            self._seen.append(self.name)

        class Meta:
            is_table = True
            table_name = "conf_prepared"

    await tables(Prepared)
    await Prepared.objects.bulk_create([{"name": "a"}, {"name": "bcd"}])
    for mode in ("needed", "full", "off"):
        rows = await Prepared.objects.filter().order_by("id").validate(mode)  # type: ignore[arg-type]
        assert [row._length for row in rows] == [1, 3]
        assert [row._seen for row in rows] == [["a"], ["bcd"]], "no list is shared"


async def test_defaults_of_loaded_rows_are_not_shared(tables: Tables) -> None:
    class Bag(Model):
        model_config = ConfigDict(extra="allow")
        id: int | None = Field(default=None, db_pk=True)
        items: list[int] = []

        class Meta:
            is_table = True
            table_name = "conf_bag"

    await tables(Bag)
    await Bag.objects.bulk_create([{}, {}])
    one, two = await Bag.objects.order_by("id")
    one.items.append(1)
    one.note = "x"  # type: ignore[attr-defined]
    assert (two.items, two.model_extra) == ([], {})
    one.model_fields_set.add("x")
    assert two.model_fields_set == {"id", "items"}


async def test_invalid_input_is_pydantics_own_error(tables: Tables) -> None:
    with pytest.raises(ValidationError, match="pages"):
        Book(title="x", pages=-1)
    with pytest.raises(ValidationError, match="title"):
        Book()  # type: ignore[call-arg]
