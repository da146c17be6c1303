"""Defining models: class Meta, names, the registry, forward references, class attributes."""

from __future__ import annotations

import gc
import subprocess
import sys
import textwrap
import weakref
from typing import Any, ClassVar, Generic, TypeVar

import pytest
from pydantic import BaseModel, ConfigDict, computed_field

import oxyde.models.registry as registry
from oxyde.exceptions import FieldError
from oxyde.models import (
    Check,
    Field,
    Index,
    Model,
    OxydeFieldInfo,
    Unique,
    iter_tables,
    register_table,
    registered_tables,
    unregister_table,
)


def table(name: str, annotations: dict[str, Any], **body: Any) -> Any:
    meta = {"is_table": True, "__module__": __name__, "__qualname__": f"{name}.Meta", **body.pop("meta", {})}
    namespace = {"__module__": __name__, "__qualname__": name, "__annotations__": annotations, **body}
    return type(Model)(name, (Model,), {**namespace, "Meta": type("Meta", (), meta)})


def test_a_class_without_meta_is_a_pydantic_model() -> None:
    class Plain(Model):
        model_config = ConfigDict(extra="allow")
        name: str

        @computed_field
        @property
        def upper(self) -> str:
            return self.name.upper()

    assert Plain(name="a", more=1).model_dump() == {"name": "a", "more": 1, "upper": "A"}  # type: ignore[call-arg]
    assert not Plain._is_table
    assert Plain not in iter_tables()
    with pytest.raises(TypeError, match="Plain is no table"):
        Plain.get_table_name()
    with pytest.raises(TypeError, match="Plain is no table"):
        Plain.objects
    with pytest.raises(TypeError, match="Plain is no table"):
        Plain.__oxyde__
    with pytest.raises(AttributeError):
        Plain.name


def test_meta() -> None:
    class Person(Model):
        id: int | None = Field(default=None, db_pk=True)
        name: str

        class Meta:
            is_table = True
            schema = "hr"
            comment = "people"
            indexes = [Index("name")]
            constraints = [Check("length(name) > 0"), Unique(["name"])]
            unique_together = [("id", "name")]
            ordering = ["-id"]
            database = "main"

    assert Person.get_table_name() == "person"
    meta = Person._db_meta
    assert (meta.table_name, meta.schema, meta.comment) == ("person", "hr", "people")
    assert meta.unique_together == [("id", "name")]
    assert (meta.pk_field, meta.pk_column) == ("id", "id")
    assert Person.__oxyde__.ordering == ("-id",)
    assert Person.__oxyde__.database == "main"


@pytest.mark.parametrize(
    ("meta", "message"),
    [
        ({"tablename": "x"}, "has no option 'tablename'; did you mean 'table_name'"),
        ({"is_table": 1}, "is_table is True or False"),
        ({"table_name": ""}, "table_name is a non-empty string"),
        ({"indexes": ["name"]}, "holds Index objects"),
        ({"constraints": [Index("a")]}, "holds Check or Unique objects"),
        ({"unique_together": [1]}, "."),
    ],
)
def test_wrong_meta(meta: dict[str, Any], message: str) -> None:
    before = registered_tables()
    with pytest.raises(TypeError, match=message):
        table("Wrong", {"name": str}, meta=meta)
    assert registered_tables() == before


def test_meta_is_not_inherited() -> None:
    class Base(Model):
        id: int | None = Field(default=None, db_pk=True)

        class Meta:
            is_table = True

    class Child(Base):
        extra: int = 0

    assert not Child._is_table
    with pytest.raises(TypeError, match="Child is no table"):
        Child.objects

    class Other(Base):
        class Meta(Base.Meta):
            table_name = "other"

    assert Other.get_table_name() == "other"
    assert Other.objects.model_class is Other
    assert Base.objects.model_class is Base


@pytest.mark.parametrize("name", ["copy", "json", "schema", "save", "delete", "objects", "load", "get_table_name"])
@pytest.mark.filterwarnings("ignore:Field name")
def test_field_names_of_model_attributes_are_refused(name: str) -> None:
    with pytest.raises((FieldError, NameError), match=name):
        table("Bad", {"id": int, name: str})


def test_other_refused_names() -> None:
    with pytest.raises(FieldError, match="double underscore"):
        table("Bad", {"a__b": int})
    with pytest.raises(FieldError, match="'pk' always means"):
        table("Bad", {"pk": int})
    with pytest.raises(FieldError, match="have the same column 'x'"):
        table("Bad", {"a": int, "b": int}, a=Field(db_column="x"), b=Field(db_column="x"))
    assert "Bad" not in str(registered_tables())


def test_redefinition_replaces_and_frees() -> None:
    def define() -> Any:
        class Again(Model):
            id: int | None = Field(default=None, db_pk=True)
            name: str = "x"

            class Meta:
                is_table = True

        return Again

    first = define()
    assert first.name is not None
    first(name="a")
    first.__oxyde__.plan_loader()
    second = define()
    assert [cls for cls in iter_tables() if cls.__name__ == "Again"] == [second]
    gone = weakref.ref(first)
    del first
    gc.collect()
    assert gone() is None


def test_two_classes_with_one_table_name() -> None:
    one = table("One", {"id": int}, meta={"table_name": "same"})
    with pytest.raises(ValueError, match="One are both called 'same'"):
        table("Two", {"id": int}, meta={"table_name": "same"})
    table("Three", {"id": int}, meta={"table_name": "same", "schema": "other"})
    unregister_table(one)
    table("Two", {"id": int}, meta={"table_name": "same"})
    with pytest.raises(KeyError):
        unregister_table(one)
    with pytest.raises(ValueError, match="both called"):
        register_table(one)


def test_forward_references_resolve_when_the_target_appears() -> None:
    class Book(Model):
        id: int | None = Field(default=None, db_pk=True)
        writer: Writer
        tags: list[Label] = Field(db_m2m=True, db_through="BookLabel")

        class Meta:
            is_table = True

    with pytest.raises(RuntimeError, match=r"Book \(missing: Writer\)"):
        registry.assert_no_pending_models()
    with pytest.raises(TypeError, match="not complete"):
        Book.__oxyde__

    class Writer(Model):
        id: int | None = Field(default=None, db_pk=True)
        books: list[Book] = Field(db_reverse_fk="writer")
        mentor: Writer | None = None

        class Meta:
            is_table = True

    with pytest.raises(RuntimeError, match=r"Book \(missing: Label\)"):
        registry.assert_no_pending_models()

    class Label(Model):
        id: int | None = Field(default=None, db_pk=True)

        class Meta:
            is_table = True

    registry.assert_no_pending_models()
    assert [column.name for column in Book.__oxyde__.columns] == ["id", "writer_id"]
    assert [column.name for column in Writer.__oxyde__.columns] == ["id", "mentor_id"]
    assert Book(writer=Writer(id=2)).writer_id == 2
    relation = Book.__oxyde__.relations["tags"]
    assert (relation.kind, relation.target, relation.through) == ("m2m", Label, "BookLabel")


def test_order_of_resolution_does_not_matter() -> None:
    code = textwrap.dedent(
        """
        import json, sys
        from oxyde.models import Field, Model
        from oxyde.schema import describe
        from oxyde.models import iter_tables
        DEFS = {
            "A": 'class A(Model):\\n id: int | None = Field(default=None, db_pk=True)\\n b: "B | None" = None\\n'
                 ' class Meta: is_table = True',
            "B": 'class B(Model):\\n id: int | None = Field(default=None, db_pk=True)\\n c: "C"\\n'
                 ' class Meta: is_table = True',
            "C": 'class C(Model):\\n id: int | None = Field(default=None, db_pk=True)\\n a: "A"\\n'
                 ' others: list["B"] = Field(db_reverse_fk="c")\\n class Meta: is_table = True',
        }
        for name in sys.argv[1]:
            exec(DEFS[name])
        print(json.dumps([describe(iter_tables()), A.model_json_schema(), list(A.model_fields)]))
        """
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", code, order],
            capture_output=True,
            text=True,
            check=True,
            env={"PYTHONPATH": ":".join(sys.path), "PYTHONHASHSEED": seed},
        ).stdout
        for order, seed in [("ABC", "1"), ("CBA", "2"), ("BCA", "3")]
    }
    assert len(found) == 1


def test_unknown_types_are_refused_with_the_way_out() -> None:
    class Thing:
        pass

    with pytest.raises(FieldError, match=r"Bad\.thing: Thing has no column type; give db_converter"):
        table("Bad", {"id": int, "thing": Thing | None})
    with pytest.raises(FieldError, match=r"Bad\.thing: complex has no column type"):
        table("Bad", {"id": int, "thing": complex})
    assert "Bad" not in str(registered_tables())


def test_class_attributes_are_expressions() -> None:
    class Animal(Model):
        id: int | None = Field(default=None, db_pk=True)
        age: int
        friend: Animal | None = None

        class Meta:
            is_table = True

    assert repr(Animal.age) == "Animal.age"
    assert repr(Animal.friend_id) == "Animal.friend_id"  # type: ignore[attr-defined]
    assert repr(Animal.friend) == "Animal.friend"
    with pytest.raises(TypeError):
        bool(Animal.age >= 3)
    with pytest.raises(AttributeError):
        Animal.agee  # type: ignore[attr-defined]

    class Dog(Animal):
        age: int = 3

        class Meta:
            is_table = True

    assert Dog().age == 3
    assert repr(Dog.age) == "Dog.age"


def test_custom_managers() -> None:
    from oxyde.queries import QueryManager

    class NameManager(QueryManager["Named"]):
        def greet(self) -> str:
            return f"hello {self.model_class.__name__}"

    class Named(Model):
        id: int | None = Field(default=None, db_pk=True)
        objects: ClassVar[NameManager] = NameManager()

        class Meta:
            is_table = True

    class SubNamed(Named):
        class Meta:
            is_table = True

    assert Named.objects.greet() == "hello Named"
    assert SubNamed.objects.greet() == "hello SubNamed"
    assert type(Named.all_objects) is QueryManager
    assert Named.objects is Named.objects


def test_generic_bases_pass_on_fields() -> None:
    T = TypeVar("T")

    class Box(Model, Generic[T]):
        id: int | None = Field(default=None, db_pk=True)
        value: T

    class IntBox(Box[int]):
        class Meta:
            is_table = True

    assert [column.type for column in IntBox.__oxyde__.columns] == ["big_integer", "big_integer"]


def test_field_parameters() -> None:
    field = Field(db_pk=True, db_index=True, gt=3, description="d")
    assert isinstance(field, OxydeFieldInfo)
    assert field.db_pk is True
    assert field.db_on_delete == "RESTRICT"
    assert field.description == "d"
    with pytest.raises(TypeError, match=r"no parameter 'db_indx'; did you mean 'db_index'"):
        Field(db_indx=True)  # type: ignore[call-overload]
    with pytest.raises(TypeError, match=r"no parameter 'max_lenght'; did you mean 'max_length'"):
        Field(max_lenght=3)  # type: ignore[call-overload]
    with pytest.raises(ValueError, match="db_on_delete is one of"):
        Field(db_on_delete="DROP")  # type: ignore[call-overload]
    with pytest.raises(TypeError, match="db_m2m needs db_through"):
        Field(db_m2m=True)  # type: ignore[call-overload]
    with pytest.raises(TypeError, match="has no default"):
        Field(default=[], db_reverse_fk="x")  # type: ignore[call-overload]
    with pytest.raises(TypeError, match="db_converter takes a pair"):
        Field(db_converter=str)  # type: ignore[call-overload]


def test_options_survive_annotated_inheritance_and_generics() -> None:
    from typing import Annotated

    class Base(Model):
        code: Annotated[str, Field(db_column="c", db_index=True)] = Field(default="x", db_unique=True)

    class Real(Base):
        id: int | None = Field(default=None, db_pk=True)

        class Meta:
            is_table = True

    options = Real.__oxyde__.column("code").options
    assert (options.column, options.index, options.unique) == ("c", True, True)


def test_did_you_mean() -> None:
    person = table("Person", {"id": int, "surname": str}, id=Field(db_pk=True))
    info = person.__oxyde__
    assert info.column("pk").name == "id"
    with pytest.raises(FieldError, match="Person has no field 'surnam'; did you mean 'surname'"):
        info.column("surnam")


def test_pydantic_models_may_nest_tables_and_pending_ones() -> None:
    class Owner(Model):
        id: int | None = Field(default=None, db_pk=True)
        pets: list[Pet] = Field(db_reverse_fk="owner")

        class Meta:
            is_table = True

    class Wrapper(BaseModel):
        owner: Owner

    class Pet(Model):
        id: int | None = Field(default=None, db_pk=True)
        owner: Owner

        class Meta:
            is_table = True

    Wrapper.model_rebuild()
    assert Wrapper.model_validate({"owner": {"id": 1}}).model_dump() == {"owner": {"id": 1}}


def test_db_meta_has_both_entries_of_a_foreign_key() -> None:
    class City(Model):
        id: int | None = Field(default=None, db_pk=True)

        class Meta:
            is_table = True

    class House(Model):
        id: int | None = Field(default=None, db_pk=True)
        city: City | None = Field(default=None, db_column="town", db_on_delete="CASCADE", db_index=True)

        class Meta:
            is_table = True

    fields = House._db_meta.field_metadata
    assert fields["city"].python_type is City
    assert fields["city"].db_column == fields["city_id"].db_column == "town"
    assert fields["city_id"].foreign_key is None
    assert fields["city_id"].python_type is int
    key = fields["city"].foreign_key
    assert key is not None
    assert key.target.endswith("City")
    assert (key.column_name, key.target_field, key.nullable, key.on_delete) == ("town", "id", True, "CASCADE")
    assert House._db_meta.reverse_column_map == {"id": "id", "town": "city_id"}


def test_deprecated_name() -> None:
    import oxyde.models

    with pytest.warns(DeprecationWarning, match="now called Model"):
        assert oxyde.models.OxydeModel is Model


def test_expressions_as_defaults() -> None:
    from oxyde.queries import sql

    class Stamped(Model):
        id: int | None = Field(default=None, db_pk=True)
        at: int = Field(default=sql("strftime('%s')"))

        class Meta:
            is_table = True

    assert Stamped.__oxyde__.column("at").has_db_default
    assert "at" not in Stamped().model_dump()
    with pytest.raises(TypeError, match="leave db_default out"):
        Field(default=sql("1"), db_default="2")


def test_long_names_are_shortened() -> None:
    long = table("T" * 80, {"f" * 80: int})
    assert len(long.get_table_name()) == 63
    assert len(long.__oxyde__.columns[0].column) == 63
