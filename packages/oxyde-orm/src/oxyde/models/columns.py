"""`Column`: one stored field of a table, with everything that queries and loading ask about it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, get_origin

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from oxyde.models.columntypes import ColumnType, Limits
from oxyde.models.naming import shorten
from oxyde.models.options import DbOptions
from oxyde.models.ranges import Range
from oxyde_core.types import TypeTag

if TYPE_CHECKING:
    from oxyde.models.info import ModelInfo

__all__ = ["Column"]


class Column:
    """One column.

    `name` is the field, `column` the name in the database.  `to_db`, `from_db`, `coerce` and `exact` are those of
    `oxyde.models.columntypes`; `relation` is the foreign key field whose key the column holds.
    `info` is the model's, which sets it.
    """

    __slots__ = (
        "_lookups",
        "_validate",
        "auto",
        "choices",
        "coerce",
        "column",
        "db_default",
        "exact",
        "field",
        "from_db",
        "generated",
        "has_db_default",
        "info",
        "limits",
        "model",
        "name",
        "nullable",
        "options",
        "primary_key",
        "python_type",
        "relation",
        "to_db",
        "type",
    )

    info: ModelInfo

    def __init__(
        self,
        model: str,
        name: str,
        field: FieldInfo,
        options: DbOptions,
        kind: ColumnType,
        limits: Limits,
        *,
        nullable: bool,
        auto: bool,
        relation: str | None,
    ) -> None:
        self.model = model
        self.name = name
        self.column: str = shorten(options.column or name)
        self.field = field
        self.options = options
        self.limits = limits
        self.type: TypeTag = kind.tag
        self.python_type = kind.python_type
        self.nullable = nullable
        self.primary_key: bool = options.pk
        self.auto = auto
        self.generated: bool = options.generated is not None
        self.db_default = None if options.default is PydanticUndefined else options.default
        self.has_db_default: bool = options.default is not PydanticUndefined
        self.to_db = kind.to_db
        self.from_db = kind.from_db
        self.coerce: Callable[[Any], Any] = kind.coerce
        self.exact = kind.exact
        self.choices = kind.choices
        self.relation = relation
        self._validate: Callable[[Any], Any] | None = None
        self._lookups: frozenset[str] | None = None

    @property
    def is_range(self) -> bool:
        """Whether the values are ranges."""
        return get_origin(self.python_type) is Range

    @property
    def lookups(self) -> frozenset[str]:
        """The names of the lookups that the column's type has."""
        if self._lookups is None:
            from oxyde.models.lookups import RANGE, lookups_for

            self._lookups = frozenset(RANGE if self.is_range else lookups_for(self.type))
        return self._lookups

    @property
    def validate(self) -> Callable[[Any], Any]:
        """The field's whole validation of one value, constraints and validators included.

        Returns the valid value; raises ValidationError that names the field, FieldError for a model that is only
        validated as a whole.
        """
        if self._validate is None:
            run, name = self.info.validator((self.name,)), self.name
            self._validate = lambda value: run({name: value})[name]
        return self._validate

    def __repr__(self) -> str:
        return f"<Column {self.model}.{self.name} {self.type!r}>"
