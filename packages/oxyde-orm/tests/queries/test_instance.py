"""save, delete and refresh."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import ValidationError

from oxyde.exceptions import FieldError, ManagerError, NotFoundError
from oxyde.models.state import LoadState, set_state, state_of

BIG = ("param", "big_integer")
EQ_ID = ("cmp", "eq", ("col", "id"), BIG)


def loaded(model: Any, *deferred: str, **values: Any) -> Any:
    """An instance as a query would have loaded it."""
    instance = model(**values)
    columns = {column.name for column in model.__oxyde__.columns} - set(deferred)
    for name in deferred:
        instance.__dict__.pop(name, None)
    set_state(instance, LoadState("default", frozenset(columns)))
    return instance


async def test_a_new_instance_inserts(models: Any, core: Any) -> None:
    core.answers = [[{"id": 3}]]
    author = models.Author(name="x")
    assert await author.save() is author
    assert author.id == 3
    assert core.last[0][0] == "insert"
    assert state_of(author).persisted


async def test_a_loaded_instance_updates(models: Any, core: Any) -> None:
    core.answers = [1, 1]
    author = loaded(models.Author, id=3, name="x")
    author.name = "y"
    await author.save()
    assert core.last == (
        ("update", models.Author.__oxyde__.id, (("name", ("param", ("string", 255))),), EQ_ID, ()),
        ("y", 3),
    )
    core.answers = [[{"id": 5}], 1]
    other = models.Author(name="x")
    await other.save()
    await other.save()
    assert [call[0][0] for call in core.calls[-2:]] == ["insert", "update"]


async def test_deferred_columns_are_not_written_unless_assigned(models: Any, core: Any) -> None:
    core.answers = [1, 1]
    post = loaded(models.Post, "body", "meta", id=3, title="x")
    await post.save()
    assert "body" not in dict(core.last[0][2])
    post.body = "new"
    await post.save()
    assert "body" in dict(core.last[0][2])
    assert "meta" not in dict(core.last[0][2])
    assert "body" in state_of(post).columns


async def test_a_vanished_row_is_an_error(models: Any, core: Any) -> None:
    core.answers = [0]
    with pytest.raises(NotFoundError, match="Author"):
        await loaded(models.Author, id=3, name="x").save()


async def test_a_client_made_key_inserts_without_a_question(models: Any, core: Any) -> None:
    core.answers = [1]
    await models.Token(label="x").save()
    assert [call[0][0] for call in core.calls] == ["insert"]


@pytest.mark.parametrize(("there", "kind"), [(True, "update"), (False, "insert")])
async def test_an_explicit_key_asks_for_the_row(models: Any, core: Any, there: bool, kind: str) -> None:
    core.answers = [[there], 1]
    await models.Author(id=3, name="x").save()
    assert [call[0][0] for call in core.calls] == ["select", kind]
    assert core.calls[0][0][8] == "exists"


async def test_forcing(models: Any, core: Any) -> None:
    core.answers = [1, 1]
    await models.Author(id=3, name="x").save(force_insert=True)
    await models.Author(id=3, name="x").save(force_update=True)
    assert [call[0][0] for call in core.calls] == ["insert", "update"]
    for wrong in ({"force_insert": True, "force_update": True}, {"force_insert": True, "update_fields": ["name"]}):
        with pytest.raises(ValueError, match="force"):
            await models.Author(id=3, name="x").save(**wrong)
    with pytest.raises(ManagerError, match="'id' is not set"):
        await models.Author(name="x").save(force_update=True)


async def test_update_fields(models: Any, core: Any) -> None:
    core.answers = [1]
    post = loaded(models.Post, "body", id=3, title="x", views=2)
    await post.save(update_fields=["views", models.Post.title])
    assert [name for name, _ in core.last[0][2]] == ["title", "views"]
    await post.save(update_fields=[])
    assert len(core.calls) == 1
    for wrong, message in (
        (["nothing"], "nothing"),
        (["id"], "primary key"),
        (["body"], "not loaded"),
        ("title", "several"),
    ):
        with pytest.raises(FieldError, match=message):
            await post.save(update_fields=wrong)


async def test_save_validates_what_it_writes(models: Any, core: Any) -> None:
    post = loaded(models.Post, id=3, title="x")
    post.views = -1
    with pytest.raises(ValidationError, match="views"):
        await post.save()
    assert core.calls == []
    core.answers = [1]
    await post.save(update_fields=["title"])
    post.views = "7"
    core.answers = [1]
    await post.save()
    assert post.views == 7


async def test_computed_columns_are_read_back(models: Any, core: Any) -> None:
    core.answers = [[{"size": 9}]]
    event = loaded(models.Event, "size", "made", id=1, eventName="x")
    await event.save()
    assert core.last[0][2] == (("name", ("param", ("string", 255))),)
    assert core.last[0][4] == ("size",)
    assert event.size == 9


async def test_a_row_of_nothing_but_its_key(models: Any, core: Any) -> None:
    core.answers = [[True], [False]]
    seat = loaded(models.Seat, "taken", row=1, number=2)
    await seat.save()
    assert core.last[0][8] == "exists"
    assert core.params == (1, 2)
    with pytest.raises(NotFoundError):
        await seat.save()


async def test_composite_key(models: Any, core: Any) -> None:
    core.answers = [1]
    seat = loaded(models.Seat, row=1, number=2, taken=True)
    await seat.save()
    assert core.last[0][3] == ("and", ("cmp", "eq", ("col", "row"), BIG), ("cmp", "eq", ("col", "number"), BIG))
    assert core.params == (True, 1, 2)


async def test_keys_of_related_objects_are_taken_at_save(models: Any, core: Any) -> None:
    author = models.Author(name="x")
    post = models.Post(title="x", author=author)
    with pytest.raises(ManagerError, match="not saved"):
        await post.save()
    core.answers = [[{"id": 4}], [{"id": 1}]]
    await author.save()
    await post.save()
    assert post.author_id == 4
    assert core.params[-1] == 4


async def test_hooks(models: Any, core: Any) -> None:
    core.answers = [[{"id": 1}], 1, 1]
    row = models.Hooked(name="x")
    await row.save()
    await row.save(update_fields=["name"])
    await row.delete()
    assert row.calls == [
        "pre_save True None",
        "post_save True None",
        "pre_save False ['name']",
        "post_save False ['name']",
        "pre_delete",
        "post_delete",
    ]


async def test_delete(models: Any, core: Any) -> None:
    core.answers = [1, 0]
    author = loaded(models.Author, id=3, name="x")
    assert await author.delete() == 1
    assert core.last == (("delete", models.Author.__oxyde__.id, EQ_ID, ()), (3,))
    assert not state_of(author).persisted
    assert await author.delete() == 0
    with pytest.raises(ManagerError, match="not set"):
        await models.Author(name="x").delete()


async def test_refresh(models: Any, core: Any) -> None:
    post = loaded(models.Post, "body", id=3, title="x", author=models.Author(id=1, name="a"))
    core.answers = [[SimpleNamespace(id=3, title="new")]]
    assert await post.refresh("title") is post
    assert core.last[0][2] == ("id", "title")
    assert (post.title, post.author.name) == ("new", "a")
    core.answers = [[SimpleNamespace(id=3, title="newer", author_id=2)]]
    await post.refresh()
    assert "body" not in core.last[0][2]
    assert post.author_id == 2
    assert "author" not in post.__dict__
    core.answers = [[SimpleNamespace(id=3, body="text")]]
    await post.refresh("body")
    assert post.body == "text"
    assert "body" in state_of(post).columns
    core.answers = [[]]
    with pytest.raises(NotFoundError):
        await post.refresh()
    with pytest.raises(FieldError):
        await post.refresh("nothing")
    with pytest.raises(ManagerError, match="not set"):
        await models.Post(title="x").refresh()


async def test_rows_are_written_where_they_came_from(models: Any, core: Any) -> None:
    from oxyde.db import registry

    other: Any = registry.connections["other"]
    author = loaded(models.Author, id=3, name="x")
    set_state(author, LoadState("other", frozenset({"id", "name"})))
    other.core.answers = [1]
    await author.save()
    assert (len(other.core.calls), len(core.calls)) == (1, 0)
    core.answers = [1]
    await author.save(using="default")
    assert state_of(author).alias == "default"
