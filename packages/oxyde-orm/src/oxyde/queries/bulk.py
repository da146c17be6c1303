"""bulk_create: many rows in few statements, all or none.

The core reads the values straight from the instances' dicts.  A statement needs the same columns for all its rows,
so rows are grouped by which columns they have (those with an explicit key, those without, those that leave a column
to the database); one statement is atomic by itself, several run in one transaction or savepoint.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from oxyde.exceptions import FieldError, ManagerError
from oxyde.models.state import set_state
from oxyde.queries import readback, write
from oxyde.queries.lookups import Expression
from oxyde.queries.plans import (
    InsertPlan,
    insert_plan,
    prepare_copy,
    prepare_parts,
    read_back,
    run_bulk,
    take,
    to_database,
)
from oxyde.queries.readback import as_one
from oxyde.queries.run import alias_of, execute, finish, resolve
from oxyde.queries.scope import Scope
from oxyde_core import ir

if TYPE_CHECKING:
    from oxyde.db import AsyncDatabase, AsyncTransaction
    from oxyde.db.resolve import Target
    from oxyde.models.columns import Column
    from oxyde_core import Database, Lease, Loader


class Conflict:
    """What happens to a row whose unique key is taken."""

    __slots__ = ("action", "fields", "updates")

    def __init__(self, action: str, fields: tuple[str, ...], updates: tuple[str, ...] | None) -> None:
        self.action = action
        self.fields = fields
        self.updates = updates

    @classmethod
    def of(
        cls,
        scope: Scope,
        action: str,
        conflict_fields: Iterable[object] | None,
        update_fields: Iterable[object] | None,
    ) -> Conflict:
        """Check the arguments; raises ValueError and FieldError for those that contradict each other."""
        if action not in ("error", "ignore", "update"):
            raise ValueError(f"on_conflict must be 'error', 'ignore' or 'update', not {action!r}")
        if action == "error" and (conflict_fields is not None or update_fields is not None):
            raise ValueError("conflict_fields and update_fields need on_conflict='ignore' or 'update'")
        if action == "ignore" and update_fields is not None:
            raise ValueError("update_fields needs on_conflict='update'")
        fields = _names(scope, "conflict_fields", conflict_fields)
        updates = _names(scope, "update_fields", update_fields)
        if action == "update":
            # Without a choice it is the primary key that a row is recognised by.
            fields = fields or scope.key
            if updates is not None:
                if not updates:
                    raise FieldError("update_fields is empty; use on_conflict='ignore' to leave stored rows alone")
                for name in updates:
                    column = scope.info.by_name[name]
                    if column.generated or column.primary_key:
                        raise FieldError(f"{scope.name}.{name} cannot be updated: it is the key or computed")
        return cls(action, fields or (), updates)

    def node(self, scope: Scope, written: tuple[str, ...]) -> ir.Node | None:
        """The conflict part of an INSERT of these columns; raises FieldError if they cannot conflict so."""
        if self.action == "error":
            return None
        if self.action == "ignore":
            return ir.ignore(self.fields)
        missing = [name for name in self.fields if name not in written]
        if missing:
            raise FieldError(
                f"bulk_create(on_conflict='update') recognises a {scope.name} by {', '.join(self.fields)}, "
                f"but a row has no {', '.join(missing)}; give conflict_fields"
            )
        keys = {*self.fields, *scope.key}
        updates = self.updates if self.updates is not None else tuple(n for n in written if n not in keys)
        if not updates:
            raise FieldError("There is no field to update on conflict; use on_conflict='ignore'")
        return ir.upsert(self.fields, tuple((name, ir.excluded(name)) for name in updates))


def _names(scope: Scope, what: str, fields: Iterable[object] | None) -> tuple[str, ...] | None:
    if fields is None:
        return None
    if isinstance(fields, str):
        raise FieldError(f"{what} takes several field names, not one str; write a list")
    return tuple(column.name for column in scope.columns(tuple(fields)))


class _Batch:
    """Rows with the same columns present."""

    __slots__ = ("conflict", "loader", "plan", "positions", "returned", "rows", "shape")

    def __init__(self, scope: Scope, plan: InsertPlan, conflict: Conflict, everything: bool) -> None:
        self.plan = plan
        self.conflict = conflict
        self.rows: list[Any] = []
        self.positions: list[int] = []
        self.returned: tuple[str, ...] = ()
        self.loader: Loader | None = None
        if everything:
            self.returned = scope.whole.fields
            self.loader = scope.whole.loader
        elif conflict.action != "ignore":
            # An ignored row returns nothing, so what comes back could not be told apart.
            self.returned = plan.returning
            self.loader = plan.loader
        node = conflict.node(scope, plan.names)
        self.shape = ir.insert(scope.info.id, plan.names, ir.BULK, node, self.returned)

    def comes_back(self, database: Database) -> bool:
        """Whether the INSERT itself says what is asked for: everywhere, if that is the automatic key of new rows."""
        plan = self.plan
        key = self.conflict.action == "error" and plan.key_only and self.returned == plan.returning
        return key or not self.returned or database.returning[0]


async def bulk_create(
    scope: Scope,
    objects: Iterable[Any],
    batch_size: Any,
    conflict: Conflict,
    returning: bool,
    using: str | None,
    client: AsyncDatabase | AsyncTransaction | None,
    target: Target = None,
) -> list[Any]:
    """Insert all objects or none; see `QueryManager.bulk_create`."""
    if batch_size is not None and (isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1):
        raise ValueError(f"batch_size must be a positive int or None, not {batch_size!r}")
    where = target or scope.info.database
    database, lease = resolve(using, client, where, True)
    rows = list(objects)
    usual = rows and batch_size is None and not returning and conflict.action == "error" and not scope.foreign_keys
    if usual and await _filled(scope, rows, conflict, database, lease, alias_of(using, client, where)):
        return rows
    instances = [_instance(scope, item) for item in rows]
    batches = _batches(scope, instances, conflict, returning)
    if not instances:
        return []
    parts = [
        (batch, batch.rows[start : start + size])
        for batch in batches
        for size in (batch_size or len(batch.rows),)
        for start in range(0, len(batch.rows), size)
    ]
    if len(parts) == 1 and parts[0][0].plan.names:
        answers = [await _run(database, lease, *parts[0])]
    else:
        answers = await as_one(database, lease, lambda one: _all(database, one, parts))
    alias = alias_of(using, client, where)
    if returning:
        return _in_order(parts, answers, conflict, len(instances))
    for (batch, rows), answer in zip(parts, answers, strict=True):
        if conflict.action == "ignore":
            continue
        if batch.returned:
            if len(answer) != len(rows):
                raise ManagerError(f"bulk_create() wrote {len(rows)} rows but the database returned {len(answer)}")
            for instance, values in zip(rows, answer, strict=True):
                take(scope, instance, values, batch.plan.complete)
        state = batch.plan.state(alias)
        for instance in rows:
            set_state(instance, state)
    return instances


async def _filled(
    scope: Scope, rows: list[Any], conflict: Conflict, database: Database, lease: Lease | None, alias: str
) -> bool:
    """The usual case in one call: new instances with the same fields; the core reads and completes them.

    False if the rows are not all like that; nothing was sent then.
    """
    from oxyde.models.model import Model

    cls = scope.info.cls
    if type(rows[0]) is not cls:
        return False
    batch = _Batch(scope, insert_plan(scope, vars(rows[0])), conflict, False)
    plan = batch.plan
    if plan.complete is not None or not plan.names or not batch.comes_back(database):
        # What comes back is judged with the whole row, or read by another statement; or there is nothing to send.
        return False
    automatic = next((column.name for column in scope.info.pk if column.auto and column.name not in plan.names), None)
    mark = (cls, automatic, plan.state(alias), Model.__dict__["_oxyde_state"])
    if await _many(database, lease, batch, rows, mark) is not None:
        return True
    pending = run_bulk(database, plan, batch.shape, rows, batch.loader, lease, fill=mark)
    if pending is None:
        return False
    await finish(pending)
    return True


async def _many(
    database: Database, lease: Lease | None, batch: _Batch, rows: list[Any], mark: Any = None
) -> tuple[Any] | None:
    """The answer of `run_bulk`, in a tuple, where many rows go another way; else None, and nothing was stored."""
    copy = prepare_copy(database, batch.plan, batch.shape, rows, batch.loader, mark)
    if copy is not None and await finish(database.fetch_keys(copy, lease)):
        return (await finish(database.copy(copy, batch.loader if batch.returned else None, lease)),)
    parts = prepare_parts(database, batch.plan, batch.shape, rows, batch.loader, mark)
    if parts is None:
        return None
    if len(parts) == 1:
        await finish(database.run_part(parts, 0, lease))
    else:

        async def all_parts(one: Lease) -> None:
            for index in range(len(parts)):
                await finish(database.run_part(parts, index, one))

        await as_one(database, lease, all_parts)
    return (parts.result(),)


def _batches(scope: Scope, instances: list[Any], conflict: Conflict, returning: bool) -> list[_Batch]:
    """Group the rows; looking at the dict's keys alone tells most rows apart without a loop over the columns."""
    automatic = next((column.name for column in scope.info.pk if column.auto), "")
    batches: dict[tuple[str, ...], _Batch] = {}
    known: dict[tuple[object, ...], _Batch] = {}
    for position, instance in enumerate(instances):
        values = instance.__dict__
        key = (values.get(automatic) is None, *values)
        batch = known.get(key)
        if batch is None:
            plan = insert_plan(scope, values)
            batch = batches.get(plan.names)
            if batch is None:
                batch = batches[plan.names] = _Batch(scope, plan, conflict, returning)
            known[key] = batch
        batch.rows.append(instance)
        batch.positions.append(position)
    return list(batches.values())


def _instance(scope: Scope, item: Any) -> Any:
    if isinstance(item, Mapping):
        data = dict(item)
        for name, value in data.items():
            if isinstance(value, Expression):
                raise FieldError(
                    f"bulk_create() of {scope.name} takes values, but {name!r} is the expression {value!r}: "
                    "use create(), or db_default for what the database computes for every row"
                )
        instance = write.construct(scope, data)
    elif type(item) is scope.info.cls:
        instance = item
    else:
        raise ManagerError(
            f"bulk_create() of {scope.name} takes {scope.name} objects or dicts, not {type(item).__name__}"
        )
    if scope.foreign_keys:
        write.settle_keys(scope, instance)
    return instance


def _in_order(parts: list[tuple[_Batch, list[Any]]], answers: list[Any], conflict: Conflict, total: int) -> list[Any]:
    """The stored rows in the order in which the objects were given (ignored ones left out)."""
    if conflict.action == "ignore":
        return [row for answer in answers for row in answer]
    ordered: list[Any] = [None] * total
    taken: dict[int, int] = {}
    for (batch, _), answer in zip(parts, answers, strict=True):
        start = taken.get(id(batch), 0)
        taken[id(batch)] = start + len(answer)
        for position, row in zip(batch.positions[start:], answer, strict=False):
            ordered[position] = row
    return ordered


async def _run(database: Database, lease: Lease | None, batch: _Batch, rows: list[Any]) -> Any:
    plan = batch.plan
    if not batch.comes_back(database):
        alone = lease is None
        return await as_one(database, lease, lambda one: _written_and_read(database, one, batch, rows, alone))
    if not plan.names:
        # Rows of nothing but defaults have no parameters that could be sent in bulk.
        single = ir.insert(plan.scope.info.id, (), ir.values(), None, batch.returned)
        answers = [await execute(database, lease, single, (), batch.loader) for _ in rows]
        return [answer[0] for answer in answers] if batch.returned else len(answers)
    answer = await _many(database, lease, batch, rows)
    if answer is not None:
        return answer[0]
    return await finish(run_bulk(database, plan, batch.shape, rows, batch.loader, lease))


async def _written_and_read(database: Database, lease: Lease, batch: _Batch, rows: list[Any], alone: bool) -> list[Any]:
    """RETURNING, where the database lacks it: the rows are written together, and then read by a key.

    `alone`: the transaction has been opened for these rows, so that nothing was read in it before.
    """
    plan, scope, conflict = batch.plan, batch.plan.scope, batch.conflict
    numbered = next((column.name for column in scope.info.pk if column.auto and column.name not in plan.names), None)
    if conflict.action == "ignore":
        raise readback.unknown_key(scope, database)
    if conflict.action == "update":
        columns = [scope.info.by_name[name] for name in conflict.fields]
        return await _upserted(database, lease, batch, rows, columns, numbered, alone)
    if numbered is None and not set(scope.key) <= set(plan.names):
        raise readback.unknown_key(scope, database)
    keys = await _inserted(database, lease, batch, rows, numbered)
    return await readback.many(scope, scope.info.pk, keys, batch.returned, batch.loader, database, lease, alone=True)


async def _upserted(
    database: Database,
    lease: Lease,
    batch: _Batch,
    rows: list[Any],
    columns: list[Column],
    numbered: str | None,
    alone: bool,
) -> list[Any]:
    """Rows that are recognised by the values of these columns, which are the only key that can be taken."""
    scope = batch.plan.scope
    values = [tuple(to_database(column, row.__dict__[column.name]) for column in columns) for row in rows]
    # A key with a NULL in it is never taken, and no row can be found by it: such rows are new.
    new = [position for position, key in enumerate(values) if None in key]
    known = [position for position, key in enumerate(values) if None not in key]
    found: dict[int, Any] = {}
    if known:
        await _write(database, lease, batch, batch.conflict.node(scope, batch.plan.names), [rows[at] for at in known])
        keys = [values[at] for at in known]
        read = await readback.many(scope, columns, keys, batch.returned, batch.loader, database, lease, alone=alone)
        found.update(zip(known, read, strict=True))
    if new:
        if numbered is None:
            raise readback.unknown_key(scope, database)
        keys = await _inserted(database, lease, batch, [rows[at] for at in new], numbered)
        pk = scope.info.pk
        read = await readback.many(scope, pk, keys, batch.returned, batch.loader, database, lease, alone=True)
        found.update(zip(new, read, strict=True))
    return [found[position] for position in range(len(rows))]


async def _inserted(
    database: Database, lease: Lease, batch: _Batch, rows: list[Any], numbered: str | None
) -> list[tuple[object, ...]]:
    """INSERT rows that are all new; the primary key of each, with the part that the database has numbered."""
    scope = batch.plan.scope
    told = await _write(database, lease, batch, None, rows, numbered)
    keys = []
    for at, row in enumerate(rows):
        values = row.__dict__ if numbered is None else {**row.__dict__, **told[at]}
        keys.append(tuple(to_database(column, values[column.name]) for column in scope.info.pk))
    return keys


async def _write(
    database: Database,
    lease: Lease,
    batch: _Batch,
    conflict: ir.Node | None,
    rows: list[Any],
    numbered: str | None = None,
) -> Any:
    """INSERT rows in few statements, without reading them; the numbers that they got, if asked for."""
    plan, scope = batch.plan, batch.plan.scope
    telling = (numbered,) if numbered is not None else ()
    loader = read_back(scope, telling)
    if not plan.names:
        # Rows of nothing but defaults have no parameters that could be sent in bulk.
        single = ir.insert(scope.info.id, (), ir.values(), None, telling)
        answers = [await execute(database, lease, single, (), loader) for _ in rows]
        return [answer[0] for answer in answers] if telling else len(answers)
    shape = ir.insert(scope.info.id, plan.names, ir.BULK, conflict, telling)
    parts = prepare_parts(database, plan, shape, rows, loader, None)
    if parts is None:
        return await finish(run_bulk(database, plan, shape, rows, loader, lease))
    for index in range(len(parts)):
        await finish(database.run_part(parts, index, lease))
    return parts.result()


async def _all(database: Database, lease: Lease, parts: list[tuple[_Batch, list[Any]]]) -> list[Any]:
    return [await _run(database, lease, *part) for part in parts]
