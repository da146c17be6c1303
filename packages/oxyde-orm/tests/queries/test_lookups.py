"""What `field__lookup=value` becomes, and what it refuses."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from oxyde.exceptions import FieldError, FieldLookupError, FieldLookupValueError
from oxyde.queries import F, Lower, Q, Value

BIG = ("param", "big_integer")
ID, VIEWS, TITLE = ("col", "id"), ("col", "views"), ("col", "title")


def where(query: Any) -> tuple[Any, tuple[Any, ...]]:
    return query._where, query._params


@pytest.mark.parametrize(
    ("lookups", "node", "params"),
    [
        ({"views": 3}, ("cmp", "eq", VIEWS, BIG), (3,)),
        ({"views__exact": 3}, ("cmp", "eq", VIEWS, BIG), (3,)),
        ({"views__ne": 3}, ("cmp", "ne", VIEWS, BIG), (3,)),
        ({"views__gt": "3"}, ("cmp", "gt", VIEWS, BIG), (3,)),
        ({"views__gte": 3}, ("cmp", "gte", VIEWS, BIG), (3,)),
        ({"views__lt": 3}, ("cmp", "lt", VIEWS, BIG), (3,)),
        ({"views__lte": 3.0}, ("cmp", "lte", VIEWS, BIG), (3,)),
        ({"views__between": (1, 5)}, ("between", VIEWS, BIG, BIG), (1, 5)),
        ({"views__range": [1, "5"]}, ("between", VIEWS, BIG, BIG), (1, 5)),
        ({"views__in": [1, "2"]}, ("in", VIEWS, ("param", ("array", "big_integer"))), ([1, 2],)),
        ({"views__in": range(2)}, ("in", VIEWS, ("param", ("array", "big_integer"))), ([0, 1],)),
        ({"views__in": (i for i in (4, 5))}, ("in", VIEWS, ("param", ("array", "big_integer"))), ([4, 5],)),
        ({"views__in": {7: 1}.keys()}, ("in", VIEWS, ("param", ("array", "big_integer"))), ([7],)),
        ({"views__in": []}, ("in", VIEWS, ("param", ("array", "big_integer"))), ([],)),
        ({"views__not_in": [1]}, ("not_in", VIEWS, ("param", ("array", "big_integer"))), ([1],)),
        ({"body__isnull": True}, ("is_null", ("col", "body")), ()),
        ({"body__isnull": False}, ("is_not_null", ("col", "body")), ()),
        ({"body": None}, ("is_null", ("col", "body")), ()),
        ({"body__ne": None}, ("is_not_null", ("col", "body")), ()),
        ({"pk": 1}, ("cmp", "eq", ID, BIG), (1,)),
        ({"pk__in": [1]}, ("in", ID, ("param", ("array", "big_integer"))), ([1],)),
        ({"author": 4}, ("cmp", "eq", ("col", "author_id"), BIG), (4,)),
        ({"author_id__in": [4]}, ("in", ("col", "author_id"), ("param", ("array", "big_integer"))), ([4],)),
        ({"author__isnull": True}, ("is_null", ("col", "author_id")), ()),
        ({"active": True}, ("cmp", "eq", ("col", "active"), ("param", "boolean")), (True,)),
        ({"active": "yes"}, ("cmp", "eq", ("col", "active"), ("param", "boolean")), (True,)),
        ({"price": 2}, ("cmp", "eq", ("col", "price"), ("param", ("decimal", None, None))), (Decimal(2),)),
        (
            {"created__gte": date(2024, 1, 2)},
            ("cmp", "gte", ("col", "created"), ("param", "date_time")),
            (datetime(2024, 1, 2),),
        ),
        ({"views__gt": F("id")}, ("cmp", "gt", VIEWS, ID), ()),
        ({"views__gt": F("id") + 1}, ("cmp", "gt", VIEWS, ("arith", "add", ID, BIG)), (1,)),
        ({"views": Value("3")}, ("cmp", "eq", VIEWS, BIG), (3,)),
        ({"title": Lower("body")}, ("cmp", "eq", TITLE, ("func", "lower", ("col", "body"))), ()),
    ],
)
def test_lookup(models: Any, lookups: dict[str, Any], node: Any, params: Any) -> None:
    assert where(models.Post.objects.filter(**lookups)) == (node, params)


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
def test_string_lookup(models: Any, name: str) -> None:
    query = models.Post.objects.filter(**{f"title__{name}": "a%b"})
    assert where(query) == (("match", name, TITLE, ("param", "text")), ("a%b",))


def test_string_lookup_with_expression(models: Any) -> None:
    query = models.Post.objects.filter(title__contains=F("body"))
    assert where(query) == (("match", "contains", TITLE, ("col", "body")), ())


def test_aware_value_for_naive_column_is_stored_as_utc(models: Any) -> None:
    aware = datetime(2024, 1, 1, tzinfo=UTC)
    _, params = where(models.Post.objects.filter(created=aware))
    assert params == (datetime(2024, 1, 1),)


def test_related_object_means_its_key(models: Any) -> None:
    author = models.Author(id=7, name="x")
    column = ("col", "author_id")
    assert where(models.Post.objects.filter(author=author)) == (("cmp", "eq", column, BIG), (7,))
    query = models.Post.objects.filter(author__in=[author, 8])
    assert where(query) == (("in", column, ("param", ("array", "big_integer"))), ([7, 8],))


def test_composite_key(models: Any) -> None:
    node = ("and", ("cmp", "eq", ("col", "row"), BIG), ("cmp", "eq", ("col", "number"), BIG))
    assert where(models.Seat.objects.filter(pk=(1, 2))) == (node, (1, 2))
    assert where(models.Seat.objects.filter(pk__ne=(1, 2))) == (("not", node), (1, 2))
    assert where(models.Seat.objects.filter(pk__in=[(1, 2), (3, 4)])) == (("or", node, node), (1, 2, 3, 4))
    assert where(models.Seat.objects.filter(pk__in=[])) == (("false",), ())
    assert where(models.Seat.objects.filter(pk__not_in=[])) == (("not", ("false",)), ())
    for wrong in (1, (1,), (1, 2, 3), [1, 2]):
        with pytest.raises(FieldLookupValueError, match="composite"):
            models.Seat.objects.filter(pk=wrong)
    with pytest.raises(FieldLookupError, match="Supported: exact, ne, in, not_in"):
        models.Seat.objects.filter(pk__gt=(1, 2))


@pytest.mark.parametrize(
    ("lookups", "error", "message"),
    [
        ({"titel": 1}, FieldError, "did you mean 'title'"),
        ({"": 1}, FieldError, "no field"),
        ({"__": 1}, FieldError, "no field"),
        ({"__gt": 1}, FieldError, "no field"),
        ({"title__": 1}, FieldLookupError, "Lookup '' is not supported"),
        ({"title__contain": "x"}, FieldLookupError, "Did you mean 'contains'"),
        ({"title__foo": "x"}, FieldLookupError, "Lookup 'foo' is not supported for field 'title'"),
        ({"views__contains": "x"}, FieldLookupError, "Supported: exact, ne, in, not_in, isnull, gt"),
        ({"active__gt": True}, FieldLookupError, "Lookup 'gt' is not supported for field 'active'"),
        ({"meta__lt": {}}, FieldLookupError, "Lookup 'lt' is not supported"),
        ({"author__name": "x"}, FieldLookupError, "Lookup 'name' is not supported for field 'author'"),
        ({"title__lower__exact": "x"}, FieldLookupError, "Lookup 'lower__exact'"),
        ({"views": "many"}, FieldLookupValueError, "valid integer"),
        ({"views": 1.5}, FieldLookupValueError, "'views'"),
        ({"views__gt": None}, FieldLookupValueError, "views__isnull"),
        ({"views__in": [1, None]}, FieldLookupValueError, "views__isnull"),
        ({"views__in": None}, FieldLookupValueError, "iterable"),
        ({"views__in": 5}, FieldLookupValueError, "iterable of values, not int"),
        ({"title__in": "abc"}, FieldLookupValueError, "iterable of values, not str"),
        ({"views__between": (1,)}, FieldLookupValueError, "pair"),
        ({"views__between": 5}, FieldLookupValueError, "pair"),
        ({"views__between": (1, None)}, FieldLookupValueError, "None"),
        ({"body__isnull": 1}, FieldLookupValueError, "True or False"),
        ({"title__contains": 5}, FieldLookupValueError, "takes a str"),
        ({"title__contains": None}, FieldLookupValueError, "None"),
        ({"author": "x"}, FieldLookupValueError, "valid integer"),
        ({"views__gt": F("title")}, FieldError, "number"),
        ({"title__contains": F("views")}, FieldError, "text"),
        ({"views": F("nothing")}, FieldError, "no field 'nothing'"),
    ],
)
def test_refused(models: Any, lookups: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message) as caught:
        models.Post.objects.filter(**lookups)
    assert type(caught.value) is error


def test_values_stay_out_of_messages(models: Any) -> None:
    with pytest.raises(FieldLookupValueError) as caught:
        models.Post.objects.filter(views="s3cret")
    assert "s3cret" not in str(caught.value)


def test_unsaved_and_foreign_objects_are_refused(models: Any) -> None:
    with pytest.raises(FieldLookupValueError, match="not saved"):
        models.Post.objects.filter(author=models.Author(name="x"))
    with pytest.raises(FieldLookupValueError, match="takes a Author, not a Post"):
        models.Post.objects.filter(author=models.Post(id=1, title="x"))


def test_control_names_mean_the_field(models: Any) -> None:
    column = ("col", "using")
    node, params = where(models.Control.objects.filter(using="x", client="y"))
    assert node[1][2] == column
    assert params == ("x", "y")
    assert where(models.Control.objects.exclude(nulls=None)) == (("not", ("is_null", ("col", "nulls"))), ())


def test_lookups_are_resolved_once(models: Any) -> None:
    first, _ = where(models.Post.objects.filter(views__gte=1))
    second, _ = where(models.Post.objects.filter(views__gte=2))
    assert first is second


def test_one_shot_iterables_in_q_can_be_used_twice(models: Any) -> None:
    condition = Q(id__in=iter([1, 2]))
    assert where(models.Post.objects.filter(condition)) == where(models.Post.objects.filter(condition))
    assert where(models.Post.objects.filter(condition))[1] == ([1, 2],)
