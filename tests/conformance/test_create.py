"""create(): values, instances and expressions, and what the database fills in."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Self

import pytest
from pydantic import AwareDatetime, ValidationError, field_validator, model_validator

from oxyde import (
    Coalesce,
    Concat,
    DataError,
    F,
    Field,
    FieldError,
    Lower,
    ManagerError,
    Model,
    NotLoadedError,
    Now,
    Value,
    execute_raw,
    sql,
)

from .conftest import Tables
from .lanes import Lane
from .models import Author, Book, Seat, Token


class Event(Model):
    id: int | None = Field(default=None, db_pk=True)
    name: str = Field(min_length=2, alias="eventName")
    made: datetime = Field(db_default="CURRENT_TIMESTAMP")
    seen: AwareDatetime | None = None
    level: int = Field(default=1, ge=0)
    size: int = Field(db_generated="length(name)")
    price: Decimal | None = None

    class Meta:
        is_table = True
        table_name = "conf_event"


class Checked(Model):
    """Validators of every kind, which run for the values that are given."""

    id: int | None = Field(default=None, db_pk=True)
    low: int
    high: int
    at: datetime | None = None

    @field_validator("low")
    @classmethod
    def _even(cls, value: int) -> int:
        if value % 2:
            raise ValueError("odd")
        return value

    @model_validator(mode="before")
    @classmethod
    def _before(cls, data: Any) -> Any:
        return {**data, "high": data.get("high", 10)}

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.low > self.high:
            raise ValueError("low > high")
        return self

    class Meta:
        is_table = True
        table_name = "conf_checked"


async def test_values(tables: Tables) -> None:
    await tables(Author, Book)
    author = await Author.objects.create(name="Ann")
    assert author.id == 1
    book = await Book.objects.create(title="x", pages="12", author=author)
    assert (book.pages, book.author_id, book.price) == (12, 1, None)
    assert await Book.objects.get(id=book.id) == await Book.objects.get(title="x")
    assert (await Book.objects.create(pk=77, title="y")).id == 77
    # The next of SQLite's keys is past it, of PostgreSQL's sequence it is not.
    assert (await Book.objects.create(title="z")).id not in (book.id, 77)


async def test_an_instance(tables: Tables) -> None:
    await tables(Author)
    author = Author(name="Ann")
    assert await Author.objects.create(author) is author
    assert author.id == 1
    with pytest.raises(ManagerError, match="not both"):
        await Author.objects.create(Author(name="a"), name="b")
    with pytest.raises(ManagerError, match="takes a Author, not a Token"):
        await Author.objects.create(Token())  # type: ignore[arg-type]
    broken = Author(name="b")
    broken.name = 5  # type: ignore[assignment]
    with pytest.raises(ValidationError):
        await Author.objects.create(broken)
    assert await Author.objects.count() == 1


async def test_keys_of_the_client(tables: Tables) -> None:
    await tables(Token, Seat)
    token = await Token.objects.create(label="x")
    assert await Token.objects.get(pk=token.key) == token
    assert (await Seat.objects.create(pk=(1, 2))).number == 2
    with pytest.raises(FieldError, match=r"composite: give pk=\(row, number\)"):
        await Seat.objects.create(pk=1)
    with pytest.raises(FieldError, match="row is given twice"):
        await Seat.objects.create(pk=(1, 2), row=1)


async def test_bad_input(tables: Tables) -> None:
    await tables(Author, Event)
    with pytest.raises(FieldError, match="Author has no field 'nam'; did you mean 'name'"):
        await Author.objects.create(nam="x")
    with pytest.raises(ValidationError, match="name"):
        await Author.objects.create()
    with pytest.raises(ValidationError, match="email"):
        await Author.objects.create(name="x", email=5)
    with pytest.raises(FieldError, match="Event.size is computed by the database"):
        await Event.objects.create(name="xx", size=1)
    with pytest.raises(FieldError, match="size is computed"):
        await Event.objects.bulk_create([{"name": "xx", "size": 1}])
    for wrong in (Author.objects.filter(id=1), Author.objects.limit(1)):
        with pytest.raises(ManagerError, match="conditions and windows"):
            await wrong.create(name="x")
    assert await Author.objects.count() == 0


async def test_unknown_keys_are_refused_whatever_extra_says(tables: Tables) -> None:
    class Loose(Model, extra="allow"):
        id: int | None = Field(default=None, db_pk=True)

        class Meta:
            is_table = True
            table_name = "conf_loose"

    await tables(Loose)
    assert Loose(anything=1).model_extra == {"anything": 1}  # type: ignore[call-arg]
    with pytest.raises(FieldError, match="no field 'anything'"):
        await Loose.objects.create(anything=1)
    with pytest.raises(FieldError, match="no field 'anything'"):
        await Loose.objects.update(anything=1)
    with pytest.raises(FieldError, match="no field 'anything'"):
        await Loose.objects.bulk_create([{"anything": 1}])


async def test_what_the_database_fills_in(tables: Tables) -> None:
    await tables(Event)
    before = datetime.now(UTC).replace(tzinfo=None, microsecond=0)
    event = Event(eventName="abc")
    with pytest.raises(NotLoadedError, match="made"):
        event.made
    await event.save()
    assert event.made >= before
    assert event.size == 3
    assert event == await Event.objects.get(id=event.id)
    assert (await Event.objects.create(name="abc", made="2020-01-01")).made == datetime(2020, 1, 1)
    assert (await Event.objects.create(eventName="by alias")).size == 8


class TestExpressions:
    async def test_functions_of_the_database(self, tables: Tables) -> None:
        await tables(Event)
        before = datetime.now(UTC).replace(microsecond=0)
        event = await Event.objects.create(
            name=Lower(Value("ABC")), seen=Now(), made=Now(), level=sql("2 + 3"), price=Value("1.50")
        )
        assert event.name == "abc"
        assert event.size == 3
        assert event.level == 5
        assert event.price == Decimal("1.5")
        assert event.seen is not None
        assert event.seen.tzinfo is not None
        assert event.seen >= before
        assert event.made.tzinfo is None
        stored = await Event.objects.get(id=event.id)
        assert stored == event
        assert stored.model_fields_set == event.model_fields_set
        joined = await Event.objects.create(eventName=Concat(Value("a"), Value("'b")))
        assert joined.name == "a'b"
        assert (await Event.objects.create(name="xx", level=Coalesce(sql("NULL"), 4))).level == 4

    async def test_a_value_is_what_it_would_be_without_the_wrapper(self, tables: Tables) -> None:
        await tables(Event)
        with pytest.raises(ValidationError, match="level"):
            await Event.objects.create(name="xx", level=Value(-1))
        with pytest.raises(ValidationError, match="eventName|name"):
            await Event.objects.create(name=Value("x"))
        assert (await Event.objects.create(name="xx", level=Value("7"))).level == 7

    async def test_the_other_fields_are_validated(self, tables: Tables) -> None:
        await tables(Event, Checked)
        with pytest.raises(ValidationError, match="level"):
            await Event.objects.create(name="xx", level=-1, seen=Now())
        with pytest.raises(ValidationError, match="eventName"):
            await Event.objects.create(seen=Now())
        with pytest.raises(FieldError, match="no field 'sen'"):
            await Event.objects.create(name="xx", sen=Now())
        with pytest.raises(ValidationError, match="odd"):
            await Checked.objects.create(low=1, at=Now())
        with pytest.raises(ValidationError, match="low > high"):
            await Checked.objects.create(low=12, at=Now())
        row = await Checked.objects.create(low=2, at=Now())
        assert row.high == 10
        assert row == await Checked.objects.get()

    async def test_a_validator_that_needs_the_computed_value_says_so(self, tables: Tables) -> None:
        await tables(Checked)
        with pytest.raises(NotLoadedError, match="high"):
            await Checked.objects.create(low=2, high=sql("5"))
        assert await Checked.objects.count() == 0

    async def test_there_is_no_row_to_refer_to(self, tables: Tables) -> None:
        await tables(Event)
        for wrong in (F("level") + 1, Event.level, F("level"), Coalesce(F("level"), 1)):
            with pytest.raises(FieldError, match="'level'.*refers to 'level'.*no columns yet"):
                await Event.objects.create(name="xx", level=wrong)

    async def test_types_must_fit(self, tables: Tables) -> None:
        await tables(Event)
        with pytest.raises(FieldError, match="level"):
            await Event.objects.create(name="xx", level=Lower(Value("x")))
        with pytest.raises(FieldError, match="size is computed"):
            await Event.objects.create(name="xx", size=sql("1"))

    async def test_what_comes_back_is_validated(self, tables: Tables) -> None:
        await tables(Event)
        with pytest.raises(DataError, match=r"conf_event.*level"):
            await Event.objects.create(name="xx", level=sql("-5"))
        with pytest.raises(DataError, match=r"conf_event.*name"):
            await Event.objects.create(name=Lower(Value("X")))

    async def test_a_foreign_key(self, tables: Tables) -> None:
        class Needy(Model):
            id: int | None = Field(default=None, db_pk=True)
            author: Author

            class Meta:
                is_table = True
                table_name = "conf_needy"

        await tables(Author, Needy)
        author = await Author.objects.create(name="Ann")
        for name in ("author", "author_id"):
            row = await Needy.objects.create(**{name: sql("(SELECT max(id) FROM conf_author)")})
            assert row.author_id == author.id
        with pytest.raises(FieldError, match="author_id is given twice"):
            await Needy.objects.create(author=author, author_id=sql("1"))
        with pytest.raises(ValidationError, match="author_id"):
            await Needy.objects.create()

    async def test_hooks_see_it_absent_and_may_set_it(self, tables: Tables) -> None:
        seen: list[bool] = []

        class Hooked(Model):
            id: int | None = Field(default=None, db_pk=True)
            level: int = 0
            override: bool = False

            async def pre_save(self, *, is_create: bool, update_fields: Any) -> None:
                seen.append("level" in self.__dict__)
                if self.override:
                    self.level = 9

            async def post_save(self, *, is_create: bool, update_fields: Any) -> None:
                seen.append("level" in self.__dict__)

            class Meta:
                is_table = True
                table_name = "conf_expression_hooks"

        await tables(Hooked)
        assert (await Hooked.objects.create(level=sql("3"))).level == 3
        assert seen == [False, True]
        assert (await Hooked.objects.create(level=sql("3"), override=True)).level == 9

    async def test_bulk_create_and_constructors_refuse_them(self, tables: Tables) -> None:
        await tables(Event)
        with pytest.raises(FieldError, match=r"bulk_create\(\).*'level'.*create\(\)"):
            await Event.objects.bulk_create([{"name": "xx", "level": sql("1")}])
        with pytest.raises(ValidationError, match="level"):
            Event(name="xx", level=sql("1"))  # type: ignore[call-arg]


class TestReturnedRows:
    """A row that comes back from an INSERT or UPDATE is judged as one that is loaded."""

    async def test_by_field(self, tables: Tables) -> None:
        class Small(Model):
            id: int | None = Field(default=None, db_pk=True)
            name: str = "x"
            code: int = Field(db_default="500", le=100)

            class Meta:
                is_table = True
                table_name = "conf_small"

        await tables(Small)
        # Where a row is read back by a statement of its own, it goes with the transaction of both.
        await execute_raw("INSERT INTO conf_small (name) VALUES ('there')")
        for way in (
            lambda: Small.objects.create(),
            lambda: Small().save(),
            lambda: Small.objects.bulk_create([Small(), Small()]),
            lambda: Small.objects.bulk_create([{}], returning=True),
            lambda: Small.objects.update(name="y", returning=True),
        ):
            with pytest.raises(DataError, match="conf_small.*code.*less than or equal to 100.*found 500") as caught:
                await way()
            assert isinstance(caught.value.__cause__, ValidationError)
            assert caught.value.column == "code"

    async def test_a_generated_column_after_an_update(self, tables: Tables) -> None:
        class Squared(Model):
            id: int | None = Field(default=None, db_pk=True)
            side: int
            area: int = Field(db_generated="side * side", le=100)

            class Meta:
                is_table = True
                table_name = "conf_squared"

        await tables(Squared)
        row = await Squared.objects.create(side=5)
        assert row.area == 25
        row.side = 6
        assert (await row.save()).area == 36
        row.side = 60
        with pytest.raises(DataError, match="area"):
            await row.save()

    async def test_by_the_whole_model(self, tables: Tables) -> None:
        class Range(Model):
            id: int | None = Field(default=None, db_pk=True)
            low: int
            high: int = Field(db_default="10")

            @model_validator(mode="after")
            def _ordered(self) -> Self:
                if "high" in self.__dict__ and self.low > self.high:
                    raise ValueError("low > high")
                return self

            class Meta:
                is_table = True
                table_name = "conf_range"

        await tables(Range)
        assert (await Range.objects.create(low=3)).high == 10
        for way in (
            lambda: Range.objects.create(low=11),
            lambda: Range(low=11).save(),
            lambda: Range.objects.bulk_create([Range(low=11)]),
            lambda: Range.objects.bulk_create([{"low": 11}]),
        ):
            with pytest.raises(DataError, match="conf_range.*low > high"):
                await way()
        rows = await Range.objects.bulk_create([Range(low=n) for n in range(5)])
        assert [row.high for row in rows] == [10] * 5

    async def test_enums_and_converted_values_come_back_as_their_type(self, lane: Lane, tables: Tables) -> None:
        from .kinds import Colour

        class Painted(Model):
            id: int | None = Field(default=None, db_pk=True)
            colour: Colour = Field(db_default="'red'")
            tags: list[int] = Field(db_default="'{1,2}'" if lane.family == "postgres" else "'[1,2]'")
            extra: dict[str, int] = Field(db_default="'{\"a\": 1}'")

            class Meta:
                is_table = True
                table_name = "conf_painted"

        await tables(Painted)
        for row in (await Painted.objects.create(), *await Painted.objects.bulk_create([Painted()])):
            assert (row.colour, row.tags, row.extra) == (Colour.RED, [1, 2], {"a": 1})


async def test_nothing_but_defaults(tables: Tables) -> None:
    class Bare(Model):
        id: int | None = Field(default=None, db_pk=True)

        class Meta:
            is_table = True
            table_name = "conf_bare"

    await tables(Bare)
    assert (await Bare.objects.create()).id == 1
    assert [row.id for row in await Bare.objects.bulk_create([{}, {}])] == [2, 3]
    rows = await Bare.objects.bulk_create([{}, {"id": 90}, {}], returning=True)
    assert len({row.id for row in rows}) == 3
    assert rows[1].id == 90
    assert await Bare.objects.count() == 6
    assert await Bare.objects.bulk_create([{}], on_conflict="ignore") != []
    assert await Bare.objects.count() == 7
