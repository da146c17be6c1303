"""What admin tools and migrations may read about a model: `Model._db_meta`.

These classes are a stable, plain description; queries use `ModelInfo` (`oxyde.models.info`) instead.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from oxyde.models.decorators import Check, Index, Unique

__all__ = ["ColumnMeta", "ForeignKeyInfo", "ModelMeta", "RelationInfo"]


@dataclass(slots=True)
class ForeignKeyInfo:
    """Where a foreign key points: `target` is `"module.Class"`, `column_name` the column that holds the key."""

    target: str
    column_name: str
    target_field: str
    nullable: bool
    on_delete: str
    on_update: str


@dataclass(slots=True)
class ColumnMeta:
    """One field: a column, or (with `foreign_key`) the relation that a column belongs to."""

    name: str
    db_column: str
    python_type: Any
    nullable: bool
    db_type: str | None = None
    index: bool = False
    index_name: str | None = None
    index_method: str | None = None
    unique: bool = False
    primary_key: bool = False
    comment: str | None = None
    default: Any = None
    default_factory: Any = None
    db_default: Any = None
    max_length: int | None = None
    max_digits: int | None = None
    decimal_places: int | None = None
    foreign_key: ForeignKeyInfo | None = None
    checks: list[str] = field(default_factory=list)
    extra: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class RelationInfo:
    """A list of related rows: its kind, the class it holds and how the other side finds back."""

    name: str
    kind: Literal["one_to_many", "many_to_many"]
    target: str
    remote_field: str | None = None
    through: str | None = None
    back_populates: str | None = None


@dataclass(slots=True)
class ModelMeta:
    """The table of a model as its class statement describes it."""

    table_name: str
    schema: str | None = None
    comment: str | None = None
    indexes: list[Index] = field(default_factory=list)
    unique_together: list[tuple[str, ...]] = field(default_factory=list)
    constraints: list[Check | Unique] = field(default_factory=list)
    field_metadata: dict[str, ColumnMeta] = field(default_factory=dict)
    relations: dict[str, RelationInfo] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)
    column_types: dict[str, Any] = field(default_factory=dict)
    reverse_column_map: dict[str, str] = field(default_factory=dict)
    pk_field: str | None = None
    pk_column: str | None = None
