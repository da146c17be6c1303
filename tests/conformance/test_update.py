"""update() and delete() of queries: values, expressions, and which rows they touch."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any, Self

import pytest
from pydantic import GetCoreSchemaHandler, ValidationError, ValidationInfo, field_validator, model_validator
from pydantic_core import CoreSchema, core_schema

from oxyde import (
    Abs,
    Coalesce,
    Concat,
    DataError,
    F,
    Field,
    FieldError,
    FieldLookupValueError,
    Length,
    Lower,
    ManagerError,
    Model,
    Now,
    Q,
    Upper,
    Value,
    sql,
)

from .conftest import Tables
from .models import Author, Book, Seat, Word


@pytest.fixture
async def books(tables: Tables) -> None:
    await tables(Author, Book, Word)
    await Author.objects.bulk_create([{"name": "Ann"}, {"name": "Bob"}])
    await Book.objects.bulk_create(
        [{"title": f"b{n}", "pages": n * 10, "price": Decimal(n) / 4, "author_id": 1} for n in range(1, 5)]
    )


async def pages() -> list[int]:
    return await Book.objects.order_by("id").values_list("pages", flat=True)


@pytest.mark.usefixtures("books")
class TestValues:
    async def test_the_rows_that_match(self) -> None:
        assert await Book.objects.filter(pages__gt=20).update(pages=5, title="x") == 2
        assert await pages() == [10, 20, 5, 5]
        assert await Book.objects.update(pages=1) == 4
        assert await Book.objects.filter(id=-1).update(pages=2) == 0
        assert await Book.objects.exclude(title="b1").update(pages=3) == 3
        assert await Book.objects.filter(Q(id=1) | Q(title="b2")).update(pages=7) == 2
        assert await pages() == [7, 7, 3, 3]

    async def test_returning(self) -> None:
        rows = await Book.objects.filter(pages__lte=20).update(pages=F("pages") + 1, returning=True)
        assert sorted((row.id, row.pages) for row in rows) == [(1, 11), (2, 21)]
        assert all(isinstance(row, Book) for row in rows)
        rows[0].title = "saved"
        await rows[0].save()
        assert await Book.objects.filter(title="saved").count() == 1
        assert await Book.objects.filter(id=-1).update(pages=1, returning=True) == []
        with pytest.raises(TypeError, match="returning must be a bool"):
            await Book.objects.update(pages=1, returning="yes")  # type: ignore[call-overload]

    async def test_values_are_validated_by_their_fields(self) -> None:
        assert await Book.objects.update(pages="12", active="no", price="1.5") == 4
        row = await Book.objects.get(id=1)
        assert (row.pages, row.active, row.price) == (12, False, Decimal("1.5"))
        for bad in ({"pages": -1}, {"pages": "x"}, {"title": "x" * 201}, {"price": "0.001"}, {"pages": None}):
            with pytest.raises(ValidationError, match=next(iter(bad))):
                await Book.objects.update(**bad)
        with pytest.raises(ValidationError) as caught:
            await Book.objects.update(title=5, pages=-1)
        assert {error["loc"] for error in caught.value.errors()} == {("title",), ("pages",)}
        assert await pages() == [12] * 4

    async def test_what_cannot_be_updated(self) -> None:
        with pytest.raises(FieldError, match="no field 'titel'; did you mean 'title'"):
            await Book.objects.update(titel="x")
        with pytest.raises(FieldError, match="given no field"):
            await Book.objects.update()
        with pytest.raises(FieldError, match="primary key"):
            await Book.objects.update(id=1)
        with pytest.raises(FieldError, match="primary key"):
            await Book.objects.update(pk=1)
        with pytest.raises(FieldError, match="no field"):
            await Book.objects.update(pages__gt=1)
        for query in (Book.objects.limit(1), Book.objects.filter()[1:], Book.objects.distinct()):
            with pytest.raises(ManagerError, match=r"update\(\) cannot be combined.*pk__in"):
                await query.update(pages=1)
            with pytest.raises(ManagerError, match=r"delete\(\) cannot be combined"):
                await query.delete()
        assert await pages() == [10, 20, 30, 40]

    async def test_relations(self) -> None:
        bob = await Author.objects.get(name="Bob")
        assert await Book.objects.filter(id=1).update(author=bob) == 1
        assert await Book.objects.filter(author=bob).count() == 1
        assert await Book.objects.filter(id=2).update(author_id=2) == 1
        assert await Book.objects.filter(author__in=[bob]).count() == 2
        assert await Book.objects.filter(id=1).update(author=None) == 1
        assert await Book.objects.filter(author=None).count() == 1
        with pytest.raises(FieldLookupValueError, match="not saved"):
            await Book.objects.update(author=Author(name="new"))
        with pytest.raises(FieldError, match="given twice"):
            await Book.objects.update(author=bob, author_id=2)

    async def test_delete(self) -> None:
        assert await Book.objects.filter(pages__gt=20).delete() == 2
        assert await pages() == [10, 20]
        assert await Book.objects.filter(id=-1).delete() == 0
        assert await Book.objects.delete() == 2


@pytest.mark.usefixtures("books")
class TestExpressions:
    async def test_arithmetic(self) -> None:
        await Book.objects.update(pages=F("pages") * 2 + 1)
        assert await pages() == [21, 41, 61, 81]
        await Book.objects.update(pages=(F("pages") - 1) // 20)
        assert await pages() == [1, 2, 3, 4]
        await Book.objects.update(pages=Book.pages % 2)
        assert await pages() == [1, 0, 1, 0]
        await Book.objects.update(pages=100 - F("id"))
        assert await pages() == [99, 98, 97, 96]
        await Book.objects.update(pages=Abs(-F("pages")))
        assert await pages() == [99, 98, 97, 96]

    async def test_every_expression_sees_the_old_row(self) -> None:
        await Book.objects.update(rating=1.5)
        await Book.objects.update(pages=F("id"), rating=F("pages") + 0.5)
        assert [(row.pages, row.rating) for row in await Book.objects.order_by("id")] == [
            (1, 10.5),
            (2, 20.5),
            (3, 30.5),
            (4, 40.5),
        ]

    async def test_functions(self) -> None:
        await Book.objects.update(title=Upper("title"), published=Now(), pages=Length("title"))
        row = await Book.objects.get(id=1)
        assert (row.title, row.pages) == ("B1", 2)
        assert row.published is not None
        assert abs(row.published - datetime.now(UTC).replace(tzinfo=None)) < timedelta(minutes=1)
        await Book.objects.update(title=Concat(Lower("title"), Value("-ü"), "title"), rating=Coalesce("rating", 2.5))
        row = await Book.objects.get(id=1)
        assert (row.title, row.rating) == ("b1-üB1", 2.5)
        await Book.objects.update(pages=sql("pages + 40"), rating=None)
        assert (await Book.objects.get(id=1)).pages == 42

    async def test_a_value_is_what_it_would_be_without_the_wrapper(self) -> None:
        east = timezone(timedelta(hours=2))
        await Book.objects.update(
            price=Value(1.1),
            active=Value(False),
            published=Value(datetime(2020, 1, 1, 12, tzinfo=east)),
            rating=Value(None),
        )
        row = await Book.objects.get(id=1)
        assert (row.price, row.active, row.published) == (Decimal("1.1"), False, datetime(2020, 1, 1, 10))
        with pytest.raises(ValidationError, match="pages"):
            await Book.objects.update(pages=Value(-1))

    async def test_types_must_fit(self) -> None:
        with pytest.raises(FieldError, match="pages"):
            await Book.objects.update(pages=Lower("title"))
        with pytest.raises(FieldError, match="title"):
            await Book.objects.update(title=F("pages"))
        with pytest.raises(FieldError, match="Concat"):
            await Book.objects.update(title=F("title") + "x")
        with pytest.raises(FieldError, match="no field 'pagse'"):
            await Book.objects.update(pages=F("pagse") + 1)

    async def test_decimals_stay_exact(self) -> None:
        await Book.objects.filter(id=1).update(price=Decimal("0.10"))
        for _ in range(10):
            await Book.objects.filter(id=1).update(price=F("price") + Decimal("0.10"))
        assert (await Book.objects.get(id=1)).price == Decimal("1.10")
        await Book.objects.filter(id=1).update(price=F("price") * 3 - 1)
        assert (await Book.objects.get(id=1)).price == Decimal("2.30")
        assert await Book.objects.filter(price=Decimal("2.3"), id=1).count() == 1

    async def test_a_result_that_the_column_cannot_hold(self) -> None:
        """Databases would round, or store what cannot be read again."""
        before = await Book.objects.order_by("id")
        with pytest.raises(FieldError, match=r"Book.pages.*float; // divides integers"):
            await Book.objects.update(pages=F("pages") / 4)
        with pytest.raises(FieldError, match="Book.pages.*decimal"):
            await Book.objects.update(pages=F("price") * 2)
        with pytest.raises(FieldError, match="Book.price.*float; compute with Decimal"):
            await Book.objects.update(price=F("rating") * 2)
        for values in ({"pages": F("pages") * 2**62}, {"price": F("price") * 10**9}):
            with pytest.raises(DataError):
                await Book.objects.update(**values)
        assert await Book.objects.order_by("id") == before

    async def test_decimals_are_rounded_to_their_scale_on_assignment(self) -> None:
        await Book.objects.filter(id=1).update(price=Decimal("1.00"))
        await Book.objects.filter(id=1).update(price=F("price") / 3)
        assert (await Book.objects.get(id=1)).price == Decimal("0.33")
        assert await Book.objects.filter(id=1, price=Decimal("0.33")).count() == 1
        await Book.objects.filter(id=1).update(price=Decimal("0.05"), pages=2)
        await Book.objects.filter(id=1).update(price=F("price") / F("pages"))
        assert (await Book.objects.get(id=1)).price == Decimal("0.03"), "half away from zero"

    async def test_division_is_pythons(self) -> None:
        for pages_, divisor in ((7, 2), (-7, 2), (7, -2), (-7, -2), (6, 3)):
            await Word.objects.delete()
            await Word.objects.create(id=abs(pages_) + 20, text="")
            sign = "" if pages_ > 0 else "-"
            number = F("id") - 20 if not sign else 20 - F("id")
            assert await Word.objects.filter(number // divisor == pages_ // divisor).count() == 1
            assert await Word.objects.filter(number % divisor == pages_ % divisor).count() == 1
            assert await Word.objects.filter(number / divisor == pages_ / divisor).count() == 1

    @pytest.mark.parametrize("zero", [0, 0.0, Decimal(0)])
    async def test_division_by_zero(self, zero: Any) -> None:
        for result in (F("pages") / zero, F("pages") // zero, F("pages") % zero):
            with pytest.raises(DataError, match="division by zero"):
                await Book.objects.filter(result == 1).count()
        if isinstance(zero, int):
            with pytest.raises(DataError, match="division by zero"):
                await Book.objects.update(pages=F("pages") // zero)
        with pytest.raises(DataError, match="division by zero"):
            await Book.objects.update(rating=F("pages") / (F("id") - 1))


class TestModelsThatValidateTogether:
    """update() has no whole row to validate."""

    async def test_a_core_schema_of_its_own(self, tables: Tables) -> None:
        class Own(Model):
            id: int | None = Field(default=None, db_pk=True)
            level: int = Field(default=0, ge=0)

            @classmethod
            def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
                return core_schema.union_schema([handler(source), core_schema.is_instance_schema(cls)])

            class Meta:
                is_table = True
                table_name = "conf_own"

        await tables(Own)
        row = await Own.objects.create(level=1)
        with pytest.raises(FieldError, match=r"Own validates as a whole.*level.*save\(\)"):
            await Own.objects.update(level=2)
        row.level = 2
        await row.save()
        assert (await Own.objects.get()).level == 2
        assert await Own.objects.update(level=F("level") + 1) == 1
        with pytest.raises(FieldError, match="create.*cannot take an expression for level"):
            await Own.objects.create(level=sql("1"))

    async def test_validators_that_ask_for_other_fields(self, tables: Tables) -> None:
        class Span(Model):
            id: int | None = Field(default=None, db_pk=True)
            low: int
            high: int

            @field_validator("high")
            @classmethod
            def _above(cls, value: int, info: ValidationInfo) -> int:
                if value < info.data["low"]:
                    raise ValueError("high < low")
                return value

            class Meta:
                is_table = True
                table_name = "conf_span"

        await tables(Span)
        row = await Span.objects.create(low=1, high=5)
        assert await Span.objects.update(high=9, low=2) == 1
        with pytest.raises(ValidationError, match="high < low"):
            await Span.objects.update(high=1, low=2)
        with pytest.raises(FieldError, match="asks for the field 'low'"):
            await Span.objects.update(high=7)
        assert await Span.objects.update(low=3) == 1
        await row.refresh()
        row.high = 4
        await row.save(update_fields=["high"])
        row.high = 2
        with pytest.raises(ValidationError, match="high < low"):
            await row.save()
        with pytest.raises(ValidationError, match="high < low"):
            await row.save(update_fields=["high"])

    async def test_model_validators_do_not_run_for_single_fields(self, tables: Tables) -> None:
        class Pair(Model):
            id: int | None = Field(default=None, db_pk=True)
            low: int = Field(alias="theLow")
            high: int

            @model_validator(mode="after")
            def _ordered(self) -> Self:
                if self.low > self.high:
                    raise ValueError("low > high")
                return self

            class Meta:
                is_table = True
                table_name = "conf_pair"

        await tables(Pair)
        await Pair.objects.create(low=1, high=2)
        assert await Pair.objects.update(low=5) == 1
        with pytest.raises(DataError, match="conf_pair.*id=1.*low > high"):
            await Pair.objects.get()


async def test_a_composite_key(tables: Tables) -> None:
    await tables(Seat)
    await Seat.objects.bulk_create([{"row": 1, "number": n} for n in range(5)])
    assert await Seat.objects.filter(pk=(1, 2)).update(guest="x") == 1
    with pytest.raises(FieldError, match="primary key"):
        await Seat.objects.update(row=2)
    assert await Seat.objects.filter(pk__in=[(1, 2), (1, 3)]).delete() == 2


async def test_many_rows(tables: Tables) -> None:
    await tables(Word)
    await Word.objects.bulk_create([{"text": str(n)} for n in range(5000)])
    assert await Word.objects.filter(pk__in=range(1, 4001)).update(text=Concat("text", Value("!"))) == 4000
    assert await Word.objects.filter(text__endswith="!").count() == 4000
    assert await Word.objects.filter(pk__in=range(1, 4001)).delete() == 4000
