"""`Model._db_meta`, made from the class: see `oxyde.models.metadata`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from oxyde.models.annotations import unwrap
from oxyde.models.columns import Column
from oxyde.models.metadata import ColumnMeta, ForeignKeyInfo, ModelMeta, RelationInfo
from oxyde.models.options import options_of
from oxyde.models.pydantic_bridge import own_fields
from oxyde.models.relations import Relation
from oxyde.models.tableoptions import table_options

if TYPE_CHECKING:
    from oxyde.models.info import ModelInfo
    from oxyde.models.model import Model

__all__ = ["describe_table"]


def describe_table(cls: type[Model]) -> ModelMeta:
    """The description of a class; of one that waits for a name, or is no table, only what `class Meta` says."""
    options = table_options(cls)
    meta = ModelMeta(
        table_name=options.table_name,
        schema=options.schema,
        comment=options.comment,
        indexes=list(options.indexes),
        unique_together=list(options.unique_together),
        constraints=list(options.constraints),
        extra={"ordering": options.ordering, "database": options.database},
    )
    info: ModelInfo | None = cls.__dict__.get("__oxyde_info__")
    if info is None:
        return meta
    for name, field in own_fields(cls).items():
        relation = info.relations.get(name)
        if relation is not None and relation.kind != "fk":
            meta.relations[name] = _list(relation)
            continue
        column = info.by_name[name]
        meta.field_metadata[name] = _column(name, field, column, relation)
        if relation is None:
            meta.column_types[name] = column.type
            meta.reverse_column_map[column.column] = name
    if len(info.pk) == 1:
        meta.pk_field, meta.pk_column = info.pk[0].name, info.pk[0].column
    return meta


def _column(name: str, field: FieldInfo, column: Column, relation: Relation | None) -> ColumnMeta:
    options = column.options
    kind: Any = unwrap(field.annotation).type if relation is None else relation.target
    return ColumnMeta(
        name=name,
        db_column=column.column,
        python_type=kind,
        nullable=column.nullable,
        db_type=options.type,
        index=options.index,
        index_name=options.index_name,
        index_method=options.index_method,
        unique=options.unique,
        primary_key=options.pk,
        comment=options.comment,
        default=None if field.default is PydanticUndefined else field.default,
        default_factory=field.default_factory,
        db_default=column.db_default,
        max_length=column.limits.max_length,
        max_digits=column.limits.max_digits,
        decimal_places=column.limits.decimal_places,
        foreign_key=None if relation is None else _foreign_key(column, relation),
        extra={"options": dict(options_of(field).given)},
    )


def _class_name(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


def _foreign_key(column: Column, relation: Relation) -> ForeignKeyInfo:
    return ForeignKeyInfo(
        target=_class_name(relation.target),
        column_name=column.column,
        target_field=relation.target_field,
        nullable=column.nullable,
        on_delete=relation.on_delete,
        on_update=relation.on_update,
    )


def _list(relation: Relation) -> RelationInfo:
    return RelationInfo(
        name=relation.name,
        kind="many_to_many" if relation.kind == "m2m" else "one_to_many",
        target=_class_name(relation.target),
        remote_field=relation.remote,
        through=relation.through,
        back_populates=relation.remote if relation.kind == "reverse_fk" else None,
    )
