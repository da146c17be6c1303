"""Class attributes are typed columns; checkers see the field's own type, and `col()` gives the expression."""

from typing import assert_type

from shop import User

from oxyde import Query, col, not_

assert_type(User.objects.filter(User.age >= 18), Query[User])
assert_type(User.objects.filter((User.age >= 18) & (User.name == "Ada")), Query[User])
assert_type(User.objects.filter(not_(User.age > 3)), Query[User])
assert_type(User.objects.filter(col(User.name).in_(["a", "b"])), Query[User])
assert_type(User.objects.filter(col(User.bio).is_null()), Query[User])
assert_type(User.objects.order_by(col(User.age).desc()), Query[User])

_ = User.agee >= 18  # type: ignore[attr-defined]  # pyright: ignore[reportArgumentType, reportOperatorIssue]  # ty: ignore[invalid-attribute-access, unsupported-operator]
_ = User.age >= "18"  # type: ignore[operator]  # pyright: ignore[reportOperatorIssue]  # ty: ignore[unsupported-operator]
