"""What RETURNING gives, on databases that lack it: written first and read afterwards, in one transaction.

Nobody else's change can come between the two, because the rows that were written are locked until the transaction
ends.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable, Iterator, Sequence
from itertools import count
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from oxyde.exceptions import ManagerError, NotSupportedError
from oxyde.queries.plans import InsertPlan, UpdatePlan, read_back, to_database
from oxyde.queries.run import execute, finish
from oxyde.queries.scope import Result, Scope
from oxyde_core import ir

if TYPE_CHECKING:
    from oxyde.models.columns import Column
    from oxyde_core import Database, Lease, Loader

T = TypeVar("T")

_savepoints: Final = count(1)

_TOGETHER: Final = 64
"""Rows with keys of several columns that are read by one statement."""


async def as_one(database: Database, lease: Lease | None, work: Callable[[Lease], Awaitable[T]]) -> T:
    """Run several statements as one: in a transaction of their own, or in a savepoint of the open one."""
    if lease is not None:
        name = f"oxyde_bulk_{next(_savepoints)}"
        await finish(lease.savepoint(name))
        try:
            answer = await work(lease)
        except Exception:
            await finish(lease.rollback_to(name))
            await finish(lease.release(name))
            raise
        except BaseException:
            # Cancelled: no more waiting here, but the connection still takes these in their order.
            lease.rollback_to(name)
            lease.release(name)
            raise
        await finish(lease.release(name))
        return answer
    own = database.lease("write")
    try:
        await finish(own.begin())
        answer = await work(own)
        await finish(own.commit())
    except BaseException:
        # Whatever state it is in, the engine rolls it back and frees the connection.
        own.abandon()
        raise
    return answer


async def insert(
    scope: Scope,
    plan: InsertPlan,
    params: tuple[object, ...],
    values: dict[str, Any],
    database: Database,
    lease: Lease | None,
) -> dict[str, Any]:
    """INSERT a row and read the columns that the database filled in."""

    async def work(lease: Lease) -> dict[str, Any]:
        key = await _written_key(scope, plan, params, values, database, lease)
        return await one(scope, key, plan.returning, plan.loader, database, lease)

    return await as_one(database, lease, work)


async def _written_key(
    scope: Scope, plan: InsertPlan, params: tuple[object, ...], values: dict[str, Any], database: Database, lease: Lease
) -> tuple[object, ...]:
    """INSERT a row and say its key: the one it was given, or the one that the database has numbered."""
    open_parts = [column for column in scope.info.pk if column.name not in plan.names]
    kind, model, fields, source, conflict, _ = plan.shape
    if not open_parts:
        await execute(database, lease, (kind, model, fields, source, conflict, ()), params)
        return tuple(to_database(column, values[column.name]) for column in scope.info.pk)
    if len(open_parts) > 1 or not open_parts[0].auto:
        raise unknown_key(scope, database)
    numbered = (open_parts[0].name,)
    shape = (kind, model, fields, source, conflict, numbered)
    (row,) = await execute(database, lease, shape, params, read_back(scope, numbered))
    known = {**values, **row}
    return tuple(to_database(column, known[column.name]) for column in scope.info.pk)


def unknown_key(scope: Scope, database: Database) -> NotSupportedError:
    """The error for a key that the database makes and does not tell."""
    missing = ", ".join(f"{scope.name}.{name}" for name in scope.key)
    return NotSupportedError(
        f"{database.backend} does not tell the key that it made ({missing}): give it, or let the column be numbered"
    )


async def one(
    scope: Scope,
    key: tuple[object, ...],
    fields: tuple[str, ...],
    loader: Loader | None,
    database: Database,
    lease: Lease,
) -> dict[str, Any]:
    """Some columns of the row with this key."""
    rows = await execute(database, lease, ir.select(scope.info.id, fields, scope.key_where), key, loader)
    if not rows:
        raise vanished(scope)
    row: dict[str, Any] = rows[0]
    return row


def vanished(scope: Scope) -> ManagerError:
    """The error for a row that cannot be read although it was just written."""
    return ManagerError(f"the {scope.name} that was just written is not there: a trigger changed its key")


async def many(
    scope: Scope,
    columns: Sequence[Column],
    keys: list[tuple[object, ...]],
    fields: tuple[str, ...],
    loader: Loader | None,
    database: Database,
    lease: Lease,
    *,
    alone: bool,
) -> list[Any]:
    """Some fields of rows that were just written, in the order of their keys: values of unique columns, as stored.

    `alone`: what a plain SELECT sees are the rows as they are now. In a transaction that has read before it may be
    what they were then, if the write has changed nothing in them; then each is asked for under its lock.
    """
    found: dict[Hashable, Any] = {}
    if alone and len(keys) > 1:
        wanted = {*fields, *(column.name for column in columns)}
        names = tuple(column.name for column in scope.info.columns if column.name in wanted)
        # Dicts of fields have to bring the key as well; whole instances have it.
        whole = loader is scope.whole.loader
        reader = loader if whole else read_back(scope, names)
        for which, params in _by_keys(columns, keys):
            for row in await execute(database, lease, ir.select(scope.info.id, names, which), params, reader):
                values = row.__dict__ if whole else row
                known = _same([to_database(column, values[column.name]) for column in columns])
                if known is not None:
                    found[known] = row if whole else {name: values[name] for name in fields}
    where = [ir.compare("eq", ir.column(column.name), ir.param(column.type)) for column in columns]
    which = where[0] if len(where) == 1 else ir.and_(*where)
    one = ir.select(scope.info.id, fields, which, lock="" if alone else "update")
    rows: list[Any] = []
    for key in keys:
        # What the database takes for equal may look different, and a key may have been given twice: those are asked
        # for one by one.
        row = found.pop(_same(key), None) if found else None
        if row is None:
            answer = await execute(database, lease, one, key, loader)
            if not answer:
                raise vanished(scope)
            (row,) = answer
        rows.append(row)
    return rows


def _same(key: Sequence[object]) -> Hashable | None:
    """Equal only for what is equal to a database, too; None for a key that cannot be told."""
    parts = tuple([(type(part), part) for part in key])
    try:
        hash(parts)
    except TypeError:
        return None
    return parts


def _by_keys(columns: Sequence[Column], keys: list[tuple[object, ...]]) -> Iterator[tuple[ir.Node, tuple[object, ...]]]:
    """Conditions under which just these rows are found, with their parameters; few different ones."""
    if len(columns) == 1:
        (column,) = columns
        yield ir.in_(ir.column(column.name), column.type), ([key for (key,) in keys],)
        return
    equal = ir.and_(*(ir.compare("eq", ir.column(column.name), ir.param(column.type)) for column in columns))
    for start in range(0, len(keys), _TOGETHER):
        some = keys[start : start + _TOGETHER]
        # As many as a power of two: a number of its own would be a statement of its own.
        size = max(2, 1 << (len(some) - 1).bit_length())
        some += [some[-1]] * (size - len(some))
        yield ir.or_(*[equal] * size), tuple(part for key in some for part in key)


async def update_one(
    scope: Scope,
    plan: UpdatePlan,
    params: tuple[object, ...],
    key: tuple[object, ...],
    database: Database,
    lease: Lease | None,
) -> list[dict[str, Any]]:
    """UPDATE the row with this key and read its generated columns; empty if there is no such row."""
    assert plan.shape is not None
    kind, model, assignments, where, _ = plan.shape

    async def work(lease: Lease) -> list[dict[str, Any]]:
        if not await execute(database, lease, (kind, model, assignments, where, ()), params + key):
            return []
        return [await one(scope, key, plan.generated, plan.loader, database, lease)]

    return await as_one(database, lease, work)


async def update(
    scope: Scope,
    shape: ir.Node,
    params: tuple[object, ...],
    conditions: tuple[object, ...],
    result: Result,
    loader: Loader,
    database: Database,
    lease: Lease | None,
) -> list[Any]:
    """UPDATE … RETURNING: the matching rows are locked, updated by their keys, and read by them.

    `params` are those of the whole statement, of which `conditions` are the last ones.
    """
    kind, _, assignments, where, _ = shape
    model = scope.info.id
    before = params[: len(params) - len(conditions)]
    keys = scope.result(scope.key, "tuple", "off").loader

    async def work(lease: Lease) -> list[Any]:
        chosen = ir.select(model, scope.key, cast("ir.Node | None", where), scope.key_order[0], lock="update")
        found = await execute(database, lease, chosen, conditions, keys)
        if not found:
            return []
        if len(scope.info.pk) == 1:
            (column,) = scope.info.pk
            which = ir.in_(ir.column(column.name), column.type)
            batches: list[tuple[object, ...]] = [([to_database(column, key) for (key,) in found],)]
        else:
            which = scope.key_where
            batches = [
                tuple(to_database(column, part) for column, part in zip(scope.info.pk, key, strict=True))
                for key in found
            ]
        rows: list[Any] = []
        for batch in batches:
            await execute(database, lease, (kind, model, assignments, which, ()), before + batch)
            rows += await execute(database, lease, ir.select(model, result.fields, which), batch, loader)
        return rows

    return await as_one(database, lease, work)
