"""What is PostgreSQL's own of connecting."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from typing import Any

from .core import Attempt, Cancelling
from .failure import Failure
from .procedure import Connector
from .sockets import Host, Place, close, connect, transport

__all__ = ["PostgresConnector"]

_SSL_REQUEST = struct.pack("!ii", 8, 80877103)

# What another kind of connection to the same server would not change: a wrong password, an unknown database, a server
# that is full or that starts or stops.
_FINAL_STATES = frozenset({"28P01", "3D000", "53300", "57P01", "57P02", "57P03"})


class PostgresHost(Host):
    """A host, or a socket file, or the directory of one."""

    __slots__ = ()

    @property
    def path(self) -> str:
        """The socket file: a directory holds one per port."""
        if self.name.startswith("@"):
            return f"\0{self.name[1:]}/.s.PGSQL.{self.port}"
        named = os.path.basename(self.name).startswith(".s.PGSQL.")
        if named or (os.path.exists(self.name) and not os.path.isdir(self.name)):
            return self.name
        return os.path.join(self.name, f".s.PGSQL.{self.port}")


class PostgresConnector(Connector):
    """Makes the connections of one PostgreSQL database."""

    host = PostgresHost
    port = 5432
    ended = frozenset({"57P01"})

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__(config)
        self.database = self.database or self.user

    async def greet(self, attempt: Attempt, sock: socket.socket, encrypted: bool) -> tuple[bool, bytes]:
        return encrypted and await self._agreed(sock), b""

    async def _agreed(self, sock: socket.socket) -> bool:
        """Ask the server for TLS; False: it has none, and the mode allows to go on without."""
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(sock, _SSL_REQUEST)
        # One byte and no more: whatever somebody on the way may have put behind it belongs to the handshake.
        answer = await loop.sock_recv(sock, 1)
        if answer == b"S":
            return True
        if answer != b"N":
            what = "closed the connection" if not answer else "gave no answer of a PostgreSQL server"
            raise Failure(f"the server {what} when it was asked for TLS", tls=True)
        self.tls.check_plain("switch TLS on in the server (ssl = on)")
        return False

    def other_way(self, refusal: Failure, encrypted: bool) -> bool:
        if self.tls.mode == "allow":
            return refusal.refused and refusal.state not in _FINAL_STATES
        return self.tls.mode == "prefer" and encrypted and (refusal.tls or refusal.state == "28000")

    async def send_cancel(self, request: Cancelling, place: Place) -> bool:
        packet = request.packet
        if packet is None:
            return False
        loop = asyncio.get_running_loop()
        sock = await connect(place.address)
        try:
            if not place.encrypted:
                await loop.sock_sendall(sock, packet)
                while await loop.sock_recv(sock, 256):
                    pass
                sock.close()
                return True
            if not await self._agreed(sock):
                sock.close()
                return False
            made, ended = await transport(_Ended, sock, place.host, await self.tls.context())
        except BaseException:
            close(sock)
            raise
        try:
            made.write(packet)
            await ended.future
        finally:
            made.abort()
        return True


class _Ended(asyncio.Protocol):
    """Waits for the end of a connection."""

    def __init__(self) -> None:
        self.future = asyncio.get_running_loop().create_future()

    def eof_received(self) -> None:
        self._end()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(exc)

    def _end(self, error: Exception | None = None) -> None:
        if self.future.done():
            return
        if error is None:
            self.future.set_result(None)
        else:
            self.future.set_exception(error)
