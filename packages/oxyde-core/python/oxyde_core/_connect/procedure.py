"""The way to a connection that all servers share: the password, each host in turn, attempts, deadlines, refusals."""

from __future__ import annotations

import asyncio
import getpass
import socket
import ssl
from abc import ABC, abstractmethod
from typing import Any

from .core import Attempt, Cancelling, Opening
from .ends import GOODBYE
from .failure import Failure, words
from .secret import Secret
from .sockets import Host, Place, close, connected, transport
from .tls import Tls

__all__ = ["Connector"]

# How long a request to cancel may take; seconds.
_CANCEL_TIMEOUT = 5.0


class Connector(ABC):
    """Makes the connections of one database object. Each kind of server has a subclass."""

    host: type[Host]
    port: int

    # The server's process for this connection was told to end: one more attempt tells whether the server ends as well.
    ended: frozenset[str]

    def __init__(self, config: dict[str, Any]) -> None:
        settings = config["settings"]
        path = config.get("socket")
        hosts = config.get("hosts") or [("localhost", self.port)]
        self.hosts = [self.host(path, hosts[0][1])] if path else [self.host(name, port) for name, port in hosts]
        self.user: str = config.get("user") or getpass.getuser()
        self.database: str | None = config.get("database")
        self.attributes: str = config.get("target_session_attrs") or "any"
        self.timeout: float | None = settings.get("connect_timeout")
        self.tls = Tls(settings)
        self._password = Secret(config.get("password"))

    # ------------------------------------------------------------------------------------------- what a server adds

    @abstractmethod
    async def greet(self, attempt: Attempt, sock: socket.socket, encrypted: bool) -> tuple[bool, bytes]:
        """Say what comes before the login on a fresh socket.

        Returns whether TLS is to be spoken from here on (``encrypted`` says whether it is wanted), and what the
        server has said of itself.
        """

    @abstractmethod
    def other_way(self, refusal: Failure, encrypted: bool) -> bool:
        """Whether the same host may take us if TLS is spoken where it was not, or the other way round."""

    @abstractmethod
    async def send_cancel(self, request: Cancelling, place: Place) -> bool:
        """Have the server at ``place`` stop a statement; whether it has dealt with that."""

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

    async def _open(self, opening: Opening) -> list[tuple[Host, Failure]] | None:
        try:
            async with asyncio.timeout(self.timeout):
                opening.set_password(await self._password.read())
        except TimeoutError:
            said = f"the function that gives the password took more than {self.timeout:g} s (connect_timeout)"
            return [(self.hosts[0], Failure(said))]
        except Failure as failure:
            return [(self.hosts[0], failure)]
        failures: list[tuple[Host, Failure]] = []
        for wanted in ("standby", "any") if self.attributes == "prefer-standby" else (self.attributes,):
            failures = []
            for host in self.hosts:
                try:
                    async with asyncio.timeout(self.timeout):
                        await self._attempt(opening, host, wanted)
                    return None
                except TimeoutError:
                    failures.append((host, Failure(f"no answer within {self.timeout:g} s (connect_timeout)")))
                except Failure as failure:
                    failures.append((host, failure))
        return failures

    async def _attempt(self, opening: Opening, host: Host, wanted: str) -> None:
        encrypted = self.tls.comes_first and not host.is_file
        try:
            await self._connection(opening, host, wanted, encrypted)
        except Failure as first:
            if first.state in self.ended:
                return await self._connection(opening, host, wanted, encrypted)
            if host.is_file or not self.other_way(first, encrypted):
                raise
            try:
                await self._connection(opening, host, wanted, not encrypted)
            except Failure as second:
                if second.refused or first.tls:
                    raise
                raise first from None

    async def _connection(self, opening: Opening, host: Host, wanted: str, encrypted: bool) -> None:
        # Made first: files that cannot be used need no server.
        context = await self.tls.context() if encrypted else None
        sock, address = await connected(host, self.timeout)
        made, protocol = await self.log_in(opening, sock, Place(host, address, encrypted), context)
        mismatch = _mismatch(wanted, *opening.attributes())
        if mismatch:
            opening.give_up(protocol)
            made.abort()
            raise Failure(mismatch)

    async def log_in(
        self,
        attempt: Attempt,
        sock: socket.socket,
        place: Place,
        context: ssl.SSLContext | None,
        *,
        exact: bool = False,
    ) -> tuple[asyncio.Transport, asyncio.BaseProtocol]:
        """Greet, shake hands and log in over ``sock``, which is closed if that fails.

        A server without TLS may do even if ``place`` is encrypted, see ``greet``; not if it is to be ``exact``.
        """
        host, encrypted = place.host, place.encrypted
        try:
            encrypted, greeting = await self.greet(attempt, sock, encrypted)
            if exact and encrypted != place.encrypted:
                raise Failure("the server does not speak TLS any more", tls=True)
            made, protocol = await transport(attempt.protocol, sock, host, context if encrypted else None)
        except ssl.SSLError as error:
            close(sock)
            raise self.tls.failure(error) from None
        except TimeoutError:
            close(sock)
            raise
        except OSError as error:
            close(sock)
            if not encrypted:
                raise Failure(words(error)) from None
            said = f"the connection broke in the TLS handshake: {words(error)} (ssl_mode={self.tls.mode})"
            raise Failure(said, tls=True) from None
        except BaseException:
            close(sock)
            raise
        place = Place(host, place.address, encrypted)
        secure = encrypted or host.is_file
        try:
            refusal = await attempt.start(protocol, made, sock, place, encrypted, secure, greeting)
            if refusal is not None:
                state, said = refusal
                raise Failure(said, state=state, refused=True)
        except BaseException:
            attempt.give_up(protocol)
            made.abort()
            raise
        return made, protocol

    # -------------------------------------------------------------------------------------------------------- cancel

    async def cancel(self, request: Cancelling, place: Place) -> None:
        """Stop a statement of the server at ``place``, and tell ``request`` whether the server has dealt with it."""
        ok = False
        try:
            try:
                async with asyncio.timeout(_CANCEL_TIMEOUT):
                    ok = await self.send_cancel(request, place)
            except asyncio.CancelledError:
                # A loop that ends cancels all its tasks, this one because of others: the server is to hear of those.
                if (task := asyncio.current_task()) is not None:
                    task.uncancel()
                async with asyncio.timeout(GOODBYE / 2):
                    ok = await self.send_cancel(request, place)
        except (OSError, Failure):
            pass
        finally:
            request.sent(ok)


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
