"""What the compiled core hands over, as far as connecting is concerned."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable
from typing import Any, Protocol

from .sockets import Place

__all__ = ["Cancelling", "Hub", "Opening"]


class Opening(Protocol):
    """One link of the compiled core that is to be connected."""

    def protocol(self) -> asyncio.BaseProtocol: ...
    def set_password(self, password: str | bytes | None) -> None: ...
    def start(
        self,
        protocol: asyncio.BaseProtocol,
        transport: asyncio.BaseTransport,
        socket: socket.socket,
        place: Place,
        encrypted: bool,
        secure: bool,
    ) -> Awaitable[tuple[str | None, str] | None]: ...
    def attributes(self) -> tuple[bool, bool]: ...
    def give_up(self, protocol: asyncio.BaseProtocol) -> None: ...
    def abandoned(self) -> None: ...
    def ready(self) -> None: ...
    def failed(self, message: str, hint: str | None = None, refused: bool = False) -> None: ...


class Cancelling(Protocol):
    """A request of the compiled core to cancel a statement."""

    def sent(self, ok: bool) -> None: ...


class Hub(Protocol):
    """What the compiled core keeps for one event loop."""

    @property
    def tasks(self) -> set[asyncio.Task[Any]]: ...
    @property
    def busy(self) -> int: ...
    @property
    def connections(self) -> int: ...
    def stop(self) -> None: ...
    def leave(self) -> None: ...
    def abort_connections(self) -> None: ...
