"""The data of a COPY FROM STDIN: from whatever makes them to the server, no faster than that takes them.

The source is asked for more when the server has taken what came before, so that no more than a few hundred kilobytes
are on their way, whatever the size of the whole. If it fails, or whoever waits for the COPY is cancelled, the server is
told that no more come, and stores nothing. If the server refuses, a source that waits for something is interrupted.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncGenerator, AsyncIterable, Iterable, Iterator
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias, runtime_checkable

from .database import finish

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from oxyde_core import Database, Lease, Pin

__all__ = ["CopySource", "check_source", "send"]

PIECE: Final = 1 << 16
"""Bytes that go together. Smaller pieces of a source are put together, larger ones are cut."""


@runtime_checkable
class Readable(Protocol):
    """A binary file, or an asynchronous one."""

    def read(self, size: int, /) -> bytes | Awaitable[bytes]: ...


CopySource: TypeAlias = "bytes | bytearray | memoryview | Readable | Iterable[bytes] | AsyncIterable[bytes]"


def check_source(source: object) -> None:
    """Raise a ``TypeError`` for what gives no data."""
    if isinstance(source, str):
        raise TypeError("the data of a COPY are bytes, not str: encode them as UTF-8")
    if not isinstance(source, Readable | Iterable | AsyncIterable):
        raise TypeError(
            "the data of a COPY are bytes, a file that is open in binary mode, or an iterable or an async iterable of "
            f"bytes, not {type(source).__name__}"
        )


async def send(core: Database, sql: str, place: Pin | Lease, source: CopySource) -> int:
    """Run the COPY with the data of ``source`` and return the number of rows."""
    flow = core.inflow()
    copied = core.copy_in(sql, flow, place)
    loop = asyncio.get_running_loop()
    limit = asyncio.timeout(None)
    sending = True

    def ended(_: object, error: BaseException | None) -> None:
        if error is not None and sending:
            limit.reschedule(loop.time())

    copied.watch(ended)
    try:
        async with limit, aclosing(_pieces(source)) as pieces:
            # An error in the statement is told before the source is asked for anything.
            await flow.room()
            async for piece in pieces:
                if flow.write(piece):
                    # A source that never waits is not to keep others from their turn.
                    await asyncio.sleep(0)
                else:
                    await flow.room()
        flow.finish()
    except TimeoutError:
        if not limit.expired():
            copied.cancel()
            raise
    except BaseException:
        copied.cancel()
        raise
    finally:
        sending = False
    rows: int = await finish(copied)
    return rows


async def _pieces(source: CopySource) -> AsyncGenerator[bytes, None]:
    """Cut and join what a source gives to pieces of one size."""
    kept = bytearray()
    async with aclosing(_given(source)) as chunks:
        async for chunk in chunks:
            if len(kept) + len(chunk) < PIECE:
                kept += chunk
                continue
            if kept:
                yield bytes(kept)
                kept.clear()
            if len(chunk) < PIECE:
                kept += chunk
                continue
            for piece in _cut(chunk):
                yield piece
    if kept:
        yield bytes(kept)


def _cut(data: bytes | memoryview) -> Iterator[bytes]:
    view = memoryview(data).cast("B")
    for start in range(0, len(view), PIECE):
        yield bytes(view[start : start + PIECE])


async def _given(source: CopySource) -> AsyncGenerator[bytes, None]:
    if isinstance(source, (bytes, bytearray, memoryview)):
        yield _bytes(source)
    elif isinstance(source, Readable):
        while chunk := _bytes(await _read(source)):
            yield chunk
    elif isinstance(source, AsyncIterable):
        async for chunk in source:
            yield _bytes(chunk)
    else:
        for chunk in source:
            yield _bytes(chunk)


async def _read(file: Readable) -> bytes:
    read: Any = file.read(PIECE)
    return await read if inspect.isawaitable(read) else read  # type: ignore[no-any-return]


def _bytes(chunk: Any) -> bytes:
    if isinstance(chunk, bytes):
        return chunk
    if isinstance(chunk, (bytearray, memoryview)):
        return memoryview(chunk).cast("B")  # type: ignore[return-value]
    raise TypeError(f"the data of a COPY are bytes, not {type(chunk).__name__}")
