"""What builders and terminals give."""

from contextlib import aclosing
from typing import Any, assert_type

from shop import User, UserManager, UserQuery

from oxyde import F, Q, Query, QueryManager


async def results() -> None:
    assert_type(User.objects, QueryManager[User])
    query = User.objects.filter(age__gte=18).exclude(name="x").order_by("-age")[:10]
    assert_type(query, Query[User])
    assert_type(await query, list[User])
    assert_type(await query.all(), list[User])
    assert_type(query.sql_comment("nightly"), Query[User])
    assert_type(await User.objects.sql_comment(route="/users").first(), User | None)
    assert_type(await query.all(mode="dict"), list[dict[str, Any]])
    assert_type(await query.all(mode="json"), bytes)
    assert_type(await query.first(), User | None)
    assert_type(await query.last(), User | None)
    assert_type(await query.get(id=1), User)
    assert_type(await User.objects.get(id=1), User)
    assert_type(await User.objects.get_or_none(id=1), User | None)
    assert_type(await query.count(), int)
    assert_type(await query.exists(), bool)
    assert_type(await User.objects.create(name="Ada", age=36), User)
    assert_type(await User.objects.bulk_create([User(name="Ada", age=36)]), list[User])
    assert_type(await query.update(age=F("age") + 1), int)
    assert_type(await query.delete(), int)
    assert_type(await query.values("name"), list[dict[str, Any]])


async def streams() -> None:
    query = User.objects.filter(age__gte=18)
    async for user in query:
        assert_type(user, User)
    async for user in query.iterate(chunk_size=500):
        assert_type(user, User)
    async for user in User.objects.iterate():
        assert_type(user, User)
    async for row in query.values("name"):
        assert_type(row, dict[str, Any])
    async for age in query.values_list(User.age, flat=True).iterate():
        assert_type(age, int)
    async with aclosing(query.iterate()) as rows:
        assert_type([user async for user in rows], list[User])


async def conditions() -> None:
    assert_type(User.objects.filter(Q(age=1) | ~Q(name="x")), Query[User])
    assert_type(await User(name="Ada", age=36).save(), User)


async def custom() -> None:
    assert_type(User.people, UserManager)
    assert_type(User.people.filter(age=1).adults(), UserQuery)
    assert_type(await User.people.filter(age=1).adults(), list[User])


async def refused() -> None:
    await User.objects.all(mode="yaml")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]  # ty: ignore[no-matching-overload]
    User.objects.filtre(age=1)  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]  # ty: ignore[missing-attribute]
