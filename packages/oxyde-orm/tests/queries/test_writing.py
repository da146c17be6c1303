"""create, update, delete and bulk_create."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest
from pydantic import ValidationError

from oxyde.exceptions import FieldError, FieldLookupValueError, ManagerError, UniqueViolationError
from oxyde.queries import F, Lower, Now

ID, VIEWS = ("col", "id"), ("col", "views")
BIG = ("param", "big_integer")
EQ_ID = ("cmp", "eq", ID, BIG)
WRITTEN = ("title", "body", "views", "price", "created", "active", "meta", "author_id")


async def test_create_returns_what_the_database_filled_in(models: Any, core: Any) -> None:
    core.answers = [[{"id": 9}]]
    post = await models.Post.objects.create(title="x", price="1.5", meta={"a": 1})
    shape, params = core.last
    assert shape[0] == "insert"
    assert shape[2] == WRITTEN
    assert shape[4:] == (None, ("id",))
    assert [item[1] for item in shape[3][1]][:3] == [("string", 20), ("string", 255), "big_integer"]
    assert params[:6] == ("x", None, 0, Decimal("1.5"), None, True)
    assert post.id == 9
    assert "id" in post.model_fields_set
    assert post._oxyde_state.persisted
    assert post._oxyde_state.alias == "default"
    assert post._oxyde_state.columns == {"id", *WRITTEN}


async def test_create_with_an_explicit_key(models: Any, core: Any) -> None:
    core.answers = [1]
    post = await models.Post.objects.create(pk=5, title="x")
    assert core.last[0][2] == ("id", *WRITTEN)
    assert core.last[0][5] == ()
    assert post.id == 5


async def test_create_takes_an_instance(models: Any, core: Any) -> None:
    core.answers = [[{"id": 9}]]
    post = models.Post(title="x")
    assert await models.Post.objects.create(post) is post
    assert post.id == 9
    with pytest.raises(ManagerError, match="not both"):
        await models.Post.objects.create(post, title="y")
    with pytest.raises(ManagerError, match="takes a Post, not a Author"):
        await models.Post.objects.create(models.Author(name="x"))
    post.views = -1
    with pytest.raises(ValidationError, match="views"):
        await models.Post.objects.create(post)


async def test_create_refuses_unknown_and_invalid_values(models: Any, core: Any) -> None:
    with pytest.raises(FieldError, match="no field 'titel'; did you mean 'title'"):
        await models.Post.objects.create(titel="x")
    with pytest.raises(FieldError, match="it has id, title"):
        await models.Post.objects.create(zzz=1)
    with pytest.raises(ValidationError):
        await models.Post.objects.create(title="x" * 21)
    with pytest.raises(ValidationError):
        await models.Post.objects.create()
    with pytest.raises(FieldError, match="given twice"):
        await models.Post.objects.create(title="x", id=1, pk=2)
    assert core.calls == []


async def test_create_by_field_name_or_alias(models: Any, core: Any) -> None:
    for name in ("name", "eventName"):
        core.answers = [[{"id": 1, "made": datetime(2024, 1, 1), "size": 1}]]
        event = await models.Event.objects.create(**{name: "x"})
        assert core.last[0][2] == ("name",)
        assert core.last[0][5] == ("id", "made", "size")
        assert (event.made, event.size) == (datetime(2024, 1, 1), 1)


async def test_a_value_for_a_column_with_default_is_written(models: Any, core: Any) -> None:
    core.answers = [[{"id": 1, "size": 1}]]
    await models.Event.objects.create(name="x", made=datetime(2020, 1, 1))
    assert core.last[0][2] == ("name", "made")


async def test_client_made_and_composite_keys(models: Any, core: Any) -> None:
    core.answers = [1, 1]
    token = await models.Token.objects.create()
    assert core.params == (token.key, "")
    await models.Seat.objects.create(pk=(1, 2), taken=True)
    assert core.params == (1, 2, True)


async def test_related_objects(models: Any, core: Any) -> None:
    core.answers = [[{"id": 1}], [{"id": 2}]]
    author = models.Author(name="x")
    post = models.Post(title="x", author=author)
    with pytest.raises(ManagerError, match="Author that is not saved"):
        await models.Post.objects.create(post)
    author.id = 4
    await models.Post.objects.create(post)
    assert core.params[-1] == 4
    assert post.author_id == 4
    await models.Post.objects.create(title="x", author=author)
    assert core.params[-1] == 4


async def test_hooks_of_create(models: Any, core: Any) -> None:
    core.answers = [[{"id": 1}]]
    row = await models.Hooked.objects.create(name="x")
    assert row.calls == ["pre_save True None", "post_save True None"]


async def test_control_names_as_fields(models: Any, core: Any) -> None:
    core.answers = [[{"id": 1}], 1]
    row = await models.Control.objects.create(instance="a", using="b", client=None)
    assert (row.instance, row.using) == ("a", "b")
    await models.Control.objects.filter(id=1).update(returning="x")
    assert core.last[0][2] == (("returning", ("param", ("string", 255))),)


async def test_update(models: Any, core: Any) -> None:
    core.answers = [3]
    query = models.Post.objects.filter(id=1)
    assert await query.update(views=F("views") + 1, title="x", price="2") == 3
    shape, params = core.last
    assert shape[2] == (
        ("title", ("param", ("string", 20))),
        ("views", ("arith", "add", VIEWS, BIG)),
        ("price", ("param", ("decimal", None, None))),
    )
    assert shape[3:] == (EQ_ID, ())
    assert params == ("x", 1, Decimal(2), 1)


async def test_update_order_of_keywords_does_not_make_another_plan(models: Any, core: Any) -> None:
    await models.Post.objects.update(views=1, title="x")
    one = core.last
    await models.Post.objects.update(title="x", views=1)
    assert core.last == one


@pytest.mark.parametrize(
    ("values", "node", "params"),
    [
        ({"body": None}, ("param", ("string", 255)), (None,)),
        ({"author": None}, BIG, (None,)),
        ({"author_id": "4"}, BIG, (4,)),
        ({"title": Lower("body")}, ("func", "lower", ("col", "body")), ()),
        ({"created": Now()}, ("now",), ()),
        ({"active": F("views") > 3}, ("cmp", "gt", VIEWS, BIG), (3,)),
    ],
)
async def test_update_values(models: Any, core: Any, values: Any, node: Any, params: Any) -> None:
    await models.Post.objects.update(**values)
    assert core.last[0][2][0][1] == node
    assert core.params == params


async def test_update_with_related_object(models: Any, core: Any) -> None:
    await models.Post.objects.update(author=models.Author(id=4, name="x"))
    assert core.last[0][2] == (("author_id", BIG),)
    assert core.params == (4,)
    with pytest.raises(FieldLookupValueError, match="not saved"):
        await models.Post.objects.update(author=models.Author(name="x"))


async def test_update_returning(models: Any, core: Any) -> None:
    core.answers = [["row"], 2]
    assert await models.Post.objects.filter(id=1).update(views=1, returning=True) == ["row"]
    assert core.last[0][4] == ("id", *WRITTEN)
    assert await models.Post.objects.update(views=1, returning=False) == 2


@pytest.mark.parametrize(
    ("model", "values", "error", "message"),
    [
        ("Post", {"titel": "x"}, FieldError, "did you mean 'title'"),
        ("Post", {}, FieldError, "no field to set"),
        ("Post", {"id": 3}, FieldError, "primary key"),
        ("Post", {"pk": 3}, FieldError, "primary key"),
        ("Post", {"author": None, "author_id": 3}, FieldError, "twice"),
        ("Post", {"title": F("views")}, FieldError, "cannot be used"),
        ("Post", {"title": F("nothing")}, FieldError, "nothing"),
        ("Post", {"views": -1}, ValidationError, "greater than or equal"),
        ("Post", {"views": None}, ValidationError, "views"),
        ("Post", {"title": "x" * 21}, ValidationError, "title"),
        ("Event", {"size": 3}, FieldError, "computed by the database"),
        ("Post", {"views": 1, "returning": "yes"}, TypeError, "returning must be a bool"),
    ],
)
async def test_refused_updates(models: Any, core: Any, model: str, values: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        await getattr(models, model).objects.update(**values)
    assert core.calls == []


async def test_delete(models: Any, core: Any) -> None:
    core.answers = [4]
    assert await models.Post.objects.filter(id=1).delete() == 4
    assert core.last == (("delete", models.Post.__oxyde__.id, EQ_ID, ()), (1,))


async def test_windows_cannot_be_written(models: Any, core: Any) -> None:
    Post = models.Post
    for query in (Post.objects.limit(3), Post.objects.offset(3), Post.objects.filter()[:3], Post.objects.distinct()):
        with pytest.raises(ManagerError, match="cannot be combined"):
            await query.update(views=1)
        with pytest.raises(ManagerError, match="cannot be combined"):
            await query.delete()
    with pytest.raises(ManagerError, match="inserts"):
        await Post.objects.filter(id=1).create(title="x")
    with pytest.raises(ManagerError, match="inserts"):
        await Post.objects.filter(id=1).bulk_create([])
    assert core.calls == []


# bulk_create


async def test_bulk_create(models: Any, core: Any) -> None:
    core.answers = [[{"id": 1}, {"id": 2}]]
    first = models.Author(name="a")
    made = await models.Author.objects.bulk_create([first, {"name": "b"}])
    shape, rows, fields, converters = core.last
    assert shape == ("insert", models.Author.__oxyde__.id, ("name",), ("bulk",), None, ("id",))
    assert rows == made
    assert fields == ("name",)
    assert converters == (None,)
    assert made[0] is first
    assert [(row.id, row.name) for row in made] == [(1, "a"), (2, "b")]
    assert all(row._oxyde_state.persisted for row in made)
    assert core.log == [("run_bulk", 2, None)]


async def test_bulk_create_of_nothing(models: Any, core: Any) -> None:
    assert await models.Author.objects.bulk_create([]) == []
    assert core.calls == []


async def test_mixed_keys_go_in_separate_statements_of_one_transaction(models: Any, core: Any) -> None:
    core.answers = [[{"id": 8}], 1]
    made = await models.Author.objects.bulk_create([{"name": "a"}, {"id": 5, "name": "b"}])
    assert [row.id for row in made] == [8, 5]
    kinds = [entry[0] for entry in core.log]
    assert kinds == ["lease", "begin", "run_bulk", "run_bulk", "commit"]
    assert [call[2] for call in core.calls] == [("name",), ("id", "name")]


async def test_a_failing_batch_undoes_all(models: Any, core: Any) -> None:
    core.answers = [[{"id": 8}], UniqueViolationError("taken")]
    with pytest.raises(UniqueViolationError):
        await models.Author.objects.bulk_create([{"name": "a"}, {"id": 5, "name": "b"}])
    assert [entry[0] for entry in core.log] == ["lease", "begin", "run_bulk", "run_bulk", "abandon"]


async def test_batch_size(models: Any, core: Any) -> None:
    core.answers = [[{"id": 1}, {"id": 2}], [{"id": 3}]]
    made = await models.Author.objects.bulk_create([{"name": n} for n in "abc"], batch_size=2)
    assert [row.id for row in made] == [1, 2, 3]
    assert [entry for entry in core.log if entry[0] == "run_bulk"] == [
        ("run_bulk", 2, core.log[2][2]),
        ("run_bulk", 1, core.log[2][2]),
    ]
    for wrong in (0, -1, True, "5"):
        with pytest.raises(ValueError, match="batch_size"):
            await models.Author.objects.bulk_create([], batch_size=wrong)


async def test_columns_left_to_the_database(models: Any, core: Any) -> None:
    core.answers = [
        [{"id": 1, "made": datetime(2024, 1, 1), "size": 1}],
        [{"id": 2, "size": 1}],
    ]
    made = await models.Event.objects.bulk_create([{"name": "a"}, {"name": "b", "made": datetime(2020, 1, 1)}])
    assert [call[2] for call in core.calls] == [("name",), ("name", "made")]
    assert [row.made.year for row in made] == [2024, 2020]


@pytest.mark.parametrize(
    ("options", "conflict"),
    [
        ({"on_conflict": "ignore"}, ("ignore", ())),
        ({"on_conflict": "ignore", "conflict_fields": ["name"]}, ("ignore", ("name",))),
        ({"on_conflict": "update"}, ("update", ("id",), (("name", ("excluded", "name")),))),
        (
            {"on_conflict": "update", "conflict_fields": ["name"], "update_fields": ["name"]},
            ("update", ("name",), (("name", ("excluded", "name")),)),
        ),
    ],
)
async def test_on_conflict(models: Any, core: Any, options: Any, conflict: Any) -> None:
    core.answers = [1]
    await models.Author.objects.bulk_create([{"id": 1, "name": "a"}], **options)
    assert core.last[0][4] == conflict


async def test_ignored_rows_keep_their_instances_unsaved(models: Any, core: Any) -> None:
    core.answers = [0]
    (row,) = await models.Author.objects.bulk_create([{"name": "a"}], on_conflict="ignore")
    assert core.last[0][5] == ()
    assert row.id is None
    assert row._oxyde_state is None


async def test_bulk_returning(models: Any, core: Any) -> None:
    core.answers = [["b", "d"], ["a", "c"]]
    data = [{"id": 1, "name": "a"}, {"name": "b"}, {"id": 3, "name": "c"}, {"name": "d"}]
    core.answers = [["a", "c"], ["b", "d"]]
    assert await models.Author.objects.bulk_create(data, returning=True) == ["a", "b", "c", "d"]
    assert core.last[0][5] == ("id", "name")


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"on_conflict": "replace"}, ValueError),
        ({"conflict_fields": ["name"]}, ValueError),
        ({"on_conflict": "ignore", "update_fields": ["name"]}, ValueError),
        ({"on_conflict": "update", "update_fields": []}, FieldError),
        ({"on_conflict": "update", "update_fields": ["id"]}, FieldError),
        ({"on_conflict": "update", "update_fields": "name"}, FieldError),
        ({"on_conflict": "update", "conflict_fields": ["nothing"]}, FieldError),
        ({"on_conflict": "update"}, FieldError),
    ],
)
async def test_wrong_conflicts(models: Any, core: Any, options: Any, error: Any) -> None:
    with pytest.raises(error):
        await models.Author.objects.bulk_create([{"name": "a"}], **options)
    assert core.calls == []


async def test_bulk_refuses_other_things(models: Any, core: Any) -> None:
    with pytest.raises(ManagerError, match="Author objects or dicts, not Post"):
        await models.Author.objects.bulk_create([models.Post(title="x")])
    with pytest.raises(FieldError, match="did you mean 'name'"):
        await models.Author.objects.bulk_create([{"nam": "x"}])
    with pytest.raises(ValidationError):
        await models.Author.objects.bulk_create([{"name": 5}])
