"""`ModelInfo`: one table model as queries see it, made once the class is complete.

It belongs to its class (`Model.__oxyde__`) and lives as long.  Its number `id` names the model in query shapes; it is
given out, and the core told of the table, when the first query asks for it, so that defining models stays cheap.
"""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from pydantic_core import PydanticUndefined

from oxyde.exceptions import FieldError
from oxyde.models import core
from oxyde.models.annotations import unwrap
from oxyde.models.columns import Column
from oxyde.models.columntypes import column_type, limits_of
from oxyde.models.elision import Elision
from oxyde.models.keys import unique_keys
from oxyde.models.loading import LoaderMode, LoaderPlan, Validation, describe_loader, renamed
from oxyde.models.naming import nearest
from oxyde.models.options import DbOptions, options_of
from oxyde.models.pydantic_bridge import own_fields
from oxyde.models.relations import OF_RELATION, Relation, plan_of
from oxyde.models.tableoptions import table_options
from oxyde_core.types import kind_of

if TYPE_CHECKING:
    from oxyde.models.model import Model
    from oxyde_core import Loader

__all__ = ["ModelInfo"]

_numbers: Final = itertools.count(1)


class ModelInfo:
    """The columns and relations of one table model.

    `columns` in model order (a foreign key as its column, `author_id`); `by_name` finds a column by its field name, by
    the relation it belongs to (`author`) and, with a single key, as `pk`; `pk` are the key columns; `relations` by
    name; `ordering` and `database` are those of `class Meta`.
    """

    __slots__ = (
        "_elision",
        "_loaders",
        "by_name",
        "cls",
        "columns",
        "database",
        "id",
        "ordering",
        "pk",
        "relations",
        "schema",
        "settle",
        "table",
    )

    id: int

    def __init__(self, cls: type[Model], settle: object) -> None:
        options = table_options(cls)
        self.cls = cls
        self.settle = settle
        self.table = options.table_name
        self.schema = options.schema
        self.ordering = options.ordering
        self.database = options.database
        self.relations: dict[str, Relation] = plan_of(cls).relations
        self.columns = _columns(cls)
        self.pk = tuple(column for column in self.columns if column.primary_key)
        self.by_name: dict[str, Column] = {column.name: column for column in self.columns}
        for relation in plan_of(cls).foreign_keys:
            self.by_name[relation.name] = self.by_name[relation.column]
            relation.nullable = self.by_name[relation.column].nullable
        if len(self.pk) == 1:
            self.by_name.setdefault("pk", self.pk[0])
        for column in self.columns:
            column.info = self
        self._elision: Elision | None = None
        self._loaders: dict[tuple[object, ...], Loader] = {}

    def __getattr__(self, name: str) -> Any:
        if name != "id":
            raise AttributeError(name)
        number = next(_numbers)
        core.register_table(
            number,
            self.table,
            self.schema,
            tuple(
                (
                    item.name,
                    item.column,
                    item.type,
                    item.nullable,
                    item.primary_key,
                    item.auto,
                    item.generated,
                    item.options.type,
                    self._collation(item),
                )
                for item in self.columns
            ),
            unique_keys(self),
        )
        self.id = number
        weakref.finalize(self.cls, core.forget_table, number).atexit = False
        return number

    def _collation(self, column: Column) -> str | None:
        """The collation that is named for a column, or for the one that it refers to."""
        relation = None if column.relation is None else self.relations.get(column.relation)
        if column.options.collation is None and relation is not None and relation.kind == "fk":
            column = relation.target.__oxyde__.by_name[relation.target_field]
        named: str | None = column.options.collation
        return named

    @property
    def elision(self) -> Elision:
        """What loading a row has to validate."""
        if self._elision is None:
            self._elision = Elision(self.cls, self.columns, self.settle)
        return self._elision

    def column(self, name: str) -> Column:
        """The column of a field (or of a relation, or `pk`); raises FieldError naming the nearest field."""
        found = self.by_name.get(name)
        if found is not None:
            return found
        model = self.cls.__name__
        if name == "pk":
            raise FieldError(
                f"{model} has the composite key ({', '.join(item.name for item in self.pk)})"
                if self.pk
                else f"{model} has no primary key"
            )
        if name in self.relations:
            raise FieldError(f"{model}.{name} is a list of related rows and has no column")
        raise FieldError(f"{model} has no field {name!r}{nearest(name, self.by_name)}")

    def plan_loader(
        self,
        names: tuple[str, ...] | None = None,
        mode: LoaderMode = "model",
        validate: Validation = "needed",
        alias: str | None = None,
    ) -> LoaderPlan:
        """What the core's loader is told; see `oxyde.models.loading`.

        Without `names` all columns in model order.  Raises FieldError for an unknown name, ValueError for an unknown
        mode.
        """
        if mode not in {"model", "dict", "tuple", "scalar", "row"}:
            raise ValueError(f"unknown result mode {mode!r}: 'model', 'dict', 'tuple', 'scalar' or 'row'")
        if validate not in {"full", "needed", "off"}:
            raise ValueError(f"unknown validation {validate!r}: 'full', 'needed' or 'off'")
        columns = self.columns if names is None else tuple(self.column(name) for name in names)
        return describe_loader(self, columns, mode, validate, alias or self.database or "default")

    def validator(self, names: tuple[str, ...]) -> Callable[[dict[str, Any]], dict[str, Any]]:
        """The whole validation of some columns' values, constraints and validators included, without the others.

        Takes and returns a dict of exactly these columns; raises ValidationError.  Raises FieldError where the other
        columns are needed: a model with a core schema of its own, a validator that asks for a field not among these.
        """
        model = self.cls.__name__
        if not self.elision.by_field:
            raise FieldError(
                f"{model} validates as a whole, so that {', '.join(names)} cannot be validated alone: "
                "load the rows, change them and save() them"
            )
        run = self.elision.some(names, stored=False)
        if self.elision.informed.isdisjoint(names):
            return run

        def validate(values: dict[str, Any]) -> dict[str, Any]:
            try:
                return run(values)
            except KeyError as error:
                raise FieldError(
                    f"A validator of {model} ({', '.join(names)}) asks for the field {error.args[0]!r}, which is not "
                    "given: give it as well, or load the rows, change them and save() them"
                ) from error

        return validate

    def loader(
        self,
        names: tuple[str, ...] | None = None,
        mode: LoaderMode = "model",
        validate: Validation = "needed",
        alias: str | None = None,
        keys: tuple[str, ...] | None = None,
    ) -> Loader:
        """The core's loader for these columns, which dicts call by `keys`; made once and kept with the model."""
        if keys == names:
            keys = None
        key = (names, mode, validate, alias, keys)
        found = self._loaders.get(key)
        if found is None:
            plan = self.plan_loader(names, mode, validate, alias)
            if keys is not None:
                plan = renamed(plan, keys)
            found = self._loaders[key] = core.make_loader(plan)
        return found

    def __repr__(self) -> str:
        return f"<ModelInfo {self.cls.__name__} table={self.table!r}>"


def _columns(cls: type[Model]) -> tuple[Column, ...]:
    plan = plan_of(cls)
    found: list[Column] = []
    names: dict[str, str] = {}
    single_key = sum(options_of(field).pk for name, field in own_fields(cls).items() if name not in plan.relations) == 1
    for name, field in own_fields(cls).items():
        if name in plan.relations:
            continue
        where = f"{cls.__name__}.{name}"
        relation = plan.by_column.get(name)
        options = options_of(field)
        if relation is not None and options.derived_from is None:
            options = _shared_options(cls, relation, options)
        kind = column_type(where, field.annotation, field.metadata, options)
        inner = unwrap(field.annotation)
        if relation is not None:
            _check_key(where, relation, kind.tag)
        if options.nullable is not None:
            nullable = bool(options.nullable)
        else:
            nullable = inner.optional or inner.type is Any or _literal_none(inner.type)
        if options.pk:
            if options.nullable:
                raise FieldError(f"{where}: a primary key cannot be nullable")
            nullable = False
        serial = options.type is None or any(word in options.type.upper() for word in ("SERIAL", "AUTO", "IDENTITY"))
        auto = (
            options.pk
            and single_key
            and kind.python_type is int
            and serial
            and relation is None
            and field.default_factory is None
            and field.default in (None, PydanticUndefined)
            and options.default is PydanticUndefined
            and options.generated is None
        )
        column = Column(
            cls.__name__,
            name,
            field,
            options,
            kind,
            limits_of((*inner.metadata, *field.metadata)),
            nullable=nullable,
            auto=auto,
            relation=None if relation is None else relation.name,
        )
        other = names.setdefault(column.column, name)
        if other != name:
            raise FieldError(f"{where} and {other} have the same column {column.column!r}")
        found.append(column)
    return tuple(found)


def _literal_none(kind: Any) -> bool:
    from typing import Literal, get_args, get_origin

    return get_origin(kind) is Literal and None in get_args(kind)


def _shared_options(cls: type[Model], relation: Relation, declared: DbOptions) -> DbOptions:
    """A declared key column takes what its relation says about the column as well."""
    given = options_of(own_fields(cls)[relation.name]).given
    column = {name: value for name, value in given.items() if name not in OF_RELATION}
    optional = unwrap(own_fields(cls)[relation.column].annotation).optional
    if optional != relation.nullable and declared.nullable is None and "nullable" not in given:
        raise FieldError(
            f"{cls.__name__}: {relation.name} and {relation.column} must both be Optional or neither; "
            "or say with db_nullable what the column is"
        )
    return DbOptions({**column, **declared.given})


def _check_key(where: str, relation: Relation, tag: Any) -> None:
    key = relation.key_field()
    target = f"{relation.target.__name__}.{relation.target_field}"
    expected = column_type(target, key.annotation, key.metadata, options_of(key)).tag
    if kind_of(expected) != kind_of(tag):
        raise FieldError(f"{where} is {kind_of(tag)}, but its target {target} is {kind_of(expected)}")
