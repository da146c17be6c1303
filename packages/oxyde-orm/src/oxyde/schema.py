"""The schema document: what tables the models describe, as plain JSON-safe dicts.

`create_tables`, migrations and checks all start from `describe()`.  The document depends on the models alone: tables
are sorted by name, everything inside them stands in the order of the class, and names that Oxyde makes up are always
the same.  Conditions and expressions are trees of the query contract (`oxyde_core.ir`) as lists, with the values of
their parameters beside them, which the core writes as literals of the database.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, cast
from uuid import UUID

from pydantic_core import PydanticUndefined

from oxyde.exceptions import FieldError
from oxyde.models.columns import Column
from oxyde.models.decorators import Check, Index, Unique
from oxyde.models.field import is_expression
from oxyde.models.keys import field_name
from oxyde.models.naming import nearest, shorten
from oxyde.models.registry import assert_no_pending_models
from oxyde.models.relations import Relation
from oxyde.models.tableoptions import table_options
from oxyde_core import ir
from oxyde_core.types import TypeTag, kind_of

if TYPE_CHECKING:
    from oxyde.models.info import ModelInfo
    from oxyde.models.model import Model

__all__ = ["describe"]

Document = dict[str, Any]


def describe(models: Iterable[type[Model]]) -> Document:
    """The schema document of the given table models.

    Raises RuntimeError if a model refers to one that is not defined, FieldError for an unknown name in an index or
    constraint, ValueError for two indexes, constraints or enums with one name.

    >>> describe([User])["tables"][0]["name"]   # doctest: +SKIP
    'user'
    """
    assert_no_pending_models()
    infos = sorted((model.__oxyde__ for model in models), key=lambda info: (info.schema or "", info.table))
    return {
        "ir_version": ir.IR_VERSION,
        "tables": [_Table(info).document() for info in infos],
        "enums": _enums(infos),
    }


def _enums(infos: list[ModelInfo]) -> list[Document]:
    found: dict[str, tuple[tuple[str, ...], str]] = {}
    for info in infos:
        for column in info.columns:
            tag = column.type
            while kind_of(tag) == "array":
                tag = cast(TypeTag, tag[1])
            if kind_of(tag) != "enum" or column.options.type is not None:
                continue
            name, values = cast("tuple[str, tuple[str, ...]]", tag[1:])
            where = f"{column.model}.{column.name}"
            known = found.setdefault(name, (values, where))
            if known[0] != values:
                raise ValueError(
                    f"The enums of {known[1]} and {where} are both called {name!r} in the database; rename one"
                )
    return [{"name": name, "values": list(values)} for name, (values, _) in sorted(found.items())]


class _Table:
    """Collects the document of one table."""

    def __init__(self, info: ModelInfo) -> None:
        self.info = info
        self.options = table_options(info.cls)
        self.names: dict[str, str] = {}

    def document(self) -> Document:
        info = self.info
        return {
            "name": info.table,
            "schema": info.schema,
            "comment": self.options.comment,
            "fields": [self.field(column) for column in info.columns],
            "indexes": self.indexes(),
            "foreign_keys": [self.foreign_key(item) for item in info.relations.values() if item.kind == "fk"],
            "checks": self.checks(),
            "uniques": self.uniques(),
            "primary_key": [column.column for column in info.pk],
        }

    # Columns

    def field(self, column: Column) -> Document:
        options = column.options
        found: Document = {
            "name": column.column,
            "field": column.name,
            "column_type": type_document(column.type),
            "nullable": column.nullable,
            "primary_key": column.primary_key,
            "unique": bool(options.unique),
            "db_type": options.type,
            "default": self.expression(column.db_default) if column.has_db_default else None,
            "auto_increment": column.auto,
            "max_length": column.limits.max_length,
            "max_digits": column.limits.max_digits,
            "decimal_places": column.limits.decimal_places,
            "comment": options.comment,
            "collation": options.collation,
            "generated": None,
        }
        if column.generated:
            stored = True if options.stored is None else options.stored
            found["generated"] = {"expression": self.expression(options.generated), "stored": stored}
        value = default_literal(column)
        if value is not None:
            found["default_value"] = value
        return found

    def column_name(self, field: str) -> str:
        column = self.info.by_name.get(field)
        if column is None:
            by_column = {item.column: item for item in self.info.columns}
            if field not in by_column:
                model = self.info.cls.__name__
                raise FieldError(f"{model}.Meta: {model} has no field {field!r}{nearest(field, self.info.by_name)}")
            column = by_column[field]
        return column.column

    # Expressions

    def expression(self, value: Any) -> Any:
        """SQL text as it is; an expression as its tree and the values in it."""
        if isinstance(value, str):
            return value
        if not is_expression(value):
            model = self.info.cls.__name__
            raise TypeError(f"{model}: SQL text or an Oxyde expression is needed here, not {type(value).__name__}")
        from oxyde.queries.scope import scope_of

        operand = value.build(scope_of(self.info.cls))
        if operand.node[0] == "sql" and not operand.params:
            return operand.node[1]
        values = [
            {"type": _listed(tag), "value": literal_document(item)}
            for tag, item in zip(ir.slots(operand.node), operand.params, strict=True)
        ]
        return {"predicate": _listed(operand.node), "values": values}

    def condition(self, value: Any) -> Any:
        return None if value is None else self.expression(value)

    # Indexes and constraints

    def named(self, given: str | None, parts: Iterable[str], suffix: str) -> str:
        name = shorten(given or "_".join([self.info.table, *parts, suffix]))
        if name in self.names:
            raise ValueError(
                f"{self.info.cls.__name__}.Meta: {self.names[name]} and another one are both called {name!r}; "
                "give one of them a name"
            )
        self.names[name] = f"an item ending in {suffix!r}" if given is None else "one"
        return name

    def indexes(self) -> list[Document]:
        found = [
            self.index(Index([column.name], name=column.options.index_name, method=column.options.index_method))
            for column in self.info.columns
            if column.options.index
        ]
        return found + [self.index(index) for index in self.options.indexes]

    def index(self, index: Index) -> Document:
        fields: list[Any] = []
        parts: list[str] = []
        for position, item in enumerate(index.fields, 1):
            name = field_name(item)
            if name is not None:
                fields.append(self.column_name(name))
                parts.append(fields[-1])
            else:
                fields.append({"expression": self.expression(item)})
                parts.append(f"expr{position}")
        opclasses = index.opclasses and {self.column_name(key): value for key, value in index.opclasses.items()}
        return {
            "name": self.named(index.name, parts, "idx"),
            "fields": fields,
            "unique": index.unique,
            "method": index.method,
            "where": self.condition(index.where),
            "include": [self.plain(item, "include") for item in index.include],
            "opclasses": opclasses or None,
        }

    def plain(self, item: Any, where: str) -> str:
        name = field_name(item)
        if name is None:
            raise TypeError(f"{self.info.cls.__name__}.Meta: {where} takes field names, not {item!r}")
        return self.column_name(name)

    def foreign_key(self, relation: Relation) -> Document:
        target = relation.target.__oxyde__
        column = self.info.by_name[relation.column].column
        mine, theirs = self.info.database or "default", target.database or "default"
        if mine != theirs:
            raise FieldError(
                f"{self.info.cls.__name__}.{relation.name}: a foreign key cannot lead from database {mine!r} "
                f"to {theirs!r}"
            )
        return {
            "name": self.named(None, [column], "fkey"),
            "columns": [column],
            "ref_table": target.table,
            "ref_schema": target.schema,
            "ref_columns": [target.by_name[relation.target_field].column],
            "on_delete": relation.on_delete,
            "on_update": relation.on_update,
            "deferrable": relation.deferrable,
        }

    def checks(self) -> list[Document]:
        found: list[Document] = []
        for column in self.info.columns:
            if column.choices:
                name = self.named(shorten(f"chk_{self.info.table}_{column.column}"), (), "")
                found.append({"name": name, **_choices(column)})
        unnamed = 0
        for check in self.options.constraints:
            if isinstance(check, Check):
                if check.name is None:
                    unnamed += 1
                name = self.named(check.name or shorten(f"chk_{self.info.table}_{unnamed}"), (), "")
                condition = self.expression(check.condition)
                found.append({"name": name, **({"expression": condition} if isinstance(condition, str) else condition)})
        return found

    def uniques(self) -> list[Document]:
        items = [Unique(group) for group in self.options.unique_together]
        items += [item for item in self.options.constraints if isinstance(item, Unique)]
        found = []
        for unique in items:
            fields = [self.plain(item, "a Unique") for item in unique.fields]
            found.append(
                {
                    "name": self.named(unique.name, fields, "key"),
                    "fields": fields,
                    "where": self.condition(unique.where),
                    "deferrable": unique.deferrable,
                    "nulls_distinct": unique.nulls_distinct,
                }
            )
        return found


def _choices(column: Column) -> Document:
    """The CHECK of a Literal column."""
    values = [{"type": _listed(column.type), "value": literal_document(value)} for value in column.choices]
    tests: list[Any] = [["cmp", "eq", ["col", column.name], ["param", _listed(column.type)]] for _ in values]
    return {"predicate": tests[0] if len(tests) == 1 else ["or", *tests], "values": values}


def type_document(tag: TypeTag) -> Document:
    """A type tag as a dict: `("decimal", 10, 2)` → `{"kind": "decimal", "precision": 10, "scale": 2}`."""
    kind = kind_of(tag)
    if kind == "string":
        return {"kind": kind, "length": tag[1]}
    if kind == "decimal":
        return {"kind": kind, "precision": tag[1], "scale": tag[2]}
    if kind == "enum":
        return {"kind": kind, "name": tag[1], "values": list(cast("tuple[str, ...]", tag[2]))}
    if kind == "array":
        return {"kind": kind, "item": type_document(cast(TypeTag, tag[1]))}
    return {"kind": kind}


def _listed(value: Any) -> Any:
    return [_listed(item) for item in value] if isinstance(value, tuple) else value


def literal_document(value: Any) -> Any:
    """An encoded value as JSON: bytes in hexadecimal, durations in microseconds, decimals and times as text."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, datetime):
        plain = value if value.tzinfo is None else value.astimezone(UTC).replace(tzinfo=None)
        return plain.isoformat(" ", "microseconds")
    if isinstance(value, (date, time)):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value // timedelta(microseconds=1)
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, (bytes, bytearray)):
        return value.hex()
    if isinstance(value, (list, tuple)):
        return [literal_document(item) for item in value]
    raise TypeError(f"a value of type {type(value).__name__} cannot stand in a schema")


_LITERALS: Final = frozenset(
    {
        "big_integer",
        "boolean",
        "date",
        "date_time",
        "date_time_utc",
        "decimal",
        "double",
        "enum",
        "string",
        "text",
        "time",
        "timedelta",
        "uuid",
    }
)


def default_literal(column: Column) -> Any:
    """The Python default as a JSON value for the column's DEFAULT; None if the database could not hold it exactly.

    What is left out is no loss: Python applies the default itself.
    """
    value = column.field.default
    if value is None or value is PydanticUndefined or column.has_db_default or column.generated or column.auto:
        return None
    kind = kind_of(column.type)
    if kind not in _LITERALS or column.options.converter is not None or hasattr(value, "get_secret_value"):
        return None
    if column.exact is not None:
        encoded = value if type(value) is column.exact else None
    else:
        try:
            encoded = column.coerce(value)
            encoded = encoded if column.to_db is None else column.to_db(encoded)
        except ValueError:
            # An unvalidated default of another type.
            encoded = None
    return literal_document(encoded) if encoded is not None and _exact(column.type, encoded) else None


def _exact(tag: TypeTag, value: Any) -> bool:
    kind = kind_of(tag)
    if kind == "big_integer":
        return bool(-(2**63) <= value < 2**63)
    if kind == "double":
        return math.isfinite(value)
    if kind in {"string", "text"}:
        fits = kind == "text" or len(value) <= cast(int, tag[1])
        return fits and "\0" not in value and not any("\ud800" <= char <= "\udfff" for char in value)
    if kind == "decimal":
        return _fits(value, cast("int | None", tag[1]), cast("int | None", tag[2]))
    return True


def _fits(value: Decimal, precision: int | None, scale: int | None) -> bool:
    if not value.is_finite():
        return False
    exponent = cast(int, value.normalize().as_tuple().exponent)
    if scale is None or precision is None:
        # Within MySQL's widest DECIMAL(65,30).
        return exponent >= -30 and abs(value) < Decimal(10) ** 35
    return exponent >= -scale and abs(value) < Decimal(10) ** (precision - scale)
