"""Lookups: what they find, what they refuse, and how they name what is wrong."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest

from oxyde import F, FieldError, FieldLookupError, FieldLookupValueError, Q, col, not_

from .conftest import Tables
from .models import Author, Book, Seat

NOON = datetime(2024, 5, 6, 12, 0)


@pytest.fixture
async def books(tables: Tables) -> None:
    await tables(Author, Book, Seat)
    await Author.objects.bulk_create([{"id": 1, "name": "Ann"}, {"id": 2, "name": "Bob"}])
    await Book.objects.bulk_create(
        [
            {"title": "one", "pages": 10, "price": "1.50", "rating": 1.5, "published": NOON, "author_id": 1},
            {"title": "two", "pages": 20, "price": "10", "rating": None, "published": None, "author_id": 2},
            {"title": "three", "pages": 30, "price": None, "rating": 3.0, "active": False},
        ]
    )


async def titles(*conditions: Any, **lookups: Any) -> list[str]:
    return await Book.objects.filter(*conditions, **lookups).order_by("id").values_list("title", flat=True)


@pytest.mark.usefixtures("books")
class TestFinding:
    async def test_equality(self) -> None:
        assert await titles(pages=10) == ["one"]
        assert await titles(pages__exact=10) == ["one"]
        assert await titles(pages__ne=10) == ["two", "three"]
        assert await titles(rating__ne=1.5) == ["three"], "NULL <> 1.5 is unknown"
        assert await titles(rating=None) == ["two"]
        assert await titles(rating__exact=None) == ["two"]
        assert await titles(rating__ne=None) == ["one", "three"]
        assert await titles(rating__isnull=True) == ["two"]
        assert await titles(rating__isnull=False) == ["one", "three"]

    async def test_order(self) -> None:
        assert await titles(pages__gt=10, pages__lt=30) == ["two"]
        assert await titles(pages__gte=20) == ["two", "three"]
        assert await titles(pages__lte=20) == ["one", "two"]
        assert await titles(pages__between=(10, 20)) == ["one", "two"]
        assert await titles(pages__range=[20, 10]) == []
        assert await titles(price__gt=Decimal("9.99")) == ["two"]
        assert await titles(published__lt=NOON + timedelta(microseconds=1)) == ["one"]

    async def test_membership_of_any_iterable(self) -> None:
        for values in ([10, 30], (10, 30), {10, 30}, frozenset({10, 30}), iter([10, 30]), range(10, 31, 20)):
            assert await titles(pages__in=values) == ["one", "three"]
        assert await titles(pages__in=(n for n in (10, 30))) == ["one", "three"]
        assert await titles(pages__in={10: "a", 30: "b"}.keys()) == ["one", "three"]
        assert await titles(pages__in=[]) == []
        assert await titles(pages__not_in=[]) == ["one", "two", "three"]
        assert await titles(pages__not_in=[10]) == ["two", "three"]
        assert await titles(rating__not_in=[1.5]) == ["three"], "NULL NOT IN (…) is unknown"
        assert await titles(rating__not_in=[]) == ["one", "two", "three"]
        assert await titles(pages__in=[20]) == ["two"]

    async def test_membership_in_a_hundred_thousand(self) -> None:
        assert await titles(pages__in=range(11, 100_011)) == ["two", "three"]
        assert await titles(pages__not_in=list(range(11, 100_011))) == ["one"]
        assert await titles(title__in=[f"t{n}" for n in range(100_000)] + ["one"]) == ["one"]

    async def test_values_are_coerced_by_their_field(self) -> None:
        assert await titles(pages="10") == ["one"]
        assert await titles(pages__in=["10", 20.0]) == ["one", "two"]
        assert await titles(active="false") == ["three"]
        assert await titles(price=1.5) == ["one"]
        assert await titles(published="2024-05-06T12:00:00") == ["one"]
        assert await titles(published__gte=date(2024, 5, 6)) == ["one"]
        assert await titles(published=NOON.replace(tzinfo=UTC)) == ["one"]
        east = (NOON + timedelta(hours=5)).replace(tzinfo=timezone(timedelta(hours=5)))
        assert await titles(published=east) == ["one"]
        assert await titles(published__in=[east]) == ["one"]
        assert await titles(author_id="1") == ["one"]

    async def test_a_value_outside_of_the_constraints_is_only_compared(self) -> None:
        assert await titles(pages__gt=-1) == ["one", "two", "three"]
        assert await titles(price__gt=Decimal("1.4999")) == ["one", "two"]

    async def test_typed_columns_and_f(self) -> None:
        assert await titles(Book.pages >= 20) == ["two", "three"]
        assert await titles(col(Book.title).in_(["one"])) == ["one"]
        assert await titles(col(Book.rating).is_null()) == ["two"]
        assert await titles(col(Book.rating).is_not_null(), pages=10) == ["one"]
        assert await titles(Book.pages > F("price") * 2) == ["one"]
        assert await titles(F("pages") + 10 == 30) == ["two"]
        assert await titles(not_(Book.pages > 10)) == ["one"]
        assert await titles(pages__gt=F("price")) == ["one", "two"]
        assert await titles(pages__gt=Book.price) == ["one", "two"]
        assert await titles(pages__between=(F("price"), 15)) == ["one"]

    async def test_the_key(self) -> None:
        assert await titles(pk=1) == ["one"]
        assert await titles(pk__in=[1, 3]) == ["one", "three"]
        assert await titles(author=1) == ["one"]
        assert await titles(author__in=[1, 2]) == ["one", "two"]
        assert await titles(author=None) == ["three"]
        assert await titles(author__isnull=True) == ["three"]

    async def test_a_composite_key(self) -> None:
        await Seat.objects.bulk_create([{"row": row, "number": number} for row in (1, 2) for number in (1, 2)])
        assert (await Seat.objects.get(pk=(2, 1))).number == 1
        assert await Seat.objects.filter(pk__in=[(1, 1), (2, 2), (9, 9)]).count() == 2
        assert await Seat.objects.filter(pk__in=[]).count() == 0
        assert await Seat.objects.filter(pk__not_in=[(1, 1)]).count() == 3
        assert await Seat.objects.filter(pk__ne=(1, 1)).count() == 3
        with pytest.raises(FieldLookupValueError, match=re.escape("pk=(row, number)")):
            Seat.objects.filter(pk=1)
        with pytest.raises(FieldLookupError, match="'gt' is not supported for field 'pk'"):
            Seat.objects.filter(pk__gt=(1, 1))


@pytest.mark.usefixtures("books")
class TestNull:
    """Three-valued logic, as SQL has it."""

    async def test_exclude_leaves_out_what_is_unknown(self) -> None:
        async def left(**options: Any) -> list[str]:
            return await Book.objects.exclude(**options).order_by("id").values_list("title", flat=True)

        assert await left(rating=1.5) == ["three"]
        assert await left(rating=1.5, nulls=True) == ["two", "three"]
        assert await left(rating__gt=0) == []
        assert await left(rating__gt=0, nulls=True) == ["two"]
        assert await left(rating=None) == ["one", "three"]
        assert await left(rating=1.5, pages=10) == ["two", "three"], "false AND unknown is false"
        assert await left(rating=1.5, pages=20, nulls=True) == ["one", "two", "three"]
        assert await left() == ["one", "two", "three"]

    async def test_nulls_is_a_bool(self) -> None:
        with pytest.raises(TypeError, match="nulls must be a bool, not str"):
            Book.objects.exclude(rating=1.5, nulls="yes")  # type: ignore[arg-type]

    async def test_negated_q(self) -> None:
        assert await titles(~Q(rating=1.5)) == ["three"]
        assert await titles(~~Q(rating=1.5)) == ["one"]
        assert await titles(~(Q(rating=1.5) | Q(pages=30))) == []

    @pytest.mark.parametrize("lookup", ["gt", "gte", "lt", "lte"])
    async def test_none_has_no_order(self, lookup: str) -> None:
        with pytest.raises(FieldLookupValueError, match="pages__isnull=True"):
            Book.objects.filter(**{f"pages__{lookup}": None})

    async def test_none_is_no_member(self) -> None:
        for lookup in ("in", "not_in", "between", "range"):
            with pytest.raises(FieldLookupValueError, match="rating__isnull=True"):
                Book.objects.filter(**{f"rating__{lookup}": (1.0, None)})
        with pytest.raises(FieldLookupValueError, match="isnull"):
            Book.objects.filter(title__contains=None)
        with pytest.raises(FieldLookupValueError, match="True or False"):
            Book.objects.filter(rating__isnull=None)


@pytest.mark.usefixtures("books")
class TestLogic:
    async def test_and_or_xor_not(self) -> None:
        one, two = Q(pages=10), Q(title="two")
        assert await titles(one | two) == ["one", "two"]
        assert await titles(one & two) == []
        assert await titles(one ^ two) == ["one", "two"]
        assert await titles(one ^ Q(title="one")) == []
        assert await titles(~(one | two)) == ["three"]
        assert await titles(Q()) == ["one", "two", "three"]
        assert await titles(Q() | one) == ["one"]
        assert await titles((Book.pages == 10) | Q(title="two")) == ["one", "two"]
        assert await titles(one | two, active=True) == ["one", "two"]
        assert await titles(one ^ two ^ Q(pages=30)) == ["one", "two", "three"]

    async def test_ten_thousand_alternatives(self) -> None:
        q = Q()
        for number in range(10_000):
            q |= Q(pages=number)
        assert await titles(q) == ["one", "two", "three"]
        q = Q()
        for number in range(1, 10_001):
            q &= ~Q(pages=number * 20)
        assert await titles(q) == ["one", "three"]

    async def test_too_deep_a_tree_is_refused_where_it_is_built(self) -> None:
        q = Q(pages=1)
        for number in range(1000):
            q = ~(q & Q(pages=number)) if number % 2 else q | Q(pages=number)
        with pytest.raises(FieldError, match="levels deep"):
            Book.objects.filter(q)

    async def test_repr(self) -> None:
        assert repr(Q(a=1)) == "Q(a=1)"
        assert repr(Q(a=1) & Q(b=2)) == "(Q(a=1) AND Q(b=2))"
        assert repr(~Q(a=1)) == "~Q(a=1)"

    async def test_a_condition_has_no_truth_value(self) -> None:
        for wrong in (
            lambda: bool(Book.pages > 1),
            lambda: Book.pages > 1 and Book.pages < 3,
            lambda: 1 < Book.pages < 3,
            lambda: Book.title in ["one", "two"],
        ):
            with pytest.raises(TypeError, match=r"& \| ~"):
                wrong()
        for argument in (True, {"pages": 1}, "pages", None):
            with pytest.raises(TypeError, match="Q objects, typed conditions"):
                Book.objects.filter(argument)  # type: ignore[arg-type]


class TestNames:
    """Errors come where the query is written, and name what would be right."""

    @pytest.mark.parametrize("method", ["filter", "exclude"])
    def test_unknown_fields(self, method: str) -> None:
        build = getattr(Book.objects, method)
        with pytest.raises(FieldError, match="Book has no field 'titel'.*'title'"):
            build(titel="x")
        with pytest.raises(FieldError, match="Book has no field 'paegs'.*'pages'"):
            build(paegs__gt=1)
        with pytest.raises(FieldError, match="no field"):
            build(__class__=1)
        with pytest.raises(FieldError, match="no field"):
            build(**{"": 1})
        with pytest.raises(FieldError, match="no field"):
            build(Q(titel="x"))
        with pytest.raises(FieldError, match="no field 'titel'"):
            build(pages=F("titel"))

    def test_unknown_lookups(self) -> None:
        with pytest.raises(
            FieldLookupError, match="Lookup 'containz' is not supported for field 'title'.*'contains'.*Supported: exact"
        ) as caught:
            Book.objects.filter(title__containz="x")
        assert "icontains" in str(caught.value)
        with pytest.raises(FieldLookupError, match="Lookup 'contains' is not supported for field 'pages'") as caught:
            Book.objects.filter(pages__contains="x")
        assert "Supported: exact, ne, in, not_in, isnull, gt" in str(caught.value)
        with pytest.raises(FieldLookupError, match="'gt' is not supported for field 'active'"):
            Book.objects.filter(active__gt=False)
        with pytest.raises(FieldLookupError, match="not supported for field 'title'"):
            Book.objects.filter(title__exact__exact="x")

    def test_names_everywhere(self) -> None:
        query = Book.objects
        for call in (
            lambda: query.order_by("titel"),
            lambda: query.order_by("-titel"),
            lambda: query.values("titel"),
            lambda: query.values_list("titel"),
            lambda: query.only("titel"),
            lambda: query.defer("titel"),
            lambda: query.order_by(F("titel").desc()),
        ):
            with pytest.raises(FieldError, match="'title'"):
                call()
        for wrong in (1, None, Q(pages=1)):
            with pytest.raises(FieldError, match=r"order_by\(\) takes"):
                query.order_by(wrong)

    def test_columns_of_another_model(self) -> None:
        with pytest.raises(FieldError, match="another model"):
            Book.objects.filter(Author.name == "x")

    @pytest.mark.parametrize(
        ("lookups", "name"),
        [
            ({"pages": "x"}, "pages"),
            ({"pages": 1.5}, "pages"),
            ({"pages": [1]}, "pages"),
            ({"published": "yesterday"}, "published"),
            ({"price": "1,50"}, "price"),
            ({"active": 2}, "active"),
            ({"title": 5}, "title"),
            ({"pages__in": 5}, "pages"),
            ({"title__in": "abc"}, "title"),
            ({"pages__in": ["x"]}, "pages"),
            ({"pages__between": 5}, "pages"),
            ({"pages__between": (1, 2, 3)}, "pages"),
            ({"title__contains": 5}, "title"),
            ({"title__startswith": b"x"}, "title"),
        ],
    )
    def test_values_that_cannot_be_meant(self, lookups: dict[str, Any], name: str) -> None:
        with pytest.raises(FieldLookupValueError, match=f"'{name}'") as caught:
            Book.objects.filter(**lookups)
        assert "yesterday" not in str(caught.value), "values are not shown"
