"""When and how TLS is spoken; the modes are those of libpq."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from typing import Any

from .failure import Failure, words

__all__ = ["Tls"]


class Tls:
    """The TLS settings of one database."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self.mode: str = settings.get("ssl_mode") or "prefer"
        self._root: str | None = settings.get("ssl_root_cert")
        self._cert: str | None = settings.get("ssl_client_cert")
        self._key: str | None = settings.get("ssl_client_key")
        self._context: ssl.SSLContext | None = None

    @property
    def comes_first(self) -> bool:
        return self.mode not in ("disable", "allow")

    def check_plain(self, remedy: str) -> None:
        """Raise a :class:`Failure` that names the remedy, unless a server that does not speak TLS will do."""
        if self.mode != "prefer":
            raise Failure(
                f"the server does not speak TLS, which ssl_mode={self.mode} asks for",
                hint=f"{remedy}, or set ssl_mode to prefer or disable",
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

    def failure(self, error: ssl.SSLError) -> Failure:
        """What went wrong in the handshake, and what to change."""
        mode = self.mode
        if isinstance(error, ssl.SSLCertVerificationError):
            said = f"the certificate of the server was refused: {error.verify_message}"
            hint = "set ssl_root_cert to the certificate of the authority that signed the server's"
            if error.verify_code in (62, 64):  # host name, IP address
                hint = "connect by a name that the certificate holds, or set ssl_mode=verify-ca"
        else:
            said = f"the TLS handshake failed: {(error.reason or str(error)).replace('_', ' ').lower()}"
            hint = "see whether the server's TLS versions and demands for a client certificate fit"
        return Failure(f"{said} (ssl_mode={mode})", hint=hint, tls=True)


def _loaded(name: str, path: str, load: Callable[[], None]) -> None:
    try:
        load()
    except ssl.SSLError:
        raise Failure(f"{name}: {path!r} holds nothing that can be used", hint="files are in PEM format") from None
    except (OSError, ValueError) as error:
        raise Failure(f"{name}: {path!r} cannot be read: {words(error)}") from None
