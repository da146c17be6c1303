"""Prepared statements for instances: one for each combination of columns that an instance has.

An instance is written from its `__dict__`; a column that is not in it (filled by the database, deferred) is left
out.  Which columns are there decides the statement, how it is read back and what has to be validated, so all of
that is prepared once and kept with the model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final

from oxyde.exceptions import DataError, OxydeError
from oxyde.models.columntypes import UnstorableError
from oxyde.models.loading import complete_row
from oxyde.models.state import LoadState
from oxyde.queries.lookups import Operand
from oxyde.queries.scope import Scope
from oxyde_core import ir

if TYPE_CHECKING:
    from oxyde.models.columns import Column
    from oxyde_core import Copy, Database, Loader, Parts

Validator = Callable[[dict[str, Any]], None]
"""Validates fields of an instance's dict in place."""

Complete = Callable[[dict[str, Any]], dict[str, Any]]
"""Validates all columns of a row together; see `complete_row`."""

_ABSENT: Final = object()

_KEPT: Final = 256
"""Combinations of columns that are kept for one model; beyond that, all are forgotten and made again."""


class InsertPlan:
    """How instances with the same columns present are inserted."""

    __slots__ = ("columns", "complete", "key_only", "loader", "names", "returning", "scope", "shape", "states")

    def __init__(self, scope: Scope, names: tuple[str, ...], computed: dict[str, Operand] | None = None) -> None:
        info = scope.info
        self.scope = scope
        self.names = names
        self.columns: tuple[Column, ...] = tuple(info.by_name[name] for name in names)
        written = set(names)
        self.returning: tuple[str, ...] = tuple(column.name for column in info.columns if column.name not in written)
        fields, nodes = names, [ir.param(column.type) for column in self.columns]
        self.key_only = self.returning in [(column.name,) for column in info.pk if column.auto]
        """Nothing but the automatic key comes back, which every database tells."""
        if computed:
            # After the values, so that their parameters come last.
            fields += tuple(computed)
            nodes += [operand.node for operand in computed.values()]
        self.shape = ir.insert(info.id, fields, ir.values(*nodes), None, self.returning)
        self.loader: Loader | None = read_back(scope, self.returning)
        self.complete = complete_row(info) if self.returning else None
        self.states: dict[str, LoadState] = {}

    def params(self, values: dict[str, Any]) -> tuple[object, ...]:
        """The encodable values of an instance's dict."""
        return tuple(to_database(column, values[column.name]) for column in self.columns)

    def state(self, alias: str) -> LoadState:
        """The state shared by all rows inserted this way."""
        found = self.states.get(alias)
        if found is None:
            found = LoadState(alias, frozenset(column.name for column in self.scope.info.columns))
            self.states[alias] = found
        return found


def insert_plan(scope: Scope, values: dict[str, Any]) -> InsertPlan:
    """The plan for an instance: every column that is present, except generated ones and an unset automatic key."""
    names = tuple(
        column.name
        for column in scope.info.columns
        if column.name in values and not column.generated and not (column.auto and values[column.name] is None)
    )
    found: InsertPlan | None = scope.inserts.get(names)
    if found is None:
        if len(scope.inserts) >= _KEPT:
            scope.inserts.clear()
        found = scope.inserts[names] = InsertPlan(scope, names)
    return found


def take(scope: Scope, instance: Any, returned: dict[str, Any], complete: Complete | None) -> None:
    """Put what the database returned into an instance; it is set, as if it had been loaded.

    `complete` judges the whole row, as loading it would; it is not asked while some columns are deferred.
    """
    values = instance.__dict__
    if complete is not None:
        row = {column.name: values.get(column.name, _ABSENT) for column in scope.info.columns} | returned
        if not any(value is _ABSENT for value in row.values()):
            valid = complete(row)
            returned = {name: valid[name] for name in returned}
    values.update(returned)
    instance.__pydantic_fields_set__.update(returned)


class UpdatePlan:
    """How instances with the same columns present are updated."""

    __slots__ = ("columns", "complete", "generated", "loader", "present", "shape", "states", "validate")

    def __init__(self, scope: Scope, present: Iterable[str], chosen: tuple[str, ...] | None) -> None:
        info = scope.info
        there = set(present)
        self.present = frozenset(column.name for column in info.columns if column.name in there)
        self.columns: tuple[Column, ...] = tuple(
            column
            for column in info.columns
            if column.name in there
            and (chosen is None or column.name in chosen)
            and not column.primary_key
            and not column.generated
        )
        self.generated = tuple(column.name for column in info.columns if column.generated)
        self.loader = read_back(scope, self.generated)
        self.complete = complete_row(info) if self.generated else None
        self.validate = validator(scope, tuple(column.name for column in self.columns))
        self.states: dict[str, LoadState] = {}
        assignments = tuple((column.name, ir.param(column.type)) for column in self.columns)
        self.shape: ir.Node | None = None
        """None if there is nothing to write."""
        if assignments:
            self.shape = ir.update(info.id, assignments, scope.key_where, self.generated)

    def params(self, values: dict[str, Any]) -> tuple[object, ...]:
        """The encodable values of an instance's dict."""
        return tuple(to_database(column, values[column.name]) for column in self.columns)

    def state(self, alias: str) -> LoadState:
        """The state shared by all rows with these columns."""
        found = self.states.get(alias)
        if found is None:
            found = self.states[alias] = LoadState(alias, self.present | set(self.generated))
        return found


def update_plan(scope: Scope, values: dict[str, Any], chosen: tuple[str, ...] | None) -> UpdatePlan:
    """The plan for an instance's dict; `chosen` limits what is written."""
    key = (chosen, *values)
    found: UpdatePlan | None = scope.updates.get(key)
    if found is None:
        if len(scope.updates) >= _KEPT:
            scope.updates.clear()
        found = scope.updates[key] = UpdatePlan(scope, values, chosen)
    return found


def read_back(scope: Scope, fields: tuple[str, ...]) -> Loader | None:
    """How returned columns are read: validated, as loading the row would."""
    return scope.result(fields, "row", "needed").loader if fields else None


def validator(scope: Scope, names: tuple[str, ...]) -> Validator:
    """Validation of these fields in place; nothing where every assignment was validated already.

    A value that is valid as it is stays the same object: others may hold it.
    """
    if not names or scope.info.cls.model_config.get("validate_assignment"):
        return _valid
    elision = scope.info.elision
    if not elision.by_field:
        return _whole(scope, names)
    columns = tuple(column.name for column in scope.info.columns)
    if not elision.informed.isdisjoint(names):
        return _informed(scope, names, columns)
    run = elision.some(names, stored=False)

    def validate(values: dict[str, Any]) -> None:
        _settle(values, run({name: values[name] for name in names}))

    return validate


def _informed(scope: Scope, names: tuple[str, ...], columns: tuple[str, ...]) -> Validator:
    """Where a validator may ask for fields before its own, it gets all that the instance has."""

    known: dict[tuple[str, ...], Callable[[dict[str, Any]], dict[str, Any]]] = {}

    def validate(values: dict[str, Any]) -> None:
        present = tuple(name for name in columns if name in values)
        run = known.get(present)
        if run is None:
            if len(known) >= _KEPT:
                known.clear()
            run = known[present] = scope.info.validator(present)
        valid = run({name: values[name] for name in present})
        _settle(values, {name: valid[name] for name in names})

    return validate


def _whole(scope: Scope, names: tuple[str, ...]) -> Validator:
    """For a model that brings a core schema of its own: only an object with all its columns can be judged."""
    columns = tuple(column.name for column in scope.info.columns)
    run = scope.info.elision.all(columns)

    def validate(values: dict[str, Any]) -> None:
        if all(name in values for name in columns):
            made = run({name: values[name] for name in columns}).__dict__
            _settle(values, {name: made[name] for name in names})

    return validate


def _settle(values: dict[str, Any], valid: dict[str, Any]) -> None:
    for name, value in valid.items():
        before = values[name]
        if value is not before and (type(value) is not type(before) or value != before):
            values[name] = value


def _valid(values: dict[str, Any]) -> None:
    pass


def to_database(column: Column, value: Any) -> Any:
    """A field's value as the core encodes it; raises DataError for one that the column cannot hold."""
    if value is None or column.to_db is None:
        return value
    try:
        return column.to_db(value)
    except OxydeError:
        raise
    except Exception as error:
        raise unstorable(column, error) from error


def unstorable(column: Column, error: Exception) -> DataError:
    """The error for a value that could not be converted."""
    # A converter is users' code: its message may quote the value, its type does not.
    reason = str(error) if isinstance(error, UnstorableError) else f"its converter raised {type(error).__name__}"
    label = f"{column.info.table}.{column.column}"
    return DataError(f"{label}: the value cannot be stored: {reason}", table=column.info.table, column=column.column)


def run_bulk(database: Database, plan: InsertPlan, shape: ir.Node, rows: list[Any], *more: Any, **options: Any) -> Any:
    """`Database.run_bulk` of instances; raises DataError naming the column whose converter refuses a value."""
    return _converting(plan, rows, lambda to_db: database.run_bulk(shape, rows, plan.names, to_db, *more, **options))


def prepare_copy(
    database: Database, plan: InsertPlan, shape: ir.Node, rows: list[Any], loader: Loader | None, fill: Any
) -> Copy | None:
    """`Database.prepare_copy` of instances; raises as `run_bulk` does."""
    copy: Copy | None = _converting(
        plan, rows, lambda to_db: database.prepare_copy(shape, rows, plan.names, to_db, loader, fill)
    )
    return copy


def prepare_parts(
    database: Database, plan: InsertPlan, shape: ir.Node, rows: list[Any], loader: Loader | None, fill: Any
) -> Parts | None:
    """`Database.prepare_parts` of instances; raises as `run_bulk` does."""
    parts: Parts | None = _converting(
        plan, rows, lambda to_db: database.prepare_parts(shape, rows, plan.names, to_db, loader, None, fill)
    )
    return parts


def _converting(plan: InsertPlan, rows: list[Any], call: Callable[[tuple[Any, ...]], Any]) -> Any:
    try:
        return call(tuple(column.to_db for column in plan.columns))
    except OxydeError:
        raise
    except Exception:
        # The core does not know which one it was; ask them one after the other.
        for row in rows:
            plan.params(row.__dict__)
        raise
