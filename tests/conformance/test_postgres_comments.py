"""Comments as PostgreSQL gets them, and what they leave behind on a connection."""

from __future__ import annotations

from oxyde import AsyncDatabase, execute_raw

from .conftest import Tables
from .models import Author


async def prepared(tag: str) -> list[str]:
    """The statements with this comment that the connection keeps prepared."""
    rows = await execute_raw("SELECT statement FROM pg_prepared_statements WHERE statement LIKE $1", [f"%/* {tag}%"])
    return [row["statement"] for row in rows]


async def test_what_comments_leave_behind(database: AsyncDatabase, tables: Tables) -> None:
    """One that came once leaves nothing behind; one that comes again is kept prepared."""
    await tables(Author)
    noted = Author.objects.filter(name="Ada")
    await noted.sql_comment(route="/notes/{id}").all()
    assert await prepared("route=") == []
    await noted.sql_comment(route="/notes/{id}").all()
    (kept,) = await prepared("route=")
    assert kept.endswith(" /* route='%2Fnotes%2F%7Bid%7D' */")
    for number in range(600):
        await noted.sql_comment(f"request {number}").all()
    assert await prepared("request") == []
    assert await prepared("route=") == [kept]
