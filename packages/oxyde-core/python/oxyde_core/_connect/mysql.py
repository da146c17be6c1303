"""What is MySQL's and MariaDB's own of connecting.

These servers speak first: a packet that says who they are and what they can do. It is read here, because the request
for TLS goes between it and the handshake; the login, which answers it, is the compiled core's.
"""

from __future__ import annotations

import asyncio
import os
import socket

from .core import Attempt, Cancelling
from .failure import Failure, words
from .procedure import Connector
from .sockets import Host, Place, connect

__all__ = ["MysqlConnector"]

# A greeting takes about 100 bytes; an error in place of it has at most 512 of words.
_LONGEST_GREETING = 2048

# How a greeting begins: with the version of the protocol, or with the mark of an error.
_PROTOCOL_10 = 10
_ERROR = 255

# What another kind of connection to the same server would not change: an unknown database or an account that may not
# use it, an account or a server that is full, a server that stops.
_FINAL_STATES = frozenset({"42000", "08004", "08S01"})

_FILES = ("mysqld.sock", "mysql.sock")


class MysqlHost(Host):
    """A host, or a socket file, or the directory of one."""

    __slots__ = ()

    @property
    def path(self) -> str:
        if self.name.startswith("@") or not os.path.isdir(self.name):
            return super().path
        named = [os.path.join(self.name, file) for file in _FILES]
        return next((path for path in named if os.path.exists(path)), named[0])


class MysqlConnector(Connector):
    """Makes the connections of one MySQL or MariaDB database."""

    host = MysqlHost
    port = 3306
    # "The query was interrupted", "the connection was killed".
    ended = frozenset({"70100"})

    async def greet(self, attempt: Attempt, sock: socket.socket, encrypted: bool) -> tuple[bool, bytes]:
        greeting = await _greeting(sock)
        # An error is for the core to read, like every refusal.
        if not encrypted or greeting[0] == _ERROR:
            return False, greeting
        try:
            request = attempt.tls_request(greeting)
        except ValueError as error:
            raise Failure(str(error)) from None
        if request is None:
            self.tls.check_plain("give the server a certificate (ssl_cert, ssl_key)")
            return False, greeting
        await asyncio.get_running_loop().sock_sendall(sock, request)
        return True, greeting

    def other_way(self, refusal: Failure, encrypted: bool) -> bool:
        # "Access denied" is said of a wrong password, and of an account that asks for TLS as well.
        if self.tls.mode == "allow":
            return refusal.refused and refusal.state not in _FINAL_STATES
        return self.tls.mode == "prefer" and encrypted and refusal.tls

    async def send_cancel(self, request: Cancelling, place: Place) -> bool:
        request.set_password(await self._password.read())
        context = await self.tls.context() if place.encrypted else None
        sock = await connect(place.address)
        # It is let in when the server has killed the statement.
        made, _ = await self.log_in(request, sock, place, context, exact=True)
        made.close()
        return True


async def _greeting(sock: socket.socket) -> bytes:
    """Return the first packet of a server without its header, and read nothing behind it.

    Whatever somebody on the way may have put there belongs to the TLS handshake.
    """
    try:
        header = await _exactly(sock, 4)
        size = int.from_bytes(header[:3], "little")
        if header[3] == 0 and 0 < size <= _LONGEST_GREETING:
            greeting = await _exactly(sock, size)
            if greeting[0] in (_PROTOCOL_10, _ERROR):
                return greeting
    except OSError as error:
        raise Failure(words(error)) from None
    raise Failure("what answers there does not speak the protocol of MySQL")


async def _exactly(sock: socket.socket, size: int) -> bytes:
    loop = asyncio.get_running_loop()
    taken = bytearray()
    while len(taken) < size:
        more = await loop.sock_recv(sock, size - len(taken))
        if not more:
            raise Failure("the server closed the connection without a greeting")
        taken += more
    return bytes(taken)
