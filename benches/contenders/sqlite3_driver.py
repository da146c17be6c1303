"""The standard library's sqlite3, called inline: the loop stands still meanwhile, and there is no faster driver."""

import sqlite3
from typing import Any, ClassVar

import pydantic
from people import COLUMNS, INSERT, SELECT, SELECT_CROWD, TABLE, WRITTEN, Person, stored, typed
from pydantic import TypeAdapter
from rows import ROWS

MANY = TypeAdapter(list[Person])


class Inline:
    asynchronous = False
    cannot: ClassVar = {"concurrent": "a synchronous driver does one thing at a time"}

    async def open(self, place: str, settings: dict[str, Any], row: str) -> None:
        # Autocommit, except for the bulk rows: there executemany() begins the transaction that commit() ends.
        isolation = "IMMEDIATE" if row.startswith("bulk") else None
        self.connection = sqlite3.connect(place, isolation_level=isolation)
        for name, value in settings.items():
            self.connection.execute(f"PRAGMA {name} = {value}")

    async def close(self) -> None:
        self.connection.close()

    async def execute(self, sql: str) -> None:
        self.connection.execute(sql)
        self.connection.commit()

    async def value(self, sql: str) -> Any:
        return self.connection.execute(sql).fetchone()[0]

    def versions(self) -> dict[str, str]:
        return {"SQLite": sqlite3.sqlite_version, "Pydantic": pydantic.VERSION}

    def instances(self, people: list[dict[str, Any]]) -> list[Person]:
        return [Person(**fields) for fields in people]

    def operation(self, row: str, shape: str) -> Any:
        name = ROWS[row].operation
        return getattr(self, name if hasattr(self, name) else f"{name}_{shape}")

    def pk_tuple(self, key: int) -> Any:
        return typed(self.connection.execute(f"{SELECT} WHERE id = ?", (key,)).fetchone())

    def pk_dict(self, key: int) -> Any:
        row = self.connection.execute(f"{SELECT} WHERE id = ?", (key,)).fetchone()
        return dict(zip(COLUMNS, typed(row), strict=True))

    def pk_model(self, key: int) -> Any:
        row = self.connection.execute(f"{SELECT} WHERE id = ?", (key,)).fetchone()
        return Person.model_validate(dict(zip(COLUMNS, row, strict=True)))

    def rows_tuple(self, age: int) -> Any:
        return [typed(row) for row in self.connection.execute(f"{SELECT} WHERE age >= ?", (age,))]

    def rows_dict(self, age: int) -> Any:
        found = self.connection.execute(f"{SELECT} WHERE age >= ?", (age,))
        return [dict(zip(COLUMNS, typed(row), strict=True)) for row in found]

    def rows_model(self, age: int) -> Any:
        found = self.connection.execute(f"{SELECT} WHERE age >= ?", (age,))
        return MANY.validate_python([dict(zip(COLUMNS, row, strict=True)) for row in found])

    def stream(self, _: int) -> Any:
        rows = visits = 0
        for row in self.connection.execute(SELECT_CROWD):
            person = Person.model_validate(dict(zip(COLUMNS, row, strict=True)))
            rows, visits = rows + 1, visits + person.visits
        return rows, visits

    def count(self, _: int) -> int:
        return self.connection.execute(f"SELECT count(*) FROM {TABLE}").fetchone()[0]

    def insert(self, fields: dict[str, Any]) -> Any:
        person = Person(**fields)
        person.id = self.connection.execute(INSERT, stored(person.__dict__)).lastrowid
        return person

    def update(self, change: tuple[int, int]) -> int:
        return self.connection.execute(f"UPDATE {TABLE} SET visits = ? WHERE id = ?", change[::-1]).rowcount

    def delete(self, key: int) -> int:
        return self.connection.execute(f"DELETE FROM {TABLE} WHERE id = ?", (key,)).rowcount

    def bulk_model(self, people: list[Person]) -> Any:
        """One transaction; the keys of rows that one statement after the other inserted in it are consecutive."""
        self.connection.executemany(INSERT, [stored(person.__dict__) for person in people])
        (last,) = self.connection.execute("SELECT last_insert_rowid()").fetchone()
        self.connection.commit()
        for key, person in enumerate(people, last - len(people) + 1):
            person.id = key
        return people

    def bulk_dict(self, people: list[dict[str, Any]]) -> Any:
        return self.bulk_model(MANY.validate_python(people))


assert WRITTEN[-1] == "created_at"  # stored() and typed() convert the last column
