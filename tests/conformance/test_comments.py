"""Comments that go with queries: they arrive, they change nothing, and nothing gets out of them."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

import pytest

from oxyde import AsyncDatabase, F, Field, Model

from .conftest import Tables


class Noted(Model):
    id: int | None = Field(default=None, db_pk=True)
    name: str
    size: int = 0

    class Meta:
        is_table = True
        table_name = "conf_noted"


@pytest.fixture
async def rows(tables: Tables) -> None:
    await tables(Noted)
    await Noted.objects.bulk_create([Noted(name=f"n{number}", size=number) for number in range(5)])


HOSTILE = [
    "*/ DROP TABLE conf_noted; /*",
    "/* nested",
    "a */",
    "*/*",
    "!50000 1 */",
    "line\nbreak",
    "carriage\rreturn",
    "tab\there",
    "nul\0",
    "line\u2028separator",
    "next\u0085line",
    "right to left\u202e",
    "what?",
    "cost $1",
    "end -- of",
    "\ud800",
    "",
    "   ",
    "x" * 1_001,
]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_what_a_comment_must_not_be(text: str) -> None:
    with pytest.raises(ValueError, match="comment"):
        Noted.objects.sql_comment(text)


@pytest.mark.parametrize("text", [None, 5, b"bytes"])
def test_what_is_no_comment(text: Any) -> None:
    with pytest.raises(TypeError, match=r"sql_comment\(\) takes a str or tags"):
        Noted.objects.sql_comment(text)
    with pytest.raises(TypeError, match="not both"):
        Noted.objects.sql_comment("text", tag="too")
    with pytest.raises(TypeError, match="The tag route must be a str"):
        Noted.objects.sql_comment(route=text)


@pytest.mark.parametrize("dialect", ["sqlite", "postgres", "mysql", "mariadb"])
def test_tags_may_have_anything_in_them(dialect: str) -> None:
    plain = Noted.objects.filter(size=3).sql(dialect=dialect)[0]
    for text in [*HOSTILE[:-5], "it's", "a,b='c'", "ä"]:
        sent, params = Noted.objects.filter(size=3).sql_comment(b=text, a="1").sql(dialect=dialect)
        assert params == [3]
        before, opening, comment = sent.partition(" /* ")
        assert (before, opening) == (plain, " /* ")
        assert comment.startswith("a='1',b='")
        assert comment.endswith("' */")
        inside = comment.removesuffix(" */")
        assert not any(part in inside for part in ("*/", "/*", "?", "$", "\n", "--"))
        assert unquote(inside.removeprefix("a='1',b='").removesuffix("'")) == text


@pytest.mark.parametrize("dialect", ["mysql", "mariadb"])
@pytest.mark.parametrize("text", ["!50000 DROP TABLE x", "M!100000 x", "+ NO_INDEX(x)", " ! x"])
def test_no_comment_is_run(dialect: str, text: str) -> None:
    """What MySQL and MariaDB look for stands right behind the opening of a comment."""
    sent, _ = Noted.objects.sql_comment(text).sql(dialect=dialect)
    assert sent.endswith(f" /* {text.strip()} */")


def test_the_last_comment_counts() -> None:
    query = Noted.objects.sql_comment("first")
    assert query.sql_comment("second").sql(dialect="sqlite")[0].endswith('"conf_noted" /* second */')
    assert query.sql(dialect="sqlite")[0].endswith("/* first */")
    assert query.filter(size=1).limit(2).values("id").sql(dialect="sqlite")[0].endswith("/* first */")


async def test_everything_works_with_a_comment(database: AsyncDatabase, rows: None) -> None:
    noted = Noted.objects.sql_comment("it's a test, really: 100%")
    assert [row.size for row in await noted.order_by("size")] == [0, 1, 2, 3, 4]
    assert await noted.filter(size__gte=3).count() == 2
    assert await noted.filter(size__in=[1, 2]).values_list("name", flat=True).order_by("id") == ["n1", "n2"]
    assert await noted.filter(size=9).exists() is False
    assert (await noted.get(size=4)).name == "n4"
    assert (await noted.order_by("-size").first()) == await noted.order_by("size").last()
    assert await noted.filter(size=4).update(size=F("size") + 1) == 1
    assert [row.size for row in await noted.filter(name="n4").update(returning=True, size=6)] == [6]
    made = await noted.create(name="new", size=10)
    assert await Noted.objects.get(id=made.id) == made
    many = await noted.bulk_create([Noted(name=f"m{number}") for number in range(600)])
    assert len({row.id for row in many} - {None}) == 600
    assert await noted.filter(name__startswith="m").delete() == 600
    assert b'"n0"' in await noted.all(mode="json")


async def test_comments_push_nothing_else_out(database: AsyncDatabase, rows: None) -> None:
    async def compiled(*comments: str | None) -> int:
        before = database.stats()["compiled"]
        for comment in comments:
            query = Noted.objects.filter(size__gte=2, name__startswith="n")
            await (query if comment is None else query.sql_comment(comment)).all()
        return int(database.stats()["compiled"]) - before

    assert await compiled(None, None) == 1
    # Once for its first use, once to be kept.
    assert await compiled("same", "same", "same", "same") == 2
    assert await compiled(*(f"trace {number}" for number in range(3_000))) == 3_000
    assert await compiled(None) == 0
