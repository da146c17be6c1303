"""Instances that were loaded are Pydantic models in every respect: copies, pickles, equality, serving them."""

from __future__ import annotations

import asyncio
import copy
import gc
import pickle
import weakref
from datetime import datetime
from typing import Annotated, Any

import pytest
from fastapi import FastAPI
from httpx import ASGITransport, AsyncClient
from pydantic import BaseModel, ConfigDict, PrivateAttr, TypeAdapter, computed_field

from oxyde import Field, Model, NotLoadedError

from .conftest import Tables
from .models import Author, Book


class Item(Model):
    """At module level, so that it can be pickled."""

    model_config = ConfigDict(extra="allow")
    id: int | None = Field(default=None, db_pk=True)
    name: str
    tags: list[str] = []
    note: str | None = None
    made: datetime = Field(db_default="'2020-01-01 00:00:00'")
    _private: dict[str, int] = PrivateAttr(default_factory=dict)

    @computed_field
    @property
    def upper(self) -> str:
        return self.name.upper()

    class Meta:
        is_table = True
        table_name = "conf_item"


@pytest.fixture(autouse=True)
async def rows(tables: Tables) -> None:
    await tables(Author, Book, Item)
    await Author.objects.create(name="Ann")
    await Book.objects.bulk_create([{"title": "one", "author_id": 1}, {"title": "two"}])
    await Item.objects.create(name="x", tags=["a"])


WAYS: dict[str, Any] = {
    "pickle": lambda obj: pickle.loads(pickle.dumps(obj)),
    "pickle 2": lambda obj: pickle.loads(pickle.dumps(obj, protocol=2)),
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "model_copy": lambda obj: obj.model_copy(),
    "model_copy deep": lambda obj: obj.model_copy(deep=True),
}


@pytest.mark.parametrize("way", WAYS)
async def test_copies(way: str) -> None:
    original = await Item.objects.get()
    original._private["k"] = 1
    copied = WAYS[way](original)
    assert copied == original
    assert copied is not original
    assert type(copied) is Item
    assert copied.model_fields_set == original.model_fields_set == {"id", "name", "tags", "note", "made"}
    assert copied._private == {"k": 1}
    assert copied.upper == "X"
    deep = way not in ("copy", "model_copy")
    assert (copied.tags is not original.tags) == deep
    copied.name = "copied"
    await copied.save()
    assert await Item.objects.count() == 1, "a copy of a loaded row updates"
    assert (await Item.objects.get()).name == "copied"
    part = WAYS[way](await Item.objects.only("name").get())
    with pytest.raises(NotLoadedError, match="note"):
        part.note
    part.name = "part"
    await part.save()
    assert (await Item.objects.get()).tags == ["a"]


async def test_equality_and_hash() -> None:
    one, two = await Item.objects.get(), await Item.objects.get()
    assert one == two
    two.name = "y"
    assert one != two
    made = Item(id=one.id, name=one.name, tags=one.tags, note=None, made=one.made)
    assert made == one, "loaded or constructed makes no difference"
    with pytest.raises(TypeError, match="unhashable"):
        hash(one)


async def test_dumping() -> None:
    item = await Item.objects.get()
    assert item.model_dump() == {
        "id": 1,
        "name": "x",
        "tags": ["a"],
        "note": None,
        "made": datetime(2020, 1, 1),
        "upper": "X",
    }
    assert item.model_dump(exclude_unset=True).keys() == item.model_dump().keys(), "everything loaded is set"
    assert "note" not in item.model_dump(exclude_none=True)
    assert "note" not in item.model_dump(exclude_defaults=True)
    assert Item.model_validate(item) is item
    assert Item.model_validate(item.model_dump(exclude={"upper"})) == item
    assert Item.model_validate_json(item.model_dump_json(exclude={"upper"})) == item
    book = await Book.objects.get(title="one")
    assert "author" not in book.model_dump(), "a relation that was not loaded is absent"
    assert book.model_dump()["author_id"] == 1
    assert "author=<not loaded>" in repr(book)


async def test_weak_references_and_collection() -> None:
    item = await Item.objects.get()
    reference = weakref.ref(item)
    item.itself = item  # type: ignore[attr-defined]
    del item
    gc.collect()
    assert reference() is None
    rows = await Book.objects.all()
    references = [weakref.ref(row) for row in rows]
    assert all(gc.is_tracked(row) for row in rows)
    del rows
    await asyncio.sleep(0)  # asyncio keeps the list until the task pauses
    gc.collect()
    assert [found() for found in references] == [None, None]


async def test_the_collector_is_left_as_it_was() -> None:
    await Item.objects.bulk_create([{"name": str(n)} for n in range(500)])
    for enabled in (True, False):
        (gc.enable if enabled else gc.disable)()
        try:
            await Item.objects.all()
            assert gc.isenabled() == enabled
        finally:
            gc.enable()


async def test_rows_share_nothing() -> None:
    await Item.objects.create(name="y")
    one, two = await Item.objects.order_by("id")
    one.model_fields_set.clear()
    one.tags.append("b")
    one._private["x"] = 1
    one.other = 5  # type: ignore[attr-defined]
    assert two.model_fields_set == {"id", "name", "tags", "note", "made"}
    assert (two.tags, two._private, two.model_extra) == ([], {}, {})


async def test_inside_other_models() -> None:
    class Shelf(BaseModel):
        books: list[Book]
        best: Book | None = None

    books = await Book.objects.order_by("id")
    shelf = Shelf(books=books, best=books[0])
    assert shelf.best is books[0]
    assert TypeAdapter(list[Book]).dump_python(books) == [book.model_dump() for book in books]
    assert Shelf.model_validate_json(shelf.model_dump_json()).books[1].title == "two"


class Out(BaseModel):
    model_config = ConfigDict(from_attributes=True)
    id: int
    title: str


def application() -> FastAPI:
    app = FastAPI()

    @app.get("/books")
    async def books() -> list[Book]:
        return await Book.objects.order_by("id")

    @app.get("/short", response_model=list[Out])
    async def short() -> Any:
        return await Book.objects.order_by("id")

    @app.get("/title", response_model=Book, response_model_include={"title"})
    async def title() -> Any:
        return await Book.objects.first()

    @app.post("/items", status_code=201)
    async def make(item: Item) -> Item:
        return await item.save()

    @app.get("/items/{key}", response_model_exclude_none=True)
    async def item(key: Annotated[int, "the key"]) -> Item:
        return await Item.objects.get(id=key)

    return app


async def test_fastapi() -> None:
    async with AsyncClient(transport=ASGITransport(application()), base_url="http://test") as client:
        answer = await client.get("/books")
        assert answer.status_code == 200
        assert answer.json() == TypeAdapter(list[Book]).dump_python(await Book.objects.order_by("id"), mode="json")
        assert (await client.get("/short")).json() == [{"id": 1, "title": "one"}, {"id": 2, "title": "two"}]
        assert (await client.get("/title")).json() == {"title": "one"}
        made = await client.post("/items", json={"name": "posted", "tags": ["a"]})
        assert made.status_code == 201
        assert made.json()["id"] == 2
        assert made.json()["made"] == "2020-01-01T00:00:00"
        assert (await client.get("/items/2")).json() == {k: v for k, v in made.json().items() if v is not None}
        refused = await client.post("/items", json={"tags": []})
        assert refused.status_code == 422
        assert refused.json()["detail"][0]["loc"] == ["body", "name"]


async def test_openapi() -> None:
    schema = application().openapi()
    schemas = schema["components"]["schemas"]
    reading = schemas.get("Item-Output") or schemas["Item"]
    making = schemas.get("Item-Input") or schemas["Item"]
    assert "made" in reading["required"], "what the database fills in is always there when it is read"
    assert "made" not in making.get("required", [])
    assert making["required"] == ["name"]
    assert "upper" in reading["properties"]
    assert {"id", "title", "author_id"} <= schemas["Book"]["properties"].keys()
