"""Running a query: the terminals that every kind of result has."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from typing import TYPE_CHECKING, Any, Final, cast

from oxyde.exceptions import MultipleObjectsReturned, NotFoundError
from oxyde.queries.builder import Builder, ModelT, RowT
from oxyde.queries.comment import commented
from oxyde.queries.expr import Expr
from oxyde.queries.ordering import NO_ORDER, Order, reverse_order
from oxyde.queries.run import alias_of, execute, resolve
from oxyde.queries.scope import UNSET, Scope
from oxyde.queries.stream import CHUNK_SIZE, chunk_rows, stream
from oxyde_core import Loader, Pending, ir

if TYPE_CHECKING:
    from oxyde.db import AsyncDatabase, AsyncTransaction
    from oxyde_core import Database, Lease

COUNT: Final = Loader("scalar", (("count", "big_integer", None, "count"),))
EXISTS: Final = Loader("scalar", (("exists", "boolean", None, "exists"),))


class Terminals(Builder[ModelT, RowT]):
    """Terminals are coroutines with the keywords `using` (an alias) and `client` (a database or transaction)."""

    __slots__ = ()

    def _database(
        self, using: str | None, client: AsyncDatabase | AsyncTransaction | None, write: bool = False
    ) -> tuple[Database, Lease | None]:
        database, lease = resolve(using, client, self._target or self._scope.info.database, write)
        return (database if self._comment is None else commented(database, self._comment)), lease

    def _loader(self, using: str | None, client: AsyncDatabase | AsyncTransaction | None) -> Loader:
        """The loader of the query's rows; instances know the database that they came from."""
        result = self._result
        if result.kind != "model" or (using is None and client is None and self._target is None):
            return result.loader
        alias = alias_of(using, client, self._target or self._scope.info.database)
        return self._scope.result(result.fields, result.kind, result.validate, alias).loader

    async def all(
        self, *, using: str | None = None, client: AsyncDatabase | AsyncTransaction | None = None
    ) -> list[RowT]:
        """All rows; the same as awaiting the query.

        names = await User.objects.values_list("name", flat=True).all()
        """
        result = self._result
        shape, params = self._select(result, self._ordering(), self._limit)
        database, lease = resolve(using, client, self._target or self._scope.info.database)
        if self._comment is not None:
            database = commented(database, self._comment)
        rows: Any = database.run(shape, params, result.loader, lease)
        if type(rows) is Pending:
            pending = rows
            try:
                rows = await pending
            except BaseException:
                pending.cancel()
                raise
        return rows  # type: ignore[no-any-return]

    def __await__(self) -> Generator[Any, Any, list[RowT]]:
        return self.all().__await__()

    def iterate(
        self,
        chunk_size: int = CHUNK_SIZE,
        *,
        using: str | None = None,
        client: AsyncDatabase | AsyncTransaction | None = None,
    ) -> AsyncGenerator[RowT, None]:
        """The rows one by one while the database holds the rest: any number of them in the memory of a few chunks.

        `chunk_size` is the number of rows that are fetched at a time.  Outside of a transaction the stream holds a
        connection until its last chunk has come; inside one it is part of it, and other statements can run in its loop.
        Leaving the loop in whatever way frees it; `contextlib.aclosing` does so at a known place.

        Raises TypeError or ValueError for a `chunk_size` that is no number of rows, and while it is read what awaiting
        the query raises, after the rows that came before the error.

            async for user in User.objects.filter(active=True).iterate():
                print(user.name)
        """
        size = chunk_rows(chunk_size)
        shape, params = self._select(self._result, self._ordering(), self._limit)
        loader = self._loader(using, client)
        return stream(shape, params, loader, size, using, client, self._target or self._scope.info.database)

    def __aiter__(self) -> AsyncGenerator[RowT, None]:
        """`async for row in query` is the same as `async for row in query.iterate()`."""
        return self.iterate()

    async def first(
        self, *, using: str | None = None, client: AsyncDatabase | AsyncTransaction | None = None
    ) -> RowT | None:
        """The first row or None; an unordered query is ordered by the primary key.

        newest = await User.objects.order_by("-id").first()
        """
        limit = 1 if self._limit is None else min(1, self._limit)
        shape, params = self._select(self._result, self._definite_order(), limit)
        rows = await execute(*self._database(using, client), shape, params, self._loader(using, client))
        return rows.pop(0) if rows else None

    async def last(
        self, *, using: str | None = None, client: AsyncDatabase | AsyncTransaction | None = None
    ) -> RowT | None:
        """The last row or None; an unordered query is ordered by the primary key.

        Without a window the order is reversed; the last row of a limited query is found by reading that window.
        """
        order = self._definite_order()
        if self._limit is None and not self._offset:
            shape, params = self._select(self._result, reverse_order(order), 1)
        else:
            shape, params = self._select(self._result, order, self._limit)
        rows = await execute(*self._database(using, client), shape, params, self._loader(using, client))
        return rows.pop() if rows else None

    async def count(self, *, using: str | None = None, client: AsyncDatabase | AsyncTransaction | None = None) -> int:
        """The number of rows that the query would give: limit, offset and distinct are respected."""
        shape, params = self._summary("count")
        rows = await execute(*self._database(using, client), shape, params, COUNT)
        return int(rows[0])

    async def exists(self, *, using: str | None = None, client: AsyncDatabase | AsyncTransaction | None = None) -> bool:
        """Whether the query would give a row."""
        shape, params = self._summary("exists")
        rows = await execute(*self._database(using, client), shape, params, EXISTS)
        return bool(rows and rows[0])

    async def get(
        self,
        *conditions: Expr[bool] | bool,
        using: str | None = UNSET,
        client: AsyncDatabase | AsyncTransaction | None = UNSET,
        **lookups: Any,
    ) -> RowT:
        """The one row that matches.

        Raises NotFoundError if there is none and MultipleObjectsReturned if there are several, besides what
        `filter` raises.

            user = await User.objects.get(id=5)
        """
        using, client = self._scope.controls_given(lookups, using=using, client=client)
        query = self.filter(*conditions, **lookups) if conditions or lookups else self
        return cast(RowT, one(self._scope, await query._two(using, client)))

    async def get_or_none(
        self,
        *conditions: Expr[bool] | bool,
        using: str | None = UNSET,
        client: AsyncDatabase | AsyncTransaction | None = UNSET,
        **lookups: Any,
    ) -> RowT | None:
        """The one row that matches, or None; raises MultipleObjectsReturned if there are several."""
        using, client = self._scope.controls_given(lookups, using=using, client=client)
        query = self.filter(*conditions, **lookups) if conditions or lookups else self
        rows = await query._two(using, client)
        return cast(RowT, one(self._scope, rows)) if rows else None

    async def _two(self, using: str | None, client: AsyncDatabase | AsyncTransaction | None) -> list[Any]:
        """Up to two rows inside the window: enough to tell one from several."""
        limit = 2 if self._limit is None else min(2, self._limit)
        # The order only matters where the window cuts something off.
        order = self._ordering() if self._limit is not None or self._offset else NO_ORDER
        shape, params = self._select(self._result, order, limit)
        rows: list[Any] = await execute(*self._database(using, client), shape, params, self._loader(using, client))
        return rows

    def _definite_order(self) -> Order:
        """The order in force, or that of the key; distinct rows without their key are ordered by all they have."""
        order = self._ordering()
        if order[0]:
            return order
        fields = self._result.fields
        if self._distinct and not set(self._scope.key) <= set(fields):
            return tuple(ir.order(ir.column(name)) for name in fields), ()
        return self._scope.key_order

    def _summary(self, mode: ir.Mode) -> tuple[ir.Node, tuple[object, ...]]:
        """Counting needs no columns unless distinct rows are counted, and no order."""
        if self._distinct or self._limit is not None or self._offset:
            fields = self._result.fields if self._distinct else self._scope.key
            params = self._params
            if self._limit is not None:
                params = (*params, self._limit)
            if self._offset:
                params = (*params, self._offset)
            paging = ir.PAGING[self._limit is not None, self._offset != 0]
            distinct: ir.Distinct = "distinct" if self._distinct else ""
            return ir.select(self._scope.info.id, fields, self._where, (), paging, distinct, "", mode), params
        return ir.select(self._scope.info.id, (), self._where, mode=mode), self._params


def one(scope: Scope, rows: list[Any]) -> Any:
    """The only row; raises NotFoundError or MultipleObjectsReturned naming the model."""
    if len(rows) == 1:
        # asyncio keeps the list until the task pauses again; the row should not be kept alive with it.
        return rows.pop()
    if not rows:
        raise NotFoundError(f"{scope.name} matching the query does not exist")
    raise MultipleObjectsReturned(
        f"get() found more than one {scope.name}; make the conditions narrower or use first()"
    )
