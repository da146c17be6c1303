"""Hosts, addresses, sockets and the transports over them."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .failure import Failure, words

__all__ = ["Address", "Host", "Place", "close", "connect", "connected", "transport"]

Address = tuple[int, Any]
"""Address family and socket address."""

_UNIX = getattr(socket, "AF_UNIX", None)

# A server that is gone is noticed by an idle connection after 60 seconds, by one with unanswered bytes as well.
_KEEPALIVE = (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3), ("TCP_USER_TIMEOUT", 60_000))


@dataclass(frozen=True, slots=True)
class Host:
    """A host and port of the URL, or a socket file (``name`` is its path)."""

    name: str
    port: int

    @property
    def is_file(self) -> bool:
        return self.name.startswith(("/", "@"))

    @property
    def path(self) -> str:
        """The socket file; an ``@`` stands for Linux's names that are no files."""
        return f"\0{self.name[1:]}" if self.name.startswith("@") else self.name

    def __str__(self) -> str:
        if self.is_file:
            return self.path.replace("\0", "@")
        return f"[{self.name}]:{self.port}" if ":" in self.name else f"{self.name}:{self.port}"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a connection is, exactly: a request to cancel must reach the same server."""

    host: Host
    address: Address
    encrypted: bool


async def connected(host: Host, seconds: float | None) -> tuple[socket.socket, Address]:
    """Return a socket that is connected to one of the host's addresses; ``seconds`` are for all of them."""
    loop = asyncio.get_running_loop()
    end = None if seconds is None else loop.time() + seconds
    try:
        addresses = await _addresses(host)
    except OSError as error:
        raise Failure(f"the host name cannot be resolved ({error.strerror or error})") from None
    except UnicodeError:
        raise Failure("the host name is not valid") from None
    failure = Failure("the host name has no address")
    for index, address in enumerate(addresses):
        # One address that swallows everything must not use up the time of the others.
        left = len(addresses) - index
        share = None if end is None or left == 1 else max(end - loop.time(), 0.0) / left
        try:
            async with asyncio.timeout(share):
                return await connect(address), address
        except TimeoutError:
            failure = Failure("no answer")
        except OSError as error:
            failure = Failure(words(error))
    raise failure


async def _addresses(host: Host) -> Sequence[Address]:
    if host.is_file:
        if _UNIX is None:
            raise Failure("this platform has no socket files")
        return [(_UNIX, host.path)]
    # An address needs no resolver, which may be busy: asyncio's is the pool of threads that everything blocking uses.
    for family in (socket.AF_INET, socket.AF_INET6):
        with contextlib.suppress(OSError):
            socket.inet_pton(family, host.name)
            return [(family, (host.name, host.port))]
    found = await asyncio.get_running_loop().getaddrinfo(host.name, host.port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys((family, address) for family, _, _, _, address in found))


async def connect(address: Address) -> socket.socket:
    """Return a socket that is connected to exactly this address."""
    family, place = address
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        if family != _UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for name, value in _KEEPALIVE:
                option = getattr(socket, name, None)
                if option is not None:
                    with contextlib.suppress(OSError):
                        sock.setsockopt(socket.IPPROTO_TCP, option, value)
        await asyncio.get_running_loop().sock_connect(sock, place)
    except BaseException:
        sock.close()
        raise
    return sock


async def transport(
    factory: Callable[[], Any], sock: socket.socket, host: Host, context: ssl.SSLContext | None
) -> tuple[Any, Any]:
    """Return the loop's transport over ``sock`` and the protocol of ``factory``; with a context after its handshake."""
    loop = asyncio.get_running_loop()
    if host.is_file:
        return await loop.create_unix_connection(factory, sock=sock)
    if context is None:
        return await loop.create_connection(factory, sock=sock)
    name = host.name.partition("%")[0]
    try:
        return await loop.create_connection(factory, sock=sock, ssl=context, server_hostname=name)
    except OSError:
        raise
    except ValueError:  # a UnicodeError of the name is one, but so is a certificate that is refused
        raise Failure("the host name cannot be used for TLS") from None


def close(sock: socket.socket) -> None:
    """Close a socket whose transport was not made, or not to its end.

    asyncio forgets a TLS transport that is cancelled between its making and its first callback: it would be called
    unclosed when it is collected.
    """
    transports = getattr(asyncio.get_running_loop(), "_transports", {})
    made = transports.get(sock.fileno()) if isinstance(transports, Mapping) else None
    # The number may be that of an earlier socket, whose transport is closed and not collected yet.
    if made is not None and not made.is_closing():
        made.abort()
    else:
        sock.close()
