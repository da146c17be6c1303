"""The part of a query that is built: conditions, order, window and kind of result.

A query is immutable: each method gives a new one, which shares everything with the old one but what changed.  It
holds its shape in parts (contract nodes without values) and the parameters of each part; a terminal only puts
them together, in the order in which the contract numbers parameter slots: conditions, order, limit, offset.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, NoReturn, Self, TypeVar, cast, overload

from oxyde.exceptions import FieldError, ManagerError
from oxyde.queries.comment import comment_text
from oxyde.queries.expr import Expr
from oxyde.queries.ordering import NO_ORDER, Order, resolve_order, selected
from oxyde.queries.q import narrow
from oxyde.queries.scope import UNSET, Result, Scope, scope_of
from oxyde_core import ir

if TYPE_CHECKING:
    from oxyde.db import AsyncDatabase, AsyncTransaction
    from oxyde.db.resolve import Target
    from oxyde.models.loading import LoaderMode
    from oxyde.models.model import Model
    from oxyde.queries.values import ValuesQuery

ModelT = TypeVar("ModelT", bound="Model")
RowT = TypeVar("RowT")
FieldT = TypeVar("FieldT")


class Builder(Generic[ModelT, RowT]):
    """The builders that every query has; `ModelT` is the model, `RowT` what one row becomes."""

    __slots__ = (
        "_comment",
        "_distinct",
        "_limit",
        "_offset",
        "_order",
        "_params",
        "_result",
        "_scope",
        "_target",
        "_where",
    )

    _scope: Scope
    _result: Result
    _where: ir.Node | None
    _params: tuple[object, ...]
    _order: Order | None
    """None: the model's own ordering."""
    _limit: int | None
    _offset: int
    _distinct: bool
    _target: Target
    _comment: str | None

    def __init__(self, model: type[ModelT]) -> None:
        scope = scope_of(model)
        self._scope = scope
        self._result = scope.whole
        self._where = None
        self._params = ()
        self._order = None
        self._limit = None
        self._offset = 0
        self._distinct = False
        self._target = None
        self._comment = None

    def _clone(self) -> Self:
        clone = object.__new__(type(self))
        clone._scope = self._scope
        clone._result = self._result
        clone._where = self._where
        clone._params = self._params
        clone._order = self._order
        clone._limit = self._limit
        clone._offset = self._offset
        clone._distinct = self._distinct
        clone._target = self._target
        clone._comment = self._comment
        return clone

    @property
    def model_class(self) -> type[ModelT]:
        """The model whose table is queried."""
        return cast("type[ModelT]", self._scope.info.cls)

    # Conditions

    def filter(self, *conditions: Expr[bool] | bool, **lookups: Any) -> Self:
        """Keep the rows for which all conditions are true: Q objects, typed conditions, `field__lookup=value`.

        Raises FieldError (unknown field), FieldLookupError (lookup that the field does not have) and
        FieldLookupValueError (value that the lookup cannot take), and ManagerError after a limit, offset or slice.

            adults = User.objects.filter(User.age >= 18, name__startswith="A")
            either = User.objects.filter(Q(age__lt=18) | Q(age__gte=65))
        """
        if conditions or lookups:
            self._refuse_after_window("filter")
        clone = self._clone()
        clone._where, clone._params = narrow(self._scope, self._where, self._params, conditions, lookups)
        return clone

    def exclude(self, *conditions: Expr[bool] | bool, nulls: bool = UNSET, **lookups: Any) -> Self:
        """Drop the rows for which the conditions, taken together, are true.

        Where they are unknown, because a value is NULL, SQL's NOT is unknown as well and the row is left out too;
        `nulls=True` keeps such rows.  Raises what `filter` raises, and TypeError for a `nulls` that is no bool.

            User.objects.exclude(age__lt=18)                  # not those whose age is NULL
            User.objects.exclude(age__lt=18, nulls=True)      # those as well
        """
        (keep,) = self._scope.controls_given(lookups, nulls=nulls)
        if keep is not None and not isinstance(keep, bool):
            raise TypeError(f"nulls must be a bool, not {type(keep).__name__}")
        if conditions or lookups:
            self._refuse_after_window("exclude")
        node, params = narrow(self._scope, None, (), conditions, lookups)
        if node is None:
            return self._clone()
        dropped = ir.not_(ir.func("coalesce", node, ir.FALSE) if keep else node)
        clone = self._clone()
        if self._where is None:
            clone._where = dropped
        else:
            kept = self._where[1:] if self._where[0] == "and" else (self._where,)
            clone._where = ("and", *kept, dropped)
        clone._params = self._params + params
        return clone

    # Order

    def order_by(self, *terms: object) -> Self:
        """Order the rows: `"name"`, `"-age"`, `User.age.desc()`, `F("name").asc(nulls="last")`, `Lower("name")`.

        Replaces an earlier order; without arguments the rows are unordered, whatever `Meta.ordering` says.
        Raises FieldError for an unknown field, ManagerError after a limit, offset or slice.

            User.objects.order_by("-age", "name")
        """
        self._refuse_after_window("order_by")
        clone = self._clone()
        clone._order = resolve_order(self._scope, terms) if terms else NO_ORDER
        return clone

    # Window

    def _refuse_after_window(self, operation: str) -> None:
        """SQL would do it before the window: refuse instead of choosing among other rows than are written here."""
        if self._limit is not None or self._offset:
            raise ManagerError(
                f"{operation}() cannot follow a limit, offset or slice, since SQL limits last: "
                f"call {operation}() first; to go on from these very rows take their keys: "
                "keys = await query.values_list('pk', flat=True), "
                f"then {self._scope.name}.objects.filter(pk__in=keys)"
            )

    def limit(self, count: int | None) -> Self:
        """At most `count` rows; None lifts the limit.  Raises ValueError for a negative number."""
        clone = self._clone()
        clone._limit = None if count is None else _size("limit", count)
        return clone

    def offset(self, count: int) -> Self:
        """Skip the first `count` rows.  Raises ValueError for a negative number."""
        clone = self._clone()
        clone._offset = _size("offset", count)
        return clone

    def __getitem__(self, window: slice) -> Self:
        """A part of the rows; slices of slices compose.

        Raises ValueError for negative bounds and steps, TypeError for a single index.

            second_page = User.objects.order_by("id")[20:40]
        """
        if not isinstance(window, slice):
            raise TypeError(
                f"A {type(self).__name__} takes a slice such as [10:20]; for one row await .offset(n).first()"
            )
        if window.step is not None:
            raise ValueError("A query cannot be sliced with a step; select the rows by a condition")
        start = 0 if window.start is None else _size("slice start", window.start)
        stop = None if window.stop is None else _size("slice stop", window.stop)
        clone = self._clone()
        clone._offset = self._offset + start
        length = None if stop is None else max(0, stop - start)
        if self._limit is not None:
            rest = max(0, self._limit - start)
            length = rest if length is None else min(rest, length)
        clone._limit = length
        return clone

    def distinct(self) -> Self:
        """Each different row once; raises ManagerError after a limit, offset or slice."""
        self._refuse_after_window("distinct")
        clone = self._clone()
        clone._distinct = True
        return clone

    def using(self, target: str | AsyncDatabase | AsyncTransaction) -> Self:
        """Run on this database: an alias, an AsyncDatabase or an open transaction."""
        clone = self._clone()
        clone._target = target
        return clone

    def sql_comment(self, text: str | None = None, /, **tags: str) -> Self:
        """Send a comment with the statements of this query, for the logs of the server.

        A text of your own, or tags in the form of sqlcommenter (`key='value'`, encoded). Replaces an earlier one.
        Each comment is a statement of its own to the database, so take few different ones, such as names of routes;
        see the guide for what others cost.  Raises ValueError for a text that could end the comment or that servers
        and drivers may take for something else (`*/`, `/*`, `?`, `$1`, control characters), or that is too long.

            await User.objects.filter(active=True).sql_comment("nightly report")
            await User.objects.sql_comment(route="/users", action="list").all()
        """
        clone = self._clone()
        clone._comment = comment_text(text, tags)
        return clone

    # Kind of result

    def values(self, *fields: object) -> ValuesQuery[ModelT, dict[str, Any]]:
        """Rows as dicts of native Python values keyed by the field names asked for; all columns without arguments.

        Raises FieldError for an unknown field.

            await User.objects.values("id", User.name)      # [{"id": 1, "name": "Anna"}, …]
        """
        return self._values(fields, "dict")

    @overload
    def values_list(self, field: str, /, *, flat: bool) -> ValuesQuery[ModelT, Any]: ...
    @overload
    def values_list(self, field: Expr[FieldT], /, *, flat: bool) -> ValuesQuery[ModelT, FieldT]: ...
    @overload
    def values_list(self, field: FieldT, /, *, flat: bool) -> ValuesQuery[ModelT, FieldT]: ...
    @overload
    def values_list(self, *fields: object) -> ValuesQuery[ModelT, tuple[Any, ...]]: ...
    def values_list(self, *fields: object, flat: bool = False) -> ValuesQuery[ModelT, Any]:
        """Rows as tuples in the order of the fields asked for, or with `flat=True` the values of one field.

        Raises FieldError for an unknown field, ValueError for `flat=True` with another number of fields than one.

            await User.objects.values_list("id", flat=True)      # [1, 2, …]
        """
        if flat and len(fields) != 1:
            raise ValueError(f"values_list(flat=True) takes exactly one field, not {len(fields)}")
        return self._values(fields, "scalar" if flat else "tuple")

    def _values(self, fields: tuple[object, ...], kind: LoaderMode) -> ValuesQuery[ModelT, Any]:
        from oxyde.queries.values import ValuesQuery

        names, keys = self._result.fields, self._result.keys
        if fields:
            pairs = [pair for field in fields for pair in self._keyed(field)]
            names, keys = tuple(name for _, name in pairs), tuple(key for key, _ in pairs)
        if len(set(keys)) != len(keys):
            raise FieldError(f"A field is asked for twice: {', '.join(keys)}")
        query: ValuesQuery[ModelT, Any] = object.__new__(ValuesQuery)
        for slot in Builder.__slots__:
            setattr(query, slot, getattr(self, slot))
        query._result = self._scope.result(names, kind, self._result.validate, keys=keys)
        return query

    def _keyed(self, field: object) -> list[tuple[str, str]]:
        """A field as it was asked for, and its column's field name; a composite key is several."""
        columns = self._scope.columns((field,))
        name = field if isinstance(field, str) else getattr(field, "name", None)
        if len(columns) == 1 and isinstance(name, str):
            return [(name, columns[0].name)]
        return [(column.name, column.name) for column in columns]

    # Shapes

    def _ordering(self) -> Order:
        """The order in force: the query's own or the model's (where distinct rows have those fields at all)."""
        if self._order is not None:
            return self._order
        order = self._scope.ordering
        if self._distinct and any(not selected(term, self._result) for term in order[0]):
            return NO_ORDER
        return order

    def _select(
        self, result: Result, order: Order, limit: int | None, mode: ir.Mode = "rows"
    ) -> tuple[ir.Node, tuple[object, ...]]:
        """The statement and its parameters."""
        offset = self._offset
        params = self._params + order[1]
        if limit is not None:
            params = (*params, limit)
        if offset:
            params = (*params, offset)
        distinct: ir.Distinct = ""
        if self._distinct:
            distinct = "distinct"
            if any(not selected(term, result) for term in order[0]):
                raise FieldError(
                    "distinct() rows can only be ordered by fields that are selected: "
                    "add the field to values(), or order by another one"
                )
        paging = ir.PAGING[limit is not None, offset != 0]
        shape = ("select", self._scope.info.id, result.fields, self._where, order[0], paging, distinct, "", mode)
        return shape, params

    def _refuse_window(self, operation: str) -> None:
        """UPDATE and DELETE have no window in SQL: refuse instead of touching other rows."""
        for what, given in (
            ("limit, offset or a slice", self._limit is not None or self._offset),
            ("distinct()", self._distinct),
        ):
            if given:
                raise ManagerError(
                    f"{operation}() cannot be combined with {what}; select the keys first: "
                    f"keys = await query.values_list('pk', flat=True), then filter(pk__in=keys).{operation}()"
                )

    def sql(self, *, dialect: str | None = None, version: tuple[int, ...] | None = None) -> tuple[str, list[Any]]:
        """The SQL text and parameters of `await query`, without a connection.

        `dialect` is "postgres", "mysql", "mariadb" or "sqlite" (default: that of the connected database), `version`
        a server version (default: the oldest supported one).  Raises NotSupportedError for what that database lacks.

            text, params = User.objects.filter(age__gte=18).sql(dialect="sqlite")
        """
        from oxyde.queries.inspect import compile_query

        shape, params = self._select(self._result, self._ordering(), self._limit)
        if self._comment is not None:
            shape = ir.comment(self._comment, shape)
        return compile_query(self._target, self._scope, shape, params, dialect, version)

    # What a query is not

    def __iter__(self) -> NoReturn:
        raise TypeError(
            f"A {type(self).__name__} is not iterable: use `for row in await query` (or `await query.all()`)"
        )

    def __len__(self) -> int:
        raise TypeError(f"A {type(self).__name__} has no len(): use `await query.count()` or `len(await query)`")

    def __bool__(self) -> bool:
        raise TypeError(f"A {type(self).__name__} has no truth value: use `await query.exists()`")

    def __repr__(self) -> str:
        text = f"<{type(self).__name__} {self._scope.name}"
        for part, given in (
            ("filtered", self._where is not None),
            ("ordered", self._order is not None),
            ("distinct", self._distinct),
            (f"limit={self._limit}", self._limit is not None),
            (f"offset={self._offset}", self._offset != 0),
            ("commented", self._comment is not None),
        ):
            if given:
                text += f" {part}"
        return text + ">"


def _size(what: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{what} must be an int, not {type(value).__name__}")
    if value < 0:
        raise ValueError(f"{what} must not be negative: {value}; order the other way round instead")
    return int(value)
