"""What builders and terminals give."""

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
