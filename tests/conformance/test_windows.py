"""limit, offset, slices and distinct, and what first, last, count, exists and get make of them."""

from __future__ import annotations

from typing import Any

import pytest

from oxyde import F, ManagerError, MultipleObjectsReturned, NotFoundError, Q

from .conftest import Tables
from .models import Word


@pytest.fixture(autouse=True)
async def words(tables: Tables) -> None:
    await tables(Word)
    await Word.objects.bulk_create([{"text": text} for text in "abcdefghij"])


async def texts(query: Any) -> str:
    return "".join([row.text for row in await query])


async def test_limit_and_offset() -> None:
    query = Word.objects.order_by("id")
    assert await texts(query.limit(3)) == "abc"
    assert await texts(query.limit(3).offset(8)) == "ij"
    assert await texts(query.offset(8)) == "ij"
    assert await texts(query.limit(0)) == ""
    assert await texts(query.offset(100)) == ""
    assert await texts(query.limit(3).limit(None)) == "abcdefghij"
    assert await texts(query.limit(2**40)) == "abcdefghij"


async def test_slices_compose_as_those_of_a_list_do() -> None:
    query = Word.objects.order_by("id")
    letters = "abcdefghij"
    for outer in (slice(2, 8), slice(None, 5), slice(3, None), slice(None), slice(20, 30), slice(5, 2)):
        assert await texts(query[outer]) == letters[outer]
        for inner in (slice(1, 3), slice(2, None), slice(None, 100), slice(0, 0), slice(50, None)):
            assert await texts(query[outer][inner]) == letters[outer][inner]
            assert await query[outer][inner].count() == len(letters[outer][inner])
            assert await query[outer][inner].exists() == bool(letters[outer][inner])


async def test_slices_that_sql_has_not_are_refused() -> None:
    query = Word.objects.order_by("id")
    for window in (slice(-1, None), slice(None, -1)):
        with pytest.raises(ValueError, match="negative"):
            query[window]
    with pytest.raises(ValueError, match="step"):
        query[::2]
    with pytest.raises(TypeError, match="first"):
        query[3]  # type: ignore[index]
    for call in (query.limit, query.offset):
        with pytest.raises(ValueError, match="negative"):
            call(-1)
        for wrong in ("1", 1.0, True):
            with pytest.raises(TypeError, match="int"):
                call(wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("window", [lambda q: q[2:4], lambda q: q.limit(2), lambda q: q.offset(2)])
async def test_what_would_silently_happen_before_the_window_is_refused(window: Any) -> None:
    query = window(Word.objects.order_by("id"))
    for name, call in {
        "filter": lambda: query.filter(text="a"),
        "exclude": lambda: query.exclude(Q(text="a")),
        "order_by": lambda: query.order_by("-id"),
        "distinct": lambda: query.distinct(),
    }.items():
        with pytest.raises(ManagerError, match=rf"{name}\(\) cannot follow a limit, offset or slice.*pk__in"):
            call()
    for wrong in (query.get(text="a"), query.get_or_none(text="a")):
        with pytest.raises(ManagerError, match=r"filter\(\) cannot follow"):
            await wrong
    # Nothing is asked for, so nothing can go wrong.
    assert await texts(query.filter().exclude()) == await texts(query)


async def test_the_fix_that_the_message_names_works() -> None:
    keys = await Word.objects.order_by("-id")[:3].values_list("pk", flat=True)
    assert await texts(Word.objects.filter(pk__in=keys).exclude(text="i").order_by("id")) == "hj"


async def test_first_and_last() -> None:
    query = Word.objects.order_by("-text")
    assert (await query.first()).text == "j"  # type: ignore[union-attr]
    assert (await query.last()).text == "a"  # type: ignore[union-attr]
    assert (await Word.objects.first()).text == "a"  # type: ignore[union-attr]
    assert (await Word.objects.last()).text == "j"  # type: ignore[union-attr]
    nothing = Word.objects.filter(text="?")
    assert await nothing.first() is None
    assert await nothing.last() is None
    for window, letters in ((query[2:5], "hgf"), (query.limit(3), "jih"), (query.offset(7), "cba")):
        assert (await window.first()).text == letters[0]  # type: ignore[union-attr]
        assert (await window.last()).text == letters[-1]  # type: ignore[union-attr]
    assert await query[20:].first() is None
    assert await query[20:].last() is None
    assert await query[:0].first() is None
    assert await query[:0].last() is None


async def test_last_reverses_where_null_goes() -> None:
    await Word.objects.create(text=None)
    for nulls in ("first", "last"):
        ordered = await Word.objects.order_by(F("text").asc(nulls=nulls), "id")  # type: ignore[arg-type]
        assert (ordered[0].text is None) == (nulls == "first")
        last = await Word.objects.order_by(F("text").asc(nulls=nulls), "id").last()  # type: ignore[arg-type]
        assert last == ordered[-1]


async def test_count_and_exists() -> None:
    assert await Word.objects.count() == 10
    assert await Word.objects.filter(text__in=["a", "b"]).count() == 2
    assert await Word.objects.exists()
    assert not await Word.objects.filter(text="?").exists()
    assert await Word.objects.filter(text="?").count() == 0
    assert await Word.objects.limit(3).count() == 3
    assert await Word.objects.offset(8).count() == 2
    assert await Word.objects.filter(text__gt="c")[2:100].count() == 5


async def test_distinct_rows_are_counted_and_cut_as_they_are_given() -> None:
    await Word.objects.bulk_create([{"text": text} for text in "aabb"])
    distinct = Word.objects.values_list("text", flat=True).distinct()
    assert sorted(await distinct) == list("abcdefghij")
    assert await distinct.count() == 10
    assert await distinct.order_by("text")[1:3] == ["b", "c"]
    assert await distinct.order_by("text")[8:].count() == 2
    assert await distinct.order_by("-text").first() == "j"
    assert await distinct.order_by("text").last() == "j"
    # All columns are different rows.
    assert await Word.objects.distinct().count() == 14


async def test_get() -> None:
    assert (await Word.objects.get(text="c")).text == "c"
    assert (await Word.objects.filter(text="c").get()).text == "c"
    assert (await Word.objects.get(Q(text="c") | Q(text="?"))).text == "c"
    with pytest.raises(NotFoundError, match="Word matching the query does not exist"):
        await Word.objects.get(text="?")
    with pytest.raises(MultipleObjectsReturned, match="more than one Word"):
        await Word.objects.get(text__lt="c")
    with pytest.raises(MultipleObjectsReturned):
        await Word.objects.get_or_none(text__lt="c")
    assert await Word.objects.get_or_none(text="?") is None
    assert (await Word.objects.get_or_none(text="b")).text == "b"  # type: ignore[union-attr]
    assert (await Word.objects.get(pk=1)).text == "a"


async def test_get_stays_inside_the_window() -> None:
    query = Word.objects.order_by("id")
    assert (await query[3:4].get()).text == "d"
    assert (await query.limit(1).get()).text == "a"
    with pytest.raises(MultipleObjectsReturned):
        await query[3:5].get()
    with pytest.raises(NotFoundError):
        await query[10:].get()


async def test_a_query_is_neither_a_list_nor_a_bool() -> None:
    for query in (Word.objects.filter(), Word.objects.values("id")):
        with pytest.raises(TypeError, match="await query"):
            list(query)  # type: ignore[call-overload]
        with pytest.raises(TypeError, match="exists"):
            bool(query)
        with pytest.raises(TypeError, match="count"):
            len(query)
    with pytest.raises(TypeError, match="await Model.objects.all"):
        list(Word.objects)  # type: ignore[call-overload]


async def test_a_query_is_immutable_and_can_be_awaited_again() -> None:
    query = Word.objects.filter(text__in=(letter for letter in "ab"))
    narrowed = query.order_by("-id").limit(1)
    assert await texts(query) == await texts(query) == "ab"
    assert await texts(narrowed) == "b"
    assert await query.count() == 2
