"""Constructors are typed by `dataclass_transform`: what is required, optional and of which type."""

from typing import assert_type

from shop import Company, User

user = User(name="Ada", age=36)
assert_type(user.id, int | None)
assert_type(user.name, str)
assert_type(user.age, int)
assert_type(user.bio, str | None)
assert_type(user.company, Company | None)

User(name="Ada", age=36, company=Company(name="Acme"), bio=None)

User(name="Ada")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]  # ty: ignore[missing-argument]
User(name=1, age=36)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  # ty: ignore[invalid-argument-type]
User(name="Ada", age=36, nickname="A")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]  # ty: ignore[pydantic-discarded-extra-argument]
user.nickname  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]  # ty: ignore[missing-attribute]
