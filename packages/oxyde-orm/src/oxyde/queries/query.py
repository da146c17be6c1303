"""Query: rows as model instances, and the statements that write."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final, Literal, Self, overload

from oxyde.exceptions import FieldError, ManagerError
from oxyde.queries import bulk, readback, write
from oxyde.queries.builder import ModelT
from oxyde.queries.comment import commented
from oxyde.queries.run import execute, resolve
from oxyde.queries.scope import UNSET
from oxyde.queries.terminals import Terminals
from oxyde_core import Pending

if TYPE_CHECKING:
    from oxyde.db import AsyncDatabase, AsyncTransaction
    from oxyde.models.loading import LoaderMode

_KINDS: Final[dict[str, LoaderMode]] = {"models": "model", "dict": "dict", "list": "tuple"}


class Query(Terminals[ModelT, ModelT]):
    """A query on one model: `User.objects.filter(…)` and so on.  Immutable; await it for a list of instances.

    adults = await User.objects.filter(age__gte=18).order_by("name")[:10]
    """

    __slots__ = ()

    # Columns

    def only(self, *fields: object) -> Self:
        """Load only these fields (and the primary key); reading another one raises NotLoadedError.

        Raises FieldError for an unknown field.
        """
        if not fields:
            raise FieldError("only() needs at least one field")
        chosen = {column.name for column in self._scope.columns(fields)} | set(self._scope.key)
        return self._load(chosen)

    def defer(self, *fields: object) -> Self:
        """Leave these fields out; reading one raises NotLoadedError, saving does not touch it.

        Raises FieldError for an unknown field and for the primary key, which an instance cannot be without.
        """
        left_out = {column.name for column in self._scope.columns(fields)}
        for name in self._scope.key:
            if name in left_out:
                raise FieldError(f"The primary key {name!r} of {self._scope.name} cannot be deferred")
        return self._load(set(self._result.fields) - left_out)

    def _load(self, names: set[str]) -> Self:
        ordered = tuple(column.name for column in self._scope.info.columns if column.name in names)
        clone = self._clone()
        clone._result = self._scope.result(ordered, "model", self._result.validate)
        return clone

    def validate(self, mode: Literal["full", "needed", "off"]) -> Self:
        """What Pydantic checks when rows are loaded.

        "needed" (the default) skips it exactly where it is proven to change nothing, so it equals "full";
        "off" trusts the database.  Raises ValueError for another mode.
        """
        if mode not in ("full", "needed", "off"):
            raise ValueError(f"validate() takes 'full', 'needed' or 'off', not {mode!r}")
        clone = self._clone()
        clone._result = self._scope.result(self._result.fields, "model", mode)
        return clone

    # Reading

    @overload
    async def all(
        self,
        *,
        mode: Literal["models"] = ...,
        using: str | None = ...,
        client: AsyncDatabase | AsyncTransaction | None = ...,
    ) -> list[ModelT]: ...
    @overload
    async def all(
        self,
        *,
        mode: Literal["dict"],
        using: str | None = ...,
        client: AsyncDatabase | AsyncTransaction | None = ...,
    ) -> list[dict[str, Any]]: ...
    @overload
    async def all(
        self,
        *,
        mode: Literal["list"],
        using: str | None = ...,
        client: AsyncDatabase | AsyncTransaction | None = ...,
    ) -> list[tuple[Any, ...]]: ...
    @overload
    async def all(
        self,
        *,
        mode: Literal["json"],
        by_alias: bool | None = ...,
        using: str | None = ...,
        client: AsyncDatabase | AsyncTransaction | None = ...,
    ) -> bytes: ...
    async def all(
        self,
        *,
        mode: str = "models",
        by_alias: bool | None = None,
        using: str | None = None,
        client: AsyncDatabase | AsyncTransaction | None = None,
    ) -> list[Any] | bytes:
        """All rows, as `mode` says.

        "models": instances.  "dict": dicts keyed by field name.  "list": tuples in the order of the model's fields.
        "json": the bytes of `TypeAdapter(list[Model]).dump_json(rows)`; `by_alias` overrides the model's config.
        Raises ValueError for another mode.

            users = await User.objects.all()
            body = await User.objects.all(mode="json")
        """
        result = self._result
        if mode != "models":
            kind = _KINDS.get(mode)
            if kind is not None:
                result = self._scope.result(result.fields, kind, result.validate)
            elif mode != "json":
                raise ValueError(f"Unknown mode {mode!r}: all() takes 'models', 'dict', 'list' or 'json'")
        if by_alias is not None and mode != "json":
            raise ValueError("by_alias only has a meaning with mode='json'")
        order = self._order
        if order is None:
            order = self._ordering()
        shape, params = self._select(result, order, self._limit)
        database, lease = resolve(using, client, self._target or self._scope.info.database)
        if self._comment is not None:
            database = commented(database, self._comment)
        loader = result.loader
        if using is not None or client is not None or self._target is not None:
            loader = self._loader(using, client) if mode in ("models", "json") else loader
        rows: Any = database.run(shape, params, loader, lease)
        if type(rows) is Pending:
            pending = rows
            try:
                rows = await pending
            except BaseException:
                pending.cancel()
                raise
        if mode == "json":
            return self._scope.adapter.dump_json(rows, by_alias=by_alias)
        return rows  # type: ignore[no-any-return]

    # Writing

    @overload
    async def update(
        self,
        *,
        returning: Literal[True],
        using: str | None = ...,
        client: AsyncDatabase | AsyncTransaction | None = ...,
        **values: Any,
    ) -> list[ModelT]: ...
    @overload
    async def update(
        self,
        *,
        returning: Literal[False] = ...,
        using: str | None = ...,
        client: AsyncDatabase | AsyncTransaction | None = ...,
        **values: Any,
    ) -> int: ...
    async def update(
        self,
        *,
        returning: bool = UNSET,
        using: str | None = UNSET,
        client: AsyncDatabase | AsyncTransaction | None = UNSET,
        **values: Any,
    ) -> int | list[ModelT]:
        """Set fields of all matching rows in one statement; returns how many, or with `returning=True` the rows.

        Values are validated against their fields; expressions are computed by the database.  The order of the query
        has no meaning here.  Raises ValidationError, FieldError (unknown, generated or key field, no values) and
        ManagerError for a sliced or distinct query.

            await User.objects.filter(age__lt=18).update(active=False, views=F("views") + 1)
        """
        returned, using, client = self._scope.controls_given(values, returning=returning, using=using, client=client)
        if returned is not None and not isinstance(returned, bool):
            raise TypeError(f"returning must be a bool, not {type(returned).__name__}")
        self._refuse_window("update")
        fields = self._result.fields if returned else ()
        shape, params = write.update_statement(self._scope, values, self._where, self._params, fields)
        database, lease = self._database(using, client, write=True)
        loader = self._loader(using, client) if returned else None
        if loader is not None and not database.returning[1]:
            return await readback.update(
                self._scope, shape, params, self._params, self._result, loader, database, lease
            )
        return await execute(database, lease, shape, params, loader)  # type: ignore[no-any-return]

    async def delete(self, *, using: str | None = None, client: AsyncDatabase | AsyncTransaction | None = None) -> int:
        """Delete all matching rows and return how many; dependants go by the database's ON DELETE.

        Calls no hooks.  Raises ManagerError for a sliced or distinct query.

            await User.objects.filter(active=False).delete()
        """
        self._refuse_window("delete")
        shape = write.delete_statement(self._scope, self._where)
        database, lease = self._database(using, client, write=True)
        return int(await execute(database, lease, shape, self._params))

    async def create(
        self,
        instance: ModelT | None = UNSET,
        *,
        using: str | None = UNSET,
        client: AsyncDatabase | AsyncTransaction | None = UNSET,
        **data: Any,
    ) -> ModelT:
        """Insert one row, see `QueryManager.create`; raises ManagerError if the query has conditions."""
        self._refuse_conditions("create")
        given, using, client = self._scope.controls_given(data, instance=instance, using=using, client=client)
        return await write.create(  # type: ignore[no-any-return]
            self._scope, given, data, using, client, self._target, self._comment
        )

    async def bulk_create(
        self,
        objects: Iterable[ModelT | Mapping[str, Any]],
        *,
        batch_size: int | None = None,
        on_conflict: Literal["error", "ignore", "update"] = "error",
        conflict_fields: Iterable[object] | None = None,
        update_fields: Iterable[object] | None = None,
        returning: bool = False,
        using: str | None = None,
        client: AsyncDatabase | AsyncTransaction | None = None,
    ) -> list[ModelT]:
        """Insert many rows, see `QueryManager.bulk_create`; raises ManagerError if the query has conditions."""
        self._refuse_conditions("bulk_create")
        options = bulk.Conflict.of(self._scope, on_conflict, conflict_fields, update_fields)
        return await bulk.bulk_create(
            self._scope, objects, batch_size, options, returning, using, client, self._target, self._comment
        )

    def _refuse_conditions(self, operation: str) -> None:
        if self._where is not None or self._limit is not None or self._offset or self._distinct:
            raise ManagerError(
                f"{operation}() inserts, so conditions and windows have no meaning for it: "
                f"call it on {self._scope.name}.objects"
            )
