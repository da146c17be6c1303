"""Foreign keys and lists of related rows, as far as a model's own class is concerned.

A field annotated with a table is a relation; its value is an object.  The column behind it is a field of its own,
`author_id` for `author: Author`, derived here unless the class declares it.  Both say the same thing, so they are kept
in step in two places only:

* validation (construction, `model_validate`, assignment with `validate_assignment`, nested models): one function after
  Pydantic's `model-fields`, `settler()`.  Relations, their columns and columns that the database fills have
  `pydantic.MISSING` as default, which it takes out again: an attribute that nobody gave is absent, not None;
* plain assignment: the handlers of `assignment_handlers()`.

Reading an absent attribute ends in `absent()`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, Literal, NoReturn, get_args, get_origin

from pydantic import MISSING, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import InitErrorDetails, PydanticCustomError, PydanticUndefined

from oxyde.exceptions import FieldError, NotLoadedError
from oxyde.models.annotations import unwrap
from oxyde.models.decorators import Unique
from oxyde.models.naming import nearest
from oxyde.models.options import DbOptions, options_of
from oxyde.models.pydantic_bridge import apply_config, own_fields, undefined
from oxyde.models.tableoptions import table_options

if TYPE_CHECKING:
    from oxyde.models.model import Model

__all__ = ["OF_RELATION", "Plan", "Relation", "absent", "assignment_handlers", "derive_fields", "plan_of", "settler"]

Settle = Callable[[tuple[dict[str, Any], Any, set[str]]], tuple[dict[str, Any], Any, set[str]]]


class Relation:
    """One relation of a model.

    For kind "fk": `column` is the field that holds the key, `target_field` the field of the target that it equals.
    For kind "reverse_fk": `remote` is the foreign key field of the target (or its column) that points back.
    For kind "m2m": `through` names the model that holds a foreign key to each side.
    """

    __slots__ = (
        "column",
        "deferrable",
        "kind",
        "name",
        "nullable",
        "on_delete",
        "on_update",
        "remote",
        "target",
        "target_field",
        "through",
    )

    def __init__(
        self,
        name: str,
        kind: Literal["fk", "reverse_fk", "m2m"],
        target: type[Model],
        options: DbOptions,
        *,
        nullable: bool = False,
        column: str = "",
        target_field: str = "",
    ) -> None:
        self.name = name
        self.kind: Final = kind
        self.target = target
        self.nullable = nullable
        self.column = column
        self.target_field = target_field
        self.on_delete: str = options.on_delete
        self.on_update: str = options.on_update
        self.deferrable: bool | str | None = options.deferrable
        self.remote: str | None = options.reverse_fk
        self.through: str | None = options.through

    def key_field(self) -> FieldInfo:
        """The target's field that the key equals; derived there as well if it is the column of a relation."""
        found = own_fields(self.target).get(self.target_field)
        return found if found is not None else derive_fields(self.target)[1][self.target_field]

    def __repr__(self) -> str:
        return f"Relation({self.name!r}, {self.kind!r}, {self.target.__name__})"


class Plan:
    """What the class of a table adds to its Pydantic fields.

    `relations` by name; `by_column`: foreign keys by their column's field name; `lazy`: columns that the database fills
    when nothing was given; `defaults`: columns of foreign keys whose own default holds when neither spelling was given.
    """

    __slots__ = ("by_column", "defaults", "lazy", "relations")

    def __init__(self) -> None:
        self.relations: dict[str, Relation] = {}
        self.by_column: dict[str, Relation] = {}
        self.lazy: list[str] = []
        self.defaults: dict[str, FieldInfo] = {}

    @property
    def foreign_keys(self) -> list[Relation]:
        return list(self.by_column.values())

    @property
    def lists(self) -> list[str]:
        return [name for name, relation in self.relations.items() if relation.kind != "fk"]

    @property
    def wrapped(self) -> list[str]:
        """The fields that may be absent from an instance."""
        return [*self.relations, *self.by_column, *(name for name in self.lazy if name not in self.by_column)]


_EMPTY: Final = Plan()


def plan_of(cls: type) -> Plan:
    """The plan of exactly this class; an empty one for a class that is no table or is not finished."""
    plan: Plan = cls.__dict__.get("__oxyde_plan__", _EMPTY)
    return plan


def derive_fields(cls: type[Model]) -> tuple[Plan, dict[str, FieldInfo]]:
    """Find the relations of a table and the fields to be added for them.

    Returns the plan and all fields in model order, each derived column right after its relation.  Raises FieldError for
    a relation that cannot be: a target that is no table or has a composite key, a default other than None, a list
    without the way back.
    """
    plan = Plan()
    fields: dict[str, FieldInfo] = {}
    present = own_fields(cls)
    for name, field in present.items():
        options = options_of(field)
        if options.derived_from is not None:
            continue
        fields[name] = field
        kind, target = _relation_target(cls, name, field, options)
        if target is None:
            if field.is_required() and (options.default is not PydanticUndefined or options.generated is not None):
                plan.lazy.append(name)
        elif kind == "fk":
            relation = _foreign_key(cls, name, field, options, target)
            if relation.column in plan.by_column:
                other = plan.by_column[relation.column].name
                raise FieldError(f"{cls.__name__}.{name} and {other} share the column field {relation.column!r}")
            plan.relations[name] = plan.by_column[relation.column] = relation
            declared = present.get(relation.column)
            if declared is None or options_of(declared).derived_from is not None:
                fields[relation.column] = _derived(cls, relation, field)
            elif not declared.is_required():
                plan.defaults[relation.column] = declared
        else:
            plan.relations[name] = Relation(name, kind, target, options)
    return plan, fields


def _relation_target(
    cls: type[Model], name: str, field: FieldInfo, options: DbOptions
) -> tuple[Literal["fk", "reverse_fk", "m2m"], type[Model] | None]:
    where = f"{cls.__name__}.{name}"
    inner = unwrap(field.annotation).type
    item = unwrap(get_args(inner)[0]).type if get_origin(inner) is list and get_args(inner) else None
    if options.virtual:
        if item is None or not _is_model(item):
            raise FieldError(f'{where}: a list of related rows is annotated with list["Model"], not {field.annotation}')
        _require_table(where, item)
        return "m2m" if options.m2m else "reverse_fk", item
    if item is not None and _is_model(item) and table_options(item).is_table:
        raise FieldError(
            f'{where}: a list of rows of {item.__name__} needs db_reverse_fk="…" (its foreign key to this model) '
            "or db_m2m=True with db_through"
        )
    if not _is_model(inner):
        if options.fk is not None:
            raise FieldError(f"{where}: db_fk is for a field annotated with a model, not {field.annotation}")
        return "fk", None
    if options.converter is not None or options.type is not None:
        # Stored in one column by the program's own rules: no relation.
        return "fk", None
    _require_table(where, inner)
    return "fk", inner


def _is_model(kind: Any) -> bool:
    from oxyde.models.metaclass import OxydeMeta

    return isinstance(kind, OxydeMeta)


def _require_table(where: str, target: type) -> None:
    if not table_options(target).is_table:
        raise FieldError(
            f"{where}: {target.__name__} is no table; put is_table = True into its class Meta, or derive it from "
            "pydantic.BaseModel if it is a value to be stored as JSON"
        )


def _foreign_key(cls: type[Model], name: str, field: FieldInfo, options: DbOptions, target: type[Model]) -> Relation:
    where = f"{cls.__name__}.{name}"
    if field.default_factory is not None or field.default not in (None, PydanticUndefined):
        raise FieldError(f"{where}: the default of a relation is None or nothing; give its column field a default")
    if options.default is not PydanticUndefined or options.generated is not None:
        raise FieldError(f"{where}: declare the column field itself to give it a default of the database")
    keys = [(key, options_of(item)) for key, item in own_fields(target).items()]
    column_names = [key for key, item in keys if item.pk and item.derived_from is None]
    if options.fk is not None:
        known = [key for key, item in own_fields(target).items() if not options_of(item).virtual]
        if options.fk not in known:
            raise FieldError(f"{where}: {target.__name__} has no field {options.fk!r}{nearest(options.fk, known)}")
        key = options.fk
        if column_names != [key] and not _is_unique(target, key):
            raise FieldError(f"{where}: {target.__name__}.{key} is not unique, so no foreign key can point to it")
    elif len(column_names) == 1:
        key = column_names[0]
    elif not column_names:
        raise FieldError(f"{where}: {target.__name__} has no primary key (db_pk=True); name a unique field with db_fk")
    else:
        raise FieldError(
            f"{where}: {target.__name__} has the composite key ({', '.join(column_names)}), and a foreign key holds "
            "one column; name a unique field with db_fk"
        )
    # A key that is itself a relation is known by its column: `profile_user_id`.
    inner = own_fields(target)[key]
    if not inner._complete:
        raise undefined(target)
    nested = unwrap(inner.annotation).type
    if _is_model(nested) and options_of(inner).converter is None:
        key = f"{key}_{_foreign_key(target, key, inner, options_of(inner), nested).target_field}"
    optional = unwrap(field.annotation).optional
    return Relation(name, "fk", target, options, nullable=optional, column=f"{name}_{key}", target_field=key)


def _is_unique(target: type[Model], name: str) -> bool:
    if options_of(own_fields(target)[name]).unique:
        return True
    meta = table_options(target)
    groups = [*meta.unique_together, *(item.fields for item in meta.constraints if isinstance(item, Unique))]
    return any(list(group) == [name] for group in groups)


def _derived(cls: type[Model], relation: Relation, field: FieldInfo) -> FieldInfo:
    key = relation.key_field()
    inner = unwrap(key.annotation)
    annotation: Any = inner.type
    if relation.nullable:
        annotation = annotation | None if isinstance(annotation, type) else _optional(annotation)
    metadata = [*inner.metadata, *(item for item in key.metadata if not isinstance(item, DbOptions))]
    given = {name: value for name, value in options_of(field).given.items() if name not in OF_RELATION}
    converter = options_of(key).converter
    if converter is not None:
        given.setdefault("converter", converter)
    derived = FieldInfo(annotation=annotation, frozen=field.frozen, default=None if relation.nullable else ...)
    derived.metadata = [*metadata, DbOptions({**given, "derived_from": relation.name})]
    apply_config(cls, relation.column, derived)
    return derived


OF_RELATION: Final = frozenset({"fk", "on_delete", "on_update", "deferrable"})
"""Options of a relation that say nothing about its column."""


def _optional(annotation: Any) -> Any:
    from typing import Optional

    return Optional[annotation]  # noqa: UP045 - the annotation is only known at run time


def _key_of(obj: Any, field: str) -> Any:
    """The key of a related object; None while the object is not saved."""
    return None if obj is None else obj.__dict__.get(field)


def settler(cls: type[Model], plan: Plan) -> Settle:
    """The function that follows `model-fields`: takes MISSING out, derives keys and reports conflicts.

    It sees every validation of the class: construction, where each absent field is MISSING, and assignment, where the
    dict holds what the instance holds and the set names the one field that is assigned.
    """
    keys = tuple(
        (relation.name, column, relation.target_field, column in plan.defaults or relation.nullable)
        for column, relation in plan.by_column.items()
    )
    lists = tuple(plan.lists)
    lazy = tuple(name for name in plan.lazy if name not in plan.by_column)

    def settle(output: tuple[dict[str, Any], Any, set[str]]) -> tuple[dict[str, Any], Any, set[str]]:
        values = output[0]
        errors: list[InitErrorDetails] | None = None
        for name, column, target_field, optional in keys:
            obj = values.get(name, values)
            if obj is MISSING:
                del values[name]
                if values[column] is MISSING:
                    if optional:
                        values[column] = _default(plan, column, values)
                    else:
                        del values[column]
                        errors = _add(errors, column, "missing", values)
            elif obj is not values:
                errors = _both(
                    errors, output, name, column, obj, None if obj is None else obj.__dict__.get(target_field)
                )
        for name in lists:
            if values.get(name) is MISSING:
                del values[name]
            elif name in output[2]:
                errors = _add(errors, name, _LIST_GIVEN, values.pop(name))
        for name in lazy:
            if values.get(name) is MISSING:
                del values[name]
        if errors:
            raise ValidationError.from_exception_data(cls.__name__, errors)
        return output

    return settle


def _both(errors: Any, output: Any, name: str, column: str, obj: Any, key: Any) -> Any:
    """A relation that is present, with or without its column."""
    values, _, given = output
    stored = values.get(column, MISSING)
    if stored is MISSING:
        if key is None and obj is not None:
            # Not saved yet: the key is taken when the instance is saved.
            values.pop(column, None)
        else:
            values[column] = key
            given.add(column)
    elif stored != key:
        if name in given and column in given:
            return _add(errors, column, _CONFLICT(name, column), stored)
        if column in given:
            del values[name]
        elif name in given:
            given.add(column)
            if key is None and obj is not None:
                del values[column]
            else:
                values[column] = key
    return errors


def _default(plan: Plan, column: str, values: dict[str, Any]) -> Any:
    field = plan.defaults.get(column)
    return None if field is None else field.get_default(call_default_factory=True, validated_data=values)


def _add(errors: Any, name: str, kind: Any, value: Any) -> list[InitErrorDetails]:
    found: list[InitErrorDetails] = errors or []
    found.append({"type": kind, "loc": (name,), "input": value})
    return found


def _CONFLICT(name: str, column: str) -> PydanticCustomError:  # noqa: N802 - stands beside the constant below
    return PydanticCustomError(
        "relation_conflict",
        "{name} and {column} were both given and name different rows",
        {"name": name, "column": column},
    )


_LIST_GIVEN: Final = PydanticCustomError(
    "relation_list_given",
    "A list of related rows cannot be given: create the related objects, or use relation(obj, …).add(…)",
)


def assignment_handlers(cls: type[Model], plan: Plan) -> Mapping[str, Callable[[Any, str, Any], None]]:
    """How relations and their columns are assigned where Pydantic does not validate assignments.

    Frozen fields are left to Pydantic, which refuses them; with `validate_assignment` the settler does the work.
    """
    config = cls.model_config
    handlers: dict[str, Callable[[Any, str, Any], None]] = {}
    if config.get("frozen"):
        return handlers
    fields = own_fields(cls)
    for relation in plan.relations.values():
        if relation.kind != "fk":
            handlers[relation.name] = _refuse_list
        elif not config.get("validate_assignment"):
            if not fields[relation.name].frozen:
                handlers[relation.name] = _set_object(relation)
            if not fields[relation.column].frozen:
                handlers[relation.column] = _set_key(relation)
    return handlers


def _set_object(relation: Relation) -> Callable[[Any, str, Any], None]:
    name, column, target, target_field = relation.name, relation.column, relation.target, relation.target_field

    def assign(instance: Any, _: str, value: Any) -> None:
        if value is not None and not isinstance(value, target):
            # Without this the key would silently be read from an object of another kind.
            raise TypeError(
                f"{type(instance).__name__}.{name} takes a {target.__name__} or None, not {type(value).__name__}"
                f" (a key is assigned to {column})"
            )
        values, given = instance.__dict__, instance.__pydantic_fields_set__
        key = _key_of(value, target_field)
        values[name] = value
        given.add(name)
        given.add(column)
        if key is None and value is not None:
            values.pop(column, None)
        else:
            values[column] = key

    return assign


def _set_key(relation: Relation) -> Callable[[Any, str, Any], None]:
    name, column, target_field = relation.name, relation.column, relation.target_field

    def assign(instance: Any, _: str, value: Any) -> None:
        values = instance.__dict__
        values[column] = value
        instance.__pydantic_fields_set__.add(column)
        if name in values and _key_of(values[name], target_field) != value:
            del values[name]

    return assign


def _refuse_list(instance: Any, name: str, value: Any) -> NoReturn:
    raise TypeError(
        f"{type(instance).__name__}.{name} is a list of related rows and cannot be assigned: "
        f'use relation(obj, "{name}").set(…) or assign the foreign key of the related objects'
    )


def absent(instance: Any, name: str) -> Any:
    """The value of a field that is not in the instance's dict, where it is known; raises NotLoadedError otherwise."""
    cls = type(instance)
    plan = plan_of(cls)
    values = instance.__dict__
    relation = plan.relations.get(name)
    if relation is None:
        relation = plan.by_column.get(name)
        if relation is not None and relation.name in values:
            # The related object was not saved when it was given; perhaps it is now.
            key = _key_of(values[relation.name], relation.target_field)
            if key is None:
                raise NotLoadedError(
                    f"{cls.__name__}.{name} is not known: the {relation.target.__name__} in {relation.name!r} is not "
                    "saved yet; save it first"
                )
            values[name] = key
            return key
        raise NotLoadedError(_absent_column(instance, cls.__name__, name))
    if relation.kind == "fk":
        if values.get(relation.column, values) is None:
            return None
        raise NotLoadedError(
            f'{cls.__name__}.{name} was not loaded: add .join("{name}") or .prefetch("{name}") to the query'
        )
    raise NotLoadedError(f'{cls.__name__}.{name} was not loaded: add .prefetch("{name}") to the query')


def _absent_column(instance: Any, model: str, name: str) -> str:
    state = instance._oxyde_state
    if state is not None:
        return (
            f"{model}.{name} was not loaded: leave it out of defer() or add it to only(), "
            f'or await obj.refresh("{name}")'
        )
    if name in plan_of(type(instance)).lazy:
        return f"{model}.{name} is filled in by the database: it is known once the object is saved"
    return f"{model}.{name} has no value: the object was made without it"
