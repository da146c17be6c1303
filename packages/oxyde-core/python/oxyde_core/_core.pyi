"""The compiled engine. Imported by ``oxyde_core/__init__.py`` only; everything else takes its names from there."""

from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any, Final, Literal, TypeAlias, final

from .types import TypeTag

_Version: TypeAlias = tuple[int, int, int]
_Shape: TypeAlias = tuple[Any, ...]
_Converter: TypeAlias = Callable[[Any], Any] | Mapping[Any, Any] | None
_Output: TypeAlias = tuple[str, TypeTag, _Converter, str]
"""Name, type, converter, ``"table.column"`` for messages."""
_ModelSpec: TypeAlias = tuple[
    type[Any], object, object | None, Literal["none", "validate"] | Callable[..., Any], Callable[..., Any] | None, bool
]
"""Class, state object, state descriptor, what runs after loading, private initialiser, whether extras are kept."""
_ColumnSpec: TypeAlias = tuple[str, str, TypeTag, bool, bool, bool, bool, str | None, str | None]
"""Field, column, type, nullable, primary key, auto, generated, db_type, collation."""

__all__ = [
    "IR_VERSION",
    "MARKER",
    "__version__",
    "Copy",
    "Cursor",
    "Database",
    "Inflow",
    "Lease",
    "Loader",
    "Outflow",
    "Parts",
    "Pending",
    "Pin",
    "register_table",
    "forget_table",
    "compile_sql",
    "create_ddl",
    "drop_ddl",
]

IR_VERSION: Final[int]
MARKER: Final[str]
__version__: Final[str]

def register_table(
    model_id: int,
    name: str,
    schema: str | None,
    columns: tuple[_ColumnSpec, ...],
    uniques: tuple[tuple[str, tuple[str, ...]], ...] = ...,
) -> None: ...
def forget_table(model_id: int) -> None: ...
def compile_sql(
    shape: _Shape, params: tuple[Any, ...], dialect: str, version: _Version | None = None
) -> tuple[str, list[Any]]: ...
def create_ddl(document: str, dialect: str, version: _Version | None = None) -> list[str]: ...
def drop_ddl(document: str, dialect: str, version: _Version | None = None) -> list[str]: ...

@final
class Pending:
    """A result that is under way. Awaited once; ``cancel`` asks the engine to stop, and the engine keeps its work."""

    def __await__(self) -> Generator[Any, Any, Any]: ...
    def cancel(self) -> None: ...
    def watch(self, callback: Callable[[Any, BaseException | None], object]) -> None: ...
    @property
    def waited(self) -> float | None: ...

@final
class Copy:
    """Rows made ready for COPY."""

    @property
    def sql(self) -> str: ...
    @property
    def table(self) -> str: ...
    def __len__(self) -> int: ...

@final
class Parts:
    """A bulk insert in one or several statements."""

    @property
    def sql(self) -> str: ...
    @property
    def table(self) -> str: ...
    def __len__(self) -> int: ...
    def rows(self, index: int) -> int: ...
    def result(self) -> Any: ...

@final
class Loader:
    """How rows become Python objects."""

    def __new__(
        cls,
        kind: Literal["model", "dict", "tuple", "scalar"],
        outputs: tuple[_Output, ...],
        *,
        model: _ModelSpec | None = None,
        null_converted: frozenset[str] | None = None,
        null_refused: frozenset[str] | None = None,
        explain: Callable[[dict[str, Any], str | None, BaseException | None], BaseException] | None = None,
    ) -> Loader: ...

@final
class Lease:
    """A transaction on a connection of its own. Dropping it rolls back."""

    @property
    def status(self) -> Literal["idle", "open", "failed", "closed", "unknown"]: ...
    def begin(self, timeout: float | None = None) -> Pending: ...
    def commit(self) -> Pending: ...
    def rollback(self) -> Pending: ...
    def savepoint(self, name: str) -> Pending: ...
    def release(self, name: str) -> Pending: ...
    def rollback_to(self, name: str) -> Pending: ...
    def afterwards(self, sql: str) -> None: ...
    def end(self) -> None: ...
    def set_deadline(self, seconds: float | None) -> None: ...
    def abandon(self) -> None: ...

@final
class Cursor:
    """A result that is read in pieces. Dropping it drops what is left of it."""

    def fetch(self) -> Pending: ...
    @property
    def more(self) -> bool: ...
    def close(self, drop_rest: bool = True) -> None: ...

@final
class Pin:
    """A connection that is kept. Dropping it gives the connection back."""

    @property
    def is_open(self) -> bool: ...
    @property
    def pooled(self) -> bool: ...
    @property
    def in_transaction(self) -> bool: ...
    def open(self, timeout: float | None = None) -> Pending: ...
    def close(self) -> Pending: ...
    def abandon(self) -> None: ...
    def lease(
        self, mode: Literal["write", "read"], isolation: str | None = None, deferrable: bool = False
    ) -> Lease: ...
    def wait_notified(self) -> Pending: ...
    def wake(self) -> None: ...
    def notifications(self) -> list[tuple[str, str, int]]: ...

@final
class Inflow:
    """The data for a COPY FROM STDIN."""

    def write(self, data: bytes) -> bool: ...
    def room(self) -> Pending: ...
    def finish(self) -> None: ...

@final
class Outflow:
    """The data of a COPY TO STDOUT. Dropping it stops nothing."""

    def read(self) -> Pending: ...
    def stop(self) -> None: ...

@final
class Database:
    """The engine of one database."""

    def __new__(cls, config: dict[str, Any]) -> Database: ...
    @property
    def backend(self) -> str: ...
    @property
    def version(self) -> _Version | None: ...
    @property
    def single_connection(self) -> bool: ...
    @property
    def returning(self) -> tuple[bool, bool]: ...
    def create_ddl(self, document: str) -> list[str]: ...
    def drop_ddl(self, document: str) -> list[str]: ...
    def connect(self) -> Pending: ...
    def close(self, timeout: float | None = None) -> Pending: ...
    def run(
        self,
        shape: _Shape,
        params: tuple[Any, ...],
        loader: Loader | None = None,
        lease: Lease | None = None,
        timeout: float | None = None,
    ) -> Any: ...
    def cursor(
        self,
        shape: _Shape,
        params: tuple[Any, ...],
        loader: Loader,
        rows: int,
        lease: Lease | None = None,
        timeout: float | None = None,
    ) -> Cursor: ...
    def run_bulk(
        self,
        shape: _Shape,
        rows: list[Any],
        fields: tuple[str, ...],
        converters: tuple[Callable[[Any], Any] | None, ...],
        loader: Loader | None = None,
        lease: Lease | None = None,
        timeout: float | None = None,
        params: tuple[Any, ...] | None = None,
        fill: tuple[type[Any], str | None, object, object] | None = None,
    ) -> Pending | None: ...
    def prepare_parts(
        self,
        shape: _Shape,
        rows: list[Any],
        fields: tuple[str, ...],
        converters: tuple[Callable[[Any], Any] | None, ...],
        loader: Loader | None = None,
        params: tuple[Any, ...] | None = None,
        fill: tuple[type[Any], str | None, object, object] | None = None,
    ) -> Parts | None: ...
    def run_part(
        self, parts: Parts, index: int, lease: Lease | None = None, timeout: float | None = None
    ) -> Pending: ...
    def prepare_copy(
        self,
        shape: _Shape,
        rows: list[Any],
        fields: tuple[str, ...],
        converters: tuple[Callable[[Any], Any] | None, ...],
        loader: Loader | None = None,
        fill: tuple[type[Any], str | None, object, object] | None = None,
    ) -> Copy | None: ...
    def fetch_keys(self, copy: Copy, lease: Lease | None = None, timeout: float | None = None) -> Pending: ...
    def copy(
        self, copy: Copy, loader: Loader | None = None, lease: Lease | None = None, timeout: float | None = None
    ) -> Pending: ...
    def raw(
        self,
        sql: str,
        params: Sequence[Any],
        lease: Lease | Pin | None = None,
        timeout: float | None = None,
        counted: bool = False,
    ) -> Pending: ...
    def raw_cursor(
        self,
        sql: str,
        params: Sequence[Any],
        rows: int,
        lease: Lease | Pin | None = None,
        timeout: float | None = None,
    ) -> Cursor: ...
    def describe(self, shape: _Shape) -> tuple[str, str, str]: ...
    def inflow(self) -> Inflow: ...
    def copy_in(
        self, sql: str, data: Inflow, lease: Lease | Pin | None = None, timeout: float | None = None
    ) -> Pending: ...
    def copy_out(self, sql: str, lease: Lease | Pin | None = None, timeout: float | None = None) -> Outflow: ...
    def script(self, statements: list[str], lease: Lease | None = None) -> Pending: ...
    def lease(
        self,
        mode: Literal["write", "read"],
        isolation: str | None = None,
        deferrable: bool = False,
        origin: tuple[str, int] | None = None,
    ) -> Lease: ...
    def pin(self, origin: tuple[str, int] | None = None) -> Pin: ...
    def ping(self) -> Pending: ...
    def stats(self) -> dict[str, Any]: ...
