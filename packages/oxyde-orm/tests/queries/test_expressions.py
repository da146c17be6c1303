"""Typed columns, F, Value, arithmetic and functions."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from oxyde.exceptions import FieldError, FieldLookupError, FieldLookupValueError
from oxyde.queries import Abs, Coalesce, ColumnRef, Concat, F, Length, Lower, Now, RawSQL, Upper, Value, col, not_, sql

BIG = ("param", "big_integer")
DECIMAL = ("param", ("decimal", None, None))
ID, VIEWS, TITLE, BODY, PRICE = (("col", name) for name in ("id", "views", "title", "body", "price"))


def where(model: Any, *conditions: Any) -> tuple[Any, tuple[Any, ...]]:
    query = model.objects.filter(*conditions)
    return query._where, query._params


def test_class_attributes_are_columns(models: Any) -> None:
    Post = models.Post
    assert type(Post.views) is ColumnRef
    assert repr(Post.views) == "Post.views"
    assert where(Post, Post.views >= 18) == (("cmp", "gte", VIEWS, BIG), (18,))
    assert where(Post, Post.views >= "18") == (("cmp", "gte", VIEWS, BIG), (18,))
    assert where(Post, Post.views >= 18) == (("cmp", "gte", VIEWS, BIG), (18,))
    assert where(Post, Post.views != 1, Post.views < 2)[1] == (1, 2)
    assert where(Post, Post.body == None) == (("is_null", BODY), ())  # noqa: E711
    assert where(Post, Post.body != None) == (("is_not_null", BODY), ())  # noqa: E711
    assert where(Post, Post.author == models.Author(id=3, name="x")) == (("cmp", "eq", ("col", "author_id"), BIG), (3,))
    assert where(Post, Post.views > Post.id) == (("cmp", "gt", VIEWS, ID), ())
    assert where(Post, Post.active) == (("col", "active"), ())
    assert where(Post, ~Post.active) == (("not", ("col", "active")), ())


@pytest.mark.parametrize(
    ("make", "node", "params"),
    [
        (lambda c: c.in_([1, 2]), ("in", VIEWS, ("param", ("array", "big_integer"))), ([1, 2],)),
        (lambda c: c.not_in({3}), ("not_in", VIEWS, ("param", ("array", "big_integer"))), ([3],)),
        (lambda c: c.between(1, 2), ("between", VIEWS, BIG, BIG), (1, 2)),
        (lambda c: c.is_null(), ("is_null", VIEWS), ()),
        (lambda c: c.is_not_null(), ("is_not_null", VIEWS), ()),
    ],
)
def test_methods(models: Any, make: Any, node: Any, params: Any) -> None:
    assert where(models.Post, make(col(models.Post.views))) == (node, params)


MATCH = [
    "contains",
    "icontains",
    "startswith",
    "istartswith",
    "endswith",
    "iendswith",
    "iexact",
    "like",
    "ilike",
    "regex",
    "iregex",
]


@pytest.mark.parametrize("name", MATCH)
def test_string_methods(models: Any, name: str) -> None:
    condition = getattr(models.Post.title, name)("a")
    assert where(models.Post, condition) == (("match", name, TITLE, ("param", "text")), ("a",))


def test_unknown_lookups_of_a_column(models: Any) -> None:
    with pytest.raises(FieldLookupError, match="'contains' is not supported for field 'views'"):
        models.Post.objects.filter(models.Post.views.contains("x"))
    with pytest.raises(FieldLookupError, match="'gt' is not supported for field 'active'"):
        models.Post.objects.filter(models.Post.active > False)


def test_arithmetic(models: Any) -> None:
    Post = models.Post
    assert where(Post, Post.views + 1 > 5) == (("cmp", "gt", ("arith", "add", VIEWS, BIG), BIG), (1, 5))
    assert where(Post, 1 - Post.views == 5) == (("cmp", "eq", ("arith", "sub", BIG, VIEWS), BIG), (1, 5))
    assert where(Post, Post.views * Post.id == 5)[0][2] == ("arith", "mul", VIEWS, ID)
    assert where(Post, Post.views / 2 > 1.5) == (
        ("cmp", "gt", ("arith", "div", VIEWS, BIG), ("param", "double")),
        (2, 1.5),
    )
    assert where(Post, Post.views // 2 == 1)[0][2][1] == "floordiv"
    assert where(Post, Post.views % 2 == 1)[0][2][1] == "mod"
    assert where(Post, Post.views**2 == 1)[0][2][1] == "pow"
    assert where(Post, 2**Post.views == 1)[0][2] == ("arith", "pow", BIG, VIEWS)
    assert where(Post, -Post.views == 1)[0][2] == ("neg", VIEWS)
    assert where(Post, F("views") + F("id") == 1)[0][2] == ("arith", "add", VIEWS, ID)


def test_decimals_stay_exact(models: Any) -> None:
    node, params = where(models.Post, models.Post.price * 1.1 > 2)
    assert node == ("cmp", "gt", ("arith", "mul", PRICE, DECIMAL), DECIMAL)
    assert params == (Decimal("1.1"), Decimal(2))
    assert [type(value) for value in params] == [Decimal, Decimal]


@pytest.mark.parametrize(
    "make",
    [
        lambda P: P.title + "x" == "y",
        lambda P: P.views + "x" == 1,
        lambda P: P.views + True == 1,
        lambda P: P.views + None == 1,
        lambda P: P.created + timedelta(1) > 1,
        lambda P: -P.title == "x",
        lambda P: P.views == P.title,
        lambda P: Lower(P.views) == "x",
        lambda P: Length("views") == 1,
        lambda P: Abs("title") == 1,
        lambda P: Coalesce("views", "title") == 1,
        lambda P: P.views + 1,
        lambda P: F("nothing") == 1,
    ],
)
def test_types_that_cannot_meet(models: Any, make: Any) -> None:
    with pytest.raises(FieldError):
        models.Post.objects.filter(make(models.Post))


def test_values_that_do_not_fit_an_expression(models: Any) -> None:
    for condition in (Length("title") == "x", Lower("title") == 1, Length("title").in_([1, "x"]), Abs("views") > "1"):
        with pytest.raises(FieldLookupValueError):
            models.Post.objects.filter(condition)
    with pytest.raises(FieldLookupValueError, match="None"):
        models.Post.objects.filter(Length("title") > None)
    with pytest.raises(FieldLookupValueError, match="None"):
        models.Post.objects.filter(Length("title").in_([None]))
    with pytest.raises(FieldLookupValueError, match="object"):
        models.Post.objects.filter(Length("title") > object())


def test_functions(models: Any) -> None:
    Post = models.Post
    assert where(Post, Lower("title") == "x") == (("cmp", "eq", ("func", "lower", TITLE), ("param", "text")), ("x",))
    assert where(Post, Upper(Post.title).startswith("X"))[0][2] == ("func", "upper", TITLE)
    assert where(Post, Length("title").between(1, 2)) == (("between", ("func", "length", TITLE), BIG, BIG), (1, 2))
    assert where(Post, Abs(Post.views - 3) < 2) == (
        ("cmp", "lt", ("func", "abs", ("arith", "sub", VIEWS, BIG)), BIG),
        (3, 2),
    )
    node, params = where(Post, Concat("title", Value(" "), "body") == "a b")
    assert node[2] == ("func", "concat", TITLE, ("param", "text"), BODY)
    assert params == (" ", "a b")
    assert where(Post, Post.created < Now()) == (("cmp", "lt", ("col", "created"), ("now",)), ())


def test_coalesce_takes_the_type_of_its_field(models: Any) -> None:
    assert where(models.Post, Coalesce("price", 0) > "1") == (
        ("cmp", "gt", ("func", "coalesce", PRICE, DECIMAL), DECIMAL),
        (Decimal(0), Decimal(1)),
    )
    assert where(models.Post, Coalesce("body", "title") == "x") == (
        ("cmp", "eq", ("func", "coalesce", BODY, TITLE), ("param", ("string", 255))),
        ("x",),
    )


@pytest.mark.parametrize("make", [lambda: Lower(), lambda: Lower("a", "b"), lambda: Concat("a"), lambda: Coalesce("a")])
def test_number_of_arguments(make: Any) -> None:
    with pytest.raises(TypeError, match="argument"):
        make()


def test_bool_of_an_expression_says_what_to_write(models: Any) -> None:
    for wrong in (
        lambda: bool(models.Post.views > 3),
        lambda: models.Post.views > 3 and models.Post.id > 1,
        lambda: 1 < models.Post.views < 3,
        lambda: models.Post.views in [1, 2],
        lambda: not models.Post.active,
    ):
        with pytest.raises(TypeError, match=r"combine conditions with & \| ~"):
            wrong()
    with pytest.raises(TypeError, match="iterated"):
        list(models.Post.views)


def test_columns_of_another_model_are_refused(models: Any) -> None:
    with pytest.raises(FieldError, match=r"Author.name is used in a query on Post"):
        models.Post.objects.filter(models.Author.name == "x")


def test_col_and_not_refuse_values() -> None:
    with pytest.raises(TypeError, match="class attribute"):
        col(5)
    with pytest.raises(TypeError, match="condition"):
        not_(True)
    with pytest.raises(TypeError, match="name"):
        F(5)  # type: ignore[arg-type]


def test_sql_text(models: Any) -> None:
    text = sql("now()")
    assert isinstance(text, RawSQL)
    assert where(models.Post, models.Post.created < text) == (("cmp", "lt", ("col", "created"), ("sql", "now()")), ())
    assert where(models.Post, sql("random() > 0.5")) == (("sql", "random() > 0.5"), ())
    with pytest.raises(TypeError):
        sql(5)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="empty"):
        sql(" ")


def test_messages_never_show_values(models: Any) -> None:
    assert repr(models.Post.title == "s3cret") == "Post.title == <str>"
    assert repr(Value("s3cret")) == "Value(<str>)"
    assert "s3cret" not in repr(Concat("title", Value("s3cret")) == "s3cret")


def test_expressions_are_hashable(models: Any) -> None:
    assert len({models.Post.views, F("views"), Lower("title")}) == 3
