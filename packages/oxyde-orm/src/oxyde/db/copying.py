"""The data of a COPY FROM STDIN: from whatever makes them to the server, no faster than that takes them.

The source is asked for more when the server has taken what came before, so that no more than a few hundred kilobytes
are on their way, whatever the size of the whole. If it fails, or whoever waits for the COPY is cancelled, the server is
told that no more come, and stores nothing. If the server refuses, a source that waits for something is interrupted.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias, runtime_checkable

from .database import finish

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from oxyde_core import Database, Inflow, Lease, Pin

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
        async with limit:
            # An error in the statement is told before the source is asked for anything.
            await flow.room()
            await _feed(flow, source)
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


# No asynchronous generators of our own: one that is thrown away in the middle of a wait cannot be closed any more.
async def _feed(flow: Inflow, source: CopySource) -> None:
    pieces = _Pieces()
    if isinstance(source, (bytes, bytearray, memoryview)):
        await _write(flow, pieces.add(source))
    elif isinstance(source, Readable):
        while chunk := await _read(source):
            await _write(flow, pieces.add(chunk))
    elif isinstance(source, AsyncIterable):
        async for chunk in source:
            await _write(flow, pieces.add(chunk))
    else:
        for chunk in source:
            await _write(flow, pieces.add(chunk))
    await _write(flow, pieces.rest())


async def _write(flow: Inflow, pieces: Iterable[bytes]) -> None:
    for piece in pieces:
        if flow.write(piece):
            # A source that never waits is not to keep others from their turn.
            await asyncio.sleep(0)
        else:
            await flow.room()


class _Pieces:
    """Cuts and joins what a source gives to pieces of about one size."""

    __slots__ = ("_kept",)

    def __init__(self) -> None:
        self._kept = bytearray()

    def add(self, chunk: object) -> Iterable[bytes]:
        if not isinstance(chunk, (bytes, bytearray, memoryview)):
            raise TypeError(f"the data of a COPY are bytes, not {type(chunk).__name__}")
        view = memoryview(chunk).cast("B")
        if len(self._kept) + len(view) < PIECE:
            self._kept += view
            return ()
        return self._cut(view)

    def _cut(self, view: memoryview) -> Iterator[bytes]:
        yield from self.rest()
        for start in range(0, len(view), PIECE):
            yield bytes(view[start : start + PIECE])

    def rest(self) -> Iterator[bytes]:
        if self._kept:
            yield bytes(self._kept)
            self._kept.clear()


async def _read(file: Readable) -> bytes:
    read: Any = file.read(PIECE)
    return await read if inspect.isawaitable(read) else read  # type: ignore[no-any-return]
