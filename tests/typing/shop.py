"""The models that the typing tests are about."""

from datetime import datetime
from decimal import Decimal
from typing import ClassVar, Self

from oxyde import Field, Model, Query, QueryManager


class Company(Model):
    id: int | None = Field(default=None, db_pk=True)
    name: str = Field(max_length=80)

    class Meta:
        is_table = True


class UserQuery(Query["User"]):
    def adults(self) -> Self:
        return self.filter(age__gte=18)


class UserManager(QueryManager["User", UserQuery]):
    query_class = UserQuery


class User(Model):
    id: int | None = Field(default=None, db_pk=True)
    name: str
    age: int = Field(ge=0)
    score: Decimal = Field(default=Decimal(0), max_digits=10, decimal_places=2)
    bio: str | None = None
    joined: datetime = Field(default_factory=datetime.now)
    company: Company | None = Field(default=None, db_on_delete="SET NULL")
    people: ClassVar[UserManager] = UserManager()

    class Meta:
        is_table = True
