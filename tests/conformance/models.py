"""Models that several files of the suite use."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from uuid import UUID, uuid4

from oxyde import Field, Index, Model, Unique


class Author(Model):
    id: int | None = Field(default=None, db_pk=True)
    name: str = Field(max_length=100)
    email: str | None = Field(default=None, db_unique=True, max_length=100)
    born: date | None = None

    class Meta:
        is_table = True
        table_name = "conf_author"


class Book(Model):
    id: int | None = Field(default=None, db_pk=True)
    title: str = Field(max_length=200)
    pages: int = Field(default=0, ge=0)
    price: Decimal | None = Field(default=None, max_digits=10, decimal_places=2)
    rating: float | None = None
    published: datetime | None = None
    active: bool = True
    author: Author | None = Field(default=None, db_on_delete="CASCADE")

    class Meta:
        is_table = True
        table_name = "conf_book"


class Word(Model):
    id: int | None = Field(default=None, db_pk=True)
    text: str | None = None

    class Meta:
        is_table = True
        table_name = "conf_word"


class Token(Model):
    """A key that the client makes."""

    key: UUID = Field(default_factory=uuid4, db_pk=True)
    label: str = ""

    class Meta:
        is_table = True
        table_name = "conf_token"


class Seat(Model):
    """A composite key."""

    row: int = Field(db_pk=True)
    number: int = Field(db_pk=True)
    guest: str | None = None

    class Meta:
        is_table = True
        table_name = "conf_seat"
        constraints = [Unique(["guest"], name="one_seat_each")]
        indexes = [Index(["guest"])]
