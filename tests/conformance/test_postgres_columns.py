"""Tables that another program made: other column types than ours under the same fields, read and written."""

from __future__ import annotations

import enum
import ipaddress
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from pydantic import AwareDatetime, IPvAnyAddress

from oxyde import (
    AsyncDatabase,
    DataError,
    Field,
    Model,
    PoolSettings,
    UniqueViolationError,
    create_tables,
    db,
    drop_tables,
    execute_raw,
)

from .conftest import Tables
from .existing import check_read
from .kinds import Kind, same
from .lanes import databases, postgres

pytestmark = postgres

UTC_NOON = datetime(2024, 5, 6, 12, 0, tzinfo=UTC)
TOKEN = UUID("c9bf9e57-1685-4c89-bafb-ff5af830be8a")

# Field, column, what is stored (as SQL), what is read.
READS: list[tuple[Any, str, str, Any]] = [
    (int, "SMALLINT", "-5", -5),
    (int, "INTEGER", "2147483647", 2**31 - 1),
    (int, "NUMERIC", "5", 5),
    (int, "NUMERIC(20, 2)", "5", 5),
    (int, "OID", "4294967295", 2**32 - 1),
    (float, "REAL", "1.5", 1.5),
    (float, "NUMERIC(10, 2)", "1.25", 1.25),
    (float, "INTEGER", "3", 3.0),
    (Decimal, "INTEGER", "15", Decimal(15)),
    (Decimal, "NUMERIC(10, 4)", "1.5", Decimal("1.5")),
    (str, "CHAR(5)", "'abc'", "abc  "),
    (str, "TEXT", "'ü'", "ü"),
    (str, "NAME", "'pg'", "pg"),
    (str, '"char"', "'x'", "x"),
    (datetime, "TIMESTAMPTZ", "'2024-05-06 14:00:00+02'", datetime(2024, 5, 6, 12, 0)),
    (datetime, "TIMESTAMP(0)", "'2024-05-06 12:00:00.4'", datetime(2024, 5, 6, 12, 0)),
    (datetime, "DATE", "'2024-05-06'", datetime(2024, 5, 6)),
    (AwareDatetime, "TIMESTAMP", "'2024-05-06 12:00:00'", UTC_NOON),
    (date, "DATE", "'2024-05-06'", date(2024, 5, 6)),
    (time, "TIME(0)", "'07:08:09.4'", time(7, 8, 9)),
    (timedelta, "INTERVAL", "'1 day 00:00:01.5'", timedelta(days=1, seconds=1, milliseconds=500)),
    (UUID, "TEXT", "'C9BF9E5716854C89BAFBFF5AF830BE8A'", TOKEN),
    (dict[str, Any], "JSON", "'{\"a\": [1, null]}'", {"a": [1, None]}),
    (dict[str, Any], "TEXT", "'{\"a\": 1}'", {"a": 1}),
    (list[int], "INTEGER[]", "'{1,2}'", [1, 2]),
    (list[int], "SMALLINT[]", "'{}'", []),
    (list[str], "TEXT[]", "'{\"a,b\",ü}'", ["a,b", "ü"]),
    (ipaddress.IPv4Address, "INET", "'1.2.3.4'", ipaddress.IPv4Address("1.2.3.4")),
    (bool, "BOOLEAN", "'yes'", True),
]


@pytest.fixture
async def made(database: AsyncDatabase) -> Any:
    """Makes a table of the given column type for a field's type; the model knows nothing of the column's."""

    async def made(annotation: Any, column: str) -> Any:
        model: Any = Kind("foreign", annotation, (None,)).model()
        table = model.get_table_name()
        await execute_raw(f"CREATE TABLE {table} (id BIGSERIAL PRIMARY KEY, value {column}, maybe {column})")
        return model

    return made


@pytest.mark.parametrize(("annotation", "column", "stored", "value"), READS, ids=[f"{r[1]}-{r[2]}" for r in READS])
async def test_reads(made: Any, annotation: Any, column: str, stored: str, value: Any) -> None:
    await check_read(await made(annotation, column), stored, value)


WRITES: list[tuple[Any, str, list[Any]]] = [
    (int, "SMALLINT", [0, -(2**15), 2**15 - 1]),
    (int, "INTEGER", [0, -(2**31), 2**31 - 1]),
    (int, "NUMERIC", [5, 2**62]),
    (float, "REAL", [0.5, -1.25]),
    (str, "CHAR(3)", ["abc"]),
    (str, "TEXT", ["", "ü" * 300]),
    (dict[str, Any], "JSON", [{"a": [1, None]}]),
    (list[int], "INTEGER[]", [[], [1, -2]]),
    (list[str], "VARCHAR(20)[]", [["a", 'b"c', "NULL"]]),
    (datetime, "TIMESTAMP", [datetime(2024, 5, 6, 7, 8, 9, 10)]),
]


@pytest.mark.parametrize(("annotation", "column", "values"), WRITES, ids=[w[1] for w in WRITES])
async def test_writes(made: Any, annotation: Any, column: str, values: list[Any]) -> None:
    model = await made(annotation, column)
    for value in values:
        row = await model.objects.create(value=value)
        assert same((await model.objects.get(id=row.id)).value, value)
        assert await model.objects.filter(id=row.id).update(maybe=value) == 1
    rows = await model.objects.bulk_create([{"value": value} for value in values])
    assert [row.value for row in rows] == values
    # JSON (not JSONB) has no equality.
    if column != "JSON":
        assert await model.objects.filter(value=values[0]).count() == 2


@pytest.mark.parametrize(("annotation", "column", "value"), [(int, "SMALLINT", 2**15), (int, "INTEGER", -(2**31) - 1)])
async def test_what_the_column_cannot_hold(made: Any, annotation: Any, column: str, value: int) -> None:
    model = await made(annotation, column)
    with pytest.raises(DataError):
        await model.objects.create(value=value)
    with pytest.raises(DataError):
        await model.objects.bulk_create([{"value": 1}, {"value": value}])
    assert await model.objects.count() == 0


class Planet(Model):
    """Columns whose types the model names."""

    id: int | None = Field(default=None, db_pk=True, db_type="SERIAL")
    name: str = Field(db_type="VARCHAR(20)")
    size: int = Field(default=0, db_type="SMALLINT")
    weight: float = Field(default=0.0, db_type="REAL")
    address: IPvAnyAddress | None = Field(default=None, db_type="INET")
    network: ipaddress.IPv4Network | None = Field(default=None, db_type="CIDR")
    took: timedelta | None = Field(default=None, db_type="INTERVAL")
    moment: datetime | None = Field(default=None, db_type="TIMESTAMP(3)")

    class Meta:
        is_table = True
        table_name = "conf_planet"


async def test_columns_with_a_type_of_their_own(tables: Tables) -> None:
    await tables(Planet)
    values = {
        "name": "Ärth",
        "size": 7,
        "weight": 0.5,
        "address": ipaddress.IPv6Address("2001:db8::1"),
        "network": ipaddress.IPv4Network("10.0.0.0/8"),
        "took": timedelta(days=-3, microseconds=1),
        "moment": datetime(2024, 1, 2, 3, 4, 5, 678000),
    }
    row = await Planet.objects.create(**values)
    read = await Planet.objects.get(id=row.id)
    for name, value in values.items():
        assert same(getattr(read, name), value), name
        assert await Planet.objects.filter(**{name: value}).count() == 1, name
    assert await Planet.objects.filter(id=row.id).update(**values) == 1
    (bulk,) = await Planet.objects.bulk_create([values])
    assert (await Planet.objects.get(id=bulk.id)).address == values["address"]


class Size(enum.Enum):
    SMALL = "s"
    LARGE = "l"


class Shirt(Model):
    id: int | None = Field(default=None, db_pk=True)
    size: Size
    others: list[Size] = []

    class Meta:
        is_table = True
        table_name = "conf_shirt"


class Trousers(Model):
    id: int | None = Field(default=None, db_pk=True)
    size: Size = Size.SMALL

    class Meta:
        is_table = True
        table_name = "conf_trousers"


async def types() -> list[str]:
    rows = await execute_raw("SELECT typname::text AS name FROM pg_type WHERE typtype = 'e' ORDER BY 1")
    return [row["name"] for row in rows]


async def test_enums_come_and_go_with_their_tables(database: AsyncDatabase) -> None:
    await create_tables(models=[Shirt, Trousers])
    assert await types() == ["size_enum"]
    await Shirt.objects.create(size=Size.LARGE, others=[Size.SMALL, Size.LARGE])
    row = await Shirt.objects.get(size__in=[Size.LARGE])
    assert (row.size, row.others) == (Size.LARGE, [Size.SMALL, Size.LARGE])
    await create_tables(models=[Shirt, Trousers], if_not_exists=True)
    await drop_tables(models=[Shirt])
    # The other table still needs it.
    assert await types() == ["size_enum"]
    assert (await Trousers.objects.create()).size is Size.SMALL
    await create_tables(models=[Shirt, Trousers], if_not_exists=True)
    await Shirt.objects.create(size=Size.SMALL)
    await drop_tables(models=[Shirt, Trousers])
    assert await types() == []


class Tenant(Model):
    id: int | None = Field(default=None, db_pk=True)
    name: str = Field(db_unique=True)

    class Meta:
        is_table = True
        table_name = "conf_tenant"
        schema = "of_others"


class Local(Model):
    id: int | None = Field(default=None, db_pk=True)
    tenant: Tenant | None = None

    class Meta:
        is_table = True
        table_name = "conf_tenant"


async def test_a_schema_of_its_own(database: AsyncDatabase) -> None:
    """The same name in two schemas is two tables."""
    await execute_raw("CREATE SCHEMA of_others")
    await create_tables(models=[Tenant])
    await create_tables(models=[Tenant, Local], if_not_exists=True)
    made = await Tenant.objects.create(name="a")
    await Local.objects.bulk_create([{"tenant_id": made.id}, {}])
    assert await Tenant.objects.filter(name="a").update(name="b") == 1
    assert (await Local.objects.count(), await Tenant.objects.count()) == (2, 1)
    with pytest.raises(UniqueViolationError) as caught:
        await Tenant.objects.create(name="b")
    assert (caught.value.table, caught.value.column) == ("conf_tenant", "name")
    await drop_tables(models=[Tenant, Local], if_exists=False)
    await drop_tables(models=[Tenant, Local])
    assert await execute_raw("SELECT FROM pg_class WHERE relname = 'conf_tenant'") == []


async def test_the_first_schema_of_the_search_path_is_where_tables_are_made(database: AsyncDatabase) -> None:
    await execute_raw("CREATE SCHEMA tenant_a")
    await create_tables(models=[Trousers])
    settings = PoolSettings(on_connect=["SET search_path TO tenant_a, public"])
    async with db.connect(databases.database_url("default"), name="tenant", settings=settings) as tenant:
        await create_tables(tenant, models=[Trousers], if_not_exists=True)
        await Trousers.objects.create(using="tenant")
        assert await Trousers.objects.count(using="tenant") == 1
        # What raw SQL did to a connection is gone for the next one, what on_connect did is not.
        await execute_raw("SET search_path TO public", using="tenant")
        assert await Trousers.objects.count(using="tenant") == 1
        await drop_tables(tenant, models=[Trousers])
    assert await Trousers.objects.count() == 0
