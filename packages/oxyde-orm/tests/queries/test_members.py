"""Lookups on lists: contains, contained_by, overlap, length and items."""

from collections.abc import AsyncIterator
from enum import Enum
from typing import Any

import pytest

from oxyde import Field, Model, Range, db
from oxyde.db import create_tables
from oxyde.exceptions import FieldLookupError, FieldLookupValueError
from oxyde.models import iter_tables, register_table, unregister_table


class Mood(Enum):
    GLAD = "glad"
    SAD = "sad"


@pytest.fixture
async def note() -> AsyncIterator[Any]:
    before = list(iter_tables())
    for model in before:
        unregister_table(model)

    class Note(Model):
        id: int | None = Field(default=None, db_pk=True)
        key: list[str] | None = None
        value: list[int] = []
        moods: list[Mood] = []
        days: Range[int] | None = Field(default=None, db_type="int8range")

        class Meta:
            is_table = True

    await db.init(default="sqlite://:memory:")
    await create_tables()
    await Note.objects.create(key=["a", "b"], value=[1, 2, 2], moods=[Mood.GLAD])
    await Note.objects.create(key=["b", "c"], value=[], moods=[Mood.SAD, Mood.GLAD])
    await Note.objects.create(key=None, value=[3])
    yield Note
    await db.close()
    unregister_table(Note)
    for model in before:
        register_table(model)


@pytest.mark.parametrize(
    ("lookups", "ids"),
    [
        ({"key__contains": ["b"]}, [1, 2]),
        ({"key__contains": ("a", "b")}, [1]),
        ({"key__contains": []}, [1, 2]),
        ({"key__contained_by": ["a", "b", "x"]}, [1]),
        ({"value__contained_by": {1, 2}}, [1, 2]),
        ({"value__overlap": [2, 3]}, [1, 3]),
        ({"value__overlap": []}, []),
        ({"moods__contains": [Mood.SAD]}, [2]),
        ({"moods__overlap": ["glad"]}, [1, 2]),
        ({"value__length": 3}, [1]),
        ({"key__length__gte": 1}, [1, 2]),
        ({"key__0": "b"}, [2]),
        ({"key__1__in": ["b", "c"]}, [1, 2]),
        ({"key__0__startswith": "a"}, [1]),
        ({"value__0__gt": 1}, [3]),
        ({"value__7__isnull": True}, [1, 2, 3]),
        ({"moods__0": Mood.SAD}, [2]),
    ],
    ids=str,
)
async def test_members(note: Any, lookups: dict[str, Any], ids: list[int]) -> None:
    rows = await note.objects.filter(**lookups).order_by("id").all()
    assert [row.id for row in rows] == ids


async def test_unknown_stays_unknown(note: Any) -> None:
    rows = await note.objects.exclude(key__contains=["a"]).all()
    assert [row.id for row in rows] == [2]


async def test_what_a_list_cannot_be_asked(note: Any) -> None:
    for lookups, error in (
        ({"key__contains": "a"}, FieldLookupValueError),
        ({"key__contains": None}, FieldLookupValueError),
        ({"value__contains": ["x"]}, FieldLookupValueError),
        ({"key__startswith": "a"}, FieldLookupError),
        ({"key__length__contains": "a"}, FieldLookupError),
        ({"id__overlap": [1]}, FieldLookupError),
    ):
        with pytest.raises(error):
            note.objects.filter(**lookups)


def test_ranges(note: Any) -> None:
    for value in (Range(1, 3), 2):
        text, params = note.objects.filter(days__contains=value).sql(dialect="postgres")
        assert '"days" @> $1' in text
        assert params == ['["1","3")' if value != 2 else '["2","2"]']
    text, _ = note.objects.filter(days__overlap=Range(1, 3)).sql(dialect="postgres")
    assert '"days" && $1' in text
    with pytest.raises(FieldLookupError):
        note.objects.filter(days__startswith="x")
