"""What the compiled core hands over, as far as connecting is concerned."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable
from typing import Any, Protocol

from .sockets import Place

__all__ = ["Attempt", "Cancelling", "Hub", "Opening"]


class Attempt(Protocol):
    """One link of the compiled core that is to be let in by a server; any number of times until it is."""

    def protocol(self) -> asyncio.BaseProtocol: ...
    def set_password(self, password: str | bytes | None) -> None: ...

    # What asks for TLS, of a server that greets; None: it has none. ValueError: the greeting makes no sense.
    def tls_request(self, greeting: bytes) -> bytes | None: ...

    # Ends with None, or with the SQLSTATE (or None) and the words of a refusal.
    def start(
        self,
        protocol: asyncio.BaseProtocol,
        transport: asyncio.BaseTransport,
        socket: socket.socket,
        place: Place,
        encrypted: bool,
        secure: bool,
        greeting: bytes,
    ) -> Awaitable[tuple[str | None, str] | None]: ...
    def give_up(self, protocol: asyncio.BaseProtocol) -> None: ...


class Opening(Attempt, Protocol):
    """A link that becomes a connection of the pool."""

    # Whether the server refuses to write, and whether it is a standby.
    def attributes(self) -> tuple[bool, bool]: ...
    def abandoned(self) -> None: ...
    def ready(self) -> None: ...
    def failed(self, message: str, hint: str | None = None, refused: bool = False) -> None: ...


class Cancelling(Attempt, Protocol):
    """A request of the compiled core to cancel a statement: a packet, or a link that has it done once it is let in."""

    @property
    def packet(self) -> bytes | None: ...
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
