"""Models and a database that only records: these tests look at what queries send, not at what SQL makes of it."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import pytest

from oxyde.db import registry
from oxyde.models import Field, Model


class Author(Model):
    id: int | None = Field(default=None, db_pk=True)
    name: str

    class Meta:
        is_table = True
        table_name = "queries_author"


class Post(Model):
    id: int | None = Field(default=None, db_pk=True)
    title: str = Field(max_length=20)
    body: str | None = None
    views: int = Field(default=0, ge=0)
    price: Decimal | None = None
    created: datetime | None = None
    active: bool = True
    meta: dict[str, int] | None = None
    author: Author | None = None

    class Meta:
        is_table = True
        table_name = "queries_post"


class Token(Model):
    """A key made by the client."""

    key: UUID = Field(default_factory=uuid4, db_pk=True)
    label: str = ""

    class Meta:
        is_table = True
        table_name = "queries_token"


class Seat(Model):
    """A composite key."""

    row: int = Field(db_pk=True)
    number: int = Field(db_pk=True)
    taken: bool = False

    class Meta:
        is_table = True
        table_name = "queries_seat"


class Control(Model):
    """Fields called like control arguments."""

    id: int | None = Field(default=None, db_pk=True)
    using: str | None = None
    client: str | None = None
    instance: str | None = None
    returning: str | None = None
    nulls: str | None = None

    class Meta:
        is_table = True
        table_name = "queries_control"


class Event(Model):
    """A default order and columns that the database fills."""

    id: int | None = Field(default=None, db_pk=True)
    name: str = Field(alias="eventName")
    made: datetime = Field(db_default="CURRENT_TIMESTAMP")
    size: int = Field(db_generated="length(name)", db_stored=True)

    class Meta:
        is_table = True
        table_name = "queries_event"
        ordering = ("-made", "id")


class Hooked(Model):
    """Records its hooks."""

    id: int | None = Field(default=None, db_pk=True)
    name: str = ""
    calls: list[str] = Field(default_factory=list, db_converter=(str, lambda text: []), db_type="TEXT")

    async def pre_save(self, *, is_create: bool, update_fields: Any) -> None:
        self.calls.append(f"pre_save {is_create} {update_fields}")

    async def post_save(self, *, is_create: bool, update_fields: Any) -> None:
        self.calls.append(f"post_save {is_create} {update_fields}")

    async def pre_delete(self) -> None:
        self.calls.append("pre_delete")

    async def post_delete(self) -> None:
        self.calls.append("post_delete")

    class Meta:
        is_table = True
        table_name = "queries_hooked"


class Lease:
    """Records the operations of a transaction."""

    def __init__(self, log: list[Any]) -> None:
        self.log = log

    def __getattr__(self, name: str) -> Any:
        def operation(*arguments: Any) -> None:
            self.log.append((name, *arguments))

        return operation


class Core:
    """Stands in for the core's database: keeps the calls and answers what it is told to."""

    backend = "sqlite"
    version = (3, 45, 0)

    returning = (True, True)

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.log: list[Any] = []
        self.answers: list[Any] = []

    def answer(self) -> Any:
        found = self.answers.pop(0) if self.answers else []
        if isinstance(found, BaseException):
            raise found
        return found

    def run(self, shape: Any, params: Any, loader: Any = None, lease: Any = None, timeout: Any = None) -> Any:
        hash(shape)
        self.calls.append((shape, params))
        self.log.append(("run", shape[0], lease))
        return self.answer()

    def prepare_copy(self, shape: Any, *_: Any) -> None:
        hash(shape)

    def prepare_parts(self, shape: Any, *_: Any) -> None:
        hash(shape)

    def run_bulk(
        self,
        shape: Any,
        rows: Any,
        fields: Any,
        converters: Any,
        loader: Any = None,
        lease: Any = None,
        fill: Any = None,
    ) -> Any:
        hash(shape)
        if fill is not None:
            return None  # the rows are taken as not uniform: the long way is what these tests look at
        self.calls.append((shape, list(rows), fields, converters))
        self.log.append(("run_bulk", len(rows), lease))
        return self.answer()

    def raw(self, sql: str, params: Any, lease: Any = None) -> Any:
        self.calls.append((sql, params))
        return self.answer()

    def lease(self, mode: str, isolation: str | None = None, deferrable: bool = False) -> Lease:
        self.log.append(("lease", mode))
        return Lease(self.log)

    @property
    def last(self) -> tuple[Any, ...]:
        return self.calls[-1]

    @property
    def where(self) -> Any:
        """The condition of the last statement."""
        shape = self.last[0]
        return shape[{"select": 3, "update": 3, "delete": 2}[shape[0]]]

    @property
    def params(self) -> Any:
        return self.last[1]


@pytest.fixture
def models() -> SimpleNamespace:
    return SimpleNamespace(
        Author=Author, Post=Post, Token=Token, Seat=Seat, Control=Control, Event=Event, Hooked=Hooked
    )


@pytest.fixture
def core(monkeypatch: pytest.MonkeyPatch) -> Core:
    """The database registered as "default" (and another one as "other")."""
    core = Core()
    databases = {
        "default": SimpleNamespace(core=core, name="default"),
        "other": SimpleNamespace(core=Core(), name="other"),
    }
    for alias, database in databases.items():
        monkeypatch.setitem(registry.connections, alias, database)  # type: ignore[arg-type]
    return core
