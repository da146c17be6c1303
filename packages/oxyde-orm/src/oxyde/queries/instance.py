"""save, delete and refresh of one instance.

Whether `save()` inserts or updates follows from what is known about the row: a loaded (or already saved) instance
updates; a new one inserts, unless its key was given by hand, when the row may be there already and is asked for.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, TypeVar

from oxyde.exceptions import FieldError, ManagerError, NotFoundError
from oxyde.models.state import LoadState, set_state, state_of
from oxyde.queries import readback, write
from oxyde.queries.plans import take, to_database, update_plan
from oxyde.queries.run import alias_of, execute, resolve
from oxyde.queries.scope import Scope, scope_of
from oxyde.queries.terminals import EXISTS
from oxyde_core import ir

if TYPE_CHECKING:
    from oxyde.db import AsyncDatabase, AsyncTransaction
    from oxyde.db.resolve import Target
    from oxyde_core import Database, Lease

InstanceT = TypeVar("InstanceT")


def _target(scope: Scope, instance: Any) -> Target:
    """Where a row lives: the database it came from, else its model's."""
    state = state_of(instance)
    return (state.alias if state is not None else None) or scope.info.database


def _key(scope: Scope, instance: Any, operation: str) -> tuple[object, ...]:
    """The parameters of `scope.key_where`; raises ManagerError without a complete key."""
    values = instance.__dict__
    params: list[object] = []
    for column in scope.info.pk:
        value = values.get(column.name)
        if value is None:
            raise ManagerError(f"{operation}() needs a stored {scope.name}, but its key {column.name!r} is not set")
        params.append(to_database(column, value))
    return tuple(params)


def _vanished(scope: Scope, operation: str) -> NotFoundError:
    return NotFoundError(f"{operation}() found no row of this {scope.name}: it was deleted, or its key was changed")


async def save(
    instance: InstanceT,
    *,
    update_fields: Iterable[object] | None = None,
    force_insert: bool = False,
    force_update: bool = False,
    client: AsyncDatabase | AsyncTransaction | None = None,
    using: str | None = None,
) -> InstanceT:
    """Store the instance and return it.

    A loaded instance updates its loaded columns, a new one inserts; a new one whose key was given explicitly
    updates if the row is there and inserts otherwise.  `update_fields` limits an update to these fields.
    Raises ValidationError for values that their fields refuse, NotFoundError if the row to update is gone,
    ManagerError for a related object that is not saved, ValueError for contradicting arguments, and DatabaseErrors.

        user.name = "Anna"
        await user.save()
    """
    scope = scope_of(type(instance))
    if force_insert and (force_update or update_fields is not None):
        raise ValueError("save() cannot be forced to insert and to update; leave out force_insert or the others")
    chosen = _chosen(scope, instance, update_fields)
    if chosen is not None and not chosen:
        return instance
    state = state_of(instance)
    stored = state is not None and state.persisted
    write.settle_keys(scope, instance)
    target = _target(scope, instance)
    values = instance.__dict__
    if force_insert:
        is_create = True
    elif stored or force_update or chosen is not None:
        is_create = False
    elif all(values.get(name) is not None and name in instance.__pydantic_fields_set__ for name in scope.key):  # type: ignore[attr-defined]
        is_create = not await _exists(scope, _key(scope, instance, "save"), *resolve(using, client, target))
    else:
        is_create = True
    names = None if chosen is None else list(chosen)
    # Hooks may change values: what is written is validated after them.
    await write.call_hook(instance, "pre_save", is_create=is_create, update_fields=names)
    if is_create:
        write.validate_new(scope, instance)
        database, lease = resolve(using, client, target, True)
        await write.insert(scope, instance, database, lease, alias_of(using, client, target))
    else:
        plan = update_plan(scope, values, chosen)
        plan.validate(values)
        key = _key(scope, instance, "save")
        database, lease = resolve(using, client, target, True)
        if plan.shape is None:
            found = await _exists(scope, key, database, lease)
        else:
            params = plan.params(values)
            if plan.generated and not database.returning[1]:
                answer: Any = await readback.update_one(scope, plan, params, key, database, lease)
            else:
                answer = await execute(database, lease, plan.shape, params + key, plan.loader)
            found = bool(answer)
            if plan.generated and found:
                take(scope, instance, answer[0], plan.complete)
        if not found:
            raise _vanished(scope, "save")
        set_state(instance, plan.state(alias_of(using, client, target)))
    await write.call_hook(instance, "post_save", is_create=is_create, update_fields=names)
    return instance


async def _exists(scope: Scope, key: tuple[object, ...], database: Database, lease: Lease | None) -> bool:
    """Whether there is a row with this key."""
    shape = ir.select(scope.info.id, (), scope.key_where, mode="exists")
    rows = await execute(database, lease, shape, key, EXISTS)
    return bool(rows and rows[0])


def _chosen(scope: Scope, instance: Any, update_fields: Iterable[object] | None) -> tuple[str, ...] | None:
    """The columns that `update_fields` names; raises FieldError for what cannot be updated."""
    if update_fields is None:
        return None
    if isinstance(update_fields, str):
        raise FieldError("update_fields takes several field names, not one str; write a list")
    columns = scope.columns(tuple(update_fields))
    for column in columns:
        if column.primary_key or column.generated:
            reason = "the primary key" if column.primary_key else "computed by the database"
            raise FieldError(f"{scope.name}.{column.name} is {reason} and cannot be in update_fields")
        if column.name not in instance.__dict__ and (
            column.relation is None or instance.__dict__.get(column.relation) is None
        ):
            raise FieldError(f"{scope.name}.{column.name} was not loaded and has no value to save")
    return tuple(column.name for column in columns)


async def delete(
    instance: Any,
    *,
    client: AsyncDatabase | AsyncTransaction | None = None,
    using: str | None = None,
) -> int:
    """Delete the row of the instance and return how many rows that were (0 if it was gone already).

    Raises ManagerError for an instance without a key.

        await user.delete()
    """
    scope = scope_of(type(instance))
    target = _target(scope, instance)
    _key(scope, instance, "delete")
    await write.call_hook(instance, "pre_delete")
    key = _key(scope, instance, "delete")
    database, lease = resolve(using, client, target, True)
    count = int(await execute(database, lease, write.delete_statement(scope, scope.key_where), key))
    state = state_of(instance)
    if state is not None and state.persisted:
        set_state(instance, LoadState(state.alias, state.columns, persisted=False))
    await write.call_hook(instance, "post_delete")
    return count


async def refresh(
    instance: InstanceT,
    *fields: object,
    client: AsyncDatabase | AsyncTransaction | None = None,
    using: str | None = None,
) -> InstanceT:
    """Read the row again: the named fields, or all that are loaded; returns the instance.

    A relation whose key changed is unloaded.  Raises NotFoundError if the row is gone, FieldError for an unknown
    field and ManagerError for an instance without a key.

        await user.refresh("age")
    """
    scope = scope_of(type(instance))
    values = instance.__dict__
    state = state_of(instance)
    if fields:
        wanted = {column.name for column in scope.columns(fields)}
    elif state is not None:
        wanted = set(state.columns) | {column.name for column in scope.info.columns if column.name in values}
    else:
        wanted = {column.name for column in scope.info.columns}
    names = tuple(column.name for column in scope.info.columns if column.name in wanted or column.primary_key)
    key = _key(scope, instance, "refresh")
    result = scope.result(names, "model", "needed")
    target = _target(scope, instance)
    shape = ir.select(scope.info.id, names, scope.key_where)
    rows = await execute(*resolve(using, client, target), shape, key, result.loader)
    if not rows:
        raise _vanished(scope, "refresh")
    fresh = {name: value for name, value in rows[0].__dict__.items() if name in names}
    for relation in scope.foreign_keys:
        if relation.column in fresh and fresh[relation.column] != values.get(relation.column):
            values.pop(relation.name, None)
    values.update(fresh)
    instance.__pydantic_fields_set__.update(fresh)  # type: ignore[attr-defined]
    columns = frozenset(column.name for column in scope.info.columns if column.name in values)
    set_state(instance, LoadState(alias_of(using, client, target), columns))
    return instance
