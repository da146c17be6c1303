"""Notifications of PostgreSQL: ``async with conn.listen("orders") as notifications``."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING

from ..exceptions import NotSupportedError, OperationalError, TransactionError
from .database import finish

if TYPE_CHECKING:
    from .connection import AsyncConnection

__all__ = ["Notification", "Notifications"]


@dataclass(frozen=True, slots=True)
class Notification:
    """One notification: its channel, its text, and the server process that sent it."""

    channel: str
    payload: str
    pid: int


class Notifications:
    """The notifications of a ``listen()`` block: an async context manager and, inside it, an async iterator."""

    __slots__ = ("_channels", "_connection", "_open", "_taken")

    def __init__(self, connection: AsyncConnection, channels: tuple[str, ...]) -> None:
        if not channels:
            raise TypeError("listen() needs the name of a channel")
        for channel in channels:
            if not isinstance(channel, str):
                raise TypeError(f"a channel is named by a str, not by {type(channel).__name__}")
            if not 0 < len(channel.encode()) < 64 or "\0" in channel:
                raise ValueError(f"{channel!r} is no name of a channel: 1 to 63 bytes, without NUL")
        self._connection = connection
        self._channels = tuple(dict.fromkeys(channels))
        self._taken: deque[Notification] = deque()
        self._open = False

    async def __aenter__(self) -> Notifications:
        connection = self._connection
        core, place = connection.place()
        if place is not connection.pin:
            raise TransactionError(
                "listen() inside a transaction would hear nothing before its commit: begin it outside"
            )
        if connection.pin.pooled:
            raise NotSupportedError(
                "listen() needs a session of its own, and this connection goes through a pooler that has none for it; "
                "connect to the server directly"
            )
        connection.start_listening()
        # What raw SQL listened to before.
        connection.pin.notifications()
        try:
            for channel in self._channels:
                await finish(core.raw(f"LISTEN {_quoted(channel)}", (), place))
        except BaseException:
            # The server may have taken some of it; the session is reset when the connection goes back.
            connection.stop_listening()
            raise
        self._open = True
        return self

    def __aiter__(self) -> Notifications:
        return self

    async def __anext__(self) -> Notification:
        pin = self._connection.pin
        while not self._taken:
            if not self._open:
                raise StopAsyncIteration
            self._connection.check()
            heard = (Notification(*told) for told in pin.notifications())
            self._taken.extend(told for told in heard if told.channel in self._channels)
            if self._taken:
                break
            try:
                await finish(pin.wait_notified())
            except OperationalError:
                if self._open:
                    raise
        return self._taken.popleft()

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        if not self._open:
            raise OperationalError("this listen() is not open")
        self._open = False
        self._taken.clear()
        connection = self._connection
        connection.stop_listening()
        if not connection.active or isinstance(exc, GeneratorExit):
            return
        core, place = connection.place()
        try:
            await finish(core.raw("UNLISTEN *", (), place))
        except OperationalError:
            # Whoever still wants something of the connection is told.
            if connection.active:
                raise
        finally:
            connection.pin.notifications()


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
