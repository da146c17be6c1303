"""The metaclass of models: what happens when a class is defined, and what its class attributes are.

It does its work in `__init__`, not `__new__`: Pydantic finds the local names of a function by counting frames from its
own `__new__`.  Class attributes come from `__getattr__`, which is only asked where there is nothing else: a descriptor
per field would slow down every attribute of every instance.
"""

from __future__ import annotations

# ruff: noqa: N805 - the methods of a metaclass take the class
import os
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from pydantic import BaseModel, PrivateAttr
from pydantic import Field as PydanticField
from typing_extensions import dataclass_transform

from oxyde.exceptions import FieldError
from oxyde.models import registry
from oxyde.models.dbmeta import describe_table
from oxyde.models.field import Field
from oxyde.models.metadata import ModelMeta
from oxyde.models.options import options_of
from oxyde.models.pydantic_bridge import ModelMetaclass, called_by_pydantic, own_fields
from oxyde.models.tableoptions import table_options

if TYPE_CHECKING:
    from oxyde.models.info import ModelInfo
    from oxyde.models.model import Model
    from oxyde.queries.manager import QueryManager

    M = TypeVar("M", bound=Model)

__all__ = ["OxydeMeta"]

MYPY = False


@dataclass_transform(kw_only_default=True, field_specifiers=(Field, PydanticField, PrivateAttr))
class OxydeMeta(ModelMetaclass):
    """Pydantic's metaclass, with tables, managers and column expressions."""

    if TYPE_CHECKING:
        # How the checkers learn what `User.objects` is. mypy rejects a misspelled attribute only if there is no
        # `__getattr__`; pyright would prefer a property here to the manager that a class declares. Each skips what the
        # other reads: pyright knows what `os.name` can be, mypy what a constant called MYPY is.
        if os.name == "mypy":

            @property
            def objects(cls: type[M]) -> QueryManager[M]: ...  # type: ignore[misc]

            @property
            def all_objects(cls: type[M]) -> QueryManager[M]: ...  # type: ignore[misc]

        if not MYPY:

            def __getattr__(
                cls: type[M],  # pyright: ignore[reportGeneralTypeIssues]
                name: Literal["objects", "all_objects"],
            ) -> QueryManager[M]: ...

    def __init__(cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **kwargs: Any) -> None:
        super().__init__(name, bases, namespace)
        if any(isinstance(base, OxydeMeta) for base in bases):
            _define(cls)  # type: ignore[arg-type]

    if not TYPE_CHECKING:

        def __getattr__(cls, name: str) -> Any:
            if name[0] != "_" and name in own_fields(cls) and not called_by_pydantic(1) and table_options(cls).is_table:
                from oxyde.queries.columns import ColumnRef

                return ColumnRef(cls, name)
            return super().__getattr__(name)

    @property
    def __oxyde__(cls) -> ModelInfo:
        """What queries know about the model; raises TypeError for a class that is no complete table."""
        info: ModelInfo | None = cls.__dict__.get("__oxyde_info__")
        return _late_info(cls) if info is None else info

    @property
    def _is_table(cls) -> bool:
        """Whether the class is a table itself (`class Meta` is not inherited)."""
        return table_options(cls).is_table

    @property
    def _db_meta(cls) -> ModelMeta:
        """The description of the table for admin tools; see `oxyde.models.metadata`."""
        found: ModelMeta | None = cls.__dict__.get("__oxyde_db_meta__")
        if found is None:
            found = describe_table(cls)  # type: ignore[arg-type]
            if "__oxyde_info__" in cls.__dict__:
                type.__setattr__(cls, "__oxyde_db_meta__", found)
        return found


def _late_info(cls: OxydeMeta) -> ModelInfo:
    if not table_options(cls).is_table:
        raise TypeError(f"{cls.__name__} is no table: put is_table = True into its class Meta")
    registry.finalize_pending()
    info: ModelInfo | None = cls.__dict__.get("__oxyde_info__")
    if info is None:
        # Not registered (any more), or waiting for a name.
        registry.complete(cls)  # type: ignore[arg-type]
        info = cls.__dict__.get("__oxyde_info__")
    if info is None:
        raise TypeError(
            f"{cls.__name__} is not complete: it refers to names that are not defined yet "
            "(assert_no_pending_models() lists them)"
        )
    return info


def _define(cls: type[Model]) -> None:
    """Check a new class, bind its managers and register it if it is a table."""
    options = table_options(cls)
    _check_names(cls)
    _bind_managers(cls, options.is_table)
    if not options.is_table:
        return
    before = registry.registered_tables()
    registry.register_table(cls)
    try:
        registry.finalize_pending(defining=True)
    except BaseException:
        # A class statement that fails leaves nothing behind.
        registry.restore(before, cls)
        raise


def _check_names(cls: type[Model]) -> None:
    for name in own_fields(cls):
        where = f"{cls.__name__}.{name}"
        if name in _reserved():
            raise FieldError(f"{where}: a field cannot be called like the attribute {name!r} of every model")
        if "__" in name:
            raise FieldError(
                f"{where}: a field name cannot hold a double underscore, which separates lookups in queries"
            )
        if name == "pk" and not options_of(own_fields(cls)[name]).pk:
            raise FieldError(f"{where}: 'pk' always means the primary key")


@lru_cache(maxsize=1)
def _reserved() -> frozenset[str]:
    from oxyde.models.model import Model

    # `load` fetches relations of an instance.
    names = (*dir(BaseModel), *dir(Model), "all_objects", "load", "objects")
    return frozenset(name for name in names if name[0] != "_")


class _Default:
    """The manager of a table that declares none; made when it is first asked for, then in the class itself."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, instance: Any, owner: type) -> Any:
        if instance is not None:
            raise AttributeError(f"managers belong to the class: use {owner.__name__}.{self.name}")
        from oxyde.queries.manager import QueryManager

        manager: QueryManager[Any] = QueryManager()._bind(owner)
        type.__setattr__(owner, self.name, manager)
        return manager


class _NoManager:
    """In place of a manager on a class that is no table, though one may be its base."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, instance: Any, owner: type) -> Any:
        raise TypeError(f"{owner.__name__} is no table and has no rows: put is_table = True into its class Meta")


def _bind_managers(cls: type[Model], is_table: bool) -> None:
    """Give the class managers of its own: those it declares or inherits, bound to it, and the two default ones."""
    found: dict[str, Any] = {}
    of_table: set[str] = set()
    for base in reversed(cls.__mro__):
        for name, value in vars(base).items():
            if name in cls.__class_vars__ and hasattr(type(value), "_bind"):
                found[name] = value
                if isinstance(base, OxydeMeta) and table_options(base).is_table:
                    of_table.add(name)
    for name, manager in found.items():
        if is_table:
            type.__setattr__(cls, name, manager._bind(cls))
        elif name in of_table:
            type.__setattr__(cls, name, _NoManager(name))
    for name in ("objects", "all_objects"):
        if name not in found:
            type.__setattr__(cls, name, _Default(name) if is_table else _NoManager(name))
