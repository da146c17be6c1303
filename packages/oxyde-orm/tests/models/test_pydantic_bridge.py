"""What Oxyde takes for granted about Pydantic's insides.

When a test here fails, Pydantic has changed: read `oxyde.models.pydantic_bridge`, adapt it, and raise TESTED_VERSION.
"""

from __future__ import annotations

from typing import Any

import pydantic
from pydantic import BaseModel, model_validator
from pydantic._internal._model_construction import ModelMetaclass

from oxyde.models import Field, Model
from oxyde.models.pydantic_bridge import TESTED_VERSION, called_by_pydantic, definitions_of, fields_node, model_node


def test_version() -> None:
    assert pydantic.VERSION.startswith(f"{TESTED_VERSION}."), (
        f"tested with Pydantic {TESTED_VERSION}, not {pydantic.VERSION}"
    )


def test_metaclass_and_slots() -> None:
    assert type(BaseModel) is ModelMetaclass
    assert set(BaseModel.__slots__) == {
        "__dict__",
        "__pydantic_fields_set__",
        "__pydantic_extra__",
        "__pydantic_private__",
    }


def test_shape_of_core_schemas() -> None:
    class Plain(BaseModel):
        a: int

        @model_validator(mode="after")
        def after(self) -> Any:
            return self

        @model_validator(mode="before")
        @classmethod
        def before(cls, data: Any) -> Any:
            return data

    root, definitions = definitions_of(Plain.__pydantic_core_schema__)
    assert definitions == []
    model = model_node(root, Plain)
    assert model is not None
    found = fields_node(model)
    assert found is not None
    assert found[1]["fields"]["a"]["schema"] == {"type": "int"}


def test_assignment_handlers_are_asked_first() -> None:
    class Plain(BaseModel):
        a: int

    seen = []
    Plain.__pydantic_setattr_handlers__["a"] = lambda model, name, value: seen.append((name, value))
    Plain(a=1).a = 5
    assert seen == [("a", 5)]


def test_callers_are_known_by_their_module() -> None:
    assert not called_by_pydantic(0)

    class Meta(ModelMetaclass):
        def __getattr__(cls, name: str) -> Any:
            if name == "a":
                hidden.append(called_by_pydantic(1))
            raise AttributeError(name)

    hidden: list[bool] = []

    class Base(BaseModel, metaclass=Meta):
        a: int

    class Child(Base):
        a: int = 3

    assert hidden
    assert all(hidden)
    getattr(Child, "a", None)
    assert hidden[-1] is False


def test_unset_fields_set_is_asked_for_by_attribute() -> None:
    class Row(Model):
        id: int | None = Field(default=None, db_pk=True)

    row = Row.__new__(Row)
    object.__setattr__(row, "__dict__", {"id": 1})
    assert Row.__pydantic_serializer__.to_python(row, exclude_unset=True) == {"id": 1}
    assert Row.__pydantic_validator__.validate_assignment(row, "id", 2).model_fields_set == {"id"}
