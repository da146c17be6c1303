"""Every place where Oxyde relies on how Pydantic is built inside, and not on what it documents.

What is used, and what for:

* the metaclass (`ModelMetaclass`): class attributes as column expressions, registration;
* `cls.__pydantic_fields__`: derived foreign key fields are inserted before the schema is generated;
* the shape of a model's core schema, `[function-*] → model → [function-*] → model-fields`: one function is put around
  `model-fields`, and the validation of stored rows is derived from the same schema;
* `cls.__pydantic_setattr_handlers__`: a memo of how each attribute is assigned; filling it in advance couples a
  relation with its column and leaves every other assignment as it was;
* `SchemaValidator(…, _use_prebuilt=False)`: else the finished validator of a class takes the place of a changed schema;
* module names of callers: class attributes are hidden while Pydantic itself looks for them.

A new Pydantic version is checked by `tests/models/test_pydantic_bridge.py`, which names the tested version.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any, Final, cast

from pydantic import BaseModel
from pydantic._internal._config import ConfigWrapper
from pydantic._internal._fields import update_field_from_config
from pydantic._internal._model_construction import ModelMetaclass
from pydantic.errors import PydanticUndefinedAnnotation
from pydantic.fields import FieldInfo
from pydantic_core import CoreSchema, SchemaValidator

__all__ = [
    "TESTED_VERSION",
    "ModelMetaclass",
    "apply_config",
    "build_validator",
    "called_by_pydantic",
    "definitions_of",
    "fields_are_complete",
    "fields_node",
    "is_complete",
    "model_node",
    "own_fields",
    "rebuild",
    "replace_fields",
    "set_assignment",
    "undefined",
]

TESTED_VERSION: Final = "2.14"
"""The Pydantic minor version whose internals this module knows."""

SchemaNode = dict[str, Any]
"""A core schema, seen as the plain dict that it is."""

_FUNCTIONS: Final = frozenset({"function-before", "function-after", "function-wrap"})


def called_by_pydantic(depth: int) -> bool:
    """Whether the frame `depth` levels above the caller of this function belongs to Pydantic.

    While it collects fields Pydantic asks classes for attributes of the same names, to find defaults and shadowed
    methods; a column expression must not be taken for one.
    """
    name = sys._getframe(depth + 1).f_globals.get("__name__", "")
    return isinstance(name, str) and name.startswith("pydantic.")


def own_fields(cls: type[BaseModel]) -> dict[str, FieldInfo]:
    """The fields that Pydantic collected for exactly this class; empty while it has not."""
    return cast("dict[str, FieldInfo]", cls.__dict__.get("__pydantic_fields__") or {})


def replace_fields(cls: type[BaseModel], fields: dict[str, FieldInfo]) -> None:
    """Install another dict of fields; only of use before the schema is generated."""
    cls.__pydantic_fields__ = fields


def fields_are_complete(cls: type[BaseModel]) -> bool:
    """Whether all annotations of the class could be evaluated."""
    return cls.__pydantic_fields_complete__


def is_complete(cls: type[BaseModel]) -> bool:
    """Whether the class has its validator."""
    return cast(bool, cls.__dict__.get("__pydantic_complete__", False))


def undefined(cls: type[BaseModel]) -> PydanticUndefinedAnnotation:
    """The error that makes Pydantic postpone whoever needs the schema of this unfinished class."""
    return PydanticUndefinedAnnotation(name=cls.__name__, message=f"name {cls.__name__!r} is not fully defined")


def rebuild(cls: type[BaseModel], namespace: Mapping[str, Any]) -> bool:
    """Try once more to finish a class with the names of `namespace`; errors other than missing names are raised."""
    return cls.model_rebuild(raise_errors=False, _types_namespace=namespace) is not False


def apply_config(cls: type[BaseModel], name: str, field: FieldInfo) -> None:
    """Let the alias and title generators of the class act on a field that was added to it."""
    update_field_from_config(ConfigWrapper(cls.model_config, check=False), name, field)


def set_assignment(cls: type[BaseModel], name: str, handler: Callable[[Any, str, Any], None]) -> None:
    """Decide how `instance.name = value` works for one attribute of the class."""
    cls.__pydantic_setattr_handlers__[name] = handler


def build_validator(schema: SchemaNode, config: SchemaNode | None) -> SchemaValidator:
    """A validator of exactly this schema, also where it is that of a finished class but for a change."""
    return SchemaValidator(cast(CoreSchema, schema), cast(Any, config), _use_prebuilt=False)


def definitions_of(schema: CoreSchema) -> tuple[SchemaNode, list[SchemaNode]]:
    """A core schema without its list of shared definitions, and that list.

    A recursive model's own schema is one of the definitions; it is then returned from there.
    """
    node = cast(SchemaNode, schema)
    definitions: list[SchemaNode] = []
    while node["type"] == "definitions":
        definitions.extend(node["definitions"])
        node = node["schema"]
    if node["type"] == "definition-ref":
        node = next(item for item in definitions if item.get("ref") == node["schema_ref"])
    return node, definitions


def model_node(node: SchemaNode, cls: type[BaseModel]) -> SchemaNode | None:
    """The `model` node of the class below its outer validators; None if the schema is built in another way."""
    while node["type"] in _FUNCTIONS:
        node = node["schema"]
    return node if node["type"] == "model" and node["cls"] is cls else None


def fields_node(model: SchemaNode) -> tuple[SchemaNode, SchemaNode] | None:
    """The `model-fields` node below a `model` node and the node that holds it; None for a root model."""
    holder = model
    while holder["schema"]["type"] in _FUNCTIONS:
        holder = holder["schema"]
    return (holder, holder["schema"]) if holder["schema"]["type"] == "model-fields" else None
