"""The schema document: what `describe` says about tables."""

from __future__ import annotations

import enum
import json
from datetime import date
from decimal import Decimal
from typing import Any, Literal
from uuid import UUID

import pytest
from pydantic import SecretStr

from oxyde.exceptions import FieldError
from oxyde.models import Check, Field, Index, Model, Unique
from oxyde.models.keys import unique_keys
from oxyde.queries import F
from oxyde.schema import describe


class Kind(enum.Enum):
    A = "a"
    B = "b"


class Team(Model):
    id: int | None = Field(default=None, db_pk=True)
    name: str = Field(db_unique=True, max_length=50, db_column="label")

    class Meta:
        is_table = True
        schema = "org"


class Member(Model):
    id: int | None = Field(default=None, db_pk=True)
    team: Team | None = Field(default=None, db_on_delete="SET NULL", db_index=True, db_deferrable=True)
    mail: str = Field(db_index=True, db_comment="c", db_collation="C")
    kind: Kind = Kind.A
    level: Literal["low", "high"] = "low"
    price: Decimal = Field(default=Decimal("1.50"), max_digits=6, decimal_places=2)
    age: int = Field(default=3, ge=0)
    made: date = Field(db_default="CURRENT_DATE")
    twice: int = Field(db_generated="age * 2", db_stored=False)

    class Meta:
        is_table = True
        comment = "people"
        indexes = [Index(["team", "mail"], unique=True, method="btree", include=["age"], where="age > 3")]
        constraints = [Check("age < 200"), Check("age > -1", name="positive"), Unique(["mail"], nulls_distinct=False)]
        unique_together = [("kind", "level")]


def tables(*models: Any) -> dict[str, Any]:
    document = describe(models)
    json.dumps(document)
    return {item["name"]: item for item in document["tables"]}


def fields(model: Any) -> dict[str, Any]:
    return {item["field"]: item for item in tables(model)[model.get_table_name()]["fields"]}


def test_columns() -> None:
    found = fields(Member)
    assert list(found) == ["id", "team_id", "mail", "kind", "level", "price", "age", "made", "twice"]
    assert found["id"]["auto_increment"] is True
    assert found["id"]["primary_key"] is True
    assert found["id"]["column_type"] == {"kind": "big_integer"}
    assert found["team_id"]["nullable"] is True
    assert (found["mail"]["comment"], found["mail"]["collation"]) == ("c", "C")
    assert found["kind"]["column_type"] == {"kind": "enum", "name": "kind_enum", "values": ["a", "b"]}
    assert found["price"]["column_type"] == {"kind": "decimal", "precision": 6, "scale": 2}
    assert found["made"]["default"] == "CURRENT_DATE"
    assert found["twice"]["generated"] == {"expression": "age * 2", "stored": False}
    assert [found[name].get("default_value") for name in found] == [None, None, None, "a", "low", "1.50", 3, None, None]
    assert fields(Team)["name"]["name"] == "label"
    assert fields(Team)["name"]["unique"] is True


def test_table_items() -> None:
    document = describe([Member, Team])
    assert [table["name"] for table in document["tables"]] == ["member", "team"]
    assert document["enums"] == [{"name": "kind_enum", "values": ["a", "b"]}]
    table = document["tables"][0]
    assert table["comment"] == "people"
    assert table["primary_key"] == ["id"]
    assert [(item["name"], item["fields"], item["unique"]) for item in table["indexes"]] == [
        ("member_team_id_idx", ["team_id"], False),
        ("member_mail_idx", ["mail"], False),
        ("member_team_id_mail_idx", ["team_id", "mail"], True),
    ]
    assert table["indexes"][2]["where"] == "age > 3"
    assert table["indexes"][2]["include"] == ["age"]
    assert table["foreign_keys"] == [
        {
            "name": "member_team_id_fkey",
            "columns": ["team_id"],
            "ref_table": "team",
            "ref_schema": "org",
            "ref_columns": ["id"],
            "on_delete": "SET NULL",
            "on_update": "CASCADE",
            "deferrable": True,
        }
    ]
    assert [item["name"] for item in table["checks"]] == ["chk_member_level", "chk_member_1", "positive"]
    assert table["checks"][0]["values"] == [
        {"type": ["string", 255], "value": "low"},
        {"type": ["string", 255], "value": "high"},
    ]
    assert table["checks"][1]["expression"] == "age < 200"
    assert [(item["name"], item["fields"]) for item in table["uniques"]] == [
        ("member_kind_level_key", ["kind", "level"]),
        ("member_mail_key", ["mail"]),
    ]


def test_predicates_and_expressions() -> None:
    from oxyde.queries import F, Q

    class Thing(Model):
        id: int | None = Field(default=None, db_pk=True)
        size: int = Field(db_default=F("id"))
        price: Decimal = Decimal(0)

        class Meta:
            is_table = True
            constraints = [Check(Q(size__gte=18) & Q(price__lt="2.50"))]
            indexes = [Index([F("size") + 1], name="i"), Index("price", where=Q(size__gt=1))]

    table = tables(Thing)["thing"]
    assert table["checks"] == [
        {
            "name": "chk_thing_1",
            "predicate": [
                "and",
                ["cmp", "gte", ["col", "size"], ["param", "big_integer"]],
                ["cmp", "lt", ["col", "price"], ["param", ["decimal", None, None]]],
            ],
            "values": [
                {"type": "big_integer", "value": 18},
                {"type": ["decimal", None, None], "value": "2.50"},
            ],
        }
    ]
    assert table["indexes"][0]["fields"][0]["expression"]["predicate"][:2] == ["arith", "add"]
    assert table["indexes"][1]["where"]["values"] == [{"type": "big_integer", "value": 1}]
    assert table["fields"][1]["default"] == {"predicate": ["col", "id"], "values": []}


def test_defaults_that_a_database_cannot_hold_stay_in_python() -> None:
    class Odd(Model):
        id: int | None = Field(default=None, db_pk=True)
        big: int = 2**70
        nul: str = "a\0"
        long: str = Field(default="x" * 300)
        nan: float = float("nan")
        fine: float = 0.1
        wrong: int = Field(default="3")  # type: ignore[assignment]
        precise: Decimal = Field(default=Decimal("1.005"), max_digits=5, decimal_places=2)
        tags: list[int] = Field(default=[1])
        secret: SecretStr = SecretStr("s")
        key: UUID = UUID(int=1)
        quoted: str = "it's \\ here"
        flag: bool = False

        class Meta:
            is_table = True

    assert {name: item["default_value"] for name, item in fields(Odd).items() if "default_value" in item} == {
        "fine": 0.1,
        "key": "00000000-0000-0000-0000-000000000001",
        "quoted": "it's \\ here",
        "flag": False,
    }


def define(**meta: Any) -> Any:
    body = {"is_table": True, "__module__": __name__, "__qualname__": "Wrong.Meta", **meta}
    namespace = {"__module__": __name__, "__qualname__": "Wrong", "__annotations__": {"id": int, "name": str}}
    return type(Model)("Wrong", (Model,), {**namespace, "Meta": type("Meta", (), body)})


def test_mistakes() -> None:
    with pytest.raises(FieldError, match=r"Wrong has no field 'nam'; did you mean 'name'"):
        describe([define(indexes=[Index("nam")])])
    with pytest.raises(ValueError, match="both called 'wrong_name_idx'"):
        describe([define(indexes=[Index("name"), Index("name", unique=True)])])
    with pytest.raises(TypeError, match="SQL text or an Oxyde expression"):
        describe([define(constraints=[Check(3)])])
    with pytest.raises(TypeError, match="no table"):

        class Plain(Model):
            id: int

        describe([Plain])


def test_two_enums_with_one_name() -> None:
    first, second = enum.Enum("Kind", {"A": "x"}), Kind  # noqa: F841

    class Other(Model):
        id: int | None = Field(default=None, db_pk=True)
        kind: first  # type: ignore[valid-type]

        class Meta:
            is_table = True

    with pytest.raises(ValueError, match="both called 'kind_enum'"):
        describe([Member, Team, Other])


def test_names_are_short_enough_and_stable() -> None:
    from oxyde.models.naming import shorten

    long = "a" * 70
    assert shorten(long) == shorten(long)
    assert len(shorten(long)) == 63
    assert shorten(long) != shorten(long + "b")
    assert len(shorten("é" * 60).encode()) <= 63
    assert shorten("x" * 63) == "x" * 63


class Keyed(Model):
    id: int | None = Field(default=None, db_pk=True)
    team: Team | None = None
    mail: str = Field(db_unique=True, db_column="email")
    kind: str = ""
    level: int = 0

    class Meta:
        is_table = True
        unique_together = [("kind", "level")]
        constraints = [Unique(["team"], name="one_team"), Unique(["mail", "kind"], where="level > 3")]
        indexes = [Index(["level"], unique=True), Index([F("level") + 1], unique=True, name="next"), Index(["kind"])]


def test_unique_keys_are_those_of_all_rows() -> None:
    """What the core is told, so that MySQL's ON DUPLICATE KEY is only used where one key can be meant."""
    assert unique_keys(Keyed.__oxyde__) == (
        ("email", ("mail",)),
        ("keyed_kind_level_key", ("kind", "level")),
        ("one_team", ("team_id",)),
        ("keyed_level_idx", ("level",)),
        ("next", ()),
    )
    assert unique_keys(Team.__oxyde__) == (("label", ("name",)),)
