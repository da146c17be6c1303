"""`validate("needed")`: run Pydantic on a stored row only where it could change or refuse something.

A walker over the model's core schema gives each column one of

* *direct*: what the decoder makes for the column's type is already valid and stays the same object's equal;
* *field*: the field's own validator runs on the value;

and the model as a whole *whole*, when something looks at several fields at once (model validators, validators that
take `info`, a custom `__init__`).  Direct is a whitelist: a node counts only if every key in it is known to change
nothing for a value of exactly the decoded type; an unknown node, key or configuration makes the column *field*, an
unknown structure makes the model *whole*.  So a new Pydantic can only make loading slower, not wrong.

`validate("full")` runs the same validators on every column.  In both modes a JSON column is validated once, while its
text is read, and a row of which only some columns were loaded has no model-level validation, for want of the others.

Two types that look plain are not direct: a Decimal may be NaN, which Pydantic refuses, and a Literal names values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final, cast

from pydantic_core import CoreSchema, SchemaValidator, core_schema

from oxyde.models.pydantic_bridge import SchemaNode, build_validator, definitions_of, fields_node, model_node
from oxyde_core.types import kind_of

if TYPE_CHECKING:
    from oxyde.models.columns import Column
    from oxyde.models.model import Model

__all__ = ["Elision"]

_INERT: Final = frozenset({"type", "metadata", "serialization", "ref"})
"""Keys that no validator looks at."""

_PLAIN: Final[dict[str, frozenset[str]]] = {
    "int": frozenset({"big_integer", "integer", "small_integer"}),
    "str": frozenset({"string", "text"}),
    "float": frozenset({"double", "real"}),
    "bool": frozenset({"boolean"}),
    "bytes": frozenset({"blob"}),
    "date": frozenset({"date"}),
    "time": frozenset({"time"}),
    "datetime": frozenset({"date_time", "date_time_utc"}),
    "timedelta": frozenset({"timedelta"}),
    "uuid": frozenset({"uuid"}),
}
"""Schema types and the column kinds whose decoded values they accept as they are."""

_ZONES: Final = {"date_time": (None, "naive"), "date_time_utc": (None, "aware")}

_TEXT_CONFIG: Final = frozenset(
    {
        "str_strip_whitespace",
        "str_to_lower",
        "str_to_upper",
        "str_max_length",
        "str_min_length",
        "coerce_numbers_to_str",
    }
)
_HARMLESS_CONFIG: Final = frozenset(
    {
        "title",
        "strict",
        "extra_fields_behavior",
        "validate_by_alias",
        "validate_by_name",
        "serialize_by_alias",
        "populate_by_name",
        "loc_by_alias",
        "from_attributes",
        "frozen",
        "validate_default",
        "revalidate_instances",
        "hide_input_in_errors",
        "validation_error_cause",
        "cache_strings",
        "regex_engine",
        "ser_json_timedelta",
        "ser_json_temporal",
        "ser_json_bytes",
        "ser_json_inf_nan",
        "val_json_bytes",
        "val_temporal_unit",
        "allow_inf_nan",
    }
    | _TEXT_CONFIG
)
"""Configuration that is understood here: it acts on input that decoded values never are, or is asked about below."""

COMPUTED: Final = object()
"""Stands for a value that the database will compute, while Pydantic validates the others."""

_FUNCTIONS: Final = frozenset({"function-before", "function-after", "function-wrap", "function-plain"})


class Elision:
    """What loading a row of one model has to validate.

    `whole`: the model must be validated as a whole.  `direct`: columns that need nothing.  `takes_null`: columns for
    which NULL is valid without a look.  `informed`: columns with a validator that takes `info`.  Validators are built
    when they are first asked for.
    """

    __slots__ = (
        "_config",
        "_definitions",
        "_fields",
        "_model",
        "_ours",
        "_prevalidated",
        "_root",
        "cls",
        "direct",
        "informed",
        "takes_null",
        "whole",
    )

    def __init__(self, cls: type[Model], columns: Iterable[Column], ours: object) -> None:
        """`ours` is Oxyde's own function around `model-fields`, which does nothing for a stored row."""
        self.cls = cls
        root, self._definitions = definitions_of(cls.__pydantic_core_schema__)
        self._root = root
        model = model_node(root, cls)
        found = None if model is None else fields_node(model)
        columns = list(columns)
        self.direct: frozenset[str] = frozenset()
        self.informed: frozenset[str] = frozenset()
        self.takes_null: frozenset[str] = frozenset()
        self._prevalidated: frozenset[str] = frozenset()
        self._fields: dict[str, SchemaNode] | None = None
        self._model = model
        self._ours = ours
        if model is None or found is None:
            self._config: dict[str, Any] = {}
            self.whole = True
            return
        self._config = model.get("config") or {}
        self._fields = found[1]["fields"]
        nodes = {column.name: found[1]["fields"][column.name]["schema"] for column in columns}
        self.informed = informed = frozenset(name for name, node in nodes.items() if _uses_info(node))
        self._prevalidated = frozenset(
            column.name for column in columns if column.type == "json" and column.name not in informed
        )
        self.whole = (
            bool(informed)
            or bool(model.get("custom_init") or model.get("root_model"))
            or not _only_ours(root, model, found[1], ours)
        )
        self.takes_null = frozenset(name for name, node in nodes.items() if _takes_null(node))
        if self._config.keys() <= _HARMLESS_CONFIG:
            self.direct = frozenset(
                column.name
                for column in columns
                if _is_direct(nodes[column.name], kind_of(column.type), column, self._config)
            )

    def reads_json(self, column: Column) -> bool:
        """Whether the column's JSON text goes straight through the field's validator."""
        return column.name in self._prevalidated

    @property
    def by_field(self) -> bool:
        """Whether the model has validators of single fields at all: one whose schema is its own has not."""
        return self._fields is not None

    def field(self, name: str) -> SchemaValidator:
        """The validator of one field alone."""
        assert self._fields is not None
        return SchemaValidator(self._with_definitions(self._fields[name]["schema"]), self._config or None)  # type: ignore[arg-type]

    def some(self, names: Iterable[str], *, stored: bool) -> Callable[[dict[str, Any]], dict[str, Any]]:
        """Validation of some fields and nothing above them; errors name the fields.

        `stored`: the values come from a row, whose JSON columns have been validated while they were read.
        """
        assert self._fields is not None
        node = self._restricted(names, {"type": "model-fields", "model_name": self.cls.__name__}, stored)
        config = {**self._config, "title": self.cls.__name__}
        validate = SchemaValidator(self._with_definitions(node), config).validate_python  # type: ignore[arg-type]

        def run(values: dict[str, Any]) -> dict[str, Any]:
            result: dict[str, Any] = validate(values, from_attributes=False)[0]
            return result

        return run

    def all(self, names: Iterable[str]) -> Callable[[dict[str, Any]], Any]:
        """Validation of the model as a whole, from a dict of all its columns by field name to an instance."""
        model = self._model
        if self._fields is None or model is None or model.get("custom_init"):
            return self._construct
        node = _copied_path(self._root, lambda leaf: self._restricted(names, leaf, stored=True))
        return build_validator(self._with_definitions(node), self._config or None).validate_python

    def lacking(self, names: Iterable[str]) -> Callable[[dict[str, Any]], Any]:
        """Construction of an instance without some of its fields, which the database will compute.

        The other fields and the model's own validators run as ever.  Raises TypeError for a model that is validated
        in a way of its own.
        """
        model = self._model
        if self._fields is None or model is None or model.get("custom_init"):
            raise TypeError(f"{self.cls.__name__} validates in its own way, which needs every value")
        missing = tuple(names)

        def leave_out(output: tuple[dict[str, Any], Any, set[str]]) -> tuple[dict[str, Any], Any, set[str]]:
            for name in missing:
                del output[0][name]
            return output

        def standing_in(node: SchemaNode) -> SchemaNode:
            fields = dict(node["fields"])
            for name in missing:
                inner = fields[name]["schema"]
                while inner["type"] == "default":
                    inner = inner["schema"]
                given = core_schema.with_default_schema(inner, default=COMPUTED, validate_default=False)
                fields[name] = {**fields[name], "schema": given}
            return {**node, "fields": fields}

        def change(node: SchemaNode) -> SchemaNode:
            if node["type"] == "model-fields":
                changed = standing_in(node)
            elif node["type"] == "function-after" and node["function"].get("function") is self._ours:
                # Oxyde's own function settles keys and must see that one will come; the program's see it absent.
                changed = {**node, "schema": standing_in(node["schema"])}
            else:
                return {key: value for key, value in node.items() if key != "ref"} | {"schema": change(node["schema"])}
            return cast(SchemaNode, core_schema.no_info_after_validator_function(leave_out, cast(CoreSchema, changed)))

        run = build_validator(self._with_definitions(change(self._root)), self._config or None)
        return lambda data: run.validate_python(data, by_alias=True, by_name=True)

    def _construct(self, values: dict[str, Any]) -> Any:
        fields = self.cls.__pydantic_fields__
        by_name = self.cls.model_config.get("validate_by_name") or self.cls.model_config.get("populate_by_name")
        given = {
            name if by_name else _input_name(fields[name].validation_alias, name): value
            for name, value in values.items()
        }
        return self.cls(**given)

    def _restricted(self, names: Iterable[str], node: SchemaNode, stored: bool) -> SchemaNode:
        """A `model-fields` node of some columns, found by their field names."""
        assert self._fields is not None
        fields: dict[str, SchemaNode] = {}
        for name in names:
            field = {key: value for key, value in self._fields[name].items() if key != "validation_alias"}
            if stored and name in self._prevalidated:
                field["schema"] = {"type": "any"}
            fields[name] = field
        return {**node, "fields": fields}

    def _with_definitions(self, node: SchemaNode) -> Any:
        if not self._definitions:
            return node
        return {"type": "definitions", "schema": node, "definitions": self._definitions}


def _input_name(alias: Any, name: str) -> str:
    return alias if isinstance(alias, str) else name


def _copied_path(node: SchemaNode, change: Callable[[SchemaNode], SchemaNode]) -> SchemaNode:
    """A model's schema with another `model-fields` node; names of definitions are dropped from what is copied."""
    if node["type"] == "model-fields":
        return change(node)
    copy = {key: value for key, value in node.items() if key != "ref"}
    copy["schema"] = _copied_path(node["schema"], change)
    return copy


def _only_ours(root: SchemaNode, model: SchemaNode, fields: SchemaNode, ours: object) -> bool:
    """Whether nothing but Oxyde's own function stands around the model and its fields."""
    if root is not model:
        return False
    node = model["schema"]
    while node is not fields:
        if node["type"] != "function-after" or node["function"].get("function") is not ours:
            return False
        node = node["schema"]
    return True


def _uses_info(node: Any) -> bool:
    """Whether a validator takes `info`, and with it the values of the fields before; nested models have their own."""
    stack = [node]
    while stack:
        item = stack.pop()
        if isinstance(item, (list, tuple)):
            stack.extend(item)
        elif isinstance(item, dict):
            if item.get("type") in {"model", "dataclass", "typed-dict"}:
                continue
            if item.get("type") in _FUNCTIONS and item["function"].get("type") != "no-info":
                return True
            stack.extend(value for key, value in item.items() if key not in {"metadata", "serialization"})
    return False


def _inner(node: SchemaNode) -> SchemaNode:
    """What is below defaults, which play no part where a value is given."""
    while node["type"] == "default" and node.get("on_error", "raise") == "raise":
        node = node["schema"]
    return node


def _takes_null(node: SchemaNode) -> bool:
    return _inner(node)["type"] in {"nullable", "any", "none"}


def _is_direct(node: SchemaNode, kind: str, column: Column, config: dict[str, Any]) -> bool:
    """Whether a decoded value of the column's kind passes the node unchanged."""
    node = _inner(node)
    if node["type"] == "nullable":
        return node.keys() <= _INERT | {"schema", "strict"} and _is_direct(node["schema"], kind, column, config)
    if node["type"] == "any":
        return node.keys() <= _INERT
    if node["type"] == "enum":
        # The converter has made the member; one that is made up by `_missing_` is asked about again.
        members = column.from_db
        return (
            isinstance(members, dict)
            and node.keys() <= _INERT | {"cls", "members", "sub_type", "strict"}
            and all(isinstance(member, node["cls"]) for member in members.values())
        )
    if column.from_db is not None:
        return False
    return _is_plain(node, column.type, config)


def _is_plain(node: SchemaNode, tag: Any, config: dict[str, Any]) -> bool:
    kind, type_ = kind_of(tag), node["type"]
    keys = node.keys() - _INERT - {"strict"}
    if type_ == "list":
        if kind != "array" or not keys <= {"items_schema"} or "items_schema" not in node:
            return False
        item = node["items_schema"]
        if item["type"] == "nullable" and item.keys() <= _INERT | {"schema", "strict"}:
            item = item["schema"]
        return _is_plain(item, tag[1], config)
    if kind not in _PLAIN.get(type_, frozenset()):
        return False
    if type_ == "str" and not _TEXT_CONFIG.isdisjoint(config):
        return False
    if type_ == "float" and config.get("allow_inf_nan") is False:
        return False
    if type_ in {"datetime", "time", "timedelta"}:
        # Decoded values have whole microseconds, so that it does not matter how finer input would be rounded.
        keys -= {"microseconds_precision"}
    if type_ == "datetime" and node.get("tz_constraint") in _ZONES[kind]:
        keys -= {"tz_constraint"}
    return not keys
