"""Which database a statement runs on: client, using, query.using, Meta.database, default."""

from __future__ import annotations

from typing import Any

import pytest

from oxyde import AsyncDatabase, Field, FieldError, ManagerError, Model, atomic, create_tables, drop_tables, execute_raw
from oxyde.schema import describe

from .conftest import Tables
from .models import Author


class Report(Model):
    id: int | None = Field(default=None, db_pk=True)
    name: str

    class Meta:
        is_table = True
        table_name = "conf_report"
        database = "other"


class Control(Model):
    """Fields called like control arguments."""

    id: int | None = Field(default=None, db_pk=True)
    using: str = ""
    client: str = ""

    class Meta:
        is_table = True
        table_name = "conf_control"


@pytest.fixture(autouse=True)
async def both(tables: Tables, other: AsyncDatabase) -> Any:
    await tables(Author)
    await create_tables("other", models=[Author, Report])
    yield
    await drop_tables("other", models=[Author, Report])


async def names(using: str) -> list[str]:
    return await Author.objects.using(using).order_by("id").values_list("name", flat=True)


async def test_every_way_to_choose(database: AsyncDatabase, other: AsyncDatabase) -> None:
    await Author.objects.create(name="d")
    await Author.objects.create(name="o1", using="other")
    await Author.objects.create(name="o2", client=other)
    await Author.objects.using("other").create(name="o3")
    await Author.objects.using(other).bulk_create([{"name": "o4"}])
    await Author.objects.bulk_create([{"name": "o5"}], using="other")
    await Author(name="o6").save(using="other")
    await Author(name="o7").save(client=other)
    await execute_raw("INSERT INTO conf_author (name) VALUES ('o8')", using="other")
    assert await names("default") == ["d"]
    assert await names("other") == [f"o{n}" for n in range(1, 9)]
    query = Author.objects.filter(name__startswith="o")
    for options in ({"using": "other"}, {"client": other}):
        assert await query.count(**options) == 8
        assert await query.exists(**options)
        assert len(await query.all(**options)) == 8
        assert (await query.first(**options)).name == "o1"  # type: ignore[union-attr]
        assert (await query.last(**options)).name == "o8"  # type: ignore[union-attr]
        assert (await query.get(name="o3", **options)).name == "o3"
        assert (await Author.objects.get(name="o3", **options)).name == "o3"
        assert (await Author.objects.get_or_none(name="d", **options)) is None
    assert await query.using("other").update(name="x", using="default") == 0, "using= goes before .using()"
    assert await query.using("other").count(client=database) == 0
    assert await query.update(name="o", using="other") == 8
    assert await query.delete(client=other) == 8
    assert await names("default") == ["d"]


async def test_an_instance_stays_with_the_database_it_came_from() -> None:
    await Author.objects.bulk_create([{"name": "a"}], using="other")
    await Author.objects.create(name="b")
    for row in (
        await Author.objects.using("other").get(),
        (await Author.objects.using("other"))[0],
        await Author.objects.using("other").first(),
        (await Author.objects.all(using="other"))[0],
        await Author.objects.get(name__in=["a", "c"], using="other"),
        (await Author.objects.using("other").update(email=None, returning=True))[0],
    ):
        assert row is not None
        row.name = "c"
        await row.save()
        await row.refresh()
        assert row.name == "c"
        assert await names("default") == ["b"]
    assert await names("other") == ["c"]
    moved = await Author.objects.using("other").get()
    await moved.save(using="default")
    assert await names("default") == ["c"]
    assert await moved.delete(using="other") == 1


async def test_the_database_of_the_model(other: AsyncDatabase) -> None:
    report = await Report.objects.create(name="r")
    assert await Report.objects.count() == 1
    assert (await execute_raw("SELECT name FROM conf_report", using="other")) == [{"name": "r"}]
    report.name = "s"
    await report.save()
    await report.refresh()
    assert await Report.objects.filter(name="s").update(name="t") == 1
    assert await Report.objects.using("other").count() == 1
    assert await report.delete() == 1
    document = describe([Report])
    assert document["tables"][0]["name"] == "conf_report"


async def test_a_transaction_belongs_to_one_database(other: AsyncDatabase) -> None:
    with pytest.raises(RuntimeError):
        async with atomic(using="other") as tx:
            await Author.objects.create(name="o", using="other")
            await Author.objects.create(name="client", client=other)
            await Author.objects.using(tx).create(name="tx")
            await Report.objects.create(name="r")
            await Author.objects.create(name="d")
            assert await names("other") == ["o", "client", "tx"]
            raise RuntimeError
    assert await names("other") == []
    assert await Report.objects.count() == 0
    assert await names("default") == ["d"]


async def test_wrong_arguments() -> None:
    with pytest.raises((KeyError, ManagerError), match="nowhere"):
        await Author.objects.count(using="nowhere")
    with pytest.raises((KeyError, ManagerError), match="nowhere"):
        await Author.objects.using("nowhere").all()
    for wrong in (5, object(), ["other"]):
        with pytest.raises(ManagerError, match="an alias, an AsyncDatabase or a transaction"):
            await Author.objects.count(using=wrong)  # type: ignore[arg-type]
        with pytest.raises(ManagerError, match="an alias, an AsyncDatabase or a transaction"):
            await Author.objects.count(client=wrong)  # type: ignore[arg-type]
        with pytest.raises(ManagerError, match="an alias, an AsyncDatabase or a transaction"):
            await Author.objects.using(wrong)  # type: ignore[arg-type]


async def test_fields_called_like_control_arguments(tables: Tables) -> None:
    await tables(Control)
    row = await Control.objects.create(using="u", client="c")
    assert (row.using, row.client) == ("u", "c")
    assert (await Control.objects.get(using="u")).id == row.id
    assert await Control.objects.filter(client="c").update(using="v") == 1
    assert (await Control.objects.get_or_none(using="u")) is None
    await Control.objects.using("default").create(using="w")
    assert await Control.objects.filter(using="w").count() == 1


async def test_relations_across_databases_are_refused() -> None:
    class Bridge(Model):
        id: int | None = Field(default=None, db_pk=True)
        report: Report | None = None

        class Meta:
            is_table = True
            table_name = "conf_bridge"

    with pytest.raises(FieldError, match="database"):
        describe([Bridge, Report])
