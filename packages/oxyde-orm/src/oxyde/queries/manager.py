"""QueryManager: what `User.objects` is.

The manager begins queries and has every builder and terminal of a query.  `get` and `get_or_none` are the hottest
calls of an application and take a shortcut: for keywords and value types seen before, the finished shape is kept,
and what is left to do is to hand it to the core with the values.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Final, Generic, Literal, NoReturn, Self, cast, overload

from typing_extensions import TypeVar

from oxyde.queries import bulk, write
from oxyde.queries.builder import FieldT, ModelT
from oxyde.queries.expr import Expr
from oxyde.queries.q import narrow
from oxyde.queries.query import Query
from oxyde.queries.run import resolve
from oxyde.queries.scope import UNSET, Scope, scope_of
from oxyde.queries.stream import CHUNK_SIZE
from oxyde.queries.terminals import one
from oxyde.queries.values import ValuesQuery
from oxyde_core import Loader, Pending, ir

if TYPE_CHECKING:
    from oxyde.db import AsyncDatabase, AsyncTransaction

QueryT = TypeVar("QueryT", bound="Query[Any]", default="Query[ModelT]")

Point = tuple[ir.Node, Loader, Any]
"""A prepared `get`: shape, loader, database."""

_POINTS: Final = 256


class QueryManager(Generic[ModelT, QueryT]):
    """Begins queries on a model.

    A custom manager names the query class that its builders give, so that own methods chain, and may begin from
    another query than all rows:

        class PostQuery(Query["Post"]):
            def published(self) -> Self:
                return self.filter(published=True)

        class PostManager(QueryManager["Post", PostQuery]):
            query_class = PostQuery

            def query(self) -> PostQuery:
                return super().query().filter(deleted=False)

        class Post(Model):
            objects: ClassVar[PostManager] = PostManager()
    """

    query_class: ClassVar[type[Query[Any]]] = Query

    __slots__ = ("__dict__", "_blank", "_model", "_points", "_prepared")

    def __init__(self, model: type[ModelT] | None = None) -> None:
        self._model = model
        self._prepared: Scope | None = None
        self._blank: QueryT | None = None
        self._points: dict[tuple[object, ...], Point] = {}

    def _bind(self, model: type[Any]) -> Self:
        """A copy of this manager for a model; called when the class is made, also for each subclass."""
        bound = object.__new__(type(self))
        bound.__dict__.update(self.__dict__)
        bound._model = model
        bound._prepared = None
        bound._blank = None
        bound._points = {}
        return bound

    @property
    def model_class(self) -> type[ModelT]:
        """The model whose table is queried."""
        if self._model is None:
            raise AttributeError(f"This {type(self).__name__} does not belong to a model yet")
        return self._model

    @property
    def _scope(self) -> Scope:
        scope = self._prepared
        if scope is None:
            scope = self._prepared = scope_of(self.model_class)
        return scope

    def query(self) -> QueryT:
        """The query from which everything of this manager begins; override it to leave rows out."""
        blank = self._blank
        if blank is None:
            blank = self._blank = cast(QueryT, self.query_class(self.model_class))
        return blank

    # Builders

    def filter(self, *conditions: Expr[bool] | bool, **lookups: Any) -> QueryT:
        """See `Query.filter`."""
        return self.query().filter(*conditions, **lookups)

    def exclude(self, *conditions: Expr[bool] | bool, nulls: bool = UNSET, **lookups: Any) -> QueryT:
        """See `Query.exclude`."""
        return self.query().exclude(*conditions, nulls=nulls, **lookups)

    def order_by(self, *terms: object) -> QueryT:
        """See `Query.order_by`."""
        return self.query().order_by(*terms)

    def limit(self, count: int | None) -> QueryT:
        """See `Query.limit`."""
        return self.query().limit(count)

    def offset(self, count: int) -> QueryT:
        """See `Query.offset`."""
        return self.query().offset(count)

    def __getitem__(self, window: slice) -> QueryT:
        return self.query()[window]

    def distinct(self) -> QueryT:
        """See `Query.distinct`."""
        return self.query().distinct()

    def using(self, target: str | AsyncDatabase | AsyncTransaction) -> QueryT:
        """See `Query.using`."""
        return self.query().using(target)

    def sql_comment(self, text: str | None = None, /, **tags: str) -> QueryT:
        """See `Query.sql_comment`."""
        return self.query().sql_comment(text, **tags)

    def only(self, *fields: object) -> QueryT:
        """See `Query.only`."""
        return self.query().only(*fields)

    def defer(self, *fields: object) -> QueryT:
        """See `Query.defer`."""
        return self.query().defer(*fields)

    def validate(self, mode: Literal["full", "needed", "off"]) -> QueryT:
        """See `Query.validate`."""
        return self.query().validate(mode)

    def values(self, *fields: object) -> ValuesQuery[ModelT, dict[str, Any]]:
        """See `Query.values`."""
        return self.query().values(*fields)

    @overload
    def values_list(self, field: str, /, *, flat: bool) -> ValuesQuery[ModelT, Any]: ...
    @overload
    def values_list(self, field: Expr[FieldT], /, *, flat: bool) -> ValuesQuery[ModelT, FieldT]: ...
    @overload
    def values_list(self, field: FieldT, /, *, flat: bool) -> ValuesQuery[ModelT, FieldT]: ...
    @overload
    def values_list(self, *fields: object) -> ValuesQuery[ModelT, tuple[Any, ...]]: ...
    def values_list(self, *fields: Any, flat: bool = False) -> ValuesQuery[ModelT, Any]:
        """See `Query.values_list`."""
        return cast("ValuesQuery[ModelT, Any]", self.query().values_list(*fields, flat=flat))

    def sql(self, *, dialect: str | None = None, version: tuple[int, ...] | None = None) -> tuple[str, list[Any]]:
        """See `Query.sql`."""
        return self.query().sql(dialect=dialect, version=version)

    # One row

    def _point(self, key: tuple[object, ...], lookups: dict[str, Any]) -> Point | None:
        """Prepare a `get` for these keywords and value types, if each value is its own parameter."""
        if type(self).query is not QueryManager.query:
            return None
        scope = self._scope
        for name, value in lookups.items():
            if name in scope.controls or type(value) is not scope.lookup(name).exact:
                return None
        where, _ = narrow(scope, None, (), (), lookups)
        result = scope.whole
        shape = ir.select(scope.info.id, result.fields, where, paging="l")
        if len(self._points) >= _POINTS:
            self._points.clear()
        point = self._points[key] = (shape, result.loader, scope.info.database)
        return point

    async def get(
        self,
        *conditions: Expr[bool] | bool,
        using: str | None = UNSET,
        client: AsyncDatabase | AsyncTransaction | None = UNSET,
        **lookups: Any,
    ) -> ModelT:
        """The one row that matches, see `Query.get`.

        Raises NotFoundError if there is none and MultipleObjectsReturned if there are several.

            user = await User.objects.get(id=5)
        """
        if not conditions and using is UNSET and client is UNSET and lookups:
            key = (*lookups, *map(type, lookups.values()))
            point = self._points.get(key) or self._point(key, lookups)
            if point is not None:
                database, lease = resolve(None, None, point[2])
                rows: Any = database.run(point[0], (*lookups.values(), 2), point[1], lease)
                if type(rows) is Pending:
                    pending = rows
                    try:
                        rows = await pending
                    except BaseException:
                        pending.cancel()
                        raise
                if len(rows) == 1:
                    return rows.pop()  # type: ignore[no-any-return]
                return one(self._scope, rows)  # type: ignore[no-any-return]
        found: ModelT = await self.query().get(*conditions, using=using, client=client, **lookups)
        return found

    async def get_or_none(
        self,
        *conditions: Expr[bool] | bool,
        using: str | None = UNSET,
        client: AsyncDatabase | AsyncTransaction | None = UNSET,
        **lookups: Any,
    ) -> ModelT | None:
        """The one row that matches, or None; raises MultipleObjectsReturned if there are several.

        user = await User.objects.get_or_none(email="a@example.org")
        """
        if not conditions and using is UNSET and client is UNSET and lookups:
            key = (*lookups, *map(type, lookups.values()))
            point = self._points.get(key) or self._point(key, lookups)
            if point is not None:
                database, lease = resolve(None, None, point[2])
                rows: Any = database.run(point[0], (*lookups.values(), 2), point[1], lease)
                if type(rows) is Pending:
                    pending = rows
                    try:
                        rows = await pending
                    except BaseException:
                        pending.cancel()
                        raise
                if len(rows) < 2:
                    return rows.pop() if rows else None
                return one(self._scope, rows)  # type: ignore[no-any-return]
        found: ModelT | None = await self.query().get_or_none(*conditions, using=using, client=client, **lookups)
        return found

    # Other terminals

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
    async def all(self, **options: Any) -> Any:
        """See `Query.all`."""
        return await self.query().all(**options)

    def iterate(
        self,
        chunk_size: int = CHUNK_SIZE,
        *,
        using: str | None = None,
        client: AsyncDatabase | AsyncTransaction | None = None,
    ) -> AsyncGenerator[ModelT, None]:
        """See `Query.iterate`."""
        return self.query().iterate(chunk_size, using=using, client=client)

    async def first(
        self, *, using: str | None = None, client: AsyncDatabase | AsyncTransaction | None = None
    ) -> ModelT | None:
        """See `Query.first`."""
        found: ModelT | None = await self.query().first(using=using, client=client)
        return found

    async def last(
        self, *, using: str | None = None, client: AsyncDatabase | AsyncTransaction | None = None
    ) -> ModelT | None:
        """See `Query.last`."""
        found: ModelT | None = await self.query().last(using=using, client=client)
        return found

    async def count(self, *, using: str | None = None, client: AsyncDatabase | AsyncTransaction | None = None) -> int:
        """See `Query.count`."""
        return await self.query().count(using=using, client=client)

    async def exists(self, *, using: str | None = None, client: AsyncDatabase | AsyncTransaction | None = None) -> bool:
        """See `Query.exists`."""
        return await self.query().exists(using=using, client=client)

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
    async def update(self, **values: Any) -> Any:
        """See `Query.update`: here for all rows of the table."""
        return await self.query().update(**values)

    async def delete(self, *, using: str | None = None, client: AsyncDatabase | AsyncTransaction | None = None) -> int:
        """See `Query.delete`: here for all rows of the table."""
        return await self.query().delete(using=using, client=client)

    # Inserting: conditions that a custom `query()` has do not concern it

    async def create(
        self,
        instance: ModelT | None = UNSET,
        *,
        using: str | None = UNSET,
        client: AsyncDatabase | AsyncTransaction | None = UNSET,
        **data: Any,
    ) -> ModelT:
        """Insert one row and return its instance with everything that the database filled in.

        Takes field values (validated; unknown names are refused whatever `extra` says) or a ready instance.  Calls
        the hooks.  Raises ValidationError, FieldError and the IntegrityErrors of the database.

            user = await User.objects.create(name="Anna", age=30)
        """
        scope = self._scope
        given, using, client = scope.controls_given(data, instance=instance, using=using, client=client)
        return cast(ModelT, await write.create(scope, given, data, using, client))

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
        """Insert many rows, all or none; returns the instances, with their keys and what the database filled in.

        Takes instances and dicts; dicts are validated.  Calls no hooks.  `batch_size` limits the rows of one
        statement.  `on_conflict="ignore"` leaves a stored row as it is (and the instances without new keys, since a
        row that is left out returns nothing); `"update"` sets `update_fields` (default: all written but the key) of
        the row with equal `conflict_fields` (default: the primary key).  With `returning=True` the rows are read
        back and returned instead.  Raises FieldError, ValidationError and the IntegrityErrors of the database.

            users = await User.objects.bulk_create([{"name": "Anna"}, {"name": "Bert"}])
        """
        scope = self._scope
        options = bulk.Conflict.of(scope, on_conflict, conflict_fields, update_fields)
        return await bulk.bulk_create(scope, objects, batch_size, options, returning, using, client)

    # What a manager is not

    def __iter__(self) -> NoReturn:
        raise TypeError("A manager is not iterable: use `for row in await Model.objects.all()`")

    def __await__(self) -> NoReturn:
        raise TypeError("A manager is not awaitable: use `await Model.objects.all()`")

    def __repr__(self) -> str:
        owner = "unbound" if self._model is None else self._model.__name__
        return f"<{type(self).__name__} of {owner}>"
