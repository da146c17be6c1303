"""How a PostgreSQL connection is made: host, address, socket, TLS and login, on the event loop that will own it.

The compiled core calls this once per connection, so what is easy to read in Python is written in Python; from the
login on, bytes go between the loop's transport and the compiled core. The socket is our own (``sock=``): its options
are set before it connects, and it can be closed without the loop.

Nothing here lets an exception out or puts a secret into a message: failures are collected as words and end in one
``ConnectError`` of whoever waits for the connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import getpass
import inspect
import os
import socket
import ssl
import struct
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

__all__ = ["Connector", "connector", "watch"]

Address = tuple[int, Any]
"""Address family and socket address."""

_SSL_REQUEST = struct.pack("!ii", 8, 80877103)
_UNIX = getattr(socket, "AF_UNIX", None)

# How long a request to cancel may take, and how long a loop that ends waits for connections to say goodbye; seconds.
_CANCEL_TIMEOUT = 5.0
_GOODBYE = 1.0

# A server that is gone is noticed by an idle connection after 60 seconds, by one with unanswered bytes as well.
_KEEPALIVE = (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3), ("TCP_USER_TIMEOUT", 60_000))

# What another kind of connection to the same server would not change: a wrong password, an unknown database, a server
# that is full or that starts or stops.
_FINAL_STATES = frozenset({"28P01", "3D000", "53300", "57P01", "57P02", "57P03"})

# The server's process for this connection was told to end: one more attempt tells whether the server ends as well.
_ENDED = "57P01"


class Attempt(Protocol):
    """What logs one link of the compiled core in."""

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
        greeting: bytes,
    ) -> Awaitable[tuple[str | None, str] | None]: ...
    def give_up(self, protocol: asyncio.BaseProtocol) -> None: ...


class Opening(Attempt, Protocol):
    """A connection that is wanted: any number of attempts, then one end."""

    def attributes(self) -> tuple[bool, bool]: ...
    def abandoned(self) -> None: ...
    def ready(self) -> None: ...
    def failed(self, message: str, hint: str | None = None, refused: bool = False) -> None: ...


class Cancelling(Attempt, Protocol):
    """A request of the compiled core to cancel a statement: bytes to send, or an attempt that does it all."""

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
        """The socket file: a directory holds one per port."""
        if self.name.startswith("@"):
            return f"\0{self.name[1:]}/.s.PGSQL.{self.port}"
        named = os.path.basename(self.name).startswith(".s.PGSQL.")
        if named or (os.path.exists(self.name) and not os.path.isdir(self.name)):
            return self.name
        return os.path.join(self.name, f".s.PGSQL.{self.port}")

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


class _Failure(Exception):  # noqa: N818 - it never leaves this module
    """Why one host did not work."""

    def __init__(
        self, words: str, *, hint: str | None = None, state: str | None = None, refused: bool = False, tls: bool = False
    ) -> None:
        super().__init__(words)
        self.words = words
        self.hint = hint
        # The server's SQLSTATE, if it was the server that refused.
        self.state = state
        self.refused = refused
        # TLS was not possible; the server itself may be fine.
        self.tls = tls


class _Secret:
    """A password that no repr and no traceback with local variables shows."""

    __slots__ = ("_value",)

    def __init__(self, value: Any) -> None:
        self._value = value

    def __repr__(self) -> str:
        return "<secret>"

    async def read(self) -> str | bytes | None:
        """Return the password now: a function is asked for every connection anew, because tokens expire."""
        value = self._value
        if callable(value):
            try:
                value = value()
                if inspect.isawaitable(value):
                    value = await value
            except Exception as error:
                # Its words may hold whatever the password was made of.
                raise _Failure(f"the function that gives the password raised {type(error).__name__}") from None
        if value is not None and not isinstance(value, str | bytes):
            raise _Failure(f"the function that gives the password returned {type(value).__name__}, not str")
        return value


def connector(config: dict[str, Any]) -> Connector:
    """Return the connector for the settings that ``AsyncDatabase`` hands over."""
    return Connector(config)


class Connector:
    """Makes the connections of one database object."""

    def __init__(self, config: dict[str, Any]) -> None:
        settings = config["settings"]
        path = config.get("socket")
        hosts = config.get("hosts") or [("localhost", 5432)]
        self.hosts = [Host(path, hosts[0][1])] if path else [Host(name, port) for name, port in hosts]
        self.user: str = config.get("user") or getpass.getuser()
        self.database: str = config.get("database") or self.user
        self.attributes: str = config.get("target_session_attrs") or "any"
        self.timeout: float | None = settings.get("connect_timeout")
        self.tls = _Tls(settings)
        self._password = _Secret(config.get("password"))

    # ------------------------------------------------------------------------------------------------------- opening

    async def open(self, opening: Opening) -> None:
        """Connect ``opening`` to the first host that takes it, or tell it why none does."""
        try:
            failures = await self._open(opening)
        except asyncio.CancelledError:
            opening.abandoned()
            raise
        except BaseException as error:
            opening.failed(f"connecting failed with an unexpected {type(error).__name__}")
            if isinstance(error, Exception):
                return
            raise
        if failures is None:
            opening.ready()
            return
        (last_host, last) = failures[-1]
        if len(failures) == 1:
            opening.failed(f"cannot connect to {last_host}: {last.words}", last.hint, last.refused)
        else:
            listed = "; ".join(f"{host}: {failure.words}" for host, failure in failures)
            hint = next((failure.hint for _, failure in failures if failure.hint), None)
            refused = all(failure.refused for _, failure in failures)
            opening.failed(f"cannot connect to any of {len(failures)} hosts: {listed}", hint, refused)

    async def _open(self, opening: Opening) -> list[tuple[Host, _Failure]] | None:
        try:
            async with asyncio.timeout(self.timeout):
                opening.set_password(await self._password.read())
        except TimeoutError:
            words = f"the function that gives the password took more than {self.timeout:g} s (connect_timeout)"
            return [(self.hosts[0], _Failure(words))]
        except _Failure as failure:
            return [(self.hosts[0], failure)]
        failures: list[tuple[Host, _Failure]] = []
        for wanted in ("standby", "any") if self.attributes == "prefer-standby" else (self.attributes,):
            failures = []
            for host in self.hosts:
                try:
                    async with asyncio.timeout(self.timeout):
                        await self._attempt(opening, host, wanted)
                    return None
                except TimeoutError:
                    failures.append((host, _Failure(f"no answer within {self.timeout:g} s (connect_timeout)")))
                except _Failure as failure:
                    failures.append((host, failure))
        return failures

    async def _attempt(self, opening: Opening, host: Host, wanted: str) -> None:
        encrypted = self.tls.comes_first and not host.is_file
        try:
            await self._login(opening, host, wanted, encrypted)
        except _Failure as first:
            if first.state == _ENDED:
                return await self._login(opening, host, wanted, encrypted)
            other = self.tls.mode == "prefer" and encrypted and (first.tls or first.state == "28000")
            if self.tls.mode == "allow" and not host.is_file:
                other = first.refused and first.state not in _FINAL_STATES
            if not other:
                raise
            try:
                await self._login(opening, host, wanted, not encrypted)
            except _Failure as second:
                if second.refused or first.tls:
                    raise
                raise first from None

    async def _login(self, opening: Opening, host: Host, wanted: str, encrypted: bool) -> None:
        context = await self.tls.context() if encrypted else None
        sock, address = await self._connected(host)
        try:
            encrypted = encrypted and await self.tls.agreed(sock)
            if not encrypted:
                context = None
            transport, protocol = await _transport(opening.protocol, sock, host, context)
        except ssl.SSLError as error:
            _close(sock)
            raise self.tls.failure(error) from None
        except TimeoutError:
            _close(sock)
            raise
        except OSError as error:
            _close(sock)
            if not encrypted:
                raise _Failure(_words(error)) from None
            words = f"the connection broke in the TLS handshake: {_words(error)} (ssl_mode={self.tls.mode})"
            raise _Failure(words, tls=True) from None
        except BaseException:
            _close(sock)
            raise
        place = Place(host, address, encrypted)
        try:
            refusal = await opening.start(protocol, transport, sock, place, encrypted, encrypted or host.is_file, b"")
            if refusal is not None:
                state, words = refusal
                raise _Failure(words, state=state, refused=True)
            read_only, standby = opening.attributes()
            mismatch = _mismatch(wanted, read_only, standby)
            if mismatch:
                raise _Failure(mismatch)
        except BaseException:
            opening.give_up(protocol)
            transport.abort()
            raise

    async def _connected(self, host: Host) -> tuple[socket.socket, Address]:
        """Return a socket that is connected to one of the host's addresses."""
        loop = asyncio.get_running_loop()
        end = None if self.timeout is None else loop.time() + self.timeout
        try:
            addresses = await _addresses(host)
        except OSError as error:
            raise _Failure(f"the host name cannot be resolved ({error.strerror or error})") from None
        except UnicodeError:
            raise _Failure("the host name is not valid") from None
        failure = _Failure("the host name has no address")
        for index, address in enumerate(addresses):
            # One address that swallows everything must not use up the time of the others.
            left = len(addresses) - index
            share = None if end is None or left == 1 else max(end - loop.time(), 0.0) / left
            try:
                async with asyncio.timeout(share):
                    return await _connect(address), address
            except TimeoutError:
                failure = _Failure("no answer")
            except OSError as error:
                failure = _Failure(_words(error))
        raise failure

    # -------------------------------------------------------------------------------------------------------- cancel

    async def cancel(self, request: Cancelling, place: Place) -> None:
        """Send the packet of ``request`` to where ``place`` is, and tell whether the server has dealt with it."""
        packet = request.packet or b""
        ok = False
        try:
            try:
                async with asyncio.timeout(_CANCEL_TIMEOUT):
                    ok = await self._cancel(place, packet)
            except asyncio.CancelledError:
                # A loop that ends cancels all its tasks, this one because of others: the server is to hear of those.
                if (task := asyncio.current_task()) is not None:
                    task.uncancel()
                async with asyncio.timeout(_GOODBYE / 2):
                    ok = await self._cancel(place, packet)
        except (OSError, _Failure):
            pass
        finally:
            request.sent(ok)

    async def _cancel(self, place: Place, packet: bytes) -> bool:
        loop = asyncio.get_running_loop()
        sock = await _connect(place.address)
        try:
            if not place.encrypted:
                await loop.sock_sendall(sock, packet)
                while await loop.sock_recv(sock, 256):
                    pass
                sock.close()
                return True
            if not await self.tls.agreed(sock):
                sock.close()
                return False
            transport, ended = await _transport(_Ended, sock, place.host, await self.tls.context())
        except BaseException:
            _close(sock)
            raise
        try:
            transport.write(packet)
            await ended.future
        finally:
            transport.abort()
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


class _Tls:
    """When and how TLS is spoken; the modes are those of libpq."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self.mode: str = settings.get("ssl_mode") or "prefer"
        self._root: str | None = settings.get("ssl_root_cert")
        self._cert: str | None = settings.get("ssl_client_cert")
        self._key: str | None = settings.get("ssl_client_key")
        self._context: ssl.SSLContext | None = None

    @property
    def comes_first(self) -> bool:
        return self.mode not in ("disable", "allow")

    async def agreed(self, sock: socket.socket) -> bool:
        """Ask the server for TLS; False: it has none, and the mode allows to go on without."""
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(sock, _SSL_REQUEST)
        # One byte and no more: whatever somebody on the way may have put behind it belongs to the handshake.
        answer = await loop.sock_recv(sock, 1)
        if answer == b"S":
            return True
        if answer != b"N":
            what = "closed the connection" if not answer else "gave no answer of a PostgreSQL server"
            raise _Failure(f"the server {what} when it was asked for TLS", tls=True)
        if self.mode == "prefer":
            return False
        raise _Failure(
            f"the server does not speak TLS, which ssl_mode={self.mode} asks for",
            hint="switch TLS on in the server (ssl = on), or set ssl_mode to prefer or disable",
            tls=True,
        )

    async def context(self) -> ssl.SSLContext:
        """The context for all connections of the database: making one costs milliseconds."""
        context = self._context
        if context is None:
            if self._root or self._cert or self.mode.startswith("verify"):
                context = await asyncio.get_running_loop().run_in_executor(None, self._made)
            else:
                context = self._made()
            self._context = context
        return context

    def _made(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = self.mode == "verify-full"
        if self._root is None and not self.mode.startswith("verify"):
            context.verify_mode = ssl.CERT_NONE
        elif self._root is None or self._root == "system":
            context.load_default_certs()
        else:
            _loaded("ssl_root_cert", self._root, lambda: context.load_verify_locations(self._root))
        if self._cert is not None:
            cert, key = self._cert, self._key
            name = "ssl_client_cert" if key is None else "ssl_client_cert and ssl_client_key"
            # Without a function OpenSSL would ask at the terminal.
            _loaded(name, cert, lambda: context.load_cert_chain(cert, key, password=lambda: ""))
        return context

    def failure(self, error: ssl.SSLError) -> _Failure:
        """What went wrong in the handshake, and what to change."""
        mode = self.mode
        if isinstance(error, ssl.SSLCertVerificationError):
            words = f"the certificate of the server was refused: {error.verify_message}"
            hint = "set ssl_root_cert to the certificate of the authority that signed the server's"
            if error.verify_code in (62, 64):  # host name, IP address
                hint = "connect by a name that the certificate holds, or set ssl_mode=verify-ca"
        else:
            words = f"the TLS handshake failed: {(error.reason or str(error)).replace('_', ' ').lower()}"
            hint = "see whether the server's TLS versions and demands for a client certificate fit"
        return _Failure(f"{words} (ssl_mode={mode})", hint=hint, tls=True)


def _loaded(name: str, path: str, load: Callable[[], None]) -> None:
    try:
        load()
    except ssl.SSLError:
        raise _Failure(f"{name}: {path!r} holds nothing that can be used", hint="files are in PEM format") from None
    except (OSError, ValueError) as error:
        raise _Failure(f"{name}: {path!r} cannot be read: {_words(error)}") from None


async def _transport(
    factory: Callable[[], Any], sock: socket.socket, host: Host, context: ssl.SSLContext | None
) -> tuple[Any, Any]:
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
        raise _Failure("the host name cannot be used for TLS") from None


def _close(sock: socket.socket) -> None:
    """Close a socket whose transport was not made, or not to its end.

    asyncio forgets a TLS transport that is cancelled between its making and its first callback: it would be called
    unclosed when it is collected.
    """
    transports = getattr(asyncio.get_running_loop(), "_transports", {})
    transport = transports.get(sock.fileno()) if isinstance(transports, Mapping) else None
    # The number may be that of an earlier socket, whose transport is closed and not collected yet.
    if transport is not None and not transport.is_closing():
        transport.abort()
    else:
        sock.close()


async def _addresses(host: Host) -> Sequence[Address]:
    if host.is_file:
        if _UNIX is None:
            raise _Failure("this platform has no socket files")
        return [(_UNIX, host.path)]
    # An address needs no resolver, which may be busy: asyncio's is the pool of threads that everything blocking uses.
    for family in (socket.AF_INET, socket.AF_INET6):
        with contextlib.suppress(OSError):
            socket.inet_pton(family, host.name)
            return [(family, (host.name, host.port))]
    found = await asyncio.get_running_loop().getaddrinfo(host.name, host.port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys((family, address) for family, _, _, _, address in found))


async def _connect(address: Address) -> socket.socket:
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


def _words(error: BaseException) -> str:
    if isinstance(error, OSError) and error.errno is not None and not isinstance(error, ssl.SSLError):
        words = os.strerror(error.errno)
        if error.errno == errno.ENOENT and _UNIX is not None:
            words += "; is the server running, and is this its socket?"
        return words
    return str(error) or type(error).__name__


def _mismatch(wanted: str, read_only: bool, standby: bool) -> str | None:
    match wanted:
        case "read-write" if read_only:
            return "the server takes no writes (target_session_attrs=read-write)"
        case "read-only" if not read_only:
            return "the server takes writes (target_session_attrs=read-only)"
        case "primary" if standby:
            return "the server is a standby (target_session_attrs=primary)"
        case "standby" if not standby:
            return "the server is no standby (target_session_attrs=standby)"
        case _:
            return None


# ------------------------------------------------------------------------------------------------------------- the end


def watch(hub: Hub) -> AsyncGenerator[None]:
    """Return a running generator; the loop closes it before it ends, and with it the connections of the loop.

    ``asyncio.run()`` and all the like shut asynchronous generators down while the loop still runs. The caller keeps
    the generator: the loop knows it weakly.
    """
    generator = _until_the_end(hub)
    with contextlib.suppress(StopIteration):
        generator.__anext__().send(None)
    return generator


def discard(transport: Any) -> None:
    """Close a transport of a loop that is closed.

    What asyncio would do in the next turn of the loop is done here, or the transport would be called unclosed when it
    is collected. (uvloop closes all its transports together with the loop.)
    """
    if type(transport).__module__.partition(".")[0] != "asyncio":
        return
    # Under TLS there is one below.
    below = getattr(getattr(transport, "_ssl_protocol", None), "_transport", None) or transport
    loop = getattr(below, "_loop", None)
    if loop is None or not loop.is_closed():
        return
    with contextlib.suppress(RuntimeError):
        transport.abort()
    lost = getattr(below, "_call_connection_lost", None)
    if lost is not None:
        with contextlib.suppress(RuntimeError):
            lost(None)


async def _until_the_end(hub: Hub) -> AsyncGenerator[None]:
    try:
        yield
    finally:
        await _leave(hub)


async def _leave(hub: Hub) -> None:
    loop = asyncio.get_running_loop()
    end = loop.time() + _GOODBYE

    async def wait_while(busy: Callable[[], int]) -> None:
        pause = 0.0
        while busy() and loop.time() < end:
            await asyncio.sleep(pause)
            pause = min(pause + 0.001, 0.02)

    # All tasks of the program have ended: what the server still does for them is of no use.
    hub.stop()
    await wait_while(lambda: hub.busy)
    # Requests to cancel what loops left behind that ended before.
    await wait_while(lambda: len(hub.tasks))
    for task in hub.tasks.copy():
        task.cancel()
    end = loop.time() + _GOODBYE
    hub.leave()
    await wait_while(lambda: hub.connections)
    if hub.connections:
        hub.abort_connections()
        # The transports close their sockets in the next turn.
        await asyncio.sleep(0)
        await asyncio.sleep(0)
