"""The rows of a query one by one: see `oxyde.db.stream`."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Any

from oxyde.db import stream as streams
from oxyde.db.stream import CHUNK_SIZE, chunk_rows
from oxyde.queries.run import resolve

if TYPE_CHECKING:
    from oxyde.db import AsyncDatabase, AsyncTransaction
    from oxyde.db.resolve import Target
    from oxyde_core import Loader, ir

__all__ = ["CHUNK_SIZE", "chunk_rows", "stream"]


def stream(
    shape: ir.Node,
    params: tuple[object, ...],
    loader: Loader,
    size: int,
    using: str | None,
    client: AsyncDatabase | AsyncTransaction | None,
    alias: Target,
) -> AsyncGenerator[Any, None]:
    """The rows of a statement, `size` of them in a piece."""

    def opened() -> streams.Opened:
        database, lease = resolve(using, client, alias)
        own = streams.reading(database, lease)
        return database.cursor(shape, params, loader, size, lease if own is None else own), own

    return streams.stream(opened)
