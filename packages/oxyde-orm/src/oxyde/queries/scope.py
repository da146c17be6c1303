"""What the queries on one model share: its lookups resolved once, its kinds of result, its ready shapes.

A `Scope` belongs to one `ModelInfo` and is kept on the class, so that it lives exactly as long; a redefined class
has a new one.  Everything in it is derived from the model and bounded by the model's fields.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, cast

from pydantic import TypeAdapter

from oxyde.exceptions import FieldError
from oxyde.queries.lookups import AnyLookup, Expression, KeyLookup, Lookup, Operand, make_lookup, unsupported
from oxyde_core import Loader, ir
from oxyde_core.types import TypeTag, kind_of

if TYPE_CHECKING:
    from oxyde.models.columns import Column
    from oxyde.models.info import ModelInfo
    from oxyde.models.loading import LoaderMode, Validation
    from oxyde.models.relations import Relation
    from oxyde.queries.ordering import Order
    from oxyde.queries.plans import InsertPlan, UpdatePlan, Validator

CONTROLS: Final = frozenset({"using", "client", "defaults", "returning", "instance", "nulls"})
"""Keywords of builders and terminals; where the model has a field of that name the keyword means the field."""

_LOOKUPS: Final = 1024


class _Unset:
    """The default of a control argument: None is a value that a field of the same name may be asked for."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "<not given>"


UNSET: Final[Any] = _Unset()


class Result:
    """One kind of result: the fields that are selected and how a row becomes a Python object."""

    __slots__ = ("fields", "keys", "kind", "loader", "validate")

    def __init__(
        self, fields: tuple[str, ...], keys: tuple[str, ...], kind: LoaderMode, validate: Validation, loader: Loader
    ) -> None:
        self.fields = fields
        self.keys = keys
        self.kind: LoaderMode = kind
        self.validate: Validation = validate
        self.loader = loader


class Scope:
    """The query-building caches of one model."""

    __slots__ = (
        "_adapter",
        "_aliases",
        "_lookups",
        "_ordering",
        "_results",
        "controls",
        "foreign_keys",
        "info",
        "inserts",
        "key",
        "key_order",
        "key_where",
        "name",
        "partial",
        "settings",
        "together",
        "updates",
        "validators",
        "whole",
    )

    def __init__(self, info: ModelInfo) -> None:
        self.info = info
        self.name: str = info.cls.__name__
        self.controls: frozenset[str] = CONTROLS.intersection(info.by_name)
        self.key: tuple[str, ...] = tuple(column.name for column in info.pk)
        self.key_order: Order = (tuple(ir.order(ir.column(name)) for name in self.key), ())
        self.key_where: ir.Node = _equal(info.pk)
        self._ordering: Order | None = None
        self.foreign_keys: tuple[Relation, ...] = tuple(
            relation for relation in info.relations.values() if relation.kind == "fk"
        )
        self.inserts: dict[tuple[str, ...], InsertPlan] = {}
        self.updates: dict[tuple[object, ...], UpdatePlan] = {}
        self.validators: dict[tuple[str, ...], Validator] = {}
        self.together: dict[tuple[str, ...], Callable[[dict[str, Any]], dict[str, Any]]] = {}
        self.settings: dict[tuple[object, ...], tuple[tuple[Column, ...], tuple[tuple[str, ir.Node], ...]]] = {}
        self.partial: dict[tuple[str, ...], Callable[[dict[str, Any]], Any]] = {}
        self._lookups: dict[str, AnyLookup] = {}
        self._results: dict[tuple[object, ...], Result] = {}
        self._aliases: frozenset[str] | None = None
        self._adapter: TypeAdapter[list[Any]] | None = None
        self.whole: Result = self.result(tuple(column.name for column in info.columns), "model", "needed")

    # Names

    def column(self, name: object) -> Column:
        """The column of a field given by name, F or class attribute; raises FieldError naming near fields."""
        if isinstance(name, Expression):
            operand = name.build(self)
            if operand.column is None or operand.node[0] != "col":
                raise FieldError(f"A field of {self.name} is needed here, not the expression {name!r}")
            return operand.column
        if not isinstance(name, str):
            raise FieldError(f"A field of {self.name} is given by its name, not by a {type(name).__name__}")
        if name == "pk" and "pk" not in self.info.by_name:
            raise FieldError(f"The primary key of {self.name} is composite: name its fields {', '.join(self.key)}")
        return self.info.column(name)

    def columns(self, names: tuple[object, ...]) -> list[Column]:
        """Several fields; `pk` of a composite key stands for all its fields."""
        found: list[Column] = []
        for name in names:
            if isinstance(name, str) and name == "pk" and len(self.key) > 1:
                found.extend(self.info.pk)
            else:
                found.append(self.column(name))
        return found

    def operand(self, name: str) -> Operand:
        """The field as an operand."""
        column = self.column(name)
        return Operand(ir.column(column.name), (), column.type, column.name, column)

    # Lookups

    def lookup(self, key: str) -> AnyLookup:
        """The lookup that a filter keyword names, resolved once.

        Raises FieldError for an unknown field and FieldLookupError for a lookup that the field does not have.
        """
        found = self._lookups.get(key)
        if found is None:
            found = self._resolve(key)
            if len(self._lookups) >= _LOOKUPS:
                # A list has as many items as a request cares to name; forget them rather than grow without end.
                self._lookups.clear()
            self._lookups[key] = found
        return found

    def lookup_on(self, operand: Operand, name: str) -> AnyLookup:
        """A lookup on a bare column, resolved once."""
        return self.lookup(f"{operand.label}__{name}")

    def _resolve(self, key: str) -> AnyLookup:
        field, rest = key, None
        # The longest name first: a field may have a double underscore in it.
        while field not in self.info.by_name and not (field == "pk" and len(self.key) > 1):
            field, separator, last = field.rpartition("__")
            if not separator or not field:
                self.info.column(key.partition("__")[0] or key)
                raise FieldError(f"{self.name} has no field {key!r}")
            rest = last if rest is None else f"{last}__{rest}"
        name = "exact" if rest is None else rest
        if field == "pk" and len(self.key) > 1:
            return KeyLookup(tuple(self._part(part) for part in self.key), name)
        column = self.info.by_name[field]
        if kind_of(column.type) == "array":
            part, _, name = name.partition("__")
            inside = self._inside(column, field, part)
            if inside is not None:
                return make_lookup(inside, name or "exact")
            name = f"{part}__{name}" if name else part
        if "__" in name:
            raise unsupported(name, field, column.lookups)
        return make_lookup(Operand(ir.column(column.name), (), column.type, field, column), name)

    def _inside(self, column: Column, field: str, part: str) -> Operand | None:
        """The length of a list, or one of its items."""
        node = ir.column(column.name)
        if part == "length":
            return Operand(ir.func("length", node), (), "big_integer", f"{field}__length")
        # The numbers that are an index; int() would also take other scripts' digits, and refuse thousands of them.
        if part.isascii() and part.isdecimal() and len(part) < 10:
            item = cast(TypeTag, column.type[1])
            return Operand(ir.item(node, ir.param("big_integer")), (int(part),), item, f"{field}__{part}")
        return None

    def _part(self, name: str) -> Lookup:
        return make_lookup(self.operand(name), "exact")

    @property
    def ordering(self) -> Order:
        """The order that `Meta.ordering` gives."""
        found = self._ordering
        if found is None:
            from oxyde.queries.ordering import NO_ORDER, resolve_order

            terms = tuple(self.info.ordering)
            found = self._ordering = resolve_order(self, terms) if terms else NO_ORDER
        return found

    @property
    def aliases(self) -> frozenset[str]:
        """The names by which Pydantic takes fields besides their own."""
        found = self._aliases
        if found is None:
            found = self._aliases = frozenset(
                name
                for field in self.info.cls.model_fields.values()
                for name in (field.alias, field.validation_alias)
                if isinstance(name, str)
            )
        return found

    # Results

    def result(
        self,
        fields: tuple[str, ...],
        kind: LoaderMode,
        validate: Validation,
        alias: str | None = None,
        *,
        keys: tuple[str, ...] | None = None,
    ) -> Result:
        """The result of selecting `fields` as `kind`, made once; instances remember the alias that they came from.

        `keys`: how dicts call the fields.
        """
        if keys is None or kind != "dict":
            keys = fields
        key = (fields, keys, kind, validate, alias)
        found = self._results.get(key)
        if found is None:
            loader = self.info.loader(fields, kind, validate, alias, keys)
            if len(self._results) >= 256:
                # Field combinations are the caller's choice; forget them all rather than grow without end.
                self._results.clear()
            found = self._results[key] = Result(fields, keys, kind, validate, loader)
        return found

    @property
    def adapter(self) -> TypeAdapter[list[Any]]:
        """Serialises a list of this model's instances."""
        adapter = self._adapter
        if adapter is None:
            adapter = self._adapter = TypeAdapter(list[self.info.cls])  # type: ignore[name-defined]
        return adapter

    # Control arguments

    def controls_given(self, lookups: dict[str, Any], **controls: Any) -> list[Any]:
        """Sort out control arguments whose name is also a field: those become lookups.

        Returns the control values, None (or the given default) where the keyword meant a field or was not used.
        """
        found: list[Any] = []
        for name, value in controls.items():
            if value is UNSET:
                found.append(None)
            elif name in self.controls:
                lookups[name] = value
                found.append(None)
            else:
                found.append(value)
        return found


def _equal(columns: tuple[Column, ...]) -> ir.Node:
    """The condition that a row has a certain primary key."""
    nodes = [ir.compare("eq", ir.column(column.name), ir.param(column.type)) for column in columns]
    return nodes[0] if len(nodes) == 1 else ir.and_(*nodes)


def scope_of(model: type[Any]) -> Scope:
    """The scope of a table model; raises TypeError for a class that is no complete table."""
    scope: Scope | None = model.__dict__.get("__oxyde_scope__")
    info: ModelInfo = model.__oxyde__
    if scope is None or scope.info is not info:
        scope = Scope(info)
        type.__setattr__(model, "__oxyde_scope__", scope)
    return scope
