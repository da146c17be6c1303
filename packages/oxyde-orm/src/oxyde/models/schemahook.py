"""What a table changes in the schemas that Pydantic generates for it.

The core schema: derived foreign key fields are added before it is generated; afterwards every field that may be absent
gets `pydantic.MISSING` as default, and one function (`relations.settler`) is put around `model-fields`, where it acts
on every way to validate the model.  A model without such fields keeps Pydantic's schema as it is.

The JSON schema follows: what the constructor needs is required, lists of related rows are only in what is read, and a
column that the database fills is required there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, cast

from pydantic import MISSING, GetCoreSchemaHandler, GetJsonSchemaHandler, TypeAdapter
from pydantic.errors import PydanticSchemaGenerationError
from pydantic.fields import FieldInfo
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from oxyde.exceptions import FieldError
from oxyde.models import registry
from oxyde.models.annotations import unwrap
from oxyde.models.options import options_of
from oxyde.models.pydantic_bridge import (
    definitions_of,
    fields_are_complete,
    fields_node,
    is_complete,
    model_node,
    own_fields,
    replace_fields,
    undefined,
)
from oxyde.models.relations import Plan, derive_fields, plan_of, settler
from oxyde.models.tableoptions import table_options

if TYPE_CHECKING:
    from oxyde.models.model import Model

__all__ = ["model_core_schema", "model_json_schema"]


def model_core_schema(cls: type[Model], source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
    """The core schema of a model; raises FieldError for a field that Pydantic or a column cannot hold."""
    if not table_options(cls).is_table or is_complete(cls):
        return handler(source)
    if not fields_are_complete(cls):
        # Another class, or whoever wants to validate it, needs it now.
        registry.finalize_pending(defining=True)
    if is_complete(cls):
        return handler(source)
    if not fields_are_complete(cls):
        # Whoever nests this model must wait for it: its derived fields are not known yet.
        raise undefined(cls)
    if "__oxyde_plan__" not in cls.__dict__:
        plan, fields = derive_fields(cls)
        for field in fields.values():
            _admit_converted(field)
        replace_fields(cls, fields)
        type.__setattr__(cls, "__oxyde_plan__", plan)
        type.__setattr__(cls, "__oxyde_settle__", settler(cls, plan))
    try:
        schema = handler(source)
    except PydanticSchemaGenerationError as error:
        raise _named(cls, error) from error
    plan = plan_of(cls)
    if plan.wrapped:
        _wrap(cls, plan, schema)
    return schema


def _wrap(cls: type[Model], plan: Plan, schema: CoreSchema) -> None:
    root, _ = definitions_of(schema)
    model = model_node(root, cls)
    found = None if model is None else fields_node(model)
    if found is None:
        raise TypeError(f"{cls.__name__} cannot have relations or db_default with a core schema of its own")
    holder, fields = found
    settle = cls.__dict__["__oxyde_settle__"]
    if holder["type"] == "function-after" and holder["function"].get("function") is settle:
        return
    for name in plan.wrapped:
        field = fields["fields"][name]
        inner = field["schema"]["schema"] if field["schema"]["type"] == "default" else field["schema"]
        field["schema"] = core_schema.with_default_schema(inner, default=MISSING)
    holder["schema"] = core_schema.no_info_after_validator_function(settle, cast(CoreSchema, fields))


class _Instance:
    """Validates by isinstance."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.is_instance_schema(source)


def _admit_converted(field: FieldInfo) -> None:
    """A type that only its `db_converter` knows is validated by isinstance."""
    if options_of(field).converter is None:
        return
    inner = unwrap(field.annotation)
    try:
        TypeAdapter(inner.type)
    except PydanticSchemaGenerationError:
        checked: Any = Annotated[inner.type, _Instance()]
        field.annotation = checked | None if inner.optional else checked


def _named(cls: type[Model], error: Exception) -> Exception:
    """Pydantic's error does not say which field it means."""
    for name, field in own_fields(cls).items():
        annotation: Any = field.annotation
        try:
            TypeAdapter(annotation)
        except PydanticSchemaGenerationError:
            kind = unwrap(annotation).type
            return FieldError(
                f"{cls.__name__}.{name}: {getattr(kind, '__name__', kind)} has no column type; "
                "give db_converter=(to_db, from_db) to say how it is stored"
            )
        except Exception:  # noqa: S112
            # Refers to this very class, or to one that waits: not the field that was refused.
            continue
    return error


def model_json_schema(cls: type[Model], schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
    """The JSON schema of a model, in the validation or the serialization mode of the handler."""
    result = handler(schema)
    plan = plan_of(cls)
    if not plan.wrapped:
        return result
    target = handler.resolve_ref_schema(result)
    properties: dict[str, Any] = target.get("properties", {})
    reading = handler.mode == "serialization"
    required = set(target.get("required", ()))
    fields = own_fields(cls)
    for name in plan.lists:
        key = _property(fields[name], name, properties, reading)
        if key is not None and not reading:
            del properties[key]
    needed = [
        column for column, relation in plan.by_column.items() if not relation.nullable and column not in plan.defaults
    ]
    if reading:
        needed = [*plan.by_column, *plan.lazy]
    for name in needed:
        key = _property(fields[name], name, properties, reading)
        if key is not None:
            required.add(key)
    if required:
        target["required"] = [key for key in properties if key in required]
    return result


def _property(field: FieldInfo, name: str, properties: dict[str, Any], reading: bool) -> str | None:
    """Under which key a field stands in the schema: its alias or its name."""
    alias = field.serialization_alias if reading else field.validation_alias
    for key in (alias, field.alias, name):
        if isinstance(key, str) and key in properties:
            return key
    return None
