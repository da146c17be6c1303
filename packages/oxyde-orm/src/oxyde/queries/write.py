"""One-row INSERT, and the UPDATE and DELETE of queries.

What the database fills in on INSERT comes back through RETURNING into the instance's dict.
"""

from __future__ import annotations

from collections.abc import Callable
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Final

from oxyde.exceptions import FieldError, ManagerError
from oxyde.models.state import set_state
from oxyde.queries import readback
from oxyde.queries.columns import Value
from oxyde.queries.comment import commented
from oxyde.queries.encode import check_assignable, related_key
from oxyde.queries.lookups import Expression, Operand
from oxyde.queries.plans import InsertPlan, insert_plan, take, to_database, validator
from oxyde.queries.run import alias_of, execute, resolve
from oxyde.queries.scope import Scope
from oxyde_core import ir

if TYPE_CHECKING:
    from oxyde.db import AsyncDatabase, AsyncTransaction
    from oxyde.db.resolve import Target
    from oxyde.models.columns import Column
    from oxyde_core import Database, Lease

_NOTHING: Final = (ir.NULL, ())

_defaults: Final[dict[str, Any]] = {}
"""The hooks of `Model` itself, which do nothing; found when first needed, since models need queries."""


async def insert(
    scope: Scope,
    instance: Any,
    database: Database,
    lease: Lease | None,
    alias: str,
    computed: dict[str, Operand] | None = None,
) -> None:
    """INSERT an instance, take over what the database filled in, and mark it as stored.

    `computed`: columns that the instance does not have, since the database computes them.
    """
    values = instance.__dict__
    plan = insert_plan(scope, values)
    params = plan.params(values)
    if computed:
        # A hook that has set one of them has the last word.
        computed = {name: operand for name, operand in computed.items() if name not in values}
        plan = InsertPlan(scope, plan.names, computed)
        params += tuple(value for operand in computed.values() for value in operand.params)
    if plan.key_only or not plan.returning or database.returning[0]:
        rows = await execute(database, lease, plan.shape, params, plan.loader)
    else:
        rows = [await readback.insert(scope, plan, params, values, database, lease)]
    if plan.returning:
        take(scope, instance, rows[0], plan.complete)
    set_state(instance, plan.state(alias))


async def create(
    scope: Scope,
    instance: Any,
    data: dict[str, Any],
    using: str | None,
    client: AsyncDatabase | AsyncTransaction | None,
    target: Target = None,
    comment: str | None = None,
) -> Any:
    """`create()`: an instance, or the data to make one of, is inserted with its hooks."""
    model = scope.info.cls
    given = instance is not None
    computed: dict[str, Operand] = {}
    if not given:
        data, computed = separate(scope, data)
        instance = construct(scope, data, tuple(computed))
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
    if comment is not None:
        database = commented(database, comment)
    await insert(scope, instance, database, lease, alias_of(using, client, where), computed)
    await call_hook(instance, "post_save", is_create=True, update_fields=None)
    return instance


def separate(scope: Scope, data: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Operand]]:
    """The values of a new row, and the expressions among them by column.

    Raises FieldError for an expression that refers to columns, which a row that is not there yet does not have.
    """
    if not any(isinstance(value, Expression) for value in data.values()):
        return data, {}
    values: dict[str, Any] = {}
    found: dict[str, Operand] = {}
    for name, value in data.items():
        if isinstance(value, Value):
            values[name] = value.value
        elif not isinstance(value, Expression):
            values[name] = value
        else:
            column = scope.info.by_name.get(_field_of(scope, name))
            if column is None:
                raise unknown_field(scope, name)
            if column.name in found:
                raise FieldError(f"{scope.name}.{column.name} is given twice, also as {name!r}")
            found[column.name] = _new_value(scope, column, value)
    for name in values:
        column = scope.info.by_name.get(_field_of(scope, name))
        if column is not None and column.name in found:
            raise FieldError(f"{scope.name}.{column.name} is given twice, also as {name!r}")
    return values, found


def _field_of(scope: Scope, name: str) -> str:
    """The field that Pydantic takes under this name."""
    if name in scope.info.by_name or name not in scope.aliases:
        return name
    fields = scope.info.cls.model_fields.items()
    return next(key for key, field in fields if name in (field.alias, field.validation_alias))


def _new_value(scope: Scope, column: Column, value: Expression) -> Operand:
    if column.generated:
        raise FieldError(f"{scope.name}.{column.name} is computed by the database and cannot be given")
    operand = value.build(scope)
    stack: list[object] = [operand.node]
    while stack:
        node = stack.pop()
        if isinstance(node, tuple):
            if node[:1] == ("col",):
                raise FieldError(
                    f"create() of {scope.name} cannot set {column.name!r} to {value!r}: it refers to {node[1]!r}, "
                    "but a row that is inserted has no columns yet"
                )
            stack.extend(node)
    check_assignable(column.type, operand.type, f"{scope.name}.{column.name}")
    return operand


def construct(scope: Scope, data: dict[str, Any], computed: tuple[str, ...] = ()) -> Any:
    """A validated instance from field values, without the `computed` columns.

    Raises FieldError for keys that are no fields (also under `extra`) and for columns that only the database writes.
    """
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
        if name in known and known[name].generated:
            raise FieldError(f"{scope.name}.{name} is computed by the database and cannot be given")
    if computed:
        return _partly_computed(scope, computed)(data)
    if aliases:
        return model.model_validate(data, by_alias=True, by_name=True)
    return model(**data)


def _partly_computed(scope: Scope, computed: tuple[str, ...]) -> Callable[[dict[str, Any]], Any]:
    found = scope.partial.get(computed)
    if found is None:
        try:
            found = scope.info.elision.lacking(computed)
        except TypeError as error:
            raise FieldError(
                f"create() of {scope.name} cannot take an expression for {', '.join(computed)}: {error}; "
                "use db_default, or insert the value and update() it"
            ) from error
        if len(scope.partial) >= 256:
            scope.partial.clear()
        scope.partial[computed] = found
    return found


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
    key = (*values, *map(type, values.values()))
    known = scope.settings.get(key)
    if known is not None:
        columns, assignments = known
        valid = _valid(scope, values)
        before = tuple([to_database(column, valid[column.name]) for column in columns])
        return ir.update(scope.info.id, assignments, where, returning), before + params
    found: dict[str, tuple[ir.Node, tuple[object, ...]]] = {}
    plain: dict[str, Any] = {}
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
        if isinstance(value, Value):
            value = value.value
        if isinstance(value, Expression):
            operand = value.build(scope)
            check_assignable(column.type, operand.type, f"{scope.name}.{column.name}")
            found[column.name] = operand.node, operand.params
            continue
        if column.relation is not None and name == column.relation and value is not None:
            value = related_key(scope.info, column, value)
        plain[column.name] = value
        found[column.name] = _NOTHING
    for name, value in _valid(scope, plain).items():
        column = scope.info.by_name[name]
        found[name] = ir.param(column.type), (to_database(column, value),)
    names = [column.name for column in scope.info.columns if column.name in found]
    assignments = tuple((name, found[name][0]) for name in names)
    before = tuple(item for name in names for item in found[name][1])
    if plain.keys() == values.keys() and all(plain[name] is value for name, value in values.items()):
        # Nothing but values under the columns' own names: the next update with such values is put together faster.
        if len(scope.settings) >= 256:
            scope.settings.clear()
        scope.settings[key] = tuple(scope.info.by_name[name] for name in names), assignments
    return ir.update(scope.info.id, assignments, where, returning), before + params


def _valid(scope: Scope, values: dict[str, Any]) -> dict[str, Any]:
    """New values of some columns, each validated by its field; raises ValidationError naming the field."""
    info = scope.info
    if len(values) < 2:
        return {name: info.by_name[name].validate(value) for name, value in values.items()}
    # Together and in the order of the class, so that a validator finds the fields before its own.
    names = tuple(column.name for column in info.columns if column.name in values)
    run = scope.together.get(names)
    if run is None:
        if len(scope.together) >= 256:
            scope.together.clear()
        run = scope.together[names] = info.validator(names)
    return run(values)


def delete_statement(scope: Scope, where: ir.Node | None) -> ir.Node:
    """DELETE of the rows that match."""
    return ir.delete(scope.info.id, where)
