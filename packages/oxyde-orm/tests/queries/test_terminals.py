"""What terminals send, in which window and order, and how they answer."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import pytest

from oxyde.exceptions import FieldError, FieldLookupValueError, ManagerError, MultipleObjectsReturned, NotFoundError
from oxyde.queries import execute_raw, manager, query, run, terminals

ID, TITLE = ("col", "id"), ("col", "title")
BY_ID = ((ID, "asc", None),)
EQ_ID = ("cmp", "eq", ID, ("param", "big_integer"))


def parts(core: Any) -> tuple[Any, ...]:
    """Order, paging, distinct and mode of the last SELECT."""
    shape = core.last[0]
    return shape[4], shape[5], shape[6], shape[8]


async def test_all_and_await(models: Any, core: Any) -> None:
    core.answers = [["a"], ["b"], ["c"], ["d"]]
    assert await models.Post.objects.all() == ["a"]
    assert await models.Post.objects.filter(id=1) == ["b"]
    assert await models.Post.objects.filter(id=1).all() == ["c"]
    assert await models.Post.objects.values("id") == ["d"]
    assert core.params == ()


async def test_modes(models: Any, core: Any) -> None:
    for mode in ("models", "dict", "list"):
        core.answers = [["x"]]
        assert await models.Post.objects.all(mode=mode) == ["x"]
    with pytest.raises(ValueError, match="'models', 'dict', 'list' or 'json'"):
        await models.Post.objects.all(mode="tuple")
    with pytest.raises(ValueError, match="by_alias"):
        await models.Post.objects.all(by_alias=True)


async def test_json_is_what_pydantic_writes(models: Any, core: Any) -> None:
    rows = [models.Author(id=1, name="é"), models.Author(id=2, name="b")]
    core.answers = [rows]
    body = await models.Author.objects.all(mode="json")
    assert json.loads(body) == [{"id": 1, "name": "é"}, {"id": 2, "name": "b"}]
    assert body == models.Author.objects._scope.adapter.dump_json(rows)


async def test_get(models: Any, core: Any) -> None:
    core.answers = [["row"], ["row"], ["row"]]
    assert await models.Post.objects.get(id=5) == "row"
    assert core.last[0][3] == EQ_ID
    assert parts(core) == ((), "l", "", "rows")
    assert core.params == (5, 2)
    assert await models.Post.objects.filter(id=1).get(pk="5") == "row"
    assert core.params == (1, 5, 2)
    assert await models.Post.objects.get(models.Post.title == "x") == "row"


async def test_get_counts_within_the_window(models: Any, core: Any) -> None:
    for window, paging, params in (
        (lambda q: q[:1], "l", (1,)),
        (lambda q: q[:10], "l", (2,)),
        (lambda q: q[3:], "lo", (2, 3)),
        (lambda q: q[3:4], "lo", (1, 3)),
    ):
        core.answers = [["row"]]
        assert await window(models.Post.objects.order_by("title")).get() == "row"
        assert parts(core)[:2] == (((TITLE, "asc", None),), paging)
        assert core.params == params


async def test_get_refuses_none_and_several(models: Any, core: Any) -> None:
    for objects in (models.Post.objects, models.Post.objects.filter()):
        core.answers = [[], [1, 2], [], [1, 2]]
        with pytest.raises(NotFoundError, match="Post"):
            await objects.get(id=1)
        with pytest.raises(MultipleObjectsReturned, match="Post"):
            await objects.get(title="x")
        assert await objects.get_or_none(id=1) is None
        with pytest.raises(MultipleObjectsReturned):
            await objects.get_or_none(title="x")


async def test_get_with_values_that_need_more_than_the_shortcut(models: Any, core: Any) -> None:
    for lookups, params in (
        ({"id": "5"}, (5, 2)),
        ({"body": None}, (2,)),
        ({"id__in": [1]}, ([1], 2)),
        ({"author": models.Author(id=3, name="x")}, (3, 2)),
        ({"title__contains": "x", "views__gte": 1}, ("x", 1, 2)),
    ):
        core.answers = [["row"], ["row"]]
        assert await models.Post.objects.get(**lookups) == "row"
        assert await models.Post.objects.get_or_none(**lookups) == "row"
        assert core.params == params
    with pytest.raises(FieldError):
        await models.Post.objects.get(nothing=1)
    with pytest.raises(FieldLookupValueError):
        await models.Post.objects.get(id="x")


async def test_get_with_control_names_as_fields(models: Any, core: Any) -> None:
    core.answers = [["row"]]
    assert await models.Control.objects.get(using="default", id=3) == "row"
    assert core.params == (3, "default", 2)
    core.answers = [["row"]]
    assert await models.Control.objects.get(client=None) == "row"
    assert core.where == ("is_null", ("col", "client"))


async def test_values_prepared_for_one_type_do_not_serve_another(models: Any, core: Any) -> None:
    for value in (1, True, "1", 1.0):
        core.answers = [["row"]]
        await models.Post.objects.get(id=value)
        assert core.params == (1, 2)
        assert type(core.params[0]) is int


async def test_first_and_last(models: Any, core: Any) -> None:
    Post = models.Post
    title = (TITLE, "asc", None)
    for call, order, paging, params in (
        (Post.objects.first(), BY_ID, "l", (1,)),
        (Post.objects.last(), ((ID, "desc", None),), "l", (1,)),
        (Post.objects.order_by("title").first(), (title,), "l", (1,)),
        (Post.objects.order_by("title").last(), ((TITLE, "desc", None),), "l", (1,)),
        (Post.objects.order_by(Post.title.desc(nulls="last")).last(), ((TITLE, "asc", "first"),), "l", (1,)),
        (Post.objects.filter()[5:].first(), BY_ID, "lo", (1, 5)),
        (Post.objects.filter()[5:9].first(), BY_ID, "lo", (1, 5)),
        (Post.objects.filter()[:0].first(), BY_ID, "l", (0,)),
        (Post.objects.filter()[5:9].last(), BY_ID, "lo", (4, 5)),
        (models.Event.objects.last(), ((("col", "made"), "asc", None), (ID, "desc", None)), "l", (1,)),
    ):
        core.answers = [["a", "b"]]
        assert await call in ("a", "b")
        assert parts(core) == (order, paging, "", "rows")
        assert core.params == params
    assert await Post.objects.first() is None
    assert await Post.objects.last() is None


async def test_last_of_a_window_is_its_last_row(models: Any, core: Any) -> None:
    core.answers = [["a", "b", "c"]]
    assert await models.Post.objects.filter()[5:9].last() == "c"


async def test_first_of_distinct_values_is_ordered_by_them(models: Any, core: Any) -> None:
    await models.Post.objects.values("title").distinct().first()
    assert parts(core) == (((TITLE, "asc", None),), "l", "distinct", "rows")


async def test_count_and_exists(models: Any, core: Any) -> None:
    Post = models.Post
    for build, outputs, paging, distinct, params in (
        (lambda q: q, (), "", "", (1,)),
        (lambda q: q.order_by("title"), (), "", "", (1,)),
        (lambda q: q[:5], ("id",), "l", "", (1, 5)),
        (lambda q: q[3:5], ("id",), "lo", "", (1, 2, 3)),
        (lambda q: q.values("title").distinct(), ("title",), "", "distinct", (1,)),
    ):
        for terminal, answer in (("count", 7), ("exists", True)):
            core.answers = [[answer]]
            assert await getattr(build(Post.objects.filter(id=1)), terminal)() == answer
            assert core.last[0][2] == outputs
            assert parts(core) == ((), paging, distinct, terminal)
            assert core.params == params
    core.answers = [[False], []]
    assert await Post.objects.exists() is False
    assert await Post.objects.exists() is False


async def test_choice_of_database(models: Any, core: Any) -> None:
    from oxyde.db import registry

    other: Any = registry.connections["other"]
    for call in (
        models.Post.objects.all(using="other"),
        models.Post.objects.using("other").all(),
        models.Post.objects.using("default").count(using="other"),
        models.Post.objects.first(using="other"),
    ):
        other.core.answers = [[1]]
        await call
        assert len(other.core.calls) == 1
        other.core.calls.clear()
    assert core.calls == []
    with pytest.raises(ManagerError, match="not both"):
        await models.Post.objects.all(using="other", client=object())
    with pytest.raises(KeyError, match="nowhere"):
        await models.Post.objects.all(using="nowhere")


async def test_execute_raw(core: Any) -> None:
    core.answers = [[{"a": 1}], []]
    assert await execute_raw("SELECT ? AS a", [1]) == [{"a": 1}]
    assert core.last == ("SELECT ? AS a", (1,))
    assert await execute_raw("SELECT 1") == []
    for wrong in ("x", b"x", {"a": 1}, {1}, 5):
        with pytest.raises(TypeError, match="params must be a list or tuple"):
            await execute_raw("SELECT 1", wrong)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="str"):
        await execute_raw(5)  # type: ignore[arg-type]


class Waiting:
    """Stands for an operation under way."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.cancelled = False

    def __await__(self) -> Any:
        if isinstance(self.answer, asyncio.Event):
            yield from self.answer.wait().__await__()
        return self.answer

    def cancel(self) -> None:
        self.cancelled = True


@pytest.fixture
def waiting(monkeypatch: pytest.MonkeyPatch) -> type[Waiting]:
    for module in (manager, query, run, terminals):
        monkeypatch.setattr(module, "Pending", Waiting)
    return Waiting


CALLS = [
    lambda P: P.objects.get(id=1),
    lambda P: P.objects.get(id="1"),
    lambda P: P.objects.get_or_none(id=1),
    lambda P: P.objects.all(),
    lambda P: P.objects.values("id").all(),
    lambda P: P.objects.first(),
    lambda P: P.objects.count(),
    lambda P: P.objects.delete(),
    lambda P: P.objects.create(title="x"),
    lambda P: execute_raw("SELECT 1"),
]


@pytest.mark.parametrize("call", CALLS)
async def test_a_stopped_wait_stops_the_engine(models: Any, core: Any, waiting: Any, call: Any) -> None:
    pending = waiting(asyncio.Event())
    core.answers = [pending]
    task = asyncio.create_task(call(models.Post))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert core.calls
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert pending.cancelled


async def test_pending_answers_are_awaited(models: Any, core: Any, waiting: Any) -> None:
    core.answers = [waiting(["row"]), waiting(["row"]), waiting([3])]
    assert await models.Post.objects.get(id=1) == "row"
    assert await models.Post.objects.all() == ["row"]
    assert await models.Post.objects.count() == 3


def calls_of(awaitable: Any) -> list[str]:
    """The Python functions that run while it is awaited."""
    names: list[str] = []

    def profile(frame: Any, event: str, _: Any) -> None:
        if event == "call":
            names.append(frame.f_code.co_name)

    sys.setprofile(profile)
    try:
        awaitable.send(None)
    except StopIteration:
        pass
    finally:
        sys.setprofile(None)
    return names


async def test_hot_calls_stay_few(models: Any, core: Any) -> None:
    core.run = lambda *_: ["row"]
    await models.Post.objects.get(id=1)
    filtered = models.Post.objects.filter(views__gte=1)
    await filtered
    assert len(calls_of(models.Post.objects.get(id=5))) <= 4
    assert len(calls_of(models.Post.objects.get_or_none(id=5))) <= 4
    assert len(calls_of(filtered.all())) <= 8
