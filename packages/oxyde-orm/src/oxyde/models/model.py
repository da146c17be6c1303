"""`Model`: Pydantic's BaseModel whose classes may be tables and whose instances may be rows.

What Model adds to an instance is one slot for its load state.  Everything that makes loading cheap is undone here when
somebody looks: `__pydantic_fields_set__`, which the core leaves unset, is made from the loaded fields when it is first
read; copies and pickles carry the load state along; attributes that are not loaded raise instead of being None.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import BaseModel, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from oxyde.models import registry
from oxyde.models.metaclass import OxydeMeta
from oxyde.models.relations import absent, plan_of
from oxyde.models.schemahook import model_core_schema, model_json_schema
from oxyde.models.state import LoadState, set_state
from oxyde.models.tableoptions import table_options

if TYPE_CHECKING:
    from oxyde.db.pool import AsyncDatabase
    from oxyde.db.transaction import AsyncTransaction

    Client = AsyncDatabase | AsyncTransaction

__all__ = ["Model"]

_set = object.__setattr__


class _NotLoaded:
    """How `repr` shows a field that is not loaded."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "<not loaded>"


_NOT_LOADED = _NotLoaded()


class Model(BaseModel, metaclass=OxydeMeta):
    """Base class of all models.

    A class with `is_table = True` in its `class Meta` is a table; any other passes its fields on to its subclasses.

        class User(Model):
            id: int | None = Field(default=None, db_pk=True)
            email: str = Field(db_unique=True, max_length=120)

            class Meta:
                is_table = True

    Validation, serialisation and configuration are Pydantic's.  Defining a class raises FieldError for a field that
    cannot be a column and TypeError for an unknown option in `class Meta`.
    """

    __slots__ = ("_oxyde_state",)

    if TYPE_CHECKING:
        _oxyde_state: ClassVar[LoadState | None]

    @classmethod
    def get_table_name(cls) -> str:
        """The name of the table; raises TypeError for a class that is no table."""
        options = table_options(cls)
        if not options.is_table:
            raise TypeError(f"{cls.__name__} is no table: put is_table = True into its class Meta")
        return options.table_name

    # Rows.  What these do is in oxyde.queries.instance; here are their signatures.

    async def save(
        self,
        *,
        update_fields: Iterable[str] | None = None,
        force_insert: bool = False,
        force_update: bool = False,
        client: Client | None = None,
        using: str | None = None,
    ) -> Self:
        """Write the instance: a loaded one updates its row, a new one inserts it.

        Only columns that are loaded are written.  Raises NotFoundError if the row to update is gone, ValidationError
        for invalid values, ValueError for an unknown or contradictory argument.
        """
        from oxyde.queries import instance

        return await instance.save(
            self,
            update_fields=update_fields,
            force_insert=force_insert,
            force_update=force_update,
            client=client,
            using=using,
        )

    async def delete(self, *, client: Client | None = None, using: str | None = None) -> int:
        """Delete the row; returns the number of deleted rows (0 if it was gone already)."""
        from oxyde.queries import instance

        return await instance.delete(self, client=client, using=using)

    async def refresh(self, *fields: str, client: Client | None = None, using: str | None = None) -> Self:
        """Read the row again, all columns or the named ones; raises NotFoundError if it is gone."""
        from oxyde.queries import instance

        return await instance.refresh(self, *fields, client=client, using=using)

    async def pre_save(self, *, is_create: bool, update_fields: Iterable[str] | None) -> None:
        """Called before save, create, get_or_create and update_or_create write the instance; to be overridden."""

    async def post_save(self, *, is_create: bool, update_fields: Iterable[str] | None) -> None:
        """Called after the instance was written; to be overridden."""

    async def pre_delete(self) -> None:
        """Called before the instance is deleted; to be overridden."""

    async def post_delete(self) -> None:
        """Called after the instance was deleted; to be overridden."""

    # Pydantic's hooks

    @classmethod
    def __get_pydantic_core_schema__(cls, source: type[BaseModel], handler: GetCoreSchemaHandler, /) -> CoreSchema:
        return model_core_schema(cls, source, handler)

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler, /) -> JsonSchemaValue:
        return model_json_schema(cls, core_schema, handler)

    @classmethod
    def __pydantic_on_complete__(cls) -> None:
        registry.completed(cls)

    @classmethod
    def model_rebuild(
        cls,
        *,
        force: bool = False,
        raise_errors: bool = True,
        _parent_namespace_depth: int = 2,
        _types_namespace: Mapping[str, Any] | None = None,
    ) -> bool | None:
        """Pydantic's `model_rebuild`, which also knows the registered tables by name.

        Pydantic calls it itself when an unfinished class is first used.
        """
        if _types_namespace is None and not force:
            registry.finalize_pending()
        return super().model_rebuild(
            force=force,
            raise_errors=raise_errors,
            _parent_namespace_depth=_parent_namespace_depth + 1,
            _types_namespace=_types_namespace,
        )

    # Instances

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            # Only asked for what neither the instance nor its class has.
            if name == "__pydantic_fields_set__":
                fields = type(self).__pydantic_fields__
                found = {key for key in self.__dict__ if key in fields}
                _set(self, name, found)
                return found
            if name == "_oxyde_state" or name == "__pydantic_extra__":
                return None
            if name in type(self).__pydantic_fields__ and table_options(type(self)).is_table:
                return absent(self, name)
            return super().__getattr__(name)

        def __getstate__(self) -> dict[Any, Any]:
            state = super().__getstate__()
            state["_oxyde_state"] = self._oxyde_state
            return state

        def __setstate__(self, state: dict[Any, Any]) -> None:
            super().__setstate__(state)
            set_state(self, state.get("_oxyde_state"))

        def __copy__(self) -> Self:
            copied = super().__copy__()
            set_state(copied, self._oxyde_state)
            return copied

        def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
            copied = super().__deepcopy__(memo)
            set_state(copied, self._oxyde_state)
            return copied

    def __repr_args__(self) -> Any:
        plan = plan_of(type(self))
        state = self._oxyde_state
        if not plan.wrapped and state is None:
            return super().__repr_args__()
        return self._repr_with_absent()

    def _repr_with_absent(self) -> Iterable[tuple[str | None, Any]]:
        """The arguments of `repr` in model order, with what is not loaded."""
        fields = type(self).__pydantic_fields__
        present = dict(super().__repr_args__())
        relations = plan_of(type(self)).relations
        for name, field in fields.items():
            if name in present:
                yield name, present.pop(name)
            elif field.repr and name not in self.__dict__:
                relation = relations.get(name)
                known = relation is not None and relation.column and self.__dict__.get(relation.column, self) is None
                yield name, None if known else _NOT_LOADED
        yield from present.items()

    @classmethod
    def model_construct(cls, _fields_set: set[str] | None = None, **values: Any) -> Self:
        """Pydantic's `model_construct`, with relations and their columns in step; nothing is validated."""
        instance = super().model_construct(_fields_set, **values)
        _settle_unvalidated(instance, instance.__dict__, instance.__pydantic_fields_set__)
        return instance

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Pydantic's `model_copy`; an update of a relation or of its column updates the other."""
        copied = super().model_copy(update=update, deep=deep)
        if update:
            _settle_unvalidated(copied, copied.__dict__, set(update))
        return copied


def _settle_unvalidated(instance: Model, values: Any, given: set[str]) -> None:
    """Bring relations and their columns in step after values were put in without validation."""
    for relation in plan_of(type(instance)).foreign_keys:
        name, column = relation.name, relation.column
        if name not in values:
            continue
        key = None if values[name] is None else values[name].__dict__.get(relation.target_field)
        if name in given and column not in given:
            if key is None and values[name] is not None:
                values.pop(column, None)
            else:
                values[column] = key
                instance.__pydantic_fields_set__.add(column)
        elif values.get(column, key) != key or (name not in given and values[name] is None):
            # Another key than the object's, or a default that says nothing about the key.
            del values[name]
