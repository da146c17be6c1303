"""One-row INSERT, and the UPDATE and DELETE of queries.

What the database fills in on INSERT comes back through RETURNING into the instance's dict.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Final

from oxyde.exceptions import FieldError, ManagerError
from oxyde.models.state import set_state
from oxyde.queries.encode import check_comparable, related_key
from oxyde.queries.lookups import Expression
from oxyde.queries.plans import insert_plan, to_database, validator
from oxyde.queries.run import alias_of, execute, resolve
from oxyde.queries.scope import Scope
from oxyde_core import ir

if TYPE_CHECKING:
    from oxyde.db import AsyncDatabase, AsyncTransaction
    from oxyde.db.resolve import Target
    from oxyde.models.columns import Column
    from oxyde_core import Database, Lease

_defaults: Final[dict[str, Any]] = {}
"""The hooks of `Model` itself, which do nothing; found when first needed, since models need queries."""


def assign(instance: Any, values: dict[str, Any]) -> None:
    """Put what the database returned into an instance; it is set, as if it had been loaded."""
    instance.__dict__.update(values)
    instance.__pydantic_fields_set__.update(values)


async def insert(scope: Scope, instance: Any, database: Database, lease: Lease | None, alias: str) -> None:
    """INSERT an instance, take over what the database filled in, and mark it as stored."""
    plan = insert_plan(scope, instance.__dict__)
    rows = await execute(database, lease, plan.shape, plan.params(instance.__dict__), plan.loader)
    if plan.returning:
        assign(instance, rows[0])
    set_state(instance, plan.state(alias))


async def create(
    scope: Scope,
    instance: Any,
    data: dict[str, Any],
    using: str | None,
    client: AsyncDatabase | AsyncTransaction | None,
    target: Target = None,
) -> Any:
    """`create()`: an instance, or the data to make one of, is inserted with its hooks."""
    model = scope.info.cls
    given = instance is not None
    if not given:
        instance = construct(scope, data)
    else:
        if data:
            raise ManagerError(f"create() takes an instance or field values, not both ({', '.join(data)})")
        if type(instance) is not model:
            raise ManagerError(f"create() of {scope.name} takes a {scope.name}, not a {type(instance).__name__}")
    settle_keys(scope, instance)
    where = target or scope.info.database
    hooked = await call_hook(instance, "pre_save", is_create=True, update_fields=None)
    if given or hooked:
        # Changed since it was constructed, perhaps by the hook just now.
        validate_new(scope, instance)
    database, lease = resolve(using, client, where, True)
    await insert(scope, instance, database, lease, alias_of(using, client, where))
    await call_hook(instance, "post_save", is_create=True, update_fields=None)
    return instance


def construct(scope: Scope, data: dict[str, Any]) -> Any:
    """A validated instance from field values; raises FieldError for keys that are no fields (also under `extra`)."""
    info = scope.info
    model = info.cls
    if "pk" in data and "pk" not in model.model_fields:
        data = dict(data)
        value = data.pop("pk")
        key = info.pk
        parts = (value,) if len(key) == 1 else value
        if not isinstance(parts, tuple) or len(parts) != len(key):
            raise FieldError(f"The primary key of {scope.name} is composite: give pk=({', '.join(scope.key)})")
        for column, part in zip(key, parts, strict=True):
            if column.name in data:
                raise FieldError(f"{column.name} is given twice, also as pk")
            data[column.name] = part
    known = info.by_name
    aliases = scope.aliases
    for name in data:
        if name not in known and name not in model.model_fields and name not in aliases:
            raise unknown_field(scope, name)
    if aliases:
        return model.model_validate(data, by_alias=True, by_name=True)
    return model(**data)


def unknown_field(scope: Scope, name: str) -> FieldError:
    """The error for a key that is no field, listing near ones."""
    names = [known for known in scope.info.by_name if known != "pk"]
    near = get_close_matches(name, names, n=3)
    hint = f"; did you mean {' or '.join(map(repr, near))}?" if near else f"; it has {', '.join(names)}"
    return FieldError(f"{scope.name} has no field {name!r}{hint}")


def settle_keys(scope: Scope, instance: Any) -> None:
    """Take the keys of related objects that were saved after they were assigned.

    Raises ManagerError for a related object that is still not saved.
    """
    values = instance.__dict__
    for relation in scope.foreign_keys:
        related = values.get(relation.name)
        if related is not None and values.get(relation.column) is None:
            key = related.__dict__.get(relation.target_field)
            if key is None:
                raise ManagerError(
                    f"{scope.name}.{relation.name} is a {relation.target.__name__} that is not saved: "
                    f"await its save() first"
                )
            values[relation.column] = key
            instance.__pydantic_fields_set__.add(relation.column)


def validate_new(scope: Scope, instance: Any) -> None:
    """Check what an INSERT will write; raises ValidationError."""
    names = insert_plan(scope, instance.__dict__).names
    check = scope.validators.get(names)
    if check is None:
        check = scope.validators[names] = validator(scope, names)
    check(instance.__dict__)


async def call_hook(instance: Any, name: str, **arguments: Any) -> bool:
    """Await a hook if the class overrides it, and say whether it does."""
    if not _defaults:
        from oxyde.models.model import Model

        _defaults.update(
            (hook, getattr(Model, hook)) for hook in ("pre_save", "post_save", "pre_delete", "post_delete")
        )
    hook = getattr(type(instance), name)
    if hook is _defaults[name]:
        return False
    await hook(instance, **arguments)
    return True


def update_statement(
    scope: Scope,
    values: dict[str, Any],
    where: ir.Node | None,
    params: tuple[object, ...],
    returning: tuple[str, ...],
) -> tuple[ir.Node, tuple[object, ...]]:
    """UPDATE with validated values and expressions, its columns in the order of the model.

    Raises FieldError for unknown, generated and key fields and for no values at all.
    """
    if not values:
        raise FieldError(f"update() of {scope.name} was given no field to set")
    found: dict[str, tuple[ir.Node, tuple[object, ...]]] = {}
    for name, value in values.items():
        if name not in scope.info.by_name:
            raise unknown_field(scope, name)
        column = scope.column(name)
        if column.generated:
            raise FieldError(f"{scope.name}.{column.name} is computed by the database and cannot be updated")
        if column.primary_key:
            raise FieldError(
                f"{scope.name}.{column.name} is the primary key, which update() does not change: rows refer to it"
            )
        if column.name in found:
            raise FieldError(f"{scope.name}.{column.name} is given twice, also as {name!r}")
        found[column.name] = assignment(scope, column, name, value)
    names = [column.name for column in scope.info.columns if column.name in found]
    assignments = tuple((name, found[name][0]) for name in names)
    before = tuple(item for name in names for item in found[name][1])
    return ir.update(scope.info.id, assignments, where, returning), before + params


def assignment(scope: Scope, column: Column, name: str, value: Any) -> tuple[ir.Node, tuple[object, ...]]:
    """What a column is set to: an expression of its family of types, or a value that its field accepts."""
    if isinstance(value, Expression):
        operand = value.build(scope)
        check_comparable(column.type, operand.type, f"{scope.name}.{column.name}")
        return operand.node, operand.params
    if column.relation is not None and name == column.relation and value is not None:
        value = related_key(scope.info, column, value)
    return ir.param(column.type), (to_database(column, column.validate(value)),)


def delete_statement(scope: Scope, where: ir.Node | None) -> ir.Node:
    """DELETE of the rows that match."""
    return ir.delete(scope.info.id, where)
