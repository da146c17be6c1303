"""Immutable building: order, windows, columns, kinds of result, managers."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest

from oxyde.exceptions import FieldError
from oxyde.models import Field, Model
from oxyde.queries import F, Length, Query, QueryManager

ID, TITLE = ("col", "id"), ("col", "title")
ALL = ("id", "title", "body", "views", "price", "created", "active", "meta", "author_id")


def shape(query: Any) -> tuple[Any, tuple[Any, ...]]:
    return query._select(query._result, query._ordering(), query._limit)


def test_queries_are_immutable(models: Any) -> None:
    base = models.Post.objects.filter(id=1)
    before = shape(base)
    for other in (
        base.filter(id=2),
        base.exclude(id=2),
        base.order_by("id"),
        base.limit(1),
        base.offset(1),
        base[1:2],
        base.distinct(),
        base.only("id"),
        base.defer("body"),
        base.values("id"),
        base.using("other"),
        base.validate("off"),
    ):
        assert other is not base
    assert shape(base) == before


def test_select(models: Any) -> None:
    query = models.Post.objects.filter(id=1).order_by("title")[5:7]
    node = ("cmp", "eq", ID, ("param", "big_integer"))
    model_id = models.Post.__oxyde__.id
    assert shape(query) == (
        ("select", model_id, ALL, node, ((TITLE, "asc", None),), "lo", "", "", "rows"),
        (1, 2, 5),
    )


def test_filters_are_anded_flat(models: Any) -> None:
    one, two = models.Post.objects.filter(id=1).filter(id=2), models.Post.objects.filter(id=1, pk=2)
    assert one._where == two._where
    assert one._where[0] == "and"
    assert one._params == (1, 2)
    assert models.Post.objects.filter()._where is None


def test_exclude(models: Any) -> None:
    node = ("cmp", "eq", ID, ("param", "big_integer"))
    assert models.Post.objects.exclude(id=1)._where == ("not", node)
    assert models.Post.objects.exclude(id=1, nulls=True)._where == ("not", ("func", "coalesce", node, ("false",)))
    assert models.Post.objects.exclude(id=1, pk=2)._where == ("not", ("and", node, node))
    query = models.Post.objects.filter(id=1).exclude(id=2).filter(id=3)
    assert query._where == ("and", node, ("not", node), node)
    assert query._params == (1, 2, 3)
    assert models.Post.objects.exclude()._where is None
    with pytest.raises(TypeError, match="nulls must be a bool"):
        models.Post.objects.exclude(id=1, nulls="yes")


def test_order_by(models: Any) -> None:
    Post = models.Post
    query = Post.objects.order_by("-title", "id", Post.views.desc(nulls="last"), F("pk").asc(), Length("title") + 1)
    assert query._order == (
        (
            (TITLE, "desc", None),
            (ID, "asc", None),
            (("col", "views"), "desc", "last"),
            (ID, "asc", None),
            (("arith", "add", ("func", "length", TITLE), ("param", "big_integer")), "asc", None),
        ),
        (1,),
    )
    assert query.filter(id=5).limit(3)._select(query._result, query._order, 3)[1][-2:] == (1, 3)
    assert Post.objects.order_by("id").order_by("title")._order == (((TITLE, "asc", None),), ())
    assert Post.objects.order_by("-author")._order == (((("col", "author_id"), "desc", None),), ())


def test_default_order(models: Any) -> None:
    made = ("col", "made")
    query = models.Event.objects.filter()
    assert query._ordering() == (((made, "desc", None), (ID, "asc", None)), ())
    assert query.order_by()._ordering() == ((), ())
    assert query.order_by("id")._ordering() == (((ID, "asc", None),), ())


def test_composite_key_orders_by_all_its_fields(models: Any) -> None:
    row, number = (("col", "row"), "desc", None), (("col", "number"), "desc", None)
    assert models.Seat.objects.order_by("-pk")._order == ((row, number), ())


@pytest.mark.parametrize("wrong", ["nothing", "-nothing", "", "-", "title__lower", 5, None])
def test_wrong_orders(models: Any, wrong: Any) -> None:
    with pytest.raises(FieldError):
        models.Post.objects.order_by(wrong)


def test_order_of_conditions_is_refused(models: Any) -> None:
    with pytest.raises(ValueError, match="nulls"):
        models.Post.views.desc(nulls="middle")


@pytest.mark.parametrize(
    ("build", "limit", "offset"),
    [
        (lambda q: q[:5], 5, 0),
        (lambda q: q[5:], None, 5),
        (lambda q: q[5:8], 3, 5),
        (lambda q: q[5:8][1:], 2, 6),
        (lambda q: q[5:8][1:2], 1, 6),
        (lambda q: q[5:8][1:20], 2, 6),
        (lambda q: q[5:8][5:], 0, 10),
        (lambda q: q[8:5], 0, 8),
        (lambda q: q[:0], 0, 0),
        (lambda q: q[10:][5:], None, 15),
        (lambda q: q[10:][:5], 5, 10),
        (lambda q: q[:], None, 0),
        (lambda q: q.limit(10)[2:5], 3, 2),
        (lambda q: q.limit(10).limit(3), 3, 0),
        (lambda q: q.limit(10).limit(None), None, 0),
        (lambda q: q.offset(4).limit(2), 2, 4),
    ],
)
def test_windows(models: Any, build: Any, limit: Any, offset: Any) -> None:
    query = build(models.Post.objects.filter())
    assert (query._limit, query._offset) == (limit, offset)


@pytest.mark.parametrize(
    ("build", "error"),
    [
        (lambda q: q[-1:], ValueError),
        (lambda q: q[:-1], ValueError),
        (lambda q: q[::2], ValueError),
        (lambda q: q[::-1], ValueError),
        (lambda q: q.limit(-1), ValueError),
        (lambda q: q.offset(-1), ValueError),
        (lambda q: q[0], TypeError),
        (lambda q: q["a":], TypeError),
        (lambda q: q.limit("5"), TypeError),
        (lambda q: q.limit(True), TypeError),
        (lambda q: q.offset(1.0), TypeError),
        (lambda q: q.offset(None), TypeError),
    ],
)
def test_wrong_windows(models: Any, build: Any, error: Any) -> None:
    with pytest.raises(error):
        build(models.Post.objects.filter())


def test_only_and_defer(models: Any) -> None:
    Post = models.Post
    fields = lambda query: shape(query)[0][2]  # noqa: E731
    assert fields(Post.objects.only("views", "title")) == ("id", "title", "views")
    assert fields(Post.objects.only(Post.title, F("body"))) == ("id", "title", "body")
    assert fields(Post.objects.only("author")) == ("id", "author_id")
    assert fields(Post.objects.defer("body", "meta").defer("author")) == (
        "id", "title", "views", "price", "created", "active",
    )  # fmt: skip
    assert fields(models.Seat.objects.only("taken")) == ("row", "number", "taken")
    assert fields(models.Seat.objects.only("pk")) == ("row", "number")
    for wrong in (lambda: Post.objects.only(), lambda: Post.objects.only("x"), lambda: Post.objects.defer("pk")):
        with pytest.raises(FieldError):
            wrong()
    with pytest.raises(FieldError, match="cannot be deferred"):
        models.Seat.objects.defer("number")


def test_values(models: Any) -> None:
    Post = models.Post
    query = Post.objects.filter(id=1).values("title", Post.author)
    assert shape(query)[0][2] == ("title", "author_id")
    assert query._result.kind == "dict"
    assert shape(Post.objects.values())[0][2] == ALL
    assert shape(Post.objects.only("title").values())[0][2] == ("id", "title")
    assert Post.objects.values_list("views", "id")._result.kind == "tuple"
    assert Post.objects.values_list("views", flat=True)._result.kind == "scalar"
    assert Post.objects.values_list("pk", flat=True)._result.fields == ("id",)
    for wrong in ((), ("id", "title")):
        with pytest.raises(ValueError, match="exactly one"):
            Post.objects.values_list(*wrong, flat=True)
    for wrong in (("x",), ("id", "id"), (Length("title"),), (5,)):
        with pytest.raises(FieldError):
            Post.objects.values(*wrong)


def test_distinct_rows_are_ordered_by_what_they_have(models: Any) -> None:
    query = models.Post.objects.values("title").distinct()
    assert shape(query.order_by("title"))[0][6] == "distinct"
    with pytest.raises(FieldError, match="selected"):
        shape(query.order_by("id"))
    # The model's own order is only kept where it can be.
    event = models.Event.objects.values("name").distinct()
    assert shape(event)[0][4] == ()


def test_validate(models: Any) -> None:
    assert models.Post.objects.validate("off")._result.validate == "off"
    with pytest.raises(ValueError, match="'full', 'needed' or 'off'"):
        models.Post.objects.validate("never")


def test_what_a_query_is_not(models: Any) -> None:
    query = models.Post.objects.filter(id=1)
    for use, hint in ((iter, "await query"), (len, "count"), (bool, "exists")):
        with pytest.raises(TypeError, match=hint):
            use(query)
    with pytest.raises(TypeError):
        assert 1 in query
    with pytest.raises(TypeError, match=r"objects.all\(\)"):
        iter(models.Post.objects)


def test_repr(models: Any) -> None:
    query = models.Post.objects.filter(title="s3cret").order_by("id")[3:5]
    assert repr(query) == "<Query Post filtered ordered limit=2 offset=3>"
    assert repr(models.Post.objects) == "<QueryManager of Post>"


def test_a_manager_belongs_to_its_model(models: Any) -> None:
    assert models.Post.objects.model_class is models.Post
    assert models.Post.objects.filter().model_class is models.Post
    with pytest.raises(AttributeError):
        QueryManager().model_class


class NoteQuery(Query["Note"]):
    def public(self) -> NoteQuery:
        return self.filter(public=True)


class NoteManager(QueryManager["Note", NoteQuery]):
    query_class = NoteQuery

    def query(self) -> NoteQuery:
        return super().query().filter(deleted=False)


class Note(Model):
    id: int | None = Field(default=None, db_pk=True)
    public: bool = False
    deleted: bool = False
    objects: ClassVar[NoteManager] = NoteManager()

    class Meta:
        is_table = True
        table_name = "queries_note"


def test_custom_managers_and_queries_chain() -> None:
    query = Note.objects.filter(id=1).public().order_by("id").public()[:3]
    assert type(query) is NoteQuery
    assert query._params == (False, 1, True, True)
    assert Note.all_objects.filter()._where is None
    assert type(Note.all_objects) is QueryManager


async def test_custom_managers_restrict_get(core: Any) -> None:
    core.answers = [["row"]]
    assert await Note.objects.get(id=1) == "row"
    assert core.params == (False, 1, 2)


class Base(Model):
    created: int = 0
    objects: ClassVar[QueryManager[Any]] = QueryManager()


class Left(Base):
    id: int | None = Field(default=None, db_pk=True)

    class Meta:
        is_table = True
        table_name = "queries_left"


def test_inherited_managers_are_bound_to_each_class() -> None:
    assert Left.objects.model_class is Left
    assert Left.objects.filter(created=1)._params == (1,)
