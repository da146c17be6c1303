"""The data that every contender reads and writes: 1,000 people with ten columns, 949 of them of age.

The same seed makes the same people everywhere, so that results can be compared value by value. `Person` is the plain
Pydantic model that the hand-written contenders fill; Oxyde's own model has the same fields (contenders/oxyde_orm.py).
"""

import random
from datetime import datetime, timedelta
from typing import Any

from pydantic import BaseModel

COUNT, OF_AGE = 1_000, 949
COLUMNS = ("id", "name", "email", "age", "active", "score", "city", "visits", "bio", "created_at")
WRITTEN = COLUMNS[1:]
TABLE = "person"

CROWD, TIMES = "crowd", 1_000
"""A view that repeats the table so often: a million rows, made while they are read."""

SELECT = f"SELECT {', '.join(COLUMNS)} FROM {TABLE}"
SELECT_CROWD = f"SELECT {', '.join(COLUMNS)} FROM {CROWD}"
VIEW = (
    f"CREATE VIEW {CROWD} AS SELECT {', '.join(f'a.{name} AS {name}' for name in COLUMNS)} "
    f"FROM {TABLE} AS b CROSS JOIN {TABLE} AS a"
)
CHUNK = 2_000
"""Rows that a stream fetches at a time, where a contender has a choice."""
INSERT = f"INSERT INTO {TABLE} ({', '.join(WRITTEN)}) VALUES ({', '.join('?' * len(WRITTEN))})"


class Person(BaseModel):
    id: int | None = None
    name: str
    email: str
    age: int
    active: bool
    score: float
    city: str
    visits: int
    bio: str | None = None
    created_at: datetime


def person(number: int, chance: random.Random, *, of_age: bool = True) -> dict[str, Any]:
    """The fields of one person without its key."""
    return {
        "name": f"Person {number} Łukasz",
        "email": f"person{number}@example.org",
        "age": chance.randrange(18, 90) if of_age else chance.randrange(0, 18),
        "active": number % 3 != 0,
        "score": round(chance.uniform(0, 100), 4),
        "city": chance.choice(["Amsterdam", "Berlin", "Köln", "Lisboa", "Malmö", "Oslo", "Praha", "Wien"]),
        "visits": chance.randrange(0, 10_000),
        "bio": None if number % 5 == 0 else "Likes long walks, short queries and databases that answer. " * 2,
        "created_at": datetime(2024, 1, 1) + timedelta(microseconds=chance.randrange(60_000_000_000_000)),
    }


def people(number: int, *, first: int = 1) -> list[dict[str, Any]]:
    """People that are not in the table yet (their e-mail addresses are not), for the rows that insert."""
    chance = random.Random(first)
    return [person(n, chance) for n in range(first, first + number)]


def stored(fields: dict[str, Any]) -> tuple[Any, ...]:
    """The values of WRITTEN as SQLite keeps them."""
    *values, created_at = (fields[name] for name in WRITTEN)
    return (*values, created_at.isoformat(" ", "microseconds"))


def typed(row: tuple[Any, ...]) -> tuple[Any, ...]:
    """A row as SQLite returns it, with the types that the columns mean."""
    return (*row[:4], row[4] == 1, *row[5:9], datetime.fromisoformat(row[9]))


def everybody() -> list[dict[str, Any]]:
    """The 1,000 people of the table, in the order of their keys."""
    chance = random.Random(0)
    minors = set(chance.sample(range(1, COUNT + 1), COUNT - OF_AGE))
    return [person(n, chance, of_age=n not in minors) for n in range(1, COUNT + 1)]
